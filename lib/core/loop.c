#include "core/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include <uv.h>

#include "base/mem.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/timer.h"

struct loop {
    uv_loop_t uv;
    uv_idle_t idle;        /* active while calls are deferred: polling then does not wait */
    struct timers *timers; /* owned */
    struct list deferred;  /* for the next turn */
    struct list running;   /* what is left of this turn's */

    bool stopping;                    /* loop_stop was called */
    bool clock_turned, random_seeded; /* by a test */
    uint64_t turned_now_ms, turned_wall_ns;
    uint64_t random_state;

    uint32_t depth; /* of loop_callback_begin */
    const char *name;
    uint64_t begin_ns, end_ns; /* end: of the last one */
    struct loop_stats stats;
    struct {
        uint64_t ns, count;
        const char *name;
    } slowest;               /* not in the log yet */
    uint64_t slow_logged_ns; /* 0: never */
};

/* A turned clock measures too: callbacks then take the time that they turn it by, and none by
 * accident. */
static uint64_t measure_ns(const struct loop *loop)
{
    return loop->clock_turned ? loop->turned_now_ms * UINT64_C(1000000) : uv_hrtime();
}

static void callback_begin_at(struct loop *loop, const char *name, uint64_t now_ns)
{
    if (loop->depth++ > 0)
        return;
    loop->name = name;
    loop->begin_ns = now_ns;
}

/* What callbacks defer runs in the same turn, round after round, while hardly any time has passed:
 * a permit or a queue's space needs no look at timers and sockets in between, which costs more than
 * the calls. */
static void run_deferred(uv_idle_t *idle)
{
    struct loop *loop = idle->data;
    loop->end_ns = measure_ns(loop);
    uint64_t until_ns = loop->end_ns + LIMIT_LOOP_ROUNDS_NS;
    for (uint32_t i = 0; i < LIMIT_LOOP_ROUNDS && !list_empty(&loop->deferred); i++) {
        list_move_all(&loop->running, &loop->deferred);
        struct list *link;
        while ((link = list_pop(&loop->running))) {
            struct deferred *d = container_of(link, struct deferred, link_);
            callback_begin_at(loop, d->name_, loop->end_ns);
            d->cb_(d);
            loop_callback_end(loop);
        }
        if (loop->stopping || loop->end_ns >= until_ns)
            break;
    }
    if (list_empty(&loop->deferred))
        uv_idle_stop(&loop->idle);
}

static void slow_log(struct loop *loop, uint64_t now_ns)
{
    if (loop->slowest.count == 0)
        return;
    log_info_with(LOG_FIELDS(log_text("callback", loop->slowest.name),
                             log_uint("microseconds", loop->slowest.ns / 1000),
                             log_uint("slow", loop->slowest.count)),
                  "the event loop was kept busy");
    loop->slowest.ns = loop->slowest.count = 0;
    loop->slow_logged_ns = now_ns;
}

enum err loop_create(struct loop **out, struct error *err)
{
    struct loop *loop = mem_machine_zalloc(sizeof(*loop));
    int rc = uv_loop_init(&loop->uv);
    if (rc) {
        mem_machine_free(loop);
        return error_set(err, ERR_SYSTEM, "event loop: %s", uv_strerror(rc));
    }
    list_init(&loop->deferred);
    list_init(&loop->running);
    uv_idle_init(&loop->uv, &loop->idle);
    loop->idle.data = loop;
    loop->timers = timers_create(loop);
    *out = loop;
    return ERR_OK;
}

void loop_destroy(struct loop *loop)
{
    if (!loop)
        return;
    assert(list_empty(&loop->deferred) && list_empty(&loop->running) && loop->depth == 0);
    slow_log(loop, measure_ns(loop));
    timers_close(loop->timers);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    uv_run(&loop->uv, UV_RUN_NOWAIT); /* the close callbacks, also of handles closed just before */
    int rc = uv_loop_close(&loop->uv);
    assert(rc == 0); /* a watcher of somebody is still open */
    timers_destroy(loop->timers);
    mem_machine_free(loop);
}

void loop_run(struct loop *loop)
{
    assert(loop->depth == 0);
    loop->stopping = false;
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
    uv_stop(&loop->uv);
}

struct uv_loop_s *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

struct timers *loop_timers(struct loop *loop)
{
    return loop->timers;
}

void loop_defer_named(struct loop *loop, struct deferred *d, deferred_cb *cb, const char *name)
{
    assert(cb && !deferred_pending(d));
    d->cb_ = cb;
    d->name_ = name;
    list_append(&loop->deferred, &d->link_);
    if (!uv_is_active((uv_handle_t *)&loop->idle))
        uv_idle_start(&loop->idle, run_deferred);
}

void loop_defer_cancel(struct deferred *d)
{
    if (deferred_pending(d))
        list_remove(&d->link_);
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->clock_turned ? loop->turned_now_ms : uv_now(&loop->uv);
}

uint64_t loop_wall_ns(const struct loop *loop)
{
    if (loop->clock_turned)
        return loop->turned_wall_ns;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

bool loop_clock_is_turned(const struct loop *loop)
{
    return loop->clock_turned;
}

void loop_clock_set(struct loop *loop, uint64_t now_ms, uint64_t wall_ns)
{
    assert(now_ms > 0 && (!loop->clock_turned || now_ms >= loop->turned_now_ms));
    bool first = !loop->clock_turned;
    loop->clock_turned = true;
    loop->turned_now_ms = now_ms;
    if (first)
        loop->begin_ns = measure_ns(loop); /* what ran by the old clock ends here */
    loop->turned_wall_ns = wall_ns;
    timers_clock_turned(loop->timers);
}

static void clock_forward(struct loop *loop, uint64_t to_ms)
{
    uint64_t by_ns = (to_ms - loop_now_ms(loop)) * UINT64_C(1000000);
    loop_clock_set(loop, to_ms, loop_wall_ns(loop) + by_ns);
    loop_run(loop);
}

void loop_clock_turn(struct loop *loop, uint64_t ms)
{
    uint64_t until = loop_now_ms(loop) + ms, next;
    clock_forward(loop, loop_now_ms(loop));
    while ((next = timers_next_ms(loop->timers)) && next <= until)
        clock_forward(loop, MAX(next, loop_now_ms(loop)));
    clock_forward(loop, until);
}

static void random_from_kernel(uint8_t *at, size_t size)
{
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno != EINTR)
            abort(); /* no keys without randomness; Linux has had it since 3.17 */
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
}

/* splitmix64 (Steele, Lea, Flood 2014): any seed gives a good sequence. Tests alone see it. */
static uint64_t seeded_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void loop_random(struct loop *loop, void *buf, size_t size)
{
    uint8_t *at = buf;
    if (!loop->random_seeded) {
        random_from_kernel(at, size);
        return;
    }
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)seeded_next(&loop->random_state);
}

uint64_t loop_random_below(struct loop *loop, uint64_t bound)
{
    assert(bound > 0);
    /* Values from the last, incomplete run of bound values would favour the small ones. */
    uint64_t fair = UINT64_MAX - UINT64_MAX % bound, v;
    do
        loop_random(loop, &v, sizeof(v));
    while (v >= fair);
    return v % bound;
}

void loop_random_seed(struct loop *loop, uint64_t seed)
{
    loop->random_seeded = true;
    loop->random_state = seed;
}

void loop_callback_begin(struct loop *loop, const char *name)
{
    callback_begin_at(loop, name, loop->depth > 0 ? 0 : measure_ns(loop));
}

void loop_callback_end(struct loop *loop)
{
    assert(loop->depth > 0);
    if (--loop->depth > 0)
        return;
    uint64_t now_ns = measure_ns(loop), took_ns = now_ns - loop->begin_ns;
    loop->end_ns = now_ns;
    struct loop_stats *st = &loop->stats;
    st->callbacks++;
    st->busy_ns += took_ns;
    metric_observe(METRIC_loop_lag_seconds, took_ns);
    if (took_ns <= LIMIT_LOOP_CALLBACK_NS)
        return;
    st->slow++;
    st->slow_ns += took_ns;
    if (took_ns > st->slowest_ns) {
        st->slowest_ns = took_ns;
        st->slowest_name = loop->name;
    }
    if (took_ns > loop->slowest.ns) {
        loop->slowest.ns = took_ns;
        loop->slowest.name = loop->name;
    }
    loop->slowest.count++;
    if (!loop->slow_logged_ns ||
        now_ns - loop->slow_logged_ns >= LIMIT_LOOP_SLOW_LOG_MS * UINT64_C(1000000))
        slow_log(loop, now_ns);
}

const struct loop_stats *loop_stats(const struct loop *loop)
{
    return &loop->stats;
}
