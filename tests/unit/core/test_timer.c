#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "core/timer.h"

struct alarm {
    struct timer timer;
    uint64_t want_ms; /* when it should fire; 0: not at all */
    uint64_t fired_ms;
    unsigned fired;
    uint64_t again_ms; /* sets itself again */
};

static const struct alarm *last; /* the one that fired last */
static bool in_order;

static struct loop *loop_new(void)
{
    struct loop *loop = NULL;
    last = NULL;
    struct error err = { ERR_OK, "" };
    check(loop_create(&loop, &err) == ERR_OK, err.text);
    return loop;
}

static void on_alarm(struct timer *t)
{
    struct alarm *a = container_of(t, struct alarm, timer);
    check(!timer_is_set(t), "a timer that fires is off");
    a->fired_ms = loop_now_ms(t->loop_);
    a->fired++;
    if (last && last->fired_ms == a->fired_ms && last > a)
        in_order = false; /* among equals, the one set first */
    last = a;
    if (a->again_ms)
        timer_set(t, a->again_ms);
}

TEST(timers_fire_when_due_and_never_before)
{
    struct loop *loop = loop_new();
    struct alarm a = { 0 }, b = { 0 }, c = { 0 }, off = { 0 };
    timer_set(&off.timer, 0); /* fine on a zeroed one */
    timer_init(&a.timer, loop, on_alarm, "a");
    timer_init(&b.timer, loop, on_alarm, "b");
    timer_init(&c.timer, loop, on_alarm, "c");
    loop_clock_set(loop, 1000, 0);
    timer_set(&a.timer, 10);
    timer_set(&b.timer, 20);
    timer_set(&c.timer, 15);
    loop_run(loop);
    check(a.fired + b.fired + c.fired == 0, "the clock stands");
    check(timer_left_ms(&b.timer) == 20, "time left");
    loop_clock_turn(loop, 9);
    check(a.fired == 0 && timer_left_ms(&a.timer) == 1, "a millisecond early");
    loop_clock_turn(loop, 1);
    check(a.fired == 1 && timer_left_ms(&a.timer) == 0, "due");
    timer_set(&c.timer, 0);
    check(!timer_is_set(&c.timer), "off");
    timer_set(&b.timer, 40); /* anew: from now on */
    loop_clock_turn(loop, 39);
    check(b.fired == 0, "it was set anew");
    loop_clock_turn(loop, 1);
    check(b.fired == 1 && c.fired == 0, "the one that is off stays silent");
    loop_clock_turn(loop, 1000000);
    check(a.fired == 1 && b.fired == 1, "once");
    loop_destroy(loop);
}

TEST(a_turn_of_the_clock_stops_at_every_deadline)
{
    struct loop *loop = loop_new();
    struct alarm a = { .again_ms = 7 };
    timer_init(&a.timer, loop, on_alarm, "a");
    loop_clock_set(loop, 1, 0);
    timer_set(&a.timer, 7);
    loop_clock_turn(loop, 71);
    check(a.fired == 10 && a.fired_ms == 71, "a periodic timer fires each time, at its time");
    timer_set(&a.timer, 0);
    loop_clock_set(loop, 1000, 0);
    timer_set(&a.timer, 7);
    loop_clock_set(loop, 2000, 0);
    loop_run(loop);
    check(a.fired == 11 && a.fired_ms == 2000, "a jump fires it once, late");
    timer_set(&a.timer, 0);
    loop_destroy(loop);
}

/* Against the plain rule: 3000 timers, set, set anew and switched off at random. */
TEST(the_heap_keeps_the_order_of_deadlines)
{
    enum { COUNT = 3000, STEPS = 40000 };
    struct loop *loop = loop_new();
    struct alarm *all = calloc(COUNT, sizeof(*all));
    loop_clock_set(loop, 1, 0);
    loop_random_seed(loop, 1);
    for (int i = 0; i < COUNT; i++)
        timer_init(&all[i].timer, loop, on_alarm, "all");
    last = NULL;
    for (int i = 0; i < STEPS; i++) {
        struct alarm *a = &all[loop_random_below(loop, COUNT)];
        uint64_t ms = loop_random_below(loop, 4) ? 1 + loop_random_below(loop, 1000) : 0;
        timer_set(&a->timer, ms);
        a->want_ms = ms ? loop_now_ms(loop) + ms : 0;
        a->fired = 0;
        if (i % 100 == 99) {
            loop_clock_turn(loop, loop_random_below(loop, 20));
            for (int k = 0; k < COUNT; k++) {
                bool due = all[k].want_ms && all[k].want_ms <= loop_now_ms(loop);
                check(all[k].fired == due, "exactly those fire that are due, once");
                check(!due || all[k].fired_ms == all[k].want_ms, "each at its time");
            }
        }
    }
    loop_clock_turn(loop, 2000);
    for (int k = 0; k < COUNT; k++)
        check(!timer_is_set(&all[k].timer), "all have fired or are off");
    free(all);
    loop_destroy(loop);
}

TEST(equal_deadlines_fire_in_the_order_of_setting)
{
    enum { COUNT = 100 };
    struct loop *loop = loop_new();
    struct alarm all[COUNT] = { 0 };
    loop_clock_set(loop, 1, 0);
    for (int i = 0; i < COUNT; i++) {
        timer_init(&all[i].timer, loop, on_alarm, "all");
        timer_set(&all[i].timer, 50);
    }
    last = NULL;
    in_order = true;
    loop_clock_turn(loop, 50);
    check(last == &all[COUNT - 1] && in_order, "first set, first served");
    loop_destroy(loop);
}

static void on_switch_off(struct timer *t)
{
    struct alarm *a = container_of(t, struct alarm, timer);
    a->fired++;
    timer_set(&a[1].timer, 0); /* due in the same turn */
}

TEST(a_callback_may_switch_another_off)
{
    struct loop *loop = loop_new();
    struct alarm two[2] = { 0 };
    loop_clock_set(loop, 1, 0);
    timer_init(&two[0].timer, loop, on_switch_off, "first");
    timer_init(&two[1].timer, loop, on_alarm, "second");
    timer_set(&two[0].timer, 5);
    timer_set(&two[1].timer, 5);
    loop_clock_turn(loop, 10);
    check(two[0].fired == 1 && two[1].fired == 0, "the second stays silent");
    loop_destroy(loop);
}

TEST(a_clock_turned_past_a_deadline_fires_it_at_once)
{
    struct loop *loop = loop_new();
    struct alarm a = { 0 };
    timer_init(&a.timer, loop, on_alarm, "a");
    timer_set(&a.timer, 3600000); /* by the system's clock */
    loop_clock_set(loop, loop_now_ms(loop) + 3600000, 0);
    loop_run(loop);
    check(a.fired == 1, "an hour has passed");
    loop_destroy(loop);
}

TEST(a_timer_that_is_off_wakes_nobody)
{
    struct loop *loop = loop_new();
    struct alarm a = { 0 };
    timer_init(&a.timer, loop, on_alarm, "a");
    timer_set(&a.timer, 5000);
    timer_set(&a.timer, 0);
    uint64_t start_ms = loop_now_ms(loop);
    loop_run(loop);
    check(loop_now_ms(loop) < start_ms + 5000, "nothing is left to wait for");
    loop_destroy(loop);
}

TEST(the_systems_clock_drives_timers_too)
{
    struct loop *loop = loop_new();
    struct alarm a = { 0 }, far = { 0 };
    timer_init(&a.timer, loop, on_alarm, "a");
    timer_init(&far.timer, loop, on_alarm, "far");
    timer_set(&far.timer, 3600000);
    timer_set(&a.timer, 20);
    uint64_t start_ms = loop_now_ms(loop);
    timer_set(&far.timer, 0);
    loop_run(loop); /* ends, since nothing is left */
    check(a.fired == 1 && a.fired_ms >= start_ms + 20, "not before its time");
    check(far.fired == 0, "off is off");
    loop_destroy(loop);
}
