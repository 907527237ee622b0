/* Which chunks have a stamp of a batch, and which stamps of it there are. */
#include "store/reserve_state.h"

/* Worker: touches only req. */
static enum err stamped_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve_stamped *req = container_of(job, struct reserve_stamped, job_);
    struct reserve_body body;
    memset(req->stamped, 0, (req->count + 7) / 8);
    for (uint32_t i = 0; i < req->count; i++) {
        uint8_t raw[C_VALUE_BYTES_MAX];
        struct reserve_key key = key_chunk(req->addresses[i]);
        struct writer w = writer_of(raw, sizeof(raw));
        enum err rc = ldb_get(db, NULL, key_bytes(&key), &w, err);
        if (rc == ERR_NOT_FOUND)
            continue;
        if (rc)
            return rc;
        if (!c_value_decode(&body, bytes_of(raw, writer_used(&w))))
            return error_set(err, ERR_CORRUPT, "a chunk record is damaged");
        for (uint32_t k = 0; k < body.count; k++)
            if (!memcmp(body.stamps + (size_t)k * C_STAMP_BYTES, req->batch, STAMP_BATCH_BYTES))
                req->stamped[i / 8] |= (uint8_t)(1 << i % 8);
    }
    error_clear(err);
    return ERR_OK;
}

static void stamped_done(struct store_job *job, const struct error *err)
{
    struct reserve_stamped *req = container_of(job, struct reserve_stamped, job_);
    req->reserve_->requests--;
    req->cb(req, err);
}

void reserve_stamped(struct reserve *r, struct reserve_stamped *req)
{
    assert(r->phase == RESERVE_OPEN && req->cb);
    assert(req->count > 0 && req->count <= LIMIT_RESERVE_PAGE_CHUNKS);
    r->requests++;
    req->reserve_ = r;
    store_read(r->options.store, &req->job_, stamped_run, stamped_done);
}

/* Worker: touches only req and what each touches. */
static enum err issued_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve_issued *req = container_of(job, struct reserve_issued, job_);
    struct reserve_key from = key_of('S', bytes_of(req->batch, STAMP_BATCH_BYTES), bytes_of("", 0));
    struct ldb_iter *it = ldb_iter_open(db, NULL, false);
    for (ldb_iter_seek(it, key_bytes(&from)); ldb_iter_valid(it); ldb_iter_next(it)) {
        struct bytes key = ldb_iter_key(it);
        if (key.size != from.size + (size_t)STAMP_INDEX_BYTES ||
            memcmp(key.data, from.bytes, from.size))
            break;
        req->each(req->ctx, be32_decode(key.data + from.size),
                  be32_decode(key.data + from.size + 4));
    }
    enum err rc = ldb_iter_valid(it) ? ERR_OK : ldb_iter_status(it, err);
    ldb_iter_close(it);
    return rc;
}

static void issued_done(struct store_job *job, const struct error *err)
{
    struct reserve_issued *req = container_of(job, struct reserve_issued, job_);
    req->reserve_->requests--;
    req->cb(req, err);
}

void reserve_issued(struct reserve *r, struct reserve_issued *req)
{
    assert(r->phase == RESERVE_OPEN && req->cb && req->each);
    r->requests++;
    req->reserve_ = r;
    store_read(r->options.store, &req->job_, issued_run, issued_done);
}
