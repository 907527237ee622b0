/* lib/swarm/pull_rate.h
 *
 * So many chunks per second over all peers: those who want chunks wait for their turn, first come,
 * first served. A full burst is one second's worth; a larger wish is granted with a full one and
 * leaves a debt. Thread: loop only.
 */
#ifndef LARDER_SWARM_PULL_RATE_H
#define LARDER_SWARM_PULL_RATE_H

#include "core/loop.h"
#include "core/timer.h"

struct pull_rate {
    struct loop *loop;
    uint32_t per_second; /* 0: unlimited */
    int64_t tokens_u;    /* millionths */
    uint64_t tokens_ms;
    struct list waiting;
    struct timer timer;
    struct deferred later;
};

struct pull_rate_waiter;
typedef void pull_rate_cb(struct pull_rate_waiter *w, bool canceled);
struct pull_rate_waiter { /* zeroed at first */
    uint32_t chunks;
    pull_rate_cb *cb; /* once, never inside */
    uint32_t paid;    /* out: chunks that its turn has cost */
    struct pull_rate *rate_;
    struct list link_;
    bool canceled_;
};
void pull_rate_init(struct pull_rate *r, struct loop *loop, uint32_t per_second);
void pull_rate_set(struct pull_rate *r, uint32_t per_second);
void pull_rate_end(struct pull_rate *r); /* asserts that nobody waits */
void pull_rate_wait(struct pull_rate *r, struct pull_rate_waiter *w);
/* Of what was paid so many did not come, or were no good: the others shall not wait for them. */
void pull_rate_refund(struct pull_rate *r, uint32_t chunks);
void pull_rate_cancel(struct pull_rate_waiter *w); /* cb still comes, and costs no tokens */

#endif
