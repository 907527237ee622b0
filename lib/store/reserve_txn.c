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
    enum { ROWS_OF_ENTRY = 8, VALUES_OF_ENTRY = 4 * C_VALUE_BYTES_MAX };
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
static enum err read_index(struct reserve_txn *t, const struct reserve_key *key,
                           struct reserve_slot_of_index *out, struct error *err)
{
    uint8_t raw[S_VALUE_BYTES];
    struct writer w = writer_of(raw, sizeof(raw));
    enum err rc = look_up(t, key, &w, err);
    if (rc)
        return rc;
    if (writer_used(&w) != S_VALUE_BYTES)
        return error_set(err, ERR_CORRUPT, "a stamp index record has a wrong size");
    s_value_decode(out, raw);
    return ERR_OK;
}

/* Into t->body. */
static enum err read_body(struct reserve_txn *t, const uint8_t *address, struct error *err)
{
    struct reserve_key key = key_chunk(address);
    struct writer w = writer_of(t->buf, sizeof(t->buf));
    enum err rc = look_up(t, &key, &w, err);
    if (!rc && !c_value_decode(&t->body, bytes_of(t->buf, writer_used(&w))))
        rc = error_set(err, ERR_CORRUPT, "a chunk record is damaged");
    return rc;
}

static enum err write_body(struct reserve_txn *t, const uint8_t *address, struct error *err)
{
    return put(t, key_chunk(address), c_value_encode(&t->body, t->buf), err);
}

/* The entry's records go; the body goes with its last stamp. */
static enum err remove_entry(struct reserve_txn *t, const struct reserve_key *index,
                             const struct reserve_slot_of_index *s, struct slab_ref *freed,
                             bool *is_freed, struct error *err)
{
    if (s->bin >= RESERVE_BINS)
        return error_set(err, ERR_CORRUPT, "a stamp index record names bin %u", s->bin);
    enum err rc = drop(t, *index, err);
    rc = rc ? rc : drop(t, key_entry(s->bin, s->binid), err);
    rc = rc ? rc : read_body(t, s->address, err);
    if (rc)
        return error_wrap(err, rc == ERR_NOT_FOUND ? ERR_CORRUPT : rc, "removing an entry");
    uint32_t at = body_find(&t->body, index->bytes + 1, s->stamp_hash);
    if (at == t->body.count)
        return error_set(err, ERR_CORRUPT, "an entry's chunk does not know its stamp");
    body_remove(&t->body, at);
    *is_freed = t->body.count == 0;
    *freed = t->body.ref;
    rc = *is_freed ? drop(t, key_chunk(s->address), err) : write_body(t, s->address, err);
    rc = rc ? rc : drop(t, key_stamp(s->address, s->stamp_hash), err);
    t->bins_changed |= UINT32_C(1) << s->bin;
    t->now.in_bin[s->bin]--;
    t->now.count--;
    return rc;
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

/* A single-owner chunk is written anew, in a new slot, with the new stamp in it: the stamp that lay
 * in the old slot gets a record of its own. */
static enum err replace_body(struct reserve_txn *t, struct reserve_item *item, struct error *err)
{
    struct slab_record old;
    uint8_t hash[STAMP_HASH_BYTES];
    enum err rc = slab_files_flush(t->files, err); /* it may be of this very group */
    rc = rc ? rc : slab_files_read(t->files, t->body.ref, t->slot, &old, err);
    if (rc)
        return rc;
    if (item->adopt && old.seq > item->adopt_seq) /* that body is the newer one */
        return put(t, key_stamp(item->id.address, item->id.stamp_hash),
                   bytes_of(item->stamp, STAMP_BYTES), err);
    stamp_hash(hash, old.stamp);
    if (body_find_hash(&t->body, hash) < t->body.count)
        rc = put(t, key_stamp(item->id.address, hash), bytes_of(old.stamp, STAMP_BYTES), err);
    item->freed_[item->freed_count_++] = t->body.ref;
    return rc ? rc : write_slot(t, item, err);
}

/* body: ERR_NOT_FOUND, or OK and it is in t->body. */
static enum err add_entry(struct reserve_txn *t, struct reserve_item *item,
                          const struct stamp *stamp, enum err body, struct error *err)
{
    uint8_t s_raw[S_VALUE_BYTES], b_raw[B_VALUE_BYTES];
    struct reserve_slot_of_index s = { .timestamp = stamp->timestamp, .bin = item->bin_ };
    const uint8_t *index = item->stamp + STAMP_BATCH_BYTES;
    item->binid_ = s.binid = ++t->now.last[item->bin_];
    t->now.in_bin[item->bin_]++;
    t->now.count++;
    t->bins_changed |= UINT32_C(1) << item->bin_;
    memcpy(s.address, item->id.address, sizeof(s.address));
    memcpy(s.stamp_hash, item->id.stamp_hash, sizeof(s.stamp_hash));
    enum err rc = ERR_OK;
    if (body) {
        t->body.count = 0;
        rc = write_slot(t, item, err);
    } else if (item->kind == CHUNK_SINGLE_OWNER) {
        rc = replace_body(t, item, err);
    } else {
        rc = put(t, key_stamp(item->id.address, item->id.stamp_hash),
                 bytes_of(item->stamp, STAMP_BYTES), err);
    }
    body_add(&t->body, &item->id, index);
    s_value_encode(s_raw, &s);
    b_value_encode(b_raw, &item->id, item->kind);
    rc = rc ? rc : write_body(t, item->id.address, err);
    rc = rc ? rc : put(t, key_index(item->id.batch, index), bytes_of(s_raw, sizeof(s_raw)), err);
    return rc ? rc : put(t, key_entry(item->bin_, s.binid), bytes_of(b_raw, sizeof(b_raw)), err);
}

enum err txn_put(struct reserve_txn *t, struct reserve_item *item, struct error *err)
{
    struct stamp stamp;
    struct reserve_slot_of_index s;
    bool freed = false, room = true;
    enum err rc = stamp_decode(&stamp, bytes_of(item->stamp, STAMP_BYTES), err);
    if (rc)
        return rc;
    struct reserve_key index = key_index(item->id.batch, item->stamp + STAMP_BATCH_BYTES);
    enum err found = read_index(t, &index, &s, err);
    if (found && found != ERR_NOT_FOUND)
        return found;
    bool same = !found && !memcmp(s.address, item->id.address, 32);
    if (same && !memcmp(s.stamp_hash, item->id.stamp_hash, 32)) {
        item->outcome = RESERVE_PRESENT;
        return ERR_OK;
    }
    enum err body = read_body(t, item->id.address, err);
    if (body && body != ERR_NOT_FOUND)
        rc = body;
    else if (!same && !body) /* has the chunk as many stamps as one may have? */
        room = LIMIT_CHECK(RESERVE_STAMPS, t->body.count + 1);
    if (rc || !room || (!found && s.timestamp >= stamp.timestamp)) {
        item->outcome = rc ? RESERVE_FAILED : RESERVE_OLDER;
        return rc;
    }
    if (!found) {
        rc = remove_entry(t, &index, &s, &item->freed_[0], &freed, err);
        if (!rc) { /* which may have been an entry of the same chunk */
            body = read_body(t, item->id.address, err);
            rc = body == ERR_NOT_FOUND ? ERR_OK : body;
        }
        item->freed_count_ = freed;
        item->replaces_ = true;
        item->frees_replaced_ = freed;
        memcpy(item->replaced_.address, s.address, 32);
        memcpy(item->replaced_.batch, item->id.batch, 32);
        memcpy(item->replaced_.stamp_hash, s.stamp_hash, 32);
    }
    rc = rc ? rc : add_entry(t, item, &stamp, body, err);
    item->outcome = RESERVE_STORED;
    return rc;
}

enum err txn_remove(struct reserve_txn *t, struct reserve_victim *v, struct error *err)
{
    struct reserve_slot_of_index s;
    struct reserve_key index = key_index(v->id.batch, v->index);
    enum err rc = txn_reach(t, TXN_REMOVING, err);
    if (rc)
        return rc;
    rc = read_index(t, &index, &s, err);
    if (rc)
        return rc == ERR_NOT_FOUND ? ERR_OK : rc;
    if (memcmp(s.address, v->id.address, 32) || memcmp(s.stamp_hash, v->id.stamp_hash, 32))
        return ERR_OK; /* replaced since it was chosen */
    rc = remove_entry(t, &index, &s, &v->ref, &v->freed, err);
    v->removed = !rc;
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
