/* tests/bench/bench_reserve.c: the way of chunks into the reserve and out of it. Stamped and signed
 * chunks are validated by CPU jobs and stored by group commits, as a session does it; beside it
 * stands the validation alone. Then puts alone, what they write, random gets. At last offers and
 * puts over an index beyond its block cache, with the has-cache and without it. Figures are wall
 * time over all that is in flight, and CPU of the whole process. */
#include "reserve_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/prng.h"
#include "store/batches.h"
#include "store/stores_state.h"
#include "store/validate.h"

enum { PAGE = 250, PAGES = 6, FETCHES = 8, DATA_BYTES = 8 + 4096, DEPTH = 40, BUCKET_DEPTH = 16 };

struct chunk {
    struct chunk_id id;
    uint8_t stamp[STAMP_BYTES], data[DATA_BYTES];
};

struct page {
    struct reserve_put put;
    struct reserve_has has;
    struct work work;
    struct validate_page validate;
    struct validate_item checks[PAGE];
    struct reserve_item items[PAGE];
    struct chunk_id ids[PAGE];
    uint8_t have[(PAGE + 7) / 8];
    struct run *run;
};

enum mode { PUT, VALIDATE_AND_PUT, VALIDATE, OFFER_AND_PUT };

struct run {
    struct rig rig;
    enum mode mode;
    struct mem_plan *plan; /* of the batches */
    struct batches *batches;
    struct chunk *chunks;
    uint64_t count, next, done;
    uint8_t seed[SIG_SEED_BYTES]; /* fixed: nobody attacks a bench */
    struct page *pages;
};

static void report(struct run *g, const char *figure, const char *unit, double value,
                   const char *beside, double beside_value)
{
    bench_report(g->rig.bench, &(struct bench_figure){ .figure = figure,
                                                       .unit = unit,
                                                       .value = value,
                                                       .beside = beside,
                                                       .beside_value = beside_value });
}

/* ---- chunks with stamps of a known batch ---- */

static struct batches *make_batches(struct run *g, const uint8_t batch[32],
                                    const struct sig_signer *signer)
{
    uint8_t owner[SIG_ETH_ADDRESS_BYTES];
    char id_text[65], owner_text[41], json[300];
    struct batches_loader *loader;
    struct batches *out;
    struct error err = { ERR_OK, "" };
    static const struct mem_row row = { "batches", "", MEM_ELASTIC, 1 * MiB, 50, 50, true };
    sig_signer_eth_address(signer, owner);
    hex_encode(id_text, bytes_of(batch, 32));
    hex_encode(owner_text, bytes_of(owner, sizeof(owner)));
    snprintf(json, sizeof(json),
             "[{\"id\":\"%s\",\"owner\":\"%s\",\"depth\":%d,\"bucket_depth\":%d,"
             "\"immutable\":false}]",
             id_text, owner_text, DEPTH, BUCKET_DEPTH);
    if (mem_plan_create(&g->plan, 256 * MiB, &row, 1, &err) ||
        batches_loader_create(&loader, mem_plan_find(g->plan, "batches"), 10, &err) ||
        batches_loader_feed(loader, bytes_of(json, strlen(json)), &err) ||
        batches_loader_finish(loader, &out, &err))
        bench_fail(g->rig.bench, "no batches: %s", err.text);
    batches_loader_destroy(loader);
    return out;
}

static void make_chunks(struct run *g)
{
    static const uint8_t secret[32] = { 7, 7, 7 };
    struct sig_signer signer;
    struct error err = { ERR_OK, "" };
    g->chunks = malloc(g->count * sizeof(g->chunks[0]));
    if (!g->chunks || sig_signer_init(&signer, secret, secret, &err))
        bench_fail(g->rig.bench, "no chunks: %s", err.text);
    struct stamp stamp = { .timestamp = 1 };
    memset(stamp.batch, 0xba, sizeof(stamp.batch));
    g->batches = make_batches(g, stamp.batch, &signer);
    for (uint64_t i = 0; i < g->count; i++) {
        struct chunk *c = &g->chunks[i];
        struct prng p = prng_of(i);
        le64_encode(c->data, 4096);
        prng_fill(&p, c->data + 8, 4096);
        if (chunk_content_address(c->id.address, bytes_of(c->data, DATA_BYTES), &err))
            bench_fail(g->rig.bench, "%s", err.text);
        stamp.bucket = stamp_bucket(c->id.address, BUCKET_DEPTH);
        stamp.position = (uint32_t)(i % (UINT64_C(1) << (DEPTH - BUCKET_DEPTH)));
        stamp_sign(&stamp, &signer, c->id.address);
        stamp_encode(&stamp, c->stamp);
        stamp_hash(c->id.stamp_hash, c->stamp);
        memcpy(c->id.batch, stamp.batch, 32);
    }
    sig_signer_wipe(&signer);
}

/* ---- pages in flight ---- */

static void begin(struct page *p);

static void finished(struct page *p, uint32_t count)
{
    struct run *g = p->run;
    g->done += count;
    begin(p);
    if (g->done == g->count)
        rig_arrived(&g->rig);
}

static void on_put(struct reserve_put *req, const struct error *err)
{
    struct page *p = container_of(req, struct page, put);
    for (uint32_t i = 0; !err && i < req->count; i++)
        if (req->items[i].outcome != RESERVE_STORED)
            bench_fail(p->run->rig.bench, "a chunk was not stored");
    if (err)
        bench_fail(p->run->rig.bench, "%s", err->text);
    finished(p, req->count);
}

static enum err validate_run(struct work *w, struct error *err UNUSED)
{
    validate_page(&container_of(w, struct page, work)->validate);
    return ERR_OK;
}

static void validate_done(struct work *w, const struct error *err UNUSED)
{
    struct page *p = container_of(w, struct page, work);
    if (p->validate.refused)
        bench_fail(p->run->rig.bench, "a chunk was refused: %s", p->validate.first.text);
    if (p->run->mode == VALIDATE)
        finished(p, p->validate.count);
    else
        reserve_put(p->run->rig.reserve, &p->put);
}

static void on_has(struct reserve_has *req, const struct error *err)
{
    struct page *p = container_of(req, struct page, has);
    if (err)
        bench_fail(p->run->rig.bench, "%s", err->text);
    reserve_put(p->run->rig.reserve, &p->put);
}

static void begin(struct page *p)
{
    struct run *g = p->run;
    uint32_t count = (uint32_t)MIN(g->count - g->next, PAGE);
    for (uint32_t i = 0; i < count; i++) {
        const struct chunk *c = &g->chunks[g->next + i];
        struct bytes data = bytes_of(c->data, DATA_BYTES);
        p->checks[i] = (struct validate_item){ .address = c->id.address,
                                               .data = data,
                                               .raw = bytes_of(c->stamp, STAMP_BYTES) };
        p->items[i] = (struct reserve_item){
            .id = c->id, .data = data, .stamp = c->stamp, .kind = CHUNK_CONTENT
        };
        p->ids[i] = c->id;
    }
    g->next += count;
    p->put.count = p->has.count = p->validate.count = count;
    p->validate.seed = g->seed;
    if (count == 0)
        return;
    if (g->mode == PUT)
        reserve_put(g->rig.reserve, &p->put);
    else if (g->mode == OFFER_AND_PUT)
        reserve_has(g->rig.reserve, &p->has);
    else
        work_submit(g->rig.pool, &p->work, WORK_CPU, validate_run, validate_done);
}

struct rates {
    double per_second, cpu_us;
};

static struct rates run_mode(struct run *g, enum mode mode)
{
    uint64_t wall = bench_wall_ns(), cpu = bench_process_cpu_ns();
    g->mode = mode;
    g->next = g->done = 0;
    memset(g->pages, 0, PAGES * sizeof(g->pages[0]));
    for (uint32_t i = 0; i < PAGES; i++) {
        struct page *p = &g->pages[i];
        p->run = g;
        p->put.items = p->items;
        p->put.cb = on_put;
        p->has.ids = p->ids;
        p->has.have = p->have;
        p->has.cb = on_has;
        p->validate.items = p->checks;
        p->validate.batches = g->batches;
        begin(p);
    }
    rig_await(&g->rig);
    double n = (double)g->count;
    return (struct rates){ n * 1e9 / (double)(bench_wall_ns() - wall),
                           (double)(bench_process_cpu_ns() - cpu) / 1e3 / n };
}

/* ---- what was written ---- */

static double written_bytes(void)
{
    char line[128];
    double bytes = 0;
    FILE *f = fopen("/proc/self/io", "r");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "write_bytes: %lf", &bytes) == 1)
            break;
    if (f)
        fclose(f);
    return bytes;
}

static double index_bytes(struct run *g)
{
    struct ldb *db = g->rig.stores->stores[0].db;
    ldb_compact(db, bytes_of(NULL, 0), bytes_of(NULL, 0));
    return (double)ldb_approximate_bytes(db, bytes_of("", 0), bytes_of("\xff", 1));
}

static double table_reads(struct run *g)
{
    struct store_status s;
    return store_status(g->rig.stores, 0, &s) ? (double)s.stats.files[LDB_FILE_TABLE].reads : 0;
}

/* ---- the figures ---- */

static void puts_all(struct run *g)
{
    struct reserve_status s;
    struct rates alone, both, put;
    rig_open(&g->rig, RESERVE_CACHE_AUTO);
    rig_settle(&g->rig);
    alone = run_mode(g, VALIDATE);
    both = run_mode(g, VALIDATE_AND_PUT);
    reserve_status(g->rig.reserve, &s);
    report(g, "validated and stored, chunks a second", "1/s", both.per_second,
           "validating alone, both cores", alone.per_second);
    report(g, "validated and stored, CPU", "us", both.cpu_us, "validating alone", alone.cpu_us);
    report(g, "validated and stored, what two free cores could do by its CPU", "1/s",
           2e6 / both.cpu_us, "validating alone", 2e6 / alone.cpu_us);
    report(g, "chunks in a commit", "chunks", (double)g->count / (double)s.put_groups, NULL, 0);
    rig_close(&g->rig);
    rig_end(&g->rig);
    rig_start(&g->rig, g->rig.bench, 1 * GiB);
    rig_open(&g->rig, RESERVE_CACHE_AUTO);
    rig_settle(&g->rig);
    double before = written_bytes(), n = (double)g->count;
    put = run_mode(g, PUT);
    report(g, "put, chunks a second", "1/s", put.per_second, NULL, 0);
    report(g, "put, CPU", "us", put.cpu_us, NULL, 0);
    double index = index_bytes(g);
    report(g, "write amplification", "of the bodies", (written_bytes() - before) / n / DATA_BYTES,
           NULL, 0);
    reserve_status(g->rig.reserve, &s);
    report(g, "disk: index", "bytes/chunk", index / n, NULL, 0);
    report(g, "disk: slots", "bytes/chunk", (double)s.slots_used * SLAB_SLOT_BYTES / n, "a body",
           DATA_BYTES);
    report(g, "disk: slabs in steps of 64 MiB", "bytes/chunk", (double)s.slab_bytes / n, NULL, 0);
}

struct fetch {
    struct reserve_get get;
    struct run *run;
};

static void fetch(struct fetch *f)
{
    struct run *g = f->run;
    f->get.id = g->chunks[g->next++ * UINT64_C(2654435761) % g->count].id;
    reserve_get(g->rig.reserve, &f->get);
}

static void on_get(struct reserve_get *req, const struct error *err)
{
    struct fetch *f = container_of(req, struct fetch, get);
    struct run *g = f->run;
    if (err || req->data.size != DATA_BYTES)
        bench_fail(g->rig.bench, "a get failed: %s", err ? err->text : "size");
    if (++g->done == g->count)
        rig_arrived(&g->rig);
    else if (g->next < g->count)
        fetch(f);
}

static void gets_all(struct run *g)
{
    static struct fetch fetches[FETCHES];
    g->next = g->done = 0;
    uint64_t wall = bench_wall_ns(), cpu = bench_process_cpu_ns();
    for (uint32_t i = 0; i < FETCHES; i++) {
        fetches[i] = (struct fetch){ .run = g, .get = { .cb = on_get } };
        fetch(&fetches[i]);
    }
    rig_await(&g->rig);
    double n = (double)g->count;
    report(g, "random get, 8 in flight", "MB/s",
           n * DATA_BYTES / 1e6 / ((double)(bench_wall_ns() - wall) / 1e9), NULL, 0);
    report(g, "random get, CPU", "us", (double)(bench_process_cpu_ns() - cpu) / 1e3 / n, NULL, 0);
}

/* Every chunk is offered before it comes. */
static void offers(struct run *g, uint64_t entries)
{
    struct error err = { ERR_OK, "" };
    struct rates rates[2];
    double reads[2];
    for (int off = 0; off < 2; off++) {
        rig_start(&g->rig, g->rig.bench, 1 * GiB + entries * 32);
        if (gen_fill(g->rig.dir, RIG_STORE_MEMORY, entries, &err))
            bench_fail(g->rig.bench, "no index: %s", err.text);
        rig_open(&g->rig, off ? RESERVE_CACHE_OFF : RESERVE_CACHE_ON);
        rig_settle(&g->rig);
        double before = table_reads(g);
        rates[off] = run_mode(g, OFFER_AND_PUT);
        reads[off] = (table_reads(g) - before) / (double)g->count;
        rig_close(&g->rig);
        rig_end(&g->rig);
    }
    report(g, "offered and put, index reads", "a chunk", reads[0], "without the cache", reads[1]);
    report(g, "offered and put, CPU", "us", rates[0].cpu_us, "without the cache", rates[1].cpu_us);
    report(g, "offered and put, chunks a second", "1/s", rates[0].per_second, "without the cache",
           rates[1].per_second);
}

BENCH(reserve,
      "The reserve: validated puts, what they write, gets, offers with the cache on and off.")
{
    struct run g = { .count = bench_entries(bench, 40000) };
    rig_start(&g.rig, bench, 1 * GiB);
    g.pages = calloc(PAGES, sizeof(g.pages[0]));
    if (!g.pages)
        bench_fail(bench, "no memory");
    make_chunks(&g);
    puts_all(&g);
    gets_all(&g);
    rig_close(&g.rig);
    rig_end(&g.rig);
    batches_destroy(g.batches);
    mem_plan_destroy(g.plan);
    offers(&g, 25 * g.count);
    free(g.chunks);
    free(g.pages);
}
