#include "net/resolve.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/time.h>
#include <uv.h>

#include "base/mem.h"
#include "core/metrics.h"
#include "net/host_state.h"

#define DNSADDR_PREFIX "dnsaddr="

struct watch { /* of one socket of c-ares */
    uv_poll_t poll;
    struct list link;
    struct resolver *resolver;
    ares_socket_t fd;
};

struct resolver {
    struct host *host;
    const char *servers;
    ares_channel channel; /* NULL until the first look-up */
    struct list watches, lookups;
    uint32_t lookups_count;
    struct timer timer; /* when c-ares wants to look at its own deadlines */
    bool closed;
};

/* One name with all that it leads to. Lives until its last query has ended. */
struct lookup {
    struct resolver *resolver;
    struct list link;
    struct host_resolve *req; /* NULL: answered */
    struct peer_id peer;      /* what every address must end with; len 0: whatever it says */
    uint32_t pending, queries, found;
    struct timer deadline;
    struct deferred start;
    struct error last;
};

struct query {
    struct lookup *lookup;
    struct peer_id peer;
    uint16_t port;
    uint8_t depth;
};

static void on_start(struct deferred *d);
static void on_deadline(struct timer *t);
static void on_timer(struct timer *t);

struct resolver *resolver_create(struct host *h, const char *servers)
{
    struct resolver *r = mem_zalloc(h->mem, sizeof(*r));
    r->host = h;
    r->servers = servers;
    list_init(&r->watches);
    list_init(&r->lookups);
    timer_init(&r->timer, h->loop, on_timer, "resolver");
    return r;
}

void resolver_destroy(struct resolver *r)
{
    if (!r)
        return;
    assert(!r->channel && list_empty(&r->watches) && list_empty(&r->lookups));
    mem_free(r->host->mem, r);
}

/* The request's side. */

static void on_result(struct deferred *d)
{
    struct host_resolve *req = container_of(d, struct host_resolve, deferred_);
    struct host *h = req->host_;
    req->cb(req, req->result_.code ? &req->result_ : NULL);
    host_handle_closed(h); /* the host is not closed before its requests are answered */
}

static void answer(struct host_resolve *req, const struct error *err)
{
    req->lookup_ = NULL;
    if (err)
        req->result_ = *err;
    else
        error_clear(&req->result_);
    loop_defer_named(req->host_->loop, &req->deferred_, on_result, "resolved");
}

static void lookup_free(struct lookup *l)
{
    struct resolver *r = l->resolver;
    timer_set(&l->deadline, 0);
    loop_defer_cancel(&l->start);
    list_remove(&l->link);
    r->lookups_count--;
    mem_free(r->host->mem, l);
}

/* What was found until now is the answer. err: why nothing was. */
static void lookup_answer(struct lookup *l, const struct error *err)
{
    struct host_resolve *req = l->req;
    l->req = NULL;
    if (!req)
        return;
    req->count = l->found;
    metric_add_by(METRIC_p2p_lookups_total, l->found > 0 ? ERR_OK : err->code, 1);
    answer(req, l->found > 0 ? NULL : err);
}

static void pending_done(struct lookup *l)
{
    if (--l->pending > 0)
        return;
    if (!l->last.code)
        error_set(&l->last, ERR_NOT_FOUND, "the name leads to no address that can be dialed");
    lookup_answer(l, &l->last);
    lookup_free(l);
}

void host_resolve(struct host *h, struct host_resolve *req)
{
    struct resolver *r = h->resolver;
    struct error err = { ERR_OK, "" };
    struct lookup *l = NULL;
    req->host_ = h;
    req->lookup_ = NULL;
    req->count = 0;
    h->handles++;
    if (r->closed || h->closing)
        error_set(&err, ERR_CANCELED, "the host closes");
    else if (!LIMIT_CHECK(RESOLVE_LOOKUPS, r->lookups_count + 1))
        error_set(&err, ERR_LIMIT, "too many names are looked up already");
    else if (!(l = mem_try_zalloc(h->mem, sizeof(*l))))
        mem_refused(h->mem, sizeof(*l), &err);
    if (!l) {
        answer(req, &err);
        return;
    }
    l->resolver = r;
    l->req = req;
    l->pending = 1;
    req->lookup_ = l;
    list_append(&r->lookups, &l->link);
    r->lookups_count++;
    timer_init(&l->deadline, h->loop, on_deadline, "look-up");
    timer_set(&l->deadline, LIMIT_RESOLVE_MS);
    loop_defer_named(h->loop, &l->start, on_start, "look-up");
}

void host_resolve_cancel(struct host_resolve *req)
{
    struct lookup *l = req->lookup_;
    struct error err;
    if (!l)
        return; /* its answer is on the way */
    error_set(&err, ERR_CANCELED, "canceled while a name was looked up");
    l->req = NULL;
    answer(req, &err);
}

static void on_deadline(struct timer *t)
{
    struct lookup *l = container_of(t, struct lookup, deadline);
    struct error err;
    error_set(&err, ERR_TIMEOUT, "the name's servers take too long");
    lookup_answer(l, &err); /* what c-ares still does ends by its own deadlines */
}

/* c-ares on the loop. */

static void timer_arm(struct resolver *r)
{
    struct timeval tv, *left = r->channel ? ares_timeout(r->channel, NULL, &tv) : NULL;
    timer_set(&r->timer,
              left ? (uint64_t)left->tv_sec * 1000 + (uint64_t)left->tv_usec / 1000 + 1 : 0);
}

static void on_timer(struct timer *t)
{
    struct resolver *r = container_of(t, struct resolver, timer);
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    timer_arm(r);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    struct resolver *r = w->resolver;
    ares_socket_t fd = w->fd;
    loop_callback_begin(r->host->loop, "resolver");
    ares_process_fd(r->channel, status < 0 || (events & UV_READABLE) ? fd : ARES_SOCKET_BAD,
                    status < 0 || (events & UV_WRITABLE) ? fd : ARES_SOCKET_BAD);
    timer_arm(r);
    loop_callback_end(r->host->loop);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;
    struct host *h = w->resolver->host;
    mem_free(h->mem, w);
    host_handle_closed(h);
}

static struct watch *watch_of(struct resolver *r, ares_socket_t fd)
{
    for (struct list *at = r->watches.next; at != &r->watches; at = at->next) {
        struct watch *w = container_of(at, struct watch, link);
        if (w->fd == fd)
            return w;
    }
    return NULL;
}

/* A socket of c-ares is new, wants something else, or is about to be closed. */
static void on_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = ctx;
    struct watch *w = watch_of(r, fd);
    if (!readable && !writable) {
        if (w) {
            list_remove(&w->link);
            uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        }
        return;
    }
    if (!w) {
        w = mem_zalloc(r->host->mem, sizeof(*w)); /* c-ares has a few sockets per server */
        if (uv_poll_init(loop_uv(r->host->loop), &w->poll, fd)) {
            mem_free(r->host->mem, w);
            return; /* its queries time out */
        }
        w->resolver = r;
        w->fd = fd;
        w->poll.data = w;
        r->host->handles++;
        list_append(&r->watches, &w->link);
    }
    uv_poll_start(&w->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_poll);
}

static enum err channel_get(struct resolver *r, struct error *err)
{
    struct ares_options o = { .flags =
                                  ARES_FLAG_EDNS, /* lists of bootstrap peers exceed 512 bytes */
                              .ednspsz = LIMIT_RESOLVE_UDP_BYTES,
                              .timeout = LIMIT_RESOLVE_TRY_MS,
                              .tries = LIMIT_RESOLVE_TRIES,
                              .sock_state_cb = on_socket,
                              .sock_state_cb_data = r };
    if (r->channel)
        return ERR_OK;
    if (!mem_take(r->host->mem, LIMIT_RESOLVE_CHANNEL_BYTES))
        return mem_refused(r->host->mem, LIMIT_RESOLVE_CHANNEL_BYTES, err);
    int rc = ares_library_init(ARES_LIB_INIT_ALL);
    /* Names in multiaddrs are whole: no search list, whatever resolv.conf says. */
    if (!rc)
        rc = ares_init_options(&r->channel, &o,
                               ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS |
                                   ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS |
                                   ARES_OPT_NDOTS);
    if (!rc && r->servers)
        rc = ares_set_servers_ports_csv(r->channel, r->servers);
    if (!rc)
        return ERR_OK;
    mem_give(r->host->mem, LIMIT_RESOLVE_CHANNEL_BYTES);
    if (r->channel)
        ares_destroy(r->channel);
    r->channel = NULL;
    return error_set(err, ERR_SYSTEM, "no resolver: %s", ares_strerror(rc));
}

void resolver_close(struct resolver *r)
{
    struct error err;
    error_set(&err, ERR_CANCELED, "the host closes");
    r->closed = true;
    for (struct list *at = r->lookups.next, *next; at != &r->lookups; at = next) {
        struct lookup *l = container_of(at, struct lookup, link);
        next = at->next;
        lookup_answer(l, &err);
        if (deferred_pending(&l->start))
            lookup_free(l);
    }
    timer_set(&r->timer, 0);
    if (r->channel) {
        ares_destroy(r->channel); /* every query ends in its callback */
        mem_give(r->host->mem, LIMIT_RESOLVE_CHANNEL_BYTES);
    }
    r->channel = NULL;
}

/* Names and answers. */

static enum err code_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return ERR_OK;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
        return ERR_NOT_FOUND;
    case ARES_ETIMEOUT:
        return ERR_TIMEOUT;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
        return ERR_CANCELED;
    case ARES_EBADNAME:
        return ERR_MALFORMED;
    case ARES_ENOMEM:
        return ERR_BUDGET;
    default: /* what servers and the network do wrong */
        return ERR_UNREACHABLE;
    }
}

static void query_end(struct query *q, int status)
{
    struct lookup *l = q->lookup;
    if (status)
        error_set(&l->last, code_of(status), "looking a name up: %s", ares_strerror(status));
    mem_free(l->resolver->host->mem, q);
    mem_give(l->resolver->host->mem, LIMIT_RESOLVE_QUERY_BYTES);
    pending_done(l);
}

/* One address that can be dialed. */
static void emit(struct lookup *l, struct bytes ip, uint16_t port, const struct peer_id *peer)
{
    uint8_t buf[128];
    struct writer w = writer_of(buf, sizeof(buf));
    if (!l->req || port == 0 || !LIMIT_CHECK(RESOLVE_ADDRESSES, l->found + 1))
        return;
    l->found++;
    multiaddr_put_tcp(&w, ip.size == 16 ? MULTIADDR_IP6 : MULTIADDR_IP4, ip.data, port);
    if (peer->len > 0)
        multiaddr_put_peer(&w, peer);
    assert(!w.overflow);
    l->req->on_address(l->req, bytes_of(buf, writer_used(&w)));
}

static void on_addrinfo(void *arg, int status, int timeouts UNUSED, struct ares_addrinfo *info)
{
    struct query *q = arg;
    for (struct ares_addrinfo_node *n = info ? info->nodes : NULL; n; n = n->ai_next) {
        const struct sockaddr_in *in4 = (const void *)n->ai_addr;
        const struct sockaddr_in6 *in6 = (const void *)n->ai_addr;
        if (n->ai_family == AF_INET)
            emit(q->lookup, bytes_of(&in4->sin_addr, 4), q->port, &q->peer);
        else if (n->ai_family == AF_INET6)
            emit(q->lookup, bytes_of(&in6->sin6_addr, 16), q->port, &q->peer);
    }
    if (info)
        ares_freeaddrinfo(info);
    query_end(q, status);
}

static void resolve_one(struct lookup *l, struct bytes multiaddr, uint8_t depth);

bool dnsaddr_parse(struct bytes txt, struct writer *out)
{
    size_t prefix = strlen(DNSADDR_PREFIX);
    if (txt.size <= prefix || memcmp(txt.data, DNSADDR_PREFIX, prefix) != 0 ||
        txt.size - prefix > MULTIADDR_TEXT_MAX)
        return false;
    return multiaddr_from_text((const char *)txt.data + prefix, txt.size - prefix, out, NULL) ==
           ERR_OK;
}

static void on_record(struct query *q, struct bytes txt)
{
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
    struct writer w = writer_of(buf, sizeof(buf));
    if (dnsaddr_parse(txt, &w))
        resolve_one(q->lookup, bytes_of(buf, writer_used(&w)), (uint8_t)(q->depth + 1));
}

/* The strings of a record are pieces of one text. */
static void on_txt(void *arg, int status, int timeouts UNUSED, unsigned char *reply, int size)
{
    struct query *q = arg;
    struct ares_txt_ext *records = NULL;
    uint8_t text[MULTIADDR_TEXT_MAX];
    size_t used = 0;
    if (!status)
        status = ares_parse_txt_reply_ext(reply, size, &records);
    for (struct ares_txt_ext *t = records; t; t = t->next) {
        if (t->record_start)
            used = 0;
        size_t n = MIN(t->length, sizeof(text) - used);
        memcpy(text + used, t->txt, n);
        used += n;
        if (!t->next || t->next->record_start)
            on_record(q, bytes_of(text, used));
    }
    if (records)
        ares_free_data(records);
    query_end(q, status);
}

static void query_start(struct lookup *l, const struct multiaddr_target *t, uint8_t depth)
{
    struct resolver *r = l->resolver;
    char name[sizeof("_dnsaddr.") + LIMIT_DNS_NAME_BYTES];
    struct query *q = NULL;
    if (!LIMIT_CHECK(RESOLVE_QUERIES, l->queries + 1) || channel_get(r, &l->last))
        return;
    if (mem_take(r->host->mem, LIMIT_RESOLVE_QUERY_BYTES)) {
        q = mem_try_zalloc(r->host->mem, sizeof(*q));
        if (!q)
            mem_give(r->host->mem, LIMIT_RESOLVE_QUERY_BYTES);
    }
    if (!q) {
        mem_refused(r->host->mem, LIMIT_RESOLVE_QUERY_BYTES, &l->last);
        return;
    }
    *q = (struct query){ .lookup = l, .peer = t->peer, .port = t->port, .depth = depth };
    l->queries++;
    l->pending++;
    snprintf(name, sizeof(name), "%s%.*s", t->host == MULTIADDR_DNSADDR ? "_dnsaddr." : "",
             (int)t->value.size, (const char *)t->value.data);
    if (t->host == MULTIADDR_DNSADDR) {
        ares_query(r->channel, name, ns_c_in, ns_t_txt, on_txt, q);
        return;
    }
    const struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT,
                                               .ai_family = t->host == MULTIADDR_DNS4   ? AF_INET
                                                            : t->host == MULTIADDR_DNS6 ? AF_INET6
                                                                                        : AF_UNSPEC,
                                               .ai_socktype = SOCK_STREAM };
    ares_getaddrinfo(r->channel, name, NULL, &hints, on_addrinfo, q);
}

static void resolve_one(struct lookup *l, struct bytes multiaddr, uint8_t depth)
{
    struct multiaddr_target t;
    if (!l->req || !multiaddr_target(multiaddr, &t))
        return; /* UDP, relayed: not for us */
    if (l->peer.len > 0 && !peer_id_equal(&t.peer, &l->peer))
        return; /* somebody else's */
    if (t.host == MULTIADDR_IP4 || t.host == MULTIADDR_IP6)
        emit(l, t.value, t.port, &t.peer);
    else if (t.host != MULTIADDR_DNSADDR || LIMIT_CHECK(RESOLVE_DEPTH, depth + 1))
        query_start(l, &t, depth);
}

static void on_start(struct deferred *d)
{
    struct lookup *l = container_of(d, struct lookup, start);
    struct multiaddr_target t;
    struct resolver *r = l->resolver;
    if (l->req && !multiaddr_target(l->req->multiaddr, &t)) {
        error_set(&l->last, ERR_MALFORMED, "that is no address which can be dialed");
    } else if (l->req) {
        l->peer = t.peer;
        resolve_one(l, l->req->multiaddr, 0);
    }
    pending_done(l);
    timer_arm(r);
}
