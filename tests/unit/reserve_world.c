#include "reserve_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/prng.h"
#include "core/log.h"
#include "core/work.h"
#include "store/reserve_state.h"

enum { WAIT_MS = 60000 };

const struct store_row world_row = {
    .name = "reserve",
    .version = 1,
    .memory_floor_bytes = 8 * MiB,
    .block_bytes = 16 * KiB,
    .table_bytes = 8 * MiB,
    .filter_bits = 10,
    .filter_kinds = "CS",
    .sync = STORE_SYNC_ASKED, /* the reserve asks each time; a crash test asks not to */
    .enabled = true,
};

void world_setup(struct world *w, const char *dir)
{
    static const struct mem_row rows[] = {
        { "stores", "", MEM_FIXED, 8 * MiB, 16, 16, true },
        { "hascache", "partial", MEM_ELASTIC, 2 * MiB, 30, 50, true },
        { "putqueue", "sessions wait", MEM_ELASTIC, 4 * MiB, 10, 20, true },
    };
    const struct work_options work = { 2, 1, mem_arena_stores_enter };
    struct error err = { ERR_OK, "" };
    memset(w, 0, sizeof(*w));
    snprintf(w->dir, sizeof(w->dir), "%s", dir);
    snprintf(w->slabs, sizeof(w->slabs), "%s/slabs", dir);
    snprintf(w->image, sizeof(w->image), "%s/hascache.image", dir);
    mkdir(dir, 0700);
    check(!mem_plan_create(&w->plan, 512 * MiB, rows, 3, &err), err.text);
    check(!loop_create(&w->loop, &err), err.text);
    check(!work_pool_create(&w->pool, w->loop, &work, &err), err.text);
}

void world_setup_named(struct world *w, const char *name)
{
    char dir[256];
    snprintf(dir, sizeof(dir), "%s/%s", unit_temp_dir(), name);
    world_setup(w, dir);
}

void world_begin(struct world *w, const char *name, enum reserve_cache cache)
{
    world_setup_named(w, name);
    world_open(w, cache);
}

void world_start(struct world *w, const char *name)
{
    world_begin(w, name, RESERVE_CACHE_AUTO);
    world_settle(w);
}

void world_again(struct world *w)
{
    world_close(w);
    world_open(w, w->options.cache);
    world_settle(w);
}

void world_end(struct world *w)
{
    world_close(w);
    world_teardown(w);
}

void world_teardown(struct world *w)
{
    check(w->plan->used_bytes == 0, "all is given back");
    work_pool_destroy(w->pool);
    loop_destroy(w->loop);
    mem_plan_destroy(w->plan);
}

enum err world_await(struct world *w)
{
    for (int turns = 0; w->waits > 0 && turns < 1000000; turns++)
        loop_run(w->loop);
    check(w->waits == 0, "the callback came");
    return w->err.code;
}

static void world_arrived(struct world *w, const struct error *err)
{
    error_clear(&w->err);
    if (err)
        w->err = *err;
    w->waits--;
    loop_stop(w->loop);
}

void world_cb(void *ctx, const struct error *err)
{
    world_arrived(ctx, err);
}

static void stores_start(struct world *w)
{
    const struct stores_options stores = { .data_dir = w->dir,
                                           .loop = w->loop,
                                           .work = w->pool,
                                           .mem = mem_plan_find(w->plan, "stores"),
                                           .memory_bytes = 32 * MiB,
                                           .rows = &world_row,
                                           .count = 1 };
    struct error err = { ERR_OK, "" };
    check(!stores_create(&w->stores, &stores, &err), err.text);
    w->waits = 1;
    stores_open(w->stores, world_cb, w);
    check(!world_await(w), w->err.text);
}

static void stores_end(struct world *w)
{
    w->waits = 1;
    stores_close(w->stores, world_cb, w);
    check(!world_await(w), w->err.text);
    stores_destroy(w->stores);
}

static enum err reserve_start(struct world *w, enum reserve_cache cache)
{
    static const uint8_t overlay[OVERLAY_BYTES] = { 0x80 };
    w->options = (struct reserve_options){ .loop = w->loop,
                                           .work = w->pool,
                                           .store = stores_find(w->stores, "reserve"),
                                           .slab_dir = w->slabs,
                                           .image_path = w->image,
                                           .cache_mem = mem_plan_find(w->plan, "hascache"),
                                           .queue_mem = mem_plan_find(w->plan, "putqueue"),
                                           .overlay = overlay,
                                           .cache = cache,
                                           .has_concurrency = 4,
                                           .restored_ns = w->restored_ns,
                                           .repair = w->repair };
    enum err rc = reserve_create(&w->reserve, &w->options, &w->err);
    if (rc)
        return rc;
    w->waits = 1;
    reserve_open(w->reserve, world_cb, w);
    return world_await(w);
}

void world_open(struct world *w, enum reserve_cache cache)
{
    stores_start(w);
    check(!reserve_start(w, cache), w->err.text);
}

enum err world_try_open(struct world *w, enum reserve_cache cache, uint64_t refuse_nth)
{
    stores_start(w);
    w->reserve = NULL;
    mem_fault_at(refuse_nth);
    enum err rc = reserve_start(w, cache);
    mem_fault_at(0);
    if (!rc)
        return ERR_OK;
    struct error why = w->err;
    reserve_destroy(w->reserve);
    stores_end(w);
    w->err = why;
    check(mem_plan_find(w->plan, "hascache")->used_bytes == 0 &&
              mem_plan_find(w->plan, "putqueue")->used_bytes == 0,
          "all is given back");
    return rc;
}

void world_close(struct world *w)
{
    w->waits = 1;
    reserve_close(w->reserve, world_cb, w);
    check(!world_await(w), w->err.text);
    reserve_destroy(w->reserve);
    stores_end(w);
}

struct world_tick {
    struct timer timer;
    struct world *world;
};
static void world_ticked(struct timer *t)
{
    world_arrived(container_of(t, struct world_tick, timer)->world, NULL);
}

void world_pause(struct world *w, uint64_t ms)
{
    struct world_tick tick = { .world = w };
    timer_init(&tick.timer, w->loop, world_ticked, "world_ticked");
    w->waits = 1;
    timer_set(&tick.timer, ms);
    (void)world_await(w);
}

bool world_until(struct world *w, bool (*holds)(const struct world *w))
{
    for (uint32_t ms = 0; !holds(w) && ms < WAIT_MS; ms++)
        world_pause(w, 1);
    return holds(w);
}

bool world_quiet(const struct world *w)
{
    return !w->reserve->capacity.busy;
}

static bool is_settled(const struct world *w)
{
    struct reserve_status s;
    reserve_status(w->reserve, &s);
    return !s.deriving && s.cache != HASCACHE_BUILDING;
}

void world_settle(struct world *w)
{
    if (!world_until(w, is_settled))
        check(false, "it settles");
}

void chunk_make(struct chunk *c, const struct chunk_spec *spec)
{
    struct prng p = prng_of(spec->address);
    struct stamp stamp = { .position = spec->position, .timestamp = spec->timestamp };
    memset(c, 0, sizeof(*c));
    prng_fill(&p, c->address, sizeof(c->address));
    p = prng_of(UINT64_C(1) << 40 | spec->batch);
    prng_fill(&p, c->batch, sizeof(c->batch));
    p = prng_of((uint64_t)spec->content << 32 | spec->address);
    size_t size = spec->content ? 97 + 8 + 100 : 8 + prng_below(&p, 4097);
    prng_fill(&p, c->data, size);
    memcpy(stamp.batch, c->batch, sizeof(c->batch));
    memset(stamp.signature, (int)spec->address, sizeof(stamp.signature));
    stamp_encode(&stamp, c->stamp);
    c->item.data = bytes_of(c->data, size);
    c->item.stamp = c->stamp;
    c->item.kind = spec->content ? CHUNK_SINGLE_OWNER : CHUNK_CONTENT;
    memcpy(c->item.id.address, c->address, 32);
    memcpy(c->item.id.batch, c->batch, 32);
    stamp_hash(c->item.id.stamp_hash, c->stamp);
}

static void world_put_cb(struct reserve_put *req, const struct error *err)
{
    world_arrived(container_of(req, struct world_put, put)->world, err);
}

void world_put_start(struct world *w, struct world_put *p, struct reserve_item *items,
                     uint32_t count)
{
    *p = (struct world_put){ { .items = items, .count = count, .cb = world_put_cb }, w };
    w->waits++;
    reserve_put(w->reserve, &p->put);
}

enum reserve_outcome world_put(struct world *w, const struct chunk_spec *spec)
{
    static struct chunk c;
    struct world_put p;
    chunk_make(&c, spec);
    world_put_start(w, &p, &c.item, 1);
    (void)world_await(w);
    return c.item.outcome;
}

void world_page_add(struct world_page *p, const struct chunk_spec *spec)
{
    assert(p->count < ARRAY_SIZE(p->chunks));
    chunk_make(&p->chunks[p->count], spec);
    p->items[p->count] = p->chunks[p->count].item;
    p->count++;
}

void world_page_run(struct world_page *p, const struct chunk_spec *first, uint32_t count)
{
    struct chunk_spec spec = *first;
    for (p->count = 0; p->count < count; spec.address++, spec.position++)
        world_page_add(p, &spec);
}

void world_page_start(struct world *w, struct world_page *p)
{
    world_put_start(w, &p->put, p->items, p->count);
}

enum err world_page_put(struct world *w, struct world_page *p)
{
    world_page_start(w, p);
    return world_await(w);
}

struct world_has {
    struct reserve_has has;
    struct world *world;
};
static void world_has_cb(struct reserve_has *req, const struct error *err)
{
    world_arrived(container_of(req, struct world_has, has)->world, err);
}

bool world_has(struct world *w, const struct chunk_spec *spec)
{
    static struct chunk c;
    chunk_make(&c, spec);
    return world_has_id(w, &c.item.id);
}

bool world_has_id(struct world *w, const struct chunk_id *id)
{
    static struct world_has h;
    uint8_t have[1] = { 0xff };
    h = (struct world_has){ { .ids = id, .count = 1, .have = have, .cb = world_has_cb }, w };
    w->waits = 1;
    reserve_has(w->reserve, &h.has);
    check(!world_await(w), w->err.text);
    return have[0] & 1;
}

struct world_get {
    struct reserve_get get;
    struct world *world;
};
static void world_get_cb(struct reserve_get *req, const struct error *err)
{
    world_arrived(container_of(req, struct world_get, get)->world, err);
}

enum err world_get(struct world *w, const struct chunk_spec *spec, uint32_t content)
{
    static struct chunk c, body;
    static struct world_get g;
    struct chunk_spec of_body = *spec;
    chunk_make(&c, spec);
    of_body.content = content;
    chunk_make(&body, &of_body);
    g = (struct world_get){ { .id = c.item.id, .cb = world_get_cb }, w };
    w->waits = 1;
    reserve_get(w->reserve, &g.get);
    enum err rc = world_await(w);
    if (!rc) {
        check(bytes_equal(g.get.data, body.item.data), "the body is the one that was put");
        check(!memcmp(g.get.stamp, c.stamp, STAMP_BYTES), "with its stamp");
        check(g.get.kind == body.item.kind, "and its kind");
    }
    return rc;
}

struct world_list {
    struct reserve_list list;
    struct world *world;
};
static void world_list_cb(struct reserve_list *req, const struct error *err)
{
    world_arrived(container_of(req, struct world_list, list)->world, err);
}

uint32_t world_list(struct world *w, uint8_t bin, uint64_t from, struct reserve_entry *entries,
                    uint32_t room)
{
    struct world_list l = {
        { .bin = bin, .from = from, .entries = entries, .room = room, .cb = world_list_cb }, w
    };
    w->waits = 1;
    reserve_list(w->reserve, &l.list);
    check(!world_await(w), w->err.text);
    return l.list.count;
}

struct world_evict {
    struct reserve_evict evict;
    struct world *world;
};
static void world_evict_cb(struct reserve_evict *req, const struct error *err)
{
    world_arrived(container_of(req, struct world_evict, evict)->world, err);
}

static enum err evict(struct world *w, uint32_t batch, uint8_t bin, uint64_t count, uint64_t *out)
{
    static struct chunk c;
    chunk_make(&c, &(struct chunk_spec){ .batch = batch });
    struct world_evict e = { { .bin = bin, .count = count, .cb = world_evict_cb }, w };
    memcpy(e.evict.batch, c.batch, 32);
    w->waits = 1;
    reserve_evict(w->reserve, &e.evict);
    enum err rc = world_await(w);
    *out = e.evict.evicted;
    return rc;
}

uint64_t world_evict(struct world *w, uint32_t batch, uint8_t bin, uint64_t count)
{
    uint64_t evicted;
    check(!evict(w, batch, bin, count, &evicted), w->err.text);
    return evicted;
}

enum err world_try_evict(struct world *w, uint32_t batch, uint8_t bin, uint64_t count)
{
    uint64_t evicted;
    enum err rc = evict(w, batch, bin, count, &evicted);
    check(!rc || evicted == 0, "none, and an error");
    return rc;
}

uint64_t world_check(struct world *w)
{
    static struct reserve_entry entries[1024];
    static struct world_get g;
    struct reserve_status s;
    uint64_t all = 0;
    reserve_status(w->reserve, &s);
    for (uint8_t bin = 0; bin < RESERVE_BINS; bin++) {
        uint64_t from = 0, in_bin = 0;
        uint32_t n;
        do {
            n = world_list(w, bin, from, entries, ARRAY_SIZE(entries));
            for (uint32_t i = 0; i < n; i++) {
                check(entries[i].binid >= from && entries[i].binid <= s.last_binid[bin], "order");
                from = entries[i].binid + 1;
                g = (struct world_get){ { .id = entries[i].id, .cb = world_get_cb }, w };
                w->waits = 1;
                reserve_get(w->reserve, &g.get);
                check(!world_await(w), w->err.text);
                uint8_t hash[32];
                stamp_hash(hash, g.get.stamp);
                check(!memcmp(hash, entries[i].id.stamp_hash, 32), "the stamp is its own");
                if (w->reserve->cache && s.cache != HASCACHE_PARTIAL) {
                    struct hascache_hash k;
                    hascache_key(w->reserve->cache, &entries[i].id, &k);
                    check(hascache_has(w->reserve->cache, &k), "the cache has it");
                }
            }
            in_bin += n;
        } while (n == ARRAY_SIZE(entries));
        check(in_bin == s.in_bin[bin], "the bin counts its entries");
        all += in_bin;
    }
    check(all == s.count, "and all are counted");
    check(!w->reserve->cache || s.cache != HASCACHE_COMPLETE || s.cache_entries == all,
          "the cache has no more");
    return all;
}

static int compare_addresses(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

uint64_t world_addresses(struct world *w)
{
    static struct reserve_entry entries[8192];
    static uint8_t addresses[8192][32];
    uint64_t all = 0, different = 0;
    for (uint8_t bin = 0; bin < RESERVE_BINS; bin++) {
        uint32_t n = world_list(w, bin, 0, entries, ARRAY_SIZE(entries));
        check(all + n <= ARRAY_SIZE(addresses), "few enough");
        for (uint32_t i = 0; i < n; i++)
            memcpy(addresses[all++], entries[i].id.address, 32);
    }
    qsort(addresses, all, 32, compare_addresses);
    for (uint64_t i = 0; i < all; i++)
        different += i == 0 || memcmp(addresses[i], addresses[i - 1], 32) != 0;
    return different;
}

uint64_t world_slots(const struct world *w)
{
    struct reserve_status s;
    reserve_status(w->reserve, &s);
    return s.slots_used;
}

int world_slab_break(struct world *w)
{
    int good = w->reserve->files.fd[0];
    w->reserve->files.fd[0] = open("/dev/null", O_RDONLY);
    return good;
}

void world_slab_mend(struct world *w, int good)
{
    int bad = w->reserve->files.fd[0];
    w->reserve->files.fd[0] = good;
    close(bad);
}

void world_flip(const char *path, uint64_t at)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR);
    check(fd >= 0 && pread(fd, &byte, 1, (off_t)at) == 1, path);
    byte ^= 1;
    check(pwrite(fd, &byte, 1, (off_t)at) == 1 && close(fd) == 0, path);
}

void world_slot_flip(const struct world *w, struct slab_ref slot, uint64_t at)
{
    char path[400];
    snprintf(path, sizeof(path), "%s/reserve.%03u.slab", w->slabs, slot.slab);
    world_flip(path, (uint64_t)slot.slot * SLAB_SLOT_BYTES + at);
}

struct edit {
    struct store_job job;
    struct world *world;
    struct bytes key, value;
};
static enum err edit_run(struct store_job *job, struct ldb *db UNUSED, struct error *err)
{
    struct edit *e = container_of(job, struct edit, job);
    struct ldb_batch *batch = ldb_batch_create(4 * KiB);
    enum err rc = e->value.data ? ldb_batch_put(batch, e->key, e->value, err)
                                : ldb_batch_delete(batch, e->key, err);
    rc = rc ? rc : store_commit(job, batch, true, err);
    ldb_batch_destroy(batch);
    return rc;
}
static void edit_done(struct store_job *job, const struct error *err)
{
    world_arrived(container_of(job, struct edit, job)->world, err);
}

void world_edit(struct world *w, struct bytes key, struct bytes value)
{
    struct edit e = { .world = w, .key = key, .value = value };
    w->waits = 1;
    store_write(w->options.store, &e.job, edit_run, edit_done);
    check(!world_await(w), w->err.text);
}

static int log_ends[2];

void world_log_begin(void)
{
    check(!pipe2(log_ends, O_NONBLOCK), "a pipe");
    log_setup_fd(log_ends[1]);
}

const char *world_log_end(void)
{
    static char text[64 * KiB];
    log_setup_fd(2);
    close(log_ends[1]);
    ssize_t size = read(log_ends[0], text, sizeof(text) - 1);
    close(log_ends[0]);
    text[MAX(size, 0)] = '\0';
    return text;
}
