/* A store whose write failed: read only -> (probe of the disk) -> reopening -> open. LevelDB itself
 * stays in its failed state until it is opened again, and while the disk is full that would end
 * reads too; so it is closed only when a probe says that writing works. */
#include "store/stores_state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/log.h"
#include "store/durable.h"

static void retry_later(struct store *store)
{
    store->wait_ms =
        MIN(MAX(store->wait_ms * 2, LIMIT_STORE_RETRY_MS_MIN), LIMIT_STORE_RETRY_MS_MAX);
    timer_set(&store->retry, store->wait_ms);
}

/* Worker. The log that is replayed becomes a table, and what is written then a log again: twice the
 * write buffer, which the probe really writes, since a quota or a failing disk shows only so. */
static enum err probe_write(int fd, uint64_t bytes, const char *path, struct error *err)
{
    static const char zeros[64 * KiB];
    for (uint64_t at = 0; at < bytes; at += sizeof(zeros)) {
        ssize_t n = write(fd, zeros, sizeof(zeros));
        if (n < 0)
            return error_errno(err, ERR_IO, errno, "writing %s", path);
        if (n < (ssize_t)sizeof(zeros))
            return error_set(err, ERR_DISK_FULL, "writing %s: no room for all of it", path);
    }
    return durable_sync(fd, path, err);
}

static enum err probe_run(struct work *w, struct error *err)
{
    struct store *store = container_of(w, struct store, recover);
    const struct stores_options *o = &store->stores->options;
    char path[PATH_MAX];
    if (disk_free_bytes(o->data_dir) < o->min_free_bytes)
        return error_set(err, ERR_DISK_FULL, "less than min-free-disk is free");
    snprintf(path, sizeof(path), "%s/%s.probe", o->data_dir, store->row->name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "%s", path);
    enum err rc = probe_write(fd, store->memory_bytes / 4, path, err);
    close(fd);
    unlink(path);
    durable_forget(path);
    return rc;
}

static enum err reopen_run(struct work *w, struct error *err)
{
    struct store *store = container_of(w, struct store, recover);
    const struct stores_options *o = &store->stores->options;
    ldb_close(store->recover_db);
    store->recover_db = NULL;
    return store_open_row(&store->recover_db, o->data_dir, store->row, store->memory_bytes, err);
}

static void reopen_done(struct work *w, const struct error *err)
{
    struct store *store = container_of(w, struct store, recover);
    store->db = store->recover_db;
    store->recover_db = NULL;
    store->state = err ? STORE_CLOSED : STORE_OPEN;
    if (err) {
        store->failure = *err;
        log_error("store '%s' cannot be opened again: %s", store->row->name, err->text);
        retry_later(store);
    } else {
        store->reopened++;
        store->reopened_ms = loop_now_ms(store->stores->options.loop);
        log_info("store '%s' takes writes again", store->row->name);
    }
    store_unpark(store);
    stores_frozen_step(store->stores);
    stores_closing_step(store->stores);
}

void store_idle(struct store *store)
{
    if (store->state != STORE_REOPENING || work_pending(&store->recover))
        return;
    if (store->db)
        store_stats_add(&store->past, store->db);
    store->recover_db = store->db;
    store->db = NULL;
    work_submit(store->stores->options.work, &store->recover, WORK_READ, reopen_run, reopen_done);
}

void store_pin(struct store *store)
{
    assert(store->state != STORE_REOPENING);
    store->pins++;
}

void store_unpin(struct store *store)
{
    assert(store->pins > 0);
    store->pins--;
}

static void probe_done(struct work *w, const struct error *err)
{
    struct store *store = container_of(w, struct store, recover);
    if (store->stores->closing) {
        stores_closing_step(store->stores);
    } else if (err || store->pins > 0) {
        retry_later(store);
    } else {
        store->state = STORE_REOPENING;
        if (store->reads + store->writes == 0)
            store_idle(store);
    }
}

static void retry_due(struct timer *t)
{
    struct store *store = container_of(t, struct store, retry);
    work_submit(store->stores->options.work, &store->recover, WORK_READ, probe_run, probe_done);
}

void store_failed(struct store *store, const struct error *err)
{
    assert(store->state == STORE_OPEN);
    if (!timer_is_set(&store->retry))
        timer_init(&store->retry, store->stores->options.loop, retry_due, "store_retry_due");
    /* One that fails again soon waits longer each time. */
    if (loop_now_ms(store->stores->options.loop) - store->reopened_ms > LIMIT_STORE_RETRY_MS_MAX)
        store->wait_ms = 0;
    enum err code = ldb_failure(store->db);
    if (err)
        store->failure = *err;
    else
        error_set(&store->failure, code, "%s", err_text(code));
    store->state = STORE_READ_ONLY;
    log_error("store '%s' takes no writes until its disk does: %s", store->row->name,
              store->failure.text);
    if (!store->stores->closing)
        retry_later(store);
}
