#include "store/reserve.h"

#include "base/mem.h"
#include "core/log.h"
#include "store/reserve_state.h"

static timer_cb on_group_timer, on_close_timer;

static enum err allocate(struct reserve *r, struct error *err)
{
    struct mem_owner *mem = r->options.queue_mem;
    r->scan = mem_try_zalloc(mem, sizeof(*r->scan));
    r->evict.victims = mem_try_alloc(mem, LIMIT_RESERVE_EVICT_CHUNKS * sizeof(*r->evict.victims));
    if (!r->scan || !r->evict.victims)
        return mem_refused(mem, sizeof(*r->scan), err);
    r->scan->reserve = r;
    return txn_create(&r->txn, mem, &r->files, err);
}

enum err reserve_create(struct reserve **out, const struct reserve_options *o, struct error *err)
{
    struct reserve *r = mem_try_zalloc(o->queue_mem, sizeof(*r));
    if (!r)
        return mem_refused(o->queue_mem, sizeof(*r), err);
    r->options = *o;
    memcpy(r->overlay, o->overlay, sizeof(r->overlay));
    list_init(&r->puts);
    list_init(&r->group);
    list_init(&r->evictions);
    for (uint32_t i = 0; i < RESERVE_BINS; i++)
        list_init(&r->watches[i]);
    timer_init(&r->group_timer, o->loop, on_group_timer, "reserve_group");
    timer_init(&r->reload_timer, o->loop, reserve_reload_due, "reserve_reload");
    timer_init(&r->capacity.timer, o->loop, reserve_radius_timer, "reserve_radius");
    timer_init(&r->retry_timer, o->loop, reserve_retry_due, "reserve_retry");
    timer_init(&r->close_timer, o->loop, on_close_timer, "reserve_close");
    sem_start(&r->has_sem, o->loop, o->has_concurrency);
    reserve_metrics_start(r);
    enum err rc = allocate(r, err);
    if (rc) {
        reserve_destroy(r);
        return rc;
    }
    *out = r;
    return ERR_OK;
}

void reserve_destroy(struct reserve *r)
{
    if (!r)
        return;
    struct mem_owner *mem = r->options.queue_mem;
    assert(r->phase == RESERVE_CLOSED && r->requests == 0 && !r->cache && !r->map);
    reserve_metrics_end(r);
    sem_end(&r->has_sem);
    txn_destroy(r->txn);
    mem_free(mem, r->scan);
    mem_free(mem, r->evict.victims);
    mem_free(mem, r->doubts);
    mem_free(mem, r);
}

static void on_group_timer(struct timer *t)
{
    reserve_put_start(container_of(t, struct reserve, group_timer));
}

/* Worker. A fact that is not there is zero. */
static enum err read_meta(struct ldb *db, const char *name, uint64_t *out, struct error *err)
{
    struct reserve_key key = key_meta(name);
    uint8_t raw[8];
    enum err rc = ldb_get_fixed(db, key_bytes(&key), raw, sizeof(raw), err);
    *out = rc ? 0 : be64_decode(raw);
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

enum err reserve_counters_read(struct ldb *db, struct reserve_counters *c, struct error *err)
{
    uint64_t sum = 0;
    enum err rc = read_meta(db, "count", &c->count, err);
    for (uint8_t bin = 0; !rc && bin < RESERVE_BINS; bin++) {
        struct reserve_key key = key_bin(bin);
        uint8_t raw[16] = { 0 };
        rc = ldb_get_fixed(db, key_bytes(&key), raw, sizeof(raw), err);
        if (rc == ERR_NOT_FOUND)
            rc = ERR_OK; /* an empty bin has no row */
        c->last[bin] = be64_decode(raw);
        c->in_bin[bin] = be64_decode(raw + 8);
        sum += c->in_bin[bin];
    }
    if (!rc && sum != c->count)
        rc = error_set(err, ERR_CORRUPT, "the bins hold %" PRIu64 " entries and not %" PRIu64, sum,
                       c->count);
    return rc;
}

enum err reserve_meta_write(struct store_job *job, const char *name, uint64_t value,
                            struct error *err)
{
    struct reserve_key key = key_meta(name);
    uint8_t raw[8];
    struct ldb_batch *batch = ldb_batch_create(256);
    be64_encode(raw, value);
    enum err rc = value ? ldb_batch_put(batch, key_bytes(&key), bytes_of(raw, 8), err)
                        : ldb_batch_delete(batch, key_bytes(&key), err);
    rc = rc ? rc : store_commit(job, batch, true, err);
    ldb_batch_destroy(batch);
    return rc;
}

/* Worker. A repair that was begun is ended before anything else: until then slots hold what no
 * index names. An index without slabs would claim to have what nobody can read. */
static enum err check_repair(struct reserve *r, struct store_job *job, struct ldb *db,
                             struct error *err)
{
    uint64_t repairing = 0, epoch = 0, count = 0, steps = 0;
    if (r->options.repair)
        return reserve_wipe(job, db, err);
    for (uint32_t slab = 0; slab < LIMIT_SLABS; slab++)
        steps += r->files.steps[slab];
    enum err rc = read_meta(db, "repairing", &repairing, err);
    rc = rc ? rc : read_meta(db, "epoch", &epoch, err);
    rc = rc ? rc : read_meta(db, "count", &count, err);
    if (!rc && epoch == 0 && steps > 0)
        return error_set(err, ERR_CORRUPT,
                         "chunk bodies are in %s and their index is gone: 'larder reserve verify "
                         "--repair' makes it anew",
                         r->options.slab_dir);
    if (!rc && count > 0 && steps == 0 && !repairing)
        return error_set(err, ERR_CORRUPT,
                         "%" PRIu64 " entries are in the index and their bodies are gone from %s: "
                         "put them back, or begin anew with 'larder reserve verify --repair'",
                         count, r->options.slab_dir);
    if (!rc && repairing)
        rc = error_set(err, ERR_CORRUPT,
                       "a repair of the reserve was begun and has not ended: run 'larder reserve "
                       "verify --repair' again");
    return rc;
}

/* Worker. Bins are counted from the overlay, so the entries are those of one. Its first eight bytes
 * stand for it. */
static enum err claim_overlay(struct reserve *r, struct store_job *job, struct ldb *db,
                              struct error *err)
{
    uint64_t ours = be64_decode(r->overlay), theirs = 0;
    enum err rc = read_meta(db, "overlay", &theirs, err);
    if (rc || theirs == ours)
        return rc;
    if (theirs && r->counters.count > 0)
        return error_set(err, ERR_FOREIGN,
                         "the reserve was filled for the overlay %016" PRIx64
                         "... and this node is %016" PRIx64 "...: put back its key and nonce, or "
                         "run 'larder reserve verify --repair', which sorts the chunks anew",
                         theirs, ours);
    return reserve_meta_write(job, "overlay", ours, err);
}

/* Worker. Why an image that the index names is not taken is for the loop to say. */
static bool look_at_image(struct reserve *r, uint64_t generation)
{
    struct hascache_image *image = &r->image;
    if (hascache_image_open(image, r->options.image_path, &r->image_fault))
        return false;
    if (image->name.epoch == r->epoch && image->name.generation == generation &&
        image->count == r->counters.count)
        return true;
    error_set(&r->image_fault, ERR_FOREIGN, "it was saved at another time");
    return false;
}

/* Worker, in the writers' lane. The index names an image at most once: the record goes before the
 * first write of this run, so that no later start takes an image that is out of date. */
static enum err open_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, life_job);
    uint64_t generation = 0, epoch = 0, radius = 0;
    enum err rc = slab_files_open(&r->files, r->options.slab_dir, err);
    rc = rc ? rc : check_repair(r, job, db, err);
    rc = rc ? rc : reserve_counters_read(db, &r->counters, err);
    rc = rc ? rc : claim_overlay(r, job, db, err);
    rc = rc ? rc : read_meta(db, "epoch", &epoch, err);
    rc = rc ? rc : read_meta(db, "image", &generation, err);
    rc = rc ? rc : read_meta(db, "radius", &radius, err);
    r->capacity.radius = (uint8_t)MAX(MIN(radius, OVERLAY_BIN_MAX), r->options.radius_min);
    if (!rc && epoch > r->options.restored_ns && !r->options.repair)
        r->epoch = epoch;
    else if (!rc) /* BinIDs of a backup may be used again, those of a repair are others */
        rc = reserve_meta_write(job, "epoch", r->epoch, err);
    if (!rc && generation)
        rc = reserve_meta_write(job, "image", 0, err);
    r->image_named =
        !rc && generation && r->options.cache != RESERVE_CACHE_OFF && look_at_image(r, generation);
    return rc;
}

static void opened(struct reserve *r)
{
    hascache_image_close(&r->image);
    if (r->image_fault.code)
        log_info("the saved has-cache is not used, it is built from the index: %s",
                 r->image_fault.text);
    r->phase = RESERVE_OPEN;
    r->stats.deriving = true;
    reserve_cache_build(r);
    reserve_scan_next(r);
    reserve_capacity_check(r);
    timer_set(&r->capacity.timer, LIMIT_RESERVE_RADIUS_MS);
    r->life_cb(r->life_ctx, NULL);
}

/* Worker: image and cache are its own until done. */
static enum err image_run(struct store_job *job, struct ldb *db UNUSED, struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, life_job);
    return hascache_image_read(&r->image, r->cache, err);
}

static void image_done(struct store_job *job, const struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, life_job);
    if (err) { /* any failed check: built in full */
        r->image_fault = *err;
        reserve_cache_drop(r);
    } else {
        hascache_hold(r->cache, r->cache_held);
    }
    opened(r);
}

static void open_done(struct store_job *job, const struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, life_job);
    struct error failed = { ERR_OK, "" };
    if (err)
        failed = *err;
    else
        err_ignore(slab_map_create(&r->map, r->options.queue_mem, r->files.steps, &failed));
    if (failed.code) {
        hascache_image_close(&r->image);
        slab_files_close(&r->files);
        r->phase = RESERVE_CLOSED;
        r->life_cb(r->life_ctx, &failed);
        return;
    }
    if (r->image_named && r->cache_held)
        error_set(&r->image_fault, ERR_BUDGET, "memory is short");
    else if (r->image_named && !hascache_image_room(&r->image, &r->cache, r->options.cache_mem,
                                                    r->options.cache_bytes_max, &r->image_fault)) {
        store_read(r->options.store, &r->life_job, image_run, image_done);
        return;
    }
    opened(r);
}

void reserve_open(struct reserve *r, reserve_cb *cb, void *ctx)
{
    assert(r->phase == RESERVE_CLOSED);
    r->phase = RESERVE_OPENING;
    r->life_cb = cb;
    r->life_ctx = ctx;
    error_clear(&r->image_fault);
    r->epoch = loop_wall_ns(r->options.loop) | 1;
    store_write(r->options.store, &r->life_job, open_run, open_done);
}

/* Worker: nothing else happens any more. The record is written when the image is durable. */
static enum err close_run(struct store_job *job, struct ldb *db UNUSED, struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, life_job);
    struct hascache_image_name name = { r->epoch, r->image_generation };
    enum err rc = hascache_image_save(r->cache, r->options.image_path, &name, err);
    return rc ? rc : reserve_meta_write(job, "image", r->image_generation, err);
}

static void closed(struct reserve *r, const struct error *err)
{
    reserve_cache_drop(r);
    reserve_doubts_forget(r);
    slab_map_destroy(r->map);
    slab_files_close(&r->files);
    r->map = NULL;
    r->phase = RESERVE_CLOSED;
    r->life_cb(r->life_ctx, err);
}

static void close_done(struct store_job *job, const struct error *err)
{
    closed(container_of(job, struct reserve, life_job), err);
}

/* Behind everything that workers still hold: slices, pages, a reading of the index. */
static void on_close_timer(struct timer *t)
{
    struct reserve *r = container_of(t, struct reserve, close_timer);
    if (r->scan->out || r->trim_out || r->probe_out || r->readers > 0 || r->capacity.busy ||
        work_pending(&r->populate) || work_pending(&r->reload_job.work_) ||
        deferred_pending(&r->reload_job.later_) || list_linked(&r->reload_job.link_)) {
        timer_set(t, 1);
    } else if (hascache_state(r->cache) == HASCACHE_COMPLETE && !r->suspect) {
        do
            loop_random(r->options.loop, &r->image_generation, sizeof(r->image_generation));
        while (!r->image_generation);
        store_write(r->options.store, &r->life_job, close_run, close_done);
    } else {
        closed(r, NULL);
    }
}

void reserve_close(struct reserve *r, reserve_cb *cb, void *ctx)
{
    assert(r->phase == RESERVE_OPEN && list_empty(&r->puts) && !r->group_out);
    r->phase = RESERVE_CLOSING;
    r->life_cb = cb;
    r->life_ctx = ctx;
    timer_set(&r->group_timer, 0);
    timer_set(&r->reload_timer, 0);
    timer_set(&r->retry_timer, 0);
    timer_set(&r->capacity.timer, 0);
    loop_defer_cancel(&r->life_later);
    reserve_evict_cancel(&r->capacity.evict); /* the rest of it after the next opening */
    timer_set(&r->close_timer, 1);
}

void reserve_status(const struct reserve *r, struct reserve_status *out)
{
    *out = r->stats;
    out->count = r->counters.count;
    out->epoch = r->epoch;
    out->radius = r->capacity.radius;
    memcpy(out->last_binid, r->counters.last, sizeof(out->last_binid));
    memcpy(out->in_bin, r->counters.in_bin, sizeof(out->in_bin));
    out->cache = hascache_state(r->cache);
    if (r->cache) {
        out->cache_entries = hascache_count(r->cache);
        out->cache_bytes = hascache_bytes(r->cache);
    }
    if (r->map) {
        out->slab_bytes = slab_map_bytes(r->map);
        out->slots_used = slab_map_used(r->map);
    }
}

unsigned reserve_slots_enter(struct reserve *r)
{
    assert(r->phase == RESERVE_OPEN);
    r->readers++;
    return slab_map_enter(r->map);
}

void reserve_slots_leave(struct reserve *r, unsigned ticket)
{
    assert(r->readers > 0 && r->map);
    r->readers--;
    slab_map_leave(r->map, ticket);
}

struct sem *reserve_has_sem(struct reserve *r)
{
    return &r->has_sem;
}
