#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/metrics.h"
#include "core/work.h"

enum { READ_WORKERS = 2, CPU_WORKERS = 3, THREADS = READ_WORKERS + CPU_WORKERS + WORK_WRITES_MAX };
enum { PATIENCE_SECONDS = 20 }; /* a gate that nobody opens fails the test and does not hang it */

static atomic_uint threads_started;
static _Thread_local unsigned hook_calls;

static void on_thread_start(void)
{
    hook_calls++;
    atomic_fetch_add(&threads_started, 1);
}

/* Where workers wait for one another and for the loop. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned inside, inside_peak, inside_total;
static bool gate_open;

static void gate_reset(bool open)
{
    inside = inside_peak = inside_total = 0;
    gate_open = open;
}

static void gate_set_open(void)
{
    pthread_mutex_lock(&mutex);
    gate_open = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

/* Waits under the mutex for *flag or for *count to reach want; false: out of patience. */
static bool await(const bool *flag, const unsigned *count, unsigned want)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_SECONDS;
    while (!(flag && *flag) && !(count && *count >= want))
        if (pthread_cond_timedwait(&changed, &mutex, &until))
            return false;
    return true;
}

struct fixture {
    struct loop *loop;
    struct work_pool *pool;
};

static struct fixture setup(void)
{
    struct fixture f = { NULL, NULL };
    struct error err = { ERR_OK, "" };
    struct work_options options = { READ_WORKERS, CPU_WORKERS, on_thread_start };
    check(loop_create(&f.loop, &err) == ERR_OK, err.text);
    check(work_pool_create(&f.pool, f.loop, &options, &err) == ERR_OK, err.text);
    return f;
}

static void teardown(struct fixture *f)
{
    work_pool_destroy(f->pool);
    loop_destroy(f->loop);
}

struct job {
    struct work work;
    unsigned peak_want; /* stay till so many are inside */
    bool ran;           /* set by the worker */
    enum err fail;
    unsigned done; /* how often */
    unsigned done_order;
    enum err code;
    char text[64];
    struct job *next; /* submitted in done */
    struct fixture *f;
};

static unsigned done_count;

static void on_done(struct work *w, const struct error *err)
{
    struct job *j = container_of(w, struct job, work);
    check(!work_pending(w), "it is out of the pool before done");
    j->done++;
    j->done_order = ++done_count;
    j->code = err ? err->code : ERR_OK;
    memcpy(j->text, err ? err->text : "", err ? sizeof(j->text) : 1);
}

static enum err run_plain(struct work *w, struct error *err)
{
    struct job *j = container_of(w, struct job, work);
    j->ran = true;
    return j->fail ? error_set(err, j->fail, "as told") : ERR_OK;
}

static enum err run_at_gate(struct work *w, struct error *err)
{
    struct job *j = container_of(w, struct job, work);
    j->ran = true;
    pthread_mutex_lock(&mutex);
    inside++;
    inside_total++;
    inside_peak = MAX(inside_peak, inside);
    pthread_cond_broadcast(&changed);
    bool ok = j->peak_want ? await(NULL, &inside_peak, j->peak_want) : await(&gate_open, NULL, 0);
    inside--;
    pthread_mutex_unlock(&mutex);
    return ok ? ERR_OK : error_set(err, ERR_TIMEOUT, "nobody came");
}

/* Each job stays until as many are inside as the cap allows, so a pool that admits fewer times out,
 * and a peak above the cap is a pool that admits more: the others sleep a moment to let it show. */
static enum err run_crowd(struct work *w, struct error *err)
{
    enum err rc = run_at_gate(w, err);
    pthread_mutex_lock(&mutex);
    inside++;
    inside_peak = MAX(inside_peak, inside);
    pthread_mutex_unlock(&mutex);
    struct timespec moment = { 0, 2000000 };
    nanosleep(&moment, NULL);
    pthread_mutex_lock(&mutex);
    inside--;
    pthread_mutex_unlock(&mutex);
    return rc;
}

TEST(each_class_runs_up_to_its_cap)
{
    enum { COUNT = 24 };
    static const struct {
        const char *why;
        enum work_class class;
        unsigned lanes, cap;
    } cases[] = {
        { "reads: read-workers", WORK_READ, 0, READ_WORKERS },
        { "CPU: cpu-workers", WORK_CPU, 0, CPU_WORKERS },
        { "writes of one store: one", WORK_WRITE, 1, 1 },
        { "writes of two stores: one each", WORK_WRITE, 2, 2 },
        { "writes of three stores: two in all", WORK_WRITE, 3, 2 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture f = setup();
        struct work_lane lanes[3];
        struct job jobs[COUNT] = { 0 };
        gate_reset(false);
        for (unsigned k = 0; k < 3; k++)
            work_lane_init(&lanes[k], f.pool);
        for (unsigned k = 0; k < COUNT; k++) {
            jobs[k].peak_want = cases[i].cap;
            if (cases[i].lanes)
                work_submit_write(&lanes[k % cases[i].lanes], &jobs[k].work, run_crowd, on_done);
            else
                work_submit(f.pool, &jobs[k].work, cases[i].class, run_crowd, on_done);
        }
        const struct work_stats *st = work_stats(f.pool, cases[i].class);
        check(st->running == cases[i].cap && st->waiting == COUNT - cases[i].cap, cases[i].why);
        loop_run(f.loop);
        check(inside_peak == cases[i].cap, cases[i].why);
        for (unsigned k = 0; k < COUNT; k++)
            check(jobs[k].done == 1 && jobs[k].code == ERR_OK, cases[i].why);
        check(st->finished == COUNT && st->running == 0 && st->waiting == 0, "all are through");
        for (unsigned k = 0; k < 3; k++)
            work_lane_finish(&lanes[k]);
        teardown(&f);
    }
}

static void on_read_opens_gate(struct work *w, const struct error *err)
{
    on_done(w, err);
    gate_set_open();
}

/* The figure of architecture.md 3 as a property: the writes do not end before the read has
 * answered, so if it stood behind them in one FIFO, the gate would never open. */
TEST(a_read_does_not_wait_behind_eight_writes)
{
    struct fixture f = setup();
    struct work_lane lanes[2];
    struct job writes[8] = { 0 }, reads[2] = { 0 }, cpu = { 0 };
    gate_reset(false);
    done_count = 0;
    work_lane_init(&lanes[0], f.pool);
    work_lane_init(&lanes[1], f.pool);
    for (int i = 0; i < 8; i++)
        work_submit_write(&lanes[i % 2], &writes[i].work, run_at_gate, on_done);
    work_submit(f.pool, &cpu.work, WORK_CPU, run_plain, on_done);
    work_submit(f.pool, &reads[0].work, WORK_READ, run_plain, on_done);
    work_submit(f.pool, &reads[1].work, WORK_READ, run_plain, on_read_opens_gate);
    loop_run(f.loop);
    for (int i = 0; i < 8; i++) {
        check(writes[i].code == ERR_OK && writes[i].done_order > reads[1].done_order,
              "the read answered while all writes were under way");
        check(i < 2 || writes[i].done_order > writes[i - 2].done_order,
              "writes of a store in order");
    }
    check(reads[0].done == 1 && cpu.done == 1, "all are through");
    teardown(&f);
}

struct write {
    struct work work;
    struct lane_state *lane;
    unsigned number, *done;
};
struct lane_state {
    struct work_lane lane;
    atomic_uint inside;
    unsigned next; /* not atomic: ThreadSanitizer sees a second writer, and a missing handover */
};

static enum err run_write(struct work *w, struct error *err)
{
    struct write *wr = container_of(w, struct write, work);
    if (atomic_fetch_add(&wr->lane->inside, 1) != 0)
        return error_set(err, ERR_PROTOCOL, "two writers in one store");
    if (wr->lane->next++ != wr->number)
        return error_set(err, ERR_PROTOCOL, "out of order");
    atomic_fetch_sub(&wr->lane->inside, 1);
    return ERR_OK;
}

static void on_write_done(struct work *w, const struct error *err)
{
    struct write *wr = container_of(w, struct write, work);
    check(err == NULL, err ? err->text : "");
    ++*wr->done;
}

TEST(a_store_is_written_by_one_in_the_order_of_submission)
{
    enum { LANES = 3, EACH = 500 };
    struct fixture f = setup();
    struct lane_state lanes[LANES] = { 0 };
    struct write *writes = calloc(LANES * EACH, sizeof(*writes));
    unsigned done = 0;
    for (unsigned k = 0; k < LANES; k++)
        work_lane_init(&lanes[k].lane, f.pool);
    for (unsigned i = 0; i < LANES * EACH; i++) {
        writes[i] = (struct write){ .lane = &lanes[i % LANES], .number = i / LANES, .done = &done };
        work_submit_write(&lanes[i % LANES].lane, &writes[i].work, run_write, on_write_done);
    }
    loop_run(f.loop);
    check(done == LANES * EACH, "each once");
    free(writes);
    teardown(&f);
}

static struct job *late_write;

/* The place of the first write that ends goes to the lane that has waited longest, before done. */
static void on_busy_done(struct work *w, const struct error *err)
{
    on_done(w, err);
    check(late_write->done || late_write->work.state_ == WORK_RUNNING,
          "a store with one write waits for a turn, not for the end of the others'");
}

TEST(lanes_take_turns)
{
    enum { MANY = 60 };
    struct fixture f = setup();
    struct work_lane lanes[3];
    struct job busy[MANY] = { 0 }, late = { 0 };
    done_count = 0;
    late_write = &late;
    for (int k = 0; k < 3; k++)
        work_lane_init(&lanes[k], f.pool);
    for (int i = 0; i < MANY; i++)
        work_submit_write(&lanes[i % 2], &busy[i].work, run_plain, on_busy_done);
    work_submit_write(&lanes[2], &late.work, run_plain, on_done);
    check(late.work.state_ == WORK_WAITING, "two in all");
    loop_run(f.loop);
    check(done_count == MANY + 1, "all are through");
    teardown(&f);
}

static void on_done_cancel_next(struct work *w, const struct error *err)
{
    struct job *j = container_of(w, struct job, work);
    on_done(w, err);
    unsigned done = j->next->done; /* 0, waiting or running, or already 1: all must be right */
    work_cancel(&j->next->work);
    check(j->next->done == done, "done is not called inside cancel");
}

TEST(cancel_takes_out_what_waits_and_awaits_what_runs)
{
    struct fixture f = setup();
    struct work_lane lane;
    struct job run[READ_WORKERS] = { 0 }, wait[3] = { 0 }, write[3] = { 0 }, never = { 0 };
    gate_reset(false);
    work_lane_init(&lane, f.pool);
    work_cancel(&never.work);
    for (int i = 0; i < READ_WORKERS; i++)
        work_submit(f.pool, &run[i].work, WORK_READ, run_at_gate, on_done);
    for (int i = 0; i < 3; i++) {
        work_submit(f.pool, &wait[i].work, WORK_READ, run_plain, on_done);
        work_submit_write(&lane, &write[i].work, run_at_gate, on_done);
    }
    wait[0].next = &wait[2];
    wait[0].work.done_ = on_done_cancel_next;
    work_cancel(&run[0].work);
    work_cancel(&wait[1].work);
    work_cancel(&wait[1].work); /* twice is once */
    work_cancel(&write[1].work);
    work_cancel(&write[2].work);
    check(wait[1].done == 0 && work_pending(&wait[1].work), "done is not called inside cancel");
    gate_set_open();
    loop_run(f.loop);
    check(run[0].done == 1 && run[0].code == ERR_OK, "what runs gives its real answer");
    check(wait[0].done == 1 && wait[0].ran, "what is not canceled runs");
    check(wait[1].done == 1 && wait[1].code == ERR_CANCELED && !wait[1].ran,
          "what waits never runs");
    check(wait[2].done == 1, "canceled by another's done: once, either way");
    check(write[0].code == ERR_OK && write[1].code == ERR_CANCELED && !write[1].ran, "a lane too");
    check(write[2].code == ERR_CANCELED && never.done == 0, "and what is not out has no callback");
    check(work_stats(f.pool, WORK_WRITE)->canceled == 2, "counted");
    check(work_stats(f.pool, WORK_WRITE)->finished == 1, "counted");
    work_lane_finish(&lane);
    teardown(&f);
}

TEST(a_full_wait_list_refuses)
{
    enum { CAPACITY = 4096, OVER = 10, COUNT = CAPACITY + READ_WORKERS + OVER };
    struct fixture f = setup();
    struct job *jobs = calloc(COUNT, sizeof(*jobs));
    gate_reset(false);
    for (unsigned i = 0; i < COUNT; i++)
        work_submit(f.pool, &jobs[i].work, WORK_READ, run_at_gate, on_done);
    const struct work_stats *st = work_stats(f.pool, WORK_READ);
    check(st->waiting == CAPACITY && st->waiting_peak == CAPACITY, "up to its capacity");
    check(st->refused == OVER && jobs[COUNT - 1].done == 0, "then no more, and never inside");
    work_cancel(&jobs[COUNT - 1].work); /* it is refused already */
    gate_set_open();
    loop_run(f.loop);
    for (unsigned i = 0; i < COUNT; i++) {
        bool over = i >= CAPACITY + READ_WORKERS;
        check(jobs[i].done == 1, "each once");
        check(jobs[i].code == (over ? ERR_LIMIT : ERR_OK) && jobs[i].ran == !over, jobs[i].text);
    }
    free(jobs);
    teardown(&f);
}

static void on_turn_scrape(struct deferred *d UNUSED)
{
    struct metrics_page page;
    metrics_page_begin(&page);
    check(metric_get_by(METRIC_work_running, WORK_READ) == READ_WORKERS, "running");
    check(metric_get_by(METRIC_queue_length, QUEUE_WORK_READ) == 3, "waiting");
    gate_set_open();
}

TEST(a_scrape_shows_what_workers_do)
{
    struct fixture f = setup();
    struct job jobs[READ_WORKERS + 4] = { 0 };
    struct deferred turn = { 0 };
    struct metrics_page page;
    gate_reset(false);
    loop_clock_set(f.loop, 1000, 0);
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
        work_submit(f.pool, &jobs[i].work, WORK_READ, run_at_gate, on_done);
    work_cancel(&jobs[ARRAY_SIZE(jobs) - 1].work);
    loop_clock_set(f.loop, 3000, 0); /* three jobs wait 2 s each */
    loop_defer(f.loop, &turn, on_turn_scrape);
    loop_run(f.loop);
    metrics_page_begin(&page);
    check(metric_get_by(METRIC_work_running, WORK_READ) == 0, "none runs");
    check(metric_get_by(METRIC_queue_length, QUEUE_WORK_READ) == 0, "none waits");
    check(metric_get_by(METRIC_work_finished_total, WORK_READ) >= READ_WORKERS + 3, "finished");
    check(metric_get_by(METRIC_work_canceled_total, WORK_READ) >= 1, "canceled");
    check(metric_get_by(METRIC_work_waited_seconds_total, WORK_READ) == INT64_C(6000000000), "ns");
    teardown(&f);
}

static enum err run_bare(struct work *w, struct error *err UNUSED)
{
    return container_of(w, struct job, work)->fail;
}

TEST(what_run_returns_reaches_done)
{
    struct fixture f = setup();
    struct job ok = { 0 }, bad = { .fail = ERR_CORRUPT }, bare = { .fail = ERR_NOT_FOUND };
    work_submit(f.pool, &bad.work, WORK_CPU, run_plain, on_done);
    work_submit(f.pool, &bare.work, WORK_CPU, run_bare, on_done);
    work_submit(f.pool, &ok.work, WORK_CPU, run_plain, on_done);
    loop_run(f.loop);
    check(bad.code == ERR_CORRUPT && !strcmp(bad.text, "as told"), bad.text);
    check(bare.code == ERR_NOT_FOUND && !strcmp(bare.text, err_text(ERR_NOT_FOUND)), bare.text);
    check(ok.done == 1 && ok.code == ERR_OK, "a slot keeps no error of the one before");
    bare.fail = ERR_CORRUPT;
    for (int i = 0; i < 20; i++) { /* until a slot comes round */
        work_submit(f.pool, &bad.work, WORK_CPU, run_plain, on_done);
        work_submit(f.pool, &bare.work, WORK_CPU, run_bare, on_done);
        loop_run(f.loop);
        check(!strcmp(bare.text, err_text(ERR_CORRUPT)), "nor a sentence of it");
    }
    teardown(&f);
}

static void on_done_again(struct work *w, const struct error *err)
{
    struct job *j = container_of(w, struct job, work);
    unsigned done = j->done;
    on_done(w, err);
    if (done < 99)
        work_submit(j->f->pool, w, WORK_READ, run_plain, on_done_again);
    else
        free(j); /* allowed: nobody looks at it any more */
}

TEST(done_may_submit_again_and_free)
{
    struct fixture f = setup();
    for (int i = 0; i < 5; i++) {
        struct job *j = calloc(1, sizeof(*j));
        j->f = &f;
        work_submit(f.pool, &j->work, WORK_READ, run_plain, on_done_again);
    }
    loop_run(f.loop);
    check(work_stats(f.pool, WORK_READ)->finished == 500, "100 times each");
    teardown(&f);
}

static enum err run_look(struct work *w, struct error *err)
{
    if (hook_calls != 1)
        return error_set(err, ERR_SYSTEM, "the hook was called %u times", hook_calls);
    int nice = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
    int mine = getpriority(PRIO_PROCESS, (id_t)getpid());
    if (nice != MIN(mine + 5, 19))
        return error_set(err, ERR_SYSTEM, "nice %d beside %d", nice, mine);
    return run_at_gate(w, err);
}

TEST(threads_are_prepared_once_and_there_are_enough)
{
    struct fixture f = setup();
    struct work_lane lanes[2];
    struct job jobs[THREADS] = { 0 };
    gate_reset(false);
    for (int i = 0; i < THREADS; i++) {
        jobs[i].peak_want = THREADS; /* all at once, or nobody leaves */
        if (i < WORK_WRITES_MAX) {
            work_lane_init(&lanes[i], f.pool);
            work_submit_write(&lanes[i], &jobs[i].work, run_look, on_done);
        } else {
            work_submit(f.pool, &jobs[i].work, i % 2 && i < 6 ? WORK_READ : WORK_CPU, run_look,
                        on_done);
        }
    }
    loop_run(f.loop);
    for (int i = 0; i < THREADS; i++)
        check(jobs[i].code == ERR_OK, jobs[i].text);
    check(atomic_load(&threads_started) == THREADS, "as many threads as the caps together");
    teardown(&f);
}
