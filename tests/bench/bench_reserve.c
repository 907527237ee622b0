/* tests/bench/bench_reserve.c: puts, has-queries with the cache and without it, random gets. On a
 * real loop with real workers; figures are wall time over all that is in flight, and CPU of the
 * whole process. Chunks are 4 KiB of noise: validating them is another bench. */
#include "bench.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/prng.h"
#include "core/loop.h"
#include "core/work.h"
#include "store/reserve.h"

enum { PAGE = 250, PAGES = 4, IN_FLIGHT_MAX = 128, DATA_BYTES = 8 + 4096, BATCHES = 100 };

static const struct store_row row = {
    .name = "reserve",
    .version = 1,
    .memory_floor_bytes = 8 * MiB,
    .block_bytes = 16 * KiB,
    .table_bytes = 8 * MiB,
    .filter_bits = 10,
    .filter_kinds = "CS",
    .sync = STORE_SYNC_ASKED,
    .enabled = true,
};

struct rig {
    struct bench *bench;
    struct loop *loop;
    struct work_pool *pool;
    struct mem_plan *plan;
    struct stores *stores;
    struct reserve *reserve;
    struct prng prng;
    uint64_t entries, next, done, wanted; /* puts or queries of the present run */
    bool present;                         /* ask for what is there */
    uint64_t yes;
    uint32_t ids_each;
    char dir[64], slabs[80], image[80];
};

static void on_life(void *ctx, const struct error *err)
{
    struct rig *g = ctx;
    if (err)
        bench_fail(g->bench, "%s", err->text);
    g->done++;
    loop_stop(g->loop);
}

static void await(struct rig *g, uint64_t done)
{
    while (g->done < done)
        loop_run(g->loop);
    g->done = 0;
}

static void open_reserve(struct rig *g, enum reserve_cache cache)
{
    static const uint8_t overlay[OVERLAY_BYTES] = { 0 };
    struct error err = { ERR_OK, "" };
    const struct stores_options stores = { .data_dir = g->dir,
                                           .loop = g->loop,
                                           .work = g->pool,
                                           .mem = mem_plan_find(g->plan, "stores"),
                                           .memory_bytes = 60 * MiB,
                                           .rows = &row,
                                           .count = 1 };
    struct reserve_options o = { .loop = g->loop,
                                 .work = g->pool,
                                 .slab_dir = g->slabs,
                                 .image_path = g->image,
                                 .cache_mem = mem_plan_find(g->plan, "hascache"),
                                 .queue_mem = mem_plan_find(g->plan, "putqueue"),
                                 .overlay = overlay,
                                 .cache = cache,
                                 .has_concurrency = IN_FLIGHT_MAX };
    if (stores_create(&g->stores, &stores, &err))
        bench_fail(g->bench, "%s", err.text);
    stores_open(g->stores, on_life, g);
    await(g, 1);
    o.store = stores_find(g->stores, "reserve");
    if (reserve_create(&g->reserve, &o, &err))
        bench_fail(g->bench, "%s", err.text);
    reserve_open(g->reserve, on_life, g);
    await(g, 1);
}

static void close_reserve(struct rig *g)
{
    reserve_close(g->reserve, on_life, g);
    await(g, 1);
    reserve_destroy(g->reserve);
    stores_close(g->stores, on_life, g);
    await(g, 1);
    stores_destroy(g->stores);
}

/* The id and the stamp of entry i. */
static void make_id(uint64_t i, struct chunk_id *id, uint8_t raw[STAMP_BYTES])
{
    struct prng p = prng_of(i), batch = prng_of(UINT64_C(1) << 50 | i % BATCHES);
    struct stamp stamp = { .bucket = (uint32_t)(i >> 32),
                           .position = (uint32_t)i,
                           .timestamp = i + 1 };
    prng_fill(&p, id->address, sizeof(id->address));
    prng_fill(&batch, id->batch, sizeof(id->batch));
    memcpy(stamp.batch, id->batch, sizeof(stamp.batch));
    prng_fill(&p, stamp.signature, sizeof(stamp.signature));
    stamp_encode(&stamp, raw);
    stamp_hash(id->stamp_hash, raw);
}

struct page {
    struct reserve_put put;
    struct rig *rig;
    struct reserve_item items[PAGE];
    uint8_t stamps[PAGE][STAMP_BYTES];
};
static uint8_t noise[DATA_BYTES];

static void put_page(struct page *page)
{
    struct rig *g = page->rig;
    uint32_t count = (uint32_t)MIN(g->entries - g->next, PAGE);
    for (uint32_t i = 0; i < count; i++) {
        page->items[i] = (struct reserve_item){ .data = bytes_of(noise, sizeof(noise)),
                                                .stamp = page->stamps[i],
                                                .kind = CHUNK_CONTENT };
        make_id(g->next + i, &page->items[i].id, page->stamps[i]);
    }
    g->next += count;
    page->put.count = count;
    if (count > 0)
        reserve_put(g->reserve, &page->put);
}

static void on_put(struct reserve_put *req, const struct error *err)
{
    struct page *page = container_of(req, struct page, put);
    if (err)
        bench_fail(page->rig->bench, "%s", err->text);
    page->rig->done += req->count;
    put_page(page);
    if (page->rig->done == page->rig->entries)
        loop_stop(page->rig->loop);
}

static void report(struct rig *g, const char *figure, const char *unit, double value)
{
    bench_report(g->bench,
                 &(struct bench_figure){ .figure = figure, .unit = unit, .value = value });
}

static void puts_all(struct rig *g)
{
    static struct page pages[PAGES];
    struct reserve_status s;
    uint64_t wall = bench_wall_ns(), cpu = bench_process_cpu_ns();
    for (uint32_t i = 0; i < PAGES; i++) {
        pages[i].rig = g;
        pages[i].put.items = pages[i].items;
        pages[i].put.cb = on_put;
        put_page(&pages[i]);
    }
    await(g, g->entries);
    double n = (double)g->entries;
    report(g, "put, chunks a second", "1/s", n * 1e9 / (double)(bench_wall_ns() - wall));
    report(g, "put, CPU", "us", (double)(bench_process_cpu_ns() - cpu) / 1e3 / n);
    reserve_status(g->reserve, &s);
    report(g, "put, chunks in a commit", "chunks", n / (double)s.put_groups);
    report(g, "disk for bodies", "bytes/chunk", (double)s.slab_bytes / n);
}

struct query {
    struct reserve_has has;
    struct rig *rig;
    struct chunk_id ids[PAGE];
    uint8_t have[(PAGE + 7) / 8];
};

static void ask(struct query *q)
{
    struct rig *g = q->rig;
    uint8_t raw[STAMP_BYTES];
    for (uint32_t i = 0; i < g->ids_each; i++) {
        uint64_t number = prng_next(&g->prng) % g->entries + (g->present ? 0 : g->entries);
        make_id(number, &q->ids[i], raw);
    }
    g->next++;
    q->has.count = g->ids_each;
    reserve_has(g->reserve, &q->has);
}

static void on_has(struct reserve_has *req, const struct error *err)
{
    struct query *q = container_of(req, struct query, has);
    struct rig *g = q->rig;
    if (err)
        bench_fail(g->bench, "%s", err->text);
    for (uint32_t i = 0; i < req->count; i++)
        g->yes += req->have[i / 8] >> i % 8 & 1;
    if (++g->done == g->wanted)
        loop_stop(g->loop);
    else if (g->next < g->wanted)
        ask(q);
}

struct has_figures {
    double per_second, cpu_us;
};

/* What making the ids costs is taken off the CPU. */
static double making_us(struct rig *g)
{
    struct chunk_id id;
    uint8_t raw[STAMP_BYTES];
    uint64_t start = bench_process_cpu_ns();
    for (uint32_t i = 0; i < 2000; i++)
        make_id(prng_next(&g->prng) % g->entries, &id, raw);
    return (double)(bench_process_cpu_ns() - start) / 1e3 / 2000;
}

static struct has_figures run_has(struct rig *g, uint32_t in_flight, uint32_t ids, bool present)
{
    static struct query queries[IN_FLIGHT_MAX];
    double making = making_us(g);
    g->ids_each = ids;
    g->present = present;
    g->next = g->yes = 0;
    g->wanted = MAX(ids > 1 ? 200 : 20000, (int)in_flight);
    uint64_t wall = bench_wall_ns(), cpu = bench_process_cpu_ns();
    for (uint32_t i = 0; i < in_flight; i++) {
        memset(&queries[i].has, 0, sizeof(queries[i].has));
        queries[i].rig = g;
        queries[i].has.ids = queries[i].ids;
        queries[i].has.have = queries[i].have;
        queries[i].has.cb = on_has;
        ask(&queries[i]);
    }
    await(g, g->wanted);
    double n = (double)g->wanted * ids;
    if (g->yes != (present ? g->wanted * ids : 0))
        bench_fail(g->bench, "a has-query was answered wrong");
    return (struct has_figures){ n * 1e9 / (double)(bench_wall_ns() - wall),
                                 (double)(bench_process_cpu_ns() - cpu) / 1e3 / n - making };
}

static const struct {
    uint32_t in_flight, ids;
    bool present;
    const char *name;
} cases[] = {
    { 1, 1, true, "has, present, 1 in flight" },
    { 8, 1, true, "has, present, 8 in flight" },
    { 128, 1, true, "has, present, 128 in flight" },
    { 1, 1, false, "has, absent, 1 in flight" },
    { 8, 1, false, "has, absent, 8 in flight" },
    { 128, 1, false, "has, absent, 128 in flight" },
    { 8, PAGE, true, "offers of 250, present" },
    { 8, PAGE, false, "offers of 250, absent" },
};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static void has_all(struct rig *g)
{
    struct has_figures cache[CASES], index[CASES];
    struct reserve_status s;
    char figure[80];
    reserve_status(g->reserve, &s);
    if (s.cache != HASCACHE_COMPLETE)
        bench_fail(g->bench, "the cache is not complete");
    for (uint32_t i = 0; i < CASES; i++)
        cache[i] = run_has(g, cases[i].in_flight, cases[i].ids, cases[i].present);
    close_reserve(g);
    open_reserve(g, RESERVE_CACHE_OFF);
    for (uint32_t i = 0; i < CASES; i++)
        index[i] = run_has(g, cases[i].in_flight, cases[i].ids, cases[i].present);
    for (uint32_t i = 0; i < CASES; i++) {
        snprintf(figure, sizeof(figure), "%s, ids a second", cases[i].name);
        bench_report(g->bench,
                     &(struct bench_figure){ figure, "1/s", cache[i].per_second, 0, "the index",
                                             index[i].per_second, 0, NULL, NULL });
        snprintf(figure, sizeof(figure), "%s, CPU", cases[i].name);
        bench_report(g->bench,
                     &(struct bench_figure){ figure, "us", cache[i].cpu_us, 0, "the index",
                                             index[i].cpu_us, 0, NULL, NULL });
    }
}

struct fetch {
    struct reserve_get get;
    struct rig *rig;
};

static void fetch(struct fetch *f)
{
    uint8_t raw[STAMP_BYTES];
    make_id(prng_next(&f->rig->prng) % f->rig->entries, &f->get.id, raw);
    f->rig->next++;
    reserve_get(f->rig->reserve, &f->get);
}

static void on_get(struct reserve_get *req, const struct error *err)
{
    struct fetch *f = container_of(req, struct fetch, get);
    if (err || req->data.size != DATA_BYTES)
        bench_fail(f->rig->bench, "a get failed: %s", err ? err->text : "size");
    if (++f->rig->done == f->rig->wanted)
        loop_stop(f->rig->loop);
    else if (f->rig->next < f->rig->wanted)
        fetch(f);
}

static void get_all(struct rig *g)
{
    static struct fetch fetches[8];
    g->next = 0;
    g->wanted = 10000;
    uint64_t wall = bench_wall_ns();
    for (uint32_t i = 0; i < 8; i++) {
        fetches[i].rig = g;
        fetches[i].get.cb = on_get;
        fetch(&fetches[i]);
    }
    await(g, g->wanted);
    report(g, "random get, 8 in flight", "MB/s",
           10000.0 * DATA_BYTES / 1e6 / ((double)(bench_wall_ns() - wall) / 1e9));
}

static int remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED,
                      struct FTW *ftw UNUSED)
{
    return remove(path);
}

BENCH(reserve, "The reserve: puts, has-queries with the cache beside the index alone, gets.")
{
    static const struct mem_row rows[] = {
        { "stores", "", MEM_FIXED, 8 * MiB, 16, 16, true },
        { "hascache", "partial", MEM_ELASTIC, 2 * MiB, 30, 50, true },
        { "putqueue", "sessions wait", MEM_ELASTIC, 4 * MiB, 10, 20, true },
    };
    static const struct work_options work = { 2, 1, mem_arena_stores_enter };
    struct rig g = { .bench = bench, .entries = bench_entries(bench, 50000), .prng = { 3 } };
    struct prng p = prng_of(1);
    struct error err = { ERR_OK, "" };
    prng_fill(&p, noise, sizeof(noise));
    snprintf(g.dir, sizeof(g.dir), "larder-bench-%d", (int)getpid());
    snprintf(g.slabs, sizeof(g.slabs), "%s/slabs", g.dir);
    snprintf(g.image, sizeof(g.image), "%s/image", g.dir);
    if (mkdir(g.dir, 0700) || mem_plan_create(&g.plan, 1 * GiB, rows, 3, &err) ||
        loop_create(&g.loop, &err) || work_pool_create(&g.pool, g.loop, &work, &err))
        bench_fail(bench, "no rig: %s", err.text);
    open_reserve(&g, RESERVE_CACHE_AUTO);
    puts_all(&g);
    has_all(&g);
    get_all(&g);
    close_reserve(&g);
    work_pool_destroy(g.pool);
    loop_destroy(g.loop);
    mem_plan_destroy(g.plan);
    nftw(g.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
