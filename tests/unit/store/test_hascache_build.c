#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "store/hascache_build.h"

enum { KEYS = 20000 };

static const struct mem_row rows[] = {
    { "hascache", "partial", MEM_ELASTIC, 2 * MiB, 50, 90, true },
};

struct world { /* the index, its view, and the cache that is built from the view */
    struct mem_plan *plan;
    struct mem_owner *mem;
    struct hascache *cache;
    struct hascache_build *build;
    struct hascache_hash key[KEYS];
    bool stored[KEYS], viewed[KEYS];
};

static void world_start(struct world *w)
{
    struct hascache_options o = { .key = "key" };
    memset(w, 0, sizeof(*w));
    check(!mem_plan_create(&w->plan, 128 * MiB, rows, 1, NULL), "plan");
    w->mem = mem_plan_find(w->plan, "hascache");
    check(!hascache_create(&w->cache, w->mem, &o, NULL), "cache");
    for (uint32_t i = 0; i < KEYS; i++) {
        struct chunk_id id = { { 0 }, { 0 }, { 0 } };
        memcpy(id.batch, &i, sizeof(i));
        hascache_key(w->cache, &id, &w->key[i]);
    }
}

static void world_end(struct world *w)
{
    hascache_build_destroy(w->build);
    hascache_destroy(w->cache);
    check(w->plan->used_bytes == 0, "nothing is left");
    mem_plan_destroy(w->plan);
}

/* Adds, deletes and re-adds of the same keys while the view is read in slices. */
static void change_some(struct world *w, struct prng *p, uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) {
        uint32_t i = prng_below(p, KEYS / 4); /* few keys, many changes of each */
        if (w->stored[i])
            check(hascache_build_remove(w->build, &w->key[i]), "room in the log");
        else
            check(hascache_build_add(w->build, &w->key[i]), "room in the log");
        w->stored[i] = !w->stored[i];
    }
}

static void expect_no_lie(const struct world *w)
{
    for (uint32_t i = 0; i < KEYS; i++)
        check(!hascache_has(w->cache, &w->key[i]) || w->stored[i] ||
                  !hascache_build_trusts(w->build, &w->key[i]),
              "what is believed to be present is stored");
}

TEST(a_build_with_changes_ends_equal_to_the_index)
{
    static struct world w;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct prng p = prng_of(seed);
        world_start(&w);
        for (uint32_t i = 0; i < KEYS; i++)
            w.stored[i] = w.viewed[i] = prng_below(&p, 2);
        check(!hascache_build_create(&w.build, w.cache, w.mem, NULL), "build");
        for (uint32_t from = 0; from < KEYS; from += 1000) {
            struct hascache_hash slice[1000];
            uint32_t count = 0;
            for (uint32_t i = from; i < from + 1000; i++)
                if (w.viewed[i])
                    slice[count++] = w.key[i];
            change_some(&w, &p, 500);
            hascache_build_read(w.build, slice, count);
            expect_no_lie(&w);
        }
        check(hascache_build_logged(w.build) > 3000, "there was a log");
        while (!hascache_build_replay(w.build)) {
            check(hascache_state(w.cache) == HASCACHE_BUILDING, "not before the end");
            change_some(&w, &p, 20);
            expect_no_lie(&w);
        }
        check(hascache_state(w.cache) == HASCACHE_COMPLETE, "complete");
        for (uint32_t i = 0; i < KEYS; i++)
            check(hascache_has(w.cache, &w.key[i]) == w.stored[i], "equal to the index");
        check(!hascache_check(w.cache, NULL), "and whole");
        world_end(&w);
    }
}

/* The iterator arrives late with what was deleted meanwhile. */
TEST(a_deleted_key_does_not_come_back)
{
    static struct world w;
    world_start(&w);
    check(!hascache_build_create(&w.build, w.cache, w.mem, NULL), "build");
    check(hascache_build_remove(w.build, &w.key[7]), "deleted before the view's reader gets there");
    hascache_build_read(w.build, &w.key[7], 1);
    check(hascache_has(w.cache, &w.key[7]), "the cache holds it again");
    check(!hascache_build_trusts(w.build, &w.key[7]), "but is not believed");
    check(hascache_build_trusts(w.build, &w.key[8]), "for others it is");
    while (!hascache_build_replay(w.build))
        ;
    check(!hascache_has(w.cache, &w.key[7]), "and at the end it is gone");
    world_end(&w);
}

TEST(a_refused_log_entry_says_so)
{
    static struct world w;
    world_start(&w);
    check(!hascache_build_create(&w.build, w.cache, w.mem, NULL), "build");
    mem_fault_at(1);
    check(!hascache_build_remove(w.build, &w.key[1]), "no room for the log");
    mem_fault_at(0);
    world_end(&w);
    world_start(&w);
    mem_fault_at(1);
    struct error err = { ERR_OK, "" };
    check(hascache_build_create(&w.build, w.cache, w.mem, &err) == ERR_BUDGET, err.text);
    mem_fault_at(0);
    world_end(&w);
}
