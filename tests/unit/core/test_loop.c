#include "unit.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/loop.h"
#include "core/metrics.h"

static struct loop *loop_new(void)
{
    struct loop *loop = NULL;
    struct error err = { ERR_OK, "" };
    check(loop_create(&loop, &err) == ERR_OK, err.text);
    return loop;
}

struct call {
    struct deferred deferred;
    struct loop *loop;
    char name;
    int again; /* how often it defers itself */
};

static char trace[64];
static size_t trace_size;
static struct deferred *victim;

static void trace_reset(void)
{
    memset(trace, 0, sizeof(trace));
    trace_size = 0;
}

static void on_call(struct deferred *d)
{
    struct call *c = container_of(d, struct call, deferred);
    check(trace_size + 1 < sizeof(trace), "no call is lost or doubled");
    trace[trace_size++] = c->name;
    if (c->again-- > 0)
        loop_defer(c->loop, d, on_call);
    if (victim)
        loop_defer_cancel(victim);
}

TEST(deferred_calls_come_next_turn_in_order)
{
    struct loop *loop = loop_new();
    struct call a = { .loop = loop, .name = 'a', .again = 2 }, b = { .loop = loop, .name = 'b' };
    struct call c = { .loop = loop, .name = 'c', .again = 1 };
    trace_reset();
    loop_defer(loop, &a.deferred, on_call);
    loop_defer(loop, &b.deferred, on_call);
    loop_defer(loop, &c.deferred, on_call);
    check(trace_size == 0, "never inside");
    check(deferred_pending(&a.deferred), "it is deferred");
    loop_run(loop);
    check(!strcmp(trace, "abcaca"), trace);
    check(!deferred_pending(&a.deferred), "it has been");
    loop_destroy(loop);
}

TEST(a_deferred_call_can_be_canceled_even_in_its_turn)
{
    struct loop *loop = loop_new();
    struct call a = { .loop = loop, .name = 'a' }, b = { .loop = loop, .name = 'b' };
    struct call c = { .loop = loop, .name = 'c' };
    trace_reset();
    loop_defer(loop, &a.deferred, on_call);
    loop_defer(loop, &b.deferred, on_call);
    loop_defer(loop, &c.deferred, on_call);
    loop_defer_cancel(&c.deferred);
    loop_defer_cancel(&c.deferred);
    victim = &b.deferred; /* by a, in the same turn */
    loop_run(loop);
    victim = NULL;
    check(!strcmp(trace, "a"), trace);
    loop_destroy(loop);
}

static void on_stop(struct deferred *d)
{
    struct call *c = container_of(d, struct call, deferred);
    trace[trace_size++] = c->name;
    loop_defer(c->loop, d, on_stop);
    if (c->again-- == 0)
        loop_stop(c->loop);
}

TEST(stop_ends_a_run_that_has_more_to_do)
{
    struct loop *loop = loop_new();
    struct call a = { .loop = loop, .name = 'a', .again = 2 };
    trace_reset();
    loop_defer(loop, &a.deferred, on_stop);
    loop_run(loop);
    check(!strcmp(trace, "aaa"), trace);
    loop_defer_cancel(&a.deferred);
    loop_destroy(loop);
}

static void nap_ms(long ms)
{
    struct timespec ts = { 0, ms * 1000000 };
    while (nanosleep(&ts, &ts))
        ;
}

static void on_slow(struct deferred *d UNUSED)
{
    nap_ms(3);
}

static void on_slower(struct deferred *d UNUSED)
{
    nap_ms(30);
}

TEST(slow_callbacks_are_counted_and_the_slowest_is_named)
{
    struct loop *loop = loop_new();
    struct deferred slow = { 0 }, slower = { 0 };
    loop_defer(loop, &slower, on_slower);
    loop_defer(loop, &slow, on_slow);
    loop_run(loop);
    const struct loop_stats *st = loop_stats(loop);
    check(st->callbacks == 2 && st->slow == 2, "both took more than 1 ms");
    check(!strcmp(st->slowest_name, "on_slower"), st->slowest_name);
    check(st->slowest_ns >= 30000000 && st->slow_ns >= 33000000, "and how long");
    loop_callback_begin(loop, "watcher");
    loop_callback_begin(loop, "inner");
    loop_callback_end(loop);
    nap_ms(60);
    loop_callback_end(loop);
    check(st->callbacks == 3 && st->slow == 3, "nested ones are one");
    check(!strcmp(st->slowest_name, "watcher"), st->slowest_name);
    loop_callback_begin(loop, "quick");
    loop_callback_end(loop);
    check(st->callbacks == 4 && st->busy_ns >= st->slow_ns, "quick ones are measured too");
    loop_destroy(loop);
}

/* The first slow one at once, what comes within the period later, in one line. */
TEST(the_slowest_callback_is_named_in_the_log)
{
    int ends[2];
    char text[4096];
    check(pipe(ends) == 0, "a pipe");
    log_setup(&(struct log_options){ LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, false });
    log_setup_fd(ends[1]);
    int64_t observed = metric_get(METRIC_loop_lag_seconds);
    struct loop *loop = loop_new();
    static const struct {
        const char *name;
        long ms;
    } calls[] = { { "first", 2 }, { "slow", 2 }, { "slowest", 20 }, { "quick", 0 }, { "late", 3 } };
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        loop_callback_begin(loop, calls[i].name);
        nap_ms(calls[i].ms);
        loop_callback_end(loop);
    }
    loop_destroy(loop);
    ssize_t size = read(ends[0], text, sizeof(text) - 1);
    text[MAX(size, 0)] = '\0';
    const char *first = strstr(text, "callback=first"), *second = strstr(text, "callback=slowest");
    check(first && second && first < second, text);
    check(strstr(first, "slow=1") < second && strstr(second, "slow=3"), text);
    check(!strstr(text, "quick") && !strstr(text, "late"), text);
    check(metric_get(METRIC_loop_lag_seconds) == observed + 5, "each is in the histogram");
    log_setup_fd(2);
    close(ends[0]);
    close(ends[1]);
}

TEST(randomness_can_be_seeded)
{
    struct loop *loop = loop_new();
    uint8_t a[300], b[300], zero[300] = { 0 };
    loop_random(loop, a, sizeof(a));
    loop_random(loop, b, sizeof(b));
    check(memcmp(a, b, sizeof(a)) && memcmp(a, zero, sizeof(a)), "the kernel does not repeat");
    loop_random_seed(loop, 7);
    loop_random(loop, a, sizeof(a));
    loop_random_seed(loop, 7);
    loop_random(loop, b, sizeof(b));
    check(!memcmp(a, b, sizeof(a)), "a seed does");
    loop_random_seed(loop, 8);
    loop_random(loop, b, sizeof(b));
    check(memcmp(a, b, sizeof(a)), "another seed, another sequence");
    unsigned seen[3] = { 0 };
    for (int i = 0; i < 3000; i++)
        seen[loop_random_below(loop, 3)]++;
    for (int i = 0; i < 3; i++)
        check(seen[i] > 850 && seen[i] < 1150, "evenly below a bound");
    loop_destroy(loop);
}

TEST(the_wall_clock_is_the_systems_until_turned)
{
    struct loop *loop = loop_new();
    uint64_t before = (uint64_t)time(NULL) * UINT64_C(1000000000);
    uint64_t now = loop_wall_ns(loop);
    check(now >= before && now < before + UINT64_C(60000000000), "nanoseconds since 1970");
    check(loop_now_ms(loop) > 0, "monotonic");
    loop_clock_set(loop, 5000, 77);
    check(loop_now_ms(loop) == 5000 && loop_wall_ns(loop) == 77, "turned");
    loop_clock_turn(loop, 10);
    check(loop_now_ms(loop) == 5010 && loop_wall_ns(loop) == 10000077, "both go on together");
    loop_destroy(loop);
}
