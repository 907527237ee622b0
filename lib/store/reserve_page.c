#include "store/reserve_page.h"

#include "store/reserve_state.h"

/* Worker. The stamp that lies in the slot has no 'T' record, and nearly every chunk has one stamp
 * only, so that the index is asked once. */
static enum err find(struct reserve_page *req, const struct chunk_id *id, struct ldb *db,
                     uint8_t *slot, uint8_t stamp[STAMP_BYTES], struct reserve_found *out)
{
    uint8_t raw[C_VALUE_BYTES_MAX];
    struct reserve_body body;
    struct slab_record rec;
    struct reserve_key key = key_chunk(id->address);
    struct writer w = writer_of(raw, sizeof(raw));
    enum err rc = ldb_get(db, NULL, key_bytes(&key), &w, NULL);
    if (rc)
        return rc;
    if (!c_value_decode(&body, bytes_of(raw, writer_used(&w))))
        return ERR_CORRUPT;
    if (body_find(&body, id->batch, id->stamp_hash) == body.count)
        return ERR_NOT_FOUND;
    rc = slab_files_read(&req->reserve_->files, body.ref, slot, &rec, NULL);
    if (rc)
        return rc;
    if (memcmp(rec.address, id->address, 32) || rec.data.size != body.size)
        return ERR_CORRUPT;
    *out = (struct reserve_found){ .data = rec.data,
                                   .stamp = rec.stamp,
                                   .kind = body.type ? CHUNK_SINGLE_OWNER : CHUNK_CONTENT };
    if (body.count == 1)
        return ERR_OK;
    key = key_stamp(id->address, id->stamp_hash);
    rc = ldb_get_fixed(db, key_bytes(&key), stamp, STAMP_BYTES, NULL);
    if (!rc)
        out->stamp = stamp;
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static enum err page_run(struct store_job *job, struct ldb *db, struct error *err UNUSED)
{
    struct reserve_page *req = container_of(job, struct reserve_page, job_);
    uint8_t slot[SLAB_SLOT_BYTES], stamp[STAMP_BYTES];
    req->damaged = 0;
    for (uint32_t i = 0; i < req->count; i++) {
        struct reserve_found found;
        enum err rc = find(req, &req->ids[i], db, slot, stamp, &found);
        req->damaged += rc != ERR_OK && rc != ERR_NOT_FOUND;
        if (!req->each(req, i, rc ? NULL : &found))
            break;
    }
    return ERR_OK;
}

static void page_done(struct store_job *job, const struct error *err)
{
    struct reserve_page *req = container_of(job, struct reserve_page, job_);
    slab_map_leave(req->reserve_->map, req->ticket_);
    req->reserve_->requests--;
    req->cb(req, err);
}

void reserve_page_read(struct reserve *r, struct reserve_page *req)
{
    assert(r->phase == RESERVE_OPEN && req->cb && req->each && req->ids);
    assert(req->count > 0 && req->count <= LIMIT_RESERVE_READ_CHUNKS);
    r->requests++;
    req->reserve_ = r;
    req->ticket_ = slab_map_enter(r->map);
    store_read(r->options.store, &req->job_, page_run, page_done);
}

void reserve_page_cancel(struct reserve_page *req)
{
    store_job_cancel(&req->job_);
}
