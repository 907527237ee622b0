/* One entry with its body, the entries of a bin in order, and which batches there are. */
#include "store/reserve_state.h"

/* Worker: touches req and reads the files. The stamp that lies in the slot has no 'T' record. */
static enum err get_stamp(struct reserve_get *req, struct ldb *db, const uint8_t *in_slot,
                          struct error *err)
{
    struct reserve_key key = key_stamp(req->id.address, req->id.stamp_hash);
    enum err rc = ldb_get_fixed(db, key_bytes(&key), req->stamp_, STAMP_BYTES, err);
    req->stamp = rc ? in_slot : req->stamp_;
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static enum err get_entry(struct reserve_get *req, struct ldb *db, struct reserve_body *body,
                          struct error *err)
{
    uint8_t raw[C_VALUE_BYTES_MAX];
    struct reserve_key key = key_chunk(req->id.address);
    struct writer w = writer_of(raw, sizeof(raw));
    enum err rc = ldb_get(db, NULL, key_bytes(&key), &w, err);
    if (rc)
        return rc;
    if (!c_value_decode(body, bytes_of(raw, writer_used(&w))))
        return error_set(err, ERR_CORRUPT, "a chunk record is damaged");
    uint32_t at = req->any_stamp ? 0 : body_find(body, req->id.batch, req->id.stamp_hash);
    if (at == body->count)
        return error_set(err, ERR_NOT_FOUND, "the chunk has no such stamp");
    memcpy(req->id.batch, body->stamps + (size_t)at * C_STAMP_BYTES, 32);
    memcpy(req->id.stamp_hash, body->stamps + (size_t)at * C_STAMP_BYTES + 40, 32);
    return ERR_OK;
}

static enum err get_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve_get *req = container_of(job, struct reserve_get, job_);
    struct reserve_body body;
    struct slab_record rec;
    enum err rc = get_entry(req, db, &body, err);
    rc = rc ? rc : slab_files_read(&req->reserve_->files, body.ref, req->slot_, &rec, err);
    if (rc)
        return rc;
    if (memcmp(rec.address, req->id.address, 32) || rec.data.size != body.size)
        return error_set(err, ERR_CORRUPT, "slot %u of slab %u holds another chunk", body.ref.slot,
                         body.ref.slab);
    req->data = rec.data;
    req->kind = body.type ? CHUNK_SINGLE_OWNER : CHUNK_CONTENT;
    return get_stamp(req, db, rec.stamp, err);
}

static void get_done(struct store_job *job, const struct error *err)
{
    struct reserve_get *req = container_of(job, struct reserve_get, job_);
    slab_map_leave(req->reserve_->map, req->ticket_);
    req->reserve_->requests--;
    req->cb(req, err);
}

void reserve_get(struct reserve *r, struct reserve_get *req)
{
    assert(r->phase == RESERVE_OPEN && req->cb);
    r->requests++;
    req->reserve_ = r;
    req->ticket_ = slab_map_enter(r->map);
    store_read(r->options.store, &req->job_, get_run, get_done);
}

void reserve_get_cancel(struct reserve_get *req)
{
    store_job_cancel(&req->job_);
}

/* Worker: touches only req. */
static enum err list_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve_list *req = container_of(job, struct reserve_list, job_);
    struct reserve_key from = key_entry(req->bin, req->from);
    struct ldb_iter *it = ldb_iter_open(db, NULL, true);
    enum err rc = ERR_OK;
    req->count = 0;
    for (ldb_iter_seek(it, key_bytes(&from)); req->count < req->room && ldb_iter_valid(it);
         ldb_iter_next(it)) {
        struct bytes key = ldb_iter_key(it);
        if (key.size < 2 || key.data[0] != 'B' || key.data[1] != req->bin)
            break;
        if (!b_record_decode(&req->entries[req->count], key, ldb_iter_value(it))) {
            rc = error_set(err, ERR_CORRUPT, "an entry record of bin %u is damaged", req->bin);
            break;
        }
        req->count++;
    }
    if (!rc && !ldb_iter_valid(it))
        rc = ldb_iter_status(it, err);
    ldb_iter_close(it);
    return rc;
}

static void list_done(struct store_job *job, const struct error *err)
{
    struct reserve_list *req = container_of(job, struct reserve_list, job_);
    req->reserve_->requests--;
    req->cb(req, err);
}

void reserve_list(struct reserve *r, struct reserve_list *req)
{
    assert(r->phase == RESERVE_OPEN && req->cb && req->bin < RESERVE_BINS && req->room > 0);
    r->requests++;
    req->reserve_ = r;
    store_read(r->options.store, &req->job_, list_run, list_done);
}

void reserve_list_cancel(struct reserve_list *req)
{
    store_job_cancel(&req->job_);
}

/* Worker: touches only req. Any stamp index of the batch before is below its own with 0xff behind.
 */
static enum err next_batch_run(struct store_job *job, struct ldb *db, struct error *err)
{
    static const uint8_t behind[9] = { 255, 255, 255, 255, 255, 255, 255, 255, 0 };
    struct reserve_next_batch *req = container_of(job, struct reserve_next_batch, job_);
    struct reserve_key from =
        req->first ? key_of('S', bytes_of("", 0), bytes_of("", 0))
                   : key_of('S', bytes_of(req->batch, 32), bytes_of(behind, sizeof(behind)));
    struct ldb_iter *it = ldb_iter_open(db, NULL, false);
    ldb_iter_seek(it, key_bytes(&from));
    bool valid = ldb_iter_valid(it);
    enum err rc = valid ? ERR_OK : ldb_iter_status(it, err);
    struct bytes key = valid ? ldb_iter_key(it) : bytes_of("", 0);
    req->found = key.size == 41 && key.data[0] == 'S';
    if (req->found)
        memcpy(req->batch, key.data + 1, sizeof(req->batch));
    ldb_iter_close(it);
    return rc;
}

static void next_batch_done(struct store_job *job, const struct error *err)
{
    struct reserve_next_batch *req = container_of(job, struct reserve_next_batch, job_);
    req->reserve_->requests--;
    req->cb(req, err);
}

void reserve_next_batch(struct reserve *r, struct reserve_next_batch *req)
{
    assert(r->phase == RESERVE_OPEN && req->cb);
    r->requests++;
    req->reserve_ = r;
    store_read(r->options.store, &req->job_, next_batch_run, next_batch_done);
}
