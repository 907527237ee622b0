/* lib/store/stores.h
 *
 * The stores of a data directory: opened in order, closed together, and used by jobs. A job runs on
 * a worker with the open store; writes of one store run one at a time, in their order.
 *
 * When a write fails (disk full, EIO) its store takes no further ones, reads go on, and it is
 * opened again by itself once a probe of the disk succeeds; tries are 1 s to 60 s apart. Writes are
 * refused before the disk is full: when less than min_free_bytes is free. Owns:   the open LevelDB
 * handles; charges their memory to the owner given. Thread: loop only; `run` of a job alone is on a
 * worker. Errors: of ldb.h; ERR_FOREIGN (a store of another program or a newer version),
 * ERR_BUDGET.
 */
#ifndef LARDER_STORE_STORES_H
#define LARDER_STORE_STORES_H

#include "core/timer.h"
#include "core/work.h"
#include "store/ldb.h"

struct mem_owner;
struct store;
struct stores;

enum store_sync { STORE_SYNC_EACH, STORE_SYNC_ASKED };

struct store_row {
    const char *name;
    uint32_t version;
    uint64_t memory_floor_bytes;
    uint32_t memory_weight;
    uint32_t block_bytes;
    uint64_t table_bytes;
    uint8_t filter_bits;
    const char *filter_kinds;
    bool compress;
    enum store_sync sync;
    uint64_t disk_bytes;
    const char *sentence;
    bool enabled;
    /* Worker. Makes version `from` into from + 1; may run again after a crash. NULL: none older is
     * known. */
    enum err (*migrate)(struct ldb *db, uint32_t from, struct error *err);
};

struct stores_options {
    const char *data_dir; /* borrowed, as the rows are; it exists */
    struct loop *loop;
    struct work_pool *work;
    struct mem_owner *mem; /* charged with every row's part */
    uint64_t memory_bytes; /* to divide: the owner's share */
    uint64_t min_free_bytes;
    const struct store_row *rows;
    uint32_t count;
};

enum err stores_create(struct stores **out, const struct stores_options *options,
                       struct error *err);
/* Opens every enabled row on a worker; cb on the loop. After an error what was opened is closed. */
typedef void stores_cb(void *ctx, const struct error *err);
void stores_open(struct stores *s, stores_cb *cb, void *ctx);
/* No job may be out. Waits for a reopening under way. */
void stores_close(struct stores *s, stores_cb *cb, void *ctx);
void stores_destroy(struct stores *s); /* NULL is fine; asserts that all are closed */
struct store *stores_find(struct stores *s, const char *name); /* NULL: not enabled */

/* A job, a field of the caller's request; zeroed at first. */
struct store_job;
typedef enum err store_run(struct store_job *job, struct ldb *db, struct error *err); /* worker */
typedef void store_done(struct store_job *job, const struct error *err); /* loop, exactly once */
struct store_job {
    store_run *run_;
    store_done *done_;
    struct store *store_;
    struct ldb *db_;
    struct work work_;
    struct deferred later_;
    struct list link_;    /* while it waits for a reopening or a backup's view */
    uint64_t free_bytes_; /* of the disk, seen by a write; UINT64_MAX: it has not looked */
    bool write_;
};
void store_read(struct store *store, struct store_job *job, store_run *run, store_done *done);
void store_write(struct store *store, struct store_job *job, store_run *run, store_done *done);
void store_job_cancel(struct store_job *job); /* as work_cancel */
/* In run of a write: commits by the store's sync rule, or synced when asked. */
enum err store_commit(struct store_job *job, struct ldb_batch *batch, bool sync, struct error *err);

/* Calls cb when no write is in flight and holds new ones until stores_thaw: the moment for a view
 * of all stores. One at a time. */
void stores_freeze(struct stores *s, void (*cb)(void *ctx), void *ctx);
void stores_thaw(struct stores *s);

/* For /readyz, status and metrics. */
enum store_state { STORE_CLOSED, STORE_OPEN, STORE_READ_ONLY, STORE_REOPENING };
struct store_status {
    const struct store_row *row;
    enum store_state state;
    uint64_t memory_bytes; /* its part of the owner */
    uint32_t reopened;     /* times after a failure */
    struct ldb_stats stats;
};
const char *store_state_name(enum store_state state);
bool store_status(const struct stores *s, uint32_t i,
                  struct store_status *out);        /* false: no more */
uint64_t stores_free_bytes(const struct stores *s); /* of the disk, as last seen */
/* Is all well? If not, err says why: ERR_DISK_FULL or ERR_IO. */
bool stores_ready(const struct stores *s, struct error *err);

/* For offline commands, on the main thread with no loop: one row, opened as the node would. */
enum err store_open_row(struct ldb **out, const char *data_dir, const struct store_row *row,
                        uint64_t memory_bytes, struct error *err);
enum err store_repair_row(const char *data_dir, const struct store_row *row, struct error *err);

#endif
