#include "reserve_world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/prng.h"
#include "core/metrics.h"
#include "store/hascache_segment.h"
#include "store/reserve_page.h"
#include "store/reserve_state.h"
#include "store/stores_state.h"

/* The rules of put, one after the other on one store. */
static const struct {
    const char *why;
    struct chunk_spec chunk;
    enum reserve_outcome want;
    uint64_t count, slots;
} rules[] = {
    { "a new chunk", { 1, 1, 1, 100, 0 }, RESERVE_STORED, 1, 1 },
    { "the same again", { 1, 1, 1, 100, 0 }, RESERVE_PRESENT, 1, 1 },
    { "an older stamp for its index", { 1, 1, 1, 99, 0 }, RESERVE_OLDER, 1, 1 },
    { "a newer one: the entry is replaced", { 1, 1, 1, 101, 0 }, RESERVE_STORED, 1, 1 },
    { "another chunk at that index, not newer", { 2, 1, 1, 101, 0 }, RESERVE_OLDER, 1, 1 },
    { "another chunk at that index, newer", { 2, 1, 1, 102, 0 }, RESERVE_STORED, 1, 1 },
    { "a second stamp shares the body", { 2, 2, 9, 5, 0 }, RESERVE_STORED, 2, 1 },
    { "a third, of the first batch", { 2, 1, 2, 5, 0 }, RESERVE_STORED, 3, 1 },
    { "a single-owner chunk", { 3, 1, 3, 10, 1 }, RESERVE_STORED, 4, 2 },
    { "its next content, same index", { 3, 1, 3, 11, 2 }, RESERVE_STORED, 4, 2 },
    { "and the next, another index", { 3, 1, 4, 12, 3 }, RESERVE_STORED, 5, 2 },
    { "and another batch", { 3, 2, 4, 12, 4 }, RESERVE_STORED, 6, 2 },
};

static void run_puts(struct world *w)
{
    struct reserve_status s;
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        check(world_put(w, &rules[i].chunk) == rules[i].want, rules[i].why);
        reserve_status(w->reserve, &s);
        check(s.count == rules[i].count, rules[i].why);
        check(s.slots_used == rules[i].slots, rules[i].why);
        check(world_check(w) == rules[i].count, rules[i].why);
    }
    check(world_has(w, &rules[5].chunk) && world_has(w, &rules[6].chunk), "stored");
    check(!world_has(w, &rules[0].chunk) && !world_has(w, &rules[3].chunk), "replaced");
    check(!world_get(w, &rules[6].chunk, 0) && !world_get(w, &rules[5].chunk, 0), "one body");
    check(world_get(w, &rules[0].chunk, 0) == ERR_NOT_FOUND, "gone");
    check(!world_get(w, &rules[9].chunk, 4), "all its stamps see the last content");
    check(!world_get(w, &rules[10].chunk, 4) && !world_get(w, &rules[11].chunk, 4), "all of them");
}

TEST(put_follows_the_rules_with_and_without_the_cache)
{
    static const enum reserve_cache modes[] = { RESERVE_CACHE_AUTO, RESERVE_CACHE_OFF };
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        struct world w;
        world_begin(&w, i ? "rules-off" : "rules-on", modes[i]);
        world_settle(&w);
        check(hascache_state(w.reserve->cache) == (i ? HASCACHE_OFF : HASCACHE_COMPLETE), "mode");
        run_puts(&w);
        world_again(&w);
        check(world_check(&w) == 6 && world_slots(&w) == 2, "the same after opening again");
        check(!world_get(&w, &rules[9].chunk, 4) && world_has(&w, &rules[11].chunk), "bodies, too");
        check(world_evict(&w, 1, RESERVE_BINS, UINT64_MAX) == 4, "one batch expires");
        check(world_check(&w) == 2 && world_slots(&w) == 2, "shared bodies stay");
        check(!world_get(&w, &rules[11].chunk, 4) && !world_has(&w, &rules[10].chunk),
              "what is left");
        check(world_evict(&w, 2, RESERVE_BINS, UINT64_MAX) == 2, "the other one");
        check(world_check(&w) == 0 && world_slots(&w) == 0, "and nothing is left");
        world_end(&w);
    }
}

/* The page says what happened; a backup put in place ends the epoch. */
TEST(metrics_and_epoch)
{
    struct world w;
    struct reserve_status before, after;
    struct metrics_page page;
    world_start(&w, "metrics");
    int64_t commits = metric_get(METRIC_reserve_commit_chunks);
    run_puts(&w);
    world_evict(&w, 1, RESERVE_BINS, UINT64_MAX);
    metrics_page_begin(&page);
    check(metric_get(METRIC_reserve_chunks) == 2 && metric_get(METRIC_reserve_slots_used) == 2 &&
              metric_get(METRIC_hascache_entries) == 2,
          "entries");
    check(metric_get_by(METRIC_reserve_puts_total, RESERVE_OLDER) == 2, "puts by outcome");
    check(metric_get(METRIC_reserve_commit_chunks) - commits == 9, "groups that stored something");
    check(metric_get_by(METRIC_reserve_evicted_total, RESERVE_EVICT_ASKED) == 4, "evicted");
    check(metric_get_by(METRIC_hascache_state, HASCACHE_COMPLETE) == 1, "the state");
    check(metric_get(METRIC_pullsync_has_in_use) == 0, "no permit is out");
    reserve_status(w.reserve, &before);
    world_close(&w);
    world_open(&w, RESERVE_CACHE_AUTO);
    reserve_status(w.reserve, &after);
    check(after.epoch == before.epoch, "the epoch outlives a restart");
    world_close(&w);
    w.restored_ns = before.epoch + 1;
    world_open(&w, RESERVE_CACHE_AUTO);
    reserve_status(w.reserve, &after);
    check(after.epoch > before.epoch, "but not a restored backup");
    check(after.cache == HASCACHE_BUILDING, "whose image is of another time");
    world_settle(&w);
    check(world_check(&w) == 2, "the entries are there");
    world_end(&w);
}

TEST(a_chunk_has_a_limited_number_of_stamps)
{
    struct world w;
    world_begin(&w, "stamps", RESERVE_CACHE_OFF);
    for (uint32_t i = 0; i < LIMIT_RESERVE_STAMPS; i++)
        check(world_put(&w, &(struct chunk_spec){ 1, i, 1, 1, 0 }) == RESERVE_STORED, "a stamp");
    check(world_put(&w, &(struct chunk_spec){ 1, 999, 1, 1, 0 }) == RESERVE_OLDER, "one too many");
    check(world_check(&w) == LIMIT_RESERVE_STAMPS && world_slots(&w) == 1, "one body");
    world_end(&w);
}

/* Pages of chunks at once, and their order in the bins. */
static void put_page(struct world *w, uint32_t from, uint32_t count)
{
    static struct world_page page;
    page.count = 0;
    for (uint32_t i = from; i < from + count; i++)
        world_page_add(&page, &(struct chunk_spec){ i, 1 + i % 3, i, 7, 0 });
    check(!world_page_put(w, &page), w->err.text);
    for (uint32_t i = 0; i < count; i++)
        check(page.items[i].outcome == RESERVE_STORED, "stored");
}

TEST(bins_are_listed_in_order_and_watched)
{
    static struct reserve_entry entries[2000];
    struct world w;
    world_begin(&w, "bins", RESERVE_CACHE_AUTO);
    for (uint32_t from = 0; from < 2000; from += 250)
        put_page(&w, from, 250);
    uint32_t zero = world_list(&w, 0, 0, entries, 2000);
    check(zero > 850 && zero < 1150, "half of all chunks are in bin 0");
    for (uint32_t i = 0; i < zero; i++)
        check(entries[i].binid == i + 1, "BinIDs begin with one and have no gap");
    check(world_list(&w, 0, 100, entries, 10) == 10 && entries[0].binid == 100, "from a BinID on");
    check(world_list(&w, 0, zero + 1, entries, 10) == 0, "nothing behind the last");
    uint64_t low = world_evict(&w, 1, 1, 100);
    check(low == 100, "as many as asked");
    check(world_list(&w, 0, 0, entries, 2000) == zero - 100, "from the lowest bin");
    uint64_t rest = world_evict(&w, 1, 1, UINT64_MAX);
    check(rest > 200 && world_check(&w) == 2000 - 100 - rest, "and the others of that bin");
    check(world_evict(&w, 1, 1, UINT64_MAX) == 0, "none is left below bin 1");
    put_page(&w, 5000, 10);
    struct reserve_status s;
    reserve_status(w.reserve, &s);
    check(world_list(&w, 0, zero + 1, entries, 10) > 0 && entries[0].binid == zero + 1,
          "BinIDs are never used again");
    world_end(&w);
}

struct watcher {
    struct reserve_watch watch;
    uint32_t woken;
};
static void on_watch(struct reserve_watch *watch)
{
    container_of(watch, struct watcher, watch)->woken++;
}

TEST(a_watch_wakes_once_for_its_bin)
{
    struct world w;
    struct watcher bin0 = { .woken = 0 }, bin31 = { .woken = 0 };
    world_begin(&w, "watch", RESERVE_CACHE_AUTO);
    reserve_watch(w.reserve, &bin0.watch, 0, on_watch);
    reserve_watch(w.reserve, &bin31.watch, 31, on_watch);
    put_page(&w, 0, 50);
    check(bin0.woken == 1 && bin31.woken == 0, "its own bin");
    put_page(&w, 50, 50);
    check(bin0.woken == 1, "once");
    reserve_watch(w.reserve, &bin0.watch, 0, on_watch);
    put_page(&w, 50 + 50, 50);
    check(bin0.woken == 2, "until it is set again");
    reserve_unwatch(&bin31.watch);
    world_end(&w);
}

/* Random puts and evictions with a reference, and restarts in between: by image, by building. */
struct model {
    struct chunk_spec slot[4][24]; /* by batch and position; address 0: free */
};

static void step(struct world *w, struct model *m, struct prng *p)
{
    struct chunk_spec c = { 1 + prng_below(p, 40), prng_below(p, 4), prng_below(p, 24),
                            1 + prng_below(p, 1000), 0 };
    struct chunk_spec *at = &m->slot[c.batch][c.position];
    enum reserve_outcome want = RESERVE_STORED;
    c.content = c.address % 4 == 0 ? 1 + prng_below(p, 1000) : 0;
    if (at->address == c.address && at->timestamp == c.timestamp)
        want = RESERVE_PRESENT; /* the stamp does not cover the content of a single-owner chunk */
    else if (at->address && at->timestamp >= c.timestamp)
        want = RESERVE_OLDER;
    check(world_put(w, &c) == want, "put");
    if (want == RESERVE_STORED)
        *at = c;
}

static uint64_t expect_model(struct world *w, const struct model *m)
{
    uint64_t count = 0;
    for (uint32_t b = 0; b < 4; b++)
        for (uint32_t i = 0; i < 24; i++) {
            if (!m->slot[b][i].address)
                continue;
            count++;
            check(world_has(w, &m->slot[b][i]), "what was acknowledged is there");
            struct chunk_spec older = m->slot[b][i];
            older.timestamp += 5000;
            check(!world_has(w, &older), "what was never put is not");
        }
    check(world_check(w) == count, "and nothing else");
    return count;
}

TEST(random_puts_and_evictions_agree_with_a_model)
{
    static struct model m;
    struct world w;
    struct prng p = prng_of(11);
    memset(&m, 0, sizeof(m));
    world_setup_named(&w, "model");
    for (int round = 0; round < 6; round++) {
        if (round == 3)
            unlink(w.image); /* then it is built from the index */
        world_open(&w, RESERVE_CACHE_AUTO);
        enum hascache_state at_once = hascache_state(w.reserve->cache);
        check(round == 0 || round == 3 || at_once == HASCACHE_COMPLETE, "image taken");
        check(round != 3 || at_once == HASCACHE_BUILDING, "no image");
        for (int i = 0; i < 60; i++)
            step(&w, &m, &p);
        world_settle(&w);
        expect_model(&w, &m);
        if (round % 2) {
            uint32_t batch = prng_below(&p, 4);
            world_evict(&w, batch, RESERVE_BINS, UINT64_MAX);
            memset(m.slot[batch], 0, sizeof(m.slot[batch]));
            expect_model(&w, &m);
        }
        world_close(&w);
    }
    world_teardown(&w);
}

/* What the log says while the reserve opens and settles. */
static const char *log_of_opening(struct world *w)
{
    world_log_begin();
    world_open(w, RESERVE_CACHE_AUTO);
    world_settle(w);
    return world_log_end();
}

TEST(an_image_that_is_not_taken_is_named_in_one_line)
{
    static const char said[] = "the saved has-cache is not used";
    static const uint64_t places[] = { 9, 5000 }; /* of the header, of what is behind it */
    struct world w;
    world_setup_named(&w, "image-log");
    check(!strstr(log_of_opening(&w), said), "there was none");
    put_page(&w, 0, 100);
    world_close(&w);
    check(!strstr(log_of_opening(&w), said), "it is taken");
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        world_close(&w);
        world_flip(w.image, places[i]);
        const char *line = strstr(log_of_opening(&w), said);
        check(line && !strstr(line + 1, said), "damaged: one line");
        check(hascache_state(w.reserve->cache) == HASCACHE_COMPLETE, "and built in full");
    }
    world_close(&w);
    unlink(w.image);
    check(strstr(log_of_opening(&w), "No such file") != NULL, "and one that is gone");
    w.restored_ns = w.reserve->epoch + 1;
    world_close(&w);
    check(strstr(log_of_opening(&w), "saved at another time") != NULL, "of an epoch that ended");
    check(world_check(&w) == 100, "all is there");
    world_end(&w);
}

/* A cache that may not say "absent" asks the index. */
TEST(a_partial_cache_asks_the_index)
{
    struct world w;
    struct reserve_status s;
    world_start(&w, "partial");
    put_page(&w, 0, 100);
    w.reserve->cache->state = HASCACHE_PARTIAL;
    struct hascache_hash k;
    static struct chunk c;
    chunk_make(&c, &(struct chunk_spec){ 5, 1 + 5 % 3, 5, 7, 0 });
    hascache_key(w.reserve->cache, &c.item.id, &k);
    check(hascache_remove(w.reserve->cache, &k), "it was refused a page, say");
    check(world_has(&w, &(struct chunk_spec){ 5, 1 + 5 % 3, 5, 7, 0 }), "the index has it");
    check(!world_has(&w, &(struct chunk_spec){ 500, 1, 5, 7, 0 }), "or not");
    check(world_has(&w, &(struct chunk_spec){ 6, 1, 6, 7, 0 }), "the cache has another");
    reserve_status(w.reserve, &s);
    check(s.has_index == 2 && s.has_cache_hits == 1 && s.has_cache_misses == 0, "by path");
    world_close(&w);
    check(access(w.image, F_OK) != 0, "no image of a cache that is not complete");
    world_teardown(&w);
}

/* Each add needs a page from now on. */
static void cache_fill_up(struct world *w)
{
    for (uint32_t i = 0; i < w->reserve->cache->segment_count; i++)
        w->reserve->cache->segments[i].limit = 0;
}

static enum hascache_state cache_state(const struct world *w)
{
    return hascache_state(w->reserve->cache);
}

/* At the target it stops growing, is partial with the first entry it lacks, and lies at no time;
 * when there is memory again it is made whole beside what comes and goes. */
TEST(a_held_cache_lacks_entries_and_is_made_whole_again)
{
    struct world w;
    struct chunk_spec lacking = { 150, 1, 150, 7, 0 }, stranger = { 5000, 1, 5, 7, 0 };
    world_start(&w, "held");
    put_page(&w, 0, 100);
    reserve_hold_cache(w.reserve, true);
    check(cache_state(&w) == HASCACHE_COMPLETE, "nothing is missing yet");
    cache_fill_up(&w);
    put_page(&w, 100, 100);
    check(cache_state(&w) == HASCACHE_PARTIAL && hascache_count(w.reserve->cache) == 100,
          "it lacks");
    check(world_has(&w, &lacking) && !world_has(&w, &stranger), "so the index is asked");
    check(world_evict(&w, 2, RESERVE_BINS, 20) == 20 && world_check(&w) == 180, "and it forgets");
    reserve_scan_retry(w.reserve);
    check(cache_state(&w) == HASCACHE_PARTIAL, "nothing is built while it is held");
    reserve_hold_cache(w.reserve, false);
    check(cache_state(&w) == HASCACHE_PARTIAL, "nor at once: memory may be gone again");
    reserve_radius_timer(&w.reserve->capacity.timer);
    check(cache_state(&w) == HASCACHE_BUILDING, "but when it is looked at");
    check(world_evict(&w, 3, RESERVE_BINS, 10) == 10, "with changes meanwhile");
    put_page(&w, 200, 50);
    world_settle(&w);
    check(cache_state(&w) == HASCACHE_COMPLETE && hascache_count(w.reserve->cache) == 220, "whole");
    check(world_has(&w, &lacking) && !world_has(&w, &stranger) && world_check(&w) == 220,
          "as ever");
    reserve_hold_cache(w.reserve, true);
    world_again(&w);
    check(cache_state(&w) == HASCACHE_COMPLETE && world_check(&w) == 220, "its image, too");
    world_end(&w);
}

struct canceled {
    struct reserve_has has;
    enum err code;
    uint32_t called;
};
static uint32_t canceled_calls;
static void on_canceled(struct reserve_has *req, const struct error *err)
{
    struct canceled *c = container_of(req, struct canceled, has);
    c->called++;
    canceled_calls++;
    c->code = err ? err->code : ERR_OK;
}

/* More requests than permits; canceled while they wait, are read, or are done. */
TEST(has_is_answered_once_however_it_is_canceled)
{
    static struct canceled reqs[40];
    static struct chunk c;
    static uint8_t have[40];
    struct world w;
    world_begin(&w, "cancel", RESERVE_CACHE_OFF);
    put_page(&w, 0, 10);
    chunk_make(&c, &(struct chunk_spec){ 3, 1 + 3 % 3, 3, 7, 0 });
    for (uint32_t i = 0; i < ARRAY_SIZE(reqs); i++) {
        reqs[i].has = (struct reserve_has){
            .ids = &c.item.id, .count = 1, .have = &have[i], .cb = on_canceled
        };
        reserve_has(w.reserve, &reqs[i].has);
        if (i % 3 == 1)
            reserve_has_cancel(&reqs[i].has);
    }
    check(reserve_has_sem(w.reserve)->in_use <= 4, "no more than the permits");
    for (int turns = 0; canceled_calls < ARRAY_SIZE(reqs) && turns < 100000; turns++) {
        check(reserve_has_sem(w.reserve)->in_use <= 4, "no more than the permits");
        check(world_has(&w, &(struct chunk_spec){ 3, 1, 3, 7, 0 }), "and others in between");
    }
    for (uint32_t i = 0; i < ARRAY_SIZE(reqs); i++) {
        check(reqs[i].called == 1, "once");
        check(reqs[i].code == (i % 3 == 1 ? ERR_CANCELED : ERR_OK), "as it ended");
        check(i % 3 == 1 || (have[i] & 1), "present");
    }
    check(reserve_has_sem(w.reserve)->in_use == 0, "every permit came back");
    world_end(&w);
}

/* After a commit that failed nobody knows what the index holds: no write is taken until it has been
 * read again, and the cache begins anew. */
TEST(a_failed_commit_stops_writes_until_the_index_is_read)
{
    static const enum txn_fault faults[] = { TXN_LOSE_COMMIT, TXN_HIDE_COMMIT };
    const struct chunk_spec before = { 1, 1, 1, 5, 0 }, failed = { 2, 1, 1, 6, 0 },
                            after = { 3, 2, 1, 5, 0 };
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        struct world w;
        world_start(&w, i ? "hide" : "lose");
        check(world_put(&w, &before) == RESERVE_STORED, "before");
        w.reserve->txn->fault = faults[i];
        check(world_put(&w, &failed) == RESERVE_FAILED && w.err.code == ERR_IO, w.err.text);
        check(hascache_state(w.reserve->cache) == HASCACHE_OFF, "the cache says nothing now");
        check(world_put(&w, &after) == RESERVE_FAILED, "no write yet");
        w.reserve->txn->fault = TXN_SOUND;
        world_pause(&w, 1100);
        world_settle(&w);
        check(hascache_state(w.reserve->cache) == HASCACHE_COMPLETE, "built anew");
        check(world_has(&w, &before) == (i == 0), "replaced if the commit came through");
        check(world_has(&w, &failed) == (i == 1), "there if it came through");
        w.stores->options.min_free_bytes = UINT64_MAX;
        check(world_put(&w, &after) == RESERVE_FAILED && w.err.code == ERR_DISK_FULL, w.err.text);
        w.stores->options.min_free_bytes = 0;
        check(world_check(&w) == 1, "a put that never ran changes nothing");
        check(world_put(&w, &after) == RESERVE_STORED && world_check(&w) == 2, "and it goes on");
        world_again(&w);
        check(world_check(&w) == 2 && world_slots(&w) == 2, "nothing is leaked");
        world_end(&w);
    }
}

/* A body that cannot be written: its put fails, the store goes on. */
TEST(a_slot_that_cannot_be_written_fails_its_group_alone)
{
    const struct chunk_spec one = { 1, 1, 1, 5, 0 }, two = { 2, 1, 2, 5, 0 };
    struct world w;
    world_start(&w, "unwritten");
    check(world_put(&w, &one) == RESERVE_STORED, "before");
    int good = world_slab_break(&w);
    check(world_put(&w, &two) == RESERVE_FAILED && w.err.code == ERR_IO, w.err.text);
    world_slab_mend(&w, good);
    check(!world_has(&w, &two) && world_slots(&w) == 1, "not there, and its slot is free");
    check(world_put(&w, &two) == RESERVE_STORED && world_check(&w) == 2, "the next one is");
    world_end(&w);
}

TEST(over_capacity_the_radius_grows_and_later_falls)
{
    struct world w;
    struct reserve_status s;
    world_start(&w, "capacity");
    reserve_set_capacity(w.reserve, 300);
    for (uint32_t from = 0; from < 2000; from += 250) {
        put_page(&w, from, 250);
        (void)world_until(&w, world_quiet);
        reserve_status(w.reserve, &s);
        check(s.count <= 300, "never above the capacity for long");
    }
    check(s.radius == 3 || s.radius == 4, "2000 chunks, 300 places: an eighth or less");
    check(s.evicted[RESERVE_EVICT_CAPACITY] == 2000 - s.count && world_check(&w) == s.count,
          "all accounted for");
    uint64_t below = 0;
    for (uint8_t bin = 0; bin + 1 < s.radius; bin++)
        below += s.in_bin[bin];
    check(below == 0, "nothing below the radius before the last");
    uint8_t radius = s.radius;
    reserve_radius_timer(&w.reserve->capacity.timer);
    reserve_status(w.reserve, &s);
    check(s.radius == radius, "something was stored since the last look");
    world_evict(&w, 1, RESERVE_BINS, UINT64_MAX);
    world_evict(&w, 2, RESERVE_BINS, UINT64_MAX);
    reserve_radius_timer(&w.reserve->capacity.timer);
    (void)world_until(&w, world_quiet);
    world_close(&w);
    world_open(&w, RESERVE_CACHE_AUTO);
    reserve_status(w.reserve, &s);
    check(s.radius == radius - 1, "less than half is within: it fell by one, and that is kept");
    world_end(&w);
}

TEST(without_a_capacity_the_radius_falls)
{
    struct world w;
    struct reserve_status s;
    world_start(&w, "no-capacity");
    reserve_set_capacity(w.reserve, 300);
    for (uint32_t from = 0; from < 1000; from += 250)
        put_page(&w, from, 250);
    (void)world_until(&w, world_quiet);
    reserve_status(w.reserve, &s);
    uint8_t radius = s.radius;
    check(radius > 1 && s.count > 150 && s.count <= 300, "more than half of it is taken");
    reserve_radius_timer(&w.reserve->capacity.timer);
    reserve_radius_timer(&w.reserve->capacity.timer);
    check(world_quiet(&w), "so the radius stays");
    reserve_set_capacity(w.reserve, 0);
    for (uint8_t i = 1; i <= radius + 1; i++) {
        reserve_radius_timer(&w.reserve->capacity.timer);
        (void)world_until(&w, world_quiet);
        reserve_status(w.reserve, &s);
        check(s.radius == MAX(radius - i, 0), "with no limit one step at each look, down to 0");
    }
    check(world_check(&w) == s.count, "and nothing else changes");
    world_end(&w);
}

struct page_seen {
    struct reserve_page page;
    struct world *world;
    const struct chunk *want; /* one per id */
    uint32_t seen;
};

static bool page_each(struct reserve_page *req, uint32_t i, const struct reserve_found *found)
{
    struct page_seen *p = container_of(req, struct page_seen, page);
    p->seen += found && bytes_equal(found->data, p->want[i].item.data) &&
               !memcmp(found->stamp, p->want[i].stamp, STAMP_BYTES);
    return true;
}

static void page_cb(struct reserve_page *req, const struct error *err)
{
    world_cb(container_of(req, struct page_seen, page)->world, err);
}

/* How many come as they should? */
static uint32_t page_read(struct world *w, const struct chunk *want, uint32_t count)
{
    struct chunk_id ids[LIMIT_RESERVE_READ_CHUNKS];
    for (uint32_t i = 0; i < count; i++)
        ids[i] = want[i].item.id;
    struct page_seen p = { .page = { .ids = ids,
                                     .count = count,
                                     .removals = reserve_removals(w->reserve),
                                     .each = page_each,
                                     .cb = page_cb },
                           .world = w,
                           .want = want };
    w->waits = 1;
    reserve_page_read(w->reserve, &p.page);
    check(!world_await(w), w->err.text);
    check(p.page.damaged == 0, "nothing is damaged");
    return p.seen;
}

/* A slot that was freed still holds what it held. */
TEST(a_page_has_the_last_content_though_the_one_before_lies_next)
{
    enum { IDS = 3 };
    static const struct chunk_spec puts[IDS + 1] = {
        { 1, 1, 1, 5, 0 }, { 2, 1, 2, 5, 0 }, { 3, 1, 3, 10, 1 }, { 3, 1, 4, 11, 2 }
    };
    static struct chunk want[IDS], last;
    struct world w;
    world_start(&w, "page");
    for (uint32_t i = 0; i <= IDS; i++)
        check(world_put(&w, &puts[i]) == RESERVE_STORED, "stored, each in the next slot");
    for (uint32_t i = 0; i < IDS; i++)
        chunk_make(&want[i], &puts[i]);
    chunk_make(&last, &puts[IDS]);
    want[2].item.data = last.item.data; /* the first stamp sees it too */
    check(page_read(&w, want, IDS) == IDS, "all three as they are now");
    world_end(&w);
}

TEST(a_page_has_the_stamp_that_is_left_though_another_lies_with_the_body)
{
    static const struct chunk_spec first = { 1, 1, 1, 5, 0 }, second = { 1, 2, 7, 6, 0 };
    static struct chunk want[1];
    struct world w;
    world_start(&w, "page-stamp");
    check(world_put(&w, &first) == RESERVE_STORED, "with the body");
    check(world_put(&w, &second) == RESERVE_STORED, "beside it");
    chunk_make(want, &second);
    check(page_read(&w, want, 1) == 1, "while there are two");
    check(world_evict(&w, 1, RESERVE_BINS, UINT64_MAX) == 1, "the first batch expires");
    check(page_read(&w, want, 1) == 1, "and when it is alone");
    world_end(&w);
}

/* Behind a proven run the index is not asked: what breaks it must be seen in the slots. */
TEST(a_long_page_is_right_where_its_runs_break)
{
    enum { IDS = LIMIT_RESERVE_READ_CHUNKS, SINGLE_OWNER = 20, STAMPED_TWICE = 30, ABSENT = 40 };
    static struct chunk want[IDS];
    struct world w;
    world_start(&w, "page-runs");
    for (uint32_t i = 0; i < IDS; i++) {
        struct chunk_spec spec = { 100 + i, 1, i, 5, i == SINGLE_OWNER };
        if (i != ABSENT)
            check(world_put(&w, &spec) == RESERVE_STORED, "each in the next slot");
        if (i == STAMPED_TWICE) {
            spec.batch = 2;
            check(world_put(&w, &spec) == RESERVE_STORED, "a stamp that does not lie in the slot");
        }
        chunk_make(&want[i], &spec);
    }
    check(page_read(&w, want, IDS) == IDS - 1, "all but the one that is not there");
    world_end(&w);
}

TEST(what_is_stored_together_lies_bin_by_bin)
{
    enum { CHUNKS = 64 };
    static struct world_page page;
    const struct reserve_item *items = page.items;
    uint32_t last[RESERVE_BINS] = { 0 };
    struct world w;
    world_start(&w, "page-bins");
    world_page_run(&page, &(struct chunk_spec){ 100, 1, 0, 5, 0 }, CHUNKS);
    check(!world_page_put(&w, &page), w.err.text);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        uint32_t slot = items[i].slot_.slot + 1, *before = &last[items[i].bin_];
        check(items[i].outcome == RESERVE_STORED, "stored");
        check(*before == 0 || slot == *before + 1, "next to the one before it in its bin");
        *before = slot;
    }
    check(last[0] > 0 && last[1] > 0, "of more than one bin");
    world_end(&w);
}
