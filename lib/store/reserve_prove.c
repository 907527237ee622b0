#include "store/reserve_prove.h"

#include "store/validate.h"

static void prove_entry(const struct prove_page *p, struct prove_entry *e)
{
    struct validate_item item = { .address = e->id.address,
                                  .data = e->data,
                                  .raw = bytes_of(e->stamp, STAMP_BYTES) };
    struct validate_page one = {
        .batches = p->batches,
        .accept_all_stamps = p->accept_all_stamps,
        .items = &item,
        .count = 1,
    };
    validate_page(&one);
    if (item.code) {
        e->fault = item.code == ERR_REFUSED ? PROVE_UNKNOWN : PROVE_INVALID;
        e->why = one.first;
        return;
    }
    e->kind = item.kind;
    memcpy(e->id.batch, item.stamp.batch, sizeof(e->id.batch));
    memcpy(e->id.stamp_hash, item.hash, sizeof(e->id.stamp_hash));
}

/* Worker: its part of the entries is its own. */
static enum err prove_run(struct work *w, struct error *err UNUSED)
{
    struct prove_job *job = container_of(w, struct prove_job, work);
    for (uint32_t i = job->from; i < job->to; i++)
        if (job->page->entries[i].fault == PROVE_SOUND)
            prove_entry(job->page, &job->page->entries[i]);
    return ERR_OK;
}

/* A job that was refused has proved nothing. */
static void prove_done(struct work *w, const struct error *err)
{
    struct prove_job *job = container_of(w, struct prove_job, work);
    struct prove_page *p = job->page;
    for (uint32_t i = job->from; err && i < job->to; i++) {
        p->entries[i].fault = PROVE_DAMAGED;
        p->entries[i].why = *err;
    }
    if (--p->jobs_out == 0)
        p->done(p);
}

void prove_page(struct prove_page *p)
{
    assert(p->jobs_out == 0 && p->count <= PROVE_ENTRIES);
    p->jobs_out = PROVE_JOBS;
    for (uint32_t i = 0; i < PROVE_JOBS; i++) {
        p->jobs[i].page = p;
        p->jobs[i].from = p->count * i / PROVE_JOBS;
        p->jobs[i].to = p->count * (i + 1) / PROVE_JOBS;
        work_submit(p->work, &p->jobs[i].work, WORK_CPU, prove_run, prove_done);
    }
}

const char *prove_fault_name(enum prove_fault fault)
{
    switch (fault) {
    case PROVE_SOUND:
        return "sound";
    case PROVE_DAMAGED:
        return "damaged";
    case PROVE_MISPLACED:
        return "misplaced";
    case PROVE_UNKNOWN:
        return "of an unknown batch";
    case PROVE_INVALID:
        return "invalid";
    case PROVE_FAULTS:
        break;
    }
    return "";
}
