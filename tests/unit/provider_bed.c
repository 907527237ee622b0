#include "provider_bed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "ipfs/allot.h"
#include "ipfs/lab.h"

enum { WAIT_MS = 60000, HAND_MS = 5 };

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

void pbed_wake(void *ctx)
{
    struct provider_bed *b = ctx;
    b->called = true;
    loop_stop(b->loop);
}
static void on_stores(void *ctx, const struct error *err)
{
    check(!err, err ? err->text : "");
    pbed_wake(ctx);
}
static void on_guard(struct timer *t)
{
    struct provider_bed *b = container_of(t, struct provider_bed, guard);
    b->timed_out = true;
    loop_stop(b->loop);
}
static void on_hand(uv_timer_t *t)
{
    pbed_clock(t->data, HAND_MS, HAND_MS);
}

void pbed_clock(struct provider_bed *b, uint64_t now_ms, int64_t wall_ms)
{
    loop_clock_set(b->loop, loop_now_ms(b->loop) + now_ms,
                   loop_wall_ns(b->loop) + (uint64_t)wall_ms * 1000000);
    if (!b->turned)
        uv_timer_start(&b->hand, on_hand, HAND_MS, HAND_MS);
    b->turned = true;
}

void pbed_wait(struct provider_bed *b, uint32_t ms)
{
    timer_set(&b->guard, ms);
    while (!b->timed_out)
        loop_run(b->loop);
    b->timed_out = false;
}

void pbed_cycle(struct provider_bed *b, const char *why)
{
    timer_set(&b->poll, 5);
    pbed_await(b, why);
}

void pbed_await(struct provider_bed *b, const char *why)
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
    struct provider_bed *b = container_of(t, struct provider_bed, poll);
    struct provider_status st;
    provider_status(b->provider, &st);
    bool done = st.state == PROVIDER_ONLINE && st.late == 0 && st.active == 0 &&
                keystore_pending(b->ks) == 0 && st.totals.keys > 0;
    if (done || (b->stop_at && b->sinks.records >= b->stop_at))
        pbed_wake(b);
    else
        timer_set(t, 5);
}

static void pbed_stores(struct provider_bed *b)
{
    struct error err;
    static int beds; /* a store of its own for each */
    snprintf(b->dir, sizeof(b->dir), "%s/ks%d", unit_temp_dir(), beds++);
    mkdir(b->dir, 0700);
    const struct stores_options stores = { .data_dir = b->dir,
                                           .loop = b->loop,
                                           .work = b->pool,
                                           .mem = mem_plan_find(b->plan, "stores"),
                                           .memory_bytes = 14 * MiB,
                                           .rows = &row,
                                           .count = 1 };
    check(!stores_create(&b->stores, &stores, &err), err.text);
    stores_open(b->stores, on_stores, b);
    pbed_await(b, "stores");
    check(!keystore_create(&b->ks, stores_find(b->stores, "keystore"), b->loop, b->mem, &err),
          err.text);
    keystore_open(b->ks, on_stores, b);
    pbed_await(b, "keystore");
}

void pbed_make(struct provider_bed *b, uint32_t servers)
{
    pbed_make_lopsided(b, servers, 0);
}

void pbed_make_lopsided(struct provider_bed *b, uint32_t servers, uint32_t few)
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
    uv_timer_init(loop_uv(b->loop), &b->hand);
    b->hand.data = b;
    timer_init(&b->guard, b->loop, on_guard, "guard");
    timer_init(&b->poll, b->loop, on_poll, "poll");
    b->mem = mem_plan_find(b->plan, "reprovide");
    b->p2p = mem_plan_find(b->plan, "p2p");
    b->chunk_keys = 256;
    b->stall_ms = PBED_STALL_MS;
    b->workers = 2;
    b->connections = 20;
    pbed_stores(b);
    sinks_make(&b->sinks, b->loop, b->p2p, servers, few);
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

bool pbed_provider_try(struct provider_bed *b)
{
    struct error err = { ERR_OK, "" };
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
        .workers = b->workers,
        .connections = b->connections,
        .chunk_keys = b->chunk_keys,
        .interval_ms = 22 * 3600 * 1000,
        .stall_ms = b->stall_ms,
    };
    enum err rc = provider_create(&b->provider, &options, &err);
    check(!rc || rc == ERR_BUDGET, err.text);
    return !rc;
}

void pbed_provider_up(struct provider_bed *b)
{
    check(pbed_provider_try(b), "a provider");
}

void pbed_provider_down(struct provider_bed *b)
{
    struct provider_status st;
    timer_set(&b->poll, 0);
    provider_stop(b->provider, pbed_wake, b);
    pbed_await(b, "the provider stops");
    provider_status(b->provider, &st);
    check(st.ongoing_keys == 0 && st.active == 0, "what was begun is given back");
}

static void hosts_down(struct provider_bed *b)
{
    host_close(b->host, 100, pbed_wake, b);
    pbed_await(b, "the host closes");
    provider_destroy(b->provider);
    host_destroy(b->host);
    sinks_close(&b->sinks, pbed_wake, b);
    pbed_await(b, "the servers close");
    sinks_free(&b->sinks);
}

void pbed_end(struct provider_bed *b)
{
    hosts_down(b);
    keystore_stop(b->ks, pbed_wake, b);
    pbed_await(b, "the keystore is at rest");
    keystore_destroy(b->ks);
    stores_close(b->stores, on_stores, b);
    pbed_await(b, "stores");
    stores_destroy(b->stores);
    work_pool_destroy(b->pool);
    check(b->mem->used_bytes == 0 && b->p2p->used_bytes == 0, "all is given back");
    uv_close((uv_handle_t *)&b->hand, NULL);
    loop_destroy(b->loop);
    mem_plan_destroy(b->plan);
}

static void on_written(struct keystore_write *req, const struct error *err)
{
    check(!err, "written");
    pbed_wake(container_of(req, struct provider_bed, write));
}

void pbed_keys(struct provider_bed *b, uint64_t from, uint64_t to)
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
        pbed_await(b, "keys");
    }
    keyset_free(&keys);
}

void pbed_rows(struct provider_bed *b, const struct keystore_row *rows, uint32_t count)
{
    b->write = (struct keystore_write){
        .op = KEYSTORE_ROWS, .rows = rows, .rows_count = count, .cb = on_written
    };
    keystore_write(b->ks, &b->write);
    pbed_await(b, "rows");
}

static int by_kad(const void *a, const void *b)
{
    uint64_t x = kad_first((*(struct sink *const *)a)->peer.kad);
    uint64_t y = kad_first((*(struct sink *const *)b)->peer.kad);
    return (x > y) - (x < y);
}

void pbed_exact(struct provider_bed *b, uint64_t keys)
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

struct dht *pbed_dht(struct provider_bed *b)
{
    struct dht *dht = NULL;
    struct error err;
    const struct dht_options options = { .loop = b->loop,
                                         .host = b->host,
                                         .mem = b->mem,
                                         .prefix = "/ipfs",
                                         .allow_private = true,
                                         .connections_max = 40,
                                         .answer_ms = b->stall_ms };
    check(!dht_create(&dht, &options, &err), err.text);
    return dht;
}

void pbed_meet(struct provider_bed *b, struct dht *dht)
{
    for (uint32_t i = 0; i < b->sinks.count; i++)
        dht_table_add(dht, &b->sinks.sink[i].peer);
}

void pbed_record(struct provider_bed *b, struct kad_record *out)
{
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
    struct writer w = writer_of(buf, sizeof(buf));
    kad_record_init(out, host_id(b->host));
    check(host_address(b->host, 0, &w), "an address");
    check(kad_record_add_address(out, bytes_of(buf, writer_used(&w))), "of ours");
}

const uint32_t *pbed_preimages(void)
{
    static uint32_t preimages[KAD_PREIMAGES];
    if (preimages[0] == preimages[1])
        kad_preimages_build(preimages);
    return preimages;
}

struct region_options pbed_region(struct provider_bed *b, struct dht *dht,
                                  const struct kad_record *record)
{
    return (struct region_options){ .dht = dht,
                                    .keystore = b->ks,
                                    .work = b->pool,
                                    .mem = b->mem,
                                    .record = record,
                                    .preimages = pbed_preimages(),
                                    .connections = b->connections,
                                    .stall_ms = b->stall_ms };
}
