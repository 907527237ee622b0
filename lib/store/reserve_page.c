#include "store/reserve_page.h"

#include "codec/keccak.h"
#include "store/reserve_state.h"

enum { RUN_PROVEN = 4 }; /* slots side by side: what follows them is taken to follow on */

/* Worker's: what one read brought. */
struct run {
    uint32_t slots;
    uint8_t bytes[SLAB_RUN_SLOTS * SLAB_SLOT_BYTES];
    uint8_t stamp[STAMP_BYTES]; /* of the first, when it does not lie in the slot */
    struct reserve_found found[SLAB_RUN_SLOTS];
};

static struct bytes slot_of(const struct run *run, uint32_t k)
{
    return bytes_of(run->bytes + (size_t)k * SLAB_SLOT_BYTES, SLAB_SLOT_BYTES);
}

static struct reserve_found found_of(const struct slab_record *rec)
{
    return (struct reserve_found){ .data = rec->data,
                                   .stamp = rec->stamp,
                                   .kind = rec->type ? CHUNK_SINGLE_OWNER : CHUNK_CONTENT };
}

/* Reads the slot, and as many behind it as the last reads promise. */
static void run_read(struct reserve_page *req, uint32_t i, struct slab_ref ref, bool follows,
                     struct run *run)
{
    req->run_ = follows ? MIN(2 * req->run_, (uint32_t)SLAB_RUN_SLOTS) : 1;
    req->next_ = ref;
    run->slots =
        slab_files_read_run(&req->reserve_->files, ref, MIN(req->run_, req->count - i), run->bytes);
}

static bool is_next(const struct reserve_page *req, struct slab_ref ref)
{
    return req->along_ && req->run_ > 0 && ref.slab == req->next_.slab &&
           ref.slot == req->next_.slot;
}

/* The first of a run. Its stamp has a 'T' record unless it is the one that lies in the slot, as
 * that of nearly every chunk does: then the index is asked once. */
static enum err find(struct reserve_page *req, uint32_t i, struct ldb *db, struct run *run)
{
    const struct chunk_id *id = &req->ids[i];
    uint8_t raw[C_VALUE_BYTES_MAX], in_slot[STAMP_HASH_BYTES];
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
    run_read(req, i, body.ref, is_next(req, body.ref), run);
    if (run->slots == 0 || slab_slot_decode(slot_of(run, 0), &rec, NULL) ||
        memcmp(rec.address, id->address, 32) || rec.data.size != body.size)
        return ERR_CORRUPT;
    run->found[0] = found_of(&rec);
    stamp_hash(in_slot, rec.stamp);
    if (!memcmp(in_slot, id->stamp_hash, STAMP_HASH_BYTES))
        return ERR_OK;
    key = key_stamp(id->address, id->stamp_hash);
    run->found[0].stamp = run->stamp;
    rc = ldb_get_fixed(db, key_bytes(&key), run->stamp, STAMP_BYTES, NULL);
    return rc == ERR_NOT_FOUND ? ERR_CORRUPT : rc;
}

/* How many of the run are the entries asked for, when the first of them is known to be? A slot says
 * itself which chunk with which stamp it holds, and its sum that it is whole. It may have been
 * freed long ago: of a single-owner chunk, whose content may have changed since, the index alone
 * knows the slot. */
static uint32_t neighbours(const struct reserve_page *req, uint32_t i, uint32_t known,
                           struct run *run)
{
    uint8_t stamps[SLAB_RUN_SLOTS * STAMP_BYTES], hashes[SLAB_RUN_SLOTS * STAMP_HASH_BYTES] = { 0 };
    uint32_t n = known;
    for (; n < run->slots; n++) {
        struct slab_record rec;
        if (slab_slot_decode(slot_of(run, n), &rec, NULL) || rec.type != CHUNK_CONTENT ||
            memcmp(rec.address, req->ids[i + n].address, 32) != 0)
            break;
        run->found[n] = found_of(&rec);
        memcpy(stamps + (n - known) * STAMP_BYTES, rec.stamp, STAMP_BYTES);
    }
    keccak256_batch(&(struct keccak256_batch){ hashes, stamps, STAMP_BYTES, n - known });
    for (uint32_t k = known; k < n; k++)
        if (memcmp(hashes + (k - known) * STAMP_HASH_BYTES, req->ids[i + k].stamp_hash,
                   STAMP_HASH_BYTES) != 0)
            return k;
    return n;
}

/* Behind a run that was right to its end the slots are read without asking the index. 0: the entry
 * is not there. */
static uint32_t read_on(struct reserve_page *req, uint32_t i, struct run *run)
{
    if (!req->along_ || req->run_ < RUN_PROVEN)
        return 0;
    run_read(req, i, req->next_, true, run);
    return neighbours(req, i, 0, run);
}

static enum err page_run(struct store_job *job, struct ldb *db, struct error *err UNUSED)
{
    struct reserve_page *req = container_of(job, struct reserve_page, job_);
    struct run run;
    bool more = true;
    req->damaged = 0;
    for (uint32_t i = 0; more && i < req->count;) {
        uint32_t n = read_on(req, i, &run);
        enum err rc = n > 0 ? ERR_OK : find(req, i, db, &run);
        req->damaged += rc != ERR_OK && rc != ERR_NOT_FOUND;
        if (n == 0)
            n = rc ? 1 : neighbours(req, i, 1, &run);
        req->next_.slot += n;
        if (rc || n < run.slots)
            req->run_ = 1;
        for (uint32_t k = 0; more && k < n; k++, i++)
            more = req->each(req, i, rc ? NULL : &run.found[k]);
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
    req->along_ = req->removals == r->removals;
    req->ticket_ = slab_map_enter(r->map);
    store_read(r->options.store, &req->job_, page_run, page_done);
}

void reserve_page_cancel(struct reserve_page *req)
{
    store_job_cancel(&req->job_);
}

uint64_t reserve_removals(const struct reserve *r)
{
    return r->removals;
}
