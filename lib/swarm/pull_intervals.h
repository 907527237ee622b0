/* lib/swarm/pull_intervals.h
 *
 * Which BinIDs of one bin of one peer this node is through with, and whether that still holds.
 *   value: epoch[8] own epoch[8] raises[4] radius[1] count[1] count * { from[8] to[8] }
 * They hold for one epoch of the peer's reserve and one of ours. raises and radius say what was
 * filtered and evicted when they were recorded: see pull_intervals_stale.
 * Thread: any. A plain value.
 */
#ifndef LARDER_SWARM_PULL_INTERVALS_H
#define LARDER_SWARM_PULL_INTERVALS_H

#include "base/bytes.h"
#include "codec/overlay.h"

enum {
    PULL_INTERVALS_BYTES_MAX = 22 + 16 * LIMIT_PULLSYNC_INTERVALS,
    PULL_RAISES_BYTES = 5 + 4 * (OVERLAY_BIN_MAX + 1),
};

struct pull_interval {
    uint64_t from, to; /* both included */
};
struct pull_intervals {
    uint64_t epoch, own_epoch;
    uint32_t raises;
    uint8_t radius, count;
    struct pull_interval at[LIMIT_PULLSYNC_INTERVALS]; /* ascending, with gaps between them */
};

/* Joins what touches. Of too many the shortest is forgotten: its BinIDs are pulled again. */
void pull_intervals_add(struct pull_intervals *v, uint64_t from, uint64_t to);
void pull_intervals_remove(struct pull_intervals *v, uint64_t from, uint64_t to);
uint64_t pull_intervals_next(const struct pull_intervals *v, uint64_t from); /* first not in it */
uint64_t pull_intervals_covered(const struct pull_intervals *v,
                                uint64_t to); /* how many of 1..to */
void pull_intervals_encode(struct writer *w, const struct pull_intervals *v);
enum err pull_intervals_decode(struct pull_intervals *out, struct bytes value, struct error *err);

/* How often the radius rose, and for each radius the last time it rose to that or above. A rising
 * radius evicts, so what was recorded before is no longer all there.
 *   value: now[4] radius[1] of[4] * 32 */
struct pull_raises {
    uint32_t now;
    uint8_t radius; /* as last seen */
    uint32_t of[OVERLAY_BIN_MAX + 1];
};
bool pull_raises_see(struct pull_raises *r, uint8_t radius); /* true: it is to be recorded */
void pull_raises_encode(struct writer *w, const struct pull_raises *r);
enum err pull_raises_decode(struct pull_raises *out, struct bytes value, struct error *err);

/* Must these BinIDs be asked for again? peer is the proximity of the peer. Chunks below the highest
 * radius of that time and since then are missing; a bin has none of those when both the peer and
 * the bin are at least as near. */
bool pull_intervals_stale(const struct pull_intervals *v, const struct pull_raises *r, uint8_t peer,
                          uint8_t bin);

#endif
