/* lib/store/reserve_capacity.h
 *
 * The eviction for capacity, a part of the reserve's state. Thread: loop; what its jobs touch is
 * said at the jobs.
 */
#ifndef LARDER_STORE_RESERVE_CAPACITY_H
#define LARDER_STORE_RESERVE_CAPACITY_H

#include "core/timer.h"
#include "store/reserve_keys.h"

struct reserve_capacity {
    struct timer timer; /* looks whether the radius may fall */
    struct store_job job;
    struct reserve_evict evict;
    struct reserve_key after; /* the next batch has its first index behind it */
    uint64_t stored_before;   /* entries stored in all, at the last look */
    uint8_t radius;
    bool busy, found;
    /* In this pass over the batches. */
    bool evicted;       /* some entry */
    bool skipped;       /* a batch that cannot be read */
    struct error fault; /* of that */
};

void reserve_capacity_check(struct reserve *r);   /* after every change of the count */
void reserve_capacity_recount(struct reserve *r); /* how many entries its eviction shall take now */
void reserve_radius_timer(struct timer *t);

#endif
