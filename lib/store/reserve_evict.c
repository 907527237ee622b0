/* Eviction in steps. A write job chooses, the loop makes the has-cache forget, a second write job
 * deletes what still is as it was chosen. Choosing stands in the writers' lane, so that every put
 * it can see has told the cache before the choice comes back.
 *
 * The first entries in the order of address are wanted, and a batch is walked in the order of its
 * stamp indexes. So a large batch is counted by places first; what lies below the place where the
 * count is reached goes in one walk, whatever its size, and only the entries of that place are
 * looked for one step after the other. */
#include "base/mem.h"
#include "store/reserve_state.h"

static store_run count_run, choose_run, delete_run;
static store_done count_done, choose_done, delete_done;
static const struct error evict_canceled = { ERR_CANCELED, "the eviction was canceled" };

static struct reserve_evict *current(struct reserve *r)
{
    return container_of(list_first(&r->evictions), struct reserve_evict, link_);
}

/* Of an entry: its bin, then the bits of its address behind those that all of the bin share. */
static uint32_t place_of(const struct reserve_slot_of_index *s)
{
    uint32_t shared = MIN(s->bin + 1, OVERLAY_BIN_MAX);
    uint32_t bits = (uint32_t)(be64_decode(s->address) << shared >> (64 - EVICT_PLACE_BITS));
    return (uint32_t)s->bin << EVICT_PLACE_BITS | bits;
}

static void walk_begin(struct reserve *r)
{
    r->evict.after = key_of('S', bytes_of(current(r)->batch, 32), bytes_of("", 0));
    r->evict.end = false;
    r->evict.damaged = 0;
    r->evict.victims_count = 0;
}

static void choose(struct reserve *r)
{
    store_write(r->options.store, &r->evict.job, choose_run, choose_done);
}

static void begin(struct reserve *r)
{
    const struct reserve_evict *req = current(r);
    struct reserve_eviction *e = &r->evict;
    uint64_t below = 0;
    reserve_capacity_recount(r); /* what it waited for may have made room */
    for (uint8_t bin = 0; bin < req->bin; bin++)
        below += r->counters.in_bin[bin];
    walk_begin(r);
    if (req->count >= below) { /* all go, whatever their order */
        e->step = EVICT_SWEEP;
        e->edge = EVICT_PLACES;
        choose(r);
    } else if (req->count <= LIMIT_RESERVE_EVICT_CHUNKS) {
        e->step = EVICT_EDGE;
        choose(r);
    } else {
        e->step = EVICT_COUNT;
        memset(e->places, 0, sizeof(e->places));
        store_read(r->options.store, &e->job, count_run, count_done);
    }
}

void reserve_evict(struct reserve *r, struct reserve_evict *req)
{
    assert(r->phase == RESERVE_OPEN && req->cb && req->bin <= RESERVE_BINS && req->count > 0);
    bool idle = list_empty(&r->evictions);
    r->requests++;
    req->evicted = 0;
    req->canceled_ = false;
    list_append(&r->evictions, &req->link_);
    if (idle)
        begin(r);
}

void reserve_evict_cancel(struct reserve_evict *req)
{
    req->canceled_ = true; /* looked at between steps */
}

static int compare(const struct reserve_victim *a, const struct reserve_victim *b)
{
    if (a->bin != b->bin)
        return a->bin < b->bin ? -1 : 1;
    int order = memcmp(a->id.address, b->id.address, 32);
    return order ? order : memcmp(a->id.stamp_hash, b->id.stamp_hash, 32);
}

static void swap(struct reserve_victim *a, struct reserve_victim *b)
{
    struct reserve_victim t = *a;
    *a = *b;
    *b = t;
}

/* A heap with the last one on top: it leaves when a better one comes. */
static void keep_first(struct reserve_victim *heap, uint32_t *count, uint32_t room,
                       const struct reserve_victim *v)
{
    uint32_t at;
    if (*count < room) {
        at = (*count)++;
        heap[at] = *v;
        for (; at > 0 && compare(&heap[at], &heap[(at - 1) / 2]) > 0; at = (at - 1) / 2)
            swap(&heap[at], &heap[(at - 1) / 2]);
        return;
    }
    if (compare(v, &heap[0]) >= 0)
        return;
    heap[0] = *v;
    for (at = 0; 2 * at + 1 < room;) {
        uint32_t child = 2 * at + 1;
        child += child + 1 < room && compare(&heap[child + 1], &heap[child]) > 0;
        if (compare(&heap[child], &heap[at]) <= 0)
            break;
        swap(&heap[child], &heap[at]);
        at = child;
    }
}

/* Worker. What one record of the walk means. */
static void see(struct reserve *r, const struct reserve_evict *req, struct bytes key,
                const struct reserve_slot_of_index *s, uint32_t room)
{
    struct reserve_eviction *e = &r->evict;
    struct reserve_victim v = { .bin = s->bin };
    e->damaged += s->bin >= RESERVE_BINS;
    if (s->bin >= req->bin || s->bin >= RESERVE_BINS)
        return;
    if (e->step == EVICT_COUNT) {
        e->places[place_of(s)]++;
        return;
    }
    memcpy(v.id.address, s->address, 32);
    memcpy(v.id.batch, req->batch, 32);
    memcpy(v.id.stamp_hash, s->stamp_hash, 32);
    memcpy(v.index, key.data + 33, sizeof(v.index));
    if (e->step == EVICT_EDGE)
        keep_first(e->victims, &e->victims_count, room, &v);
    else if (place_of(s) < e->edge)
        e->victims[e->victims_count++] = v;
}

/* Worker. Goes on where the walk stopped; the eviction is the job's own. */
static enum err walk(struct reserve *r, struct ldb *db, struct error *err)
{
    const struct reserve_evict *req = current(r);
    struct reserve_eviction *e = &r->evict;
    uint32_t room = (uint32_t)MIN(req->count - req->evicted, LIMIT_RESERVE_EVICT_CHUNKS);
    struct ldb_iter *it = ldb_iter_open(db, NULL, false);
    enum err rc = ERR_OK;
    ldb_iter_seek(it, key_bytes(&e->after));
    for (uint32_t seen = 0; ldb_iter_valid(it); ldb_iter_next(it)) {
        e->walked++;
        struct bytes key = ldb_iter_key(it), value = ldb_iter_value(it);
        struct reserve_slot_of_index s;
        e->end = key.size != 41 || key.data[0] != 'S' || memcmp(key.data + 1, req->batch, 32);
        if (e->end || seen++ == LIMIT_RESERVE_EVICT_WALK ||
            (e->step == EVICT_SWEEP && e->victims_count == room))
            break;
        if (bytes_equal(key, key_bytes(&e->after)))
            continue;
        e->after = key_of('S', bytes_of(key.data + 1, 32), bytes_of(key.data + 33, 8));
        if (value.size != S_VALUE_BYTES) { /* nobody knows its bin: it stays for a repair */
            e->damaged++;
            continue;
        }
        s_value_decode(&s, value.data);
        see(r, req, key, &s, room);
    }
    if (!rc && !ldb_iter_valid(it)) {
        e->end = true;
        rc = ldb_iter_status(it, err);
    }
    ldb_iter_close(it);
    return rc;
}

static enum err count_run(struct store_job *job, struct ldb *db, struct error *err)
{
    return walk(container_of(job, struct reserve, evict.job), db, err);
}

static enum err choose_run(struct store_job *job, struct ldb *db, struct error *err)
{
    return walk(container_of(job, struct reserve, evict.job), db, err);
}

static void finish(struct reserve *r, const struct error *err)
{
    struct reserve_evict *req = current(r);
    r->evict.victims_count = 0;
    reserve_met_damage(r, r->evict.damaged);
    list_remove(&req->link_);
    r->requests--;
    if (!list_empty(&r->evictions))
        begin(r);
    req->cb(req, err);
}

/* The place in which the count is reached. */
static uint32_t edge_of(const struct reserve_eviction *e, uint64_t count)
{
    uint64_t sum = 0;
    uint32_t place = 0;
    while (place < EVICT_PLACES && (sum += e->places[place]) <= count)
        place++;
    return place;
}

static void count_done(struct store_job *job, const struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, evict.job);
    struct reserve_eviction *e = &r->evict;
    if (err || current(r)->canceled_) {
        finish(r, err ? err : &evict_canceled);
    } else if (!e->end) {
        store_read(r->options.store, &e->job, count_run, count_done);
    } else {
        e->step = EVICT_SWEEP;
        e->edge = edge_of(e, current(r)->count);
        walk_begin(r);
        choose(r);
    }
}

/* Nothing more is to be had from this walk. */
static void walked(struct reserve *r)
{
    struct reserve_eviction *e = &r->evict;
    if (e->step == EVICT_SWEEP && e->edge < EVICT_PLACES) {
        e->step = EVICT_EDGE;
        walk_begin(r);
        choose(r);
    } else {
        finish(r, NULL);
    }
}

static void choose_done(struct store_job *job, const struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, evict.job);
    struct reserve_eviction *e = &r->evict;
    bool part = !e->end && (e->step == EVICT_EDGE || e->victims_count == 0);
    if (err || current(r)->canceled_) {
        finish(r, err ? err : &evict_canceled);
    } else if (part) {
        choose(r);
    } else if (e->victims_count == 0) {
        walked(r);
    } else {
        for (uint32_t i = 0; i < e->victims_count; i++)
            reserve_cache_remove(r, &e->victims[i].id);
        err_ignore(txn_reach(r->txn, TXN_CACHE_FORGOT, NULL));
        e->deleting = true;
        e->waits = r->txn_out;
        if (!e->waits)
            reserve_evict_delete(r);
    }
}

void reserve_evict_delete(struct reserve *r)
{
    assert(r->evict.deleting && !r->txn_out);
    r->evict.waits = false;
    r->txn_out = true;
    r->txn->refuse = r->suspect;
    store_write(r->options.store, &r->evict.job, delete_run, delete_done);
}

/* What a put replaced is not put back into the cache when the delete fails. */
void reserve_evict_replaced(struct reserve *r, const struct chunk_id *id)
{
    struct reserve_eviction *e = &r->evict;
    for (uint32_t i = 0; e->deleting && i < e->victims_count; i++)
        if (!memcmp(&e->victims[i].id, id, sizeof(*id)))
            e->victims[i].replaced = true;
}

/* Worker. One write batch if it fits; victims are the job's own, counters are read. */
static enum err delete_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, evict.job);
    struct reserve_eviction *e = &r->evict;
    uint32_t durable = 0;
    enum err rc = ERR_OK;
    if (r->txn->refuse)
        return error_set(err, ERR_IO, "the reserve is read again after a failed write");
    txn_begin(r->txn, job, db, &r->counters);
    for (uint32_t i = 0; !rc && i < e->victims_count; i++) {
        if (txn_is_full(r->txn)) {
            rc = txn_commit(r->txn, err);
            durable = rc ? durable : i;
        }
        rc = rc ? rc : txn_remove(r->txn, &e->victims[i], err);
    }
    rc = rc ? rc : txn_commit(r->txn, err);
    for (uint32_t i = durable; rc && i < e->victims_count; i++) {
        struct reserve_victim *v = &e->victims[i];
        v->doubtful = v->freed && r->txn->commit_failed;
        v->damaged &= !v->removed;
        v->removed = v->freed = false;
    }
    return rc;
}

/* Worker. Puts that were given slots of the same steps afterwards stand behind this in the lane. */
static enum err trim_run(struct store_job *job, struct ldb *db UNUSED, struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, trim_job);
    return slab_files_truncate(&r->files, r->trim_slab, r->trim_steps, err);
}

static void trim_done(struct store_job *job, const struct error *err UNUSED)
{
    container_of(job, struct reserve, trim_job)->trim_out = false; /* an error: only disk space */
}

/* Empty steps at the end of a file go back to the file system. */
void reserve_trim(struct reserve *r)
{
    if (r->trim_out || r->options.repair || !slab_map_trim(r->map, &r->trim_slab, &r->trim_steps))
        return;
    r->trim_out = true;
    store_write(r->options.store, &r->trim_job, trim_run, trim_done);
}

/* The loop's part of one victim. */
static void settle_victim(struct reserve *r, const struct reserve_victim *v, bool kept)
{
    if (v->freed)
        reserve_free_slots(r, &v->ref, 1);
    if (v->doubtful)
        reserve_doubt(r, v->id.address, v->ref);
    if (kept && !v->removed && !v->replaced && !v->damaged)
        reserve_cache_add(r, &v->id); /* a failed write kept it */
}

static void delete_done(struct store_job *job, const struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, evict.job);
    struct reserve_eviction *e = &r->evict;
    struct reserve_evict *req = current(r);
    uint64_t before = req->evicted, damaged = 0;
    bool ran = r->txn->job == job; /* the store may have refused before */
    bool commit_failed = ran && r->txn->commit_failed;
    r->txn->job = NULL;
    if (ran)
        r->counters = r->txn->committed;
    for (uint32_t i = 0; i < e->victims_count; i++) {
        req->evicted += e->victims[i].removed;
        r->stats.evicted[req->reason] += e->victims[i].removed;
        damaged += e->victims[i].damaged;
        settle_victim(r, &e->victims[i], err && !commit_failed);
    }
    reserve_met_damage(r, damaged);
    r->removals++;
    err_ignore(txn_reach(r->txn, TXN_SLOTS_FREED, NULL));
    e->deleting = r->txn_out = false;
    e->victims_count = 0;
    if (commit_failed)
        reserve_suspect(r);
    reserve_put_start(r);
    reserve_trim(r);
    bool stuck = e->step == EVICT_EDGE && damaged > 0 && req->evicted == before;
    if (err || stuck || req->evicted >= req->count) { /* stuck: the same ones would be chosen */
        finish(r, err);
    } else if (e->step == EVICT_SWEEP && e->end) {
        walked(r);
    } else if (req->canceled_) {
        finish(r, &evict_canceled);
    } else {
        if (e->step == EVICT_EDGE)
            walk_begin(r);
        choose(r);
    }
}
