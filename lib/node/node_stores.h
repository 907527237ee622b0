/* lib/node/node_stores.h
 *
 * The part of the node that opens the stores of the data directory and closes them last.
 * Owns:   node->stores, node->statestore.
 * Thread: loop only.
 */
#ifndef LARDER_NODE_NODE_STORES_H
#define LARDER_NODE_NODE_STORES_H

#include "base/error.h"

struct config;
struct node;
struct statestore;
struct stores;

struct stores *node_stores(struct node *n);         /* NULL until they are open */
struct statestore *node_statestore(struct node *n); /* the same */

/* When a backup was put in place here, since 1970; 0: never. */
uint64_t node_restored_ns(struct node *n);

/* The disk that this configuration will need: a row per enabled store, and the slabs;
 * false: no more. */
struct plan_disk_row {
    const char *name, *sentence;
    uint64_t bytes;
};
bool plan_disk_row(const struct config *c, uint32_t i, struct plan_disk_row *out);

/* Rows of the table of parts. */
enum err stores_part_start(struct node *n, struct error *err);
void stores_part_stop(struct node *n);

#endif
