/* lib/swarm/inflight.h
 *
 * What is being fetched, and by whom, so that a chunk which several peers offer is fetched once. A
 * claim is a field of its session's memory.
 * Thread: loop only. The keys are chosen by peers, hence the keyed hash.
 */
#ifndef LARDER_SWARM_INFLIGHT_H
#define LARDER_SWARM_INFLIGHT_H

#include "base/siphash.h"
#include "store/reserve.h"

enum { INFLIGHT_BUCKETS = 4096 };

struct claim {
    struct claim *next;
    const struct chunk_id *id; /* borrowed */
    void *by;                  /* NULL: claims nothing */
};

struct inflight {
    struct siphash_key key;
    uint32_t count;
    struct claim *buckets[INFLIGHT_BUCKETS];
};
void inflight_init(struct inflight *f, struct loop *loop);
/* Who fetches it; NULL: nobody. */
void *inflight_by(const struct inflight *f, const struct chunk_id *id);
void inflight_claim(struct inflight *f, struct claim *c, const struct chunk_id *id, void *by);
void inflight_drop(struct inflight *f, struct claim *c); /* no-op on one that claims nothing */

#endif
