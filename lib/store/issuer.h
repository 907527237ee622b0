/* lib/store/issuer.h
 *
 * The stamps of one batch that this node has issued: the next free position of each bucket. A
 * position that has left is never given out again, so the counters are durable before a stamp is
 * used: take positions, save, sign.
 *
 *   file <batch>.stamps: magic[8] batch[32] bucket depth[1] 0[23], then next[4, BE] per bucket
 *
 * Owns:   the counters: 4 bytes a bucket, charged to the owner.
 * Thread: loop; load and save are for a worker, and nothing else is called meanwhile.
 * Errors: ERR_BUDGET, ERR_LIMIT (a bucket is full, too many buckets), ERR_CORRUPT, ERR_IO.
 */
#ifndef LARDER_STORE_ISSUER_H
#define LARDER_STORE_ISSUER_H

#include "codec/stamp.h"

struct issuer;
struct mem_owner;

struct issuer_options { /* borrowed; outlives the issuer */
    struct mem_owner *mem;
    const char *dir; /* made when it is not there */
    uint8_t batch[STAMP_BATCH_BYTES];
    uint8_t depth, bucket_depth;
};
enum err issuer_create(struct issuer **out, const struct issuer_options *o, struct error *err);
void issuer_destroy(struct issuer *is); /* NULL is fine */

/* Worker. *found: there is a file; else all positions are free. */
enum err issuer_load(struct issuer *is, bool *found, struct error *err);
/* This position is taken already, whoever says so. */
void issuer_seen(struct issuer *is, uint32_t bucket, uint32_t position);
/* The next position in the bucket of an address. */
enum err issuer_take(struct issuer *is, const uint8_t address[STAMP_ADDRESS_BYTES],
                     struct stamp *out, struct error *err);
/* Worker. Durable when it returns. */
enum err issuer_save(struct issuer *is, struct error *err);

#endif
