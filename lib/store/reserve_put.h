/* lib/store/reserve_put.h
 *
 * The part of reserve.h that stores: pages of chunks that were found acceptable, written in groups.
 * Included by reserve.h, whose rules hold here.
 */
#ifndef LARDER_STORE_RESERVE_PUT_H
#define LARDER_STORE_RESERVE_PUT_H

#include "store/reserve.h"

/* Keeps validated chunks. */
struct reserve_item {
    struct chunk_id id;
    struct bytes data;    /* span || payload, or a single-owner chunk; borrowed until cb */
    const uint8_t *stamp; /* STAMP_BYTES; borrowed until cb */
    enum chunk_kind kind;
    bool adopt; /* in: a repair's: it lies in that slot already */
    struct slab_ref adopt_slot;
    uint64_t adopt_seq;
    enum reserve_outcome outcome; /* out */
    enum err code; /* out, RESERVE_FAILED: why it failed alone; ERR_OK: with its group */
    struct slab_ref slot_, freed_[2];
    struct chunk_id replaced_, lost_;
    uint64_t binid_;
    uint16_t nth_; /* of the request: which is the n-th to be stored */
    uint8_t bin_, freed_count_;
    bool committed_, slot_used_, replaces_;
    bool mends_, loses_;  /* the body was damaged; and lost_'s stamp with it */
    bool frees_replaced_; /* freed_[0] is of the chunk that was replaced */
};
struct reserve_put;
/* err: why what failed has failed; other items of the request may be stored all the same. An item
 * fails alone when what the index or a slot says of its chunk, or of the entry it would replace,
 * is damaged (ERR_CORRUPT) or cannot be read. A damaged body of a single-owner chunk is replaced.
 */
typedef void reserve_put_cb(struct reserve_put *req, const struct error *err);
struct reserve_put {
    struct reserve_item *items;
    uint32_t count; /* 1 .. LIMIT_RESERVE_PAGE_CHUNKS */
    reserve_put_cb *cb;
    struct list link_;
    struct error own_; /* of the first item that failed alone */
};
void reserve_put(struct reserve *r, struct reserve_put *req); /* cannot be canceled: it is short */

#endif
