#include "store/reserve_rebuild.h"

#include "base/mem.h"
#include "store/reserve_state.h"

enum { WIPE_BATCH_BYTES = 256 * 1024, SLOTS_A_JOB = 4096 };

struct reserve_rebuild {
    struct reserve_rebuild_options options;
    struct reserve *reserve;
    struct rebuild_report report;
    struct slab_ref at;       /* the next slot */
    bool stamps;              /* slots are through: further stamps */
    struct reserve_key after; /* the last record of a stamp that was read */
    bool end, canceled, ended;
    struct store_job job;
    uint64_t damaged, looked; /* out of a job */
    struct reserve_put put;
    struct reserve_item items[PROVE_ENTRIES];
    struct prove_page page;
};

static const struct error rebuild_canceled = {
    ERR_CANCELED, "the repair was canceled: the reserve opens when it is begun again and ends"
};

static store_run slots_run, stamps_run, finish_run;
static store_done read_done, finish_done;
static prove_done_cb on_proved;
static reserve_put_cb on_put;

/* ---- the opening ---- */

/* Worker. All records of a kind, in pieces that need no sync: the last write is synced. */
static enum err wipe_kind(struct store_job *job, struct ldb *db, char kind, struct error *err)
{
    struct ldb_batch *batch = ldb_batch_create(WIPE_BATCH_BYTES);
    struct ldb_iter *it = ldb_iter_open(db, NULL, false);
    enum err rc = ERR_OK;
    for (ldb_iter_seek(it, bytes_of(&kind, 1)); !rc && ldb_iter_valid(it); ldb_iter_next(it)) {
        struct bytes key = ldb_iter_key(it);
        if (key.size == 0 || key.data[0] != (uint8_t)kind)
            break;
        rc = ldb_batch_delete(batch, key, err);
        if (!rc && ldb_batch_bytes(batch) > WIPE_BATCH_BYTES / 2) {
            rc = store_commit(job, batch, false, err);
            ldb_batch_clear(batch);
        }
    }
    if (!rc && !ldb_iter_valid(it))
        rc = ldb_iter_status(it, err);
    rc = rc ? rc : store_commit(job, batch, true, err);
    ldb_iter_close(it);
    ldb_batch_destroy(batch);
    return rc;
}

enum err reserve_wipe(struct store_job *job, struct ldb *db, struct error *err)
{
    static const char kinds[] = { 'B', 'C', 'S', 'b' };
    enum err rc = reserve_meta_write(job, "repairing", 1, err);
    rc = rc ? rc : reserve_meta_write(job, "image", 0, err);
    rc = rc ? rc : reserve_meta_write(job, "count", 0, err);
    for (size_t i = 0; !rc && i < sizeof(kinds); i++)
        rc = wipe_kind(job, db, kinds[i], err);
    return rc;
}

/* ---- life ---- */

enum err reserve_rebuild_start(struct reserve_rebuild **out,
                               const struct reserve_rebuild_options *o, struct error *err)
{
    assert(o->reserve->options.repair);
    struct reserve_rebuild *b = mem_try_zalloc(o->mem, sizeof(*b));
    if (!b)
        return mem_refused(o->mem, sizeof(*b), err);
    b->options = *o;
    b->reserve = o->reserve;
    b->after = key_of('T', bytes_of("", 0), bytes_of("", 0));
    b->page.work = o->work;
    b->page.batches = batches_use(o->batches);
    b->page.accept_all_stamps = o->accept_all_stamps;
    b->page.done = on_proved;
    for (uint32_t slab = 0; slab < LIMIT_SLABS; slab++)
        b->report.slots_total += (uint64_t)b->reserve->files.steps[slab] * SLAB_STEP_SLOTS;
    *out = b;
    b->reserve->requests++;
    store_read(b->reserve->options.store, &b->job, slots_run, read_done);
    return ERR_OK;
}

void reserve_rebuild_cancel(struct reserve_rebuild *b)
{
    b->canceled = true;
}

void reserve_rebuild_destroy(struct reserve_rebuild *b)
{
    if (!b)
        return;
    assert(b->ended);
    batches_destroy(b->page.batches);
    mem_free(b->options.mem, b);
}

static void rebuild_end(struct reserve_rebuild *b, const struct error *err)
{
    b->ended = true;
    b->reserve->requests--;
    b->report.entries = b->reserve->counters.count;
    b->options.done(b->options.ctx, &b->report, err);
}

/* ---- on a worker: the rebuild is the job's own ---- */

static bool is_blank(const uint8_t *slot)
{
    for (uint32_t i = 0; i < 64; i++)
        if (slot[i])
            return false;
    return true;
}

static enum err read_slot(struct reserve_rebuild *b, struct error *err)
{
    struct prove_entry *e = &b->page.entries[b->page.count];
    struct slab_record rec;
    memset(e->slot, 0, 64);
    enum err rc = slab_files_read(&b->reserve->files, b->at, e->slot, &rec, err);
    b->looked++;
    if (rc == ERR_CORRUPT) {
        b->damaged += !is_blank(e->slot);
        error_clear(err);
        return ERR_OK;
    }
    if (rc)
        return rc;
    e->fault = PROVE_SOUND;
    error_clear(&e->why);
    e->ref = b->at;
    e->seq = rec.seq;
    e->data = rec.data;
    memcpy(e->id.address, rec.address, sizeof(e->id.address));
    memcpy(e->stamp, rec.stamp, sizeof(e->stamp));
    b->page.count++;
    return ERR_OK;
}

static enum err slots_run(struct store_job *job, struct ldb *db UNUSED, struct error *err)
{
    struct reserve_rebuild *b = container_of(job, struct reserve_rebuild, job);
    enum err rc = ERR_OK;
    b->page.count = 0;
    b->damaged = b->looked = 0;
    while (!rc && b->page.count < PROVE_ENTRIES && b->looked < SLOTS_A_JOB &&
           b->at.slab < LIMIT_SLABS) {
        if (b->at.slot >= b->reserve->files.steps[b->at.slab] * SLAB_STEP_SLOTS) {
            b->at.slab++;
            b->at.slot = 0;
            continue;
        }
        rc = read_slot(b, err);
        b->at.slot++;
    }
    b->end = b->at.slab == LIMIT_SLABS;
    return rc;
}

/* A further stamp of a chunk whose body is an entry by now. */
static enum err read_stamp(struct reserve_rebuild *b, struct ldb *db, struct bytes key,
                           struct bytes value, struct error *err)
{
    struct prove_entry *e = &b->page.entries[b->page.count];
    uint8_t raw[C_VALUE_BYTES_MAX];
    struct reserve_body body;
    struct slab_record rec;
    struct writer w = writer_of(raw, sizeof(raw));
    if (key.size != KEY_BYTES_MAX || value.size != STAMP_BYTES)
        return ERR_OK;
    memcpy(e->id.address, key.data + 1, sizeof(e->id.address));
    struct reserve_key chunk = key_chunk(e->id.address);
    enum err rc = ldb_get(db, NULL, key_bytes(&chunk), &w, err);
    if (rc == ERR_NOT_FOUND || (!rc && !c_value_decode(&body, bytes_of(raw, writer_used(&w))))) {
        error_clear(err);
        return ERR_OK;
    }
    rc = rc ? rc : slab_files_read(&b->reserve->files, body.ref, e->slot, &rec, err);
    if (rc)
        return rc;
    e->fault = PROVE_SOUND;
    error_clear(&e->why);
    e->data = rec.data;
    memcpy(e->stamp, value.data, STAMP_BYTES);
    b->page.count++;
    return ERR_OK;
}

static enum err stamps_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve_rebuild *b = container_of(job, struct reserve_rebuild, job);
    struct ldb_iter *it = ldb_iter_open(db, NULL, false);
    enum err rc = ERR_OK;
    b->page.count = 0;
    b->damaged = b->looked = 0;
    ldb_iter_seek(it, key_bytes(&b->after));
    for (; !rc && b->page.count < PROVE_ENTRIES && ldb_iter_valid(it); ldb_iter_next(it)) {
        struct bytes key = ldb_iter_key(it);
        if (key.size == 0 || key.data[0] != 'T')
            break;
        if (bytes_equal(key, key_bytes(&b->after)))
            continue;
        rc = read_stamp(b, db, key, ldb_iter_value(it), err);
        b->after.size = (uint8_t)MIN(key.size, KEY_BYTES_MAX);
        memcpy(b->after.bytes, key.data, b->after.size);
    }
    b->end = b->page.count < PROVE_ENTRIES;
    if (!rc && !ldb_iter_valid(it))
        rc = ldb_iter_status(it, err);
    ldb_iter_close(it);
    return rc;
}

static enum err finish_run(struct store_job *job, struct ldb *db UNUSED, struct error *err)
{
    return reserve_meta_write(job, "repairing", 0, err);
}

/* ---- on the loop ---- */

static void read_done(struct store_job *job, const struct error *err)
{
    struct reserve_rebuild *b = container_of(job, struct reserve_rebuild, job);
    if (err || b->canceled) {
        rebuild_end(b, err ? err : &rebuild_canceled);
        return;
    }
    b->report.slots += b->looked;
    b->report.by_fault[PROVE_DAMAGED] += b->damaged;
    prove_page(&b->page);
}

static void next_page(struct reserve_rebuild *b)
{
    b->options.progress(b->options.ctx, &b->report);
    if (b->canceled) {
        rebuild_end(b, &rebuild_canceled);
    } else if (!b->end) {
        store_read(b->reserve->options.store, &b->job, b->stamps ? stamps_run : slots_run,
                   read_done);
    } else if (!b->stamps) {
        b->stamps = true;
        store_read(b->reserve->options.store, &b->job, stamps_run, read_done);
    } else {
        store_write(b->reserve->options.store, &b->job, finish_run, finish_done);
    }
}

static void on_proved(struct prove_page *p)
{
    struct reserve_rebuild *b = container_of(p, struct reserve_rebuild, page);
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        struct prove_entry *e = &p->entries[i];
        b->report.by_fault[e->fault]++;
        if (e->fault != PROVE_SOUND || (!b->stamps && !slab_map_mark(b->reserve->map, e->ref)))
            continue;
        b->items[count++] = (struct reserve_item){
            .id = e->id,
            .data = e->data,
            .stamp = e->stamp,
            .kind = e->kind,
            .adopt = !b->stamps,
            .adopt_slot = e->ref,
            .adopt_seq = e->seq,
        };
    }
    if (count == 0) {
        next_page(b);
        return;
    }
    b->put = (struct reserve_put){ .items = b->items, .count = count, .cb = on_put };
    reserve_put(b->reserve, &b->put);
}

static void on_put(struct reserve_put *req, const struct error *err)
{
    struct reserve_rebuild *b = container_of(req, struct reserve_rebuild, put);
    if (err) {
        rebuild_end(b, err);
        return;
    }
    for (uint32_t i = 0; i < req->count; i++)
        b->report.older += req->items[i].outcome != RESERVE_STORED;
    next_page(b);
}

static void finish_done(struct store_job *job, const struct error *err)
{
    rebuild_end(container_of(job, struct reserve_rebuild, job), err);
}
