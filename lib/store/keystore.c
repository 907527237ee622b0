/* The life of the keystore, its counters, and the queue of its writes. */
#include "base/mem.h"
#include "store/keystore_state.h"

enum { BATCH_BYTES = 1536 * 1024 };

/* The longest keys that fit a full set, as keys and as pending, in two generations while a stage is
 * open, and every counter. */
static_assert(2 * (2 * LIMIT_KEYSTORE_BATCH_KEYS * (KEYSET_SLOT_BYTES + 3) +
                   KEYSTORE_BUCKETS * 14) +
                      (LIMIT_KEYSTORE_ROWS + 4) * 256 <=
                  BATCH_BYTES,
              "a full write fits into its batch");

enum err keystore_create(struct keystore **out, struct store *store, struct loop *loop,
                         struct mem_owner *mem, struct error *err)
{
    struct keystore *ks = mem_zalloc(mem, sizeof(*ks));
    ks->store = store;
    ks->loop = loop;
    ks->mem = mem;
    list_init(&ks->waiting);
    list_init(&ks->stages);
    keystore_tidy_init(ks);
    ks->now = mem_try_zalloc(mem, sizeof(*ks->now));
    for (int i = 0; i < 2; i++)
        ks->writer[i] = mem_try_zalloc(mem, sizeof(*ks->writer[i]));
    if (ks->now && ks->writer[0] && ks->writer[1] && mem_take(mem, BATCH_BYTES))
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
    assert(!ks->stage && list_empty(&ks->stages));
    timer_set(&ks->tidy_timer, 0);
    if (ks->batch) {
        ldb_batch_destroy(ks->batch);
        mem_give(ks->mem, BATCH_BYTES);
    }
    mem_free(ks->mem, ks->now);
    mem_free(ks->mem, ks->writer[0]);
    mem_free(ks->mem, ks->writer[1]);
    mem_free(ks->mem, ks);
}

/* ---- counters ---- */

/* So many numbers; none: zeros. */
static enum err numbers_read(struct ldb *db, const struct ldb_view *view, const char *name,
                             uint64_t *out, uint32_t count, struct error *err)
{
    uint8_t value[16];
    struct writer w = writer_of(value, sizeof(value));
    memset(out, 0, count * sizeof(*out));
    enum err rc = ldb_get(db, view, bytes_of(name, strlen(name)), &w, err);
    if (rc == ERR_NOT_FOUND) {
        error_clear(err);
        return ERR_OK;
    }
    if (rc == ERR_TOO_LARGE || (!rc && writer_used(&w) != 8 * count))
        return error_set(err, ERR_CORRUPT, "keystore: %s is no number", name);
    for (uint32_t i = 0; !rc && i < count; i++)
        out[i] = be64_decode(value + (size_t)8 * i);
    return rc;
}

enum err keystore_generation_read(struct ldb *db, const struct ldb_view *view, uint64_t *out,
                                  struct error *err)
{
    return numbers_read(db, view, "mgeneration", out, 1, err);
}

enum err keystore_counts_read(struct ldb *db, unsigned space, struct keystore_counts *out,
                              struct error *err)
{
    uint8_t kind = keystore_kind('c', space);
    uint64_t gone[2];
    enum err rc = ERR_OK;
    memset(out, 0, sizeof(*out));
    struct ldb_iter *it = ldb_iter_open(db, NULL, true);
    for (ldb_iter_seek(it, bytes_of(&kind, 1)); ldb_iter_valid(it); ldb_iter_next(it)) {
        struct bytes key = ldb_iter_key(it), value = ldb_iter_value(it);
        if (key.data[0] != kind)
            break;
        uint16_t bucket = key.size == KEYSTORE_COUNT_BYTES ? be16_decode(key.data + 1) : UINT16_MAX;
        if (bucket >= KEYSTORE_BUCKETS || value.size != 8) {
            rc = error_set(err, ERR_CORRUPT, "keystore: a counter is not one");
            break;
        }
        out->bucket[bucket] = be64_decode(value.data);
    }
    if (!rc)
        rc = ldb_iter_status(it, err);
    ldb_iter_close(it);
    if (!rc)
        rc = numbers_read(db, NULL, keystore_pending_name(space), &out->pending, 1, err);
    if (!rc)
        rc = numbers_read(db, NULL, keystore_gone_name(space), gone, 2, err);
    if (rc)
        return rc;
    out->gone_keys = gone[0];
    out->gone_pending = gone[1];
    return ERR_OK;
}

enum err keystore_all_read(struct keystore *ks, struct ldb *db, struct error *err)
{
    enum err rc = keystore_generation_read(db, NULL, &ks->writer_generation, err);
    for (unsigned space = 0; !rc && space < 2; space++)
        rc = keystore_counts_read(db, space, ks->writer[space], err);
    return rc;
}

static void counts_publish(struct keystore *ks)
{
    ks->generation = ks->writer_generation;
    for (unsigned space = 0; space < 2; space++) {
        const struct keystore_counts *c = ks->writer[space];
        struct keystore_sums *s = &ks->sums[space];
        *s = (struct keystore_sums){ 0, c->pending, c->gone_keys, c->gone_pending };
        for (uint32_t i = 0; i < KEYSTORE_BUCKETS; i++)
            s->keys += c->bucket[i];
    }
    memcpy(ks->now, ks->writer[keystore_space(ks->generation)], sizeof(*ks->now));
}

static enum err open_run(struct store_job *job, struct ldb *db, struct error *err)
{
    return keystore_all_read(container_of(job, struct keystore, job), db, err);
}

static void open_done(struct store_job *job, const struct error *err)
{
    struct keystore *ks = container_of(job, struct keystore, job);
    ks->reads--;
    if (!err) {
        counts_publish(ks);
        keystore_tidy_look(ks);
    }
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
    return ks->sums[keystore_space(ks->generation)].keys;
}

uint64_t keystore_adds(const struct keystore *ks)
{
    return ks->adds;
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

static enum err write_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct keystore *ks = container_of(job, struct keystore, job);
    bool any = false;
    enum err rc = ks->writer_stale ? keystore_all_read(ks, db, err) : ERR_OK;
    if (rc)
        return rc;
    ks->writer_stale = true; /* until the write is known to have happened */
    ldb_batch_clear(ks->batch);
    rc = keystore_change(ks, db, &any, err);
    if (!rc && (any || ks->running->sync))
        rc = store_commit(job, ks->batch, ks->running->sync, err);
    ks->writer_stale = rc != ERR_OK;
    if (rc)
        ks->tidy.swept_size = 0; /* the rows it has passed may still be there */
    return rc;
}

static void write_next(struct keystore *ks);

static bool brings_keys(const struct keystore_write *req)
{
    return req->op == KEYSTORE_ADD || req->op == KEYSTORE_SWITCH;
}

static void write_done(struct store_job *job, const struct error *err)
{
    struct keystore *ks = container_of(job, struct keystore, job);
    struct keystore_write *req = ks->running;
    ks->running = NULL;
    ks->adds += brings_keys(req);
    if (!err && req->op == KEYSTORE_SWITCH)
        ks->stage = NULL;
    if (!err && req->op != KEYSTORE_ROWS)
        counts_publish(ks);
    write_next(ks);
    keystore_tidy_look(ks);
    req->cb(req, err);
}

static void write_next(struct keystore *ks)
{
    struct list *link = list_pop(&ks->waiting);
    if (!link)
        return;
    ks->running = container_of(link, struct keystore_write, link_);
    ks->running_staged = ks->stage != NULL;
    store_write(ks->store, &ks->job, write_run, write_done);
}

void keystore_write(struct keystore *ks, struct keystore_write *req)
{
    assert(req->cb && req->rows_count <= LIMIT_KEYSTORE_ROWS);
    assert(!req->keys || req->keys->count <= LIMIT_KEYSTORE_BATCH_KEYS);
    assert(ks->stage || (req->op != KEYSTORE_STAGE && req->op != KEYSTORE_SWITCH));
    req->keystore_ = ks;
    ks->adds += brings_keys(req);
    list_append(&ks->waiting, &req->link_);
    if (!ks->running)
        write_next(ks);
}
