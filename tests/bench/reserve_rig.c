#include "reserve_rig.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

void rig_arrived(struct rig *g)
{
    g->arrived = true;
    loop_stop(g->loop);
}

void rig_await(struct rig *g)
{
    while (!g->arrived)
        loop_run(g->loop);
    g->arrived = false;
}

static void on_life(void *ctx, const struct error *err)
{
    struct rig *g = ctx;
    if (err)
        bench_fail(g->bench, "%s", err->text);
    rig_arrived(g);
}

void rig_start(struct rig *g, struct bench *bench, uint64_t plan_bytes)
{
    static const struct mem_row rows[] = {
        { "stores", "", MEM_FIXED, 8 * MiB, 10, 10, true },
        { "hascache", "partial", MEM_ELASTIC, 2 * MiB, 50, 50, true },
        { "putqueue", "sessions wait", MEM_ELASTIC, 4 * MiB, 10, 20, true },
    };
    static const struct work_options work = { 2, 2, mem_arena_stores_enter };
    struct error err = { ERR_OK, "" };
    *g = (struct rig){ .bench = bench };
    snprintf(g->dir, sizeof(g->dir), "larder-bench-%d", (int)getpid());
    snprintf(g->slabs, sizeof(g->slabs), "%s/slabs", g->dir);
    snprintf(g->image, sizeof(g->image), "%s/image", g->dir);
    if (mkdir(g->dir, 0700) || mem_plan_create(&g->plan, plan_bytes, rows, 3, &err) ||
        loop_create(&g->loop, &err) || work_pool_create(&g->pool, g->loop, &work, &err))
        bench_fail(bench, "no rig: %s", err.text);
}

static int remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED,
                      struct FTW *ftw UNUSED)
{
    return remove(path);
}

void rig_end(struct rig *g)
{
    work_pool_destroy(g->pool);
    loop_destroy(g->loop);
    mem_plan_destroy(g->plan);
    nftw(g->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void rig_open(struct rig *g, enum reserve_cache cache)
{
    static const uint8_t overlay[OVERLAY_BYTES] = { 0 };
    struct error err = { ERR_OK, "" };
    const struct stores_options stores = { .data_dir = g->dir,
                                           .loop = g->loop,
                                           .work = g->pool,
                                           .mem = mem_plan_find(g->plan, "stores"),
                                           .memory_bytes = RIG_STORE_MEMORY,
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
                                 .has_concurrency = RIG_HAS_CONCURRENCY };
    if (stores_create(&g->stores, &stores, &err))
        bench_fail(g->bench, "%s", err.text);
    stores_open(g->stores, on_life, g);
    rig_await(g);
    o.store = stores_find(g->stores, "reserve");
    if (reserve_create(&g->reserve, &o, &err))
        bench_fail(g->bench, "%s", err.text);
    reserve_open(g->reserve, on_life, g);
    rig_await(g);
}

void rig_close(struct rig *g)
{
    reserve_close(g->reserve, on_life, g);
    rig_await(g);
    reserve_destroy(g->reserve);
    stores_close(g->stores, on_life, g);
    rig_await(g);
    stores_destroy(g->stores);
}

struct tick {
    struct timer timer;
    struct rig *rig;
};

static void on_tick(struct timer *t)
{
    rig_arrived(container_of(t, struct tick, timer)->rig);
}

void rig_settle(struct rig *g)
{
    struct reserve_status s;
    struct tick tick = { .rig = g };
    timer_init(&tick.timer, g->loop, on_tick, "bench_tick");
    do {
        timer_set(&tick.timer, 5);
        rig_await(g);
        reserve_status(g->reserve, &s);
    } while (s.deriving || s.cache == HASCACHE_BUILDING);
}
