/* The provider under clocks that are turned, and when it cannot load: no key is missed, what is
 * late is done by age, and the gauges come back to zero. */
#include "provider_bed.h"

#include <glob.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "ipfs/provider_state.h"

enum { HOUR = 3600 * 1000, LEAP = HOUR / 12, KEYS = 1500, SERVERS = 24 };

static void forget(struct provider_bed *b)
{
    for (uint32_t i = 0; i < b->sinks.count; i++)
        b->sinks.sink[i].records = b->sinks.sink[i].sum = 0;
    b->sinks.records = 0;
}

/* Leaps of five minutes, with some real time after each, since nobody answers in none. */
static void turn(struct provider_bed *b, uint32_t leaps)
{
    for (; leaps > 0; leaps--) {
        pbed_clock(b, LEAP, LEAP);
        pbed_wait(b, 150);
    }
}

static struct provider_status status(struct provider_bed *b)
{
    struct provider_status st;
    provider_status(b->provider, &st);
    check(st.active > 0 || st.ongoing_keys == 0, "nothing goes on where nobody works");
    return st;
}

/* One more try of what waits for memory; who is asked has all the time that an answer takes. */
static void tick(struct provider_bed *b)
{
    pbed_clock(b, LIMIT_PROVIDER_TICK_MS, LIMIT_PROVIDER_TICK_MS);
    do
        pbed_wait(b, 20);
    while (status(b).active > 0);
}

/* KEYS that were never provided, and a turned clock. */
static void begin(struct provider_bed *b)
{
    pbed_make(b, SERVERS);
    pbed_keys(b, 0, KEYS);
    pbed_clock(b, 1, 0);
    pbed_provider_up(b);
}

static void end(struct provider_bed *b)
{
    pbed_provider_down(b);
    pbed_end(b);
}

TEST(an_hour_without_servers_loses_no_key)
{
    static struct provider_bed b;
    begin(&b);
    pbed_cycle(&b, "the first cycle");
    pbed_exact(&b, KEYS);
    forget(&b);
    b.sinks.away = true;
    pbed_keys(&b, KEYS, KEYS + 500);
    pbed_clock(&b, 1, 23 * HOUR); /* and all is due */
    turn(&b, 12);
    struct provider_status st = status(&b);
    check(st.state != PROVIDER_ONLINE && b.sinks.records == 0, "it is alone");
    check(st.late > 0 && keystore_pending(b.ks) == 500, "and knows what it has to do");
    check(st.oldest_record_ms >= 24 * (uint64_t)HOUR && st.pending_oldest_ms > 0, "and since when");
    b.sinks.away = false;
    pbed_clock(&b, HOUR, HOUR);
    pbed_cycle(&b, "all are there again");
    st = status(&b);
    check(st.late == 0 && st.ongoing_keys == 0 && st.oldest_record_ms < HOUR, "nothing is left");
    pbed_exact(&b, KEYS + 500);
    end(&b);
}

TEST(the_wall_clock_goes_back_and_forward)
{
    static struct provider_bed b;
    begin(&b);
    pbed_cycle(&b, "the first cycle");
    forget(&b);
    pbed_clock(&b, 1, 40 * HOUR);
    pbed_wait(&b, 1200);
    pbed_cycle(&b, "forward: all is due");
    pbed_exact(&b, KEYS);
    forget(&b);
    pbed_clock(&b, 1, -100 * HOUR);
    pbed_wait(&b, 2500);
    check(b.sinks.records == 0 && status(&b).late == 0, "back: nothing is due");
    check(status(&b).oldest_record_ms < HOUR, "what was done in the future was done now");
    pbed_clock(&b, 1, 24 * HOUR);
    pbed_wait(&b, 1200);
    pbed_cycle(&b, "an interval later it is");
    pbed_exact(&b, KEYS);
    end(&b);
}

TEST(what_was_measured_survives_a_restart)
{
    static struct provider_bed b;
    begin(&b);
    while (status(&b).late == 0)
        pbed_wait(&b, 5);
    pbed_clock(&b, 1, 60 * 1000); /* while it is at work */
    pbed_cycle(&b, "a cycle");
    while (status(&b).cycle_ms == 0)
        pbed_wait(&b, 5);
    check(status(&b).cycle_ms >= 60 * 1000 && status(&b).holders_milli == 20000, "measured");
    b.sinks.away = true;
    pbed_keys(&b, KEYS, KEYS + 10);
    while (status(&b).pending_oldest_ms == 0)
        pbed_wait(&b, 5);
    pbed_provider_down(&b);
    provider_destroy(b.provider);
    pbed_clock(&b, HOUR, HOUR);
    pbed_provider_up(&b);
    while (status(&b).loading)
        pbed_wait(&b, 5);
    struct provider_status st = status(&b);
    check(st.cycle_ms >= 60 * 1000 && st.holders_milli == 20000, "and known again");
    check(st.pending_oldest_ms >= HOUR, "what waits, waits since then");
    b.sinks.away = false;
    pbed_cycle(&b, "it is provided");
    while (status(&b).pending_oldest_ms > 0)
        pbed_wait(&b, 5);
    end(&b);
}

/* A part that is late is not a cycle: that takes an interval, and is not over before all parts are
 * done once more. */
TEST(a_cycle_is_all_parts_once)
{
    static struct provider_bed b;
    begin(&b);
    pbed_cycle(&b, "the first cycle");
    while (status(&b).cycle_ms == 0)
        pbed_wait(&b, 5);
    check(status(&b).cycle_ms < HOUR && !status(&b).behind, "takes what it takes");
    pbed_clock(&b, 1, 12 * HOUR);
    pbed_clock(&b, 1000, 1000);
    pbed_wait(&b, 20);
    check(status(&b).cycle_ms < HOUR, "half of the next one is none");
    pbed_clock(&b, 1, 11 * HOUR);
    pbed_clock(&b, 1000, 1000);
    pbed_wait(&b, 20);
    for (int i = 0; i < 1000 && status(&b).cycle_ms < HOUR; i++)
        pbed_wait(&b, 5);
    uint64_t cycle = status(&b).cycle_ms;
    check(cycle >= 22 * HOUR && cycle < 24 * HOUR && !status(&b).behind, "that takes an interval");
    pbed_clock(&b, 1, -100 * HOUR);
    pbed_clock(&b, 1000, 1000);
    pbed_wait(&b, 20);
    check(status(&b).cycle_ms >= 22 * HOUR, "a step back is none either");
    end(&b);
}

TEST(behind_is_said_before_records_are_old)
{
    static struct provider_bed b;
    begin(&b);
    pbed_cycle(&b, "a cycle");
    while (status(&b).cycle_ms == 0 || b.provider->cycle_left == 0)
        pbed_wait(&b, 5);
    check(!status(&b).behind && b.provider->part_ms > 0, "a part takes little");
    b.provider->part_ms = 24 * HOUR * b.workers / b.provider->cycle_left;
    check(status(&b).behind && status(&b).oldest_record_ms < HOUR, "what is left takes a day");
    b.provider->part_ms = 1;
    b.sinks.away = true;
    pbed_clock(&b, 1, 22 * HOUR);
    pbed_clock(&b, 1000, 1000);
    pbed_wait(&b, 20);
    check(!status(&b).behind, "there is time left");
    pbed_clock(&b, 1, 2 * HOUR);
    pbed_clock(&b, 1000, 1000);
    pbed_wait(&b, 20);
    check(status(&b).behind, "there was");
    end(&b);
}

TEST(servers_are_counted_by_what_they_are)
{
    static struct provider_bed b;
    struct provider_status st;
    pbed_make(&b, SERVERS);
    pbed_keys(&b, 0, KEYS);
    pbed_provider_up(&b);
    pbed_cycle(&b, "a cycle");
    st = status(&b);
    check(st.table == SERVERS && st.bad == 0, "all are well");
    dht_mark_bad(provider_dht(b.provider), &b.sinks.sink[7].peer, 60000);
    st = status(&b);
    check(st.table == SERVERS - 1 && st.bad == 1, "but for one");
    check(st.connected > 0 && st.connected <= SERVERS, "others are connected to");
    end(&b);
}

TEST(servers_that_are_not_heard_are_asked_and_leave_when_silent)
{
    static struct provider_bed b;
    uint32_t pings = 0;
    begin(&b);
    pbed_cycle(&b, "a cycle");
    check(status(&b).table == SERVERS, "all are known");
    b.sinks.sink[7].mute = true;
    for (uint32_t i = 0; i < SERVERS; i++)
        check(b.sinks.sink[i].pings == 0, "nobody was silent");
    pbed_clock(&b, HOUR / 3, HOUR / 3);
    for (uint32_t i = 0; i < 200 && status(&b).table == SERVERS; i++) {
        pbed_clock(&b, 1000, 1000);
        pbed_wait(&b, 60); /* those who do answer have thirty of these for it */
    }
    for (uint32_t i = 0; i < SERVERS; i++)
        pings += b.sinks.sink[i].pings;
    check(status(&b).table == SERVERS - 1, "the silent one has left, and only that");
    check(pings > 0 && b.sinks.sink[7].pings <= 1, "they were asked for themselves");
    end(&b);
}

/* Whose half got the first records. */
static struct provider_bed *watched;
static int first_half;
static void on_records(void *ctx UNUSED)
{
    for (uint32_t i = 0; first_half < 0 && i < watched->sinks.count; i++)
        if (watched->sinks.sink[i].records > 0)
            first_half = watched->sinks.sink[i].peer.kad[0] >> 7;
}

TEST(the_oldest_part_is_done_first)
{
    for (int oldest = 0; oldest < 2; oldest++) {
        static struct provider_bed b;
        uint8_t keys[2][SCHEDULE_KEY_BYTES], values[2][SCHEDULE_VALUE_BYTES];
        struct keystore_row rows[2];
        pbed_make(&b, 60);
        pbed_keys(&b, 0, KEYS);
        for (int i = 0; i < 2; i++) {
            uint64_t now = loop_wall_ns(b.loop) / 1000000, age = i == oldest ? 40 : 30;
            struct schedule_entry e = { .prefix = { (uint64_t)i << 63, 1 },
                                        .done_ms = now - age * HOUR };
            schedule_row_key('r', e.prefix, keys[i]);
            schedule_row_value(&e, values[i]);
            rows[i] = (struct keystore_row){ bytes_of(keys[i], SCHEDULE_KEY_BYTES),
                                             bytes_of(values[i], SCHEDULE_VALUE_BYTES) };
        }
        pbed_rows(&b, rows, 2);
        watched = &b;
        first_half = -1;
        b.sinks.on_records = on_records;
        b.workers = 1;
        pbed_provider_up(&b);
        pbed_cycle(&b, "a cycle");
        check(first_half == oldest, "by age");
        pbed_exact(&b, KEYS);
        end(&b);
    }
}

TEST(a_part_that_cannot_be_loaded_gives_back_what_it_took)
{
    static struct provider_bed b;
    uint64_t taken = 0, piece = 32 * KiB;
    bool tried = false;
    begin(&b);
    for (; mem_take(b.mem, piece); taken += piece)
        continue;
    while (status(&b).state != PROVIDER_ONLINE || status(&b).late == 0)
        pbed_wait(&b, 10);
    for (int i = 0; i < 20; i++)
        tick(&b);
    check(status(&b).totals.keys == 0 && status(&b).late > 0, "short of memory, it waits");
    for (; taken > 0 && status(&b).totals.keys == 0; taken -= piece) {
        mem_give(b.mem, piece); /* for a part, but not for its ring; then for that too */
        tick(&b);
        tried |= status(&b).failure[0] != 0;
    }
    mem_give(b.mem, taken);
    check(tried, "a part was begun and could not be loaded");
    pbed_cycle(&b, "it goes on when there is memory");
    pbed_exact(&b, KEYS);
    check(status(&b).ongoing_keys == 0, "nothing is left over");
    end(&b);
}

static void truncate_tables(struct provider_bed *b)
{
    char path[400];
    glob_t found;
    snprintf(path, sizeof(path), "%s/keystore/*.ldb", b->dir);
    check(glob(path, 0, NULL, &found) == 0 && found.gl_pathc > 0, "tables");
    for (size_t i = 0; i < found.gl_pathc; i++)
        check(!truncate(found.gl_pathv[i], 0), "cut");
    globfree(&found);
}

TEST(a_keystore_that_fails_leaves_nothing_ongoing)
{
    static struct provider_bed b;
    pbed_make(&b, SERVERS);
    pbed_keys(&b, 0, 30000);
    pbed_provider_up(&b);
    while (status(&b).ongoing_keys == 0)
        pbed_wait(&b, 1);
    check(status(&b).ongoing_keys == 30000, "counted before any is read");
    truncate_tables(&b);
    while (status(&b).active > 0)
        pbed_wait(&b, 1);
    struct provider_status st = status(&b);
    check(st.failure[0] != 0 && st.totals.keys < 30000, "it could not read them all");
    end(&b);
}
