/* Counting and streaming. Each read has a view of its own, which is gone before the answer: which
 * generation is current, and its rows. */
#include "store/keystore_state.h"

struct read {
    struct ldb *db;
    struct ldb_view *view;
    struct ldb_iter *it; /* NULL: points are read */
    unsigned space;
};

static enum err read_begin(struct read *r, struct ldb *db, bool walks, struct error *err)
{
    uint64_t generation = 0;
    *r = (struct read){ .db = db, .view = ldb_view_open(db) };
    enum err rc = keystore_generation_read(db, r->view, &generation, err);
    r->space = keystore_space(generation);
    if (!rc && walks)
        r->it = ldb_iter_open(db, r->view, false);
    return rc;
}

static enum err read_end(struct read *r, enum err rc, struct error *err)
{
    if (!rc && r->it)
        rc = ldb_iter_status(r->it, err);
    ldb_iter_close(r->it);
    ldb_view_close(r->db, r->view);
    return rc;
}

static struct bytes prefix_start(uint8_t kind, struct kad_prefix p, uint8_t buf[9])
{
    buf[0] = kind;
    be64_encode(buf + 1, p.bits);
    return bytes_of(buf, 9);
}

/* Is the iterator at a key of that kind and prefix? */
static bool at_prefix(const struct ldb_iter *it, uint8_t kind, struct kad_prefix p)
{
    if (!ldb_iter_valid(it))
        return false;
    struct bytes key = ldb_iter_key(it);
    return key.size > 9 && key.size <= 1 + KEY_BYTES_MAX && key.data[0] == kind &&
           kad_prefix_has(p, be64_decode(key.data + 1));
}

/* ---- count ---- */

static enum err count_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct keystore_count *req = container_of(job, struct keystore_count, job_);
    uint8_t buf[9];
    struct read r;
    req->count = 0;
    enum err rc = read_begin(&r, db, true, err);
    if (rc)
        return read_end(&r, rc, err);
    uint8_t kind = keystore_kind(KEYSTORE_KEYS, r.space);
    ldb_iter_seek(r.it, prefix_start(kind, req->prefix, buf));
    while (at_prefix(r.it, kind, req->prefix) && (!req->limit || req->count < req->limit)) {
        req->count++;
        ldb_iter_next(r.it);
    }
    return read_end(&r, ERR_OK, err);
}

static void count_done(struct store_job *job, const struct error *err)
{
    struct keystore_count *req = container_of(job, struct keystore_count, job_);
    req->keystore_->reads--;
    req->cb(req, err);
}

static void count_known(struct deferred *d)
{
    struct keystore_count *req = container_of(d, struct keystore_count, later_);
    req->keystore_->reads--;
    req->cb(req, NULL);
}

/* The counters answer for short prefixes, and for long ones whose whole bucket is empty. */
void keystore_count(struct keystore *ks, struct keystore_count *req)
{
    assert(req->cb && req->prefix.len <= 64);
    uint64_t bucket = keystore_bucket_count(ks, req->prefix);
    req->keystore_ = ks;
    ks->reads++;
    if (req->prefix.len > KEYSTORE_BUCKET_BITS && bucket > 0) {
        store_read(ks->store, &req->job_, count_run, count_done);
        return;
    }
    req->count = req->limit ? MIN(bucket, req->limit) : bucket;
    loop_defer(ks->loop, &req->later_, count_known);
}

/* ---- stream ---- */

static void seek_behind(struct ldb_iter *it, uint8_t kind, struct keystore_read *req)
{
    uint8_t buf[1 + KEY_BYTES_MAX];
    if (req->after_size == 0) {
        ldb_iter_seek(it, prefix_start(kind, req->prefix, buf));
        return;
    }
    struct bytes last = keystore_db_key(kind, bytes_of(req->after, req->after_size), buf);
    ldb_iter_seek(it, last);
    if (ldb_iter_valid(it) && bytes_equal(ldb_iter_key(it), last))
        ldb_iter_next(it);
}

static enum err read_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct keystore_read *req = container_of(job, struct keystore_read, job_);
    struct read r;
    keyset_clear(req->keys);
    req->end = false;
    enum err rc = read_begin(&r, db, true, err);
    if (rc)
        return read_end(&r, rc, err);
    uint8_t kind = keystore_kind((uint8_t)req->kind, r.space);
    for (seek_behind(r.it, kind, req); at_prefix(r.it, kind, req->prefix); ldb_iter_next(r.it)) {
        struct bytes key = ldb_iter_key(r.it);
        if (!keyset_add_key(req->keys, bytes_of(key.data + 1, key.size - 1)))
            break;
    }
    req->end = !at_prefix(r.it, kind, req->prefix);
    rc = read_end(&r, ERR_OK, err);
    if (!rc && req->keys->count > 0) {
        struct bytes last = keyset_key(req->keys, req->keys->count - 1);
        memcpy(req->after, last.data, last.size);
        req->after_size = (uint8_t)last.size;
    }
    return rc;
}

static void read_done(struct store_job *job, const struct error *err)
{
    struct keystore_read *req = container_of(job, struct keystore_read, job_);
    req->cb(req, err);
}

void keystore_read(struct keystore *ks, struct keystore_read *req)
{
    assert(req->cb && req->keys->count_max > 0);
    store_read(ks->store, &req->job_, read_run, read_done);
}

void keystore_read_cancel(struct keystore_read *req)
{
    store_job_cancel(&req->job_);
}

/* ---- has ---- */

static enum err has_one(struct read *r, uint8_t kind, struct bytes key, bool *out,
                        struct error *err)
{
    uint8_t buf[1 + KEY_BYTES_MAX], none[1];
    struct writer w = writer_of(none, sizeof(none));
    struct bytes row = keystore_db_key(keystore_kind(kind, r->space), key, buf);
    enum err rc = ldb_get(r->db, r->view, row, &w, err);
    *out = !rc;
    if (rc == ERR_NOT_FOUND) {
        error_clear(err);
        return ERR_OK;
    }
    return rc;
}

static enum err has_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct keystore_has *req = container_of(job, struct keystore_has, job_);
    struct read r;
    enum err rc = read_begin(&r, db, false, err);
    memset(req->have, 0, (req->keys->count + 7) / 8);
    memset(req->pending, 0, (req->keys->count + 7) / 8);
    for (uint32_t i = 0; !rc && i < req->keys->count; i++) {
        bool have = false, pending = false;
        rc = has_one(&r, KEYSTORE_KEYS, keyset_key(req->keys, i), &have, err);
        if (!rc && have)
            rc = has_one(&r, KEYSTORE_PENDING, keyset_key(req->keys, i), &pending, err);
        req->have[i / 8] |= (uint8_t)(have << (i % 8));
        req->pending[i / 8] |= (uint8_t)(pending << (i % 8));
    }
    return read_end(&r, rc, err);
}

static void has_done(struct store_job *job, const struct error *err)
{
    struct keystore_has *req = container_of(job, struct keystore_has, job_);
    req->cb(req, err);
}

void keystore_has(struct keystore *ks, struct keystore_has *req)
{
    assert(req->cb);
    store_read(ks->store, &req->job_, has_run, has_done);
}

/* ---- rows of the scheduler ---- */

static enum err rows_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct keystore_rows *req = container_of(job, struct keystore_rows, job_);
    struct bytes from =
        req->after_size ? bytes_of(req->after, req->after_size) : bytes_of(&req->kind, 1);
    req->end = true;
    struct ldb_iter *it = ldb_iter_open(db, NULL, false);
    for (ldb_iter_seek(it, from); ldb_iter_valid(it); ldb_iter_next(it)) {
        struct bytes key = ldb_iter_key(it), value = ldb_iter_value(it);
        if (key.data[0] != req->kind)
            break;
        if (req->after_size && bytes_equal(key, from))
            continue;
        if (key.size > sizeof(req->after) || value.size > UINT16_MAX)
            continue; /* none of ours */
        if (writer_left(&req->out) < 3 + key.size + value.size) {
            req->end = false;
            break;
        }
        writer_u8(&req->out, (uint8_t)key.size);
        writer_put(&req->out, key.data, key.size);
        writer_be16(&req->out, (uint16_t)value.size);
        writer_put(&req->out, value.data, value.size);
        memcpy(req->after, key.data, key.size);
        req->after_size = (uint8_t)key.size;
        from = bytes_of(NULL, 0); /* what is behind it is not it */
    }
    enum err rc = ldb_iter_status(it, err);
    ldb_iter_close(it);
    return rc;
}

static void rows_done(struct store_job *job, const struct error *err)
{
    struct keystore_rows *req = container_of(job, struct keystore_rows, job_);
    req->cb(req, err);
}

void keystore_rows(struct keystore *ks, struct keystore_rows *req)
{
    assert(req->cb);
    store_read(ks->store, &req->job_, rows_run, rows_done);
}

/* ---- the whole ---- */

/* Takes what there is off what is counted. */
static enum err verify_scan(struct ldb *db, unsigned space, struct keystore_counts *said,
                            uint64_t *seen, struct error *err)
{
    uint8_t kinds[] = { keystore_kind('k', space), keystore_kind('n', space) };
    enum err rc = ERR_OK;
    struct ldb_iter *it = ldb_iter_open(db, NULL, false);
    *seen = 0;
    for (int k = 0; k < 2; k++)
        for (ldb_iter_seek(it, bytes_of(&kinds[k], 1)); ldb_iter_valid(it); ldb_iter_next(it)) {
            struct bytes key = ldb_iter_key(it);
            if (key.data[0] != kinds[k])
                break;
            if (key.size <= 9)
                continue;
            said->pending -= k;
            said->bucket[be64_decode(key.data + 1) >> (64 - KEYSTORE_BUCKET_BITS)] -= !k;
            *seen += !k;
        }
    rc = ldb_iter_status(it, err);
    ldb_iter_close(it);
    return rc;
}

enum err keystore_verify(struct ldb *db, uint64_t *keys, struct error *err)
{
    static struct keystore_counts said; /* too large for the stack; of the one offline thread */
    uint64_t generation = 0, seen = 0;
    enum err rc = keystore_generation_read(db, NULL, &generation, err);
    for (unsigned space = 0; !rc && space < 2; space++) {
        rc = keystore_counts_read(db, space, &said, err);
        if (!rc)
            rc = verify_scan(db, space, &said, &seen, err);
        for (uint32_t i = 0; !rc && i < KEYSTORE_BUCKETS; i++)
            if (said.bucket[i])
                rc = error_set(err, ERR_CORRUPT,
                               "keystore: counter %" PRIu32 " is wrong by %" PRId64, i,
                               (int64_t)said.bucket[i]);
        if (!rc && said.pending)
            rc = error_set(err, ERR_CORRUPT,
                           "keystore: the count of pending keys is wrong by %" PRId64,
                           (int64_t)said.pending);
        if (!rc && space == keystore_space(generation))
            *keys = seen;
    }
    return rc;
}
