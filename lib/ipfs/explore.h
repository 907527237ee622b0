/* lib/ipfs/explore.h
 *
 * All servers under a prefix of the key space: looks up places in its gaps until none is left, and
 * shortens the prefix while fewer than KAD_K living servers are under it.
 * Owns:   what it found; the struct is large (200 KiB), its caller's and charged by them.
 * Thread: loop only. cb comes exactly once, never from inside explore_start.
 * Errors: ERR_UNREACHABLE: nobody answered; ERR_LIMIT: gaps were left, or servers that are needed;
 * ERR_TIMEOUT: servers were not asked, since no dial was free, or memory; ERR_CANCELED.
 */
#ifndef LARDER_IPFS_EXPLORE_H
#define LARDER_IPFS_EXPLORE_H

#include "ipfs/cover.h"
#include "ipfs/lookup.h"

struct explore;
typedef void explore_cb(struct explore *e, const struct error *err);

struct explore {
    struct kad_prefix prefix;  /* in; out: what was covered, the same or shorter */
    const uint32_t *preimages; /* in: kad_preimages_build's, borrowed */
    explore_cb *cb;            /* in */
    uint32_t lookups;          /* out */
    uint32_t requests;         /* out */
    uint32_t count;            /* out: living servers under prefix, by place */
    uint32_t dropped; /* out: for which there was no room. They are farther from the keys of
                         the prefix that was wanted than KAD_K others, unless it is long */
    struct kad_peer servers[LIMIT_EXPLORE_SERVERS]; /* out */
    struct dht *dht_;
    struct cover cover_;
    struct lookup lookup_;
    struct kad_prefix wanted_;
    uint64_t dropped_near_; /* how near one of them is, by the bits of wanted_ */
    uint32_t in_vain_;      /* look-ups in a row that found nobody new */
    uint32_t unasked_;      /* look-ups that could not ask everybody they had to */
};
void explore_start(struct dht *d, struct explore *e);
void explore_cancel(struct explore *e);

/* For its test. One that lives; false: it was known. */
bool explore_add(struct explore *e, const struct kad_peer *found);
/* Are the KAD_K nearest of each key that was wanted among those that were kept? */
bool explore_is_exact(const struct explore *e);

#endif
