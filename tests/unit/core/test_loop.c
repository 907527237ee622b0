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

/* A callback that keeps the loop for so long, by the turned clock: exact on a busy machine, too. */
struct busy {
    struct deferred deferred;
    struct loop *loop;
    const char *name;
    uint64_t ms;
};

static void spend_ms(struct loop *loop, uint64_t ms)
{
    loop_clock_set(loop, loop_now_ms(loop) + ms, 0);
}

static void on_busy(struct deferred *d)
{
    struct busy *b = container_of(d, struct busy, deferred);
    spend_ms(b->loop, b->ms);
}

TEST(slow_callbacks_are_counted_and_the_slowest_is_named)
{
    struct loop *loop = loop_new();
    struct busy calls[] = { { .name = "just", .ms = 1 },
                            { .name = "slower", .ms = 30 },
                            { .name = "slow", .ms = 3 },
                            { .name = "quick", .ms = 0 } };
    loop_clock_set(loop, 1000, 0);
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        calls[i].loop = loop;
        loop_defer_named(loop, &calls[i].deferred, on_busy, calls[i].name);
    }
    loop_run(loop);
    const struct loop_stats *st = loop_stats(loop);
    check(st->callbacks == 4 && st->slow == 2, "two took more than 1 ms");
    check(!strcmp(st->slowest_name, "slower") && st->slowest_ns == 30000000, st->slowest_name);
    check(st->slow_ns == 33000000 && st->busy_ns == 34000000, "and how long all took");
    loop_callback_begin(loop, "watcher");
    loop_callback_begin(loop, "inner");
    loop_callback_end(loop);
    spend_ms(loop, 60);
    loop_callback_end(loop);
    check(st->callbacks == 5 && st->slow == 3, "nested ones are one");
    check(!strcmp(st->slowest_name, "watcher"), st->slowest_name);
    loop_destroy(loop);
}

TEST(the_systems_clock_measures_callbacks_too)
{
    struct loop *loop = loop_new();
    struct timespec nap = { 0, 3000000 };
    loop_callback_begin(loop, "nap");
    while (nanosleep(&nap, &nap))
        ;
    loop_callback_end(loop);
    check(loop_stats(loop)->slow == 1 && loop_stats(loop)->slowest_ns >= 3000000, "3 ms are slow");
    loop_destroy(loop);
}

/* The first slow one at once, what comes within the period later, in one line. */
TEST(the_slowest_callback_is_named_in_the_log)
{
    static const struct {
        const char *name;
        uint64_t ms, then_ms;
    } calls[] = {
        { "first", 2, 0 }, { "slow", 2, 0 },      { "slowest", 20, 0 }, { "quick", 0, 0 },
        { "late", 3, 0 },  { "quick", 0, 10000 }, { "next", 2, 0 },     { "last", 2, 0 }
    };
    int ends[2];
    char text[4096];
    check(pipe(ends) == 0, "a pipe");
    log_setup(&(struct log_options){ LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT, false });
    log_setup_fd(ends[1]);
    int64_t observed = metric_get(METRIC_loop_lag_seconds);
    struct loop *loop = loop_new();
    loop_clock_set(loop, 1000, 0);
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        loop_callback_begin(loop, calls[i].name);
        spend_ms(loop, calls[i].ms);
        loop_callback_end(loop);
        spend_ms(loop, calls[i].then_ms);
    }
    loop_destroy(loop);
    ssize_t size = read(ends[0], text, sizeof(text) - 1);
    text[MAX(size, 0)] = '\0';
    static const char *const want[] = { "callback=first microseconds=2000 slow=1\n",
                                        "callback=slowest microseconds=20000 slow=4\n",
                                        "callback=last microseconds=2000 slow=1\n" };
    const char *at = text;
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        check((at = strstr(at, want[i])) != NULL, text);
    check(strchr(at, '\n')[1] == '\0', text);
    check(metric_get(METRIC_loop_lag_seconds) == observed + (int64_t)ARRAY_SIZE(calls),
          "each is in the histogram");
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
    const uint64_t quarter = UINT64_C(1) << 62; /* a bound that does not divide 2^64 by far */
    unsigned low = 0;
    for (int i = 0; i < 3000; i++)
        low += loop_random_below(loop, 3 * quarter) < quarter;
    check(low > 850 && low < 1150, "also a large one");
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
