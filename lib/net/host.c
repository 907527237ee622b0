#include "base/mem.h"
#include "core/governor.h"
#include "core/metrics.h"
#include "net/host_room.h"
#include "net/host_state.h"

static const char *const muxers[] = { "/yamux/1.0.0", NULL };

static void on_drained(struct timer *t);

enum err host_create(struct host **out, const struct host_options *options, struct error *err)
{
    assert(options->loop && options->mem && options->identity);
    struct host *h = mem_zalloc(options->mem, sizeof(*h));
    uint8_t secret[X25519_BYTES];
    h->options = *options;
    h->loop = options->loop;
    h->mem = options->mem;
    struct host_options *o = &h->options;
    host_options_fill(o);
    list_init(&h->conns);
    list_init(&h->jobs);
    list_init(&h->starved);
    list_init(&h->thirsty);
    list_init(&h->hasty);
    list_init(&h->watchers);
    timer_init(&h->drain, h->loop, on_drained, "host drain");
    timer_init(&h->tick, h->loop, host_tick, "host");
    h->resolver = resolver_create(h, o->dns_servers);
    timer_init(&h->accept_again, h->loop, listeners_resume, "accept");
    secret_random(secret, sizeof(secret));
    const char *const *offered = o->late_muxer ? &muxers[1] : muxers; /* none, or yamux */
    enum err rc = noise_static_init(&h->noise, options->identity, secret, offered, err);
    secret_wipe(secret, sizeof(secret));
    h->read_buffer = rc ? NULL : mem_try_alloc(h->mem, HOST_READ_BYTES);
    if (!rc && !h->read_buffer)
        rc = mem_refused(h->mem, HOST_READ_BYTES, err);
    if (!rc)
        rc = addrbook_create(&h->book, h->loop, h->mem, err);
    if (!rc)
        rc = marks_create(&h->failures, h->loop, h->mem, err);
    if (!rc)
        rc = marks_create(&h->callers, h->loop, h->mem, err);
    if (!rc)
        rc = host_serve(h, PROTOCOL_identify_push, &identify_push_ops, NULL, err);
    if (!rc)
        rc = host_serve(h, PROTOCOL_identify, &identify_ops, NULL, err);
    if (!rc)
        rc = host_serve(h, PROTOCOL_ping, &ping_ops, NULL, err);
    if (rc) {
        host_destroy(h);
        return rc;
    }
    *out = h;
    return ERR_OK;
}

void host_destroy(struct host *h)
{
    if (!h)
        return;
    assert(h->handles == 0 && list_empty(&h->conns) && list_empty(&h->jobs));
    loop_defer_cancel(&h->turn);
    resolver_destroy(h->resolver);
    marks_destroy(h->callers);
    marks_destroy(h->failures);
    addrbook_destroy(h->book);
    mem_free(h->mem, h->read_buffer);
    secret_wipe(&h->noise, sizeof(h->noise));
    mem_free(h->mem, h);
}

const struct peer_id *host_id(const struct host *h)
{
    return &h->options.identity->id;
}

enum err host_register(struct host *h, const struct protocol *p, struct error *err)
{
    assert(p->ops && strlen(p->name) <= LIMIT_MULTISTREAM_NAME_BYTES);
    if (h->protocols_count == LIMIT_P2P_PROTOCOLS)
        return error_set(err, ERR_LIMIT, "more protocols than the host has room for");
    h->protocols[h->protocols_count++] = p;
    h->version++;
    return ERR_OK;
}

int host_protocol_index(const struct host *h, const char *asked, size_t size)
{
    for (uint32_t i = 0; i < h->protocols_count; i++) {
        const struct protocol *p = h->protocols[i];
        if (size > LIMIT_MULTISTREAM_NAME_BYTES)
            break;
        if (p->match ? p->match(p->name, asked, size)
                     : strlen(p->name) == size && !memcmp(p->name, asked, size))
            return (int)i;
    }
    return HOST_NO_PROTOCOL;
}

/* Watchers. */

void host_watch(struct host *h, struct host_watch *w)
{
    list_append(&h->watchers, &w->link_);
}

void host_unwatch(struct host_watch *w)
{
    if (list_linked(&w->link_))
        list_remove(&w->link_);
}

/* Addresses. */

enum err host_announce(struct host *h, struct bytes multiaddr, struct error *err)
{
    enum err rc = multiaddr_check(multiaddr, err);
    if (rc)
        return rc;
    if (h->announce_count == LIMIT_P2P_LISTENERS || multiaddr.size > sizeof(h->announce[0]))
        return error_set(err, ERR_CONFIG, "more or longer addresses to announce than allowed");
    memcpy(h->announce[h->announce_count], multiaddr.data, multiaddr.size);
    h->announce_size[h->announce_count++] = multiaddr.size;
    h->version++;
    return ERR_OK;
}

void address_put(struct writer *w, const struct host_address *a)
{
    multiaddr_put_tcp(w, a->ip6 ? MULTIADDR_IP6 : MULTIADDR_IP4, a->ip, a->port);
}

bool host_address(const struct host *h, size_t i, struct writer *out)
{
    if (h->announce_count > 0) {
        if (i < h->announce_count)
            writer_put(out, h->announce[i], h->announce_size[i]);
        return i < h->announce_count;
    }
    if (i < h->reached.count)
        address_put(out, &h->reached.list[i]);
    return i < h->reached.count;
}

/* Private ranges mean something else where the peer is, and 0.0.0.0 means nothing there at all. */
bool host_announces(const struct host *h, struct bytes multiaddr)
{
    return multiaddr_is_told(multiaddr, h->options.allow_private);
}

/* Machines get and lose addresses while we run. */
void host_reached_look(struct host *h, bool now)
{
    struct host_address bound[LIMIT_P2P_LISTENERS];
    struct reached found;
    bool wildcards = false;
    if (!now && loop_now_ms(h->loop) - h->reached_ms < LIMIT_P2P_REACHED_MS)
        return;
    h->reached_ms = loop_now_ms(h->loop);
    for (uint32_t i = 0; i < h->listeners_count; i++) {
        bound[i] = *listener_address(h->listeners[i]);
        wildcards |= address_is_wildcard(&bound[i]);
    }
    if (!now && (!wildcards || h->announce_count > 0))
        return; /* what peers are told stays as it is */
    const struct reached_from from = { bound, h->listeners_count, h->options.allow_private,
                                       h->options.machine };
    bool read = reached_make(&found, &from);
    if (!read && !now)
        return; /* what was there is likelier than nothing */
    if (reached_equal(&found, &h->reached))
        return;
    h->reached = found;
    h->version++;
}

/* Limits. */

/* One IPv4 address, or one IPv6 /56: what one customer has. */
static bool same_site(const struct host_address *a, const struct host_address *b)
{
    return a->ip6 == b->ip6 && !memcmp(a->ip, b->ip, a->ip6 ? 7 : 4);
}

/* Five a second, twenty at once. */
static bool call_allowed(struct host *h, const struct host_address *from)
{
    uint8_t key[8] = { from->ip6 };
    uint64_t now = loop_now_ms(h->loop);
    memcpy(key + 1, from->ip, from->ip6 ? 7 : 4);
    struct mark *m = marks_find(h->callers, bytes_of(key, sizeof(key)), true);
    if (m->at_ms == 0) {
        m->count = LIMIT_P2P_CALLS_BURST;
        m->at_ms = now;
    }
    uint64_t more = (now - m->at_ms) * LIMIT_P2P_CALLS_PER_SECOND / 1000;
    if (more > 0) {
        m->count = (uint32_t)MIN(m->count + more, LIMIT_P2P_CALLS_BURST);
        m->at_ms = now;
    }
    if (m->count == 0)
        return false;
    m->count--;
    return true;
}

static bool refuse(unsigned why)
{
    metric_add_by(METRIC_p2p_refused_total, why, 1);
    return false;
}

/* The oldest of those that are not through yet makes room, unless it may still be honest. */
static bool half_open_evict(struct host *h)
{
    for (struct list *at = h->conns.next; at != &h->conns; at = at->next) {
        struct conn *c = container_of(at, struct conn, link_); /* the oldest first */
        if (!c->upgrade || !c->inbound)
            continue;
        if (loop_now_ms(h->loop) - c->opened_ms < LIMIT_P2P_HALF_OPEN_SURE_MS)
            return false;
        metric_add_by(METRIC_p2p_refused_total, REFUSED_HALF_OPEN, 1);
        conn_close(c, ERR_LIMIT, "the upgrade takes long, and others wait");
        return true;
    }
    return false;
}

bool host_takes_upgrade(struct host *h)
{
    return LIMIT_CHECK(P2P_HALF_OPEN, h->half_open + 1) || half_open_evict(h);
}

void host_half_open_less(struct host *h)
{
    h->half_open--;
    if (timer_is_set(&h->accept_again))
        timer_set(&h->accept_again, 1);
}

bool host_admits(struct host *h, const struct host_address *from)
{
    uint32_t same = 0, same_half_open = 0;
    if (h->options.governor && !governor_admits(h->options.governor))
        return refuse(REFUSED_MARK);
    if (h->conns_count > h->options.connections_max) {
        LIMIT_HIT(P2P_CONNECTIONS);
        return refuse(REFUSED_CONNECTIONS);
    }
    if (address_is_loopback(from) && !h->options.count_loopback)
        return true;
    for (struct list *at = h->conns.next; at != &h->conns; at = at->next) {
        const struct conn *c = container_of(at, struct conn, link_);
        bool counts = same_site(&c->address, from);
        same += counts;
        same_half_open += counts && c->upgrade && c->inbound;
    }
    if (!LIMIT_CHECK(P2P_PER_ADDRESS, same))
        return refuse(REFUSED_ADDRESS);
    if (!LIMIT_CHECK(P2P_HALF_OPEN_ADDRESS, same_half_open))
        return refuse(REFUSED_HALF_OPEN_ADDRESS);
    if (!call_allowed(h, from)) {
        LIMIT_HIT(P2P_CALLS_BURST);
        return refuse(REFUSED_RATE);
    }
    return true;
}

uint32_t host_conns_of(const struct host *h, const struct peer_id *peer)
{
    uint32_t n = 0;
    for (struct list *at = h->conns.next; at != &h->conns; at = at->next) {
        const struct conn *c = container_of(at, struct conn, link_);
        n += c->state == CONN_OPEN && peer_id_equal(&c->remote, peer);
    }
    return n;
}

/* The oldest outbound one, else the oldest. */
struct conn *host_conn_to(struct host *h, const struct peer_id *peer)
{
    struct conn *best = NULL;
    for (struct list *at = h->conns.next; at != &h->conns; at = at->next) {
        struct conn *c = container_of(at, struct conn, link_);
        if (c->state != CONN_OPEN || c->draining || c->unwanted_ ||
            !peer_id_equal(&c->remote, peer))
            continue;
        if (!best || (best->inbound && !c->inbound))
            best = c;
    }
    return best;
}

/* Minutes that have passed are empty again. */
static void inbound_count(struct host *h, uint32_t more)
{
    uint64_t minute = loop_now_ms(h->loop) / 60000, passed = minute - h->inbound_minute;
    for (uint64_t i = 1; i <= MIN(passed, (uint64_t)HOST_MINUTES); i++)
        h->inbound[(h->inbound_minute + i) % HOST_MINUTES] = 0;
    h->inbound_minute = minute;
    h->inbound[minute % HOST_MINUTES] += more;
}

void host_conn_opened(struct conn *c)
{
    struct host *h = c->host;
    if (c->attempt)
        dial_attempt_done(c->attempt, c, NULL);
    c->attempt = NULL;
    if (c->state != CONN_OPEN)
        return; /* another attempt had won */
    metric_shift_by(METRIC_p2p_connections, c->inbound, 1);
    if (c->inbound)
        inbound_count(h, 1);
    if (!timer_is_set(&h->tick) && !h->closing)
        timer_set(&h->tick, LIMIT_P2P_TRIM_MS);
    host_reached_look(h, false); /* it may be our first since the network is there */
    identify_start(c);
    for (struct list *at = h->watchers.next, *next; at != &h->watchers; at = next) {
        struct host_watch *w = container_of(at, struct host_watch, link_);
        next = at->next;
        if (w->on_open)
            w->on_open(w->ctx, &c->remote, c->inbound);
    }
}

void host_conn_identified(struct conn *c)
{
    struct host *h = c->host;
    c->identified = true;
    for (struct list *at = h->watchers.next, *next; at != &h->watchers; at = next) {
        struct host_watch *w = container_of(at, struct host_watch, link_);
        next = at->next;
        if (w->on_identified)
            w->on_identified(w->ctx, &c->remote);
    }
}

void host_conn_gone(struct conn *c)
{
    struct host *h = c->host;
    metric_shift_by(METRIC_p2p_connections, c->inbound, -1);
    addrbook_seen(h->book, &c->remote);
    for (struct list *at = h->watchers.next, *next; at != &h->watchers; at = next) {
        struct host_watch *w = container_of(at, struct host_watch, link_);
        next = at->next;
        if (w->on_gone)
            w->on_gone(w->ctx, &c->remote);
    }
}

bool host_peer_serves(const struct host *h, const struct peer_id *peer, unsigned protocol_row)
{
    for (struct list *at = h->conns.next; at != &h->conns; at = at->next) {
        const struct conn *c = container_of(at, struct conn, link_);
        if (c->state == CONN_OPEN && (c->protocols >> protocol_row & 1) &&
            peer_id_equal(&c->remote, peer))
            return true;
    }
    return false;
}

bool host_connected(const struct host *h, const struct peer_id *peer)
{
    return host_conns_of(h, peer) > 0;
}

void host_disconnect(struct host *h, const struct peer_id *peer)
{
    for (struct list *at = h->conns.next; at != &h->conns; at = at->next) {
        struct conn *c = container_of(at, struct conn, link_);
        if (c->state == CONN_OPEN && peer_id_equal(&c->remote, peer))
            conn_close_soon(c);
    }
}

void host_keep_only(struct stream *s)
{
    struct conn *kept = stream_conn(s);
    for (struct list *at = kept->host->conns.next; at != &kept->host->conns; at = at->next) {
        struct conn *c = container_of(at, struct conn, link_);
        if (c != kept && c->state == CONN_OPEN && peer_id_equal(&c->remote, &kept->remote))
            conn_close_soon(c);
    }
}

void host_stream_remote(struct stream *s, struct writer *out)
{
    address_put(out, &stream_conn(s)->address);
}

uint32_t host_connections(const struct host *h)
{
    return h->conns_count;
}

size_t host_peers(const struct host *h, struct host_peer *out, size_t max)
{
    size_t n = 0;
    uint64_t now = loop_now_ms(h->loop);
    for (struct list *at = h->conns.next; at != &h->conns && n < max; at = at->next) {
        const struct conn *c = container_of(at, struct conn, link_);
        if (c->state == CONN_OPEN)
            out[n++] = (struct host_peer){ .id = c->remote,
                                           .address = c->address,
                                           .inbound = c->inbound,
                                           .agent = c->agent,
                                           .age_ms = now - c->opened_ms,
                                           .rtt_ns = c->rtt_ns,
                                           .tags = addrbook_tags(h->book, &c->remote),
                                           .bytes_in = c->bytes_in,
                                           .bytes_out = c->bytes_out,
                                           .streams = c->mux.streams_in + c->mux.streams_out };
    }
    return n;
}

/* The address book. */

void host_learn(struct host *h, const struct peer_id *peer, const struct bytes *addresses,
                size_t count, enum host_source source)
{
    if (peer_id_equal(peer, host_id(h)))
        return;
    for (size_t i = 0; i < count; i++) {
        struct multiaddr_target t;
        if (!multiaddr_target(addresses[i], &t) ||
            (t.peer.len > 0 && !peer_id_equal(&t.peer, peer)))
            continue; /* nothing for us to dial */
        struct host_address a = { .ip6 = t.host == MULTIADDR_IP6 };
        bool is_ip = t.host == MULTIADDR_IP4 || t.host == MULTIADDR_IP6;
        if (is_ip)
            memcpy(a.ip, t.value.data, t.value.size);
        if (is_ip && !h->options.allow_private && address_is_private(&a))
            continue;
        struct bytes bare = addresses[i];
        if (t.peer.len > 0) { /* always the last part */
            uint8_t part[64];
            struct writer w = writer_of(part, sizeof(part));
            multiaddr_put_peer(&w, &t.peer);
            bare.size -= MIN(bare.size, writer_used(&w));
        }
        addrbook_learn(h->book, peer, bare, source);
    }
}

bool host_protect(struct host *h, const struct peer_id *peer, enum host_tag tag, bool on)
{
    return addrbook_tag(h->book, peer, tag, on);
}

/* Opening a stream. */

static void on_open_failed(struct deferred *d)
{
    struct stream_open *req = container_of(d, struct stream_open, deferred_);
    req->cb(req, NULL, &req->result_);
}

static void open_on(struct stream_open *req, struct conn *c)
{
    struct host *h = req->host_;
    if (!c || h->closing)
        error_set(&req->result_, ERR_UNREACHABLE, "there is no connection to the peer");
    else
        err_ignore(conn_stream_open(c, req, &req->result_));
    if (req->result_.code)
        loop_defer_named(h->loop, &req->deferred_, on_open_failed, "stream open");
}

static void on_dialed(struct host_dial *dial, const struct error *err)
{
    struct stream_open *req = container_of(dial, struct stream_open, dial_);
    req->dialing_ = false;
    if (req->result_.code) /* canceled */
        req->cb(req, NULL, &req->result_);
    else if (err)
        req->cb(req, NULL, err);
    else
        open_on(req, host_conn_to(req->host_, &req->to));
}

void stream_open(struct host *h, struct stream_open *req)
{
    assert(req->cb && req->count > 0 && req->count <= LIMIT_MULTISTREAM_PROPOSALS);
    struct conn *c = req->conn ? req->conn : host_conn_to(h, &req->to);
    req->host_ = h;
    req->stream_ = NULL;
    req->dialing_ = !c && req->dial && !h->closing;
    error_clear(&req->result_);
    if (!req->dialing_) {
        open_on(req, c);
        return;
    }
    req->dial_ = (struct host_dial){ .peer = req->to, .cb = on_dialed };
    host_dial(h, &req->dial_);
}

void stream_open_cancel(struct stream_open *req)
{
    if (req->dialing_) {
        error_set(&req->result_, ERR_CANCELED, "canceled while dialing");
        host_dial_cancel(&req->dial_);
    } else if (req->stream_) {
        stream_fail(req->stream_, ERR_CANCELED, 0);
    }
}

void host_stats(const struct host *h, struct host_stats *out)
{
    const struct host_options *o = &h->options;
    *out = (struct host_stats){ .connections_max = o->connections_max,
                                .half_open = h->half_open,
                                .dialing = h->dials,
                                .known_peers = addrbook_count(h->book),
                                .queued_bytes = h->queued_bytes };
    for (struct list *at = h->conns.next; at != &h->conns; at = at->next) {
        const struct conn *c = container_of(at, struct conn, link_);
        if (c->state != CONN_OPEN)
            continue;
        *(c->inbound ? &out->inbound : &out->outbound) += 1;
        out->streams += c->mux.streams_in + c->mux.streams_out;
    }
    out->bound_bytes = host_room_bytes(o->connections_max, host_room_held(o));
    if (o->stream_window_bytes > LIMIT_YAMUX_WINDOW_BYTES) /* promised, hence taken */
        out->bound_bytes +=
            (uint64_t)LIMIT_P2P_STREAMS_IN * (o->stream_window_bytes - LIMIT_YAMUX_WINDOW_BYTES);
    out->bound_bytes = MIN(out->bound_bytes, h->mem->ceiling_bytes);
}

void host_metrics(struct host *h)
{
    int64_t hour = 0;
    inbound_count(h, 0);
    for (size_t i = 0; i < HOST_MINUTES; i++)
        hour += h->inbound[i];
    metric_set(METRIC_p2p_inbound_last_hour, hour);
    metric_set(METRIC_p2p_half_open, h->half_open);
    metric_set(METRIC_p2p_queued_bytes, (int64_t)h->queued_bytes);
    struct host_observed most = { 0 };
    host_observed(h, &most, 1);
    metric_set(METRIC_p2p_observed_networks, most.networks);
    metric_set(METRIC_p2p_book_peers, addrbook_count(h->book));
}

/* Closing. */

static void on_done(struct deferred *d)
{
    struct host *h = container_of(d, struct host, done_later);
    h->done(h->done_ctx);
}

void host_handle_closed(struct host *h)
{
    h->handles--;
    if (h->closing && h->handles == 0 && list_empty(&h->jobs)) {
        timer_set(&h->drain, 0);
        loop_defer_named(h->loop, &h->done_later, on_done, "host closed");
    }
}

static void on_drained(struct timer *t)
{
    struct host *h = container_of(t, struct host, drain);
    while (!list_empty(&h->conns))
        conn_close(container_of(list_first(&h->conns), struct conn, link_), ERR_CANCELED,
                   "the host closes");
}

void host_close(struct host *h, uint32_t drain_ms, void (*done)(void *ctx), void *ctx)
{
    assert(!h->closing);
    h->closing = true;
    h->done = done;
    h->done_ctx = ctx;
    h->handles++; /* ours, so that done comes once and later */
    listeners_close(h);
    dial_jobs_cancel(h);
    for (struct list *at = h->conns.next, *next; at != &h->conns; at = next) {
        next = at->next;
        conn_drain(container_of(at, struct conn, link_), YAMUX_GO_AWAY_SHUTDOWN);
    }
    resolver_close(h->resolver);
    timer_set(&h->tick, 0);
    timer_set(&h->drain, drain_ms ? drain_ms : 1);
    host_handle_closed(h);
}

void host_hurry(struct host *h)
{
    if (timer_is_set(&h->drain))
        timer_set(&h->drain, 1);
}
