#include "store/stores_state.h"

#include <string.h>

#include "base/mem.h"
#include "core/log.h"

/* ---- made and divided ---- */

static uint64_t weights_of(const struct stores_options *o, uint64_t *floors)
{
    uint64_t weights = 0;
    *floors = 0;
    for (uint32_t i = 0; i < o->count; i++) {
        weights += o->rows[i].enabled ? o->rows[i].memory_weight : 0;
        *floors += o->rows[i].enabled ? o->rows[i].memory_floor_bytes : 0;
    }
    return weights;
}

static void check_due(struct timer *t);

enum err stores_create(struct stores **out, const struct stores_options *options, struct error *err)
{
    uint64_t floors, weights = weights_of(options, &floors);
    uint64_t above = options->memory_bytes > floors ? options->memory_bytes - floors : 0;
    struct stores *s = mem_zalloc(options->mem, sizeof(*s));
    s->options = *options;
    s->free_bytes = UINT64_MAX;
    s->stores = mem_zalloc(options->mem, MAX(options->count, 1) * sizeof(*s->stores));
    timer_init(&s->check, options->loop, check_due, "stores_check_due");
    for (uint32_t i = 0; i < options->count; i++) {
        const struct store_row *row = &options->rows[i];
        if (!row->enabled)
            continue;
        struct store *store = &s->stores[s->count++];
        store->stores = s;
        store->row = row;
        store->memory_bytes = row->memory_floor_bytes;
        if (weights)
            store->memory_bytes += above * row->memory_weight / weights;
        list_init(&store->parked);
        work_lane_init(&store->lane, options->work);
        s->memory_bytes += store->memory_bytes;
    }
    if (!mem_take(options->mem, s->memory_bytes)) {
        uint64_t wanted = s->memory_bytes;
        s->memory_bytes = 0;
        stores_destroy(s);
        return mem_refused(options->mem, wanted, err);
    }
    *out = s;
    return ERR_OK;
}

void stores_destroy(struct stores *s)
{
    if (!s)
        return;
    assert(!work_pending(&s->work) && !work_pending(&s->check_work) && !timer_is_set(&s->check));
    for (uint32_t i = 0; i < s->count; i++) {
        struct store *store = &s->stores[i];
        assert(!store->db && list_empty(&store->parked) && !timer_is_set(&store->retry));
        work_lane_finish(&store->lane);
    }
    mem_give(s->options.mem, s->memory_bytes);
    mem_free(s->options.mem, s->stores);
    mem_free(s->options.mem, s);
}

struct store *stores_find(struct stores *s, const char *name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (!strcmp(s->stores[i].row->name, name))
            return &s->stores[i];
    return NULL;
}

/* ---- opened and closed ---- */

static enum err close_run(struct work *w, struct error *err UNUSED)
{
    struct stores *s = container_of(w, struct stores, work);
    for (uint32_t i = s->count; i-- > 0;) {
        ldb_close(s->stores[i].db);
        s->stores[i].db = NULL;
    }
    return ERR_OK;
}

static enum err open_run(struct work *w, struct error *err)
{
    struct stores *s = container_of(w, struct stores, work);
    const struct stores_options *o = &s->options;
    s->check_free_bytes = disk_free_bytes(o->data_dir);
    for (uint32_t i = 0; i < s->count; i++) {
        struct store *store = &s->stores[i];
        enum err rc = store_open_row(&store->db, o->data_dir, store->row, store->memory_bytes, err);
        if (rc) {
            err_ignore(close_run(w, NULL));
            return rc;
        }
    }
    return ERR_OK;
}

static void open_done(struct work *w, const struct error *err)
{
    struct stores *s = container_of(w, struct stores, work);
    for (uint32_t i = 0; i < s->count; i++)
        s->stores[i].state = err ? STORE_CLOSED : STORE_OPEN;
    if (!err) {
        stores_disk_seen(s, s->check_free_bytes);
        timer_set(&s->check, LIMIT_STORE_DISK_CHECK_MS);
    }
    s->cb(s->ctx, err);
}

void stores_open(struct stores *s, stores_cb *cb, void *ctx)
{
    s->cb = cb;
    s->ctx = ctx;
    s->closing = false;
    work_submit(s->options.work, &s->work, WORK_READ, open_run, open_done);
}

static void close_done(struct work *w, const struct error *err)
{
    struct stores *s = container_of(w, struct stores, work);
    for (uint32_t i = 0; i < s->count; i++)
        s->stores[i].state = STORE_CLOSED;
    s->cb(s->ctx, err);
}

void stores_closing_step(struct stores *s)
{
    if (!s->closing || work_pending(&s->work) || work_pending(&s->check_work))
        return;
    for (uint32_t i = 0; i < s->count; i++) {
        timer_set(&s->stores[i].retry, 0);
        if (work_pending(&s->stores[i].recover))
            return;
    }
    work_submit(s->options.work, &s->work, WORK_READ, close_run, close_done);
}

void stores_close(struct stores *s, stores_cb *cb, void *ctx)
{
    assert(!s->closing && !s->frozen && !work_pending(&s->work));
    for (uint32_t i = 0; i < s->count; i++)
        assert(s->stores[i].reads + s->stores[i].writes + s->stores[i].pins == 0 &&
               list_empty(&s->stores[i].parked));
    s->cb = cb;
    s->ctx = ctx;
    s->closing = true;
    timer_set(&s->check, 0);
    stores_closing_step(s);
}

/* ---- the disk ---- */

void stores_disk_seen(struct stores *s, uint64_t free_bytes)
{
    bool was_low = s->free_bytes < s->options.min_free_bytes;
    bool is_low = free_bytes < s->options.min_free_bytes;
    s->free_bytes = free_bytes;
    if (is_low && timer_is_set(&s->check))
        timer_set(&s->check, LIMIT_STORE_RETRY_MS_MIN); /* from now on look often */
    if (is_low && !was_low)
        log_error("%" PRIu64 " MiB are free below %s, less than min-free-disk (%" PRIu64
                  " MiB): nothing is written until there is room",
                  free_bytes / MiB, s->options.data_dir, s->options.min_free_bytes / MiB);
    if (was_low && !is_low)
        log_info("%" PRIu64 " MiB are free below %s: writes are taken again", free_bytes / MiB,
                 s->options.data_dir);
}

static enum err check_run(struct work *w, struct error *err UNUSED)
{
    struct stores *s = container_of(w, struct stores, check_work);
    s->check_free_bytes = disk_free_bytes(s->options.data_dir);
    return ERR_OK;
}

/* Also finds what compaction met while nobody wrote. */
static void check_done(struct work *w, const struct error *err)
{
    struct stores *s = container_of(w, struct stores, check_work);
    if (!err)
        stores_disk_seen(s, s->check_free_bytes);
    if (s->closing) {
        stores_closing_step(s);
        return;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        struct store *store = &s->stores[i];
        if (store->state == STORE_OPEN && ldb_failure(store->db))
            store_failed(store, NULL);
    }
    timer_set(&s->check, s->free_bytes < s->options.min_free_bytes ? LIMIT_STORE_RETRY_MS_MIN
                                                                   : LIMIT_STORE_DISK_CHECK_MS);
}

static void check_due(struct timer *t)
{
    struct stores *s = container_of(t, struct stores, check);
    work_submit(s->options.work, &s->check_work, WORK_READ, check_run, check_done);
}

bool stores_ready(const struct stores *s, struct error *err)
{
    for (uint32_t i = 0; i < s->count; i++) {
        const struct store *store = &s->stores[i];
        if (store->state == STORE_OPEN)
            continue;
        *err = store->failure;
        if (!err->code)
            error_set(err, ERR_IO, "not opened yet");
        error_wrap(err, err->code, "store '%s' is %s", store->row->name,
                   store_state_name(store->state));
        return false;
    }
    if (s->free_bytes >= s->options.min_free_bytes)
        return true;
    error_set(err, ERR_DISK_FULL,
              "%" PRIu64 " MiB of disk are free and min-free-disk is %" PRIu64 " MiB",
              s->free_bytes / MiB, s->options.min_free_bytes / MiB);
    return false;
}

uint64_t stores_free_bytes(const struct stores *s)
{
    return s->free_bytes == UINT64_MAX ? 0 : s->free_bytes;
}

const char *store_state_name(enum store_state state)
{
    switch (state) {
    case STORE_CLOSED:
        return "closed";
    case STORE_OPEN:
        return "open";
    case STORE_READ_ONLY:
        return "read-only";
    case STORE_REOPENING:
        return "reopening";
    }
    return "?";
}

void store_stats_add(struct ldb_stats *sum, const struct ldb *db)
{
    struct ldb_stats now;
    ldb_stats_read(db, &now);
    for (int f = 0; f < LDB_FILE_KINDS; f++) {
        sum->files[f].reads += now.files[f].reads;
        sum->files[f].read_bytes += now.files[f].read_bytes;
        sum->files[f].writes += now.files[f].writes;
        sum->files[f].write_bytes += now.files[f].write_bytes;
        sum->files[f].syncs += now.files[f].syncs;
    }
    sum->readaheads += now.readaheads;
    sum->open_tables = now.open_tables;
    sum->open_table_bytes = now.open_table_bytes;
}

bool store_status(const struct stores *s, uint32_t i, struct store_status *out)
{
    if (i >= s->count)
        return false;
    const struct store *store = &s->stores[i];
    *out = (struct store_status){
        .row = store->row,
        .state = store->state,
        .memory_bytes = store->memory_bytes,
        .reopened = store->reopened,
        .stats = store->past,
    };
    out->stats.open_tables = out->stats.open_table_bytes = 0;
    if (store->db && store->state != STORE_CLOSED) /* closed: a worker may be opening it */
        store_stats_add(&out->stats, store->db);
    return true;
}

/* ---- frozen ---- */

static bool all_quiet(const struct stores *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->stores[i].writes || s->stores[i].state == STORE_REOPENING)
            return false;
    return true;
}

static void frozen_later(struct deferred *d)
{
    struct stores *s = container_of(d, struct stores, frozen_later);
    if (!all_quiet(s)) /* a reopening began in between; its end comes here again */
        return;
    void (*cb)(void *ctx) = s->frozen_cb;
    s->frozen_cb = NULL; /* once: reads go on to end while all is frozen */
    cb(s->frozen_ctx);
}

void stores_frozen_step(struct stores *s)
{
    if (!s->frozen || !s->frozen_cb || deferred_pending(&s->frozen_later))
        return;
    if (all_quiet(s))
        loop_defer(s->options.loop, &s->frozen_later, frozen_later);
}

void stores_freeze(struct stores *s, void (*cb)(void *ctx), void *ctx)
{
    assert(!s->frozen && !s->closing);
    s->frozen = true;
    s->frozen_cb = cb;
    s->frozen_ctx = ctx;
    stores_frozen_step(s);
}

void stores_thaw(struct stores *s)
{
    assert(s->frozen && !deferred_pending(&s->frozen_later));
    s->frozen = false;
    for (uint32_t i = 0; i < s->count; i++)
        store_unpark(&s->stores[i]);
}
