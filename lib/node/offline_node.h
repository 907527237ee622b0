/* lib/node/offline_node.h
 *
 * A command of the control socket where no node runs: the same node without listeners, under the
 * same lock, which stops when the command has ended.
 * Thread: a process that has nothing else to do: it blocks.
 * Errors: ERR_LOCKED, and all that keeps a node from starting.
 */
#ifndef LARDER_NODE_OFFLINE_NODE_H
#define LARDER_NODE_OFFLINE_NODE_H

#include "base/error.h"

struct config;

struct offline_command {
    const char *const *words; /* as for client_run */
    bool repair;              /* the reserve is opened for a repair */
    bool dials;               /* a libp2p host that does not listen, and no reserve */
    int exit_code;            /* out */
};
/* The configuration is changed: it says less and has a reader more. */
enum err offline_node_run(struct config *c, struct offline_command *command, struct error *err);

#endif
