#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/governor.h"

enum { OWNERS = 3, HOME = 3, WAITERS = 64 };

/* A house of three owners and one that pays for the governor itself. */
struct house {
    struct loop *loop;
    struct mem_plan *plan;
    struct governor *governor;
    struct process_memory held; /* what the kernel would say */
};

static void fake_process_memory(void *ctx, struct process_memory *out)
{
    *out = ((struct house *)ctx)->held;
}

static void house_open(struct house *h, uint64_t setting)
{
    struct mem_row rows[] = {
        { "node", "", MEM_ELASTIC, MiB, 1, 2, true },
        { "a", "", MEM_ELASTIC, 8 * MiB, 30, 100, true },
        { "b", "", MEM_ELASTIC, 8 * MiB, 30, 100, true },
        { "c", "", MEM_ELASTIC, 8 * MiB, 30, 100, true },
    };
    *h = (struct house){ 0 };
    check(!loop_create(&h->loop, NULL), "loop");
    loop_clock_set(h->loop, 1000, 1);
    check(!mem_plan_create(&h->plan, setting, rows, ARRAY_SIZE(rows), NULL), "plan");
    struct governor_options options = {
        .plan = h->plan, .root = "/nowhere", .process_memory = fake_process_memory, .ctx = h
    };
    check(!governor_create(&h->governor, h->loop, &options, NULL), "governor");
}

static struct mem_owner *owner(struct house *h, int i)
{
    return &h->plan->owners[1 + i];
}

static void house_close(struct house *h)
{
    governor_destroy(h->governor);
    loop_run(h->loop);
    mem_plan_destroy(h->plan); /* asserts that all is zero */
    loop_destroy(h->loop);
}

static struct mem_waiter waiters[WAITERS];
static enum err codes[WAITERS];
static int calls[WAITERS], order[WAITERS], order_count;

static void waiters_reset(void)
{
    memset(waiters, 0, sizeof(waiters));
    memset(calls, 0, sizeof(calls));
    order_count = 0;
}

static void on_wait(struct mem_waiter *w, const struct error *err)
{
    int i = (int)(w - waiters);
    calls[i]++;
    codes[i] = err ? err->code : ERR_OK;
    if (order_count < WAITERS)
        order[order_count++] = i;
}

TEST(waiters_are_served_in_order_even_when_a_later_one_would_fit)
{
    struct house h;
    waiters_reset();
    house_open(&h, 500 * MiB);
    struct mem_owner *a = owner(&h, 0);
    check(mem_take(a, 400 * MiB), "most of it is taken");
    mem_wait(a, &waiters[0], 100 * MiB, on_wait);
    mem_wait(a, &waiters[1], MiB, on_wait);
    loop_clock_turn(h.loop, 1000);
    check(order_count == 0, "the first does not fit, the second stands behind it");
    check(!mem_take(a, 1), "and nobody passes them");
    mem_give(a, 100 * MiB);
    check(order_count == 0, "never called from inside");
    loop_clock_turn(h.loop, 1);
    check(order_count == 2 && order[0] == 0 && order[1] == 1, "both now, in order");
    mem_give(a, a->used_bytes);
    house_close(&h);
}

TEST(a_canceled_waiter_is_called_back_once)
{
    struct house h;
    waiters_reset();
    house_open(&h, 500 * MiB);
    struct mem_owner *a = owner(&h, 0);
    mem_wait(a, &waiters[0], MiB, on_wait); /* canceled while it waits */
    mem_wait_cancel(&waiters[0]);
    mem_wait(a, &waiters[1], 1000 * MiB, on_wait); /* can never be */
    mem_wait(a, &waiters[2], MiB, on_wait);
    loop_clock_turn(h.loop, 1);
    check(calls[0] == 1 && codes[0] == ERR_CANCELED, "canceled while waiting");
    check(calls[1] == 1 && codes[1] == ERR_TOO_LARGE, "waiting in vain is refused at once");
    check(calls[2] == 1 && codes[2] == ERR_OK && a->used_bytes == MiB, "charged when granted");
    mem_wait_cancel(&waiters[2]); /* done: nothing happens */
    loop_clock_turn(h.loop, 1);
    check(calls[2] == 1 && a->used_bytes == MiB, "an answered wait cannot be canceled");
    mem_give(a, MiB);
    house_close(&h);
}

struct giver {
    struct governor_shrinker shrinker;
    int asked, urgent;
    bool gives;
};

static void give_back(struct governor_shrinker *s, uint64_t bytes, bool urgent)
{
    struct giver *giver = container_of(s, struct giver, shrinker);
    giver->asked++;
    giver->urgent += urgent;
    if (giver->gives)
        mem_give(s->owner, MIN(bytes, s->owner->used_bytes));
}

TEST(an_owner_below_its_share_gets_it_from_two_that_borrow)
{
    struct house h;
    struct giver givers[2] = { { .gives = true }, { .gives = true } };
    waiters_reset();
    house_open(&h, 1000 * MiB);
    for (int i = 0; i < 2; i++) {
        givers[i].shrinker =
            (struct governor_shrinker){ .owner = owner(&h, i), .shrink = give_back };
        governor_shrinker_add(h.governor, &givers[i].shrinker);
        check(mem_take(owner(&h, i), 430 * MiB), "nobody else asks: they borrow");
    }
    struct mem_owner *c = owner(&h, 2);
    for (int i = 0; i < 29; i++)
        mem_wait(c, &waiters[i], 10 * MiB, on_wait);
    loop_clock_turn(h.loop, 5000);
    check(order_count == 29 && c->used_bytes == 290 * MiB, "nearly its share of 300 MiB");
    check(givers[0].asked > 0, "the first row was asked");
    check(owner(&h, 0)->used_bytes >= 300 * MiB && owner(&h, 1)->used_bytes >= 300 * MiB,
          "nobody was asked below its own share");
    check(!givers[0].urgent && !givers[1].urgent, "this is no emergency");
    for (int i = 0; i < 2; i++)
        governor_shrinker_remove(&givers[i].shrinker);
    for (int i = 0; i < OWNERS; i++)
        mem_give(owner(&h, i), owner(&h, i)->used_bytes);
    house_close(&h);
}

static enum governor_level seen;
static void on_level(struct governor_watch *w UNUSED, enum governor_level level)
{
    seen = level;
}

TEST(the_marks_follow_what_the_process_holds)
{
    static const struct {
        const char *why;
        uint64_t held_mib;
        uint64_t after_ms;
        enum governor_level want;
        bool admits;
    } cases[] = {
        { "far below", 100, 250, GOVERNOR_NORMAL, true },
        { "just below the target", 949, 250, GOVERNOR_NORMAL, true },
        { "at the target: 1000 less half of 100", 950, 250, GOVERNOR_TARGET, true },
        { "at the trigger: less a quarter", 975, 250, GOVERNOR_TRIGGER, false },
        { "over the setting, for a moment", 1001, 250, GOVERNOR_TRIGGER, false },
        { "over it for five seconds", 1001, 5000, GOVERNOR_OVER, false },
        { "far below, for less than a second", 100, 750, GOVERNOR_OVER, false },
        { "for a second: down again", 100, 250, GOVERNOR_NORMAL, true },
        { "up at once", 975, 250, GOVERNOR_TRIGGER, false },
        { "a little below, for less than a second", 974, 750, GOVERNOR_TRIGGER, false },
        { "at it again", 975, 250, GOVERNOR_TRIGGER, false },
        { "which begins the second anew", 974, 750, GOVERNOR_TRIGGER, false },
        { "and then it is left", 974, 250, GOVERNOR_TARGET, true },
        { "far below, for a second", 100, 1000, GOVERNOR_NORMAL, true },
    };
    struct house h;
    struct giver giver = { 0 };
    struct governor_watch watch = { .cb = on_level };
    house_open(&h, 1000 * MiB);
    giver.shrinker = (struct governor_shrinker){ .owner = owner(&h, 0), .shrink = give_back };
    governor_shrinker_add(h.governor, &giver.shrinker);
    governor_watch_add(h.governor, &watch);
    check(mem_take(owner(&h, 0), 200 * MiB), "below its share: only asked when urgent");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        h.held.anon_bytes = cases[i].held_mib * MiB;
        loop_clock_turn(h.loop, cases[i].after_ms);
        check(governor_level(h.governor) == cases[i].want, cases[i].why);
        check(governor_admits(h.governor) == cases[i].admits, cases[i].why);
        check(i == 0 || seen == cases[i].want, "watchers are told");
        check((giver.urgent > 0) == (i >= 5), "work is ended only in the end");
    }
    check(governor_sample(h.governor)->unaccounted_bytes < 0, "100 held, 200 accounted");
    mem_give(owner(&h, 0), 200 * MiB);
    governor_watch_remove(&watch);
    governor_shrinker_remove(&giver.shrinker);
    house_close(&h);
}

/* Three owners ask for three times the budget, hold what they get for a while, and give it back. */
struct load {
    struct house *h;
    uint64_t held[WAITERS];
    int served;
};
static struct load load;

static void on_load(struct mem_waiter *w, const struct error *err)
{
    int i = (int)(w - waiters);
    check(!err, "everybody is served in the end");
    load.held[i] = w->bytes_;
    load.served++;
}

TEST(three_owners_asking_for_three_times_the_budget_are_all_served)
{
    struct house h;
    waiters_reset();
    house_open(&h, 400 * MiB);
    load = (struct load){ .h = &h };
    srandom(7);
    int started = 0;
    for (int step = 0; load.served < 3000; step++) {
        check(step < 100000, "it goes on");
        int i = (int)(random() % WAITERS);
        struct mem_waiter *w = &waiters[i];
        if (load.held[i]) {
            mem_give(w->owner_, load.held[i]);
            load.held[i] = 0;
        } else if (w->state_ == MEM_WAITER_IDLE && started < 3000) {
            mem_wait(owner(&h, i % OWNERS), w, (uint64_t)(1 + random() % 40) * MiB, on_load);
            started++;
        }
        loop_clock_turn(h.loop, 1);
        check(h.plan->used_bytes <= h.plan->setting_bytes - h.plan->slack_bytes, "never above");
    }
    for (int i = 0; i < WAITERS; i++)
        if (load.held[i])
            mem_give(waiters[i].owner_, load.held[i]);
    house_close(&h);
}

TEST(a_control_group_wins_over_a_larger_setting)
{
    check(governor_effective_bytes(GiB, "/nowhere") == GiB, "no group, no limit");
}
