/* lib/store/stores_state.h
 *
 * The structs behind stores.h, for the files of its implementation: stores.c (all together),
 * store_job.c (jobs), store_open.c (opening one row, on a worker), store_recover.c (after a
 * failure). Thread: loop only, where nothing else is said.
 */
#ifndef LARDER_STORE_STORES_STATE_H
#define LARDER_STORE_STORES_STATE_H

#include "store/stores.h"

struct store {
    struct stores *stores; /* borrowed: the set it is of */
    const struct store_row *row;
    uint64_t memory_bytes;
    enum store_state state;
    struct ldb *db; /* owned; NULL while closed or reopening */
    struct work_lane lane;
    uint32_t reads, writes; /* jobs in flight: db stays as long as there are any */
    uint32_t pins;          /* views of it are held across jobs: it is not opened anew */
    struct list parked;     /* store_job: they wait for state or thaw */
    struct error failure;   /* why it is not open */
    uint32_t reopened;
    struct ldb_stats past; /* of handles that were closed: counters go on */
    uint32_t wait_ms;      /* until the next try */
    uint64_t reopened_ms;  /* when, on the loop's clock */
    struct timer retry;
    struct work recover; /* a probe, or the reopening */
    struct ldb *recover_db;
};

struct stores {
    struct stores_options options;
    struct store *stores; /* owned */
    uint32_t count;       /* enabled ones */
    uint64_t memory_bytes;
    uint64_t free_bytes; /* of the disk, as last seen; UINT64_MAX: not yet */
    bool closing;
    stores_cb *cb; /* of the opening or closing under way */
    void *ctx;
    struct work work; /* that */
    struct timer check;
    struct work check_work;
    uint64_t check_free_bytes; /* what check_work saw */
    void (*frozen_cb)(void *ctx);
    void *frozen_ctx;
    bool frozen;
    bool backup_runs;
    struct deferred frozen_later;
};

/* stores.c */
void stores_closing_step(struct stores *s); /* something ended that the closing waits for */
void stores_disk_seen(struct stores *s, uint64_t free_bytes);
void stores_frozen_step(struct stores *s);                         /* a write ended */
void store_stats_add(struct ldb_stats *sum, const struct ldb *db); /* the counters alone */

/* store_job.c: jobs that waited go on, with the state that is now. */
void store_unpark(struct store *store);

/* store_recover.c */
void store_failed(struct store *store, const struct error *err); /* a job found the store failed */
void store_idle(struct store *store);                            /* no job is in flight any more */
/* Between them db stays what it is. */
void store_pin(struct store *store);
void store_unpin(struct store *store);

/* Any thread, blocks. 0 when it cannot be told. */
uint64_t disk_free_bytes(const char *dir);

#endif
