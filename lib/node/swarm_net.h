/* lib/node/swarm_net.h
 *
 * Swarm on the network: shakes hands with peers, serves what a bee insists on, calls the peers of
 * the configuration and neighbours, serves pages of the reserve. There when the option swarm is on.
 * Two rows of the table of parts: the memory around the libp2p host, which knows our protocols
 * until it is closed, and the work behind it.
 * Thread: loop only. Errors: ERR_CONFIG (a peer's address), ERR_BUDGET, and those of the state.
 */
#ifndef LARDER_NODE_SWARM_NET_H
#define LARDER_NODE_SWARM_NET_H

#include "base/error.h"

struct node;
struct topology;

struct topology *node_topology(struct node *n); /* NULL when swarm is off */

/* Rows of the table of parts: before and behind "libp2p". */
enum err swarm_net_memory_start(struct node *n, struct error *err);
void swarm_net_memory_stop(struct node *n);
enum err swarm_net_part_start(struct node *n, struct error *err);
void swarm_net_part_reload(struct node *n);
void swarm_net_part_drain(struct node *n);
void swarm_net_part_stop(struct node *n);

#endif
