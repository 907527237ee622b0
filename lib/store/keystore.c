/* The one writer, and the counters it keeps. */
#include "base/mem.h"
#include "store/keystore_state.h"

enum { COUNT_KEY_BYTES = 3, BATCH_BYTES = 1 * MiB };
static const char pending_key[] = "mpending";

/* A full batch of the longest keys that fit a set, twice each, and every counter. */
static_assert(2 * LIMIT_KEYSTORE_BATCH_KEYS * (KEYSET_SLOT_BYTES + 4) + KEYSTORE_BUCKETS * 16 +
                      LIMIT_KEYSTORE_ROWS * 256 <=
                  BATCH_BYTES,
              "a full write fits into its batch");

struct bytes keystore_db_key(uint8_t kind, struct bytes key, uint8_t buf[1 + KEY_BYTES_MAX])
{
    assert(key.size <= KEY_BYTES_MAX);
    buf[0] = kind;
    memcpy(buf + 1, key.data, key.size);
    return bytes_of(buf, 1 + key.size);
}

enum err keystore_create(struct keystore **out, struct store *store, struct loop *loop,
                         struct mem_owner *mem, struct error *err)
{
    struct keystore *ks = mem_zalloc(mem, sizeof(*ks));
    ks->store = store;
    ks->loop = loop;
    ks->mem = mem;
    list_init(&ks->waiting);
    ks->now = mem_try_zalloc(mem, sizeof(*ks->now));
    ks->writer = mem_try_zalloc(mem, sizeof(*ks->writer));
    if (ks->now && ks->writer && mem_take(mem, BATCH_BYTES))
        ks->batch = ldb_batch_create(BATCH_BYTES);
    if (!ks->batch) {
        keystore_destroy(ks);
        return mem_refused(mem, BATCH_BYTES, err);
    }
    *out = ks;
    return ERR_OK;
}

void keystore_destroy(struct keystore *ks)
{
    if (!ks)
        return;
    assert(!ks->running && list_empty(&ks->waiting) && ks->reads == 0);
    if (ks->batch) {
        ldb_batch_destroy(ks->batch);
        mem_give(ks->mem, BATCH_BYTES);
    }
    mem_free(ks->mem, ks->now);
    mem_free(ks->mem, ks->writer);
    mem_free(ks->mem, ks);
}

/* ---- counters ---- */

static enum err pending_read(struct ldb *db, uint64_t *out, struct error *err)
{
    uint8_t value[8] = { 0 };
    enum err rc = ldb_get_fixed(db, bytes_of(pending_key, sizeof(pending_key) - 1), value,
                                sizeof(value), err);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    error_clear(err);
    *out = rc ? 0 : be64_decode(value);
    return ERR_OK;
}

enum err keystore_counts_read(struct ldb *db, struct keystore_counts *out, struct error *err)
{
    enum err rc = ERR_OK;
    memset(out, 0, sizeof(*out));
    struct ldb_iter *it = ldb_iter_open(db, NULL, true);
    for (ldb_iter_seek(it, bytes_of("c", 1)); ldb_iter_valid(it); ldb_iter_next(it)) {
        struct bytes key = ldb_iter_key(it), value = ldb_iter_value(it);
        if (key.data[0] != 'c')
            break;
        uint16_t bucket = key.size == COUNT_KEY_BYTES ? be16_decode(key.data + 1) : UINT16_MAX;
        if (bucket >= KEYSTORE_BUCKETS || value.size != 8) {
            rc = error_set(err, ERR_CORRUPT, "keystore: a counter is not one");
            break;
        }
        out->bucket[bucket] = be64_decode(value.data);
    }
    if (!rc)
        rc = ldb_iter_status(it, err);
    ldb_iter_close(it);
    return rc ? rc : pending_read(db, &out->pending, err);
}

static void counts_publish(struct keystore *ks)
{
    memcpy(ks->now, ks->writer, sizeof(*ks->now));
    ks->total = 0;
    for (uint32_t i = 0; i < KEYSTORE_BUCKETS; i++)
        ks->total += ks->now->bucket[i];
}

static enum err open_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct keystore *ks = container_of(job, struct keystore, job);
    return keystore_counts_read(db, ks->writer, err);
}

static void open_done(struct store_job *job, const struct error *err)
{
    struct keystore *ks = container_of(job, struct keystore, job);
    ks->reads--;
    if (!err)
        counts_publish(ks);
    ks->open_cb(ks->open_ctx, err);
}

void keystore_open(struct keystore *ks, keystore_cb *cb, void *ctx)
{
    ks->open_cb = cb;
    ks->open_ctx = ctx;
    ks->reads++;
    store_read(ks->store, &ks->job, open_run, open_done);
}

uint64_t keystore_total(const struct keystore *ks)
{
    return ks->total;
}

uint64_t keystore_pending(const struct keystore *ks)
{
    return ks->now->pending;
}

uint64_t keystore_bucket_count(const struct keystore *ks, struct kad_prefix p)
{
    uint8_t len = MIN(p.len, KEYSTORE_BUCKET_BITS);
    uint32_t first = (uint32_t)(p.bits >> (64 - KEYSTORE_BUCKET_BITS));
    uint32_t n = 1U << (KEYSTORE_BUCKET_BITS - len);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += ks->now->bucket[first + i];
    return sum;
}

/* ---- writes ---- */

/* What one write changes; the worker's. */
struct change {
    struct keystore *ks;
    struct keystore_write *req;
    struct ldb *db;
    uint8_t touched[KEYSTORE_BUCKETS / 8];
};

static enum err exists(struct change *c, uint8_t kind, struct bytes key, bool *out,
                       struct error *err)
{
    uint8_t buf[1 + KEY_BYTES_MAX], none[1];
    struct writer w = writer_of(none, sizeof(none));
    enum err rc = ldb_get(c->db, NULL, keystore_db_key(kind, key, buf), &w, err);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    error_clear(err);
    *out = !rc;
    return ERR_OK;
}

static enum err put(struct change *c, uint8_t kind, struct bytes key, struct error *err)
{
    uint8_t buf[1 + KEY_BYTES_MAX];
    return ldb_batch_put(c->ks->batch, keystore_db_key(kind, key, buf), bytes_of("", 0), err);
}

static enum err drop(struct change *c, uint8_t kind, struct bytes key, struct error *err)
{
    uint8_t buf[1 + KEY_BYTES_MAX];
    return ldb_batch_delete(c->ks->batch, keystore_db_key(kind, key, buf), err);
}

static void count_key(struct change *c, struct bytes key, bool more)
{
    uint32_t bucket = (uint32_t)(be64_decode(key.data) >> (64 - KEYSTORE_BUCKET_BITS));
    c->touched[bucket / 8] |= (uint8_t)(1U << (bucket % 8));
    c->ks->writer->bucket[bucket] += more ? 1 : UINT64_MAX;
    c->req->changed++;
}

static enum err add_key(struct change *c, struct bytes key, struct error *err)
{
    bool there = false;
    enum err rc = exists(c, KEYSTORE_KEYS, key, &there, err);
    if (rc || there)
        return rc;
    rc = put(c, KEYSTORE_KEYS, key, err);
    if (!rc && !c->req->settled) {
        rc = put(c, KEYSTORE_PENDING, key, err);
        c->ks->writer->pending++;
    }
    count_key(c, key, true);
    return rc;
}

static enum err remove_key(struct change *c, struct bytes key, struct error *err)
{
    bool there = false, pending = false;
    enum err rc = exists(c, KEYSTORE_KEYS, key, &there, err);
    if (rc || !there)
        return rc;
    if (c->ks->writer->pending > 0)
        rc = exists(c, KEYSTORE_PENDING, key, &pending, err);
    rc = rc ? rc : drop(c, KEYSTORE_KEYS, key, err);
    if (!rc && pending) {
        rc = drop(c, KEYSTORE_PENDING, key, err);
        c->ks->writer->pending--;
    }
    count_key(c, key, false);
    return rc;
}

/* Both are sorted: pending keys of the range are merged with the set, and only those that are in
 * both are deleted. Nothing is pending in a steady state, and this reads nothing then. */
static enum err settle_keys(struct change *c, struct error *err)
{
    const struct keyset *keys = c->req->keys;
    uint8_t buf[1 + KEY_BYTES_MAX];
    enum err rc = ERR_OK;
    if (c->ks->writer->pending == 0 || keys->count == 0)
        return ERR_OK;
    struct ldb_iter *it = ldb_iter_open(c->db, NULL, false);
    ldb_iter_seek(it, keystore_db_key(KEYSTORE_PENDING, keyset_key(keys, 0), buf));
    for (uint32_t i = 0; !rc && i < keys->count && ldb_iter_valid(it);) {
        struct bytes at = ldb_iter_key(it);
        if (at.data[0] != KEYSTORE_PENDING)
            break;
        struct bytes key = keyset_key(keys, i);
        int order = key_compare(bytes_of(at.data + 1, at.size - 1), key);
        if (order == 0) {
            rc = drop(c, KEYSTORE_PENDING, key, err);
            c->ks->writer->pending--;
            c->req->changed++;
        }
        i += order >= 0;
        if (order <= 0)
            ldb_iter_next(it);
    }
    if (!rc)
        rc = ldb_iter_status(it, err);
    ldb_iter_close(it);
    return rc;
}

static enum err counts_put(struct change *c, struct error *err)
{
    uint8_t key[COUNT_KEY_BYTES] = { 'c' }, value[8];
    enum err rc = ERR_OK;
    for (uint32_t i = 0; !rc && i < KEYSTORE_BUCKETS; i++) {
        if (!(c->touched[i / 8] >> (i % 8) & 1))
            continue;
        be16_encode(key + 1, (uint16_t)i);
        be64_encode(value, c->ks->writer->bucket[i]);
        rc = ldb_batch_put(c->ks->batch, bytes_of(key, sizeof(key)), bytes_of(value, 8), err);
    }
    be64_encode(value, c->ks->writer->pending);
    if (!rc && c->req->changed > 0)
        rc = ldb_batch_put(c->ks->batch, bytes_of(pending_key, sizeof(pending_key) - 1),
                           bytes_of(value, 8), err);
    return rc;
}

static enum err change_build(struct change *c, struct error *err)
{
    struct keystore_write *req = c->req;
    enum err rc = ERR_OK;
    if (req->keys)
        keyset_sort(req->keys);
    if (req->op == KEYSTORE_PROVIDED)
        rc = settle_keys(c, err);
    else
        for (uint32_t i = 0; req->keys && !rc && i < req->keys->count; i++)
            rc = req->op == KEYSTORE_ADD ? add_key(c, keyset_key(req->keys, i), err)
                                         : remove_key(c, keyset_key(req->keys, i), err);
    rc = rc ? rc : counts_put(c, err);
    for (uint32_t i = 0; !rc && i < req->rows_count; i++) {
        const struct keystore_row *row = &req->rows[i];
        rc = row->value.data ? ldb_batch_put(c->ks->batch, row->key, row->value, err)
                             : ldb_batch_delete(c->ks->batch, row->key, err);
    }
    return rc;
}

static enum err write_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct keystore *ks = container_of(job, struct keystore, job);
    struct change c = { .ks = ks, .req = ks->running, .db = db };
    enum err rc = ks->writer_stale ? keystore_counts_read(db, ks->writer, err) : ERR_OK;
    if (rc)
        return rc;
    ks->writer_stale = true; /* until the write is known to have happened */
    c.req->changed = 0;
    ldb_batch_clear(ks->batch);
    rc = change_build(&c, err);
    if (!rc && (c.req->changed > 0 || c.req->rows_count > 0 || c.req->sync))
        rc = store_commit(job, ks->batch, c.req->sync, err);
    ks->writer_stale = rc != ERR_OK;
    return rc;
}

static void write_next(struct keystore *ks);

static void write_done(struct store_job *job, const struct error *err)
{
    struct keystore *ks = container_of(job, struct keystore, job);
    struct keystore_write *req = ks->running;
    ks->running = NULL;
    if (!err && req->op != KEYSTORE_ROWS)
        counts_publish(ks);
    write_next(ks);
    req->cb(req, err);
}

static void write_next(struct keystore *ks)
{
    struct list *link = list_pop(&ks->waiting);
    if (!link)
        return;
    ks->running = container_of(link, struct keystore_write, link_);
    store_write(ks->store, &ks->job, write_run, write_done);
}

void keystore_write(struct keystore *ks, struct keystore_write *req)
{
    assert(req->cb && req->rows_count <= LIMIT_KEYSTORE_ROWS);
    assert(req->op == KEYSTORE_ROWS || req->keys->count <= LIMIT_KEYSTORE_BATCH_KEYS);
    req->keystore_ = ks;
    list_append(&ks->waiting, &req->link_);
    if (!ks->running)
        write_next(ks);
}
