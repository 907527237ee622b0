/* What is made from the index behind the opening, slice by slice: the has-cache and the slot map.
 * Slices read the store as it is now. What changes meanwhile is told to the build's log and to the
 * slot map, and both let that decide when the last slice is in. A write that was submitted before
 * the build began has ended before the first slice, since the build begins in the writers' lane. */
#include "base/mem.h"
#include "store/reserve_state.h"

static store_run scan_run, barrier_run;
static store_done scan_done, barrier_done;
static deferred_cb replay_some;

/* Workers may still read its key or populate its pages. */
static void cache_release(struct reserve *r)
{
    bool scanned = r->scan->out && r->scan->cache == r->cache_dropped;
    if (!r->cache_dropped || scanned || work_pending(&r->populate))
        return;
    hascache_destroy(r->cache_dropped);
    r->cache_dropped = NULL;
}

void reserve_cache_drop(struct reserve *r)
{
    hascache_build_destroy(r->build);
    r->build = NULL;
    if (!r->cache)
        return;
    assert(!r->cache_dropped); /* none is made while one waits */
    r->cache_dropped = r->cache;
    r->cache = NULL;
    cache_release(r);
}

/* Worker: the step alone. */
static enum err populate_run(struct work *w, struct error *err UNUSED)
{
    page_step_populate(&container_of(w, struct reserve, populate)->step);
    return ERR_OK;
}

static void populate_done(struct work *w, const struct error *err UNUSED)
{
    struct reserve *r = container_of(w, struct reserve, populate);
    hascache_step_done(r->cache_dropped ? r->cache_dropped : r->cache, &r->step);
    cache_release(r);
}

/* No add shall wait for the kernel to zero a huge page. */
static void populate(struct reserve *r)
{
    if (r->cache && !work_pending(&r->populate) && r->phase == RESERVE_OPEN &&
        hascache_step_due(r->cache, &r->step))
        work_submit(r->options.work, &r->populate, WORK_READ, populate_run, populate_done);
}

void reserve_cache_remove(struct reserve *r, const struct chunk_id *id)
{
    r->removals++;
    struct hascache_hash k;
    if (!r->cache)
        return;
    hascache_key(r->cache, id, &k);
    if (!r->build)
        (void)hascache_remove(r->cache, &k);
    else if (!hascache_build_remove(r->build, &k))
        reserve_cache_drop(r);
}

void reserve_cache_add(struct reserve *r, const struct chunk_id *id)
{
    struct hascache_hash k;
    if (!r->cache)
        return;
    hascache_key(r->cache, id, &k);
    if (!r->build)
        (void)hascache_add(r->cache, &k); /* refused: it is partial from now on */
    else if (!hascache_build_add(r->build, &k))
        reserve_cache_drop(r);
    populate(r);
}

/* From the index, with what changes meanwhile. */
static void cache_fill(struct reserve *r)
{
    if (hascache_build_create(&r->build, r->cache, r->options.cache_mem, NULL))
        reserve_cache_drop(r);
}

void reserve_cache_build(struct reserve *r)
{
    struct hascache_options o = { .expected = r->counters.count + r->counters.count / 32,
                                  .bytes_max = r->options.cache_bytes_max };
    if (r->cache || r->cache_dropped || r->cache_held || r->options.cache == RESERVE_CACHE_OFF)
        return;
    loop_random(r->options.loop, o.key, sizeof(o.key));
    if (r->options.cache == RESERVE_CACHE_ON) {
        /* Asked for: what does not fit makes it partial, so it begins small. */
        struct hascache_options small = o;
        small.expected = 0;
        if (hascache_create(&r->cache, r->options.cache_mem, &o, NULL) &&
            hascache_create(&r->cache, r->options.cache_mem, &small, NULL))
            return;
    } else if (hascache_create(&r->cache, r->options.cache_mem, &o, NULL)) {
        return;
    }
    cache_fill(r);
}

static void scan_begin(struct reserve *r, char kind)
{
    struct reserve_scan *s = r->scan;
    s->kind = kind;
    s->end = false;
    s->cache = r->cache;
    s->from = (struct reserve_key){ { (uint8_t)kind }, 1 };
}

/* Nothing is to be read twice at once; a dropped cache makes the next slice the slots'. */
void reserve_scan_next(struct reserve *r)
{
    struct reserve_scan *s = r->scan;
    if (s->out || deferred_pending(&r->life_later) || r->phase != RESERVE_OPEN)
        return;
    if (s->kind == 'B' && (r->build == NULL || s->cache != r->cache))
        s->kind = 0;
    if (s->kind == 0 && r->build) {
        scan_begin(r, 'B');
        s->out = true;
        store_write(r->options.store, &s->job, barrier_run, barrier_done);
    } else if (s->kind == 'B' && s->end) {
        loop_defer(r->options.loop, &r->life_later, replay_some);
    } else if (s->kind == 'B' || (s->kind == 'C' && !s->end)) {
        s->out = true;
        store_read(r->options.store, &s->job, scan_run, scan_done);
    } else if (s->kind == 'C') {
        slab_map_derived(r->map);
        reserve_went_well(r, RESERVE_WORK_SLOTS);
        r->stats.deriving = false;
        s->kind = 0;
        reserve_trim(r);
    } else if (r->stats.deriving) {
        scan_begin(r, 'C');
        reserve_scan_next(r);
    }
}

static enum err barrier_run(struct store_job *job UNUSED, struct ldb *db UNUSED,
                            struct error *err UNUSED)
{
    return ERR_OK;
}

static void barrier_done(struct store_job *job, const struct error *err)
{
    struct reserve_scan *s = container_of(job, struct reserve_scan, job);
    struct reserve *r = s->reserve;
    s->out = false;
    if (err) { /* the store takes no writes: what was submitted before is not known to have ended */
        reserve_failed(r, RESERVE_WORK_CACHE, err);
        reserve_cache_drop(r);
        s->kind = 0;
    }
    reserve_scan_next(r);
}

/* Worker. */
static enum err scan_record(struct reserve_scan *s, struct bytes key, struct bytes value,
                            struct error *err)
{
    struct reserve_entry entry;
    struct reader r = reader_of(value);
    if (s->kind == 'B') {
        if (!b_record_decode(&entry, key, value))
            return error_set(err, ERR_CORRUPT, "an entry record is damaged");
        hascache_key(s->cache, &entry.id, &s->hash[s->count++]);
        return ERR_OK;
    }
    s->ref[s->count].slab = reader_be32(&r);
    s->ref[s->count].slot = reader_be32(&r);
    if (r.failed)
        return error_set(err, ERR_CORRUPT, "a chunk record is damaged");
    s->count++;
    return ERR_OK;
}

/* Worker: the scan is the job's own; of the cache it reads the key, which never changes. */
static enum err scan_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve_scan *s = container_of(job, struct reserve_scan, job);
    struct ldb_iter *it = ldb_iter_open(db, NULL, false);
    enum err rc = ERR_OK;
    s->count = 0;
    ldb_iter_seek(it, key_bytes(&s->from));
    for (; !rc && s->count < LIMIT_RESERVE_READ_SLICE && ldb_iter_valid(it); ldb_iter_next(it)) {
        struct bytes key = ldb_iter_key(it);
        if (key.data[0] != (uint8_t)s->kind)
            break;
        if (bytes_equal(key, key_bytes(&s->from)))
            continue; /* the last one of the slice before */
        rc = scan_record(s, key, ldb_iter_value(it), err);
        s->from.size = (uint8_t)MIN(key.size, KEY_BYTES_MAX);
        memcpy(s->from.bytes, key.data, s->from.size);
    }
    s->end = s->count < LIMIT_RESERVE_READ_SLICE;
    if (!rc && !ldb_iter_valid(it))
        rc = ldb_iter_status(it, err);
    ldb_iter_close(it);
    return rc;
}

static void scan_done(struct store_job *job, const struct error *err)
{
    struct reserve_scan *s = container_of(job, struct reserve_scan, job);
    struct reserve *r = s->reserve;
    s->out = false;
    if (r->cache_dropped == s->cache)
        cache_release(r);
    if (err) {
        reserve_failed(r, s->kind == 'B' ? RESERVE_WORK_CACHE : RESERVE_WORK_SLOTS, err);
        /* Without the cache the index answers; without the slot map old slots stay closed. */
        if (s->kind == 'B')
            reserve_cache_drop(r);
        else
            r->scan_failed = true;
        s->kind = 0;
    } else if (s->kind == 'B' && r->build && s->cache == r->cache) {
        hascache_build_read(r->build, s->hash, s->count);
        populate(r);
    } else if (s->kind == 'C') {
        for (uint32_t i = 0; i < s->count; i++)
            (void)slab_map_mark(r->map, s->ref[i]);
    }
    if (!r->scan_failed)
        reserve_scan_next(r);
}

/* A slice of the log for each turn of the loop. */
static void replay_some(struct deferred *d)
{
    struct reserve *r = container_of(d, struct reserve, life_later);
    if (r->build && r->scan->cache == r->cache) {
        if (!hascache_build_replay(r->build)) {
            loop_defer(r->options.loop, d, replay_some);
            return;
        }
        hascache_build_destroy(r->build);
        r->build = NULL;
        reserve_went_well(r, RESERVE_WORK_CACHE);
    }
    r->scan->kind = 0;
    reserve_scan_next(r);
}

/* The index could not be read, or there was no memory: it may be better now. */
void reserve_scan_retry(struct reserve *r)
{
    if (r->suspect)
        return;
    r->scan_failed = false;
    reserve_cache_build(r);
    if (r->cache && !r->build && r->scan->kind == 0 && hascache_rebuild(r->cache))
        cache_fill(r);
    reserve_scan_next(r);
}

void reserve_hold_cache(struct reserve *r, bool on)
{
    r->cache_held = on;
    if (r->cache && r->phase == RESERVE_OPEN) /* before that and after it a worker has it */
        hascache_hold(r->cache, on);
}

void reserve_free_slots(struct reserve *r, const struct slab_ref *refs, uint32_t count)
{
    r->removals += count;
    for (uint32_t i = 0; i < count; i++)
        slab_map_free(r->map, refs[i]);
}
