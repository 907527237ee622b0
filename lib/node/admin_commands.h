/* lib/node/admin_commands.h
 *
 * The table of what the running node answers on its control socket: a row per command.
 * Thread: loop only.
 */
#ifndef LARDER_NODE_ADMIN_COMMANDS_H
#define LARDER_NODE_ADMIN_COMMANDS_H

#include "node/admin.h"

extern const struct admin_command admin_commands[]; /* ended by a row without name */

#endif
