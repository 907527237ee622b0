#include "store/reserve_txn.h"

#include "base/mem.h"

#define ROW_DELETED UINT32_MAX

enum err txn_create(struct reserve_txn **out, struct mem_owner *mem, struct slab_files *files,
                    struct error *err)
{
    struct reserve_txn *t = mem_try_zalloc(mem, sizeof(*t));
    if (!t || !mem_take(mem, TXN_BATCH_BYTES)) {
        mem_free(mem, t);
        return mem_refused(mem, sizeof(*t) + TXN_BATCH_BYTES, err);
    }
    t->mem = mem;
    t->files = files;
    t->batch = ldb_batch_create(TXN_BATCH_BYTES);
    *out = t;
    return ERR_OK;
}

void txn_destroy(struct reserve_txn *t)
{
    if (!t)
        return;
    ldb_batch_destroy(t->batch);
    mem_give(t->mem, TXN_BATCH_BYTES);
    mem_free(t->mem, t);
}

static void forget_changes(struct reserve_txn *t)
{
    ldb_batch_clear(t->batch);
    memset(t->table, 0, sizeof(t->table));
    t->rows_used = t->values_used = t->bins_changed = 0;
}

void txn_begin(struct reserve_txn *t, struct store_job *job, struct ldb *db,
               const struct reserve_counters *counters)
{
    forget_changes(t);
    slab_files_drop(t->files);
    t->job = job;
    t->db = db;
    t->now = t->committed = *counters;
    t->commit_failed = false;
}

bool txn_is_full(const struct reserve_txn *t)
{
    /* At most: four of an entry that is replaced, two new ones, three of one that is lost. */
    enum { ROWS_OF_ENTRY = 9, VALUES_OF_ENTRY = 4 * C_VALUE_BYTES_MAX };
    return t->rows_used + ROWS_OF_ENTRY > TXN_ROWS ||
           t->values_used + VALUES_OF_ENTRY > TXN_VALUES_BYTES ||
           ldb_batch_bytes(t->batch) + VALUES_OF_ENTRY > TXN_BATCH_BYTES;
}

/* The overlay's row of a key, or the place in the table where it belongs. Keys of 'C' are hashes
 * already; a stamp index differs in its last bytes. */
static uint16_t *table_at(struct reserve_txn *t, struct bytes key)
{
    uint64_t h = le64_decode(key.data + key.size - 8) * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t at = (uint32_t)(h >> 32) % ARRAY_SIZE(t->table);
    while (t->table[at] && !bytes_equal(key_bytes(&t->rows[t->table[at] - 1].key), key))
        at = (at + 1) % ARRAY_SIZE(t->table);
    return &t->table[at];
}

static void remember(struct reserve_txn *t, const struct reserve_key *key, struct bytes value)
{
    uint16_t *at = table_at(t, key_bytes(key));
    assert(t->rows_used < TXN_ROWS && t->values_used + value.size <= TXN_VALUES_BYTES);
    if (!*at)
        *at = (uint16_t)++t->rows_used;
    struct overlay_row *row = &t->rows[*at - 1];
    *row = (struct overlay_row){ *key, ROW_DELETED, 0 };
    if (value.data) {
        row->at = t->values_used;
        row->size = (uint32_t)value.size;
        memcpy(t->values + row->at, value.data, value.size);
        t->values_used += row->size;
    }
}

static enum err look_up(struct reserve_txn *t, const struct reserve_key *key, struct writer *value,
                        struct error *err)
{
    uint16_t at = *table_at(t, key_bytes(key));
    if (!at)
        return ldb_get(t->db, NULL, key_bytes(key), value, err);
    const struct overlay_row *row = &t->rows[at - 1];
    if (row->at == ROW_DELETED)
        return error_set(err, ERR_NOT_FOUND, "deleted in this group");
    writer_put(value, t->values + row->at, row->size);
    return ERR_OK;
}

static enum err put(struct reserve_txn *t, struct reserve_key key, struct bytes value,
                    struct error *err)
{
    if (key.bytes[0] == 'S' || key.bytes[0] == 'C')
        remember(t, &key, value);
    return ldb_batch_put(t->batch, key_bytes(&key), value, err);
}

static enum err drop(struct reserve_txn *t, struct reserve_key key, struct error *err)
{
    if (key.bytes[0] == 'S' || key.bytes[0] == 'C')
        remember(t, &key, bytes_of(NULL, 0));
    return ldb_batch_delete(t->batch, key_bytes(&key), err);
}

/* ERR_NOT_FOUND is an answer. */
static enum err read_record(struct reserve_txn *t, const struct reserve_key *key, struct writer *w,
                            const char *what, struct error *err)
{
    enum err rc = look_up(t, key, w, err);
    if (rc == ERR_TOO_LARGE) /* longer than any of its kind */
        rc = error_set(err, ERR_CORRUPT, "a %s record is damaged", what);
    return rc;
}

static enum err read_index(struct reserve_txn *t, const struct reserve_key *key,
                           struct reserve_slot_of_index *out, struct error *err)
{
    uint8_t raw[S_VALUE_BYTES];
    struct writer w = writer_of(raw, sizeof(raw));
    enum err rc = read_record(t, key, &w, "stamp index", err);
    if (rc)
        return rc;
    if (writer_used(&w) != S_VALUE_BYTES)
        return error_set(err, ERR_CORRUPT, "a stamp index record is damaged");
    s_value_decode(out, raw);
    return ERR_OK;
}

static enum err read_body(struct reserve_txn *t, const uint8_t *address, struct reserve_body *out,
                          struct error *err)
{
    struct reserve_key key = key_chunk(address);
    struct writer w = writer_of(t->buf, sizeof(t->buf));
    enum err rc = read_record(t, &key, &w, "chunk", err);
    if (!rc && !c_value_decode(out, bytes_of(t->buf, writer_used(&w))))
        rc = error_set(err, ERR_CORRUPT, "a chunk record is damaged");
    return rc;
}

static enum err write_body(struct reserve_txn *t, const uint8_t *address,
                           const struct reserve_body *body, struct error *err)
{
    return put(t, key_chunk(address), c_value_encode(body, t->buf), err);
}

/* An entry, by the record of its stamp index. */
struct held_entry {
    struct reserve_key index;
    struct reserve_slot_of_index s;
    uint32_t at; /* of its stamp in t->other */
};

/* Its chunk's record, into t->other. Nothing is staged: what is damaged or cannot be read concerns
 * this entry alone. */
static enum err find_entry(struct reserve_txn *t, struct held_entry *e, struct error *err)
{
    if (e->s.bin >= RESERVE_BINS)
        return error_set(err, ERR_CORRUPT, "a stamp index record names bin %u", e->s.bin);
    enum err rc = read_body(t, e->s.address, &t->other, err);
    if (rc)
        return error_wrap(err, rc == ERR_NOT_FOUND ? ERR_CORRUPT : rc, "removing an entry");
    e->at = body_find(&t->other, e->index.bytes + 1, e->s.stamp_hash);
    if (e->at == t->other.count)
        return error_set(err, ERR_CORRUPT, "an entry's chunk does not know its stamp");
    return ERR_OK;
}

/* All but the record of its chunk. */
static enum err drop_entry(struct reserve_txn *t, const struct held_entry *e, struct error *err)
{
    enum err rc = drop(t, e->index, err);
    rc = rc ? rc : drop(t, key_entry(e->s.bin, e->s.binid), err);
    rc = rc ? rc : drop(t, key_stamp(e->s.address, e->s.stamp_hash), err);
    t->bins_changed |= UINT32_C(1) << e->s.bin;
    t->now.in_bin[e->s.bin]--;
    t->now.count--;
    return rc;
}

/* The records go of an entry that was found; the body goes with its last stamp. */
static enum err remove_entry(struct reserve_txn *t, const struct held_entry *e,
                             struct slab_ref *freed, bool *is_freed, struct error *err)
{
    body_remove(&t->other, e->at);
    *is_freed = t->other.count == 0;
    *freed = t->other.ref;
    enum err rc = drop_entry(t, e, err);
    if (rc)
        return rc;
    return *is_freed ? drop(t, key_chunk(e->s.address), err)
                     : write_body(t, e->s.address, &t->other, err);
}

static enum err write_slot(struct reserve_txn *t, struct reserve_item *item, struct error *err)
{
    struct slab_record rec = { .type = (uint8_t)item->kind,
                               .seq = item->binid_,
                               .address = item->id.address,
                               .stamp = item->stamp,
                               .data = item->data };
    item->slot_used_ = true;
    t->body.ref = item->slot_;
    t->body.size = (uint16_t)item->data.size;
    t->body.type = (uint8_t)item->kind;
    return item->adopt ? ERR_OK : (enum err)slab_files_write(t->files, item->slot_, &rec, err);
}

/* What the put of one item meets. All of it is read before anything of the item is staged, so that
 * what is damaged fails the item alone. */
struct put_plan {
    struct stamp stamp;
    bool replaces, same;    /* an entry holds its stamp index; one of the same chunk */
    struct held_entry held; /* that */
    enum err body;          /* of the chunk: ERR_NOT_FOUND, or OK and it is in t->body */
    bool rewrites, sound;   /* that body is a single-owner chunk's; its slot can be read */
    struct slab_record old; /* so this is in it, in t->slot */
    struct held_entry lost; /* else: of item->lost_ */
};

/* The slot of a body is damaged: the stamp without a record of its own lay there and nowhere else,
 * so its entry is lost. */
static enum err find_lost(struct reserve_txn *t, struct reserve_item *item, struct put_plan *plan,
                          struct error *err)
{
    for (uint32_t i = 0; i < t->body.count; i++) {
        const uint8_t *at = t->body.stamps + (size_t)i * C_STAMP_BYTES;
        uint8_t stamp[STAMP_BYTES];
        struct reserve_key key = key_stamp(item->id.address, at + 40);
        if (plan->same && !memcmp(at + 40, plan->held.s.stamp_hash, STAMP_HASH_BYTES))
            continue; /* this one goes anyway */
        enum err rc = ldb_get_fixed(t->db, key_bytes(&key), stamp, sizeof(stamp), err);
        if (rc && rc != ERR_NOT_FOUND)
            return rc;
        if (!rc)
            continue;
        if (item->loses_)
            return error_set(err, ERR_CORRUPT, "two stamps of a chunk are lost");
        plan->lost.index = key_index(at, at + 32);
        rc = read_index(t, &plan->lost.index, &plan->lost.s, err);
        if (rc && rc != ERR_NOT_FOUND)
            return rc;
        if (rc || memcmp(plan->lost.s.address, item->id.address, sizeof(item->id.address)) ||
            memcmp(plan->lost.s.stamp_hash, at + 40, STAMP_HASH_BYTES) ||
            plan->lost.s.bin >= RESERVE_BINS)
            return error_set(err, ERR_CORRUPT, "a stamp's index does not know its chunk");
        item->loses_ = true;
        item->lost_ = item->id;
        memcpy(item->lost_.batch, at, sizeof(item->lost_.batch));
        memcpy(item->lost_.stamp_hash, at + 40, sizeof(item->lost_.stamp_hash));
    }
    return ERR_OK;
}

static enum err look_at_slot(struct reserve_txn *t, struct reserve_item *item,
                             struct put_plan *plan, struct error *err)
{
    enum err rc = slab_files_read(t->files, t->body.ref, t->slot, &plan->old, err);
    if (rc && rc != ERR_CORRUPT)
        return rc;
    plan->sound = !rc && !memcmp(plan->old.address, item->id.address, sizeof(item->id.address));
    return plan->sound ? ERR_OK : find_lost(t, item, plan, err);
}

/* Sets the outcome; with RESERVE_STORED all is known that staging it takes, but for a slot. */
static enum err look(struct reserve_txn *t, struct reserve_item *item, struct put_plan *plan,
                     struct error *err)
{
    struct reserve_slot_of_index *s = &plan->held.s;
    enum err rc = stamp_decode(&plan->stamp, bytes_of(item->stamp, STAMP_BYTES), err);
    if (rc)
        return rc;
    plan->held.index = key_index(item->id.batch, item->stamp + STAMP_BATCH_BYTES);
    rc = read_index(t, &plan->held.index, s, err);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    plan->replaces = !rc;
    plan->same = !rc && !memcmp(s->address, item->id.address, 32);
    if (plan->same && !memcmp(s->stamp_hash, item->id.stamp_hash, 32)) {
        item->outcome = RESERVE_PRESENT;
        return ERR_OK;
    }
    if (plan->replaces && s->timestamp >= plan->stamp.timestamp) {
        item->outcome = RESERVE_OLDER;
        return ERR_OK;
    }
    rc = plan->body = read_body(t, item->id.address, &t->body, err);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    if (!rc && !plan->same && !LIMIT_CHECK(RESERVE_STAMPS, t->body.count + 1)) {
        item->outcome = RESERVE_OLDER; /* it has as many stamps as one may have */
        return ERR_OK;
    }
    rc = plan->replaces ? find_entry(t, &plan->held, err) : ERR_OK;
    bool empties = plan->same && t->other.count == 1;
    plan->rewrites = !plan->body && !empties && item->kind == CHUNK_SINGLE_OWNER;
    item->outcome = rc ? RESERVE_FAILED : RESERVE_STORED;
    return rc;
}

/* A single-owner chunk is written anew, in a new slot, with the new stamp in it: the stamp that lay
 * in the old slot gets a record of its own. A slot that is damaged gives way to what has come. */
static enum err replace_body(struct reserve_txn *t, struct reserve_item *item,
                             const struct put_plan *plan, struct error *err)
{
    uint8_t hash[STAMP_HASH_BYTES];
    enum err rc = ERR_OK;
    if (plan->sound && item->adopt && plan->old.seq > item->adopt_seq) /* the newer body */
        return put(t, key_stamp(item->id.address, item->id.stamp_hash),
                   bytes_of(item->stamp, STAMP_BYTES), err);
    if (plan->sound) {
        stamp_hash(hash, plan->old.stamp);
        if (body_find_hash(&t->body, hash) < t->body.count)
            rc = put(t, key_stamp(item->id.address, hash), bytes_of(plan->old.stamp, STAMP_BYTES),
                     err);
    } else if (item->loses_) {
        body_remove(&t->body, body_find(&t->body, item->lost_.batch, item->lost_.stamp_hash));
        rc = drop_entry(t, &plan->lost, err);
    }
    item->mends_ = !plan->sound;
    item->freed_[item->freed_count_++] = t->body.ref;
    return rc ? rc : write_slot(t, item, err);
}

static enum err add_entry(struct reserve_txn *t, struct reserve_item *item,
                          const struct put_plan *plan, struct error *err)
{
    uint8_t s_raw[S_VALUE_BYTES], b_raw[B_VALUE_BYTES];
    struct reserve_slot_of_index s = { .timestamp = plan->stamp.timestamp, .bin = item->bin_ };
    const uint8_t *index = item->stamp + STAMP_BATCH_BYTES;
    item->binid_ = s.binid = ++t->now.last[item->bin_];
    t->now.in_bin[item->bin_]++;
    t->now.count++;
    t->bins_changed |= UINT32_C(1) << item->bin_;
    memcpy(s.address, item->id.address, sizeof(s.address));
    memcpy(s.stamp_hash, item->id.stamp_hash, sizeof(s.stamp_hash));
    enum err rc = ERR_OK;
    if (plan->body) {
        t->body.count = 0;
        rc = write_slot(t, item, err);
    } else if (plan->rewrites) {
        rc = replace_body(t, item, plan, err);
    } else {
        rc = put(t, key_stamp(item->id.address, item->id.stamp_hash),
                 bytes_of(item->stamp, STAMP_BYTES), err);
    }
    body_add(&t->body, &item->id, index);
    s_value_encode(s_raw, &s);
    b_value_encode(b_raw, &item->id, item->kind);
    rc = rc ? rc : write_body(t, item->id.address, &t->body, err);
    rc = rc ? rc : put(t, key_index(item->id.batch, index), bytes_of(s_raw, sizeof(s_raw)), err);
    return rc ? rc : put(t, key_entry(item->bin_, s.binid), bytes_of(b_raw, sizeof(b_raw)), err);
}

static enum err stage(struct reserve_txn *t, struct reserve_item *item, struct put_plan *plan,
                      struct error *err)
{
    bool freed = false;
    enum err rc = ERR_OK;
    if (plan->replaces) {
        rc = remove_entry(t, &plan->held, &item->freed_[0], &freed, err);
        if (!rc && plan->same) { /* the record has changed, or is gone */
            plan->body = read_body(t, item->id.address, &t->body, err);
            rc = plan->body == ERR_NOT_FOUND ? ERR_OK : plan->body;
        }
        item->freed_count_ = freed;
        item->replaces_ = true;
        item->frees_replaced_ = freed;
        memcpy(item->replaced_.address, plan->held.s.address, 32);
        memcpy(item->replaced_.batch, item->id.batch, 32);
        memcpy(item->replaced_.stamp_hash, plan->held.s.stamp_hash, 32);
    }
    return rc ? rc : add_entry(t, item, plan, err);
}

enum err txn_put(struct reserve_txn *t, struct reserve_item *item, struct error *own,
                 struct error *err)
{
    struct put_plan plan = { .replaces = false };
    enum err rc = look(t, item, &plan, own);
    if (!rc && item->outcome == RESERVE_STORED && plan.rewrites) {
        rc = slab_files_flush(t->files, err); /* it may be of this very group */
        if (rc)
            return rc;
        rc = look_at_slot(t, item, &plan, own);
    }
    if (rc) {
        item->outcome = RESERVE_FAILED;
        return ERR_OK;
    }
    error_clear(own); /* of what was not found */
    return item->outcome == RESERVE_STORED ? stage(t, item, &plan, err) : ERR_OK;
}

/* Nothing can be read by an entry whose chunk record is lost or damaged or does not know it: what
 * is the entry's own goes, and it is counted as any other. */
static enum err remove_lost(struct reserve_txn *t, const struct held_entry *e,
                            struct reserve_victim *v, struct error *err)
{
    struct reserve_key key = key_entry(e->s.bin, e->s.binid);
    struct reserve_entry entry;
    uint8_t raw[B_VALUE_BYTES];
    if (e->s.bin >= RESERVE_BINS)
        return error_set(err, ERR_CORRUPT, "it names a bin that there is not");
    enum err rc = ldb_get_fixed(t->db, key_bytes(&key), raw, sizeof(raw), err);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    if (!rc && b_record_decode(&entry, key_bytes(&key), bytes_of(raw, sizeof(raw))) &&
        !memcmp(&entry.id, &v->id, sizeof(v->id))) {
        v->removed = true;
        return drop_entry(t, e, err);
    }
    rc = drop(t, e->index, err); /* no bin lists it or counts it */
    t->bins_changed |= UINT32_C(1) << e->s.bin;
    return rc ? rc : drop(t, key_stamp(e->s.address, e->s.stamp_hash), err);
}

enum err txn_remove(struct reserve_txn *t, struct reserve_victim *v, struct error *err)
{
    struct held_entry e = { .index = key_index(v->id.batch, v->index) };
    enum err rc = txn_reach(t, TXN_REMOVING, err);
    if (rc)
        return rc;
    rc = read_index(t, &e.index, &e.s, err);
    if (rc)
        return rc == ERR_NOT_FOUND ? ERR_OK : rc;
    if (memcmp(e.s.address, v->id.address, 32) || memcmp(e.s.stamp_hash, v->id.stamp_hash, 32))
        return ERR_OK; /* replaced since it was chosen */
    rc = find_entry(t, &e, err);
    v->damaged = rc == ERR_CORRUPT;
    if (!rc) {
        rc = remove_entry(t, &e, &v->ref, &v->freed, err);
        v->removed = !rc;
    } else if (v->damaged) {
        rc = remove_lost(t, &e, v, err);
    }
    if (v->damaged && rc == ERR_CORRUPT) { /* it stays, and the others go without it */
        error_clear(err);
        rc = ERR_OK;
    }
    return rc;
}

static enum err put_counters(struct reserve_txn *t, struct error *err)
{
    uint8_t raw[16];
    enum err rc = ERR_OK;
    for (uint8_t bin = 0; !rc && bin < RESERVE_BINS; bin++) {
        if (!(t->bins_changed >> bin & 1))
            continue;
        be64_encode(raw, t->now.last[bin]);
        be64_encode(raw + 8, t->now.in_bin[bin]);
        rc = put(t, key_bin(bin), bytes_of(raw, sizeof(raw)), err);
    }
    be64_encode(raw, t->now.count);
    return rc ? rc : put(t, key_meta("count"), bytes_of(raw, 8), err);
}

enum err txn_reach(const struct reserve_txn *t, enum txn_moment moment, struct error *err)
{
    return t->probe ? t->probe(moment, err) : ERR_OK;
}

static enum err commit_batch(struct reserve_txn *t, struct error *err)
{
    enum err rc = ERR_OK;
    if (t->fault != TXN_LOSE_COMMIT)
        rc = store_commit(t->job, t->batch, t->fault != TXN_SKIP_BATCH_SYNC, err);
    rc = rc ? rc : txn_reach(t, TXN_BATCH_SYNCED, err);
    if (t->fault >= TXN_LOSE_COMMIT)
        rc = error_set(err, ERR_IO, "a test wants this commit to fail");
    t->commit_failed = rc != ERR_OK;
    return rc;
}

enum err txn_commit(struct reserve_txn *t, struct error *err)
{
    enum err rc = slab_files_flush(t->files, err);
    rc = rc ? rc : txn_reach(t, TXN_SLOTS_WRITTEN, err);
    if (!rc && t->fault != TXN_SKIP_SLAB_SYNC)
        rc = slab_files_sync(t->files, err);
    rc = rc ? rc : txn_reach(t, TXN_SLOTS_SYNCED, err);
    if (rc || t->bins_changed == 0)
        return rc;
    rc = put_counters(t, err);
    rc = rc ? rc : commit_batch(t, err);
    if (rc)
        return rc;
    t->committed = t->now;
    forget_changes(t);
    return ERR_OK;
}
