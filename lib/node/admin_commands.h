/* lib/node/admin_commands.h
 *
 * The table of what the running node answers on its control socket: a row per command.
 * Thread: loop only.
 */
#ifndef LARDER_NODE_ADMIN_COMMANDS_H
#define LARDER_NODE_ADMIN_COMMANDS_H

#include "node/admin.h"

extern const struct admin_command admin_commands[]; /* ended by a row without name */

/* admin_fail of a command that was given a path. A running node opens it itself, and what a person
 * sees in a shell need not be there for a service: where that may be why, a second sentence says
 * so. */
void admin_fail_path(struct admin_session *s, const struct error *err);

#endif
