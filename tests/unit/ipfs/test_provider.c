/* The provider against servers in this process: who gets what, bad servers, ends in the middle. */
#include "ipfs/provider_state.h"
#include "provider_bed.h"

#include <string.h>

TEST(every_key_reaches_its_twenty_nearest_and_nobody_else)
{
    static struct provider_bed b;
    struct provider_status st;
    pbed_make(&b, 60);
    b.connections = 60; /* a place for each: nobody's is given away */
    pbed_keys(&b, 0, 3000);
    pbed_provider_up(&b);
    pbed_cycle(&b, "a cycle ends");
    provider_status(b.provider, &st);
    check(st.totals.keys == 3000 && st.totals.sent == 60000, "each key on twenty");
    check(st.totals.confirmed == 60000 && st.totals.failed == 0, "and all confirmed");
    check(st.totals.lookups > 7, "the look-ups of regions are counted with those of the table");
    pbed_exact(&b, 3000);
    for (uint32_t i = 0; i < 60; i++) {
        check(b.sinks.sink[i].descents == 0, "in the order of the key space");
        check(b.sinks.sink[i].streams <= 1, "on one stream");
    }
    /* New keys of parts that are fresh: one alone, and some. */
    pbed_keys(&b, 3000, 3001);
    pbed_cycle(&b, "a single key is provided");
    pbed_exact(&b, 3001);
    pbed_keys(&b, 3001, 3400);
    pbed_cycle(&b, "more keys are provided");
    pbed_exact(&b, 3400);
    pbed_provider_down(&b);
    pbed_end(&b);
}

TEST(servers_that_stall_or_reset_are_done_without)
{
    static struct provider_bed b;
    struct provider_status st;
    pbed_make(&b, 50);
    b.stall_ms = 1000;
    for (uint32_t i = 2; i < 50; i += 5) {
        b.sinks.sink[i].stalls = i % 2 == 0;
        b.sinks.sink[i].resets = i % 2 != 0;
    }
    pbed_keys(&b, 0, 4000);
    pbed_provider_up(&b);
    pbed_cycle(&b, "the cycle ends in bounded time");
    provider_status(b.provider, &st);
    /* A server may hold more than its keys, from before another one turned out bad. */
    uint64_t held = 0;
    for (uint32_t i = 0; i < 50; i++)
        held += b.sinks.sink[i].records;
    check(st.totals.keys >= 4000 && held >= 80000, "each key on twenty that live");
    check(st.totals.failed > 0, "what bad servers got is counted apart");
    pbed_provider_down(&b);
    pbed_end(&b);
}

/* Records sent twice by two processes, the second of which begins so much later. */
static uint64_t sent_again(int64_t later_ms)
{
    static struct provider_bed b;
    struct provider_status st;
    pbed_make(&b, 24);
    b.chunk_keys = 64;
    pbed_keys(&b, 0, 20000);
    b.stop_at = 200000; /* half of them */
    pbed_clock(&b, 1, 0);
    pbed_provider_up(&b);
    timer_set(&b.poll, 1);
    pbed_await(&b, "the middle");
    pbed_provider_down(&b);
    uint64_t before = b.sinks.records;
    check(before < 390000, "it was in the middle");
    provider_destroy(b.provider);
    b.stop_at = 0;
    pbed_clock(&b, 1, later_ms);
    pbed_provider_up(&b);
    pbed_cycle(&b, "the rest");
    provider_status(b.provider, &st);
    check(b.sinks.records >= 400000, "no key is missed");
    check(st.totals.keys == 20000, "and each is counted once");
    uint64_t again = b.sinks.records - 400000;
    check(later_ms == 0 || again >= before, "from the start");
    pbed_provider_down(&b);
    pbed_end(&b);
    return again;
}

TEST(a_pass_that_was_cut_off_goes_on_where_it_was_proven_to_be)
{
    check(sent_again(0) <= LIMIT_PASS_RING * 64 * KAD_K, "a ring at most is sent again");
    check(sent_again(2 * 3600 * 1000) > 0, "after hours it begins anew");
}

TEST(an_address_that_comes_while_it_works_is_told_to_the_next_servers)
{
    static struct provider_bed b;
    static const char any[] = "/ip4/127.0.0.2/tcp/0";
    uint8_t address[64];
    struct writer w = writer_of(address, sizeof(address));
    struct provider_status st;
    struct error err;
    pbed_make(&b, 24);
    pbed_keys(&b, 0, 20000);
    pbed_provider_up(&b);
    do {
        pbed_wait(&b, 1);
        provider_status(b.provider, &st);
    } while (st.ongoing_keys == 0);
    uint16_t before = provider_record(b.provider)->tail_size;
    check(!multiaddr_from_text(any, strlen(any), &w, &err), err.text);
    check(!host_listen(b.host, bytes_of(address, writer_used(&w)), &err), err.text);
    uint16_t after = provider_record(b.provider)->tail_size;
    provider_status(b.provider, &st);
    check(st.active > 0 && after > before, "and not only when nothing is sent");
    pbed_cycle(&b, "what was begun goes on as it was");
    provider_status(b.provider, &st);
    check(st.totals.confirmed == 400000 && st.totals.lookups > 5, "all arrives, look-ups counted");
    pbed_provider_down(&b);
    pbed_end(&b);
}

TEST(what_cannot_be_explored_whole_is_halved_again_and_again)
{
    static struct provider p;
    const struct kad_prefix whole = { 0, 0 }, half = { 0, 1 }, quarter = { 0, 2 };
    check(provider_longer(&p, whole).len == 0, "nothing was tried");
    p.retries[0].prefix = whole;
    p.retries[0].longer = true;
    check(provider_longer(&p, whole).len == 1, "halves");
    p.retries[1].prefix = half;
    p.retries[1].longer = true;
    check(provider_longer(&p, whole).len == 2, "and halves of these");
    check(provider_longer(&p, quarter).len == 2, "as it is, where none was tried");
}

TEST(it_can_be_stopped_at_any_moment)
{
    static struct provider_bed b;
    pbed_make(&b, 30);
    pbed_keys(&b, 0, 2000);
    for (uint32_t ms = 1; ms < 2000; ms = ms * 3 / 2 + 1) {
        pbed_provider_up(&b);
        pbed_wait(&b, ms);
        pbed_provider_down(&b);
        provider_destroy(b.provider);
    }
    pbed_provider_up(&b);
    pbed_provider_down(&b);
    pbed_end(&b);
}

TEST(what_was_counted_outlives_a_stop)
{
    static struct provider_bed b;
    struct provider_status st;
    pbed_make(&b, 24);
    pbed_keys(&b, 0, 100);
    pbed_provider_up(&b);
    pbed_cycle(&b, "once");
    provider_count(b.provider, 20, 19); /* as `larder provide` does */
    pbed_provider_down(&b);
    provider_destroy(b.provider);
    pbed_provider_up(&b);
    do {
        pbed_wait(&b, 2);
        provider_status(b.provider, &st);
    } while (st.loading);
    check(st.totals.sent == 2020 && st.totals.keys == 101, "to the last record");
    pbed_provider_down(&b);
    pbed_end(&b);
}

/* As a flipped bit leaves it. prefix_len is the second number of the totals. */
TEST(a_length_that_is_none_in_the_store_is_measured_anew)
{
    static const uint64_t lengths[] = { 200, 64, 255, UINT32_MAX - 1, UINT64_C(3) << 32, 63, 40 };
    for (uint32_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        static struct provider_bed b;
        uint8_t value[96] = { 0 };
        const struct keystore_row totals = { bytes_of("mprovider", 9), bytes_of(value, 96) };
        be64_encode(value + 8, lengths[i]);
        pbed_make(&b, 24);
        pbed_keys(&b, 0, 100);
        pbed_rows(&b, &totals, 1);
        pbed_provider_up(&b);
        do
            pbed_wait(&b, 2);
        while (b.provider->loading);
        check(b.provider->prefix_len == (lengths[i] < 64 ? lengths[i] : UINT32_MAX), "as it reads");
        pbed_cycle(&b, "a cycle");
        pbed_exact(&b, 100);
        pbed_provider_down(&b);
        pbed_end(&b);
    }
}

/* The average of the parts is a length, too. */
TEST(a_part_as_small_as_a_key_makes_no_walk_without_end)
{
    static struct provider_bed b;
    uint8_t key[SCHEDULE_KEY_BYTES], value[SCHEDULE_VALUE_BYTES];
    struct schedule_entry e = { .prefix = kad_prefix_of(UINT64_C(0x123456789abcdef0), 63) };
    const struct keystore_row row = { bytes_of(key, sizeof(key)), bytes_of(value, sizeof(value)) };
    schedule_row_key('r', e.prefix, key);
    pbed_make(&b, 24);
    e.done_ms = loop_wall_ns(b.loop) / 1000000;
    schedule_row_value(&e, value);
    pbed_keys(&b, 0, 100);
    pbed_rows(&b, &row, 1);
    pbed_provider_up(&b);
    pbed_cycle(&b, "a cycle");
    pbed_exact(&b, 100);
    pbed_provider_down(&b);
    pbed_end(&b);
}

static uint64_t most_ongoing(struct provider_bed *b, uint32_t *active)
{
    struct provider_status st;
    uint64_t most = 0;
    for (int i = 0; i < 20000 && keystore_pending(b->ks) > 0; i++) {
        pbed_wait(b, 1);
        provider_status(b->provider, &st);
        most = MAX(most, st.ongoing_keys);
        *active = MAX(*active, st.active);
    }
    check(keystore_pending(b->ks) == 0, "all are provided");
    return most;
}

TEST(new_keys_of_a_fresh_part_are_all_in_work)
{
    static struct provider_bed b;
    uint32_t active = 0;
    pbed_make(&b, 24);
    pbed_keys(&b, 0, 500);
    pbed_provider_up(&b);
    pbed_cycle(&b, "once");
    pbed_keys(&b, 500, 1500);
    check(most_ongoing(&b, &active) == 1000, "and counted");
    pbed_provider_down(&b);
    pbed_end(&b);
}

TEST(one_part_at_a_time_while_memory_is_short)
{
    static struct provider_bed b;
    uint32_t active = 0;
    pbed_make(&b, 60);
    b.workers = 4;
    pbed_keys(&b, 0, 4000);
    pbed_provider_up(&b);
    provider_shrink(b.provider, true);
    (void)most_ongoing(&b, &active);
    check(active == 1, "small and slow, but all of them");
    pbed_provider_down(&b);
    pbed_exact(&b, 4000);
    pbed_end(&b);
}
