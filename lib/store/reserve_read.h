/* lib/store/reserve_read.h
 *
 * The part of reserve.h that reads: one entry with its body, the entries of a bin in order, and
 * being woken when a bin gets a new one. Included by reserve.h, whose rules hold here.
 */
#ifndef LARDER_STORE_RESERVE_READ_H
#define LARDER_STORE_RESERVE_READ_H

#include "store/reserve.h"

/* One entry with its body. */
struct reserve_get;
typedef void reserve_get_cb(struct reserve_get *req, const struct error *err);
struct reserve_get {
    struct chunk_id id;
    bool any_stamp; /* the address is enough; id.batch and id.stamp_hash are filled in */
    reserve_get_cb *cb;
    struct bytes data;    /* out: in slot_ */
    const uint8_t *stamp; /* out: STAMP_BYTES, in slot_ or stamp_ */
    enum chunk_kind kind; /* out */
    struct reserve *reserve_;
    struct store_job job_;
    unsigned ticket_;
    uint8_t stamp_[STAMP_BYTES], slot_[SLAB_SLOT_BYTES];
};
void reserve_get(struct reserve *r, struct reserve_get *req);
void reserve_get_cancel(struct reserve_get *req); /* cb still fires */

/* Entries of one bin in the order of their BinIDs. */
struct reserve_entry {
    struct chunk_id id;
    uint64_t binid;
    enum chunk_kind kind;
};
struct reserve_list;
typedef void reserve_list_cb(struct reserve_list *req, const struct error *err);
struct reserve_list {
    uint8_t bin;
    uint64_t from;                 /* in:  the first BinID that is wanted */
    struct reserve_entry *entries; /* in:  room; out: the entries */
    uint32_t room, count;          /* fewer than room: that was the end of the bin */
    reserve_list_cb *cb;
    struct reserve *reserve_;
    struct store_job job_;
};
void reserve_list(struct reserve *r, struct reserve_list *req);
void reserve_list_cancel(struct reserve_list *req); /* cb still fires */

/* The batches that the reserve has entries of, in the order of their ids: one a request. */
struct reserve_next_batch;
typedef void reserve_next_batch_cb(struct reserve_next_batch *req, const struct error *err);
struct reserve_next_batch {
    uint8_t batch[STAMP_BATCH_BYTES]; /* in, unless `first`: the one before; out */
    bool first;                       /* in */
    bool found;                       /* out: false: there are no more */
    reserve_next_batch_cb *cb;
    struct reserve *reserve_;
    struct store_job job_;
};
void reserve_next_batch(struct reserve *r, struct reserve_next_batch *req);

/* Wakes once when something is stored in the bin; then it must be set again. */
struct reserve_watch;
typedef void reserve_watch_cb(struct reserve_watch *w);
struct reserve_watch {
    reserve_watch_cb *cb_;
    struct list link_;
};
void reserve_watch(struct reserve *r, struct reserve_watch *w, uint8_t bin, reserve_watch_cb *cb);
void reserve_unwatch(struct reserve_watch *w); /* no-op when it is not set */

#endif
