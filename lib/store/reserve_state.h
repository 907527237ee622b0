/* lib/store/reserve_state.h
 *
 * The struct behind reserve.h, for the files of its implementation: reserve.c (life), reserve_put.c
 * (groups), reserve_has.c, reserve_read.c (get, list), reserve_evict.c, reserve_scan.c (slots and
 * cache from the index, image), reserve_suspect.c (after a failed commit), reserve_health.c (what
 * fails).
 * Thread: loop only; what a job touches is said at the job. A lane starts its next job before the
 * callback of the one before, so what two kinds of jobs share (the txn) is given out on the loop.
 */
#ifndef LARDER_STORE_RESERVE_STATE_H
#define LARDER_STORE_RESERVE_STATE_H

#include "core/metrics.h"
#include "core/timer.h"
#include "store/hascache_build.h"
#include "store/hascache_image.h"
#include "store/reserve_capacity.h"
#include "store/reserve_evict.h"
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

/* A slot of a commit that failed: which of its two owners has it is seen when the index is read. */
struct reserve_doubt {
    uint8_t address[32];
    struct slab_ref ref;
    bool named;
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
    uint64_t removals; /* grows whenever an entry goes, before its records do and after */
    uint32_t requests; /* out, of all kinds */
    uint32_t readers;  /* of slabs, beside the requests */

    struct list puts, group; /* waiting; in the group under way */
    uint32_t waiting_items;
    bool group_out;
    bool txn_out; /* a write job has the txn, until its callback on the loop */
    struct timer group_timer;
    struct store_job group_job;
    struct list watches[RESERVE_BINS];

    struct list evictions; /* the first one is under way */
    struct reserve_eviction evict;

    struct reserve_capacity capacity;

    bool cache_held;  /* the has-cache may not grow now */
    bool scan_failed; /* old slots stay closed */
    bool trim_out;    /* a truncation is under way */
    uint32_t trim_slab, trim_steps;
    struct store_job trim_job;

    bool suspect; /* a commit failed: what the index holds is not known until it is read again */
    struct timer reload_timer, close_timer;
    struct store_job reload_job;
    struct reserve_counters reloaded; /* by that job */
    struct reserve_doubt *doubts;     /* owned; NULL: none */
    uint32_t doubts_count;

    struct error failures[RESERVE_WORKS]; /* code ERR_OK: none */
    struct timer retry_timer;             /* set: what failed is not tried before */
    uint32_t retry_ms;
    struct store_job probe_job;
    struct slab_ref probe_slot;
    bool probe_out;

    struct store_job life_job; /* opening, reloading and closing */
    struct hascache_image image;
    bool image_named;         /* the index names an image: it is used now or never */
    struct error image_fault; /* why it is not used, though it is named */
    uint64_t image_generation;
    struct deferred life_later;
    reserve_cb *life_cb;
    void *life_ctx;
};

/* reserve.c */
enum err reserve_meta_write(struct store_job *job, const char *name, uint64_t value,
                            struct error *err); /* worker; zero: the record goes */
enum err reserve_counters_read(struct ldb *db, struct reserve_counters *c,
                               struct error *err); /* worker */

/* reserve_rebuild.c: the index goes, but for further stamps; worker */
enum err reserve_wipe(struct store_job *job, struct ldb *db, struct error *err);

/* reserve_suspect.c */
void reserve_suspect(struct reserve *r); /* a commit failed */
void reserve_doubt(struct reserve *r, const uint8_t *address, struct slab_ref ref);
void reserve_reload_due(struct timer *t);
void reserve_doubts_forget(struct reserve *r);

/* reserve_health.c */
void reserve_failed(struct reserve *r, enum reserve_work work, const struct error *err);
void reserve_went_well(struct reserve *r, enum reserve_work work);
void reserve_retry_due(struct timer *t);
void reserve_met_damage(struct reserve *r, uint64_t records); /* counts; the first one is logged */

/* reserve_metrics.c */
void reserve_metrics_start(struct reserve *r);
void reserve_metrics_end(struct reserve *r);

/* reserve_scan.c */
void reserve_cache_remove(struct reserve *r, const struct chunk_id *id);
void reserve_cache_add(struct reserve *r, const struct chunk_id *id);
void reserve_cache_drop(struct reserve *r);  /* off, whatever it was */
void reserve_cache_build(struct reserve *r); /* from the index, if it is wanted and has room */
void reserve_scan_next(struct reserve *r);   /* goes on with what is still to be read */
void reserve_scan_retry(struct reserve *r);  /* what failed before */

/* reserve_put.c, reserve_evict.c */
void reserve_put_start(struct reserve *r);
void reserve_trim(struct reserve *r);
void reserve_free_slots(struct reserve *r, const struct slab_ref *refs, uint32_t count);

#endif
