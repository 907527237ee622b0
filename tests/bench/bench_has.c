/* tests/bench/bench_has.c: which chunks are stored? Asked of the has-cache, of our index alone, and
 * of the index of the known program on the same entries, with 1, 8 and 128 queries in flight. The
 * index is larger than its block cache, and all of it is in the page cache. On a real loop with
 * real workers; CPU is that of the whole process. */
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
#include "reserve_gen.h"

enum { PAGE = 250, IN_FLIGHT_MAX = 128, IDS = 1 << 16, CASE_MS = 1500, STORE_MEMORY = 60 * MiB };

struct query {
    struct reserve_has has;
    struct rig *rig;
    uint8_t have[(PAGE + 7) / 8];
};

struct rig {
    struct bench *bench;
    struct loop *loop;
    struct work_pool *pool;
    struct mem_plan *plan;
    struct stores *stores;
    struct reserve *reserve;
    uint64_t entries, at, done, yes, until_ns;
    uint32_t ids_each, out;
    bool arrived;
    struct chunk_id *ids; /* IDS, and a page more */
    struct query *queries;
    char dir[64], slabs[80], image[80];
};

static void on_life(void *ctx, const struct error *err)
{
    struct rig *g = ctx;
    if (err)
        bench_fail(g->bench, "%s", err->text);
    g->arrived = true;
    loop_stop(g->loop);
}

static void await(struct rig *g)
{
    while (!g->arrived)
        loop_run(g->loop);
    g->arrived = false;
}

static void open_reserve(struct rig *g, enum reserve_cache cache)
{
    static const uint8_t overlay[OVERLAY_BYTES] = { 0 };
    struct error err = { ERR_OK, "" };
    const struct stores_options stores = { .data_dir = g->dir,
                                           .loop = g->loop,
                                           .work = g->pool,
                                           .mem = mem_plan_find(g->plan, "stores"),
                                           .memory_bytes = STORE_MEMORY,
                                           .rows = &gen_row,
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
    await(g);
    o.store = stores_find(g->stores, "reserve");
    if (reserve_create(&g->reserve, &o, &err))
        bench_fail(g->bench, "%s", err.text);
    reserve_open(g->reserve, on_life, g);
    await(g);
}

static void close_reserve(struct rig *g)
{
    reserve_close(g->reserve, on_life, g);
    await(g);
    reserve_destroy(g->reserve);
    stores_close(g->stores, on_life, g);
    await(g);
    stores_destroy(g->stores);
}

struct tick {
    struct timer timer;
    struct rig *rig;
};

static void on_tick(struct timer *t)
{
    on_life(container_of(t, struct tick, timer)->rig, NULL);
}

/* Slots are derived and the cache is built behind the opening. */
static void settle(struct rig *g)
{
    struct reserve_status s;
    struct tick tick = { .rig = g };
    timer_init(&tick.timer, g->loop, on_tick, "bench_tick");
    do {
        timer_set(&tick.timer, 5);
        await(g);
        reserve_status(g->reserve, &s);
    } while (s.deriving || s.cache == HASCACHE_BUILDING);
}

static void ask(struct query *q)
{
    struct rig *g = q->rig;
    q->has.ids = g->ids + g->at;
    g->at = (g->at + g->ids_each) % IDS;
    reserve_has(g->reserve, &q->has);
}

static void on_has(struct reserve_has *req, const struct error *err)
{
    struct query *q = container_of(req, struct query, has);
    struct rig *g = q->rig;
    if (err)
        bench_fail(g->bench, "%s", err->text);
    for (uint32_t i = 0; i < (req->count + 7) / 8; i++)
        g->yes += (uint32_t)__builtin_popcount(req->have[i]);
    g->done++;
    if (bench_wall_ns() < g->until_ns) {
        ask(q);
    } else if (--g->out == 0) {
        g->arrived = true;
        loop_stop(g->loop);
    }
}

struct figures {
    double per_second, cpu_us;
};

static struct figures run_case(struct rig *g, uint32_t in_flight, uint32_t ids, bool present)
{
    g->ids_each = ids;
    g->at = g->done = g->yes = 0;
    g->out = in_flight;
    uint64_t wall = bench_wall_ns(), cpu = bench_process_cpu_ns();
    g->until_ns = wall + CASE_MS * UINT64_C(1000000);
    for (uint32_t i = 0; i < in_flight; i++) {
        struct query *q = &g->queries[i];
        memset(&q->has, 0, sizeof(q->has));
        q->rig = g;
        q->has.have = q->have;
        q->has.count = ids;
        q->has.cb = on_has;
        ask(q);
    }
    await(g);
    double n = (double)g->done * ids;
    if (g->yes != (present ? g->done * ids : 0))
        bench_fail(g->bench, "a has-query was answered wrong");
    return (struct figures){ n * 1e9 / (double)(bench_wall_ns() - wall),
                             (double)(bench_process_cpu_ns() - cpu) / 1e3 / n };
}

static const struct {
    uint32_t in_flight, ids;
    const char *name;
} cases[] = {
    { 1, 1, "1 in flight" },        { 8, 1, "8 in flight" },        { 128, 1, "128 in flight" },
    { 1, PAGE, "an offer of 250" }, { 8, PAGE, "8 offers of 250" },
};
enum { CASES = sizeof(cases) / sizeof(cases[0]), SINGLE = 3 };

static void make_ids(struct rig *g, bool present)
{
    struct prng p = prng_of(present ? 1 : 2);
    struct gen_entry e;
    for (uint32_t i = 0; i < IDS; i++) {
        gen_entry(&e, g->entries, prng_next(&p) % g->entries, !present);
        g->ids[i] = e.id;
    }
    memcpy(g->ids + IDS, g->ids, PAGE * sizeof(g->ids[0]));
}

static void run_cases(struct rig *g, struct figures out[2][CASES])
{
    for (int absent = 0; absent < 2; absent++) {
        make_ids(g, !absent);
        for (uint32_t i = 0; i < CASES; i++)
            out[absent][i] = run_case(g, cases[i].in_flight, cases[i].ids, !absent);
    }
}

/* The program stands beside ours in the build folder, when there is a Go compiler. */
static bool run_bee(struct rig *g, struct figures out[2][SINGLE], double *resident_kib)
{
    char command[700], self[512], word[16];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0)
        return false;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(command, sizeof(command), "'%s/beeindex' %s/bee %" PRIu64, self, g->dir, g->entries);
    FILE *f = popen(command, "r");
    bool good = f != NULL;
    for (uint32_t i = 0; good && i < 2 * SINGLE; i++) {
        struct figures *to = &out[i / SINGLE][i % SINGLE];
        uint32_t in_flight = 0;
        good = fscanf(f, "%15s %u %lf %lf", word, &in_flight, &to->per_second, &to->cpu_us) == 4 &&
               in_flight == cases[i % SINGLE].in_flight &&
               !strcmp(word, i < SINGLE ? "present" : "absent");
    }
    good = good && fscanf(f, " resident %lf", resident_kib) == 1;
    if (f)
        good = !pclose(f) && good;
    return good;
}

static void report(struct rig *g, const char *what, const char *beside, struct figures ours,
                   struct figures theirs)
{
    char figure[96];
    snprintf(figure, sizeof(figure), "%s: ids a second", what);
    bench_report(g->bench, &(struct bench_figure){ figure, "1/s", ours.per_second, 0, beside,
                                                   theirs.per_second, 0, NULL, NULL });
    snprintf(figure, sizeof(figure), "%s: CPU", what);
    bench_report(g->bench, &(struct bench_figure){ figure, "us", ours.cpu_us, 0, beside,
                                                   theirs.cpu_us, 0, NULL, NULL });
}

static int remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED,
                      struct FTW *ftw UNUSED)
{
    return remove(path);
}

static void compare(struct rig *g)
{
    struct figures cache[2][CASES], index[2][CASES], bee[2][SINGLE];
    struct reserve_status s;
    open_reserve(g, RESERVE_CACHE_ON);
    settle(g);
    reserve_status(g->reserve, &s);
    if (s.cache != HASCACHE_COMPLETE || s.count != g->entries)
        bench_fail(g->bench, "the cache is not complete");
    run_cases(g, cache);
    double held_mib = (double)(s.cache_bytes + STORE_MEMORY) / MiB;
    close_reserve(g);
    open_reserve(g, RESERVE_CACHE_OFF);
    settle(g);
    run_cases(g, index);
    close_reserve(g);
    double bee_kib = 0;
    bool beside = run_bee(g, bee, &bee_kib);
    if (beside)
        bench_report(g->bench,
                     &(struct bench_figure){ "memory for it: cache and index", "MiB", held_mib, 0,
                                             "bee's index", bee_kib / 1024, 0, NULL, NULL });
    for (int absent = 0; absent < 2; absent++)
        for (uint32_t i = 0; i < CASES; i++) {
            char cached[64], alone[64];
            snprintf(cached, sizeof(cached), "has-cache, %s, %s", absent ? "absent" : "present",
                     cases[i].name);
            snprintf(alone, sizeof(alone), "our index, %s, %s", absent ? "absent" : "present",
                     cases[i].name);
            report(g, cached, "our index", cache[absent][i], index[absent][i]);
            if (!beside)
                continue;
            /* It asks one by one, whatever the offer: beside offers stand 128 askers. */
            report(g, cached, "bee's index", cache[absent][i], bee[absent][MIN(i, SINGLE - 1)]);
            if (i < SINGLE)
                report(g, alone, "bee's index", index[absent][i], bee[absent][i]);
        }
}

BENCH(has, "Has-queries: the has-cache beside our index alone and beside bee's index.")
{
    static const struct mem_row rows[] = {
        { "stores", "", MEM_FIXED, 8 * MiB, 10, 10, true },
        { "hascache", "partial", MEM_ELASTIC, 2 * MiB, 50, 50, true },
        { "putqueue", "sessions wait", MEM_ELASTIC, 4 * MiB, 10, 20, true },
    };
    static const struct work_options work = { 2, 1, mem_arena_stores_enter };
    struct rig g = { .bench = bench, .entries = bench_entries(bench, 2000000) };
    struct error err = { ERR_OK, "" };
    g.ids = malloc((IDS + PAGE) * sizeof(g.ids[0]));
    g.queries = calloc(IN_FLIGHT_MAX, sizeof(g.queries[0]));
    snprintf(g.dir, sizeof(g.dir), "larder-bench-%d", (int)getpid());
    snprintf(g.slabs, sizeof(g.slabs), "%s/slabs", g.dir);
    snprintf(g.image, sizeof(g.image), "%s/image", g.dir);
    if (!g.ids || !g.queries || mkdir(g.dir, 0700) ||
        mem_plan_create(&g.plan, 1 * GiB + g.entries * 32, rows, 3, &err) ||
        loop_create(&g.loop, &err) || work_pool_create(&g.pool, g.loop, &work, &err) ||
        gen_fill(g.dir, STORE_MEMORY, g.entries, &err))
        bench_fail(bench, "no rig: %s", err.text);
    compare(&g);
    work_pool_destroy(g.pool);
    loop_destroy(g.loop);
    mem_plan_destroy(g.plan);
    free(g.ids);
    free(g.queries);
    nftw(g.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
