#include "core/work.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <uv.h>

#include "base/mem.h"
#include "core/metrics.h"

/* What libuv sees of a job. A work gets a slot when it is admitted, so there are as many as the
 * caps together and a waiting work carries none of libuv's 128 bytes. */
struct work_slot {
    uv_work_t uv;
    struct work *work;
    struct work_pool *pool;
    struct list link; /* while free */
    enum err code;    /* what run returned */
    struct error err;
};

struct work_pool {
    struct loop *loop; /* borrowed */
    void (*on_thread_start)(void);
    struct work_slot *slots; /* owned */
    struct list slots_free;
    struct list waiting[WORK_CLASS_COUNT]; /* READ, CPU: works; WRITE: lanes that could start one */
    uint32_t cap[WORK_CLASS_COUNT];
    struct work_stats stats[WORK_CLASS_COUNT];
    struct metrics_collector collector;
};

enum { WORKER_NICE = 5 };

static const enum queue_id class_queue[WORK_CLASS_COUNT] = {
    [WORK_READ] = QUEUE_WORK_READ,
    [WORK_WRITE] = QUEUE_WORK_WRITE,
    [WORK_CPU] = QUEUE_WORK_CPU,
};

static_assert(WORK_CLASS_COUNT == (int)METRIC_LABELS_work_class, "a label for each class");

static const struct error work_was_canceled = { ERR_CANCELED, "canceled before it ran" };
static const struct error work_was_refused = { ERR_LIMIT, "too many jobs wait for a worker" };

static void collect(struct metrics_collector *c)
{
    struct work_pool *pool = container_of(c, struct work_pool, collector);
    for (unsigned i = 0; i < WORK_CLASS_COUNT; i++) {
        const struct work_stats *st = &pool->stats[i];
        metric_set_by(METRIC_queue_length, class_queue[i], st->waiting);
        metric_raise_by(METRIC_queue_refused_total, class_queue[i], st->refused);
        metric_set_by(METRIC_work_running, i, st->running);
        metric_raise_by(METRIC_work_finished_total, i, st->finished);
        metric_raise_by(METRIC_work_canceled_total, i, st->canceled);
        metric_raise_by(METRIC_work_waited_seconds_total, i, st->waited_ms * 1000000);
    }
}

enum err work_pool_create(struct work_pool **out, struct loop *loop,
                          const struct work_options *options, struct error *err)
{
    assert(options->read_workers > 0 && options->read_workers <= LIMIT_WORKERS_PER_CLASS);
    assert(options->cpu_workers <= LIMIT_WORKERS_PER_CLASS);
    struct work_pool *pool = mem_machine_zalloc(sizeof(*pool));
    pool->loop = loop;
    pool->on_thread_start = options->on_thread_start;
    pool->cap[WORK_READ] = options->read_workers;
    pool->cap[WORK_WRITE] = WORK_WRITES_MAX;
    pool->cap[WORK_CPU] = options->cpu_workers;
    if (pool->cap[WORK_CPU] == 0)
        pool->cap[WORK_CPU] = MIN(uv_available_parallelism(), LIMIT_WORKERS_PER_CLASS);
    uint32_t threads = 0;
    for (int c = 0; c < WORK_CLASS_COUNT; c++) {
        list_init(&pool->waiting[c]);
        threads += pool->cap[c];
    }
    list_init(&pool->slots_free);
    pool->slots = mem_machine_zalloc(threads * sizeof(*pool->slots));
    for (uint32_t i = 0; i < threads; i++) {
        pool->slots[i].pool = pool;
        pool->slots[i].uv.data = &pool->slots[i];
        list_append(&pool->slots_free, &pool->slots[i].link);
    }
    char text[16];
    snprintf(text, sizeof(text), "%" PRIu32, threads);
    if (setenv("UV_THREADPOOL_SIZE", text, 1)) { /* read at the first job of the process */
        work_pool_destroy(pool);
        return error_set(err, ERR_SYSTEM, "the size of the worker pool cannot be set");
    }
    pool->collector.collect = collect;
    metrics_collector_add(&pool->collector);
    *out = pool;
    return ERR_OK;
}

void work_pool_destroy(struct work_pool *pool)
{
    if (!pool)
        return;
    for (int c = 0; c < WORK_CLASS_COUNT; c++)
        assert(list_empty(&pool->waiting[c]) && pool->stats[c].running == 0 &&
               pool->stats[c].waiting == 0);
    metrics_collector_remove(&pool->collector);
    mem_machine_free(pool->slots);
    mem_machine_free(pool);
}

/* Worker. Threads are libuv's and serve every pool of the process; a hook is called once each. */
static void thread_prepare(void (*hook)(void))
{
    static _Thread_local bool niced;
    static _Thread_local void (*hooked)(void);
    if (!niced) {
        id_t thread = (id_t)syscall(SYS_gettid);
        /* A refusal costs order alone. -1 is a nice value too, so there is nothing to check. */
        setpriority(PRIO_PROCESS, thread, getpriority(PRIO_PROCESS, thread) + WORKER_NICE);
    }
    niced = true;
    if (hook && hooked != hook)
        hook();
    hooked = hook;
}

static void on_worker(uv_work_t *uv)
{
    struct work_slot *slot = uv->data;
    thread_prepare(slot->pool->on_thread_start);
    slot->code = slot->work->run_(slot->work, &slot->err);
}

static void on_worker_done(uv_work_t *uv, int status);

static void start(struct work_pool *pool, struct work *w)
{
    struct work_slot *slot = container_of(list_pop(&pool->slots_free), struct work_slot, link);
    struct work_stats *st = &pool->stats[w->class_];
    st->running++;
    st->waited_ms += loop_now_ms(pool->loop) - w->since_ms_;
    w->state_ = WORK_RUNNING;
    slot->work = w;
    error_clear(&slot->err);
    int rc = uv_queue_work(loop_uv(pool->loop), &slot->uv, on_worker, on_worker_done);
    assert(rc == 0); /* only a missing callback is refused */
}

static void leave_wait_list(struct work *w)
{
    list_remove(&w->link_);
    w->pool_->stats[w->class_].waiting--;
}

/* Lanes take turns: each starts one write and goes to the end. */
static void admit_writes(struct work_pool *pool)
{
    struct list *lanes = &pool->waiting[WORK_WRITE], *link;
    while (pool->stats[WORK_WRITE].running < pool->cap[WORK_WRITE] && (link = list_pop(lanes))) {
        struct work_lane *lane = container_of(link, struct work_lane, link_);
        struct work *w = container_of(list_first(&lane->waiting_), struct work, link_);
        lane->busy_ = true;
        leave_wait_list(w);
        start(pool, w);
    }
}

static void admit(struct work_pool *pool, enum work_class class)
{
    if (class == WORK_WRITE) {
        admit_writes(pool);
        return;
    }
    struct list *link;
    while (pool->stats[class].running < pool->cap[class] &&
           (link = list_first(&pool->waiting[class]))) {
        struct work *w = container_of(link, struct work, link_);
        leave_wait_list(w);
        start(pool, w);
    }
}

/* A lane stands in the pool's list exactly while it could start a write. */
static void lane_update(struct work_lane *lane)
{
    bool ready = !lane->busy_ && !list_empty(&lane->waiting_);
    if (ready && !list_linked(&lane->link_))
        list_append(&lane->pool_->waiting[WORK_WRITE], &lane->link_);
    else if (!ready && list_linked(&lane->link_))
        list_remove(&lane->link_);
}

static void finish(struct work *w, const struct error *err)
{
    struct loop *loop = w->pool_->loop;
    w->state_ = WORK_IDLE;
    loop_callback_begin(loop, w->name_);
    w->done_(w, err);
    loop_callback_end(loop);
}

/* The slot, the lane and the cap are free before done, which may submit again. */
static void on_worker_done(uv_work_t *uv, int status)
{
    assert(status == 0); /* we never ask libuv to cancel: what has a slot has a thread */
    struct work_slot *slot = uv->data;
    struct work_pool *pool = slot->pool;
    struct work *w = slot->work;
    struct error err = slot->err;
    enum err code = slot->code;
    if (code && err.code != code)
        error_set(&err, code, "%s", err_text(code)); /* run gave no sentence */
    slot->work = NULL;
    list_append(&pool->slots_free, &slot->link);
    struct work_stats *st = &pool->stats[w->class_];
    st->running--;
    st->finished++;
    if (w->lane_) {
        w->lane_->busy_ = false;
        lane_update(w->lane_);
    }
    admit(pool, w->class_);
    finish(w, code ? &err : NULL);
}

static void on_refused(struct deferred *d)
{
    finish(container_of(d, struct work, later_), &work_was_refused);
}

static void on_canceled(struct deferred *d)
{
    finish(container_of(d, struct work, later_), &work_was_canceled);
}

/* False when the class's list is full; the work is then called back. */
static bool enqueue(struct work *w, struct list *list)
{
    struct work_stats *st = &w->pool_->stats[w->class_];
    w->since_ms_ = loop_now_ms(w->pool_->loop);
    if (st->waiting >= queue_capacity(class_queue[w->class_])) {
        st->refused++;
        w->state_ = WORK_REFUSED;
        loop_defer_named(w->pool_->loop, &w->later_, on_refused, w->name_);
        return false;
    }
    w->state_ = WORK_WAITING;
    list_append(list, &w->link_);
    st->waiting++;
    return true;
}

void work_submit_named(struct work_pool *pool, struct work *w, enum work_class class, work_run *run,
                       work_done *done, const char *name)
{
    assert(run && done && w->state_ == WORK_IDLE);
    assert(class == WORK_READ || class == WORK_CPU);
    w->run_ = run;
    w->done_ = done;
    w->name_ = name;
    w->pool_ = pool;
    w->lane_ = NULL;
    w->class_ = class;
    if (enqueue(w, &pool->waiting[class]))
        admit(pool, class);
    struct work_stats *st = &pool->stats[class];
    st->waiting_peak = MAX(st->waiting_peak, st->waiting);
}

void work_lane_init(struct work_lane *lane, struct work_pool *pool)
{
    *lane = (struct work_lane){ .pool_ = pool };
    list_init(&lane->waiting_);
}

void work_lane_finish(struct work_lane *lane)
{
    assert(!lane->busy_ && list_empty(&lane->waiting_) && !list_linked(&lane->link_));
}

void work_submit_write_named(struct work_lane *lane, struct work *w, work_run *run, work_done *done,
                             const char *name)
{
    assert(run && done && w->state_ == WORK_IDLE);
    w->run_ = run;
    w->done_ = done;
    w->name_ = name;
    w->pool_ = lane->pool_;
    w->lane_ = lane;
    w->class_ = WORK_WRITE;
    if (enqueue(w, &lane->waiting_)) {
        lane_update(lane);
        admit_writes(lane->pool_);
    }
    struct work_stats *st = &lane->pool_->stats[WORK_WRITE];
    st->waiting_peak = MAX(st->waiting_peak, st->waiting);
}

void work_cancel(struct work *w)
{
    if (w->state_ != WORK_WAITING)
        return;
    leave_wait_list(w);
    if (w->lane_)
        lane_update(w->lane_);
    w->pool_->stats[w->class_].canceled++;
    w->state_ = WORK_CANCELED;
    loop_defer_named(w->pool_->loop, &w->later_, on_canceled, w->name_);
}

const struct work_stats *work_stats(const struct work_pool *pool, enum work_class class)
{
    return &pool->stats[class];
}
