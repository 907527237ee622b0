/* Life of the server, the stream `cursors`, and what each peer may get. */
#include "base/mem.h"
#include "net/protocols.h"
#include "swarm/headers.h"
#include "swarm/pullsync_serve.h"

/* --- peers and their rate -------------------------------------------------------------------- */

static struct list *bucket_of(struct pullsync_server *server, const struct peer_id *id)
{
    return &server->peers[id->len ? id->bytes[id->len - 1] : 0];
}

static int64_t burst_u(const struct pullsync_server *server)
{
    return (int64_t)server->options.rate * 1000000;
}

static void tokens_refill(struct serve_peer *peer)
{
    uint64_t now = loop_now_ms(peer->server->options.loop);
    int64_t fresh = (int64_t)(MIN(now - peer->tokens_ms, (uint64_t)3600000) *
                              peer->server->options.rate * 1000);
    peer->tokens_ms = now;
    peer->tokens_u = MIN(peer->tokens_u + fresh, burst_u(peer->server));
}

/* It stays known until its debt is paid, or closing every stream would forgive it. */
static void peer_free_when_idle(struct serve_peer *peer)
{
    struct pullsync_server *server = peer->server;
    if (peer->sessions > 0)
        return;
    tokens_refill(peer);
    int64_t missing = burst_u(server) - peer->tokens_u;
    if (missing > 0 && server->options.rate > 0 && !server->stopping) {
        timer_set(&peer->timer, (uint64_t)missing / (server->options.rate * UINT64_C(1000)) + 1);
        return;
    }
    timer_set(&peer->timer, 0);
    list_remove(&peer->link);
    server->status.peers--;
    mem_free(server->options.mem, peer);
}

/* Those whose turn it is. More is asked for at once than a small burst holds: then a full burst is
 * enough, and the peer is in debt. */
static void peer_serve(struct serve_peer *peer)
{
    struct pullsync_server *server = peer->server;
    uint32_t rate = server->options.rate;
    while (!list_empty(&peer->paying)) {
        struct serve *s = container_of(list_first(&peer->paying), struct serve, turn);
        int64_t price = MAX((int64_t)s->wanted, 1) * 1000000;
        tokens_refill(peer);
        int64_t missing = MIN(price, burst_u(server)) - peer->tokens_u;
        if (rate > 0 && missing > 0) {
            timer_set(&peer->timer, (uint64_t)missing / (rate * UINT64_C(1000)) + 1);
            return;
        }
        if (rate > 0)
            peer->tokens_u -= price;
        list_remove(&s->turn);
        serve_paid(s);
    }
}

static void on_tokens(struct timer *t)
{
    struct serve_peer *peer = container_of(t, struct serve_peer, timer);
    peer_serve(peer);
    peer_free_when_idle(peer);
}

void serve_pay(struct serve *s)
{
    bool first = list_empty(&s->peer->paying);
    list_append(&s->peer->paying, &s->turn);
    if (first)
        peer_serve(s->peer);
}

struct serve_peer *serve_peer_enter(struct pullsync_server *server, const struct peer_id *id)
{
    struct serve_peer *peer = NULL;
    list_each (at, bucket_of(server, id)) {
        struct serve_peer *known = container_of(at, struct serve_peer, link);
        if (peer_id_equal(&known->id, id))
            peer = known;
    }
    if (!peer) {
        peer = mem_zalloc(server->options.mem, sizeof(*peer));
        peer->id = *id;
        peer->server = server;
        peer->tokens_u = burst_u(server);
        peer->tokens_ms = loop_now_ms(server->options.loop);
        list_init(&peer->paying);
        page_quota_init(&peer->quota);
        timer_init(&peer->timer, server->options.loop, on_tokens, "rate of a peer");
        list_append(bucket_of(server, id), &peer->link);
        server->status.peers++;
    }
    peer->sessions++;
    return peer;
}

void serve_peer_leave(struct serve_peer *peer)
{
    peer->sessions--;
    peer_free_when_idle(peer);
}

static void each_peer(struct pullsync_server *server, void (*use)(struct serve_peer *peer))
{
    for (size_t i = 0; i < SERVE_PEER_BUCKETS; i++)
        list_each_safe (at, &server->peers[i])
            use(container_of(at, struct serve_peer, link));
}

void pullsync_server_set_rate(struct pullsync_server *s, uint32_t rate)
{
    each_peer(s, tokens_refill);
    s->options.rate = rate;
    each_peer(s, peer_serve);
}

/* --- the stream `cursors` -------------------------------------------------------------------- */

struct cursors {
    struct pullsync_server *server;
    struct stream *stream;
    struct list link;
    struct frame_reader frames;
    bool headers_read, asked;
    uint32_t size, sent;
    uint8_t out[sizeof(headers_none) + 9 + PULLSYNC_ACK_BYTES_MAX];
};

static void cursors_answer(struct cursors *c)
{
    struct reserve_status status;
    struct pullsync_ack ack;
    uint8_t message[PULLSYNC_ACK_BYTES_MAX];
    struct writer m = writer_of(message, sizeof(message));
    reserve_status(c->server->options.reserve, &status);
    static_assert(sizeof(ack.cursors) == sizeof(status.last_binid), "one cursor per bin");
    memcpy(ack.cursors, status.last_binid, sizeof(ack.cursors));
    ack.epoch = status.epoch;
    pullsync_ack_encode(&m, &ack);
    c->size += (uint32_t)frame_header_put(c->out + c->size, writer_used(&m));
    memcpy(c->out + c->size, message, writer_used(&m));
    c->size += (uint32_t)writer_used(&m);
}

static enum err cursors_frame(struct frame_reader *fr, struct bytes message)
{
    struct cursors *c = container_of(fr, struct cursors, frames);
    if (c->asked)
        return ERR_PROTOCOL;
    if (!c->headers_read) {
        enum err rc = headers_check(message, NULL);
        if (rc)
            return rc;
        memcpy(c->out, headers_none, sizeof(headers_none));
        c->size = sizeof(headers_none);
        c->headers_read = true;
    } else {
        c->asked = true; /* Syn says nothing */
        cursors_answer(c);
    }
    stream_want_write(c->stream);
    return ERR_OK;
}

static enum err cursors_open(struct stream *stream, void *ctx, void **user)
{
    struct pullsync_server *server = ctx;
    const struct pullsync_server_options *o = &server->options;
    if (server->stopping || (o->admits && !o->admits(o->ctx, stream_peer(stream))))
        return ERR_REFUSED;
    struct cursors *c = mem_zalloc(o->mem, sizeof(*c));
    c->server = server;
    c->stream = stream;
    c->frames = (struct frame_reader){ .stream = stream,
                                       .owner = o->mem,
                                       FRAME_LIMIT(PULLSYNC_REQUEST_BYTES),
                                       .on_frame = cursors_frame };
    list_append(&server->cursor_sessions, &c->link);
    stream_deadline(stream, LIMIT_PULLSYNC_CLOSE_MS);
    *user = c;
    return ERR_OK;
}

static size_t cursors_data(struct stream *stream, void *user, const uint8_t *bytes, size_t size)
{
    struct cursors *c = user;
    if (size > 0)
        return frame_feed(&c->frames, bytes, size);
    if (!c->asked)
        stream_reset(stream, 0);
    return 0;
}

static size_t cursors_writable(struct stream *stream, void *user, uint8_t *buf, size_t room)
{
    struct cursors *c = user;
    size_t n = MIN(room, (size_t)(c->size - c->sent));
    memcpy(buf, c->out + c->sent, n);
    c->sent += (uint32_t)n;
    if (c->asked && c->sent == c->size)
        stream_finish(stream);
    return n;
}

static void cursors_close(struct stream *stream UNUSED, void *user, const struct error *err,
                          uint32_t code UNUSED)
{
    struct cursors *c = user;
    if (!c)
        return;
    struct pullsync_server *server = c->server;
    if (err)
        metric_add_by(METRIC_pullsync_serve_failed_total, err->code, 1);
    frame_close(&c->frames);
    list_remove(&c->link);
    mem_free(server->options.mem, c);
    serve_stop_check(server);
}

static const struct stream_ops cursors_ops = { cursors_open, cursors_data, cursors_writable,
                                               cursors_close };

/* --- life ------------------------------------------------------------------------------------ */

static void collect(struct metrics_collector *c)
{
    struct pullsync_server *server = container_of(c, struct pullsync_server, collector);
    struct pullsync_server_status s;
    pullsync_server_status(server, &s);
    metric_set(METRIC_pullsync_parked, s.parked);
    metric_set(METRIC_pullsync_serve_sessions, s.sessions);
    metric_set(METRIC_pullsync_serve_pages, s.pages);
    metric_raise(METRIC_pullsync_pages_shared_total, s.pages_shared);
}

static enum err protocols_register(struct pullsync_server *server, struct error *err)
{
    struct host *host = server->options.host;
    protocol_init(&server->pages_protocol, PROTOCOL_pullsync, &serve_ops, server);
    protocol_init(&server->cursors_protocol, PROTOCOL_pullsync_cursors, &cursors_ops, server);
    if (!host)
        return ERR_OK;
    enum err rc = host_serve(host, PROTOCOL_pullsync, &serve_ops, server, err);
    return rc ? rc : host_serve(host, PROTOCOL_pullsync_cursors, &cursors_ops, server, err);
}

enum err pullsync_server_create(struct pullsync_server **out,
                                const struct pullsync_server_options *o, struct error *err)
{
    struct pullsync_server *server = mem_zalloc(o->mem, sizeof(*server));
    server->options = *o;
    list_init(&server->sessions);
    list_init(&server->cursor_sessions);
    list_init(&server->rooms);
    for (size_t i = 0; i < SERVE_PEER_BUCKETS; i++)
        list_init(&server->peers[i]);
    size_t spare = delivery_bytes(LIMIT_PULLSYNC_SMALL_CHUNKS);
    server->spare = mem_try_alloc(o->mem, spare);
    enum err rc = server->spare ? ERR_OK : mem_refused(o->mem, spare, err);
    rc = rc ? rc : pages_create(&server->pages, o->loop, o->reserve, o->mem, o->governor, err);
    rc = rc ? rc : protocols_register(server, err);
    if (rc) {
        pullsync_server_destroy(server);
        return rc;
    }
    server->collector.collect = collect;
    metrics_collector_add(&server->collector);
    *out = server;
    return ERR_OK;
}

static void on_done(struct deferred *d)
{
    struct pullsync_server *server = container_of(d, struct pullsync_server, done_later);
    server->done(server->done_ctx);
}

static void on_pages_done(void *ctx)
{
    struct pullsync_server *server = ctx;
    server->pages_done = true;
    serve_stop_check(server);
}

void serve_stop_check(struct pullsync_server *server)
{
    if (!server->stopping || !list_empty(&server->sessions) ||
        !list_empty(&server->cursor_sessions) || server->deliveries > 0)
        return;
    if (server->pages) {
        struct pages *pages = server->pages;
        if (!server->pages_stopped) {
            server->pages_stopped = true;
            pages_stop(pages, on_pages_done, server);
        }
    }
    if (server->pages_done && !deferred_pending(&server->done_later))
        loop_defer(server->options.loop, &server->done_later, on_done);
}

void pullsync_server_stop(struct pullsync_server *server, void (*done)(void *ctx), void *ctx)
{
    assert(!server->stopping);
    server->stopping = true;
    server->done = done;
    server->done_ctx = ctx;
    list_each (at, &server->sessions)
        stream_reset(container_of(at, struct serve, link)->stream, 0);
    list_each (at, &server->cursor_sessions)
        stream_reset(container_of(at, struct cursors, link)->stream, 0);
    each_peer(server, peer_free_when_idle);
    serve_stop_check(server);
}

void pullsync_server_destroy(struct pullsync_server *server)
{
    if (!server)
        return;
    assert(list_empty(&server->sessions) && server->deliveries == 0);
    metrics_collector_remove(&server->collector);
    loop_defer_cancel(&server->rooms_later);
    pages_destroy(server->pages);
    mem_free(server->options.mem, server->spare);
    mem_free(server->options.mem, server);
}

static void on_rooms(struct deferred *d)
{
    serve_rooms(container_of(d, struct pullsync_server, rooms_later));
}

void serve_room_soon(struct pullsync_server *server)
{
    if (!list_empty(&server->rooms) && !deferred_pending(&server->rooms_later))
        loop_defer(server->options.loop, &server->rooms_later, on_rooms);
}

const struct protocol *pullsync_server_pages(struct pullsync_server *s)
{
    return &s->pages_protocol;
}

const struct protocol *pullsync_server_cursors(struct pullsync_server *s)
{
    return &s->cursors_protocol;
}

void pullsync_server_status(const struct pullsync_server *server,
                            struct pullsync_server_status *out)
{
    struct pages_status pages;
    pages_status(server->pages, &pages);
    *out = server->status;
    out->parked = pages.parked;
    out->pages = pages.collecting + pages.held;
    out->pages_collected = pages.collected;
    out->pages_shared = pages.shared;
    out->delivering = server->deliveries;
}
