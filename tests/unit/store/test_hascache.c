#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/metrics.h"
#include "store/hascache_segment.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STEPS = 900 * 1000 };
#else
enum { STEPS = 10 * 1000 * 1000 };
#endif
enum { KEYS = 1 << 16, CHECK_EVERY = 10000, SWING = 220 * 1000 };

static const struct mem_row rows[] = {
    { "hascache", "partial", MEM_ELASTIC, 2 * MiB, 50, 90, true },
};

static struct mem_plan *plan_of(uint64_t setting)
{
    struct mem_plan *plan = NULL;
    check(!mem_plan_create(&plan, setting, rows, 1, NULL), "plan");
    return plan;
}

static struct hascache *cache_of(struct mem_plan *plan, uint64_t expected)
{
    struct hascache *h = NULL;
    struct error err = { ERR_OK, "" };
    struct hascache_options o = { .key = "0123456789abcde", .expected = expected };
    check(!hascache_create(&h, mem_plan_find(plan, "hascache"), &o, &err), err.text);
    return h;
}

static struct hascache_hash hash_of(const struct hascache *h, uint64_t number)
{
    struct chunk_id id = { { 0 }, { 0 }, { 0 } };
    struct hascache_hash k;
    memcpy(id.address, &number, sizeof(number));
    hascache_key(h, &id, &k);
    return k;
}

static void expect_whole(const struct hascache *h, uint64_t count)
{
    struct error err = { ERR_OK, "" };
    check(!hascache_check(h, &err), err.text);
    check(hascache_count(h) == count, "every member is counted");
}

/* The reference: who is in, and where each hash stands in the list of keys. */
struct reference {
    struct hascache_hash key[KEYS];
    bool in[KEYS], seen[KEYS];
    uint32_t index[4 * KEYS]; /* open addressing; number + 1 */
    uint64_t count, found;
};

static uint32_t *reference_slot(struct reference *r, const struct hascache_hash *k)
{
    uint32_t at = (uint32_t)(k->lo % (4 * KEYS));
    while (r->index[at] &&
           (r->key[r->index[at] - 1].lo != k->lo || r->key[r->index[at] - 1].hi != k->hi))
        at = (at + 1) % (4 * KEYS);
    return &r->index[at];
}

static void expect_member(void *ctx, const struct hascache_hash *k)
{
    struct reference *r = ctx;
    uint32_t number = *reference_slot(r, k);
    check(number > 0 && r->in[number - 1] && !r->seen[number - 1], "a member, and once");
    r->seen[number - 1] = true;
    r->found++;
}

/* Every slot decoded equals the reference. */
static void expect_members(const struct hascache *h, struct reference *r)
{
    memset(r->seen, 0, sizeof(r->seen));
    r->found = 0;
    hascache_iterate(h, expect_member, r);
    check(r->found == r->count, "as many as the reference");
}

/* The share of adds swings, so that the set fills and empties again and again. All keys go to two
 * prefixes, so that segments grow to 32 pages, split, shrink and merge. */
TEST(random_steps_agree_with_a_reference)
{
    static struct reference r;
    struct mem_plan *plan = plan_of(256 * MiB);
    struct hascache *h = cache_of(plan, 0);
    struct prng p = prng_of(1);
    struct hascache_stats stats;
    int64_t measured_before = metric_get(METRIC_hascache_relayout_seconds);
    for (uint32_t i = 0; i < KEYS; i++) {
        r.key[i] = hash_of(h, i);
        r.key[i].hi &= 0x01ff;
        *reference_slot(&r, &r.key[i]) = i + 1;
    }
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t i = prng_below(&p, KEYS), what = prng_below(&p, 100);
        uint32_t adds = step / SWING % 2 ? 15 : 75;
        if (what < adds) {
            enum hascache_put put = hascache_add(h, &r.key[i]);
            check(put == (r.in[i] ? HASCACHE_PRESENT : HASCACHE_ADDED), "add");
            r.count += !r.in[i];
            r.in[i] = true;
        } else if (what < 90) {
            check(hascache_remove(h, &r.key[i]) == r.in[i], "remove");
            r.count -= r.in[i];
            r.in[i] = false;
        } else {
            check(hascache_has(h, &r.key[i]) == r.in[i], "has");
        }
        if (step % CHECK_EVERY == 0) {
            expect_whole(h, r.count);
            expect_members(h, &r);
        }
    }
    hascache_stats(h, &stats);
    check(stats.splits >= 2 && stats.merges >= 2 && stats.refused == 0, "it split and merged");
    int64_t measured = metric_get(METRIC_hascache_relayout_seconds) - measured_before;
    check(measured > 0 && measured <= (int64_t)stats.relayouts &&
              measured >= (int64_t)stats.relayouts / 3,
          "each step that lays out segments is measured; a split lays out two");
    for (uint32_t i = 0; i < KEYS; i++)
        check(hascache_remove(h, &r.key[i]) == r.in[i], "remove the rest");
    expect_whole(h, 0);
    hascache_destroy(h);
    check(plan->used_bytes == 0, "nothing is left");
    mem_plan_destroy(plan);
}

static void check_segment_places(struct hascache_segment *s)
{
    static const uint64_t lows[] = { 0, 1, UINT64_MAX, UINT64_MAX >> 16, 0xffff };
    static const uint16_t highs[] = { 0, 0xff, 0x100, 0xffff, 0x80 };
    for (size_t i = 0; i < ARRAY_SIZE(lows) * ARRAY_SIZE(highs); i++) {
        struct hascache_hash k = hascache_hash_of(lows[i / 5], highs[i % 5]);
        check(k.lo != 0 || (k.hi & 0xff) != 0, "no hash looks like an empty slot");
        check(first_line(s, k.lo, (uint8_t)k.hi) < s->lines, "first place");
        check(second_line(s, k.lo) < s->lines, "second place");
    }
    for (uint32_t line = 0; line < s->lines; line++) { /* the borders of every line */
        uint64_t t = (((uint64_t)line << 32) + s->lines - 1) / s->lines;
        uint64_t top = t << (32 - s->depth), lo = top << 16;
        check(first_line(s, lo, (uint8_t)(top >> 48)) == line, "the first t of a line");
        check(line == 0 || first_line(s, (top - 1) << 16, (uint8_t)((top - 1) >> 48)) == line - 1,
              "the last t of the line before");
    }
}

TEST(places_are_inside_segments_of_every_size)
{
    for (uint8_t depth = DEPTH_MIN; depth <= LIMIT_HASCACHE_DEPTH_MAX; depth += 4)
        for (uint32_t pages = 1; pages <= SEGMENT_PAGES_MAX; pages++) {
            struct hascache_segment s = { .depth = depth };
            hascache_set_pages(&s, pages);
            check_segment_places(&s);
        }
}

TEST(kernels_agree)
{
    struct prng p = prng_of(3);
    for (int round = 0; round < 20000; round++) {
        _Alignas(64) struct hascache_line line;
        for (int i = 0; i < SLOTS_PER_LINE; i++) {
            line.lo[i] = prng_below(&p, 4);
            line.hi[i] = (uint8_t)prng_below(&p, 3);
        }
        line.ovf = (uint8_t)prng_next(&p);
        uint64_t lo = prng_below(&p, 4);
        uint8_t hi = (uint8_t)prng_below(&p, 3);
        int want = -1;
        for (int i = SLOTS_PER_LINE; i-- > 0;)
            want = line.lo[i] == lo && line.hi[i] == hi ? i : want;
        for (unsigned i = 0; i < HASCACHE_KERNELS; i++)
            check(!hascache_kernel(i) || hascache_kernel(i)->find(&line, lo, hi) == want,
                  "every kernel finds the first match");
    }
}

TEST(batches_answer_like_single_looks)
{
    struct mem_plan *plan = plan_of(256 * MiB);
    struct hascache *h = cache_of(plan, 100000);
    struct hascache_hash k[250];
    uint8_t have[32];
    for (uint64_t i = 0; i < 100000; i++) {
        k[0] = hash_of(h, 2 * i);
        check(hascache_add(h, &k[0]) == HASCACHE_ADDED, "add");
    }
    for (unsigned kernel = 0; kernel < HASCACHE_KERNELS; kernel++) {
        if (!hascache_kernel(kernel))
            continue;
        h->kernel = hascache_kernel(kernel);
        for (uint32_t count = 1; count <= 250; count += 1 + count / 9) {
            for (uint32_t i = 0; i < count; i++)
                k[i] = hash_of(h, 700 * count + i);
            memset(have, 0xff, sizeof(have));
            hascache_has_many(h, k, count, have);
            for (uint32_t i = 0; i < count; i++)
                check((have[i / 8] >> i % 8 & 1) == hascache_has(h, &k[i]) &&
                          hascache_has(h, &k[i]) == (i % 2 == 0 && 700 * count + i < 200000),
                      "bit i is the answer for k[i]");
            check(count % 8 == 0 || have[count / 8] >> count % 8 == 0, "no bit behind the last");
            check(count / 8 + 1 >= 32 || have[count / 8 + 1] == 0xff, "no byte behind the last");
        }
    }
    hascache_destroy(h);
    mem_plan_destroy(plan);
}

/* Hashes that all begin alike: the table refuses or grows, but ends. */
TEST(weak_hashes_end_in_a_refusal)
{
    static const struct {
        const char *why;
        uint64_t lo_mask;
        uint16_t hi;
        uint32_t at_least;
    } cases[] = {
        { "64 bits alike", 0xffff, 0x1234, 200 },
        { "40 bits alike", 0xffffffffff, 0xabcd, 200 },
        { "16 bits alike", UINT64_MAX, 0x00ff, 200 },
        { "all bits alike", 0, 0x4242, 1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct mem_plan *plan = plan_of(256 * MiB);
        struct hascache *h = cache_of(plan, 0);
        struct prng p = prng_of(i);
        uint64_t added = 0;
        hascache_built(h);
        for (uint32_t n = 0; n < 120000; n++) {
            struct hascache_hash k =
                hascache_hash_of(prng_next(&p) & cases[i].lo_mask, cases[i].hi);
            enum hascache_put put = hascache_add(h, &k);
            added += put == HASCACHE_ADDED;
            check(put == HASCACHE_REFUSED || hascache_has(h, &k), "what it took it has");
            if (put == HASCACHE_REFUSED) {
                check(!hascache_has(h, &k), "what it refused it has not");
                check(hascache_state(h) == HASCACHE_PARTIAL, "and it says so");
                if (n > 20000)
                    break;
            }
        }
        expect_whole(h, added);
        check(added >= cases[i].at_least, cases[i].why);
        hascache_destroy(h);
        mem_plan_destroy(plan);
    }
}

/* Fills one segment up to the split; at each step the n-th take from the owner is refused. */
static void refuse_each_take(uint32_t nth, uint16_t hi_mask)
{
    struct mem_plan *plan = plan_of(256 * MiB);
    struct hascache *h = cache_of(plan, 0);
    uint64_t added = 0, refusals = 0;
    for (uint64_t i = 0; i < 40000; i++) {
        struct hascache_hash k = hash_of(h, i);
        k.hi &= hi_mask;
        mem_fault_at(nth);
        enum hascache_put put = hascache_add(h, &k);
        mem_fault_at(0);
        added += put == HASCACHE_ADDED;
        if (put != HASCACHE_REFUSED)
            continue;
        refusals++;
        check(!hascache_has(h, &k), "the refused one is not there");
        if (refusals % 8 == 1)
            expect_whole(h, added);
        check(hascache_add(h, &k) == HASCACHE_ADDED, "and fits once there is room");
        added++;
    }
    expect_whole(h, added);
    for (uint64_t i = 0; i < 40000; i++) {
        struct hascache_hash k = hash_of(h, i);
        k.hi &= hi_mask;
        check(hascache_has(h, &k), "all are there");
        mem_fault_at(nth);
        check(hascache_remove(h, &k), "and can go while everything is refused");
        mem_fault_at(0);
    }
    expect_whole(h, 0);
    check(nth > 2 || refusals > 0, "something was refused");
    hascache_destroy(h);
    mem_plan_destroy(plan);
}

TEST(a_refused_page_leaves_the_set_unchanged)
{
    for (uint32_t nth = 1; nth <= 4; nth++)
        refuse_each_take(nth, 0x00ff);
}

/* Count after every phase: a table that lost bits would look right until deletes are counted. */
TEST(counts_hold_over_growth_and_eviction)
{
    enum { N = STEPS / 10 };
    struct mem_plan *plan = plan_of(512 * MiB);
    struct hascache *h = cache_of(plan, 0);
    double worst = 0;
    hascache_built(h);
    for (uint64_t i = 0; i < N; i++) {
        struct hascache_hash k = hash_of(h, i);
        check(hascache_add(h, &k) == HASCACHE_ADDED, "grow");
        double each = (double)hascache_bytes(h) / (double)(i + 1);
        worst = i > N / 2 && each > worst ? each : worst;
    }
    expect_whole(h, N);
    check(STEPS < 1000000 || worst <= 12, "bytes an entry while growing");
    uint64_t gone = 0;
    for (uint64_t i = 0; i < N; i++) {
        struct hascache_hash k = hash_of(h, i);
        if (i % 10 < 6) {
            check(hascache_remove(h, &k), "evict");
            gone++;
        }
    }
    expect_whole(h, N - gone);
    check(STEPS < 1000000 || (double)hascache_bytes(h) / (double)(N - gone) <= 14, "and give back");
    for (uint64_t i = 0; i < N; i++) {
        struct hascache_hash k = hash_of(h, i);
        check(hascache_has(h, &k) == (i % 10 >= 6), "the others stay");
        gone += hascache_remove(h, &k);
    }
    check(gone == N && hascache_bytes(h) < 3 * MiB, "empty again, and small");
    expect_whole(h, 0);
    hascache_destroy(h);
    mem_plan_destroy(plan);
}

TEST(states_and_limits)
{
    struct mem_plan *plan = plan_of(256 * MiB);
    struct mem_owner *mem = mem_plan_find(plan, "hascache");
    struct error err = { ERR_OK, "" };
    struct hascache *h = NULL;
    struct hascache_options o = { .expected = 1 << 20, .bytes_max = 2 * MiB };
    check(hascache_state(NULL) == HASCACHE_OFF, "no cache is off");
    check(hascache_create(&h, mem, &o, &err) == ERR_BUDGET && !h, "larger than its limit");
    check(mem->used_bytes == 0, "nothing stays behind");
    o.expected = 0;
    check(!hascache_create(&h, mem, &o, &err), err.text);
    check(hascache_state(h) == HASCACHE_BUILDING, "it begins empty and building");
    hascache_built(h);
    check(hascache_state(h) == HASCACHE_COMPLETE, "all was read");
    uint64_t n = 0;
    struct hascache_hash k;
    do {
        k = hash_of(h, n++);
    } while (hascache_add(h, &k) == HASCACHE_ADDED);
    check(hascache_state(h) == HASCACHE_PARTIAL && n > 100000, "full: partial");
    check(hascache_bytes(h) <= 2 * MiB, "the limit holds");
    k = hash_of(h, 0);
    check(hascache_has(h, &k), "what it has it says");
    expect_whole(h, n - 1);
    hascache_destroy(h);
    mem_plan_destroy(plan);
}

TEST(a_held_set_takes_no_page)
{
    struct mem_plan *plan = plan_of(256 * MiB);
    struct error err = { ERR_OK, "" };
    struct hascache *h = NULL;
    struct hascache_hash k;
    uint64_t n = 0;
    struct hascache_options o = { .expected = 0 };
    check(!hascache_create(&h, mem_plan_find(plan, "hascache"), &o, &err), err.text);
    hascache_built(h);
    uint64_t bytes = hascache_bytes(h);
    hascache_hold(h, true);
    for (k = hash_of(h, 0); hascache_add(h, &k) == HASCACHE_ADDED; k = hash_of(h, ++n))
        ;
    check(n > 50000 && hascache_bytes(h) == bytes, "what has room is taken, and no page");
    check(hascache_state(h) == HASCACHE_PARTIAL, "then it is partial");
    check(!hascache_rebuild(h), "while it is held there is no use in building");
    hascache_hold(h, false);
    check(hascache_add(h, &k) == HASCACHE_ADDED && hascache_state(h) == HASCACHE_PARTIAL,
          "let go it grows, and lacks what it lacks");
    expect_whole(h, n + 1);
    check(hascache_rebuild(h) && hascache_state(h) == HASCACHE_BUILDING, "until it is built anew");
    check(hascache_has(h, &k), "with what it has");
    hascache_built(h);
    check(hascache_state(h) == HASCACHE_COMPLETE && !hascache_rebuild(h), "which it is once");
    hascache_destroy(h);
    mem_plan_destroy(plan);
}
