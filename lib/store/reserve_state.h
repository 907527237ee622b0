/* lib/store/reserve_state.h
 *
 * The struct behind reserve.h, for the files of its implementation: reserve.c (life), reserve_put.c
 * (groups), reserve_has.c, reserve_read.c (get, list), reserve_evict.c, reserve_scan.c (slots and
 * cache from the index, image). Thread: loop only; what a job touches is said at the job.
 */
#ifndef LARDER_STORE_RESERVE_STATE_H
#define LARDER_STORE_RESERVE_STATE_H

#include "core/metrics.h"
#include "core/timer.h"
#include "store/hascache_build.h"
#include "store/hascache_image.h"
#include "store/reserve_txn.h"

/* One slice of the index, read by one job: 'B' records for the cache or 'C' records for the slots.
 */
struct reserve_scan {
    struct store_job job;
    struct reserve *reserve;
    const struct hascache *cache; /* only its key is used, by the job */
    struct reserve_key from;      /* the last key that was read */
    char kind;
    bool out, end;
    uint32_t count;
    union {
        struct hascache_hash hash[LIMIT_RESERVE_READ_SLICE];
        struct slab_ref ref[LIMIT_RESERVE_READ_SLICE];
    };
};

struct reserve_capacity {
    struct timer timer; /* looks whether the radius may fall */
    struct store_job job;
    struct reserve_evict evict;
    struct reserve_key after; /* the next batch has its first index behind it */
    uint64_t stored_before;   /* entries stored in all, at the last look */
    uint8_t radius;
    bool busy, found;
};

enum reserve_phase { RESERVE_CLOSED, RESERVE_OPENING, RESERVE_OPEN, RESERVE_CLOSING };

struct reserve {
    struct reserve_options options;
    uint8_t overlay[OVERLAY_BYTES];
    enum reserve_phase phase;
    struct sem has_sem;
    struct slab_files files;
    struct slab_map *map;           /* owned */
    struct hascache *cache;         /* owned; NULL: off */
    struct hascache *cache_dropped; /* owned; off, but a worker still holds it */
    struct page_step step;          /* of its page pool, being populated */
    struct work populate;
    struct hascache_build *build; /* owned, while the cache is building */
    struct reserve_txn *txn;      /* owned; of the write job under way */
    struct reserve_scan *scan;    /* owned */
    struct reserve_counters counters;
    uint64_t epoch;
    struct reserve_status stats; /* its counters alone */
    struct metrics_collector collector;
    uint32_t requests; /* out, of all kinds */

    struct list puts, group; /* waiting; in the group under way */
    uint32_t waiting_items;
    bool group_out;
    struct timer group_timer;
    struct store_job group_job;
    struct list watches[RESERVE_BINS];

    struct list evictions; /* the first one is under way */
    struct store_job evict_job;
    struct reserve_victim *victims; /* owned; LIMIT_RESERVE_EVICT_CHUNKS */
    uint32_t victims_count;

    struct reserve_capacity capacity;

    bool scan_failed; /* old slots stay closed */
    bool trim_out;    /* a truncation is under way */
    uint32_t trim_slab, trim_steps;
    struct store_job trim_job;

    bool suspect; /* a commit failed: what the index holds is not known until it is read again */
    struct timer reload_timer, close_timer;

    struct store_job life_job; /* opening, reloading and closing */
    struct hascache_image image;
    bool image_named; /* the index names an image: it is used now or never */
    uint64_t image_generation;
    struct deferred life_later;
    reserve_cb *life_cb;
    void *life_ctx;
};

/* reserve.c */
enum err reserve_meta_write(struct store_job *job, const char *name, uint64_t value,
                            struct error *err); /* worker; zero: the record goes */
void reserve_suspect(struct reserve *r);        /* a commit failed */

/* reserve_capacity.c */
void reserve_capacity_check(struct reserve *r); /* after every change of the count */
void reserve_radius_timer(struct timer *t);

/* reserve_metrics.c */
void reserve_metrics_start(struct reserve *r);
void reserve_metrics_end(struct reserve *r);

/* reserve_scan.c */
void reserve_cache_remove(struct reserve *r, const struct chunk_id *id);
void reserve_cache_add(struct reserve *r, const struct chunk_id *id);
void reserve_cache_drop(struct reserve *r);  /* off, whatever it was */
void reserve_cache_build(struct reserve *r); /* from the index, if it is wanted and has room */
void reserve_scan_next(struct reserve *r);   /* goes on with what is still to be read */

/* reserve_put.c, reserve_evict.c */
void reserve_put_start(struct reserve *r);
void reserve_trim(struct reserve *r);
void reserve_free_slots(struct reserve *r, const struct slab_ref *refs, uint32_t count);

#endif
