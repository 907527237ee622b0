/* One job per peer: names are looked up, what the address book knows is added, addresses are tried
 * 250 ms apart, IPv6 and IPv4 in turn, at most four at a time; the first to be upgraded wins.
 * Callers for the same peer join the job. An address that failed is left alone for a while. */
#include "base/mem.h"
#include "core/metrics.h"
#include "net/host_state.h"

struct dial_attempt {
    struct dial_job *job;
    struct conn *conn;
    uint32_t target;
};

struct dial_target {
    struct host_address address;
    bool tried;
    struct peer_id peer; /* whom we expect there; len 0: anybody */
};

struct dial_name { /* lives until its look-up is answered */
    struct host_resolve resolve;
    struct list link;
    struct dial_job *job; /* NULL: it is over */
    size_t size;
    uint8_t bytes[];
};

struct dial_job {
    struct host *host;
    struct list link;
    struct peer_id peer; /* len 0: whoever answers */
    bool urgent, begun;
    struct dial_target *targets;
    uint32_t count, room, running, backed_off, too_private;
    bool last_was_ip6;
    struct list names; /* being looked up */
    uint32_t names_count;
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
        h->dials--;
        conn_close(c, ERR_CANCELED, "another address was faster");
    }
    for (struct list *at = list_pop(&job->names); at; at = list_pop(&job->names)) {
        struct dial_name *n = container_of(at, struct dial_name, link);
        n->job = NULL;
        host_resolve_cancel(&n->resolve);
    }
    mem_free(h->mem, job->targets);
    mem_free(h->mem, job);
}

/* Back-off: failures of an address, as that of one peer. */

static struct bytes mark_key(const struct dial_target *t, uint8_t buf[64])
{
    memset(buf, 0, 64);
    buf[0] = t->address.ip6;
    memcpy(buf + 1, t->address.ip, 16);
    be16_encode(buf + 17, t->address.port);
    memcpy(buf + 19, t->peer.bytes, t->peer.len);
    return bytes_of(buf, 64);
}

static uint64_t backed_off_ms(const struct dial_job *job, const struct dial_target *t)
{
    uint8_t buf[64];
    struct mark *m = marks_find(job->host->failures, mark_key(t, buf), false);
    uint64_t now = loop_now_ms(job->host->loop);
    return m && m->at_ms > now ? m->at_ms - now : 0;
}

/* 5 s and the square of how often it failed, up to 5 minutes; a quarter more or less, so that not
 * all come back at once. */
static void back_off(struct dial_job *job, const struct dial_target *t)
{
    uint8_t buf[64];
    struct host *h = job->host;
    struct mark *m = marks_find(h->failures, mark_key(t, buf), true);
    m->count = MIN(m->count + 1, 100);
    uint64_t ms = MIN(LIMIT_P2P_BACK_OFF_MS + (uint64_t)m->count * m->count * 1000,
                      LIMIT_P2P_BACK_OFF_MAX_MS);
    m->at_ms = loop_now_ms(h->loop) + ms * 3 / 4 + loop_random_below(h->loop, ms / 2);
}

static void succeeded(struct dial_job *job, const struct dial_target *t)
{
    uint8_t buf[64];
    marks_forget(job->host->failures, mark_key(t, buf));
}

/* Trying. */

static struct dial_attempt *attempt_free(struct dial_job *job)
{
    for (size_t i = 0; i < LIMIT_P2P_DIAL_PARALLEL; i++)
        if (!job->attempts[i].conn)
            return &job->attempts[i];
    return NULL;
}

/* The first that was not tried, of the other family than the last one if there is such. */
static struct dial_target *next_target(struct dial_job *job)
{
    struct dial_target *best = NULL;
    for (uint32_t i = 0; i < job->count; i++) {
        struct dial_target *t = &job->targets[i];
        if (t->tried)
            continue;
        if (t->address.ip6 != job->last_was_ip6)
            return t;
        best = best ? best : t;
    }
    return best;
}

static void job_fail(struct dial_job *job)
{
    if (!job->last.code && job->backed_off > 0)
        error_set(&job->last, ERR_UNREACHABLE,
                  "every address of the peer failed a short while ago");
    if (!job->last.code && job->too_private > 0)
        error_set(&job->last, ERR_UNREACHABLE,
                  "no address of the peer can be dialed: loopback, private ranges and what is no "
                  "machine's address in the public network are with allow-private-cidrs alone");
    if (!job->last.code)
        error_set(&job->last, ERR_UNREACHABLE, "no address of the peer can be dialed");
    job_end(job, &job->last, NULL);
}

/* Those who call must not keep us from calling: so many more than there may be in all. */
static bool room_to_dial(struct host *h, struct error *err)
{
    if (h->conns_count < h->options.connections_max + LIMIT_P2P_DIALS)
        return true;
    LIMIT_HIT(P2P_CONNECTIONS);
    error_set(err, ERR_LIMIT, "dialing: too many connections");
    return false;
}

/* Who waits is told that it is no longer for a dial of ours that is free. */
static void job_begun(struct dial_job *job)
{
    for (uint32_t i = 0; i < job->waiters_count && !job->begun; i++)
        job->waiters[i]->begun_ms = loop_now_ms(job->host->loop);
    job->begun = true;
}

/* Starts the next address, and sees to the one after it. False: the job is over. */
static bool job_step(struct dial_job *job)
{
    struct host *h = job->host;
    struct dial_attempt *a = attempt_free(job);
    struct dial_target *t = next_target(job);
    while (a && t && h->dials < LIMIT_P2P_DIALS) {
        t->tried = true;
        job->last_was_ip6 = t->address.ip6;
        a->job = job;
        a->target = (uint32_t)(t - job->targets);
        a->conn =
            room_to_dial(h, &job->last) ? conn_dial(h, &t->address, &t->peer, a, &job->last) : NULL;
        if (a->conn) {
            job_begun(job);
            job->running++;
            h->dials++;
            break;
        }
        metric_add_by(METRIC_p2p_dials_total, job->last.code, 1);
        if (job->last.code == ERR_UNREACHABLE)
            back_off(job, t);
        t = next_target(job);
    }
    if (job->count == 0 && job->names_count > 0)
        job_begun(job); /* it is not for us that it waits */
    if (h->dials >= LIMIT_P2P_DIALS)
        LIMIT_HIT(P2P_DIALS);
    t = next_target(job);
    if (job->running == 0 && !t && job->names_count == 0) {
        job_fail(job);
        return false;
    }
    timer_set(&job->timer, t ? LIMIT_P2P_DIAL_STAGGER_MS : 0);
    return true;
}

static void on_timer(struct timer *t)
{
    job_step(container_of(t, struct dial_job, timer));
}

void dial_attempt_done(struct dial_attempt *a, struct conn *c, const struct error *err)
{
    struct dial_job *job = a->job;
    struct dial_target *t = &job->targets[a->target];
    a->conn = NULL;
    job->running--;
    job->host->dials--;
    metric_add_by(METRIC_p2p_dials_total, err ? err->code : ERR_OK, 1);
    if (err) {
        job->last = *err;
        if (err->code != ERR_CANCELED)
            back_off(job, t);
        timer_set(&job->timer, 1); /* the next address, not from inside the socket's callback */
        return;
    }
    succeeded(job, t);
    struct peer_id peer = c->remote;
    job_end(job, NULL, &peer);
}

/* What there is to try. */

static bool target_known(const struct dial_job *job, const struct dial_target *t)
{
    for (uint32_t i = 0; i < job->count; i++)
        if (!memcmp(&job->targets[i].address, &t->address, sizeof(t->address)) &&
            peer_id_equal(&job->targets[i].peer, &t->peer))
            return true;
    return false;
}

static void target_add(struct dial_job *job, const struct multiaddr_target *from)
{
    struct host *h = job->host;
    struct dial_target t = { .peer = job->peer };
    t.address.ip6 = from->host == MULTIADDR_IP6;
    t.address.port = from->port;
    memcpy(t.address.ip, from->value.data, from->value.size);
    if (from->port == 0)
        return;
    if (!h->options.allow_private && address_is_private(&t.address)) {
        job->too_private++;
        return;
    }
    if (from->peer.len > 0 && job->peer.len > 0 && !peer_id_equal(&from->peer, &job->peer))
        return; /* somebody else's */
    if (job->peer.len == 0)
        t.peer = from->peer;
    if (target_known(job, &t) || !LIMIT_CHECK(P2P_DIAL_ADDRESSES, job->count + 1))
        return;
    if (!job->urgent && backed_off_ms(job, &t) > 0) {
        job->backed_off++;
        return;
    }
    if (job->count == job->room) {
        uint32_t room = job->room ? 2 * job->room : 4;
        struct dial_target *grown = mem_try_realloc(h->mem, job->targets, room * sizeof(*grown));
        if (!grown)
            return;
        job->targets = grown;
        job->room = room;
    }
    job->targets[job->count++] = t;
}

static void on_resolved_address(struct host_resolve *req, struct bytes multiaddr)
{
    struct dial_name *n = container_of(req, struct dial_name, resolve);
    struct multiaddr_target t;
    if (!n->job || !multiaddr_target(multiaddr, &t))
        return;
    target_add(n->job, &t);
    if (!timer_is_set(&n->job->timer))
        timer_set(&n->job->timer, 1);
}

static void on_resolved(struct host_resolve *req, const struct error *err)
{
    struct dial_name *n = container_of(req, struct dial_name, resolve);
    struct dial_job *job = n->job;
    struct host *h = req->host_;
    if (job) {
        list_remove(&n->link);
        job->names_count--;
        if (err)
            job->last = *err;
        timer_set(&job->timer, 1);
    }
    mem_free(h->mem, n);
}

static void name_add(struct dial_job *job, struct bytes multiaddr)
{
    struct host *h = job->host;
    if (!LIMIT_CHECK(P2P_DIAL_NAMES, job->names_count + 1))
        return;
    struct dial_name *n = mem_try_zalloc(h->mem, sizeof(*n) + multiaddr.size);
    if (!n)
        return;
    memcpy(n->bytes, multiaddr.data, multiaddr.size);
    n->job = job;
    n->resolve.multiaddr = bytes_of(n->bytes, multiaddr.size);
    n->resolve.on_address = on_resolved_address;
    n->resolve.cb = on_resolved;
    list_append(&job->names, &n->link);
    job->names_count++;
    host_resolve(h, &n->resolve);
}

static void address_add(void *ctx, struct bytes multiaddr)
{
    struct dial_job *job = ctx;
    struct multiaddr_target t;
    if (!multiaddr_target(multiaddr, &t))
        return; /* UDP, relayed and the like */
    if (t.host == MULTIADDR_IP4 || t.host == MULTIADDR_IP6)
        target_add(job, &t);
    else
        name_add(job, multiaddr);
}

/* Whom the caller names, or all of the addresses. len 0: whoever answers. */
static struct peer_id peer_of(const struct host_dial *req)
{
    struct peer_id one = req->peer;
    for (size_t i = 0; i < req->count && req->peer.len == 0; i++) {
        struct multiaddr_target t;
        if (!multiaddr_target(req->addresses[i], &t))
            continue;
        if (t.peer.len == 0 || (one.len > 0 && !peer_id_equal(&one, &t.peer)))
            return (struct peer_id){ 0 };
        one = t.peer;
    }
    return one;
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

/* What the caller knows, and the book. */
static void addresses_add(struct dial_job *job, const struct host_dial *req, bool book)
{
    for (size_t i = 0; i < req->count; i++)
        address_add(job, req->addresses[i]);
    if (book && job->peer.len > 0)
        addrbook_each(job->host->book, &job->peer, address_add, job);
    if (!timer_is_set(&job->timer))
        timer_set(&job->timer, 1);
}

static struct dial_job *job_new(struct host *h, const struct host_dial *req,
                                const struct peer_id *peer, struct error *err)
{
    struct dial_job *job = mem_try_zalloc(h->mem, sizeof(*job));
    if (!job) {
        mem_refused(h->mem, sizeof(*job), err);
        return NULL;
    }
    job->host = h;
    job->peer = *peer;
    job->urgent = req->urgent;
    list_init(&job->names);
    timer_init(&job->timer, h->loop, on_timer, "dial");
    list_append(&h->jobs, &job->link);
    addresses_add(job, req, true);
    return job;
}

/* Who joins may know more, and what was left alone for a while is tried for who cannot wait. */
static void job_join(struct dial_job *job, const struct host_dial *req)
{
    bool hurry = req->urgent && !job->urgent;
    job->urgent = job->urgent || req->urgent;
    addresses_add(job, req, hurry);
}

void host_dial(struct host *h, struct host_dial *req)
{
    struct error err = { ERR_OK, "" };
    req->host_ = h;
    req->job_ = NULL;
    req->begun_ms = 0;
    const struct peer_id peer = peer_of(req);
    if (peer.len > 0 && host_conn_to(h, &peer)) {
        answer(req, NULL, &peer);
        return;
    }
    if (h->closing) {
        error_set(&err, ERR_CANCELED, "the host closes");
        answer(req, &err, NULL);
        return;
    }
    struct dial_job *job = job_of(h, &peer);
    if (job && job->waiters_count == LIMIT_P2P_DIAL_WAITERS)
        error_set(&err, ERR_LIMIT, "too many wait for this dial already");
    else if (job)
        job_join(job, req);
    else
        job = job_new(h, req, &peer, &err);
    if (err.code) {
        answer(req, &err, NULL);
        return;
    }
    job->waiters[job->waiters_count++] = req;
    req->job_ = job;
    req->begun_ms = job->begun ? loop_now_ms(h->loop) : 0;
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
