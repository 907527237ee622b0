/* What one write changes; all of it is the worker's. Each change is of a space, the rows of one
 * generation, and of both while a stage is open. */
#include "store/keystore_state.h"

struct change {
    struct keystore *ks;
    struct keystore_write *req;
    struct ldb *db;
    unsigned now, next; /* spaces: of the current generation, and the other */
    bool staged, any;
    struct {
        uint8_t touched[KEYSTORE_BUCKETS / 8];
        bool changed;
    } of[2];
};

struct bytes keystore_db_key(uint8_t kind, struct bytes key, uint8_t buf[1 + KEY_BYTES_MAX])
{
    assert(key.size <= KEY_BYTES_MAX);
    buf[0] = kind;
    memcpy(buf + 1, key.data, key.size);
    return bytes_of(buf, 1 + key.size);
}

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

/* Is it a key of that generation, and pending there? */
static enum err find(struct change *c, unsigned space, struct bytes key, bool *there, bool *pending,
                     struct error *err)
{
    *there = *pending = false;
    enum err rc = exists(c, keystore_kind('k', space), key, there, err);
    if (!rc && *there && c->ks->writer[space]->pending > 0)
        rc = exists(c, keystore_kind('n', space), key, pending, err);
    return rc;
}

static enum err put(struct change *c, uint8_t kind, struct bytes key, struct error *err)
{
    uint8_t buf[1 + KEY_BYTES_MAX];
    return ldb_batch_put(c->ks->batch, keystore_db_key(kind, key, buf), bytes_of("", 0), err);
}

/* A pending row goes. */
static enum err settle(struct change *c, unsigned space, struct bytes key, struct error *err)
{
    uint8_t buf[1 + KEY_BYTES_MAX];
    struct keystore_counts *counts = c->ks->writer[space];
    counts->pending -= counts->pending > 0;
    counts->gone_pending++;
    c->of[space].changed = true;
    return ldb_batch_delete(c->ks->batch, keystore_db_key(keystore_kind('n', space), key, buf),
                            err);
}

static void count_key(struct change *c, unsigned space, struct bytes key, bool more)
{
    uint32_t bucket = (uint32_t)(be64_decode(key.data) >> (64 - KEYSTORE_BUCKET_BITS));
    struct keystore_counts *counts = c->ks->writer[space];
    c->of[space].touched[bucket / 8] |= (uint8_t)(1U << (bucket % 8));
    c->of[space].changed = true;
    if (more)
        counts->bucket[bucket]++;
    else
        counts->bucket[bucket] -= counts->bucket[bucket] > 0;
    counts->gone_keys += !more;
}

static enum err put_key(struct change *c, unsigned space, struct bytes key, bool pending,
                        struct error *err)
{
    enum err rc = put(c, keystore_kind('k', space), key, err);
    if (!rc && pending) {
        rc = put(c, keystore_kind('n', space), key, err);
        c->ks->writer[space]->pending++;
    }
    count_key(c, space, key, true);
    return rc;
}

static enum err drop_key(struct change *c, unsigned space, struct bytes key, bool pending,
                         struct error *err)
{
    uint8_t buf[1 + KEY_BYTES_MAX];
    enum err rc =
        ldb_batch_delete(c->ks->batch, keystore_db_key(keystore_kind('k', space), key, buf), err);
    if (!rc && pending)
        rc = settle(c, space, key, err);
    count_key(c, space, key, false);
    return rc;
}

/* As KEYSTORE_ADD into the current generation, and as both into the stage. */
static enum err add_key(struct change *c, struct bytes key, struct error *err)
{
    bool there, pending, staged, ignored;
    bool add = c->req->op == KEYSTORE_ADD;
    enum err rc = find(c, c->now, key, &there, &pending, err);
    if (!there)
        pending = !c->req->settled;
    if (!rc && add && !there) {
        rc = put_key(c, c->now, key, pending, err);
        c->req->changed++;
    }
    if (rc || !c->staged)
        return rc;
    rc = find(c, c->next, key, &staged, &ignored, err);
    if (rc || staged)
        return rc;
    c->req->changed += !add;
    c->req->known += there;
    return put_key(c, c->next, key, pending, err);
}

static enum err remove_key(struct change *c, unsigned space, struct bytes key, struct error *err)
{
    bool there, pending;
    enum err rc = find(c, space, key, &there, &pending, err);
    if (rc || !there)
        return rc;
    c->req->changed += space == c->now;
    return drop_key(c, space, key, pending, err);
}

/* Both are sorted: pending keys of the range are merged with the set, and only those that are in
 * both are deleted. Nothing is pending in a steady state, and this reads nothing then. */
static enum err settle_keys(struct change *c, unsigned space, struct error *err)
{
    const struct keyset *keys = c->req->keys;
    uint8_t buf[1 + KEY_BYTES_MAX], kind = keystore_kind('n', space);
    enum err rc = ERR_OK;
    if (c->ks->writer[space]->pending == 0 || keys->count == 0)
        return ERR_OK;
    struct ldb_iter *it = ldb_iter_open(c->db, NULL, false);
    ldb_iter_seek(it, keystore_db_key(kind, keyset_key(keys, 0), buf));
    for (uint32_t i = 0; !rc && i < keys->count && ldb_iter_valid(it);) {
        struct bytes at = ldb_iter_key(it);
        if (at.data[0] != kind)
            break;
        struct bytes key = keyset_key(keys, i);
        int order = key_compare(bytes_of(at.data + 1, at.size - 1), key);
        if (order == 0) {
            rc = settle(c, space, key, err);
            c->req->changed += space == c->now;
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

/* ---- what is no longer current ---- */

/* Nothing is left: counters too, which may have been wrong in a damaged store. */
static enum err sweep_end(struct change *c, struct error *err)
{
    uint8_t key[KEYSTORE_COUNT_BYTES] = { keystore_kind('c', c->next) };
    struct keystore_counts *counts = c->ks->writer[c->next];
    enum err rc = ERR_OK;
    for (uint32_t i = 0; !rc && i < KEYSTORE_BUCKETS; i++) {
        be16_encode(key + 1, (uint16_t)i);
        rc = ldb_batch_delete(c->ks->batch, bytes_of(key, sizeof(key)), err);
    }
    memset(counts->bucket, 0, sizeof(counts->bucket));
    memset(c->of[c->next].touched, 0, sizeof(c->of[c->next].touched));
    counts->pending = 0;
    c->of[c->next].changed = true;
    c->ks->tidy.swept_size = 0;
    return rc;
}

/* The next keys, and behind the last of them what was pending. Rows are looked for behind the
 * last one: the deleted ones before it would all be passed again. */
static enum err sweep(struct change *c, struct error *err)
{
    struct keystore_tidy *t = &c->ks->tidy;
    const uint8_t kinds[] = { keystore_kind('k', c->next), keystore_kind('n', c->next) };
    uint32_t rows = 0, k = t->swept_size > 0 && t->swept[0] == kinds[1];
    enum err rc = ERR_OK;
    struct ldb_iter *it = ldb_iter_open(c->db, NULL, false);
    if (t->swept_size > 0)
        ldb_iter_seek(it, bytes_of(t->swept, t->swept_size));
    for (; !rc && k < ARRAY_SIZE(kinds); k++) {
        if (t->swept_size == 0 || t->swept[0] != kinds[k])
            ldb_iter_seek(it, bytes_of(&kinds[k], 1));
        for (; !rc && rows < LIMIT_KEYSTORE_BATCH_KEYS && ldb_iter_valid(it); rows++) {
            struct bytes row = ldb_iter_key(it);
            if (row.data[0] != kinds[k])
                break;
            if (row.size <= 9 || row.size > sizeof(t->swept)) {
                rc = ldb_batch_delete(c->ks->batch, row, err); /* none of ours */
            } else {
                struct bytes key = bytes_of(row.data + 1, row.size - 1);
                memcpy(t->swept, row.data, row.size);
                t->swept_size = (uint8_t)row.size;
                rc = k > 0 ? settle(c, c->next, key, err) : drop_key(c, c->next, key, false, err);
            }
            ldb_iter_next(it);
        }
        if (rows == LIMIT_KEYSTORE_BATCH_KEYS)
            break;
    }
    if (!rc)
        rc = ldb_iter_status(it, err);
    ldb_iter_close(it);
    c->any |= rows > 0;
    return rc || rows == LIMIT_KEYSTORE_BATCH_KEYS ? rc : sweep_end(c, err);
}

static void compact(struct change *c)
{
    struct keystore_tidy *t = &c->ks->tidy;
    unsigned space = t->kind < 'a';
    struct keystore_counts *counts = c->ks->writer[space];
    uint64_t *gone =
        keystore_kind('k', space) == t->kind ? &counts->gone_keys : &counts->gone_pending;
    keystore_compact_piece(t, c->db);
    if (t->at + 1 < t->pieces)
        return;
    *gone -= MIN(*gone, t->gone);
    c->of[space].changed = true;
}

/* ---- the batch ---- */

static enum err number_put(struct change *c, const char *name, uint64_t a, uint64_t b,
                           uint32_t count, struct error *err)
{
    uint8_t value[16];
    be64_encode(value, a);
    be64_encode(value + 8, b);
    return ldb_batch_put(c->ks->batch, bytes_of(name, strlen(name)),
                         bytes_of(value, (size_t)8 * count), err);
}

static enum err counts_put(struct change *c, unsigned space, struct error *err)
{
    uint8_t key[KEYSTORE_COUNT_BYTES] = { keystore_kind('c', space) }, value[8];
    const struct keystore_counts *counts = c->ks->writer[space];
    enum err rc = ERR_OK;
    for (uint32_t i = 0; !rc && i < KEYSTORE_BUCKETS; i++) {
        if (!(c->of[space].touched[i / 8] >> (i % 8) & 1))
            continue;
        be16_encode(key + 1, (uint16_t)i);
        be64_encode(value, counts->bucket[i]);
        rc = ldb_batch_put(c->ks->batch, bytes_of(key, sizeof(key)), bytes_of(value, 8), err);
    }
    if (rc || !c->of[space].changed)
        return rc;
    c->any = true;
    rc = number_put(c, keystore_pending_name(space), counts->pending, 0, 1, err);
    return rc ? rc
              : number_put(c, keystore_gone_name(space), counts->gone_keys, counts->gone_pending, 2,
                           err);
}

static enum err each_key(struct change *c, struct error *err)
{
    const struct keyset *keys = c->req->keys;
    enum err rc = ERR_OK;
    for (uint32_t i = 0; !rc && i < keys->count; i++) {
        struct bytes key = keyset_key(keys, i);
        if (c->req->op != KEYSTORE_REMOVE) {
            rc = add_key(c, key, err);
            continue;
        }
        rc = remove_key(c, c->now, key, err);
        if (!rc && c->staged)
            rc = remove_key(c, c->next, key, err);
    }
    return rc;
}

static enum err change_op(struct change *c, struct error *err)
{
    enum err rc = ERR_OK;
    switch (c->req->op) {
    case KEYSTORE_ADD:
    case KEYSTORE_REMOVE:
    case KEYSTORE_STAGE:
        return each_key(c, err);
    case KEYSTORE_PROVIDED:
        rc = settle_keys(c, c->now, err);
        return rc || !c->staged ? rc : settle_keys(c, c->next, err);
    case KEYSTORE_ROWS:
        return ERR_OK;
    case KEYSTORE_SWITCH:
        c->any = true;
        return number_put(c, "mgeneration", ++c->ks->writer_generation, 0, 1, err);
    case KEYSTORE_SWEEP:
        return sweep(c, err);
    case KEYSTORE_COMPACT:
        compact(c);
        return ERR_OK;
    }
    return ERR_OK;
}

enum err keystore_change(struct keystore *ks, struct ldb *db, bool *any, struct error *err)
{
    struct keystore_write *req = ks->running;
    struct change c = { .ks = ks, .req = req, .db = db, .staged = ks->running_staged };
    c.now = keystore_space(ks->writer_generation);
    c.next = !c.now;
    req->changed = req->known = 0;
    if (req->keys)
        keyset_sort(req->keys);
    if (c.staged)
        ks->tidy.swept_size = 0; /* what the next sweep meets is new */
    enum err rc = change_op(&c, err);
    for (unsigned space = 0; !rc && space < 2; space++)
        rc = counts_put(&c, space, err);
    for (uint32_t i = 0; !rc && i < req->rows_count; i++) {
        const struct keystore_row *row = &req->rows[i];
        rc = row->value.data ? ldb_batch_put(ks->batch, row->key, row->value, err)
                             : ldb_batch_delete(ks->batch, row->key, err);
    }
    *any = c.any || req->rows_count > 0;
    return rc;
}
