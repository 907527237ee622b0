#include "unit.h"

#include "swarm/pull_intervals.h"

static void check_same(const struct pull_intervals *v, const bool *model, uint64_t top)
{
    uint64_t covered = 0;
    for (uint64_t i = 1; i <= top; i++) {
        covered += model[i];
        check((pull_intervals_next(v, i) != i) == model[i], "as the model has it");
    }
    check(pull_intervals_covered(v, top) == covered, "and counted");
}

TEST(intervals_are_what_was_added_less_what_was_removed)
{
    enum { TOP = 60 };
    uint32_t seed = 1;
    for (int round = 0; round < 300; round++) {
        struct pull_intervals v = { .count = 0 };
        bool model[TOP + 2] = { false };
        for (int step = 0; step < 12; step++) {
            seed = seed * 1664525 + 1013904223;
            uint64_t from = 1 + seed / 65536 % TOP, to = from + seed / 256 % 9;
            to = to > TOP ? TOP : to;
            bool add = seed >> 30 != 0;
            if (add)
                pull_intervals_add(&v, from, to);
            else
                pull_intervals_remove(&v, from, to);
            for (uint64_t i = from; i <= to; i++)
                model[i] = add;
            check_same(&v, model, TOP);
        }
        uint8_t buf[PULL_INTERVALS_BYTES_MAX];
        struct writer w = writer_of(buf, sizeof(buf));
        struct pull_intervals again;
        pull_intervals_encode(&w, &v);
        check(!pull_intervals_decode(&again, bytes_of(buf, writer_used(&w)), NULL), "is read back");
        check_same(&again, model, TOP);
    }
}

TEST(of_too_many_the_shortest_is_forgotten)
{
    struct pull_intervals v = { .count = 0 };
    for (uint64_t i = 0; i <= LIMIT_PULLSYNC_INTERVALS; i++)
        pull_intervals_add(&v, 100 * i + 1, 100 * i + (i == 3 ? 1 : 10 + i));
    check(v.count == LIMIT_PULLSYNC_INTERVALS, "bounded");
    check(pull_intervals_next(&v, 301) == 301, "its BinIDs are pulled again");
    check(pull_intervals_next(&v, 1) == 11 && pull_intervals_next(&v, 1601) > 1601, "not others");
}

TEST(damaged_values_are_refused)
{
    struct pull_intervals v = { .count = 0 }, out;
    uint8_t buf[PULL_INTERVALS_BYTES_MAX];
    struct writer w = writer_of(buf, sizeof(buf));
    pull_intervals_add(&v, 1, 10);
    pull_intervals_add(&v, 20, 30);
    pull_intervals_encode(&w, &v);
    size_t size = writer_used(&w);
    check(pull_intervals_decode(&out, bytes_of(buf, size - 1), NULL) != ERR_OK, "too short");
    buf[21] = LIMIT_PULLSYNC_INTERVALS + 1;
    check(pull_intervals_decode(&out, bytes_of(buf, size), NULL) != ERR_OK, "too many");
    w = writer_of(buf, sizeof(buf));
    pull_intervals_encode(&w, &v);
    buf[size - 16 + 7] = 5; /* the second begins within the first */
    check(pull_intervals_decode(&out, bytes_of(buf, size), NULL) != ERR_OK, "out of order");
}

static const struct {
    const char *why;
    uint8_t then, count, seen[2], peer, bin;
    bool stale;
} cases[] = {
    { "the radius stayed", 2, 1, { 2 }, 4, 2, false },
    { "it fell: bins below it had been left out", 2, 2, { 1, 0 }, 4, 1, true },
    { "it fell: a near bin had all", 2, 2, { 1, 0 }, 4, 2, false },
    { "it fell: of a far peer only near chunks were wanted", 2, 2, { 1, 0 }, 1, 1, true },
    { "it rose and fell: what it evicted", 2, 2, { 4, 2 }, 5, 3, true },
    { "it rose and fell: what it did not evict", 2, 2, { 4, 2 }, 5, 4, false },
    { "it rose: nothing is missing of what is wanted", 2, 1, { 4 }, 5, 3, false },
};

TEST(intervals_hold_as_long_as_nothing_was_left_out_or_evicted)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct pull_raises r = { .now = 0 }, again;
        uint8_t buf[PULL_RAISES_BYTES];
        (void)pull_raises_see(&r, cases[i].then);
        struct pull_intervals v = { .raises = r.now, .radius = cases[i].then };
        for (size_t k = 0; k < cases[i].count; k++)
            (void)pull_raises_see(&r, cases[i].seen[k]);
        struct writer w = writer_of(buf, sizeof(buf));
        pull_raises_encode(&w, &r);
        check(!pull_raises_decode(&again, bytes_of(buf, writer_used(&w)), NULL), "is read back");
        check(pull_intervals_stale(&v, &again, cases[i].peer, cases[i].bin) == cases[i].stale,
              cases[i].why);
    }
}
