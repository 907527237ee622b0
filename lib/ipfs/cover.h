/* lib/ipfs/cover.h
 *
 * Which parts of the key space are known whole: disjoint prefixes, siblings merged. And the
 * reasoning from the nearest peers of a place to such a prefix.
 * Ownership: plain values. Thread: any.
 */
#ifndef LARDER_IPFS_COVER_H
#define LARDER_IPFS_COVER_H

#include "ipfs/kad.h"

struct cover {
    uint32_t count;
    struct kad_prefix parts[LIMIT_COVER_PARTS];
};

static inline struct kad_prefix kad_prefix_sibling(struct kad_prefix p)
{
    return (struct kad_prefix){ p.bits ^ (UINT64_C(1) << (64 - p.len)), p.len };
}
static inline struct kad_prefix kad_prefix_child(struct kad_prefix p, bool one)
{
    return (struct kad_prefix){ p.bits | (one ? UINT64_C(1) << (63 - p.len) : 0),
                                (uint8_t)(p.len + 1) };
}
/* Is all of inner in outer? */
static inline bool kad_prefix_holds(struct kad_prefix outer, struct kad_prefix inner)
{
    return outer.len <= inner.len && kad_prefix_has(outer, inner.bits);
}

void cover_add(struct cover *c, struct kad_prefix p);
/* The first part of within that is not covered, nearest to order first. False: there is none. */
bool cover_gap(const struct cover *c, struct kad_prefix within, uint64_t order,
               struct kad_prefix *out);

/* nearest: first bits of the places of the nearest peers of target that are known, dead ones too,
 * by distance. When there are KAD_K, those that are not the farthest by common bits are all there
 * are under the prefix this returns; when there are fewer, they are all there are. */
void cover_reason(struct cover *c, uint64_t target, const uint64_t *nearest, uint32_t count);

#endif
