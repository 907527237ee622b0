/* lib/store/reserve_rebuild.h
 *
 * The index made anew from the slabs. A reserve that was opened for it (option repair) has lost its
 * index already, but for further stamps of chunks; each slot that proves to be a chunk with a valid
 * stamp becomes an entry where it lies, and those stamps follow. What was evicted lately may be
 * back. Until it is complete the reserve does not open in any other way; it may be begun again.
 * Owns:   a page of entries, about 0.7 MiB of the owner.
 * Thread: loop; nothing else uses the reserve. done comes once, never inside a call.
 * Errors: ERR_IO, ERR_CANCELED.
 */
#ifndef LARDER_STORE_RESERVE_REBUILD_H
#define LARDER_STORE_RESERVE_REBUILD_H

#include "store/reserve_prove.h"

struct reserve_rebuild;
struct rebuild_report {
    uint64_t slots, slots_total; /* looked at */
    uint64_t entries;            /* there are now */
    uint64_t older;              /* superseded by a newer stamp, or there twice */
    uint64_t by_fault[PROVE_FAULTS];
};
struct reserve_rebuild_options { /* borrowed pointers outlive the rebuild */
    struct reserve *reserve;
    struct work_pool *work;
    struct mem_owner *mem;
    struct batches *batches;
    bool accept_all_stamps;
    void (*progress)(void *ctx, const struct rebuild_report *now);
    void (*done)(void *ctx, const struct rebuild_report *report, const struct error *err);
    void *ctx;
};
enum err reserve_rebuild_start(struct reserve_rebuild **out,
                               const struct reserve_rebuild_options *o, struct error *err);
void reserve_rebuild_cancel(struct reserve_rebuild *b);  /* done still comes */
void reserve_rebuild_destroy(struct reserve_rebuild *b); /* NULL is fine; after done */

#endif
