#include "store/reserve_verify.h"

#include "base/mem.h"
#include "store/reserve_state.h"

struct reserve_verify {
    struct reserve_verify_options options;
    struct reserve *reserve;
    struct verify_report report;
    struct reserve_key after; /* the last entry that was read */
    struct store_job job;
    unsigned ticket; /* slots that are freed meanwhile are not used again */
    bool end, canceled, ended;
    struct prove_page page;
};

static const struct error verify_canceled = { ERR_CANCELED, "the verification was canceled" };

static store_run slice_run;
static store_done slice_done;
static prove_done_cb on_proved;

enum err reserve_verify_start(struct reserve_verify **out, const struct reserve_verify_options *o,
                              struct error *err)
{
    struct reserve_verify *v = mem_try_zalloc(o->mem, sizeof(*v));
    if (!v)
        return mem_refused(o->mem, sizeof(*v), err);
    v->options = *o;
    v->reserve = o->reserve;
    v->after = key_of('B', bytes_of("", 0), bytes_of("", 0));
    v->page.work = o->work;
    v->page.batches = batches_use(o->batches);
    v->page.accept_all_stamps = o->accept_all_stamps;
    v->page.done = on_proved;
    v->report.total = o->reserve->counters.count;
    *out = v;
    v->reserve->requests++;
    v->ticket = reserve_slots_enter(v->reserve);
    store_read(v->reserve->options.store, &v->job, slice_run, slice_done);
    return ERR_OK;
}

void reserve_verify_cancel(struct reserve_verify *v)
{
    v->canceled = true;
}

void reserve_verify_destroy(struct reserve_verify *v)
{
    if (!v)
        return;
    assert(v->ended);
    batches_destroy(v->page.batches);
    mem_free(v->options.mem, v);
}

/* ---- on a worker: the verification is the job's own ---- */

static bool misplaced(struct prove_entry *e, const char *why)
{
    e->fault = PROVE_MISPLACED;
    error_set(&e->why, ERR_CORRUPT, "%s", why);
    return false;
}

static bool damaged(struct prove_entry *e)
{
    e->fault = PROVE_DAMAGED;
    return false;
}

/* The record of its chunk, which names its stamp's index, and that one's, which names the entry. */
static bool read_records(struct prove_entry *e, struct ldb *db, const struct ldb_view *view,
                         const struct reserve_entry *entry, struct reserve_body *body)
{
    uint8_t raw[C_VALUE_BYTES_MAX];
    struct reserve_slot_of_index s;
    struct reserve_key key = key_chunk(e->id.address);
    struct writer w = writer_of(raw, sizeof(raw));
    if (ldb_get(db, view, key_bytes(&key), &w, &e->why) ||
        !c_value_decode(body, bytes_of(raw, writer_used(&w))))
        return misplaced(e, "the chunk has no record");
    uint32_t at = body_find(body, e->id.batch, e->id.stamp_hash);
    if (at == body->count)
        return misplaced(e, "the chunk does not know the stamp");
    key = key_index(e->id.batch, body->stamps + (size_t)at * C_STAMP_BYTES + STAMP_BATCH_BYTES);
    w = writer_of(raw, sizeof(raw));
    if (ldb_get(db, view, key_bytes(&key), &w, &e->why) || writer_used(&w) != S_VALUE_BYTES)
        return misplaced(e, "the stamp's index has no record");
    s_value_decode(&s, raw);
    if (memcmp(s.address, e->id.address, 32) || memcmp(s.stamp_hash, e->id.stamp_hash, 32) ||
        s.binid != entry->binid)
        return misplaced(e, "the stamp's index belongs to another entry");
    return true;
}

static bool read_bytes(struct reserve_verify *v, struct prove_entry *e, struct ldb *db,
                       const struct ldb_view *view, const struct reserve_body *body)
{
    struct slab_record rec;
    uint8_t hash[STAMP_HASH_BYTES];
    struct reserve_key key = key_stamp(e->id.address, e->id.stamp_hash);
    struct writer w = writer_of(e->stamp, sizeof(e->stamp));
    if (slab_files_read(&v->reserve->files, body->ref, e->slot, &rec, &e->why))
        return damaged(e);
    if (memcmp(rec.address, e->id.address, 32) || rec.data.size != body->size) {
        error_set(&e->why, ERR_CORRUPT, "slot %u of slab %u holds another chunk", body->ref.slot,
                  body->ref.slab);
        return damaged(e);
    }
    if (ldb_get(db, view, key_bytes(&key), &w, NULL) || writer_used(&w) != STAMP_BYTES)
        memcpy(e->stamp, rec.stamp, STAMP_BYTES);
    stamp_hash(hash, e->stamp);
    if (memcmp(hash, e->id.stamp_hash, sizeof(hash)) != 0) {
        error_set(&e->why, ERR_CORRUPT, "its stamp is not there");
        return damaged(e);
    }
    e->data = rec.data;
    return true;
}

static void read_entry(struct reserve_verify *v, struct ldb *db, const struct ldb_view *view,
                       const struct ldb_iter *it)
{
    struct prove_entry *e = &v->page.entries[v->page.count++];
    struct bytes key = ldb_iter_key(it);
    struct reserve_entry entry;
    struct reserve_body body;
    e->fault = PROVE_SOUND;
    error_clear(&e->why);
    memset(&e->id, 0, sizeof(e->id));
    if (key.size < 2 || !b_record_decode(&entry, key, ldb_iter_value(it))) {
        (void)misplaced(e, "an entry's record is damaged");
        return;
    }
    e->id = entry.id;
    if (key.data[1] != overlay_proximity(v->reserve->overlay, entry.id.address))
        (void)misplaced(e, "the entry is in another bin than its address");
    else if (read_records(e, db, view, &entry, &body))
        (void)read_bytes(v, e, db, view, &body);
}

static enum err slice_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve_verify *v = container_of(job, struct reserve_verify, job);
    struct ldb_view *view = ldb_view_open(db);
    struct ldb_iter *it = ldb_iter_open(db, view, false);
    v->page.count = 0;
    ldb_iter_seek(it, key_bytes(&v->after));
    for (; v->page.count < PROVE_ENTRIES && ldb_iter_valid(it); ldb_iter_next(it)) {
        struct bytes key = ldb_iter_key(it);
        if (key.size == 0 || key.data[0] != 'B')
            break;
        if (bytes_equal(key, key_bytes(&v->after)))
            continue; /* the last one of the slice before */
        read_entry(v, db, view, it);
        v->after.size = (uint8_t)MIN(key.size, KEY_BYTES_MAX);
        memcpy(v->after.bytes, key.data, v->after.size);
    }
    v->end = v->page.count < PROVE_ENTRIES;
    enum err rc = ldb_iter_valid(it) ? ERR_OK : ldb_iter_status(it, err);
    ldb_iter_close(it);
    ldb_view_close(db, view);
    return rc;
}

/* ---- on the loop ---- */

static void verify_end(struct reserve_verify *v, const struct error *err)
{
    v->ended = true;
    v->reserve->requests--;
    v->options.done(v->options.ctx, &v->report, err);
}

static void slice_done(struct store_job *job, const struct error *err)
{
    struct reserve_verify *v = container_of(job, struct reserve_verify, job);
    reserve_slots_leave(v->reserve, v->ticket);
    if (err || v->canceled)
        verify_end(v, err ? err : &verify_canceled);
    else
        prove_page(&v->page);
}

static void on_proved(struct prove_page *p)
{
    struct reserve_verify *v = container_of(p, struct reserve_verify, page);
    for (uint32_t i = 0; i < p->count; i++) {
        v->report.by_fault[p->entries[i].fault]++;
        if (p->entries[i].fault != PROVE_SOUND)
            v->options.fault(v->options.ctx, &p->entries[i].id, &p->entries[i].why);
    }
    v->report.checked += p->count;
    v->options.progress(v->options.ctx, &v->report);
    if (v->end || v->canceled) {
        verify_end(v, v->end ? NULL : &verify_canceled);
        return;
    }
    v->ticket = reserve_slots_enter(v->reserve);
    store_read(v->reserve->options.store, &v->job, slice_run, slice_done);
}
