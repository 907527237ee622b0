/* lib/ipfs/region.h
 *
 * One worker's run over a part of the key space: count, explore, split into minimal regions, a pass
 * for each of their parts that is still to be done, repeated without the servers that failed.
 * Owns:   exploration and passes (about 0.4 MiB and the ring), charged when it starts and given
 * back before cb. Thread: loop only. Errors: ERR_BUDGET: not now; ERR_UNREACHABLE, ERR_LIMIT (the
 * exploration left gaps: try a longer prefix), ERR_TIMEOUT (servers were not asked for want of a
 * free dial or of memory: nothing is wrong with them), ERR_CANCELED, those of the keystore. One
 * finish on every path.
 */
#ifndef LARDER_IPFS_REGION_H
#define LARDER_IPFS_REGION_H

#include "ipfs/explore.h"
#include "ipfs/pass.h"
#include "ipfs/provide.h"

struct region;
struct schedule_progress;

struct region_part { /* what a pass has done */
    struct kad_prefix prefix;
    uint64_t started_ms;              /* wall clock */
    uint64_t keys, keys_before;       /* before: by a process that was ended in the middle */
    uint64_t sent, failed, confirmed; /* records */
    uint32_t servers, reached;
};

struct region_events { /* all with ctx; any may be NULL but done */
    /* The next part of a region that is to be done; false: there is none. */
    bool (*want)(void *ctx, struct kad_prefix region, struct kad_prefix *part);
    void (*covers)(void *ctx, struct kad_prefix prefix); /* explored: no other worker's */
    void (*ongoing)(void *ctx, int64_t keys);            /* gauge: more, or less */
    /* Where a pass over that part was when the process ended lately; false: nowhere. */
    bool (*resume)(void *ctx, struct kad_prefix part, struct schedule_progress *at);
    void (*part_done)(void *ctx, const struct region_part *part);
    void (*done)(void *ctx, const struct error *err);
    void *ctx;
};

struct region_options {
    struct dht *dht;
    struct keystore *keystore;
    struct work_pool *work;
    struct mem_owner *mem;
    const struct kad_record *record; /* copied: addresses change while a region is in work */
    const uint32_t *preimages;
    struct kad_prefix prefix;
    bool pending_only; /* first provides of a part that is fresh */
    uint32_t chunk_keys, connections, stall_ms;
    uint64_t *lookups; /* made, added to what is there */
    struct region_events events;
};
enum err region_start(struct region **out, const struct region_options *options, struct error *err);
void region_cancel(struct region *r); /* done still comes, with ERR_CANCELED */

/* The smallest region of kads (sorted) under cover that has at: halves of KAD_K and more are
 * split. first, count: its servers. */
struct kad_prefix region_split(const uint64_t *kads, uint32_t total, struct kad_prefix cover,
                               uint64_t at, uint32_t *first, uint32_t *count);

#endif
