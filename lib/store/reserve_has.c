/* Which chunks of an offer are stored: from the cache where it may answer, else from the index. */
#include "store/reserve_state.h"

static const struct error has_canceled = { ERR_CANCELED, "canceled by its session" };

static sem_cb has_admitted;
static store_run has_read_disk;
static store_done has_read_done;

void reserve_has(struct reserve *r, struct reserve_has *req)
{
    assert(r->phase == RESERVE_OPEN && req->cb);
    assert(req->count > 0 && req->count <= LIMIT_RESERVE_PAGE_CHUNKS);
    r->requests++;
    req->reserve_ = r;
    req->canceled_ = false;
    sem_acquire(&r->has_sem, &req->permit_, has_admitted);
}

static void has_finish(struct reserve_has *req, const struct error *err)
{
    sem_release(&req->permit_); /* before cb, which may start the next request */
    req->reserve_->requests--;
    req->cb(req, req->canceled_ ? &has_canceled : err);
}

static bool bit(const uint8_t *bits, uint32_t i)
{
    return bits[i / 8] >> i % 8 & 1;
}

/* True: nothing is left to ask the index. */
static bool has_from_cache(struct reserve_has *req)
{
    struct reserve *r = req->reserve_;
    enum hascache_state state = hascache_state(r->cache);
    uint32_t present = 0;
    memset(req->known_, 0, sizeof(req->known_));
    memset(req->have, 0, (req->count + 7) / 8);
    if (state == HASCACHE_OFF)
        return false;
    for (uint32_t i = 0; i < req->count; i++)
        hascache_key(r->cache, &req->ids[i], &req->hash_[i]);
    hascache_has_many(r->cache, req->hash_, req->count, req->have);
    for (uint32_t i = 0; i < req->count; i++) {
        /* A delete was logged: the cache's yes may be the late reader of the index. */
        if (bit(req->have, i) && r->build && !hascache_build_trusts(r->build, &req->hash_[i]))
            req->have[i / 8] &= (uint8_t) ~(1u << i % 8);
        present += bit(req->have, i);
    }
    memcpy(req->known_, req->have, (req->count + 7) / 8);
    r->stats.has_cache_hits += present;
    if (state != HASCACHE_COMPLETE) /* only a complete one may say "absent" */
        return present == req->count;
    r->stats.has_cache_misses += req->count - present;
    return true;
}

static void has_admitted(struct sem_waiter *permit)
{
    struct reserve_has *req = container_of(permit, struct reserve_has, permit_);
    if (req->canceled_ || has_from_cache(req))
        has_finish(req, NULL);
    else
        store_read(req->reserve_->options.store, &req->job_, has_read_disk, has_read_done);
}

/* Worker: touches only req. */
static enum err has_one(struct reserve_has *req, uint32_t i, struct ldb *db, struct error *err)
{
    uint8_t raw[C_VALUE_BYTES_MAX];
    struct reserve_body body;
    struct reserve_key key = key_chunk(req->ids[i].address);
    struct writer w = writer_of(raw, sizeof(raw));
    enum err rc = ldb_get(db, NULL, key_bytes(&key), &w, err);
    if (rc)
        return rc == ERR_NOT_FOUND ? ERR_OK : rc;
    if (!c_value_decode(&body, bytes_of(raw, writer_used(&w))))
        return error_set(err, ERR_CORRUPT, "a chunk record is damaged");
    if (body_find(&body, req->ids[i].batch, req->ids[i].stamp_hash) < body.count)
        req->have[i / 8] |= (uint8_t)(1u << i % 8);
    return ERR_OK;
}

static enum err has_read_disk(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve_has *req = container_of(job, struct reserve_has, job_);
    enum err rc = ERR_OK;
    for (uint32_t i = 0; !rc && i < req->count; i++)
        if (!bit(req->known_, i))
            rc = has_one(req, i, db, err);
    return rc;
}

static void has_read_done(struct store_job *job, const struct error *err)
{
    struct reserve_has *req = container_of(job, struct reserve_has, job_);
    for (uint32_t i = 0; i < req->count; i++)
        req->reserve_->stats.has_index += !bit(req->known_, i);
    has_finish(req, err);
}

void reserve_has_cancel(struct reserve_has *req)
{
    req->canceled_ = true;
    store_job_cancel(&req->job_); /* a queued read is taken out; one under way is awaited */
    sem_hurry(&req->permit_);     /* one that still waits is brought forward */
}
