/* A commit failed: what the index holds is not known until its store is open again and read. No
 * write is taken until then, the cache begins anew, and each slot that the commit was to take or to
 * give back stays taken until the index says who has it. */
#include "base/mem.h"
#include "store/reserve_state.h"

enum {
    RELOAD_MS = 1000,
    /* One job fails before the others are refused: a group of puts, each with a slot of its own and
     * two that it frees, or one step of an eviction. */
    DOUBTS_MAX = MAX(3 * LIMIT_RESERVE_PAGE_CHUNKS, LIMIT_RESERVE_EVICT_CHUNKS),
};

static store_run reload_run;
static store_done reload_done;

void reserve_doubt(struct reserve *r, const uint8_t *address, struct slab_ref ref)
{
    if (!r->doubts)
        r->doubts = mem_try_alloc(r->options.queue_mem, DOUBTS_MAX * sizeof(*r->doubts));
    if (!r->doubts || r->doubts_count == DOUBTS_MAX)
        return; /* it stays taken until slots are derived anew */
    struct reserve_doubt *d = &r->doubts[r->doubts_count++];
    memcpy(d->address, address, sizeof(d->address));
    d->ref = ref;
}

void reserve_doubts_forget(struct reserve *r)
{
    mem_free(r->options.queue_mem, r->doubts);
    r->doubts = NULL;
    r->doubts_count = 0;
}

/* Worker. A slot is named by the record of its chunk or by none. */
static enum err see_doubt(struct ldb *db, struct reserve_doubt *d, struct error *err)
{
    uint8_t raw[C_VALUE_BYTES_MAX];
    struct reserve_body body;
    struct reserve_key key = key_chunk(d->address);
    struct writer w = writer_of(raw, sizeof(raw));
    enum err rc = ldb_get(db, NULL, key_bytes(&key), &w, err);
    d->named = false;
    if (rc)
        return rc == ERR_NOT_FOUND ? ERR_OK : rc;
    if (!c_value_decode(&body, bytes_of(raw, writer_used(&w))))
        return error_set(err, ERR_CORRUPT, "a chunk record is damaged");
    d->named = body.ref.slab == d->ref.slab && body.ref.slot == d->ref.slot;
    return ERR_OK;
}

/* Worker, in the writers' lane: behind it all is durable that it can see, since a store that is
 * opened again has its log in tables. The doubts are its own. */
static enum err reload_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, reload_job);
    enum err rc = reserve_counters_read(db, &r->reloaded, err);
    for (uint32_t i = 0; !rc && i < r->doubts_count; i++)
        rc = see_doubt(db, &r->doubts[i], err);
    return rc;
}

static void reload_done(struct store_job *job, const struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, reload_job);
    if (r->phase != RESERVE_OPEN)
        return;
    if (err) {
        timer_set(&r->reload_timer, RELOAD_MS);
        return;
    }
    r->suspect = false;
    r->counters = r->reloaded;
    for (uint32_t i = 0; i < r->doubts_count; i++)
        if (!r->doubts[i].named)
            reserve_free_slots(r, &r->doubts[i].ref, 1);
    reserve_doubts_forget(r);
    reserve_cache_build(r);
    reserve_scan_next(r);
}

void reserve_reload_due(struct timer *t)
{
    struct reserve *r = container_of(t, struct reserve, reload_timer);
    store_write(r->options.store, &r->reload_job, reload_run, reload_done);
}

void reserve_suspect(struct reserve *r)
{
    if (r->suspect)
        return;
    r->suspect = true;
    reserve_cache_drop(r);
    timer_set(&r->reload_timer, RELOAD_MS);
}
