/* lib/store/reserve_page.h
 *
 * Several entries with their bodies in one read job: a page that a peer wants. Rules of reserve.h.
 * Entries that were stored together lie side by side, mostly: behind one that the index has led to
 * its neighbours are read along, and taken when they are what is asked for next.
 */
#ifndef LARDER_STORE_RESERVE_PAGE_H
#define LARDER_STORE_RESERVE_PAGE_H

#include "store/reserve.h"

struct reserve_found { /* valid during the call */
    struct bytes data;
    const uint8_t *stamp; /* STAMP_BYTES */
    enum chunk_kind kind;
};

struct reserve_page;
/* On a worker, once per id, in their order; touches only req and what it is a field of. found NULL:
 * it is not stored, or what is stored is damaged. False: no more of them are wanted. */
typedef bool reserve_page_each(struct reserve_page *req, uint32_t i,
                               const struct reserve_found *found);
typedef void reserve_page_cb(struct reserve_page *req, const struct error *err);
struct reserve_page {
    const struct chunk_id *ids; /* in: borrowed until cb */
    uint32_t count;             /* in: 1 .. LIMIT_RESERVE_READ_CHUNKS */
    /* in: reserve_removals when the ids were read from the reserve. As long as nothing has been
     * removed since, all of them are entries, and a slot with one's content need not be asked for.
     */
    uint64_t removals;
    reserve_page_each *each; /* in */
    reserve_page_cb *cb;     /* in */
    uint32_t damaged;        /* out: bodies that were unreadable */
    struct reserve *reserve_;
    struct store_job job_;
    unsigned ticket_;
    struct slab_ref next_; /* behind the last one that was read; kept from job to job */
    uint32_t run_;         /* how many are read at once */
    bool along_;           /* may be read along */
};
uint64_t reserve_removals(const struct reserve *r);
void reserve_page_read(struct reserve *r, struct reserve_page *req);
void reserve_page_cancel(struct reserve_page *req); /* cb still fires */

#endif
