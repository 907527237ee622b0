/* One job per peer: its addresses are tried 250 ms apart, at most four at a time; the first to be
 * upgraded wins. Callers for the same peer join the job. */
#include "base/mem.h"
#include "net/host_state.h"

struct dial_attempt {
    struct dial_job *job;
    struct conn *conn;
};

struct dial_job {
    struct host *host;
    struct list link;
    struct peer_id peer; /* len 0: whoever answers */
    struct host_address addresses[LIMIT_P2P_DIAL_ADDRESSES];
    uint32_t count, next, running;
    struct dial_attempt attempts[LIMIT_P2P_DIAL_PARALLEL];
    struct host_dial *waiters[LIMIT_P2P_DIAL_WAITERS];
    uint32_t waiters_count;
    struct timer timer;
    struct error last; /* why the last attempt failed */
};

static void on_result(struct deferred *d)
{
    struct host_dial *req = container_of(d, struct host_dial, deferred_);
    req->cb(req, req->result_.code ? &req->result_ : NULL);
}

static void answer(struct host_dial *req, const struct error *err, const struct peer_id *peer)
{
    req->job_ = NULL;
    if (err)
        req->result_ = *err;
    else
        error_clear(&req->result_);
    if (peer)
        req->peer = *peer;
    loop_defer_named(req->host_->loop, &req->deferred_, on_result, "dialed");
}

static void job_end(struct dial_job *job, const struct error *err, const struct peer_id *peer)
{
    struct host *h = job->host;
    for (uint32_t i = 0; i < job->waiters_count; i++)
        answer(job->waiters[i], err, peer);
    job->waiters_count = 0;
    timer_set(&job->timer, 0);
    list_remove(&job->link);
    for (size_t i = 0; i < LIMIT_P2P_DIAL_PARALLEL; i++) {
        struct conn *c = job->attempts[i].conn;
        if (!c)
            continue;
        c->attempt = NULL; /* it has lost */
        conn_close(c, ERR_CANCELED, "another address was faster");
    }
    mem_free(h->mem, job);
}

static struct dial_attempt *attempt_free(struct dial_job *job)
{
    for (size_t i = 0; i < LIMIT_P2P_DIAL_PARALLEL; i++)
        if (!job->attempts[i].conn)
            return &job->attempts[i];
    return NULL;
}

/* Starts the next address, and sees to the one after it. False: the job is over. */
static bool job_step(struct dial_job *job)
{
    struct dial_attempt *a = attempt_free(job);
    while (a && job->next < job->count) {
        const struct host_address *to = &job->addresses[job->next++];
        a->job = job;
        a->conn = conn_dial(job->host, to, &job->peer, a);
        if (a->conn) {
            job->running++;
            break;
        }
        error_set(&job->last, ERR_SYSTEM, "no socket to dial with");
    }
    if (job->running == 0 && job->next == job->count) {
        job_end(job, &job->last, NULL);
        return false;
    }
    timer_set(&job->timer, job->next < job->count ? LIMIT_P2P_DIAL_STAGGER_MS : 0);
    return true;
}

static void on_timer(struct timer *t)
{
    job_step(container_of(t, struct dial_job, timer));
}

void dial_attempt_done(struct dial_attempt *a, struct conn *c, const struct error *err)
{
    struct dial_job *job = a->job;
    a->conn = NULL;
    job->running--;
    if (err) {
        job->last = *err;
        timer_set(&job->timer, 1); /* the next address, not from inside the socket's callback */
        return;
    }
    struct peer_id peer = c->remote;
    job_end(job, NULL, &peer);
}

static void address_add(struct dial_job *job, struct bytes multiaddr)
{
    struct multiaddr_target t;
    if (job->count == LIMIT_P2P_DIAL_ADDRESSES || !multiaddr_target(multiaddr, &t) ||
        (t.host != MULTIADDR_IP4 && t.host != MULTIADDR_IP6) || t.port == 0)
        return; /* names are the caller's to resolve; the rest cannot be dialed */
    struct host_address a = { .ip6 = t.host == MULTIADDR_IP6, .port = t.port };
    memcpy(a.ip, t.value.data, t.value.size);
    if (!job->host->options.allow_private && address_is_private(&a))
        return;
    if (t.peer.len > 0 && job->peer.len > 0 && !peer_id_equal(&t.peer, &job->peer))
        return; /* somebody else's */
    if (t.peer.len > 0 && job->peer.len == 0)
        job->peer = t.peer;
    job->addresses[job->count++] = a;
}

static struct dial_job *job_of(struct host *h, const struct peer_id *peer)
{
    for (struct list *at = h->jobs.next; at != &h->jobs; at = at->next) {
        struct dial_job *job = container_of(at, struct dial_job, link);
        if (peer->len > 0 && peer_id_equal(&job->peer, peer))
            return job;
    }
    return NULL;
}

static struct dial_job *job_new(struct host *h, struct host_dial *req, struct error *err)
{
    struct dial_job *job = mem_try_zalloc(h->mem, sizeof(*job));
    if (!job) {
        mem_refused(h->mem, sizeof(*job), err);
        return NULL;
    }
    job->host = h;
    job->peer = req->peer;
    timer_init(&job->timer, h->loop, on_timer, "dial");
    for (size_t i = 0; i < req->count; i++)
        address_add(job, req->addresses[i]);
    if (job->count == 0) {
        error_set(err, ERR_UNREACHABLE, "no address of the peer can be dialed");
        mem_free(h->mem, job);
        return NULL;
    }
    list_append(&h->jobs, &job->link);
    timer_set(&job->timer, 1);
    return job;
}

void host_dial(struct host *h, struct host_dial *req)
{
    struct error err = { ERR_OK, "" };
    req->host_ = h;
    req->job_ = NULL;
    if (req->peer.len > 0 && host_conn_to(h, &req->peer)) {
        answer(req, NULL, NULL);
        return;
    }
    if (h->closing) {
        error_set(&err, ERR_CANCELED, "the host closes");
        answer(req, &err, NULL);
        return;
    }
    struct dial_job *job = job_of(h, &req->peer);
    if (!job)
        job = job_new(h, req, &err);
    if (job && job->waiters_count == LIMIT_P2P_DIAL_WAITERS)
        error_set(&err, ERR_LIMIT, "too many wait for this dial already");
    if (err.code) {
        answer(req, &err, NULL);
        return;
    }
    job->waiters[job->waiters_count++] = req;
    req->job_ = job;
}

void host_dial_cancel(struct host_dial *req)
{
    struct dial_job *job = req->job_;
    struct error err;
    if (!job)
        return; /* its answer is on the way */
    for (uint32_t i = 0; i < job->waiters_count; i++)
        if (job->waiters[i] == req)
            job->waiters[i] = job->waiters[--job->waiters_count];
    error_set(&err, ERR_CANCELED, "canceled while dialing");
    answer(req, &err, NULL);
    if (job->waiters_count == 0)
        job_end(job, &err, NULL);
}

void dial_jobs_cancel(struct host *h)
{
    struct error err;
    error_set(&err, ERR_CANCELED, "the host closes");
    while (!list_empty(&h->jobs))
        job_end(container_of(list_first(&h->jobs), struct dial_job, link), &err, NULL);
}
