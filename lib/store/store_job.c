#include "store/stores_state.h"

static const struct error job_was_canceled = { ERR_CANCELED, "canceled before it ran" };

/* Worker. Refuses before the disk does: what LevelDB begins and cannot end costs a reopening. */
static enum err check_room(struct store_job *job, struct error *err)
{
    const struct stores_options *o = &job->store_->stores->options;
    job->free_bytes_ = disk_free_bytes(o->data_dir);
    if (job->free_bytes_ >= o->min_free_bytes)
        return ERR_OK;
    return error_set(err, ERR_DISK_FULL,
                     "%" PRIu64 " MiB are free below %s and min-free-disk is %" PRIu64 " MiB",
                     job->free_bytes_ / MiB, o->data_dir, o->min_free_bytes / MiB);
}

static enum err job_run(struct work *w, struct error *err)
{
    struct store_job *job = container_of(w, struct store_job, work_);
    if (!job->db_)
        return error_set(err, ERR_IO, "store '%s' cannot be opened since its disk failed",
                         job->store_->row->name);
    if (job->write_) {
        enum err rc = ldb_failure(job->db_);
        if (rc)
            return error_set(err, rc, "store '%s' takes no writes since one failed: %s",
                             job->store_->row->name, err_text(rc));
        rc = check_room(job, err);
        if (rc)
            return rc;
    }
    return job->run_(job, job->db_, err);
}

static void job_done(struct work *w, const struct error *err)
{
    struct store_job *job = container_of(w, struct store_job, work_);
    struct store *store = job->store_;
    struct stores *s = store->stores;
    if (job->write_) {
        store->writes--;
        if (job->free_bytes_ != UINT64_MAX)
            stores_disk_seen(s, job->free_bytes_);
    } else {
        store->reads--;
    }
    if (store->state == STORE_OPEN && ldb_failure(store->db))
        store_failed(store, err);
    if (store->reads + store->writes == 0)
        store_idle(store);
    stores_frozen_step(s);
    job->done_(job, err); /* the last word: it may free the job and close the stores */
}

static void job_start(struct store_job *job)
{
    struct store *store = job->store_;
    job->db_ = store->db;
    job->free_bytes_ = UINT64_MAX; /* one that is refused or fails before has not looked */
    if (job->write_) {
        store->writes++;
        work_submit_write(&store->lane, &job->work_, job_run, job_done);
    } else {
        store->reads++;
        work_submit(store->stores->options.work, &job->work_, WORK_READ, job_run, job_done);
    }
}

static bool must_wait(const struct store_job *job)
{
    const struct store *store = job->store_;
    return store->state == STORE_REOPENING || (job->write_ && store->stores->frozen) ||
           !list_empty(&store->parked);
}

static void job_submit(struct store *store, struct store_job *job, store_run *run, store_done *done)
{
    assert(!store->stores->closing);
    job->store_ = store;
    job->run_ = run;
    job->done_ = done;
    if (must_wait(job))
        list_append(&store->parked, &job->link_);
    else
        job_start(job);
}

void store_read(struct store *store, struct store_job *job, store_run *run, store_done *done)
{
    job->write_ = false;
    job_submit(store, job, run, done);
}

void store_write(struct store *store, struct store_job *job, store_run *run, store_done *done)
{
    job->write_ = true;
    job_submit(store, job, run, done);
}

enum err store_commit(struct store_job *job, struct ldb_batch *batch, bool sync, struct error *err)
{
    assert(job->write_);
    return ldb_write(job->db_, batch, sync || job->store_->row->sync == STORE_SYNC_EACH, err);
}

/* In their order. A job that must still wait keeps those behind it waiting. */
void store_unpark(struct store *store)
{
    struct list waited;
    list_init(&waited);
    list_move_all(&waited, &store->parked);
    for (struct list *link; (link = list_pop(&waited));) {
        struct store_job *job = container_of(link, struct store_job, link_);
        if (must_wait(job))
            list_append(&store->parked, &job->link_);
        else
            job_start(job);
    }
}

static void canceled_later(struct deferred *d)
{
    struct store_job *job = container_of(d, struct store_job, later_);
    job->done_(job, &job_was_canceled);
}

void store_job_cancel(struct store_job *job)
{
    if (list_linked(&job->link_)) {
        list_remove(&job->link_);
        loop_defer(job->store_->stores->options.loop, &job->later_, canceled_later);
    } else {
        work_cancel(&job->work_);
    }
}
