/* lib/core/work.h
 *
 * Jobs for worker threads, in classes with admission: the libuv pool alone is one unbounded FIFO in
 * which a 1 ms read waits behind every write. READ and CPU have a cap in flight each; writes go
 * through a lane per store: one in flight per lane, in the order of submission, and
 * WORK_WRITES_MAX over all lanes. What is over its cap waits in the class's FIFO (queues.def: its
 * capacity); over the capacity, done gets ERR_LIMIT.
 * Owns:   nothing of the request: struct work is a field of the caller's and lives until done.
 * Thread: loop only; `run` alone is called on a worker, and touches its request, immutable config
 *         and the thread-safe handles of LevelDB and mappings, nothing else.
 * Errors: in done, which is called exactly once per submit, on the loop, never inside submit or
 *         cancel: what run returned, ERR_CANCELED, or ERR_LIMIT.
 */
#ifndef LARDER_CORE_WORK_H
#define LARDER_CORE_WORK_H

#include "base/error.h"
#include "base/list.h"
#include "core/loop.h"

enum work_class { WORK_READ, WORK_WRITE, WORK_CPU, WORK_CLASS_COUNT };
enum { WORK_WRITES_MAX = 2 };

struct work;
struct work_lane;
struct work_pool;
struct work_slot;

/* On a worker. Returns ERR_OK, or fails with error_set(err, ...). */
typedef enum err work_run(struct work *w, struct error *err);
/* On the loop. err is NULL on success and else valid during the call. The work may be submitted
 * again, and what it is embedded in may be freed. */
typedef void work_done(struct work *w, const struct error *err);

struct work { /* zeroed at first */
    work_run *run_;
    work_done *done_;
    const char *name_; /* of done, for the log of slow callbacks */
    struct work_pool *pool_;
    struct work_lane *lane_; /* writes alone */
    struct list link_;       /* while it waits */
    struct deferred later_;  /* when it is refused or canceled */
    uint64_t since_ms_;
    enum work_class class_ : 8;
    enum work_state {
        WORK_IDLE,
        WORK_WAITING,
        WORK_RUNNING,
        WORK_REFUSED,
        WORK_CANCELED
    } state_ : 8;
};

struct work_lane {
    struct work_pool *pool_;
    struct list waiting_;
    struct list link_; /* in the pool's list of lanes that could start a write */
    bool busy_;
};

struct work_options {
    uint32_t read_workers; /* 1 .. LIMIT_WORKERS_PER_CLASS */
    uint32_t cpu_workers;  /* the same; 0: one per core */
    /* At the first job of each thread, on that thread; NULL is fine. */
    void (*on_thread_start)(void);
};

/* The pool has as many threads as the caps together; libuv starts them at the first job. They run
 * at nice 5 above the loop's, so that the loop goes first. The process has one set of threads, made
 * for the first pool that runs a job. */
enum err work_pool_create(struct work_pool **out, struct loop *loop,
                          const struct work_options *options, struct error *err);
void work_pool_destroy(struct work_pool *pool); /* NULL is fine; asserts that nothing is out */

/* class: WORK_READ or WORK_CPU. */
#define work_submit(pool, w, class, run, done) work_submit_named(pool, w, class, run, done, #done)
void work_submit_named(struct work_pool *pool, struct work *w, enum work_class class, work_run *run,
                       work_done *done, const char *name);

/* One lane per store. */
void work_lane_init(struct work_lane *lane, struct work_pool *pool);
void work_lane_finish(struct work_lane *lane); /* asserts that nothing is out */
#define work_submit_write(lane, w, run, done) work_submit_write_named(lane, w, run, done, #done)
void work_submit_write_named(struct work_lane *lane, struct work *w, work_run *run, work_done *done,
                             const char *name);

/* What waits is taken out and done with ERR_CANCELED. What runs is awaited, and done gets its real
 * answer: a write that happened must be known to have happened. No-op on what is not out. */
void work_cancel(struct work *w);
static inline bool work_pending(const struct work *w) /* between submit and done */
{
    return w->state_ != WORK_IDLE;
}

/* As metrics: queue_length, queue_refused_total, work_*. */
struct work_stats {
    uint32_t waiting, running;  /* now */
    uint32_t waiting_peak;      /* highest so far */
    uint64_t finished;          /* ran to their end */
    uint64_t refused, canceled; /* never ran */
    uint64_t waited_ms;         /* all that ran, from submit to start */
};
const struct work_stats *work_stats(const struct work_pool *pool, enum work_class class);

#endif
