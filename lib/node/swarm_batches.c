/* The table of batches: read in pieces by workers and parsed on the loop, replaced as a whole; and
 * the expiry of what it does not know any more. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hex.h"
#include "core/config.h"
#include "core/log.h"
#include "node/swarm_state.h"

enum { SHOWN_BYTES = 6 };

static work_done piece_done;
static reserve_next_batch_cb on_next;
static reserve_evict_cb on_evicted;

/* ---- expiry ---- */

static void drained(struct swarm *s)
{
    if (s->stopping && !s->load.out && !s->expiry.out)
        node_release(s->node, &s->drain, NULL);
}

static void expiry_next(struct swarm *s, bool first)
{
    s->expiry.next.first = first;
    s->expiry.next.cb = on_next;
    reserve_next_batch(s->reserve, &s->expiry.next);
}

static bool expired(const struct swarm *s, const uint8_t *batch)
{
    return s->batches && !batches_find(s->batches, batch);
}

/* What fails is tried again by itself, from the first batch on. */
static void expiry_told(struct swarm *s, const struct error *err)
{
    struct batches_expiry *e = &s->expiry;
    uint64_t longer_ms = MAX(2 * e->retry_ms, LIMIT_STORE_RETRY_MS_MIN);
    e->retry_ms = err ? MIN(longer_ms, LIMIT_STORE_RETRY_MS_MAX) : 0;
    timer_set(&e->retry, e->retry_ms);
    reserve_expiry_ended(s->reserve, err);
}

/* Unless stamps of any batch will do, or no table says which are known. */
static void expiry_start(struct swarm *s)
{
    struct batches_expiry *e = &s->expiry;
    if (e->evicting && !expired(s, e->evict.batch))
        reserve_evict_cancel(&e->evict); /* it was renewed, or nothing is said to expire */
    if (s->node->started->accept_all_stamps || s->stopping)
        return;
    e->again = e->out && s->batches;
    if (e->out)
        return;
    if (!s->batches) {
        expiry_told(s, NULL); /* what failed before is not to be done any more */
        return;
    }
    timer_set(&e->retry, 0); /* the time has come, or there is a new table */
    error_clear(&e->fault);
    e->out = true;
    expiry_next(s, true);
}

void swarm_expiry_due(struct timer *t)
{
    expiry_start(container_of(t, struct swarm, expiry.retry));
}

static void expiry_end(struct swarm *s, const struct error *err)
{
    s->expiry.out = false;
    if (!s->stopping)
        expiry_told(s, err);
    swarm_claim_look(s);
    if (s->expiry.again && !err)
        expiry_start(s);
    drained(s);
}

/* All of it in one request, which walks the batch once; a stop cancels it. */
static void evict_batch(struct swarm *s, const uint8_t *batch)
{
    struct reserve_evict *evict = &s->expiry.evict;
    memcpy(evict->batch, batch, sizeof(evict->batch));
    evict->bin = RESERVE_BINS;
    evict->reason = RESERVE_EVICT_EXPIRED;
    evict->count = UINT64_MAX;
    evict->cb = on_evicted;
    s->expiry.evicting = true;
    reserve_evict(s->reserve, evict);
}

static void on_next(struct reserve_next_batch *req, const struct error *err)
{
    struct swarm *s = container_of(req, struct swarm, expiry.next);
    if (err || s->stopping)
        expiry_end(s, err);
    else if (!req->found)
        expiry_end(s, s->expiry.fault.code ? &s->expiry.fault : NULL);
    else if (expired(s, req->batch))
        evict_batch(s, req->batch);
    else
        expiry_next(s, false);
}

static const char *outcome_of(const struct swarm *s, bool canceled, bool failed)
{
    if (failed)
        return "evicting its chunks has failed";
    if (!canceled)
        return "its chunks are evicted";
    return s->stopping ? "the rest of its chunks is evicted after the next start"
                       : "it is known again, and the rest of its chunks stays";
}

static void on_evicted(struct reserve_evict *req, const struct error *err)
{
    struct swarm *s = container_of(req, struct swarm, expiry.evict);
    bool canceled = err && err->code == ERR_CANCELED, failed = err && !canceled;
    char id[2 * SHOWN_BYTES + 1];
    s->expiry.evicting = false;
    log_info_with(LOG_FIELDS(log_uint("entries", req->evicted)), "batch %s... has expired: %s",
                  hex_encode(id, bytes_of(req->batch, SHOWN_BYTES)),
                  outcome_of(s, canceled, failed));
    if (failed)
        s->expiry.fault = *err;
    if (s->stopping || (failed && err->code != ERR_CORRUPT))
        expiry_end(s, failed ? err : NULL);
    else
        expiry_next(s, false); /* one batch cannot be read: others may be evicted */
}

/* ---- loading ---- */

static void load_end(struct swarm *s, struct batches *table, const struct error *err)
{
    struct batches_load *load = &s->load;
    struct error failed = { ERR_OK, "" };
    if (err)
        failed = *err;
    batches_loader_destroy(load->loader);
    load->loader = NULL;
    if (load->fd >= 0)
        close(load->fd);
    load->fd = -1;
    load->out = false;
    if (table) {
        batches_destroy(s->batches);
        s->batches = table;
        log_info_with(LOG_FIELDS(log_uint("batches", batches_count(table))),
                      "the table of batches is read");
        expiry_start(s);
    } else if (err && !load->first) {
        log_error("%s; the old table of batches stays", err->text);
    }
    if (load->first)
        node_release(s->node, &s->hold, failed.code ? &failed : NULL);
    load->first = false;
    if (load->again && !s->stopping)
        swarm_batches_load(s, false);
    drained(s);
}

/* Worker: touches the load alone. */
static enum err piece_run(struct work *w, struct error *err)
{
    struct batches_load *load = container_of(w, struct batches_load, work);
    if (load->fd < 0)
        load->fd = open(load->path, O_RDONLY | O_CLOEXEC);
    if (load->fd < 0)
        return error_errno(err, ERR_CONFIG, errno, "batches: opening %s", load->path);
    ssize_t n;
    do
        n = read(load->fd, load->piece, sizeof(load->piece));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_errno(err, ERR_IO, errno, "batches: reading %s", load->path);
    load->got = (size_t)n;
    return ERR_OK;
}

static void piece_submit(struct swarm *s)
{
    work_submit(s->node->env.work, &s->load.work, WORK_READ, piece_run, piece_done);
}

static void piece_done(struct work *w, const struct error *err)
{
    struct swarm *s = container_of(w, struct swarm, load.work);
    struct batches_load *load = &s->load;
    struct batches *table = NULL;
    struct error wrong = { ERR_OK, "" };
    if (err)
        wrong = *err;
    else if (s->stopping)
        error_set(&wrong, ERR_CANCELED, "batches: the node stops");
    else if (load->got > 0)
        err_ignore(batches_loader_feed(load->loader, bytes_of(load->piece, load->got), &wrong));
    else
        err_ignore(batches_loader_finish(load->loader, &table, &wrong));
    if (!wrong.code && !table) {
        piece_submit(s);
        return;
    }
    if (wrong.code == ERR_MALFORMED || wrong.code == ERR_TOO_LARGE || wrong.code == ERR_LIMIT)
        error_wrap(&wrong, ERR_CONFIG, "%s", load->path);
    load_end(s, table, wrong.code ? &wrong : NULL);
}

void swarm_batches_load(struct swarm *s, bool first)
{
    struct batches_load *load = &s->load;
    const char *path = s->node->env.config->batches;
    struct error err = { ERR_OK, "" };
    load->again = load->out;
    if (load->out)
        return;
    load->first = first;
    if (!path[0]) { /* nothing is known, and nothing said to have expired */
        batches_destroy(s->batches);
        s->batches = NULL;
        expiry_start(s);
        if (first)
            node_release(s->node, &s->hold, NULL);
        load->first = false;
        return;
    }
    load->out = true;
    if (snprintf(load->path, sizeof(load->path), "%s", path) >= (int)sizeof(load->path))
        error_set(&err, ERR_CONFIG, "batches: the path is too long");
    else
        err_ignore(batches_loader_create(&load->loader, s->mem, LIMIT_BATCHES, &err));
    if (err.code)
        load_end(s, NULL, &err);
    else
        piece_submit(s);
}

bool swarm_batches_drain(struct swarm *s)
{
    timer_set(&s->expiry.retry, 0);
    if (s->expiry.evicting)
        reserve_evict_cancel(&s->expiry.evict);
    return s->load.out || s->expiry.out;
}
