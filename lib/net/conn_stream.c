/* Streams of a connection: the yamux stream below, the negotiation of its protocol, and the stream
 * that protocols see. */
#include "base/mem.h"
#include "net/host_state.h"

enum { NEGOTIATION_OUT_BYTES = 256 };

struct negotiation {
    struct multistream select;
    uint16_t out_size;
    uint8_t out[NEGOTIATION_OUT_BYTES];
};

struct conn_stream {
    struct stream s;
    struct yamux_stream y;
    struct conn *conn;
    struct list link;
    struct negotiation *negotiation; /* until the protocol is known and our last token is sent */
    struct stream_open *request;     /* of an outbound one that is not negotiated yet */
    int protocol;                    /* index of an inbound one's protocol; -1 */
    uint32_t held_credit;            /* taken bytes whose credit waits for room */
    bool inbound, finish_wanted, released, below_gone;
    bool lazy; /* its protocol is taken for granted: the peer has not answered yet */
};

static void on_queued(struct stream *s, int64_t change);

static struct conn_stream *of_stream(struct stream *s)
{
    return container_of(s, struct conn_stream, s);
}
static struct conn_stream *of_yamux(struct yamux_stream *y)
{
    return container_of(y, struct conn_stream, y);
}

struct conn *stream_conn(struct stream *s)
{
    assert(s->on_queued == on_queued);
    return of_stream(s)->conn;
}

static bool negotiating(const struct conn_stream *cs)
{
    return !cs->s.protocol_ || cs->lazy;
}

static void free_when_done(struct conn_stream *cs)
{
    if (!cs->released || !cs->below_gone)
        return;
    struct conn *c = cs->conn;
    mem_give(c->host->mem, cs->y.more);
    mem_free(c->host->mem, cs->negotiation);
    mem_free(c->host->mem, cs);
    c->host->streams_ending--;
    c->stream_objects--;
    conn_free_when_done(c);
}

/* Nobody counts it as a stream any more, and its memory is held until its handler has heard. */
static void below_is_gone(struct conn_stream *cs)
{
    if (!cs->below_gone)
        cs->conn->host->streams_ending++;
    cs->below_gone = true;
}

static void negotiation_free(struct conn_stream *cs)
{
    mem_free(cs->conn->host->mem, cs->negotiation);
    cs->negotiation = NULL;
}

/* What the stream asks of us. */

static bool room_is_short(const struct host *h)
{
    return h->queued_bytes > h->options.rx_bytes_max / 4 * 3;
}

static void backend_credit(struct stream *s, uint32_t bytes)
{
    struct conn_stream *cs = of_stream(s);
    cs->held_credit += bytes;
    if (room_is_short(cs->conn->host) && s->queued_bytes > LIMIT_P2P_STREAM_HELD_BYTES)
        return;
    yamux_consumed(&cs->y, cs->held_credit);
    cs->held_credit = 0;
    if (yamux_wants_fill(&cs->conn->mux))
        conn_flush_soon(cs->conn);
}

static void backend_want_write(struct stream *s)
{
    yamux_want_write(&of_stream(s)->y);
    conn_flush_soon(of_stream(s)->conn);
}

static void tokens_write(struct conn_stream *cs)
{
    struct negotiation *n = cs->negotiation;
    if (n->out_size > 0 && conn_write_now(cs->conn, &cs->y, bytes_of(n->out, n->out_size)) > 0)
        n->out_size = 0;
}

/* Our tokens and what the handler has to say, in one frame. */
static size_t lazy_write(struct conn_stream *cs, struct bytes data)
{
    uint8_t both[NEGOTIATION_OUT_BYTES + STREAM_TRY_WRITE_MAX];
    struct negotiation *n = cs->negotiation;
    memcpy(both, n->out, n->out_size);
    memcpy(both + n->out_size, data.data, data.size);
    if (conn_write_now(cs->conn, &cs->y, bytes_of(both, n->out_size + data.size)) == 0)
        return 0;
    n->out_size = 0;
    return data.size;
}

static size_t backend_try_write(struct stream *s, struct bytes data)
{
    struct conn_stream *cs = of_stream(s);
    if (!cs->negotiation || cs->negotiation->out_size == 0)
        return conn_write_now(cs->conn, &cs->y, data);
    return cs->lazy ? lazy_write(cs, data) : 0; /* our last token goes first */
}

static void backend_finish(struct stream *s)
{
    struct conn_stream *cs = of_stream(s);
    cs->finish_wanted = true;
    if (!cs->negotiation || cs->negotiation->out_size == 0)
        yamux_finish(&cs->y);
    conn_flush_soon(cs->conn);
}

static void backend_reset(struct stream *s, uint32_t code)
{
    yamux_reset(&of_stream(s)->y, code);
    conn_flush_soon(of_stream(s)->conn);
}

static void backend_release(struct stream *s)
{
    struct conn_stream *cs = of_stream(s);
    struct stream_open *req = cs->request;
    if (req) { /* never negotiated */
        struct error err;
        enum err why = s->end_ ? s->end_ : ERR_CLOSED;
        error_set(&err, why, "opening a stream: %s", err_text(why));
        cs->request = NULL;
        req->stream_ = NULL;
        loop_defer_cancel(&req->deferred_); /* on_lazy, which has nothing to start any more */
        req->cb(req, NULL, &err);
    }
    cs->released = true;
    if (cs->y.session == NULL)
        below_is_gone(cs);
    free_when_done(cs);
}

static const struct stream_backend backend = { backend_credit,    backend_want_write,
                                               backend_try_write, backend_finish,
                                               backend_reset,     backend_release };

static void on_queued(struct stream *s, int64_t change)
{
    struct conn *c = of_stream(s)->conn;
    c->queued_bytes += (uint64_t)change;
    c->host->queued_bytes += (uint64_t)change;
}

/* The negotiation. */

static void negotiation_flush(struct conn_stream *cs)
{
    yamux_want_write(&cs->y);
    conn_flush_soon(cs->conn);
}

static uint32_t streams_of(const struct conn *c, int protocol)
{
    uint32_t n = 0;
    for (struct list *at = c->streams.next; at != &c->streams; at = at->next)
        n += container_of(at, struct conn_stream, link)->protocol == protocol;
    return n;
}

/* Limits of the protocol first, then its handler. */
static void inbound_start(struct conn_stream *cs, int index)
{
    struct host *h = cs->conn->host;
    const struct protocol *p = h->protocols[index];
    void *user = NULL;
    if ((p->in_per_peer_max > 0 && streams_of(cs->conn, index) >= p->in_per_peer_max) ||
        (p->in_max > 0 && h->protocols_in[index] >= p->in_max)) {
        stream_fail(&cs->s, ERR_LIMIT, YAMUX_RESET_LIMIT);
        return;
    }
    cs->protocol = index;
    h->protocols_in[index]++;
    stream_deadline(&cs->s, 0); /* that of the negotiation; on_open may set one */
    enum err rc = p->ops->on_open ? p->ops->on_open(&cs->s, p->ctx, &user) : ERR_OK;
    if (rc)
        stream_fail(&cs->s, rc, YAMUX_RESET_LIMIT);
    else
        stream_start(&cs->s, p, user);
}

static void on_proposal(struct conn_stream *cs)
{
    struct negotiation *n = cs->negotiation;
    int index = host_protocol_index(cs->conn->host, n->select.text, n->select.text_size);
    struct writer w = writer_of(n->out + n->out_size, sizeof(n->out) - n->out_size);
    multistream_answer(&n->select, index >= 0, &w);
    if (w.overflow) { /* proposals faster than the answers leave: nobody honest does that */
        stream_fail(&cs->s, ERR_PROTOCOL, 0);
        return;
    }
    n->out_size = (uint16_t)(n->out_size + writer_used(&w));
    negotiation_flush(cs);
    if (index >= 0)
        inbound_start(cs, index);
}

static void outbound_start(struct conn_stream *cs)
{
    struct stream_open *req = cs->request;
    const struct protocol *p = req->choices[req->chosen];
    if (deferred_pending(&req->deferred_)) { /* the peer has answered before it was asked */
        loop_defer_cancel(&req->deferred_);  /* on_lazy */
        negotiation_flush(cs);
    }
    cs->request = NULL;
    req->stream_ = NULL;
    stream_deadline(&cs->s, 0);
    stream_start(&cs->s, p, req->user);
    req->cb(req, &cs->s, NULL);
}

/* The only choice, and identify has said that the peer speaks it: its answer brings nothing new, so
 * our first bytes go with the tokens. Identify's own stream has none to send. */
static bool may_be_lazy(const struct conn *c, const struct stream_open *req)
{
    unsigned row = req->choices[0]->row;
    return req->count == 1 && row != PROTOCOL_OTHER && (c->protocols >> row & 1);
}

static void on_lazy(struct deferred *d)
{
    struct stream_open *req = container_of(d, struct stream_open, deferred_);
    struct conn_stream *cs = of_stream(req->stream_);
    if (cs->s.ending_)
        return; /* the request hears of it when the stream is released */
    cs->lazy = true;
    stream_answer_due(&cs->s, LIMIT_P2P_NEGOTIATE_MS);
    negotiation_flush(cs);
    outbound_start(cs);
}

static void on_accepted(struct conn_stream *cs)
{
    if (!cs->lazy) {
        outbound_start(cs);
        return;
    }
    cs->lazy = false;
    stream_answer_due(&cs->s, 0);
}

/* The peer has changed its mind: nothing is taken for granted from now on. */
static void ask_first(struct conn_stream *cs)
{
    cs->conn->protocols &= ~(UINT64_C(1) << cs->s.protocol_->row);
}

static void on_refused(struct conn_stream *cs)
{
    if (cs->lazy) {
        ask_first(cs);
        stream_fail(&cs->s, ERR_NO_PROTOCOL, 0);
        return;
    }
    struct negotiation *n = cs->negotiation;
    struct stream_open *req = cs->request;
    struct writer w = writer_of(n->out + n->out_size, sizeof(n->out) - n->out_size);
    if (req->chosen + 1 == req->count ||
        !multistream_propose(&n->select, req->choices[req->chosen + 1]->name, &w) || w.overflow) {
        stream_fail(&cs->s, ERR_NO_PROTOCOL, 0);
        return;
    }
    req->chosen++;
    n->out_size = (uint16_t)(n->out_size + writer_used(&w));
    negotiation_flush(cs);
}

/* Tokens at the front of data; the rest is the protocol's. */
static struct bytes negotiation_feed(struct conn_stream *cs, struct bytes data)
{
    while (data.size > 0 && negotiating(cs) && !cs->s.ending_) {
        enum multistream_event ev;
        size_t used = multistream_feed(&cs->negotiation->select, data, &ev, NULL);
        yamux_consumed(&cs->y, (uint32_t)used);
        data = bytes_of(data.data + used, data.size - used);
        switch (ev) {
        case MULTISTREAM_MORE:
            break;
        case MULTISTREAM_PROPOSAL:
            on_proposal(cs);
            break;
        case MULTISTREAM_ACCEPTED:
            on_accepted(cs);
            break;
        case MULTISTREAM_REFUSED:
            on_refused(cs);
            break;
        case MULTISTREAM_FAILED: /* bytes behind a proposal that got na: say so before the reset */
            tokens_write(cs);
            stream_fail(&cs->s, ERR_PROTOCOL, 0);
            break;
        }
    }
    if (!negotiating(cs) && cs->negotiation && cs->negotiation->out_size == 0)
        negotiation_free(cs);
    return data;
}

/* What yamux tells us. */

static struct conn_stream *stream_new(struct conn *c, bool inbound)
{
    struct host *h = c->host;
    struct conn_stream *cs = mem_try_zalloc(h->mem, sizeof(*cs));
    struct negotiation *n = cs ? mem_try_zalloc(h->mem, sizeof(*n)) : NULL;
    if (!n) {
        mem_free(h->mem, cs);
        return NULL;
    }
    cs->negotiation = n;
    cs->conn = c;
    uint32_t window = h->options.stream_window_bytes, own = LIMIT_YAMUX_WINDOW_BYTES;
    if (window > own && mem_take(h->mem, window - own))
        cs->y.more = window - own; /* else 256 KiB are enough */
    c->stream_objects++;
    cs->inbound = inbound;
    cs->protocol = -1;
    cs->s.backend_ = &backend;
    cs->s.loop_ = h->loop;
    cs->s.mem_ = h->mem;
    cs->s.peer_ = c->remote;
    cs->s.on_queued = on_queued;
    stream_init(&cs->s);
    stream_deadline(&cs->s, LIMIT_P2P_NEGOTIATE_MS);
    list_append(&c->streams, &cs->link);
    return cs;
}

/* When there are many streams, or little room is left for what they receive, a connection that has
 * few and holds little is served all the same: hostile ones cannot take everything. */
static bool takes_stream(const struct conn *c)
{
    const struct host *h = c->host;
    if (!room_is_short(h) && LIMIT_CHECK(P2P_STREAMS_IN, h->streams_in + 1))
        return true;
    return c->mux.streams_in < LIMIT_P2P_STREAMS_SURE &&
           c->queued_bytes <= LIMIT_P2P_STREAM_HELD_BYTES;
}

static struct yamux_stream *on_open(struct yamux *y, uint32_t *code)
{
    struct conn *c = container_of(y, struct conn, mux);
    *code = YAMUX_RESET_LIMIT;
    if (c->draining || !takes_stream(c))
        return NULL;
    struct conn_stream *cs = stream_new(c, true);
    if (!cs)
        return NULL;
    c->host->streams_in++;
    struct negotiation *n = cs->negotiation;
    struct writer w = writer_of(n->out, sizeof(n->out));
    multistream_listen(&n->select);
    multistream_put(&w, MULTISTREAM_HEADER);
    n->out_size = (uint16_t)writer_used(&w);
    return &cs->y;
}

static void on_acked(struct yamux *y UNUSED, struct yamux_stream *s UNUSED)
{
}

static void on_data(struct yamux *y UNUSED, struct yamux_stream *s, struct bytes data)
{
    struct conn_stream *cs = of_yamux(s);
    if (negotiating(cs)) {
        if (cs->inbound && cs->negotiation->out_size > 0)
            yamux_want_write(&cs->y); /* our header */
        data = negotiation_feed(cs, data);
    }
    if (data.size > 0)
        stream_take_data(&cs->s, data);
}

static void on_fin(struct yamux *y UNUSED, struct yamux_stream *s)
{
    struct conn_stream *cs = of_yamux(s);
    if (!negotiating(cs))
        stream_take_fin(&cs->s);
    else
        stream_fail(&cs->s, ERR_CLOSED, 0);
}

/* Our tokens first, then the handler's bytes behind them. */
static size_t on_writable(struct yamux *y UNUSED, struct yamux_stream *s, uint8_t *buf, size_t room)
{
    struct conn_stream *cs = of_yamux(s);
    struct negotiation *n = cs->negotiation;
    size_t used = 0;
    if (n) {
        used = MIN(room, n->out_size);
        memcpy(buf, n->out, used);
        n->out_size = (uint16_t)(n->out_size - used);
        memmove(n->out, n->out + used, n->out_size);
        if (n->out_size > 0)
            return used;
        if (!negotiating(cs))
            negotiation_free(cs);
    }
    if (cs->finish_wanted)
        yamux_finish(&cs->y);
    else if (room - used >= LIMIT_YAMUX_CREDIT_BYTES_MIN || used == 0)
        used += stream_take_writable(&cs->s, buf + used, room - used);
    return used;
}

static void on_gone(struct yamux *y, struct yamux_stream *s, enum yamux_end end, uint32_t code)
{
    struct conn_stream *cs = of_yamux(s);
    struct conn *c = container_of(y, struct conn, mux);
    below_is_gone(cs);
    list_remove(&cs->link);
    if (cs->lazy && end == YAMUX_END_RESET)
        ask_first(cs); /* as good as a refusal */
    if (cs->inbound)
        c->host->streams_in--;
    if (cs->protocol >= 0)
        c->host->protocols_in[cs->protocol]--;
    if (c->mux.streams_in + c->mux.streams_out == 0)
        c->used_ms = loop_now_ms(c->host->loop);
    if (cs->released)
        free_when_done(cs);
    else
        stream_below_gone(&cs->s, end == YAMUX_END_CLOSED ? ERR_OK : ERR_CLOSED, code);
    if (c->draining)
        conn_flush_soon(c); /* it may have been the last */
}

static void on_pong(struct yamux *y)
{
    conn_pong(container_of(y, struct conn, mux));
}

static void on_go_away(struct yamux *y, uint32_t code UNUSED)
{
    struct conn *c = container_of(y, struct conn, mux);
    c->draining = true;
    conn_flush_soon(c);
}

const struct yamux_ops conn_stream_ops = { on_open,     on_acked, on_data, on_fin,
                                           on_writable, on_gone,  on_pong, on_go_away };

enum err conn_stream_open(struct conn *c, struct stream_open *req, struct error *err)
{
    struct conn_stream *cs = stream_new(c, false);
    if (!cs)
        return mem_refused(c->host->mem, sizeof(*cs), err);
    if (!yamux_open(&c->mux, &cs->y)) {
        list_remove(&cs->link);
        timer_set(&cs->s.timer_, 0);
        cs->released = true;
        below_is_gone(cs);
        free_when_done(cs);
        return error_set(err, ERR_LIMIT, "the connection takes no more streams");
    }
    struct negotiation *n = cs->negotiation;
    struct writer w = writer_of(n->out, sizeof(n->out));
    req->chosen = 0;
    req->stream_ = &cs->s;
    cs->request = req;
    multistream_dial(&n->select, req->choices[0]->name, &w);
    assert(!w.overflow);
    n->out_size = (uint16_t)writer_used(&w);
    if (may_be_lazy(c, req))
        loop_defer_named(c->host->loop, &req->deferred_, on_lazy, "stream open");
    else
        negotiation_flush(cs);
    return ERR_OK;
}

/* Longer than that of best, else best. */
static struct conn_stream *longest_queue(struct conn *c, struct conn_stream *best)
{
    if (c->queued_bytes <= (best ? best->s.queued_bytes : 0))
        return best;
    for (struct list *at = c->streams.next; at != &c->streams; at = at->next) {
        struct conn_stream *cs = container_of(at, struct conn_stream, link);
        if (!cs->s.ending_ && cs->s.queued_bytes > (best ? best->s.queued_bytes : 0))
            best = cs;
    }
    return best;
}

static struct conn_stream *longest_of_all(struct host *h)
{
    struct conn_stream *best = NULL;
    for (struct list *at = h->conns.next; at != &h->conns; at = at->next)
        best = longest_queue(container_of(at, struct conn, link_), best);
    return best;
}

/* Looked at after every record, so no more than a record's bytes are ever above the bounds. */
void conn_streams_bound(struct conn *c)
{
    struct host *h = c->host;
    struct conn_stream *cs;
    while (c->queued_bytes > h->options.connection_rx_bytes_max &&
           (cs = longest_queue(c, NULL)) != NULL) {
        LIMIT_HIT(P2P_CONNECTION_RX_BYTES);
        stream_fail(&cs->s, ERR_LIMIT, YAMUX_RESET_LIMIT);
    }
    /* Queues may be short and many: one that is dropped need not be enough. */
    while (h->queued_bytes > h->options.rx_bytes_max && (cs = longest_of_all(h)) != NULL)
        stream_fail(&cs->s, ERR_LIMIT, YAMUX_RESET_LIMIT);
}
