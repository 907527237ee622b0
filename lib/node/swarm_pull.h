/* lib/node/swarm_pull.h
 *
 * The puller as a part of the node: it is told of peers, and tells how far it is. There when the
 * option swarm is on. Thread: loop only. Errors: ERR_BUDGET.
 */
#ifndef LARDER_NODE_SWARM_PULL_H
#define LARDER_NODE_SWARM_PULL_H

#include "base/error.h"

struct node;
struct puller;

struct puller *node_puller(struct node *n); /* NULL when swarm is off */

/* Rows of the table of parts, behind "Swarm peers". */
enum err swarm_pull_part_start(struct node *n, struct error *err);
void swarm_pull_part_reload(struct node *n);
void swarm_pull_part_drain(struct node *n);
void swarm_pull_part_stop(struct node *n);

#endif
