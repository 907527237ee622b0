/* A page of chunks into the reserve: those without a stamp of the batch get one. */
#include "core/loop.h"
#include "swarm/upload_state.h"

static reserve_stamped_cb on_looked_up;
static reserve_put_cb on_put;
static work_done on_saved, on_signed;

static void page_end(struct upload *u, const struct error *err)
{
    u->store_out = false;
    upload_turn(u, err);
}

void upload_store(struct upload *u)
{
    struct upload_page *p = u->storing;
    assert(!u->store_out && p->count > 0);
    u->store_out = true;
    u->lookup = (struct reserve_stamped){
        .addresses = p->address,
        .count = p->count,
        .batch = u->options.batch,
        .stamped = p->stamped,
        .cb = on_looked_up,
    };
    reserve_stamped(u->options.reserve, &u->lookup);
}

/* The same chunk twice in one page, as in a file of zeros. */
static bool is_repeated(const struct upload_page *p, uint32_t i)
{
    uint64_t first = le64_decode(p->address[i]);
    for (uint32_t k = 0; k < i; k++)
        if (le64_decode(p->address[k]) == first &&
            !memcmp(p->address[k], p->address[i], CHUNK_ADDRESS_BYTES))
            return true;
    return false;
}

static enum err assign(struct upload *u, struct error *err)
{
    struct upload_page *p = u->storing;
    p->items_count = 0;
    u->timestamp = MAX(u->timestamp + 1, loop_wall_ns(u->options.loop));
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->stamped[i / 8] >> i % 8 & 1 || is_repeated(p, i))
            continue;
        struct stamp *stamp = &p->stamp[p->items_count];
        enum err rc = issuer_take(u->issuer, p->address[i], stamp, err);
        if (rc)
            return rc;
        stamp->timestamp = u->timestamp++;
        struct reserve_item *item = &p->items[p->items_count];
        *item = (struct reserve_item){
            .data = bytes_of(p->data[i], p->size[i]),
            .stamp = p->raw[p->items_count],
            .kind = CHUNK_CONTENT,
        };
        memcpy(item->id.address, p->address[i], CHUNK_ADDRESS_BYTES);
        memcpy(item->id.batch, u->options.batch, STAMP_BATCH_BYTES);
        p->items_count++;
    }
    return ERR_OK;
}

/* Worker: a part of the page's items is its own. */
static enum err sign_run(struct work *w, struct error *err UNUSED)
{
    struct upload_signer *s = container_of(w, struct upload_signer, work);
    struct upload_page *p = s->upload->storing;
    for (uint32_t i = s->from; i < s->to; i++) {
        stamp_sign(&p->stamp[i], s->upload->options.signer, p->items[i].id.address);
        stamp_encode(&p->stamp[i], p->raw[i]);
        stamp_hash(p->items[i].id.stamp_hash, p->raw[i]);
    }
    return ERR_OK;
}

/* Worker: the counters are its own. */
static enum err save_run(struct work *w, struct error *err)
{
    return issuer_save(container_of(w, struct upload, save)->issuer, err);
}

static void on_looked_up(struct reserve_stamped *req, const struct error *err)
{
    struct upload *u = container_of(req, struct upload, lookup);
    struct error failed = { ERR_OK, "" };
    if (err || u->canceled || u->failed.code || assign(u, &failed) ||
        u->storing->items_count == 0) {
        page_end(u, err ? err : failed.code ? &failed : NULL);
        return;
    }
    uint32_t count = u->storing->items_count;
    u->jobs_out = 1 + UPLOAD_SIGNERS;
    work_submit_write(&u->lane, &u->save, save_run, on_saved);
    for (uint32_t i = 0; i < UPLOAD_SIGNERS; i++) {
        struct upload_signer *s = &u->signers[i];
        s->upload = u;
        s->from = count * i / UPLOAD_SIGNERS;
        s->to = count * (i + 1) / UPLOAD_SIGNERS;
        work_submit(u->options.work, &s->work, WORK_CPU, sign_run, on_signed);
    }
}

/* A stamp is used when its position is durable. */
static void job_ended(struct upload *u, const struct error *err)
{
    if (err && !u->failed.code)
        u->failed = *err;
    if (--u->jobs_out > 0)
        return;
    if (u->failed.code || u->canceled) {
        page_end(u, NULL);
        return;
    }
    u->put = (struct reserve_put){
        .items = u->storing->items,
        .count = u->storing->items_count,
        .cb = on_put,
    };
    reserve_put(u->options.reserve, &u->put);
}

static void on_saved(struct work *w, const struct error *err)
{
    job_ended(container_of(w, struct upload, save), err);
}

static void on_signed(struct work *w, const struct error *err)
{
    job_ended(container_of(w, struct upload_signer, work)->upload, err);
}

static void on_put(struct reserve_put *req, const struct error *err)
{
    struct upload *u = container_of(req, struct upload, put);
    struct error failed = { ERR_OK, "" };
    for (uint32_t i = 0; !err && i < req->count && !failed.code; i++)
        if (req->items[i].outcome == RESERVE_OLDER)
            error_set(&failed, ERR_REFUSED,
                      "a stamp of the batch that is not older is in the reserve already: somebody "
                      "else stamps with this batch");
    if (!err)
        u->now.stored += req->count;
    page_end(u, err ? err : failed.code ? &failed : NULL);
}
