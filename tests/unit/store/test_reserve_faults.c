/* What goes wrong between the steps of a put or an eviction, where it may: an error at each moment,
 * each allocation refused, several writers' jobs at once. */
#include "reserve_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "store/reserve_state.h"

static bool is_known(const struct world *w)
{
    return !w->reserve->suspect;
}

/* Until the index has been read again: a second, and what the machine makes of it. */
static void until_known(struct world *w)
{
    (void)world_until(w, is_known);
    world_settle(w);
}

static enum txn_moment fail_at;
static enum err fail_there(enum txn_moment moment, struct error *err)
{
    return moment == fail_at ? error_set(err, ERR_IO, "a test wants this to fail") : ERR_OK;
}

/* What is put on top of the first two, one at a time. */
static const struct chunk_spec before[] = { { 1, 1, 1, 5, 0 }, { 2, 1, 2, 5, 3 } };
static const struct {
    const char *why;
    struct chunk_spec chunk;
    uint64_t count, slots; /* when it is stored */
} changes[] = {
    { "a new chunk", { 3, 1, 3, 5, 0 }, 3, 3 },
    { "another chunk at a taken index", { 3, 1, 1, 6, 0 }, 2, 2 },
    { "a newer stamp of the same chunk", { 1, 1, 1, 6, 0 }, 2, 2 },
    { "a second stamp of the same chunk", { 1, 2, 1, 6, 0 }, 3, 2 },
    { "the next content of a single-owner chunk", { 2, 1, 2, 6, 4 }, 2, 2 },
    { "the same with another index", { 2, 1, 7, 6, 4 }, 3, 2 },
};

/* Without a restart the slots are right again, whether the commit came through or not. */
TEST(an_error_at_each_moment_of_a_put_leaks_no_slot)
{
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
        for (fail_at = TXN_SLOTS_WRITTEN; fail_at <= TXN_BATCH_SYNCED; fail_at++) {
            struct world w;
            char name[32];
            bool there = fail_at == TXN_BATCH_SYNCED;
            snprintf(name, sizeof(name), "put-%zu-%d", i, (int)fail_at);
            world_start(&w, name);
            for (size_t k = 0; k < ARRAY_SIZE(before); k++)
                check(world_put(&w, &before[k]) == RESERVE_STORED, "before");
            w.reserve->txn->probe = fail_there;
            check(world_put(&w, &changes[i].chunk) == RESERVE_FAILED, changes[i].why);
            w.reserve->txn->probe = NULL;
            check(w.reserve->suspect == there, "only the batch leaves a doubt");
            until_known(&w);
            check(!w.reserve->suspect && world_has(&w, &changes[i].chunk) == there, "there or not");
            check(world_check(&w) == (there ? changes[i].count : 2), changes[i].why);
            check(world_slots(&w) == (there ? changes[i].slots : 2), "no slot is lost");
            check(world_put(&w, &changes[i].chunk) == (there ? RESERVE_PRESENT : RESERVE_STORED),
                  "again");
            check(world_check(&w) == changes[i].count && world_slots(&w) == changes[i].slots,
                  "as if nothing had been");
            world_end(&w);
        }
}

TEST(an_error_at_each_moment_of_an_eviction_leaks_no_slot)
{
    static const enum txn_moment moments[] = { TXN_SLOTS_WRITTEN, TXN_SLOTS_SYNCED,
                                               TXN_BATCH_SYNCED, TXN_REMOVING };
    for (size_t i = 0; i < ARRAY_SIZE(moments); i++) {
        struct world w;
        char name[32];
        bool gone = moments[i] == TXN_BATCH_SYNCED;
        snprintf(name, sizeof(name), "evict-%zu", i);
        world_start(&w, name);
        for (uint32_t k = 1; k <= 5; k++)
            check(world_put(&w, &(struct chunk_spec){ k, 1 + k % 2, k, 5, 0 }) == RESERVE_STORED,
                  "before");
        fail_at = moments[i];
        w.reserve->txn->probe = fail_there;
        check(world_try_evict(&w, 1, RESERVE_BINS, UINT64_MAX) == ERR_IO, w.err.text);
        w.reserve->txn->probe = NULL;
        until_known(&w);
        check(world_check(&w) == (gone ? 3 : 5) && world_slots(&w) == (gone ? 3 : 5),
              "all or none");
        check(hascache_state(w.reserve->cache) == HASCACHE_COMPLETE, "the cache is whole");
        check(world_evict(&w, 1, RESERVE_BINS, UINT64_MAX) == (gone ? 0 : 2), "what is left of it");
        check(world_check(&w) == 3 && world_slots(&w) == 3, "as if nothing had been");
        world_end(&w);
    }
}

struct evicting {
    struct reserve_evict evict;
    struct world *world;
    enum err code;
    bool done;
};
static void on_evicted(struct reserve_evict *req, const struct error *err)
{
    struct evicting *e = container_of(req, struct evicting, evict);
    e->code = err ? err->code : ERR_OK;
    e->done = true;
    e->world->waits--;
    loop_stop(e->world->loop);
}

static void evict_start(struct world *w, struct evicting *e, uint32_t batch, uint64_t count)
{
    static struct chunk c;
    chunk_make(&c, &(struct chunk_spec){ .batch = batch });
    *e = (struct evicting){ { .bin = RESERVE_BINS, .count = count, .cb = on_evicted }, w, 0, 0 };
    memcpy(e->evict.batch, c.batch, 32);
    w->waits++;
    reserve_evict(w->reserve, &e->evict);
}

static struct world_page page;
static const struct reserve_item *const items = page.items;

static void page_start(struct world *w, uint32_t count, uint32_t from, uint32_t batch,
                       uint64_t timestamp)
{
    world_page_run(&page, &(struct chunk_spec){ from, batch, 0, timestamp, 0 }, count);
    world_page_start(w, &page);
}

/* Puts and evictions use one txn, and a lane starts its next job before the callback of the one
 * before. */
TEST(puts_and_evictions_at_once_keep_their_counts)
{
    static struct evicting e[3];
    struct world w;
    struct prng p = prng_of(5);
    world_start(&w, "at-once");
    for (uint32_t round = 0; round < 60; round++) {
        for (uint32_t i = 0; i < ARRAY_SIZE(e); i++)
            evict_start(&w, &e[i], i, 1 + prng_below(&p, 60));
        page_start(&w, 1 + prng_below(&p, LIMIT_RESERVE_PAGE_CHUNKS), 1 + prng_below(&p, 2000),
                   round % 3, round + 1);
        while (w.waits > 0)
            loop_run(w.loop);
        if (round % 10 == 9) {
            uint64_t entries = world_check(&w);
            check(world_slots(&w) == world_addresses(&w) && entries > 0, "one slot for an address");
        }
    }
    world_end(&w);
}

/* An eviction has chosen, a put replaces what was chosen, the delete fails: the cache must not
 * learn again what is not there. */
TEST(a_failed_eviction_does_not_bring_back_what_was_replaced)
{
    static struct evicting e;
    const struct chunk_spec old = { 5000, 1, 7, 1, 0 };
    struct world w;
    world_start(&w, "replaced");
    check(world_put(&w, &old) == RESERVE_STORED, "before");
    fail_at = TXN_REMOVING;
    w.reserve->txn->probe = fail_there;
    evict_start(&w, &e, 1, UINT64_MAX);
    page_start(&w, LIMIT_RESERVE_PAGE_CHUNKS, 1, 1, 2); /* a full group starts at once */
    check(!world_await(&w) || w.err.code == ERR_OK, w.err.text);
    check(e.done && e.code == ERR_IO && items[7].outcome == RESERVE_STORED, "put, and not evicted");
    w.reserve->txn->probe = NULL;
    check(!world_has(&w, &old), "it was replaced");
    check(world_check(&w) == LIMIT_RESERVE_PAGE_CHUNKS, "the cache has what the index has");
    world_end(&w);
}

/* A request is used again, and then there is no slot: those of its last use stay what they are. */
TEST(a_put_without_a_slot_gives_back_none_of_another)
{
    struct world w;
    world_start(&w, "no-slot");
    page_start(&w, 10, 1, 1, 1);
    check(!world_await(&w) && world_slots(&w) == 10, "stored");
    for (uint32_t i = 0; i < SLAB_STEP_SLOTS; i++)
        (void)slab_map_mark(w.reserve->map, (struct slab_ref){ 0, i });
    for (uint32_t i = 0; i < 10; i++) {
        chunk_make(&page.chunks[i], &(struct chunk_spec){ 100 + i, 1, 100 + i, 1, 0 });
        struct slab_ref slot = items[i].slot_;
        page.items[i] = page.chunks[i].item;
        page.items[i].slot_ = slot; /* a caller does not know of it */
    }
    w.waits++;
    mem_fault_at(1);
    reserve_put(w.reserve, &page.put.put);
    for (uint32_t n = 0; w.waits > 0; n++) {
        mem_fault_at(1);
        loop_run(w.loop);
    }
    mem_fault_at(0);
    check(w.err.code == ERR_BUDGET && items[0].outcome == RESERVE_FAILED, w.err.text);
    check(world_slots(&w) == SLAB_STEP_SLOTS, "every slot is taken as before");
    world_end(&w);
}

/* The n-th take is refused while a put, an eviction or an opening is under way. */
TEST(each_refused_allocation_leaves_the_reserve_whole)
{
    struct world w;
    uint64_t count = 0;
    world_start(&w, "refused");
    for (uint32_t n = 1; n <= 24; n++) {
        struct chunk_spec spec = { n, 1, n, 5, 0 };
        mem_fault_at(n);
        enum reserve_outcome outcome = world_put(&w, &spec);
        mem_fault_at(0);
        check(outcome == RESERVE_STORED || outcome == RESERVE_FAILED, "an ordinary answer");
        count += outcome == RESERVE_STORED;
        check(world_has(&w, &spec) == (outcome == RESERVE_STORED), "as it said");
        if (n % 8 == 0) {
            mem_fault_at(n / 8);
            enum err rc = world_try_evict(&w, 1, RESERVE_BINS, 2);
            mem_fault_at(0);
            count -= rc ? 0 : 2;
        }
        check(world_check(&w) == count && world_slots(&w) == count, "index, cache and slots agree");
    }
    check(count > 10, "most were stored");
    world_close(&w);
    for (uint32_t n = 1; n <= 24; n++) {
        enum err rc = world_try_open(&w, RESERVE_CACHE_AUTO, n);
        check(rc == ERR_OK || rc == ERR_BUDGET, w.err.text);
        if (rc)
            continue;
        world_settle(&w);
        check(world_check(&w) == count && world_slots(&w) == count, "the same entries");
        world_close(&w);
    }
    world_teardown(&w);
}

static struct evicting *cancels;
static enum err cancel_there(enum txn_moment moment, struct error *err UNUSED)
{
    if (moment == TXN_SLOTS_FREED)
        reserve_evict_cancel(&cancels->evict);
    return ERR_OK;
}

/* Entries of batch 1, each with an index of its own. */
static void fill(struct world *w, uint32_t from, uint32_t count)
{
    world_page_run(&page, &(struct chunk_spec){ 1 + from, 1, from, 5, 0 }, count);
    check(!world_page_put(w, &page), w->err.text);
}

/* In the midst of it, before its first step, and while it waits for another. */
TEST(a_canceled_eviction_ends_after_the_step_under_way)
{
    enum { ALL = LIMIT_RESERVE_EVICT_CHUNKS + 280 };
    static struct evicting e[3];
    struct world w;
    struct reserve_status s;
    world_start(&w, "canceled");
    for (uint32_t from = 0; from < ALL; from += ALL / 5)
        fill(&w, from, ALL / 5);
    evict_start(&w, &e[0], 1, UINT64_MAX);
    cancels = &e[0];
    w.reserve->txn->probe = cancel_there;
    while (w.waits > 0)
        loop_run(w.loop);
    w.reserve->txn->probe = NULL;
    check(e[0].code == ERR_CANCELED, "canceled");
    check(e[0].evict.evicted == LIMIT_RESERVE_EVICT_CHUNKS, "after one step");
    evict_start(&w, &e[1], 1, UINT64_MAX);
    evict_start(&w, &e[2], 1, 5);
    reserve_evict_cancel(&e[1].evict);
    reserve_evict_cancel(&e[2].evict);
    while (w.waits > 0)
        loop_run(w.loop);
    check(e[1].code == ERR_CANCELED && e[2].code == ERR_CANCELED, "both");
    check(e[1].evict.evicted + e[2].evict.evicted == 0, "before their first step");
    reserve_status(w.reserve, &s);
    check(s.evicted[RESERVE_EVICT_ASKED] == LIMIT_RESERVE_EVICT_CHUNKS, "counted");
    check(world_check(&w) == ALL - LIMIT_RESERVE_EVICT_CHUNKS, "the rest is whole");
    world_end(&w);
}

static int compare_ids(const void *a, const void *b)
{
    const struct chunk *x = a, *y = b;
    if (x->item.bin_ != y->item.bin_)
        return x->item.bin_ < y->item.bin_ ? -1 : 1;
    return memcmp(x->address, y->address, 32);
}

/* Through all three steps: count, sweep, edge. */
TEST(a_large_eviction_takes_the_first_in_order)
{
    enum { ALL = 5120, BELOW = 4 };
    struct world w;
    struct reserve_status s;
    struct chunk *all = calloc(ALL, sizeof(*all));
    check(all, "memory");
    world_start(&w, "large");
    for (uint32_t from = 0; from < ALL; from += LIMIT_RESERVE_PAGE_CHUNKS) {
        fill(&w, from, LIMIT_RESERVE_PAGE_CHUNKS);
        for (uint32_t i = 0; i < LIMIT_RESERVE_PAGE_CHUNKS; i++) {
            all[from + i] = page.chunks[i];
            all[from + i].item.bin_ = items[i].bin_;
        }
    }
    qsort(all, ALL, sizeof(*all), compare_ids);
    uint64_t gone = 0;
    static const uint64_t counts[] = { 1700, 3, 1001, 1000 };
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        check(world_evict(&w, 1, BELOW, counts[i]) == counts[i], "as many as asked");
        gone += counts[i];
        for (uint64_t k = 0; k < ALL; k += k + 3 < gone || k > gone + 3 ? 97 : 1)
            check(world_has_id(&w, &all[k].item.id) == (k >= gone), "the first ones, and no other");
    }
    reserve_status(w.reserve, &s);
    check(s.count == ALL - gone && s.evicted[RESERVE_EVICT_ASKED] == gone, "counted");
    uint64_t below = s.in_bin[0] + s.in_bin[1] + s.in_bin[2] + s.in_bin[3];
    check(world_evict(&w, 1, BELOW, UINT64_MAX) == below && world_slots(&w) == ALL - gone - below,
          "then the rest of those bins");
    check(world_check(&w) == ALL - gone - below, "and nothing above");
    world_end(&w);
    free(all);
}
