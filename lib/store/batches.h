/* lib/store/batches.h
 *
 * The postage batches this node knows: a table loaded from the operator's file and never changed
 * afterwards; a reload makes another one. The file is one JSON array of rows:
 *   [ { "id": "<64 hex>", "owner": "<40 hex>", "depth": 24, "bucket_depth": 16, "immutable": false
 * } ] Every member is needed, none may be there twice, others are refused; 0x before hex is fine.
 * Memory: 60 bytes a row and 4 to 8 for its slot, from the owner. Loading: the loop. Look-ups: any
 * thread, for as long as the table is not destroyed (jobs that use it end first).
 * Errors: ERR_MALFORMED, ERR_LIMIT, ERR_TOO_LARGE, ERR_BUDGET, with the line and the row.
 */
#ifndef LARDER_STORE_BATCHES_H
#define LARDER_STORE_BATCHES_H

#include "base/mem.h"
#include "codec/stamp.h"

struct batch {
    uint8_t id[STAMP_BATCH_BYTES];
    struct stamp_batch rules; /* owner, depth, bucket depth */
    bool immutable;
    uint32_t row; /* in the file, from 1 */
};

struct batches;
uint32_t batches_count(const struct batches *b);
/* How many chunks all of them together may stamp: the sum of 2^depth, at most 2^64 - 1. */
uint64_t batches_chunks(const struct batches *b);
const struct batch *batches_find(const struct batches *b, const uint8_t id[STAMP_BATCH_BYTES]);
/* Tables are shared: one more user, which ends with a batches_destroy of its own. Loop. */
struct batches *batches_use(struct batches *b); /* returns b; NULL is fine */
void batches_destroy(struct batches *b);        /* NULL is fine; the last user's frees it */

/* Expired: the next row of before that after lacks, from *cursor (0 at first) on; NULL: no more.
 * after may be NULL: everything expired. */
const struct batch *batches_next_vanished(const struct batches *before, const struct batches *after,
                                          uint32_t *cursor);

/* Loading: feed the file in pieces of any size, then finish. rows_max: LIMIT_BATCHES. */
struct batches_loader;
enum err batches_loader_create(struct batches_loader **out, struct mem_owner *mem,
                               uint32_t rows_max, struct error *err);
enum err batches_loader_feed(struct batches_loader *l, struct bytes piece, struct error *err);
/* Is the file whole? The table is the caller's; the loader is still to be destroyed. */
enum err batches_loader_finish(struct batches_loader *l, struct batches **out, struct error *err);
void batches_loader_destroy(struct batches_loader *l); /* NULL and half-fed ones are fine */

#endif
