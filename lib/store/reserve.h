/* lib/store/reserve.h
 *
 * The reserve: stamped chunks this node keeps, by bin and BinID. An entry is one (chunk, stamp).
 *
 * Owns:   slot map and files of the bodies, the has-cache, the bin counters. The store is borrowed.
 * Thread: loop only. Disk work goes to workers inside and comes back as callbacks, each exactly
 *         once and never inside the call. A request is a field of the caller's, zeroed at first,
 * and lives until its callback. Order:  bodies are synced before the index names them; index
 * records of one entry and the counters move in one synced write batch; the has-cache learns of an
 * entry after that, and forgets one that we evict before its delete is submitted. Errors: ERR_IO,
 * ERR_DISK_FULL, ERR_CORRUPT, ERR_NOT_FOUND, ERR_BUDGET, ERR_LIMIT, ERR_CANCELED, ERR_FOREIGN
 * (another overlay's). Source: the rules of put and evict are those of bee's pkg/storer.
 */
#ifndef LARDER_STORE_RESERVE_H
#define LARDER_STORE_RESERVE_H

#include "codec/chunk.h"
#include "codec/overlay.h"
#include "codec/stamp.h"
#include "core/sem.h"
#include "store/hascache.h"
#include "store/slab.h"
#include "store/stores.h"

struct reserve;
enum { RESERVE_BINS = OVERLAY_BIN_MAX + 1 };
enum reserve_cache { RESERVE_CACHE_AUTO, RESERVE_CACHE_ON, RESERVE_CACHE_OFF };

struct reserve_options { /* borrowed pointers outlive the reserve */
    struct loop *loop;
    struct work_pool *work;
    struct store *store;         /* the index */
    const char *slab_dir;        /* made when it is not there */
    const char *image_path;      /* of the has-cache */
    struct mem_owner *cache_mem; /* has-cache */
    struct mem_owner *queue_mem; /* groups of puts, slot map */
    const uint8_t *overlay;      /* OVERLAY_BYTES: bins are counted from it */
    enum reserve_cache cache;
    uint64_t cache_bytes_max; /* 0: what the owner grants */
    uint32_t has_concurrency;
    uint64_t restored_ns; /* since 1970, when a backup was put in place: an older epoch ends */
    uint64_t capacity;    /* entries; 0: no limit */
    uint8_t radius_min;   /* the radius does not fall below it by itself */
    bool repair;          /* for store/reserve_rebuild.h: without an index */
};

typedef void reserve_cb(void *ctx, const struct error *err);
enum err reserve_create(struct reserve **out, const struct reserve_options *o, struct error *err);
/* Reads counters and the cache's image; then requests may come. The rest is derived behind that. */
void reserve_open(struct reserve *r, reserve_cb *cb, void *ctx);
/* No request may be out. Saves the image of a complete cache. */
void reserve_close(struct reserve *r, reserve_cb *cb, void *ctx);
void reserve_destroy(struct reserve *r); /* NULL is fine; closed, or never opened */

enum reserve_outcome {
    RESERVE_FAILED, /* not stored; the request's error says why */
    RESERVE_STORED,
    RESERVE_PRESENT, /* that very entry is there */
    RESERVE_OLDER,   /* its stamp index is taken by a stamp that is not older, or too many stamps */
    RESERVE_OUTCOMES
};

enum reserve_evict_reason {
    RESERVE_EVICT_ASKED,
    RESERVE_EVICT_CAPACITY, /* the reserve's own */
    RESERVE_EVICT_EXPIRED,  /* its batch is known no more */
    RESERVE_EVICT_REASONS
};

struct reserve_status {
    uint64_t count, epoch;             /* epoch: BinIDs of another one mean nothing */
    uint64_t last_binid[RESERVE_BINS]; /* cursors */
    uint64_t in_bin[RESERVE_BINS];     /* entries */
    enum hascache_state cache;
    uint64_t cache_entries, cache_bytes, slab_bytes, slots_used;
    uint64_t put_groups;                                  /* commits that stored something */
    uint64_t put_outcomes[RESERVE_OUTCOMES];              /* by enum reserve_outcome */
    uint64_t has_cache_hits, has_cache_misses, has_index; /* answers by who gave them */
    uint64_t evicted[RESERVE_EVICT_REASONS];              /* entries */
    uint64_t damaged; /* index records that evictions met and that do not belong together */
    uint8_t radius;   /* bins below it are not wanted */
    bool deriving;    /* the slot map is not whole yet */
};
/* While it is held the has-cache does not grow, and none is made: what it would need a page for is
 * asked of the index. Let go, it is made whole from the index, LIMIT_RESERVE_RADIUS_MS later at
 * most. */
void reserve_hold_cache(struct reserve *r, bool on);
void reserve_set_capacity(struct reserve *r, uint64_t capacity);
void reserve_status(const struct reserve *r, struct reserve_status *out);
/* In between no freed slot is used again, for readers by an older view; closing waits for it. */
unsigned reserve_slots_enter(struct reserve *r);
void reserve_slots_leave(struct reserve *r, unsigned ticket);
struct sem *reserve_has_sem(struct reserve *r); /* its gauges, and its limit on reload */

/* Which of these are stored? One request serves a whole offer. */
struct reserve_has;
typedef void reserve_has_cb(struct reserve_has *req, const struct error *err);
struct reserve_has {
    const struct chunk_id *ids; /* in:  borrowed until cb */
    uint32_t count;             /* in:  1 .. LIMIT_RESERVE_PAGE_CHUNKS */
    uint8_t *have;              /* out: bit i is set when ids[i] is stored */
    reserve_has_cb *cb;         /* in:  err is NULL on success */
    struct reserve *reserve_;
    struct sem_waiter permit_;
    struct store_job job_;
    bool canceled_;
    struct hascache_hash hash_[LIMIT_RESERVE_PAGE_CHUNKS];
    uint8_t known_[(LIMIT_RESERVE_PAGE_CHUNKS + 7) / 8]; /* answered without the index */
};
void reserve_has(struct reserve *r, struct reserve_has *req);
void reserve_has_cancel(struct reserve_has *req); /* cb still fires, with ERR_CANCELED */

/* Removes entries of one batch in bins below `bin` (RESERVE_BINS: all of them: the batch expired):
 * the first ones in the order of bin, address and stamp hash, at most count. */
struct reserve_evict;
typedef void reserve_evict_cb(struct reserve_evict *req, const struct error *err);
struct reserve_evict {
    uint8_t batch[STAMP_BATCH_BYTES];
    uint8_t bin;
    enum reserve_evict_reason reason; /* for the count of it */
    uint64_t count;   /* all at once: asked for in parts, a batch is walked anew for each */
    uint64_t evicted; /* out; grows while it runs, and stands whatever the error */
    reserve_evict_cb *cb;
    struct list link_;
    bool canceled_;
};
void reserve_evict(struct reserve *r, struct reserve_evict *req);
/* cb still fires after the step under way, which takes at most LIMIT_RESERVE_EVICT_CHUNKS entries;
 * with ERR_CANCELED, unless that was the last step. */
void reserve_evict_cancel(struct reserve_evict *req);

#include "store/reserve_health.h"
#include "store/reserve_issued.h"
#include "store/reserve_put.h"
#include "store/reserve_read.h" /* get, list, watch */

#endif
