/* Eviction in steps: a write job chooses, the loop makes the has-cache forget, a second write job
 * deletes what still is as it was chosen. Choosing stands in the writers' lane, so that every put
 * it can see has told the cache already. */
#include "base/mem.h"
#include "store/reserve_state.h"

static store_run choose_run, delete_run;
static store_done choose_done, delete_done;

static struct reserve_evict *current(struct reserve *r)
{
    return container_of(list_first(&r->evictions), struct reserve_evict, link_);
}

static void step(struct reserve *r)
{
    r->victims_count = 0;
    store_write(r->options.store, &r->evict_job, choose_run, choose_done);
}

void reserve_evict(struct reserve *r, struct reserve_evict *req)
{
    assert(r->phase == RESERVE_OPEN && req->cb && req->bin <= RESERVE_BINS && req->count > 0);
    bool idle = list_empty(&r->evictions);
    r->requests++;
    req->evicted = 0;
    list_append(&r->evictions, &req->link_);
    if (idle)
        step(r);
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

/* Worker. The victims are the job's own. */
static enum err choose_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, evict_job);
    const struct reserve_evict *req = current(r);
    uint32_t room = (uint32_t)MIN(req->count - req->evicted, LIMIT_RESERVE_EVICT_CHUNKS);
    struct reserve_key from = key_of('S', bytes_of(req->batch, 32), bytes_of("", 0));
    struct ldb_iter *it = ldb_iter_open(db, NULL, false);
    enum err rc = ERR_OK;
    for (ldb_iter_seek(it, key_bytes(&from)); room > 0 && ldb_iter_valid(it); ldb_iter_next(it)) {
        struct bytes key = ldb_iter_key(it), value = ldb_iter_value(it);
        struct reserve_slot_of_index s;
        struct reserve_victim v = { .removed = false };
        if (key.size != 41 || memcmp(key.data, from.bytes, from.size))
            break;
        if (value.size != S_VALUE_BYTES) {
            rc = error_set(err, ERR_CORRUPT, "a stamp index record has a wrong size");
            break;
        }
        s_value_decode(&s, value.data);
        if (s.bin >= req->bin)
            continue;
        memcpy(v.id.address, s.address, 32);
        memcpy(v.id.batch, req->batch, 32);
        memcpy(v.id.stamp_hash, s.stamp_hash, 32);
        memcpy(v.index, key.data + 33, sizeof(v.index));
        v.bin = s.bin;
        keep_first(r->victims, &r->victims_count, room, &v);
        if (req->bin == RESERVE_BINS && r->victims_count == room)
            break; /* all go: any order will do */
    }
    if (!rc && !ldb_iter_valid(it))
        rc = ldb_iter_status(it, err);
    ldb_iter_close(it);
    return rc;
}

static void finish(struct reserve *r, const struct error *err)
{
    struct reserve_evict *req = current(r);
    list_remove(&req->link_);
    r->requests--;
    if (req != &r->capacity.evict)
        r->stats.evicted_asked += req->evicted;
    if (!list_empty(&r->evictions))
        step(r);
    req->cb(req, err);
}

static void choose_done(struct store_job *job, const struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, evict_job);
    if (err || r->victims_count == 0) {
        finish(r, err);
        return;
    }
    for (uint32_t i = 0; i < r->victims_count; i++)
        reserve_cache_remove(r, &r->victims[i].id);
    store_write(r->options.store, &r->evict_job, delete_run, delete_done);
}

/* Worker. One write batch if it fits; victims are the job's own, counters are read. */
static enum err delete_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, evict_job);
    uint32_t durable = 0;
    enum err rc = ERR_OK;
    if (r->suspect)
        return error_set(err, ERR_IO, "the reserve is read again after a failed write");
    txn_begin(r->txn, job, db, &r->counters);
    for (uint32_t i = 0; !rc && i < r->victims_count; i++) {
        if (txn_is_full(r->txn)) {
            rc = txn_commit(r->txn, err);
            durable = rc ? durable : i;
        }
        rc = rc ? rc : txn_remove(r->txn, &r->victims[i], err);
    }
    rc = rc ? rc : txn_commit(r->txn, err);
    for (uint32_t i = durable; rc && i < r->victims_count; i++)
        r->victims[i].removed = r->victims[i].freed = false;
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
    if (r->trim_out || !slab_map_trim(r->map, &r->trim_slab, &r->trim_steps))
        return;
    r->trim_out = true;
    store_write(r->options.store, &r->trim_job, trim_run, trim_done);
}

static void delete_done(struct store_job *job, const struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, evict_job);
    struct reserve_evict *req = current(r);
    bool ran = r->txn->job == job; /* the store may have refused before */
    r->txn->job = NULL;
    if (ran)
        r->counters = r->txn->committed;
    for (uint32_t i = 0; i < r->victims_count; i++) {
        const struct reserve_victim *v = &r->victims[i];
        req->evicted += v->removed;
        if (v->freed)
            reserve_free_slots(r, &v->ref, 1);
        if (err && !v->removed && !(ran && r->txn->commit_failed))
            reserve_cache_add(r, &v->id); /* a failed write kept it */
    }
    if (ran && r->txn->commit_failed)
        reserve_suspect(r);
    reserve_trim(r);
    if (err || req->evicted >= req->count)
        finish(r, err);
    else
        step(r);
}
