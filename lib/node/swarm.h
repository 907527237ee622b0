/* lib/node/swarm.h
 *
 * The Swarm part of the node: who we are there, the batches we know, the reserve. There when the
 * option swarm is on; else nothing is opened and nothing held.
 * Owns:   key and nonce (files swarm-key and swarm-nonce of the data directory), the reserve, the
 *         present table of batches. What the accessors give lives as long as the part, but for the
 *         table.
 * Thread: loop only.
 * Errors: of net/ethkey.h, store/reserve.h, store/batches.h. A table that cannot be read keeps a
 *         node from starting, and a running one on its old table.
 */
#ifndef LARDER_NODE_SWARM_H
#define LARDER_NODE_SWARM_H

#include "base/error.h"

struct batches;
struct config;
struct node;
struct option_report;
struct reserve;
struct swarm_identity;

/* All of them NULL when swarm is off or not open yet. */
const struct swarm_identity *node_swarm_identity(struct node *n);
struct reserve *node_reserve(struct node *n);
/* The table as it is now; NULL also when option batches is empty. A reload makes another one: who
 * hands it to a job calls batches_use before and batches_destroy after. */
struct batches *node_batches(struct node *n);

/* Key and nonce of a configuration; what is missing in the data directory is made. Blocks on files:
 * before the loop runs. */
enum err swarm_identity_open(struct swarm_identity *id, const struct config *c, int dir_fd,
                             struct error *err);
/* For check-config: a line for what of it is in the data directory and cannot be used, and for what
 * the reserve was not filled for (swarm_claim.h). Makes nothing. */
void swarm_identity_check(const struct config *c, struct option_report *report);

/* Offline commands alone, before the node runs: open the reserve for a repair. */
void node_swarm_repair(struct node *n);

/* Rows of the table of parts. */
enum err swarm_part_start(struct node *n, struct error *err);
void swarm_part_reload(struct node *n);
void swarm_part_drain(struct node *n);
void swarm_part_stop(struct node *n);

#endif
