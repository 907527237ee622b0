/* tests/soak/reserve_node.c
 *
 * A node of the real parts (plan of memory, governor, stores, reserve), without listeners, over a
 * reserve of millions of entries. `reserve_node ROLE DIR ENTRIES CHUNKS MEMORY`:
 *
 *   fill    an index of so many entries without bodies, into the new data directory DIR
 *   build   as after kill -9: READY at once, the cache complete later and no "absent" from it
 *           before; then a clean stop
 *   image   as after that stop: the cache is complete when the node is READY; a clean stop
 *   kill    the same, and ends by SIGKILL
 *   load    puts CHUNKS chunks of 4 KiB while the cache is built, asks and reads them all; what the
 *           process held is judged by the kernel's high water mark
 *
 * tests/soak/reserve_node.sh runs them in their order. Prints figures; exit code 1: not as it must.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../bench/reserve_gen.h"
#include "base/mem.h"
#include "base/prng.h"
#include "core/cgroup.h"
#include "core/config.h"
#include "node/node_state.h"
#include "node/node_stores.h"
#include "node/status.h"
#include "node/swarm.h"

enum {
    PAGE = 250,
    DATA_BYTES = 8 + 4096,
    PUTS = 4,
    GETS = 8,
    TICK_MS = 10,
    READY_S_MAX = 3,
    FILE_BYTES_MAX = 32 << 20,
};

struct puts {
    struct reserve_put put;
    struct reserve_has has;
    struct reserve_item items[PAGE];
    struct chunk_id ids[PAGE];
    uint8_t stamps[PAGE][STAMP_BYTES], have[(PAGE + 7) / 8];
    uint64_t from;
};
struct gets {
    struct reserve_get get;
    uint64_t i;
};

static struct {
    const char *role;
    double ready_s;
    uint64_t entries, chunks, start_ns, stores_ns, memory_bytes;
    struct node *node;
    struct reserve *reserve;
    struct timer tick;
    struct prng prng;
    struct reserve_has has;
    struct chunk_id ids[PAGE];
    uint8_t have[(PAGE + 7) / 8];
    uint32_t present; /* of ids, from the front */
    uint64_t asked, put_next, put_done, get_next, get_done, puts_ns;
    uint64_t file_most, anon_most;
    bool asking, ready, stopping;
} run;
static struct puts pages[PUTS];
static struct gets gets[GETS];
static uint8_t noise[DATA_BYTES + 256];

static void fail(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));
static void fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "reserve_node %s: ", run.role);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static double seconds(uint64_t since_ns)
{
    return (double)(now_ns() - since_ns) / 1e9;
}

static void watch_memory(void)
{
    struct process_memory m;
    process_memory_read("", &m);
    run.file_most = MAX(run.file_most, m.file_bytes);
    run.anon_most = MAX(run.anon_most, m.anon_bytes);
}

static void status(struct reserve_status *s)
{
    reserve_status(run.reserve, s);
}

static void stop(void)
{
    if (!run.stopping)
        raise(SIGTERM);
    run.stopping = true;
}

/* ---- what is there and what is not, asked all the time ---- */

static void on_has(struct reserve_has *req, const struct error *err)
{
    struct reserve_status s;
    if (err)
        fail("%s", err->text);
    for (uint32_t i = 0; i < req->count; i++)
        if ((req->have[i / 8] >> i % 8 & 1) != (i < run.present))
            fail("entry %u of a query is answered wrong", i);
    run.asked += req->count;
    run.asking = false;
    status(&s);
    if (s.cache == HASCACHE_BUILDING && s.has_cache_misses > 0)
        fail("a cache that is being built said \"absent\"");
}

static void ask(void)
{
    struct gen_entry e;
    if (run.asking)
        return;
    run.present = PAGE / 2;
    for (uint32_t i = 0; i < PAGE; i++) {
        gen_entry(&e, run.entries, prng_next(&run.prng) % run.entries, i >= run.present);
        run.ids[i] = e.id;
    }
    run.has = (struct reserve_has){ .ids = run.ids, .count = PAGE, .have = run.have, .cb = on_has };
    run.asking = true;
    reserve_has(run.reserve, &run.has);
}

static bool built(void)
{
    struct reserve_status s;
    status(&s);
    if (s.cache != HASCACHE_BUILDING && s.cache != HASCACHE_COMPLETE)
        fail("the cache is in state %d", (int)s.cache);
    return s.cache == HASCACHE_COMPLETE && !s.deriving;
}

/* READY is at once, whatever the cache takes. */
static void judge_ready(void)
{
    if (run.ready_s > READY_S_MAX)
        fail("READY after %.2f s", run.ready_s);
}

static void tick_build(struct timer *t)
{
    struct reserve_status s;
    watch_memory();
    timer_set(t, TICK_MS);
    status(&s);
    if (!built() || run.asking || run.asked == 0) {
        ask();
        return;
    }
    timer_set(t, 0);
    judge_ready();
    if (s.cache_entries != run.entries)
        fail("the cache holds %" PRIu64 " entries", s.cache_entries);
    printf("cache of %" PRIu64 " entries complete after %.2f s, %.2f bytes each; %" PRIu64
           " asked meanwhile, none answered wrong\n",
           s.cache_entries, seconds(run.start_ns), (double)s.cache_bytes / (double)s.cache_entries,
           run.asked);
    stop();
}

/* ---- chunks that are really there ---- */

static void make(uint64_t i, struct chunk_id *id, uint8_t raw[STAMP_BYTES])
{
    struct prng p = prng_of(UINT64_C(1) << 61 | i);
    struct stamp stamp = { .bucket = (uint32_t)(i >> 16), .position = (uint32_t)i, .timestamp = 1 };
    prng_fill(&p, id->address, sizeof(id->address));
    memset(stamp.batch, 0xee, sizeof(stamp.batch));
    prng_fill(&p, stamp.signature, sizeof(stamp.signature));
    stamp_encode(&stamp, raw);
    memcpy(id->batch, stamp.batch, sizeof(id->batch));
    memcpy(id->stamp_hash, raw + STAMP_BYTES - 32, sizeof(id->stamp_hash)); /* as good as a hash */
}

static void on_offered(struct reserve_has *req, const struct error *err)
{
    struct puts *p = container_of(req, struct puts, has);
    if (err)
        fail("%s", err->text);
    for (uint32_t i = 0; i < req->count; i++)
        if (req->have[i / 8] >> i % 8 & 1)
            fail("a chunk that was never put is there");
    reserve_put(run.reserve, &p->put);
}

static void offer(struct puts *p)
{
    uint32_t count = (uint32_t)MIN(run.chunks - run.put_next, PAGE);
    if (count == 0)
        return;
    p->from = run.put_next;
    run.put_next += count;
    for (uint32_t i = 0; i < count; i++) {
        make(p->from + i, &p->ids[i], p->stamps[i]);
        p->items[i] =
            (struct reserve_item){ .id = p->ids[i],
                                   .data = bytes_of(noise + (p->from + i) % 256, DATA_BYTES),
                                   .stamp = p->stamps[i],
                                   .kind = CHUNK_CONTENT };
    }
    p->put.count = p->has.count = count;
    reserve_has(run.reserve, &p->has);
}

static void on_put(struct reserve_put *req, const struct error *err)
{
    struct puts *p = container_of(req, struct puts, put);
    if (err)
        fail("%s", err->text);
    for (uint32_t i = 0; i < req->count; i++)
        if (req->items[i].outcome != RESERVE_STORED)
            fail("a chunk was not stored");
    run.put_done += req->count;
    watch_memory();
    offer(p);
}

static void fetch(struct gets *g)
{
    uint8_t raw[STAMP_BYTES];
    if (run.get_next == run.chunks)
        return;
    g->i = run.get_next++;
    make(g->i, &g->get.id, raw);
    reserve_get(run.reserve, &g->get);
}

static void on_get(struct reserve_get *req, const struct error *err)
{
    struct gets *g = container_of(req, struct gets, get);
    if (err)
        fail("%s", err->text);
    if (!bytes_equal(req->data, bytes_of(noise + g->i % 256, DATA_BYTES)))
        fail("chunk %" PRIu64 " has another body", g->i);
    run.get_done++;
    fetch(g);
}

static void tick_load(struct timer *t)
{
    watch_memory();
    timer_set(t, TICK_MS);
    if (run.put_next == 0) {
        run.puts_ns = now_ns();
        for (uint32_t i = 0; i < PUTS; i++) {
            pages[i].put = (struct reserve_put){ .items = pages[i].items, .cb = on_put };
            pages[i].has = (struct reserve_has){ .ids = pages[i].ids,
                                                 .have = pages[i].have,
                                                 .cb = on_offered };
            offer(&pages[i]);
        }
    } else if (run.put_done == run.chunks && run.get_next == 0) {
        printf("%" PRIu64 " chunks put, %.0f a second\n", run.chunks,
               (double)run.chunks / seconds(run.puts_ns));
        run.puts_ns = now_ns();
        for (uint32_t i = 0; i < GETS; i++) {
            gets[i].get.cb = on_get;
            fetch(&gets[i]);
        }
    } else if (run.get_done == run.chunks && built() && !run.asking) {
        struct reserve_status s;
        status(&s);
        judge_ready();
        if (s.count != run.entries + run.chunks || s.cache_entries != s.count)
            fail("%" PRIu64 " entries, %" PRIu64 " in the cache", s.count, s.cache_entries);
        printf("all read again, %.0f MB/s; cache of %" PRIu64 " entries, %.2f bytes each\n",
               (double)run.chunks * DATA_BYTES / 1e6 / seconds(run.puts_ns), s.count,
               (double)s.cache_bytes / (double)s.count);
        stop();
        return;
    }
    if (run.get_done < run.chunks || !built())
        ask();
}

/* ---- the node ---- */

static bool role_is(const char *name)
{
    return !strcmp(run.role, name);
}

static enum err upper_start(struct node *n, struct error *err UNUSED)
{
    struct reserve_status s;
    double ms = seconds(run.start_ns) * 1e3, reserve_ms = seconds(run.stores_ns) * 1e3;
    run.reserve = node_reserve(n);
    status(&s);
    printf("READY after %.0f ms, of these the reserve %.0f; %" PRIu64 " entries, cache %s\n", ms,
           reserve_ms, s.count, s.cache == HASCACHE_COMPLETE ? "complete" : "not complete");
    if (s.count != run.entries)
        fail("the reserve has %" PRIu64 " entries", s.count);
    if (role_is("image") || role_is("kill")) {
        if (s.cache != HASCACHE_COMPLETE || s.cache_entries != run.entries)
            fail("the image was not taken");
        printf("cache of %" PRIu64 " entries from its image in %.0f ms\n", s.cache_entries,
               reserve_ms);
        if (role_is("kill"))
            raise(SIGKILL);
        stop();
        return ERR_OK;
    }
    if (s.cache == HASCACHE_COMPLETE)
        fail("an image was taken, or READY waited for the cache");
    run.ready_s = ms / 1e3;
    timer_init(&run.tick, n->env.loop, role_is("load") ? tick_load : tick_build, "soak_tick");
    timer_set(&run.tick, 1);
    return ERR_OK;
}

static void upper_stop(struct node *n UNUSED)
{
    watch_memory();
    timer_set(&run.tick, 0);
}

static enum err mark_start(struct node *n UNUSED, struct error *err UNUSED)
{
    run.stores_ns = now_ns();
    return ERR_OK;
}

static const struct node_part parts[] = {
    { "status", status_part_start, NULL, NULL, NULL, status_part_stop },
    { "stores", stores_part_start, NULL, NULL, NULL, stores_part_stop },
    { "mark", mark_start, NULL, NULL, NULL, NULL },
    { "swarm", swarm_part_start, swarm_part_reload, swarm_part_drain, NULL, swarm_part_stop },
    { "soak", upper_start, NULL, NULL, NULL, upper_stop },
};

static void run_node(const char *dir, const char *memory)
{
    static struct config config;
    static struct option_report report;
    static char data_dir[400], setting[64],
        home[] = "HOME=/nowhere", swarm[] = "--swarm",
        http[] = "--http-addr=", disk[] = "--min-free-disk=1MiB", cache[] = "--reserve-has-cache",
        capacity[] = "--reserve-capacity=1000000000", quiet[] = "--log-level=warning";
    static char *envp[] = { home, NULL };
    static char *argv[] = { data_dir, setting, swarm, http, disk, cache, capacity, quiet, NULL };
    struct config_args args = { .argv = argv, .envp = envp, .all_options = true };
    struct error err = { ERR_OK, "" };
    snprintf(data_dir, sizeof(data_dir), "--data-dir=%s", dir);
    snprintf(setting, sizeof(setting), "--memory=%s", memory);
    if (!config_load(&config, &args, &report))
        fail("%s", report.text);
    run.memory_bytes = config.memory;
    args = (struct config_args){ .argv = argv, .envp = envp, .all_options = true };
    const struct node_options options = {
        .config = &config, .args = &args, .parts = parts, .parts_count = ARRAY_SIZE(parts)
    };
    run.start_ns = now_ns();
    enum err rc = node_create(&run.node, &options, &err);
    rc = rc ? rc : node_run(run.node, &err);
    if (rc)
        fail("%s", err.text);
    node_destroy(run.node);
    if (!run.stopping)
        fail("it stopped by itself");
}

static void judge_memory(void)
{
    struct process_memory m;
    process_memory_read("", &m);
    printf("anonymous at most %.1f MiB (high water mark less file pages; %.1f seen) of %.1f; file "
           "pages at most %.1f MiB\n",
           (double)m.anon_peak_bytes / MiB, (double)run.anon_most / MiB,
           (double)run.memory_bytes / MiB, (double)run.file_most / MiB);
    if (m.anon_peak_bytes > run.memory_bytes || run.anon_most > run.memory_bytes)
        fail("it held more than its setting");
    if (run.file_most >= FILE_BYTES_MAX)
        fail("too many file pages");
}

int main(int argc, char **argv)
{
    struct error err = { ERR_OK, "" };
    struct prng p = prng_of(1);
    if (argc != 6) {
        fprintf(stderr,
                "usage: reserve_node fill|build|image|kill|load DIR ENTRIES CHUNKS MEMORY\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    run.role = argv[1];
    run.entries = strtoull(argv[3], NULL, 10);
    run.chunks = strtoull(argv[4], NULL, 10);
    run.prng = prng_of((uint64_t)now_ns());
    prng_fill(&p, noise, sizeof(noise));
    if (role_is("fill")) {
        static const struct mem_row row = { "stores", "", MEM_FIXED, 8 * MiB, 50, 50, true };
        struct mem_plan *plan;
        run.start_ns = now_ns();
        if (mem_plan_create(&plan, 256 * MiB, &row, 1, &err) ||
            gen_fill(argv[2], 64 * MiB, run.entries, &err))
            fail("%s", err.text);
        mem_plan_destroy(plan);
        printf("index of %" PRIu64 " entries in %.1f s\n", run.entries, seconds(run.start_ns));
        return 0;
    }
    run_node(argv[2], argv[5]);
    judge_memory();
    return 0;
}
