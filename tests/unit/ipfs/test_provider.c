/* The provider against servers in this process: who gets what, bad servers, ends in the middle. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "ipfs/allot.h"
#include "ipfs/provider.h"
#include "kad_sink.h"
#include "lab.h"
#include "store/keystore.h"

enum { WAIT_MS = 60000 };

static const struct store_row row = {
    .name = "keystore",
    .version = 1,
    .memory_floor_bytes = 8 * MiB,
    .block_bytes = 4 * KiB,
    .table_bytes = 2 * MiB,
    .filter_bits = 10,
    .filter_kinds = "k",
    .sync = STORE_SYNC_ASKED,
    .enabled = true,
};

struct bed {
    struct loop *loop;
    struct work_pool *pool;
    struct mem_plan *plan;
    struct mem_owner *mem, *p2p;
    struct stores *stores;
    struct keystore *ks;
    struct sinks sinks;
    struct peer_secret secret;
    struct host *host;
    struct provider *provider;
    char boot[2][160];
    const char *boots[2];
    struct timer guard, poll;
    struct keystore_write write;
    uint32_t chunk_keys, stall_ms;
    uint64_t stop_at; /* records, then the provider is stopped */
    bool called, timed_out;
};

static void wake(void *ctx)
{
    struct bed *b = ctx;
    b->called = true;
    loop_stop(b->loop);
}
static void on_stores(void *ctx, const struct error *err)
{
    check(!err, err ? err->text : "");
    wake(ctx);
}
static void on_guard(struct timer *t)
{
    struct bed *b = container_of(t, struct bed, guard);
    b->timed_out = true;
    loop_stop(b->loop);
}
static void await(struct bed *b, const char *why)
{
    timer_set(&b->guard, WAIT_MS);
    while (!b->called && !b->timed_out)
        loop_run(b->loop);
    timer_set(&b->guard, 0);
    check(!b->timed_out, why);
    b->called = false;
}

static void on_poll(struct timer *t)
{
    struct bed *b = container_of(t, struct bed, poll);
    struct provider_status st;
    provider_status(b->provider, &st);
    bool done = st.state == PROVIDER_ONLINE && st.late == 0 && st.active == 0 &&
                keystore_pending(b->ks) == 0 && st.totals.keys > 0;
    if (done || (b->stop_at && b->sinks.records >= b->stop_at))
        wake(b);
    else
        timer_set(t, 5);
}

static void bed_stores(struct bed *b)
{
    struct error err;
    static char dir[300];
    static int beds; /* a store of its own for each */
    snprintf(dir, sizeof(dir), "%s/ks%d", unit_temp_dir(), beds++);
    mkdir(dir, 0700);
    const struct stores_options stores = { .data_dir = dir,
                                           .loop = b->loop,
                                           .work = b->pool,
                                           .mem = mem_plan_find(b->plan, "stores"),
                                           .memory_bytes = 14 * MiB,
                                           .rows = &row,
                                           .count = 1 };
    check(!stores_create(&b->stores, &stores, &err), err.text);
    stores_open(b->stores, on_stores, b);
    await(b, "stores");
    check(!keystore_create(&b->ks, stores_find(b->stores, "keystore"), b->loop, b->mem, &err),
          err.text);
    keystore_open(b->ks, on_stores, b);
    await(b, "keystore");
}

static void bed_make(struct bed *b, uint32_t servers)
{
    static const struct mem_row rows[] = {
        { "stores", "", MEM_FIXED, 8 * MiB, 16, 16, true },
        { "reprovide", "", MEM_ELASTIC, 4 * MiB, 3, 4, true },
        { "p2p", "", MEM_ELASTIC, 16 * MiB, 30, 50, true },
    };
    const struct work_options work = { 2, 1, mem_arena_stores_enter };
    struct error err;
    uint8_t seed[32] = { 99 };
    static const char any[] = "/ip4/127.0.0.1/tcp/0";
    uint8_t address[64];
    struct writer w = writer_of(address, sizeof(address));
    memset(b, 0, sizeof(*b));
    check(!mem_plan_create(&b->plan, 1024 * MiB, rows, ARRAY_SIZE(rows), &err), err.text);
    check(!loop_create(&b->loop, &err), err.text);
    check(!work_pool_create(&b->pool, b->loop, &work, &err), err.text);
    timer_init(&b->guard, b->loop, on_guard, "guard");
    timer_init(&b->poll, b->loop, on_poll, "poll");
    b->mem = mem_plan_find(b->plan, "reprovide");
    b->p2p = mem_plan_find(b->plan, "p2p");
    b->chunk_keys = 256;
    b->stall_ms = 1000;
    bed_stores(b);
    sinks_make(&b->sinks, b->loop, b->p2p, servers);
    peer_secret_from_seed(seed, &b->secret);
    const struct host_options options = { .loop = b->loop,
                                          .mem = b->p2p,
                                          .identity = &b->secret,
                                          .agent = "test",
                                          .allow_private = true };
    check(!host_create(&b->host, &options, &err), err.text);
    check(!multiaddr_from_text(any, strlen(any), &w, &err), err.text);
    check(!host_listen(b->host, bytes_of(address, writer_used(&w)), &err), err.text);
    for (uint32_t i = 0; i < 2; i++) {
        sinks_address(&b->sinks, i, b->boot[i], sizeof(b->boot[i]));
        b->boots[i] = b->boot[i];
    }
}

static void provider_up(struct bed *b)
{
    struct error err;
    const struct provider_options options = {
        .loop = b->loop,
        .host = b->host,
        .keystore = b->ks,
        .work = b->pool,
        .mem = b->mem,
        .dht_prefix = "/ipfs",
        .allow_private = true,
        .bootstrap = b->boots,
        .bootstrap_count = 2,
        .workers = 2,
        .connections = 20,
        .chunk_keys = b->chunk_keys,
        .interval_ms = 22 * 3600 * 1000,
        .stall_ms = b->stall_ms,
    };
    check(!provider_create(&b->provider, &options, &err), err.text);
}

static void provider_down(struct bed *b)
{
    struct provider_status st;
    timer_set(&b->poll, 0);
    provider_stop(b->provider, wake, b);
    await(b, "the provider stops");
    provider_status(b->provider, &st);
    check(st.ongoing_keys == 0 && st.active == 0, "what was begun is given back");
}

static void hosts_down(struct bed *b)
{
    host_close(b->host, 100, wake, b);
    await(b, "the host closes");
    provider_destroy(b->provider);
    host_destroy(b->host);
    sinks_close(&b->sinks, wake, b);
    await(b, "the servers close");
    sinks_free(&b->sinks);
}

static void bed_end(struct bed *b)
{
    hosts_down(b);
    keystore_destroy(b->ks);
    stores_close(b->stores, on_stores, b);
    await(b, "stores");
    stores_destroy(b->stores);
    work_pool_destroy(b->pool);
    check(b->mem->used_bytes == 0 && b->p2p->used_bytes == 0, "all is given back");
    loop_destroy(b->loop);
    mem_plan_destroy(b->plan);
}

static void on_written(struct keystore_write *req, const struct error *err)
{
    check(!err, "written");
    wake(container_of(req, struct bed, write));
}

static void add_keys(struct bed *b, uint64_t from, uint64_t to)
{
    struct keyset keys;
    uint8_t hash[34];
    check(keyset_init(&keys, b->mem, 1000), "a set");
    while (from < to) {
        keyset_clear(&keys);
        while (from < to && keys.count < 1000)
            check(keyset_add(&keys, lab_key(from++, hash)), "room");
        b->write = (struct keystore_write){ .op = KEYSTORE_ADD, .keys = &keys, .cb = on_written };
        keystore_write(b->ks, &b->write);
        await(b, "keys");
    }
    keyset_free(&keys);
}

static int by_kad(const void *a, const void *b)
{
    uint64_t x = kad_first((*(struct sink *const *)a)->peer.kad);
    uint64_t y = kad_first((*(struct sink *const *)b)->peer.kad);
    return (x > y) - (x < y);
}

/* Every living server has exactly the keys of which it is among the 20 nearest living ones. */
static void check_exact(struct bed *b, uint64_t keys)
{
    struct sink *order[SINKS_MAX];
    uint64_t places[SINKS_MAX], records[SINKS_MAX] = { 0 }, sums[SINKS_MAX] = { 0 };
    uint32_t n = 0;
    struct allot a;
    uint8_t hash[34];
    for (uint32_t i = 0; i < b->sinks.count; i++)
        if (!b->sinks.sink[i].stalls && !b->sinks.sink[i].resets)
            order[n++] = &b->sinks.sink[i];
    qsort(order, n, sizeof(order[0]), by_kad);
    for (uint32_t i = 0; i < n; i++)
        places[i] = kad_first(order[i]->peer.kad);
    allot_init(&a, places, n);
    for (uint64_t k = 0; k < keys; k++) {
        uint64_t kad = key_kad(lab_key(k, hash));
        allot_key(&a, kad);
        for (uint32_t j = 0; j < a.set_count; j++) {
            records[a.set[j]]++;
            sums[a.set[j]] += kad;
        }
    }
    for (uint32_t i = 0; i < n; i++)
        check(order[i]->records == records[i] && order[i]->sum == sums[i], "exactly its keys");
}

TEST(every_key_reaches_its_twenty_nearest_and_nobody_else)
{
    static struct bed b;
    struct provider_status st;
    bed_make(&b, 60);
    add_keys(&b, 0, 3000);
    provider_up(&b);
    timer_set(&b.poll, 5);
    await(&b, "a cycle ends");
    provider_status(b.provider, &st);
    check(st.totals.keys == 3000 && st.totals.sent == 60000, "each key on twenty");
    check(st.totals.confirmed == 60000 && st.totals.failed == 0, "and all confirmed");
    check_exact(&b, 3000);
    for (uint32_t i = 0; i < 60; i++) {
        check(b.sinks.sink[i].descents == 0, "in the order of the key space");
        check(b.sinks.sink[i].streams <= 1, "on one stream");
    }
    /* New keys of parts that are fresh: one alone, and some. */
    add_keys(&b, 3000, 3001);
    timer_set(&b.poll, 5);
    await(&b, "a single key is provided");
    check_exact(&b, 3001);
    add_keys(&b, 3001, 3400);
    timer_set(&b.poll, 5);
    await(&b, "more keys are provided");
    check_exact(&b, 3400);
    provider_down(&b);
    bed_end(&b);
}

TEST(servers_that_stall_or_reset_are_done_without)
{
    static struct bed b;
    struct provider_status st;
    bed_make(&b, 50);
    for (uint32_t i = 2; i < 50; i += 5) {
        b.sinks.sink[i].stalls = i % 2 == 0;
        b.sinks.sink[i].resets = i % 2 != 0;
    }
    add_keys(&b, 0, 4000);
    provider_up(&b);
    timer_set(&b.poll, 5);
    await(&b, "the cycle ends in bounded time");
    provider_status(b.provider, &st);
    /* A server may hold more than its keys, from before another one turned out bad. */
    uint64_t held = 0;
    for (uint32_t i = 0; i < 50; i++)
        held += b.sinks.sink[i].records;
    check(st.totals.keys >= 4000 && held >= 80000, "each key on twenty that live");
    check(st.totals.failed > 0, "what bad servers got is counted apart");
    provider_down(&b);
    bed_end(&b);
}

TEST(a_pass_that_was_cut_off_goes_on_where_it_was)
{
    static struct bed b;
    bed_make(&b, 24);
    b.chunk_keys = 64;
    add_keys(&b, 0, 20000);
    b.stop_at = 200000; /* half of them */
    provider_up(&b);
    timer_set(&b.poll, 1);
    await(&b, "the middle");
    provider_down(&b);
    uint64_t before = b.sinks.records;
    check(before < 390000, "it was in the middle");
    provider_destroy(b.provider);
    b.stop_at = 0;
    provider_up(&b);
    timer_set(&b.poll, 5);
    await(&b, "the rest");
    /* What was written and not read when it was cut is sent again: at most one ring. */
    check(b.sinks.records >= 400000, "no key is missed");
    check(b.sinks.records <= 400000 + 2 * LIMIT_PASS_RING * 64 * 20, "at most a ring twice");
    provider_down(&b);
    bed_end(&b);
}

TEST(it_can_be_stopped_at_any_moment)
{
    static struct bed b;
    bed_make(&b, 30);
    add_keys(&b, 0, 2000);
    for (uint32_t ms = 1; ms < 2000; ms = ms * 3 / 2 + 1) {
        provider_up(&b);
        timer_set(&b.guard, ms);
        while (!b.timed_out)
            loop_run(b.loop);
        b.timed_out = false;
        provider_down(&b);
        provider_destroy(b.provider);
    }
    provider_up(&b);
    provider_down(&b);
    bed_end(&b);
}
