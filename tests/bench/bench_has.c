/* tests/bench/bench_has.c: which chunks are stored? Asked of the has-cache, of our index alone, and
 * of the index of the known program on the same entries, with 1, 8 and 128 queries in flight. The
 * index is larger than its block cache, and all of it is in the page cache. On a real loop with
 * real workers; CPU is that of the whole process. */
#include "reserve_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/prng.h"

enum { PAGE = 250, IN_FLIGHT_MAX = RIG_HAS_CONCURRENCY, IDS = 1 << 16 };
enum { CASE_MS = 1500, CASE_SMALL_MS = 100, SMALL_ENTRIES = 100 * 1000 };

struct query {
    struct reserve_has has;
    struct run *run;
    uint8_t have[(PAGE + 7) / 8];
};

struct run {
    struct rig rig;
    uint64_t entries, at, done, yes, until_ns;
    uint32_t ids_each, out;
    struct chunk_id *ids; /* IDS, and a page more */
    struct query *queries;
};

static void ask(struct query *q)
{
    struct run *g = q->run;
    q->has.ids = g->ids + g->at;
    g->at = (g->at + g->ids_each) % IDS;
    reserve_has(g->rig.reserve, &q->has);
}

static void on_has(struct reserve_has *req, const struct error *err)
{
    struct query *q = container_of(req, struct query, has);
    struct run *g = q->run;
    if (err)
        bench_fail(g->rig.bench, "%s", err->text);
    for (uint32_t i = 0; i < (req->count + 7) / 8; i++)
        g->yes += (uint32_t)__builtin_popcount(req->have[i]);
    g->done++;
    if (bench_wall_ns() < g->until_ns) {
        ask(q);
    } else if (--g->out == 0) {
        rig_arrived(&g->rig);
    }
}

struct figures {
    double per_second, cpu_us;
};

static struct figures run_case(struct run *g, uint32_t in_flight, uint32_t ids, bool present)
{
    g->ids_each = ids;
    g->at = g->done = g->yes = 0;
    g->out = in_flight;
    uint64_t wall = bench_wall_ns(), cpu = bench_process_cpu_ns();
    g->until_ns = wall + (g->entries < SMALL_ENTRIES ? CASE_SMALL_MS : CASE_MS) * UINT64_C(1000000);
    for (uint32_t i = 0; i < in_flight; i++) {
        struct query *q = &g->queries[i];
        memset(&q->has, 0, sizeof(q->has));
        q->run = g;
        q->has.have = q->have;
        q->has.count = ids;
        q->has.cb = on_has;
        ask(q);
    }
    rig_await(&g->rig);
    double n = (double)g->done * ids;
    if (g->yes != (present ? g->done * ids : 0))
        bench_fail(g->rig.bench, "a has-query was answered wrong");
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

static void make_ids(struct run *g, bool present)
{
    struct prng p = prng_of(present ? 1 : 2);
    struct gen_entry e;
    for (uint32_t i = 0; i < IDS; i++) {
        gen_entry(&e, g->entries, prng_next(&p) % g->entries, !present);
        g->ids[i] = e.id;
    }
    memcpy(g->ids + IDS, g->ids, PAGE * sizeof(g->ids[0]));
}

static void run_cases(struct run *g, struct figures out[2][CASES])
{
    for (int absent = 0; absent < 2; absent++) {
        make_ids(g, !absent);
        for (uint32_t i = 0; i < CASES; i++)
            out[absent][i] = run_case(g, cases[i].in_flight, cases[i].ids, !absent);
    }
}

/* False: there is no such program. */
static bool run_bee(struct run *g, struct figures out[2][SINGLE], double *resident_kib)
{
    char command[1200], path[600], word[16];
    if (!bench_program(g->rig.bench, "beeindex", path, sizeof(path)))
        return false;
    snprintf(command, sizeof(command), "'%s' %s/bee %" PRIu64, path, g->rig.dir, g->entries);
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
    int status = f ? pclose(f) : -1;
    if (!good || status)
        bench_fail(g->rig.bench, "bee's index of %" PRIu64 " entries failed (status %d)",
                   g->entries, status);
    return true;
}

/* bee's index as swarm.md 15 has it, with two million entries. CPU of absent keys: nobody says. */
static const struct figures bee_known[2][SINGLE] = {
    { { 34000, 27 }, { 67000, 27 }, { 70000, 27 } },
    { { 72000, 0 }, { 73000, 0 }, { 65000, 0 } },
};
static const struct figures not_known = { 0, 0 };

struct side { /* what stands beside ours */
    const char *name;
    struct figures now, known;
};

static void report(struct run *g, const char *what, struct figures ours, const struct side *beside)
{
    char rate[96], cpu[96];
    snprintf(rate, sizeof(rate), "%s: ids a second", what);
    snprintf(cpu, sizeof(cpu), "%s: CPU", what);
    struct bench_figure f = { .figure = rate,
                              .unit = "1/s",
                              .value = ours.per_second,
                              .beside = beside->name,
                              .beside_value = beside->now.per_second };
    f.expect_beside = bench_expect(g->entries, 2000000, beside->known.per_second);
    bench_report(g->rig.bench, &f);
    f.figure = cpu;
    f.unit = "us";
    f.value = ours.cpu_us;
    f.beside_value = beside->now.cpu_us;
    f.expect_beside = bench_expect(g->entries, 2000000, beside->known.cpu_us);
    bench_report(g->rig.bench, &f);
}

static void compare(struct run *g)
{
    struct figures cache[2][CASES], index[2][CASES], bee[2][SINGLE];
    struct reserve_status s;
    rig_open(&g->rig, RESERVE_CACHE_ON);
    rig_settle(&g->rig);
    reserve_status(g->rig.reserve, &s);
    if (s.cache != HASCACHE_COMPLETE || s.count != g->entries)
        bench_fail(g->rig.bench, "the cache is not complete");
    run_cases(g, cache);
    double held_mib = (double)(s.cache_bytes + RIG_STORE_MEMORY) / MiB;
    rig_close(&g->rig);
    rig_open(&g->rig, RESERVE_CACHE_OFF);
    rig_settle(&g->rig);
    run_cases(g, index);
    rig_close(&g->rig);
    double bee_kib = 0;
    bool beside = run_bee(g, bee, &bee_kib);
    if (beside)
        bench_report(g->rig.bench,
                     &(struct bench_figure){ "memory for it: cache and index", "MiB", held_mib, 0,
                                             "bee's index", bee_kib / 1024, 0, NULL, NULL });
    for (int absent = 0; absent < 2; absent++)
        for (uint32_t i = 0; i < CASES; i++) {
            char cached[64], alone[64];
            snprintf(cached, sizeof(cached), "has-cache, %s, %s", absent ? "absent" : "present",
                     cases[i].name);
            snprintf(alone, sizeof(alone), "our index, %s, %s", absent ? "absent" : "present",
                     cases[i].name);
            /* It asks one by one, whatever the offer: beside offers stand 128 askers. */
            uint32_t asks = MIN(i, (uint32_t)SINGLE - 1);
            const struct side ours = { "our index", index[absent][i], not_known };
            report(g, cached, cache[absent][i], &ours);
            if (!beside)
                continue;
            const struct side theirs = { "bee's index", bee[absent][asks],
                                         bee_known[absent][asks] };
            report(g, cached, cache[absent][i], &theirs);
            if (i < SINGLE)
                report(g, alone, index[absent][i], &theirs);
        }
}

BENCH(has, "Has-queries: the has-cache beside our index alone and beside bee's index.")
{
    struct run g = { .entries = bench_entries(bench, 2000000) };
    struct error err = { ERR_OK, "" };
    g.ids = malloc((IDS + PAGE) * sizeof(g.ids[0]));
    g.queries = calloc(IN_FLIGHT_MAX, sizeof(g.queries[0]));
    rig_start(&g.rig, bench, 1 * GiB + g.entries * 32);
    if (!g.ids || !g.queries || gen_fill(g.rig.dir, RIG_STORE_MEMORY, g.entries, &err))
        bench_fail(bench, "no index: %s", err.text);
    compare(&g);
    free(g.ids);
    free(g.queries);
    rig_end(&g.rig);
}
