/* Whose turn it is when a worker is free: nothing of one kind waits for all of another. */
#include "ipfs/provider_state.h"
#include "provider_bed.h"

enum { HOUR = 3600 * 1000, KEYS = 2000, SERVERS = 80, QUARTERS = 4 };

static const struct {
    const char *why;
    uint32_t workers;
    uint32_t busy[PROVIDER_KINDS]; /* due, late, new */
    bool wants[PROVIDER_KINDS];
    bool late_is_older, new_next;
    enum provider_kind want;
} turns[] = {
    { "nothing to do", 4, { 0 }, { 0 }, false, false, PROVIDER_KINDS },
    { "all are busy", 4, { 1, 3, 0 }, { true, true, true }, true, true, PROVIDER_KINDS },
    { "more are busy than may be",
      1,
      { 1, 1, 0 },
      { true, true, true },
      true,
      true,
      PROVIDER_KINDS },
    { "what is in time has its worker",
      2,
      { 0, 1, 0 },
      { true, true, false },
      true,
      false,
      PROVIDER_DUE },
    { "and does not wait for new keys",
      2,
      { 0, 0, 1 },
      { true, true, true },
      true,
      true,
      PROVIDER_DUE },
    { "what is late has its own",
      4,
      { 3, 0, 0 },
      { true, true, false },
      false,
      false,
      PROVIDER_LATE },
    { "the rest is by age", 4, { 1, 1, 0 }, { true, true, false }, false, false, PROVIDER_DUE },
    { "the rest is by age", 4, { 1, 1, 0 }, { true, true, false }, true, false, PROVIDER_LATE },
    { "nobody idles while something is late",
      4,
      { 0, 3, 0 },
      { false, true, false },
      true,
      false,
      PROVIDER_LATE },
    { "nor while something is due",
      4,
      { 3, 0, 0 },
      { true, false, false },
      false,
      false,
      PROVIDER_DUE },
    { "new keys when it is their turn",
      4,
      { 1, 0, 0 },
      { true, true, true },
      true,
      true,
      PROVIDER_NEW },
    { "late ones when it is not",
      4,
      { 1, 0, 0 },
      { true, true, true },
      true,
      false,
      PROVIDER_LATE },
    { "one part of new keys in a backlog",
      4,
      { 1, 1, 1 },
      { false, true, true },
      true,
      true,
      PROVIDER_LATE },
    { "what nothing else wants",
      4,
      { 0, 0, 2 },
      { false, false, true },
      false,
      false,
      PROVIDER_NEW },
    { "but for one worker", 4, { 0, 0, 3 }, { false, false, true }, false, false, PROVIDER_KINDS },
    { "one alone goes by age", 1, { 0 }, { true, true, false }, true, false, PROVIDER_LATE },
    { "one alone goes by age", 1, { 0 }, { true, true, false }, false, false, PROVIDER_DUE },
    { "new keys have a turn there too", 1, { 0 }, { true, true, true }, true, true, PROVIDER_NEW },
    { "and all of it when it is free",
      1,
      { 0 },
      { false, false, true },
      false,
      false,
      PROVIDER_NEW },
};

TEST(each_kind_has_its_worker_and_none_idles)
{
    for (size_t i = 0; i < ARRAY_SIZE(turns); i++) {
        struct provider_turn t = { .workers = turns[i].workers,
                                   .late_is_older = turns[i].late_is_older,
                                   .new_next = turns[i].new_next };
        memcpy(t.busy, turns[i].busy, sizeof(t.busy));
        memcpy(t.wants, turns[i].wants, sizeof(t.wants));
        check(provider_turn(&t) == turns[i].want, turns[i].why);
    }
}

/* Quarters of the key space were provided so long ago. */
static void quarters(struct provider_bed *b, const uint64_t ages_ms[QUARTERS])
{
    uint8_t keys[QUARTERS][SCHEDULE_KEY_BYTES], values[QUARTERS][SCHEDULE_VALUE_BYTES];
    struct keystore_row rows[QUARTERS];
    for (uint32_t i = 0; i < QUARTERS; i++) {
        struct schedule_entry e = { .prefix = { (uint64_t)i << 62, 2 },
                                    .done_ms = loop_wall_ns(b->loop) / 1000000 - ages_ms[i] };
        schedule_row_key('r', e.prefix, keys[i]);
        schedule_row_value(&e, values[i]);
        rows[i] = (struct keystore_row){ bytes_of(keys[i], SCHEDULE_KEY_BYTES),
                                         bytes_of(values[i], SCHEDULE_VALUE_BYTES) };
    }
    pbed_rows(b, rows, QUARTERS);
}

/* How much is late when the first record of the watched quarter comes. */
static struct watched {
    struct provider_bed b;
    uint64_t quarter;
    bool seen;
    uint32_t late;
} x;
static void on_record(void *ctx UNUSED, const struct sink *s UNUSED, uint64_t kad)
{
    struct provider_status st;
    if (x.seen || kad >> 62 != x.quarter)
        return;
    provider_status(x.b.provider, &st);
    x.seen = true;
    x.late = st.late;
}

static uint32_t late_at_first(uint64_t quarter, uint32_t workers, const uint64_t ages[QUARTERS])
{
    memset(&x, 0, sizeof(x));
    x.quarter = quarter;
    pbed_make(&x.b, SERVERS);
    pbed_keys(&x.b, 0, KEYS);
    quarters(&x.b, ages);
    x.b.sinks.on_record = on_record;
    x.b.workers = workers;
    pbed_provider_up(&x.b);
    pbed_cycle(&x.b, "a cycle");
    check(x.seen, "it has its turn");
    pbed_exact(&x.b, KEYS);
    pbed_provider_down(&x.b);
    pbed_end(&x.b);
    return x.late;
}

TEST(what_is_due_does_not_wait_for_all_that_is_late)
{
    static const uint64_t ages[QUARTERS] = { 40 * HOUR + 2, 23 * HOUR + 60 * 1000, 40 * HOUR + 1,
                                             40 * HOUR };
    check(late_at_first(1, 2, ages) >= 2, "it has a worker of its own");
}

TEST(new_keys_of_a_fresh_part_do_not_wait_for_all_that_is_late)
{
    static const uint64_t ages[QUARTERS] = { 40 * HOUR + 2, 40 * HOUR + 1, 40 * HOUR, 60 * 1000 };
    check(late_at_first(3, 1, ages) > 0, "they come in between");
}
