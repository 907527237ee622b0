/* lib/store/reserve_issued.h
 *
 * The part of reserve.h for who stamps chunks here: which have a stamp of a batch, and which stamps
 * of a batch there are. Included by reserve.h, whose rules hold here.
 */
#ifndef LARDER_STORE_RESERVE_ISSUED_H
#define LARDER_STORE_RESERVE_ISSUED_H

#include "store/reserve.h"

/* Which of these chunks are stored with a stamp of this batch? */
struct reserve_stamped;
typedef void reserve_stamped_cb(struct reserve_stamped *req, const struct error *err);
struct reserve_stamped {
    const uint8_t (*addresses)[CHUNK_ADDRESS_BYTES]; /* in: borrowed until cb */
    uint32_t count;                                  /* in: 1 .. LIMIT_RESERVE_PAGE_CHUNKS */
    const uint8_t *batch;                            /* in: STAMP_BATCH_BYTES, borrowed until cb */
    uint8_t *stamped;                                /* out: bit i is set when it is so */
    reserve_stamped_cb *cb;
    struct reserve *reserve_;
    struct store_job job_;
};
void reserve_stamped(struct reserve *r, struct reserve_stamped *req);

/* Every stamp index of a batch that the reserve holds. each is called on a worker. */
struct reserve_issued;
typedef void reserve_issued_cb(struct reserve_issued *req, const struct error *err);
struct reserve_issued {
    const uint8_t *batch; /* in: STAMP_BATCH_BYTES, borrowed until cb */
    void (*each)(void *ctx, uint32_t bucket, uint32_t position);
    void *ctx;
    reserve_issued_cb *cb;
    struct reserve *reserve_;
    struct store_job job_;
};
void reserve_issued(struct reserve *r, struct reserve_issued *req);

#endif
