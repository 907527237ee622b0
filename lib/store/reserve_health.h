/* lib/store/reserve_health.h
 *
 * The part of reserve.h that says whether its work goes well. The last failure of each kind of work
 * is kept until that goes well again, and both changes are a line of the log. What failed is tried
 * again by itself: puts by writing a free slot, and capacity, 1 s to 60 s apart; the scans with
 * every look at the radius; expiry by who asks for it. Included by reserve.h, whose rules hold
 * here.
 */
#ifndef LARDER_STORE_RESERVE_HEALTH_H
#define LARDER_STORE_RESERVE_HEALTH_H

#include "base/error.h"

struct reserve;

enum reserve_work {
    RESERVE_WORK_PUT,      /* a group of puts */
    RESERVE_WORK_CAPACITY, /* eviction for capacity, and the radius */
    RESERVE_WORK_CACHE,    /* building the has-cache from the index */
    RESERVE_WORK_SLOTS,    /* deriving the slot map from it */
    RESERVE_WORK_EXPIRY,   /* evicting batches that have expired: its caller's */
    RESERVE_WORKS
};

/* NULL: the last try went well, or there was none. Only failures of disk or index count, not those
 * of a caller, nor memory that was refused. Holds until the next turn of the loop. */
const struct error *reserve_failure(const struct reserve *r, enum reserve_work work);
/* Is all well? If not, err says what is not and why: ERR_IO, ERR_DISK_FULL, ERR_CORRUPT. */
bool reserve_ready(const struct reserve *r, struct error *err);
/* How a pass over the batches that have expired ended; NULL: well. */
void reserve_expiry_ended(struct reserve *r, const struct error *err);

#endif
