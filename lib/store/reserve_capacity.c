/* Capacity and radius. Over capacity every batch loses entries below the radius; when that is not
 * enough the radius grows by one and it begins again. The radius falls by one when less than half
 * the capacity lies within it and nothing was stored since the last look: what the next bin outward
 * may bring then still fits, so the two do not chase each other. */
#include "store/reserve_state.h"

static store_run find_run, radius_run;
static store_done find_done, radius_done;
static reserve_evict_cb on_evicted;

static bool over(const struct reserve *r)
{
    return r->phase == RESERVE_OPEN && !r->suspect && r->options.capacity > 0 &&
           r->counters.count > r->options.capacity;
}

static void find_next(struct reserve *r)
{
    store_read(r->options.store, &r->capacity.job, find_run, find_done);
}

static void set_radius(struct reserve *r, uint8_t radius)
{
    r->capacity.radius = radius;
    store_write(r->options.store, &r->capacity.job, radius_run, radius_done);
}

/* From the first batch on. With radius 0 there is nothing below it. */
static void begin(struct reserve *r)
{
    if (r->capacity.radius == 0) {
        set_radius(r, 1);
        return;
    }
    r->capacity.after = (struct reserve_key){ { 'S' }, 1 };
    r->capacity.evicted = r->capacity.skipped = false;
    find_next(r);
}

/* err: NULL when there is no more to do. */
static void end(struct reserve *r, const struct error *err)
{
    r->capacity.busy = false;
    if (err)
        reserve_failed(r, RESERVE_WORK_CAPACITY, err);
    else if (r->phase == RESERVE_OPEN && !r->suspect)
        reserve_went_well(r, RESERVE_WORK_CAPACITY);
}

void reserve_capacity_check(struct reserve *r)
{
    bool failed = reserve_failure(r, RESERVE_WORK_CAPACITY) != NULL;
    if (r->capacity.busy || (failed && timer_is_set(&r->retry_timer)))
        return;
    r->capacity.busy = true;
    if (over(r))
        begin(r);
    else
        end(r, NULL);
}

/* Worker: the capacity's key and batch are the job's own. */
static enum err find_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve_capacity *c = container_of(job, struct reserve_capacity, job);
    struct ldb_iter *it = ldb_iter_open(db, NULL, false);
    ldb_iter_seek(it, key_bytes(&c->after));
    bool valid = ldb_iter_valid(it);
    enum err rc = valid ? ERR_OK : ldb_iter_status(it, err);
    struct bytes key = valid ? ldb_iter_key(it) : bytes_of("", 0);
    c->found = key.size == 41 && key.data[0] == 'S';
    if (c->found) {
        static const uint8_t behind[9] = { 255, 255, 255, 255, 255, 255, 255, 255, 0 };
        memcpy(c->evict.batch, key.data + 1, sizeof(c->evict.batch));
        c->after = key_of('S', bytes_of(c->evict.batch, 32), bytes_of(behind, sizeof(behind)));
    }
    ldb_iter_close(it);
    return rc;
}

void reserve_capacity_recount(struct reserve *r)
{
    uint64_t capacity = r->options.capacity, count = r->counters.count;
    bool over = capacity > 0 && count > capacity;
    r->capacity.evict.count =
        over ? MAX(count - capacity, capacity / 100 + 1) : 1; /* not one by one */
}

static void find_done(struct store_job *job, const struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, capacity.job);
    struct reserve_capacity *c = &r->capacity;
    if (err || !over(r)) {
        end(r, err);
    } else if (c->found) {
        c->evict.bin = c->radius;
        c->evict.reason = RESERVE_EVICT_CAPACITY;
        c->evict.cb = on_evicted;
        reserve_capacity_recount(r);
        reserve_evict(r, &c->evict);
    } else if (c->skipped && !c->evicted) {
        end(r, &c->fault); /* a higher radius is not the answer to a damaged index */
    } else if (c->radius < OVERLAY_BIN_MAX) {
        set_radius(r, c->radius + 1);
    } else {
        end(r, c->skipped ? &c->fault : NULL); /* what is left is as near as can be */
    }
}

static void on_evicted(struct reserve_evict *req, const struct error *err)
{
    struct reserve *r = container_of(req, struct reserve, capacity.evict);
    struct reserve_capacity *c = &r->capacity;
    if (err && err->code == ERR_CORRUPT) { /* one batch cannot be read: the others can lose more */
        c->skipped = true;
        c->fault = *err;
        reserve_met_damage(r, 1);
    } else if (err) {
        end(r, err);
        return;
    }
    c->evicted |= req->evicted > 0;
    if (over(r))
        find_next(r);
    else
        end(r, NULL);
}

static enum err radius_run(struct store_job *job, struct ldb *db UNUSED, struct error *err)
{
    struct reserve_capacity *c = container_of(job, struct reserve_capacity, job);
    return reserve_meta_write(job, "radius", c->radius, err);
}

static void radius_done(struct store_job *job, const struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, capacity.job);
    if (err || !over(r))
        end(r, err);
    else
        begin(r);
}

void reserve_radius_timer(struct timer *t)
{
    struct reserve *r = container_of(t, struct reserve, capacity.timer);
    struct reserve_capacity *c = &r->capacity;
    uint64_t stored = r->stats.put_outcomes[RESERVE_STORED], within = 0;
    for (uint8_t bin = c->radius; bin < RESERVE_BINS; bin++)
        within += r->counters.in_bin[bin];
    bool idle = stored == c->stored_before;
    c->stored_before = stored;
    timer_set(t, LIMIT_RESERVE_RADIUS_MS);
    reserve_scan_retry(r);
    reserve_capacity_check(r);
    if (c->busy || r->suspect || !idle || c->radius <= r->options.radius_min ||
        (r->options.capacity > 0 && within >= r->options.capacity / 2))
        return;
    c->busy = true;
    set_radius(r, c->radius - 1);
}

void reserve_set_capacity(struct reserve *r, uint64_t capacity)
{
    r->options.capacity = capacity;
    reserve_capacity_check(r);
}
