#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"

static struct mem_row row(const char *name, uint64_t floor, uint8_t share, uint8_t ceiling)
{
    return (struct mem_row){ .name = name,
                             .at_limit = "it waits",
                             .floor_bytes = floor,
                             .share_percent = share,
                             .ceiling_percent = ceiling,
                             .enabled = true };
}

static struct mem_plan *plan_of(uint64_t setting, const struct mem_row *rows, uint32_t count)
{
    struct mem_plan *plan = NULL;
    check(!mem_plan_create(&plan, setting, rows, count, NULL),
          "a plan is made even if it is tight");
    return plan;
}

/* The rules again, as slowly and plainly as they can be said. */
static bool model_allows(const struct mem_plan *plan, uint32_t who, uint64_t bytes)
{
    const struct mem_owner *o = &plan->owners[who];
    uint64_t sum = bytes, used_after = o->used_bytes + bytes;
    bool unfair = false;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct mem_owner *p = &plan->owners[i];
        sum += i == who ? p->used_bytes : MAX(p->used_bytes, p->row.floor_bytes);
        unfair |= i != who && p->waiters > 0 && p->used_bytes < p->share_bytes;
    }
    if (used_after > o->ceiling_bytes || (unfair && o->used_bytes >= o->share_bytes))
        return false;
    return used_after <= o->row.floor_bytes || sum <= plan->setting_bytes - plan->slack_bytes;
}

static void check_invariants(const struct mem_plan *plan)
{
    uint64_t used = 0, reserved = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct mem_owner *o = &plan->owners[i];
        check(o->used_bytes <= o->ceiling_bytes, "an owner is never above its ceiling");
        used += o->used_bytes;
        reserved += MAX(o->used_bytes, o->row.floor_bytes);
    }
    check(used == plan->used_bytes, "the plan's sum is the owners' sum");
    check(reserved <= plan->setting_bytes - plan->slack_bytes,
          "floors that are not used stay free");
}

TEST(takes_follow_the_rules_whatever_the_order)
{
    srandom(1);
    for (int round = 0; round < 200; round++) {
        const struct mem_row rows[] = {
            row("a", (uint64_t)(random() % 16) * MiB, (uint8_t)(random() % 50), 60),
            row("b", (uint64_t)(random() % 16) * MiB, (uint8_t)(random() % 50), 80),
            row("c", (uint64_t)(random() % 16) * MiB, (uint8_t)(random() % 50), 100),
        };
        struct mem_plan *plan = plan_of((uint64_t)(100 + random() % 900) * MiB, rows, 3);
        for (int step = 0; step < 2000; step++) {
            uint32_t who = (uint32_t)random() % 3;
            struct mem_owner *o = &plan->owners[who];
            uint64_t bytes = (uint64_t)(random() % 64) * MiB / (1 + (uint64_t)random() % 9);
            o->waiters = random() % 8 == 0; /* as the governor would set it */
            if (random() % 2) {
                uint64_t before = o->used_bytes;
                bool want = model_allows(plan, who, bytes) && o->waiters == 0;
                check(mem_take(o, bytes) == want, "the take is granted exactly when the rules say");
                check(o->used_bytes == before + (want ? bytes : 0), "and only then it counts");
            } else {
                mem_give(o, MIN(bytes, o->used_bytes));
            }
            check_invariants(plan);
        }
        for (uint32_t i = 0; i < plan->count; i++)
            mem_give(&plan->owners[i], plan->owners[i].used_bytes);
        mem_plan_destroy(plan);
    }
}

TEST(a_floor_is_there_even_when_others_hold_all_they_can)
{
    const struct mem_row rows[] = { row("greedy", 0, 10, 100), row("modest", 8 * MiB, 5, 10) };
    struct mem_plan *plan = plan_of(256 * MiB, rows, 2);
    struct mem_owner *greedy = &plan->owners[0], *modest = &plan->owners[1];
    while (mem_take(greedy, MiB))
        ;
    check(greedy->refused == 1, "it was refused at last");
    check(mem_take(modest, 8 * MiB), "the floor is never lent");
    check(!mem_take(modest, MiB), "above it there is nothing left");
    mem_give(greedy, greedy->used_bytes);
    mem_give(modest, modest->used_bytes);
    mem_plan_destroy(plan);
}

TEST(a_borrower_gets_no_more_while_another_waits_for_its_share)
{
    const struct mem_row rows[] = { row("borrower", 0, 10, 100), row("waiter", 0, 50, 60) };
    struct mem_plan *plan = plan_of(1000 * MiB, rows, 2);
    struct mem_owner *borrower = &plan->owners[0], *waiter = &plan->owners[1];
    check(mem_take(borrower, 400 * MiB), "nobody else asks");
    waiter->waiters = 1;
    check(!mem_take(borrower, MiB), "its share is used up and another waits");
    check(mem_take_for_waiter(waiter, 499 * MiB), "the waiter takes nearly all of its share");
    borrower->waiters = 1;
    mem_give(borrower, 301 * MiB);
    check(mem_take_for_waiter(borrower, 2 * MiB), "an item may cross the line: two that are just");
    check(mem_take_for_waiter(waiter, 2 * MiB), "below their shares must not wait for each other");
    borrower->waiters = 0;
    mem_give(borrower, 2 * MiB);
    check(mem_take(borrower, 301 * MiB) == false, "still waited for");
    mem_give(waiter, waiter->used_bytes);
    waiter->waiters = 0;
    check(mem_take(borrower, 301 * MiB), "nobody waits");
    waiter->waiters = 1;
    check(mem_take_for_waiter(waiter, 400 * MiB), "the waiter is served");
    waiter->waiters = 0;
    check(mem_take(borrower, MiB), "nobody waits");
    mem_give(borrower, borrower->used_bytes);
    mem_give(waiter, waiter->used_bytes);
    mem_plan_destroy(plan);
}

TEST(a_plan_that_does_not_fit_says_by_how_much)
{
    const struct mem_row rows[] = { row("a", 40 * MiB, 5, 5) };
    struct mem_plan *plan = plan_of(64 * MiB, rows, 1);
    struct error err;
    check(mem_plan_check(plan, &err) == ERR_CONFIG, "40 and 48 MiB are more than 64");
    check(strstr(err.text, "24.0 MiB more than the setting of 64.0 MiB"), err.text);
    check(strstr(err.text, "slack 48.0 MiB, a "), "it names what needs it");
    mem_plan_destroy(plan);
}

TEST(an_owner_that_is_off_has_nothing)
{
    struct mem_row off = row("off", 8 * MiB, 10, 20);
    off.enabled = false;
    struct mem_plan *plan = plan_of(256 * MiB, &off, 1);
    check(mem_plan_needed_bytes(plan) == plan->slack_bytes, "no floor");
    check(!mem_take(&plan->owners[0], 1), "and no share");
    mem_plan_destroy(plan);
}

TEST(blocks_are_charged_by_what_they_take)
{
    const struct mem_row rows[] = { row("a", 4 * MiB, 50, 100) };
    struct mem_plan *plan = plan_of(128 * MiB, rows, 1);
    struct mem_owner *o = &plan->owners[0];
    char *p = mem_try_zalloc(o, 1000);
    check(p && o->used_bytes >= 1000 && p[999] == 0, "at least what was asked");
    p = mem_try_realloc(o, p, 100000);
    check(p && o->used_bytes >= 100000, "growing is charged");
    p = mem_try_realloc(o, p, 10);
    check(p && o->used_bytes < 1000, "shrinking gives back");
    mem_fault_at(1);
    check(mem_try_alloc(o, 16) == NULL, "a refusal is an ordinary answer");
    mem_free(o, p);
    check(o->used_bytes == 0 && o->peak_bytes >= 100000, "nothing is left, the peak is remembered");
    check(mem_could_ever(o, 4 * MiB) && !mem_could_ever(o, 127 * MiB), "the slack is nobody's");
    mem_plan_destroy(plan);
}

TEST(an_arena_stays_under_its_limit_and_keeps_a_block)
{
    const struct mem_row rows[] = { row("a", 4 * MiB, 50, 100) };
    struct mem_plan *plan = plan_of(128 * MiB, rows, 1);
    struct arena a;
    arena_init(&a, &plan->owners[0], 4096, 64 * KiB);
    for (int round = 0; round < 3; round++) {
        size_t got = 0;
        for (char *p; (p = arena_alloc(&a, 100)) != NULL; got += 100)
            memset(p, 1, 100);
        check(got > 50 * KiB && got <= 64 * KiB, "close to the limit and not above");
        check(arena_alloc(&a, 1 << 20) == NULL, "an item over the limit is refused");
        arena_reset(&a);
        check(a.bytes == 4096, "one block is kept");
    }
    arena_free(&a);
    mem_plan_destroy(plan);
}
