/* What passes that were not ended leave in the store, and what becomes of it. */
#include "ipfs/provider_state.h"
#include "provider_bed.h"

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE, LEN = 7 };

static uint64_t ago(struct provider_bed *b, uint64_t ms)
{
    return loop_wall_ns(b->loop) / 1000000 - ms;
}

/* Of the i-th of 128 parts, and begun a minute before. */
static void leave(struct provider_bed *b, uint32_t i, uint64_t ms)
{
    uint8_t key[SCHEDULE_KEY_BYTES], value[SCHEDULE_PROGRESS_BYTES];
    struct schedule_progress at = { .prefix = { (uint64_t)i << (64 - LEN), LEN },
                                    .started_ms = ago(b, ms + MINUTE),
                                    .at_ms = ago(b, ms),
                                    .keys = i,
                                    .last_size = 42 };
    struct writer w = writer_of(value, sizeof(value));
    be64_encode(at.last, at.prefix.bits + 1);
    schedule_row_key('p', at.prefix, key);
    schedule_progress_value(&at, &w);
    pbed_rows(
        b, &(struct keystore_row){ bytes_of(key, sizeof(key)), bytes_of(value, writer_used(&w)) },
        1);
}

static uint8_t rows_bytes[32 * 1024];
static struct provider_bed *read_for;
static void on_rows(struct keystore_rows *req, const struct error *err)
{
    check(!err && req->end, "all rows");
    pbed_wake(read_for);
}

/* Rows that are there; *keys is of the last one. */
static uint32_t left(struct provider_bed *b, uint64_t *keys)
{
    struct keystore_rows rows = { .kind = 'p',
                                  .out = writer_of(rows_bytes, sizeof(rows_bytes)),
                                  .cb = on_rows };
    struct schedule_progress at;
    uint32_t n = 0;
    read_for = b;
    keystore_rows(b->ks, &rows);
    pbed_await(b, "rows");
    struct reader r = reader_of(bytes_of(rows_bytes, writer_used(&rows.out)));
    for (; reader_left(&r) > 0; n++) {
        struct bytes key = reader_take(&r, reader_u8(&r));
        struct bytes value = reader_take(&r, reader_be16(&r));
        if (schedule_progress_decode(key, value, UINT64_MAX, &at))
            *keys = at.keys;
    }
    return n;
}

static bool becomes(struct provider_bed *b, uint32_t count, uint64_t *keys)
{
    for (uint32_t i = 0; i < 100 && left(b, keys) != count; i++) {
        pbed_clock(b, LIMIT_PROVIDER_TICK_MS, LIMIT_PROVIDER_TICK_MS);
        pbed_wait(b, 20);
    }
    return left(b, keys) == count;
}

static bool resumes(struct provider_bed *b, uint32_t i)
{
    struct schedule_progress at;
    const struct kad_prefix part = { (uint64_t)i << (64 - LEN), LEN };
    return provider_resume(&b->provider->workers[0], part, &at) && at.keys == i;
}

static void up_alone(struct provider_bed *b)
{
    b->sinks.away = true;
    pbed_clock(b, 1, 0);
    pbed_provider_up(b);
    do
        pbed_wait(b, 2);
    while (b->provider->loading);
}

TEST(what_was_left_over_is_swept_and_what_can_go_on_is_not)
{
    static struct provider_bed b;
    uint8_t key[SCHEDULE_KEY_BYTES], value[SCHEDULE_VALUE_BYTES];
    const struct keystore_row broken = { bytes_of("p\1\0\0\0\0\0\0\0\10", 10), bytes_of("", 1) };
    const struct keystore_row done = { bytes_of(key, sizeof(key)), bytes_of(value, sizeof(value)) };
    uint64_t keys = 0;
    pbed_make(&b, 24);
    pbed_keys(&b, 0, 100);
    const struct schedule_entry e = { .prefix = { 0, 1 }, .done_ms = ago(&b, 10 * MINUTE) };
    schedule_row_key('r', e.prefix, key);
    schedule_row_value(&e, value);
    pbed_rows(&b, &done, 1);
    pbed_rows(&b, &broken, 1);
    for (uint32_t i = 0; i < 120; i++) /* the last of the first half has been ended since */
        leave(&b, i, i == 63 ? 20 * MINUTE : 2 * HOUR);
    leave(&b, 120, 20 * MINUTE);
    check(left(&b, &keys) == 122, "as many as there were");
    up_alone(&b);
    check(resumes(&b, 120), "behind all the others it is found");
    check(!resumes(&b, 119) && !resumes(&b, 63), "and these are over");
    check(becomes(&b, 1, &keys) && keys == 120, "the others are swept");
    leave(&b, 7, 0); /* of a pass that was not ended, in a process that goes on */
    pbed_clock(&b, HOUR / 2, HOUR / 2);
    pbed_wait(&b, 50);
    check(left(&b, &keys) == 2, "for an hour they stay");
    pbed_clock(&b, HOUR, HOUR);
    check(becomes(&b, 0, &keys), "and then they are left over, too");
    pbed_provider_down(&b);
    pbed_end(&b);
}

TEST(of_many_the_latest_go_on)
{
    static struct provider_bed b;
    pbed_make(&b, 24);
    pbed_keys(&b, 0, 100);
    for (uint32_t i = 0; i < 2 * PROVIDER_RESUMES; i++) /* every other one is late */
        leave(&b, i, i % 2 ? 5 * MINUTE - i * 1000 : 50 * MINUTE - i * 1000);
    up_alone(&b);
    for (uint32_t i = 1; i < 2 * PROVIDER_RESUMES; i += 2)
        check(resumes(&b, i), "a late one");
    check(!resumes(&b, 0), "none that is early");
    pbed_provider_down(&b);
    pbed_end(&b);
}
