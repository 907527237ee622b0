/* When parts are due, and what becomes of them when regions grow and shrink. */
#include "unit.h"

#include "base/mem.h"
#include "base/prng.h"
#include "ipfs/schedule.h"
#include "lab.h"

static const struct mem_row row = { "reprovide", "", MEM_ELASTIC, 4 * MiB, 10, 50, true };
enum { HOUR = 3600 * 1000, DAY = 24 * HOUR };

struct bed {
    struct mem_plan *plan;
    struct schedule s;
};
static void bed_make(struct bed *b)
{
    check(!mem_plan_create(&b->plan, 64 * MiB, &row, 1, NULL), "plan");
    check(schedule_init(&b->s, mem_plan_find(b->plan, "reprovide")), "schedule");
    b->s.interval_ms = 22 * HOUR;
    b->s.start_ms = 100 * (uint64_t)DAY;
}
static void bed_end(struct bed *b)
{
    schedule_free(&b->s);
    mem_plan_destroy(b->plan);
}

TEST(a_part_is_due_within_an_interval_and_an_hour_at_its_offset)
{
    struct bed b;
    struct prng p = prng_of(1);
    bed_make(&b);
    for (int i = 0; i < 2000; i++) {
        struct schedule_entry e = { .done_ms =
                                        b.s.start_ms + prng_below(&p, 90 * 24) * (uint64_t)HOUR };
        prng_fill(&p, &b.s.order, sizeof(b.s.order));
        prng_fill(&p, &e.prefix.bits, 8);
        e.prefix = kad_prefix_of(e.prefix.bits, (uint8_t)prng_below(&p, 20));
        uint64_t due = schedule_due(&b.s, &e);
        check(due > e.done_ms + HOUR && due <= e.done_ms + 23 * HOUR, "in time");
        check((due - b.s.start_ms) % b.s.interval_ms ==
                  schedule_offset(e.prefix, b.s.order, b.s.interval_ms),
              "at its offset");
    }
    bed_end(&b);
}

/* Against a table of the times of 256 small parts. */
TEST(parts_are_disjoint_and_remember_their_times)
{
    struct bed b;
    struct prng p = prng_of(2);
    uint64_t times[256] = { 0 };
    bed_make(&b);
    for (uint64_t round = 1; round < 3000; round++) {
        uint8_t len = (uint8_t)prng_below(&p, 9);
        uint64_t at = (uint64_t)prng_below(&p, 256) << 56, end;
        struct schedule_entry e = { .prefix = kad_prefix_of(at, len), .done_ms = round };
        schedule_put(&b.s, &e);
        b.s.gone_count = 0; /* written */
        for (uint32_t i = 0; i < 256; i++)
            if (kad_prefix_has(e.prefix, (uint64_t)i << 56))
                times[i] = round;
        for (uint32_t i = 0; i < 256; i++) {
            const struct schedule_entry *got = schedule_at(&b.s, (uint64_t)i << 56, &end);
            check((got ? got->done_ms : 0) == times[i], "when it was done");
            struct kad_prefix gap = schedule_gap(&b.s, (uint64_t)i << 56, 3);
            for (uint32_t j = 0; !got && j < 256; j++)
                check(!kad_prefix_has(gap, (uint64_t)j << 56) || times[j] == 0, "a gap is empty");
        }
    }
    bed_end(&b);
}

TEST(rows_are_read_as_written_and_the_future_is_now)
{
    uint8_t key[SCHEDULE_KEY_BYTES], value[SCHEDULE_VALUE_BYTES];
    struct schedule_entry got, e = { .prefix = kad_prefix_of(UINT64_C(5) << 61, 3),
                                     .done_ms = 1000,
                                     .keys = 7,
                                     .servers = 25,
                                     .reached = 24,
                                     .holders_milli = 19900 };
    schedule_row_key('r', e.prefix, key);
    schedule_row_value(&e, value);
    struct bytes k = bytes_of(key, sizeof(key)), v = bytes_of(value, sizeof(value));
    check(schedule_row_decode(k, v, 2000, &got), "read");
    check(got.done_ms == 1000 && got.keys == 7 && got.prefix.len == 3 &&
              got.prefix.bits == e.prefix.bits && got.servers == 25 && got.reached == 24 &&
              got.holders_milli == 19900,
          "the same");
    check(schedule_row_decode(k, v, 500, &got) && got.done_ms == 500, "the clock was stepped back");
    check(!schedule_row_decode(k, bytes_of(value, 20), 2000, &got), "cut short");
    key[9] = 2;
    check(!schedule_row_decode(k, v, 2000, &got), "bits behind the prefix");
}
