/* tests/bench/bench_core.c: the machine: admission to workers, the round trip of a job, permits,
 * deferred calls, deadlines. */
#include "bench.h"

#include <stdlib.h>
#include <time.h>

#include <uv.h>

#include "core/loop.h"
#include "core/sem.h"
#include "core/timer.h"
#include "core/work.h"

struct machine {
    struct loop *loop;
    struct work_pool *pool;
};

/* Threads are the process's: the first bench with a pool decides, so all ask for the same. */
static struct machine machine_open(const struct bench *bench)
{
    struct machine m = { NULL, NULL };
    struct error err = { ERR_OK, "" };
    const struct work_options options = { .read_workers = 2, .cpu_workers = 4 };
    if (loop_create(&m.loop, &err) || work_pool_create(&m.pool, m.loop, &options, &err))
        bench_fail(bench, "%s", err.text);
    return m;
}

static void machine_close(struct machine *m)
{
    work_pool_destroy(m->pool);
    loop_destroy(m->loop);
}

/* ---- a read behind writes ---- */

enum { WRITES = 8, WRITE_MS = 100, READ_MS = 1 };

struct nap {
    struct work work;
    long ms;
    uint64_t done_ns;
};

static enum err run_nap(struct work *w, struct error *err UNUSED)
{
    const struct timespec ts = { 0, container_of(w, struct nap, work)->ms * 1000000 };
    nanosleep(&ts, NULL);
    return ERR_OK;
}

static void on_nap(struct work *w, const struct error *err UNUSED)
{
    container_of(w, struct nap, work)->done_ns = bench_wall_ns();
}

/* Milliseconds until the read answers. In one class all stand in one FIFO before four threads, as
 * they would in libuv's pool. */
static double read_answers_ms(struct machine *m, bool one_class)
{
    struct work_lane lane;
    struct nap writes[WRITES] = { 0 }, read = { .ms = READ_MS };
    work_lane_init(&lane, m->pool);
    uint64_t start = bench_wall_ns();
    for (int i = 0; i < WRITES; i++) {
        writes[i].ms = WRITE_MS;
        if (one_class)
            work_submit(m->pool, &writes[i].work, WORK_CPU, run_nap, on_nap);
        else
            work_submit_write(&lane, &writes[i].work, run_nap, on_nap);
    }
    work_submit(m->pool, &read.work, one_class ? WORK_CPU : WORK_READ, run_nap, on_nap);
    loop_run(m->loop);
    work_lane_finish(&lane);
    return (double)(read.done_ns - start) / 1e6;
}

BENCH(work_admission, "A read of 1 ms that is asked for behind 8 writes of 100 ms.")
{
    struct machine m = machine_open(bench);
    struct bench_figure figure = { .figure = "read answers",
                                   .unit = "ms",
                                   .beside = "one FIFO, 4 threads",
                                   .expect_beside = 201 };
    figure.value = read_answers_ms(&m, false);
    figure.beside_value = read_answers_ms(&m, true);
    bench_report(bench, &figure);
    machine_close(&m);
}

/* ---- the round trip of a job ---- */

enum { AT_ONCE_MAX = 64 };

struct trips {
    struct machine machine;
    uint64_t count, left;
    uint32_t at_once;
    struct trip {
        struct work work;
        struct trips *trips;
    } trip[AT_ONCE_MAX];
};

static enum err run_nothing(struct work *w UNUSED, struct error *err UNUSED)
{
    return ERR_OK;
}

static void on_trip(struct work *w, const struct error *err UNUSED)
{
    struct trips *t = container_of(w, struct trip, work)->trips;
    if (t->left > 0) {
        t->left--;
        work_submit(t->machine.pool, w, WORK_READ, run_nothing, on_trip);
    }
}

static double trips_ns(void *arg)
{
    struct trips *t = arg;
    uint64_t start = bench_wall_ns();
    t->left = t->count - t->at_once;
    for (uint32_t i = 0; i < t->at_once; i++) {
        t->trip[i].trips = t;
        work_submit(t->machine.pool, &t->trip[i].work, WORK_READ, run_nothing, on_trip);
    }
    loop_run(t->machine.loop);
    return (double)(bench_wall_ns() - start) / (double)t->count;
}

/* Beside: libuv alone, a request of its own each, no admission, no measurement. */
struct bare {
    uv_loop_t uv;
    uv_work_t req[AT_ONCE_MAX];
    uint64_t count, left;
    uint32_t at_once;
};

static void bare_run(uv_work_t *req UNUSED)
{
}

static void bare_done(uv_work_t *req, int status UNUSED)
{
    struct bare *b = req->data;
    if (b->left > 0) {
        b->left--;
        uv_queue_work(&b->uv, req, bare_run, bare_done);
    }
}

static double bare_ns(void *arg)
{
    struct bare *b = arg;
    uint64_t start = bench_wall_ns();
    b->left = b->count - b->at_once;
    for (uint32_t i = 0; i < b->at_once; i++) {
        b->req[i].data = b;
        uv_queue_work(&b->uv, &b->req[i], bare_run, bare_done);
    }
    uv_run(&b->uv, UV_RUN_DEFAULT);
    return (double)(bench_wall_ns() - start) / (double)b->count;
}

BENCH(work_round_trip, "A job that does nothing, from submit to done, by wall clock.")
{
    static const struct {
        const char *figure;
        uint32_t at_once;
    } cases[] = { { "one at a time", 1 }, { "64 submitted at once", AT_ONCE_MAX } };
    struct trips trips = { .count = bench_entries(bench, 20000) };
    struct bare bare = { .count = trips.count };
    trips.machine = machine_open(bench);
    if (trips.count < AT_ONCE_MAX || uv_loop_init(&bare.uv))
        bench_fail(bench, "--entries is at least %d, and a loop needs descriptors", AT_ONCE_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        trips.at_once = bare.at_once = cases[i].at_once;
        struct bench_figure figure = { .figure = cases[i].figure,
                                       .unit = "ns",
                                       .beside = "uv_queue_work alone",
                                       .note = "two in flight, each given out by the loop; "
                                               "libuv alone queues them all before its threads" };
        figure.value = bench_median(trips_ns, &trips, &figure.spread);
        figure.beside_value = bench_median(bare_ns, &bare, NULL);
        bench_report(bench, &figure);
    }
    uv_loop_close(&bare.uv);
    machine_close(&trips.machine);
}

/* ---- permits ---- */

struct permits {
    struct loop *loop;
    struct sem sem;
    uint64_t count, left;
    struct permit {
        struct sem_waiter waiter;
        struct deferred deferred;
        struct permits *permits;
    } permit[AT_ONCE_MAX];
};

static void on_permit(struct sem_waiter *w)
{
    struct permits *p = container_of(w, struct permit, waiter)->permits;
    sem_release(w);
    if (p->left > 0) {
        p->left--;
        sem_acquire(&p->sem, w, on_permit);
    }
}

static void on_deferred(struct deferred *d)
{
    struct permits *p = container_of(d, struct permit, deferred)->permits;
    if (p->left > 0) {
        p->left--;
        loop_defer(p->loop, d, on_deferred);
    }
}

static double permits_ns(void *arg)
{
    struct permits *p = arg;
    uint64_t start = bench_cpu_ns();
    p->left = p->count - AT_ONCE_MAX;
    for (int i = 0; i < AT_ONCE_MAX; i++)
        sem_acquire(&p->sem, &p->permit[i].waiter, on_permit);
    loop_run(p->loop);
    return (double)(bench_cpu_ns() - start) / (double)p->count;
}

static double deferred_ns(void *arg)
{
    struct permits *p = arg;
    uint64_t start = bench_cpu_ns();
    p->left = p->count - AT_ONCE_MAX;
    for (int i = 0; i < AT_ONCE_MAX; i++)
        loop_defer(p->loop, &p->permit[i].deferred, on_deferred);
    loop_run(p->loop);
    return (double)(bench_cpu_ns() - start) / (double)p->count;
}

BENCH(sem, "A permit: acquire, wait in line, callback, release; 64 ask for 16.")
{
    struct permits p = { .count = bench_entries(bench, 200000) };
    struct error err = { ERR_OK, "" };
    if (p.count < AT_ONCE_MAX || loop_create(&p.loop, &err))
        bench_fail(bench, "--entries is at least %d; %s", AT_ONCE_MAX, err.text);
    sem_start(&p.sem, p.loop, 16);
    for (int i = 0; i < AT_ONCE_MAX; i++)
        p.permit[i].permits = &p;
    struct bench_figure figure = { .figure = "permit", .unit = "ns", .beside = "a deferred call" };
    figure.value = bench_median(permits_ns, &p, &figure.spread);
    figure.beside_value = bench_median(deferred_ns, &p, NULL);
    bench_report(bench, &figure);
    sem_end(&p.sem);
    loop_destroy(p.loop);
}

/* ---- deadlines ---- */

struct deadlines {
    struct loop *loop;
    uint64_t count;
    uint32_t sessions;
    struct timer *timers;
    uv_timer_t *uv;
};

/* Sessions set their deadline anew with every step; hardly one comes. */
static double deadlines_ns(void *arg)
{
    struct deadlines *d = arg;
    uint64_t start = bench_cpu_ns();
    for (uint64_t i = 0; i < d->count; i++)
        timer_set(&d->timers[i * 7919 % d->sessions], 10000 + i % 20000);
    return (double)(bench_cpu_ns() - start) / (double)d->count;
}

static void on_uv_deadline(uv_timer_t *t UNUSED)
{
}

static double uv_deadlines_ns(void *arg)
{
    struct deadlines *d = arg;
    uint64_t start = bench_cpu_ns();
    for (uint64_t i = 0; i < d->count; i++)
        uv_timer_start(&d->uv[i * 7919 % d->sessions], on_uv_deadline, 10000 + i % 20000, 0);
    return (double)(bench_cpu_ns() - start) / (double)d->count;
}

static void on_deadline(struct timer *t UNUSED)
{
}

BENCH(timers, "A deadline set anew, as each step of a session does, among 10,000.")
{
    struct deadlines d = { .count = bench_entries(bench, 1000000), .sessions = 10000 };
    struct error err = { ERR_OK, "" };
    if (loop_create(&d.loop, &err))
        bench_fail(bench, "%s", err.text);
    d.timers = calloc(d.sessions, sizeof(*d.timers));
    d.uv = calloc(d.sessions, sizeof(*d.uv));
    for (uint32_t i = 0; i < d.sessions; i++) {
        timer_init(&d.timers[i], d.loop, on_deadline, "deadline");
        uv_timer_init(loop_uv(d.loop), &d.uv[i]);
    }
    struct bench_figure figure = { .figure = "set", .unit = "ns", .beside = "uv_timer_start" };
    figure.value = bench_median(deadlines_ns, &d, &figure.spread);
    figure.beside_value = bench_median(uv_deadlines_ns, &d, NULL);
    bench_report(bench, &figure);
    struct bench_figure bytes = { .figure = "one timer",
                                  .unit = "bytes",
                                  .value = sizeof(struct timer),
                                  .beside = "uv_timer_t",
                                  .beside_value = sizeof(uv_timer_t) };
    bench_report(bench, &bytes);
    for (uint32_t i = 0; i < d.sessions; i++) {
        timer_set(&d.timers[i], 0);
        uv_close((uv_handle_t *)&d.uv[i], NULL);
    }
    loop_destroy(d.loop);
    free(d.timers);
    free(d.uv);
}
