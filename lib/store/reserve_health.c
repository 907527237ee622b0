#include "store/reserve_health.h"

#include "core/log.h"
#include "store/reserve_state.h"

static store_run probe_run;
static store_done probe_done;

static const char *const work_names[RESERVE_WORKS] = {
    [RESERVE_WORK_PUT] = "storing chunks",
    [RESERVE_WORK_CAPACITY] = "evicting what is over the capacity",
    [RESERVE_WORK_CACHE] = "building the has-cache from the index",
    [RESERVE_WORK_SLOTS] = "finding free slots by the index",
    [RESERVE_WORK_EXPIRY] = "evicting batches that have expired",
};

const struct error *reserve_failure(const struct reserve *r, enum reserve_work work)
{
    return r->failures[work].code ? &r->failures[work] : NULL;
}

bool reserve_ready(const struct reserve *r, struct error *err)
{
    for (int work = 0; work < RESERVE_WORKS; work++) {
        if (!r->failures[work].code)
            continue;
        *err = r->failures[work];
        error_wrap(err, err->code, "%s fails", work_names[work]);
        return false;
    }
    return true;
}

/* Of the disk or the index: a full disk and a sum that is wrong, but no budget and no cancel. */
static bool is_of_system(enum err code)
{
    enum err_session session = err_session_of(code);
    return session == ERR_SESSION_LOCAL || session == ERR_SESSION_FATAL;
}

static bool is_retried(const struct reserve *r, enum reserve_work work)
{
    /* A damaged index record of one put says nothing of the next one, nor does a free slot. In a
     * repair no slot is known to be free. */
    enum err code = r->failures[work].code;
    return code && (work == RESERVE_WORK_CAPACITY ||
                    (work == RESERVE_WORK_PUT && code != ERR_CORRUPT && !r->options.repair));
}

static void retry_later(struct reserve *r)
{
    bool due = is_retried(r, RESERVE_WORK_PUT) || is_retried(r, RESERVE_WORK_CAPACITY);
    if (r->phase != RESERVE_OPEN || !due || timer_is_set(&r->retry_timer))
        return;
    r->retry_ms = MIN(MAX(2 * r->retry_ms, LIMIT_STORE_RETRY_MS_MIN), LIMIT_STORE_RETRY_MS_MAX);
    timer_set(&r->retry_timer, r->retry_ms);
}

void reserve_failed(struct reserve *r, enum reserve_work work, const struct error *err)
{
    enum err before = r->failures[work].code;
    if (is_of_system(err->code)) {
        r->failures[work] = *err;
        if (err->code != before)
            log_error("reserve: %s fails: %s", work_names[work], err->text);
    }
    if (!before && !timer_is_set(&r->retry_timer))
        r->retry_ms = 0;
    retry_later(r);
}

void reserve_went_well(struct reserve *r, enum reserve_work work)
{
    if (!r->failures[work].code)
        return;
    error_clear(&r->failures[work]);
    log_info("reserve: %s goes well again", work_names[work]);
    retry_later(r); /* what else fails */
}

void reserve_expiry_ended(struct reserve *r, const struct error *err)
{
    if (err)
        reserve_failed(r, RESERVE_WORK_EXPIRY, err);
    else
        reserve_went_well(r, RESERVE_WORK_EXPIRY);
}

void reserve_met_damage(struct reserve *r, uint64_t records)
{
    if (records > 0 && r->stats.damaged == 0)
        log_warning("reserve: an eviction met damaged records of the index and goes on without "
                    "them: run 'larder reserve verify'");
    r->stats.damaged += records;
}

/* What puts do first and what fails with the disk, with nothing to lose. The slot is free. */
static enum err probe_run(struct store_job *job, struct ldb *db UNUSED, struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, probe_job);
    return slab_files_probe(&r->files, r->probe_slot, err);
}

static void probe_done(struct store_job *job, const struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, probe_job);
    slab_map_untake(r->map, r->probe_slot);
    r->probe_out = r->txn_out = false;
    if (err)
        reserve_failed(r, RESERVE_WORK_PUT, err);
    else
        reserve_went_well(r, RESERVE_WORK_PUT);
    if (r->evict.waits)
        reserve_evict_delete(r);
    else
        reserve_put_start(r);
}

/* As a group of puts does, it has the txn, which stands for the files. */
static bool probe_start(struct reserve *r)
{
    if (r->txn_out || r->suspect || !slab_map_take(r->map, &r->probe_slot))
        return false;
    r->probe_out = r->txn_out = true;
    store_write(r->options.store, &r->probe_job, probe_run, probe_done);
    return true;
}

void reserve_retry_due(struct timer *t)
{
    struct reserve *r = container_of(t, struct reserve, retry_timer);
    bool probes = is_retried(r, RESERVE_WORK_PUT) && probe_start(r);
    if (r->failures[RESERVE_WORK_CAPACITY].code)
        reserve_capacity_check(r);
    if (!probes && !r->capacity.busy)
        retry_later(r); /* else at the end of what was begun */
}
