/* lib/store/reserve_evict.h
 *
 * The eviction under way, a part of the reserve's state. Thread: loop; what its jobs touch is said
 * at the jobs.
 */
#ifndef LARDER_STORE_RESERVE_EVICT_H
#define LARDER_STORE_RESERVE_EVICT_H

#include "store/reserve_txn.h"

/* How the first of the evictions goes on. Entries are told apart by place: bin, then the bits of
 * the address behind those that the bin shares, so that places are in the order of bin and address.
 */
enum {
    EVICT_PLACE_BITS = 10,
    EVICT_PLACES = RESERVE_BINS << EVICT_PLACE_BITS,
};
enum evict_step {
    EVICT_COUNT, /* how many entries lie in each place */
    EVICT_SWEEP, /* what lies in places that go as a whole, in the order of the walk */
    EVICT_EDGE,  /* the rest: the first ones, walk by walk */
};
struct reserve_eviction {
    struct store_job job;
    enum evict_step step;
    struct reserve_key after; /* the last key of the walk; the batch alone: at its beginning */
    bool end;                 /* of the batch */
    bool waits;               /* victims are chosen, and the txn is out */
    bool deleting;            /* from the choice to the answer of the delete */
    uint32_t edge;            /* places below it go as a whole */
    struct reserve_victim *victims; /* owned; LIMIT_RESERVE_EVICT_CHUNKS */
    uint32_t victims_count;
    uint32_t damaged; /* records of the present walk that are no entry of any bin */
    uint64_t walked;  /* records seen by walks since the opening: what evictions cost */
    uint32_t places[EVICT_PLACES];
};

void reserve_evict_delete(struct reserve *r); /* what was chosen, when the txn is there */
void reserve_evict_replaced(struct reserve *r, const struct chunk_id *id); /* by a put */

#endif
