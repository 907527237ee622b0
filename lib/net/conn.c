#include "net/conn.h"

#include "base/mem.h"
#include "core/metrics.h"
#include "net/host_state.h"

#include <uv.h>

/* Each record and frame costs the same whatever is in it. Who sends many small ones is read by less
 * at a time, so that one read stays short. */
enum { RECORDS_MANY = 64, RECORD_WORTH_BYTES = 1 * KiB, READ_SMALL_BYTES = 16 * KiB };

/* Behind conn.socket_. data of the handle and of both requests is the connection. */
struct socket {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
};
static_assert(sizeof(struct socket) <= CONN_SOCKET_BYTES, "conn.h leaves room for libuv's part");

static struct socket *socket_of(struct conn *c)
{
    return (struct socket *)c->socket_;
}
static uv_stream_t *stream_of(struct conn *c)
{
    return (uv_stream_t *)&socket_of(c)->tcp;
}

#define NOISE_NAME "/noise"
#define YAMUX_NAME "/yamux/1.0.0"

static void on_flush(struct deferred *d);
static void on_timer(struct timer *t);
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf);

/* The end. */

void conn_free_when_done(struct conn *c)
{
    struct host *h = c->host;
    if (!c->socket_closed_ || c->stream_objects > 0)
        return;
    noise_records_close(&c->records);
    mem_free(h->mem, c);
    mem_give(h->mem, NOISE_CONTEXT_BYTES);
    host_handle_closed(h);
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    c->socket_closed_ = true;
    conn_free_when_done(c);
}

void conn_read_again(struct conn *c)
{
    uv_read_start(stream_of(c), on_alloc, on_read);
}

static void partial_free(struct conn *c)
{
    conn_partial_give(c->host, c->partial_room_);
    mem_free(c->host->mem, c->partial_);
    c->partial_ = NULL;
    c->partial_have_ = c->partial_room_ = 0;
}

/* Where an upgrade ended: METRIC_LABELS_p2p_stage; the last value is its good end. And why. */
static void upgrade_count(const struct conn *c, enum err code)
{
    static_assert(METRIC_LABELS_p2p_stage == (int)CONN_CLOSED,
                  "a label per state, and done for OPEN");
    metric_add_by(METRIC_p2p_handshakes_total, (unsigned)c->state, 1);
    if (code)
        metric_add_by(METRIC_p2p_handshakes_failed_total, code, 1);
}

static void upgrade_free(struct conn *c)
{
    if (!c->upgrade)
        return;
    noise_wipe(&c->upgrade->noise);
    mem_free(c->host->mem, c->upgrade);
    c->upgrade = NULL;
    if (c->inbound)
        host_half_open_less(c->host);
}

void conn_close(struct conn *c, enum err code, const char *why)
{
    if (c->state == CONN_CLOSED)
        return;
    struct host *h = c->host;
    bool was_open = c->state == CONN_OPEN;
    error_set(&c->why, code, "%s", why);
    if (was_open)
        metric_add_by(METRIC_p2p_closed_total, code, 1);
    else if (c->admitted_)
        upgrade_count(c, code);
    c->state = CONN_CLOSED;
    upgrade_free(c);
    if (was_open)
        yamux_close(&c->mux);
    if (c->attempt)
        dial_attempt_done(c->attempt, c, &c->why);
    c->attempt = NULL;
    partial_free(c);
    if (!c->writing_)
        conn_block_free(c); /* else the write's callback does it */
    if (list_linked(&c->starved_))
        list_remove(&c->starved_);
    if (list_linked(&c->thirsty_))
        list_remove(&c->thirsty_);
    conn_block_pass(h); /* it may have been its turn */
    timer_set(&c->timer_, 0);
    loop_defer_cancel(&c->flush_);
    list_remove(&c->link_);
    h->conns_count--;
    uv_close((uv_handle_t *)stream_of(c), on_closed);
    if (was_open)
        host_conn_gone(c);
}

static void conn_fail(struct conn *c, const struct error *err)
{
    conn_close(c, err->code, err->text);
}

/* Writing. */

void conn_flush_soon(struct conn *c)
{
    if (c->state != CONN_CLOSED && !deferred_pending(&c->flush_))
        loop_defer_named(c->host->loop, &c->flush_, on_flush, "connection");
}

static void on_written(uv_write_t *write, int status)
{
    struct conn *c = write->data;
    c->writing_ = false;
    conn_block_free(c);
    if (c->state == CONN_CLOSED)
        return;
    if (status)
        conn_close(c, ERR_CLOSED, "the other side takes no more bytes");
    else
        conn_flush_soon(c);
}

/* Hands the sealed block to the kernel. True when it took all of it. */
static bool block_write(struct conn *c)
{
    uv_buf_t buf = uv_buf_init((char *)c->block_, c->block_sealed_);
    int n = uv_try_write(stream_of(c), &buf, 1);
    c->bytes_out += c->block_sealed_;
    metric_add(METRIC_p2p_sent_bytes_total, c->block_sealed_);
    if (n == (int)c->block_sealed_) {
        c->block_plain_ = c->block_sealed_ = 0;
        return true;
    }
    if (n > 0)
        buf = uv_buf_init(buf.base + n, (unsigned)buf.len - (unsigned)n);
    c->writing_ = uv_write(&socket_of(c)->write, stream_of(c), &buf, 1, on_written) == 0;
    c->write_started_ms_ = loop_now_ms(c->host->loop);
    if (!c->writing_)
        conn_close(c, ERR_CLOSED, "the socket takes no bytes");
    return false;
}

static struct writer block_writer(struct conn *c)
{
    return writer_of(c->block_ + NOISE_LENGTH_BYTES + c->block_plain_,
                     c->block_room_ - NOISE_LENGTH_BYTES - AEAD_TAG_BYTES - c->block_plain_);
}

static bool block_seal_and_write(struct conn *c)
{
    c->block_sealed_ = (uint32_t)noise_seal(&c->records, c->block_, c->block_plain_);
    return block_write(c);
}

/* One record of what the streams have to say. False: nothing more, or not now. */
static bool record_out(struct conn *c)
{
    bool wants = yamux_wants_fill(&c->mux);
    if ((!wants && c->block_plain_ == 0) || !conn_block_get(c))
        return false;
    struct writer w = block_writer(c);
    c->filling_ = true;
    yamux_fill(&c->mux, &w);
    c->filling_ = false;
    c->block_plain_ += (uint32_t)writer_used(&w);
    if (c->block_plain_ == 0)
        return false;
    return block_seal_and_write(c);
}

static bool drained(const struct conn *c)
{
    return c->draining && !c->writing_ && c->mux.streams_in + c->mux.streams_out == 0;
}

static void on_flush(struct deferred *d)
{
    struct conn *c = container_of(d, struct conn, flush_);
    int records = 0;
    if (c->state != CONN_OPEN || c->writing_)
        return;
    uint64_t until_ns = uv_hrtime() + LIMIT_P2P_FLUSH_NS;
    bool more = true;
    while (more && records < LIMIT_P2P_RECORDS_PER_TURN && uv_hrtime() < until_ns) {
        more = record_out(c);
        records += more;
    }
    if (c->state != CONN_OPEN || c->writing_)
        return;
    if (more)
        conn_flush_soon(c);
    else if (c->block_ && c->block_plain_ == 0)
        conn_block_free(c);
    else if (!c->block_ && !list_linked(&c->starved_))
        conn_block_pass(c->host);
    if (drained(c) && !deferred_pending(&c->flush_))
        conn_close(c, ERR_CLOSED, "closed by us");
}

size_t conn_write_now(struct conn *c, struct yamux_stream *s, struct bytes data)
{
    if (c->state != CONN_OPEN || c->filling_ || c->writing_ || !conn_block_get(c))
        return 0;
    struct writer w = block_writer(c);
    size_t n = yamux_write_now(s, data, &w);
    c->block_plain_ += (uint32_t)writer_used(&w);
    conn_flush_soon(c);
    return n;
}

/* A few bytes of the upgrade, which a fresh socket's buffer always takes. */
static bool small_write(struct conn *c, const uint8_t *data, size_t size)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data, (unsigned)size);
    if (size > 0 && uv_try_write(stream_of(c), &buf, 1) != (int)size) {
        conn_close(c, ERR_CLOSED, "the socket takes no bytes during the upgrade");
        return false;
    }
    c->bytes_out += size;
    metric_add(METRIC_p2p_sent_bytes_total, size);
    return true;
}

/* The same in a record. */
static bool small_record(struct conn *c, const uint8_t *data, size_t size)
{
    uint8_t buf[NOISE_LENGTH_BYTES + 256 + AEAD_TAG_BYTES];
    assert(size <= 256);
    memcpy(buf + NOISE_LENGTH_BYTES, data, size);
    return small_write(c, buf, noise_seal(&c->records, buf, size));
}

/* The upgrade. */

static void conn_open(struct conn *c)
{
    struct host *h = c->host;
    upgrade_free(c);
    if (c->unwanted_) {
        conn_close(c, ERR_CANCELED, "closed by us");
        return;
    }
    if (peer_id_equal(&c->remote, host_id(h))) {
        conn_close(c, ERR_REFUSED, "that is ourselves");
        return;
    }
    if (!LIMIT_CHECK(P2P_PER_PEER, host_conns_of(h, &c->remote) + 1)) {
        conn_close(c, ERR_LIMIT, "too many connections to one peer");
        return;
    }
    c->state = CONN_OPEN;
    upgrade_count(c, ERR_OK);
    c->used_ms = loop_now_ms(h->loop);
    c->told_version = h->version; /* identify asks for the newest, whenever that is */
    c->opened_ms = loop_now_ms(h->loop);
    yamux_init(&c->mux, !c->inbound, &conn_stream_ops, c->opened_ms);
    timer_set(&c->timer_, LIMIT_P2P_TICK_MS);
    conn_ping(c); /* a first round trip, as go does */
    host_conn_opened(c);
}

static void muxer_select(struct conn *c)
{
    uint8_t out[128];
    struct writer w = writer_of(out, sizeof(out));
    c->state = CONN_SELECT_MUXER;
    if (c->inbound) {
        multistream_listen(&c->upgrade->select);
        multistream_put(&w, MULTISTREAM_HEADER);
    } else {
        multistream_dial(&c->upgrade->select, YAMUX_NAME, &w);
    }
    small_record(c, out, writer_used(&w));
}

static void noise_step(struct conn *c)
{
    struct noise *n = &c->upgrade->noise;
    uint8_t out[NOISE_MESSAGE_MAX];
    struct writer w = writer_of(out, sizeof(out));
    struct error err = { ERR_OK, "" };
    enum err rc = ERR_OK;
    if (n->step == NOISE_WRITE_1 || n->step == NOISE_WRITE_2 || n->step == NOISE_WRITE_3)
        rc = noise_write(n, &w, &err);
    if (!rc && !small_write(c, out, writer_used(&w)))
        return;
    if (!rc && n->step == NOISE_DONE)
        rc = noise_split(n, &c->records, &err);
    else if (!rc)
        return;
    if (rc) {
        conn_fail(c, &err);
        return;
    }
    c->remote = n->remote;
    if (n->muxer_named && !c->host->options.late_muxer)
        conn_open(c);
    else
        muxer_select(c);
}

static void noise_start(struct conn *c)
{
    struct noise_options o = { .dialer = !c->inbound,
                               .st = &c->host->noise,
                               .expected = c->inbound ? NULL : &c->remote,
                               .muxer = YAMUX_NAME };
    loop_random(c->host->loop, o.ephemeral, sizeof(o.ephemeral));
    c->state = CONN_NOISE;
    noise_init(&c->upgrade->noise, &o);
    secret_wipe(o.ephemeral, sizeof(o.ephemeral));
    if (!c->inbound)
        noise_step(c);
}

/* One token of a negotiation that ends with name. Returns how many bytes were used; *done: it was
 * accepted. answer writes what a listener says. */
static size_t select_feed(struct conn *c, struct bytes in, const char *name, bool *done,
                          bool (*answer)(struct conn *, const uint8_t *, size_t))
{
    uint8_t out[NOISE_LENGTH_BYTES + 256];
    struct writer w = writer_of(out, sizeof(out));
    struct error err = { ERR_OK, "" };
    enum multistream_event ev;
    struct multistream *m = &c->upgrade->select;
    size_t used = multistream_feed(m, in, &ev, &err);
    *done = false;
    switch (ev) {
    case MULTISTREAM_MORE:
        break;
    case MULTISTREAM_PROPOSAL:
        *done = m->text_size == strlen(name) && !strcmp(m->text, name);
        multistream_answer(m, *done, &w);
        if (!answer(c, out, writer_used(&w)))
            *done = false;
        break;
    case MULTISTREAM_ACCEPTED:
        *done = true;
        break;
    case MULTISTREAM_REFUSED:
        conn_close(c, ERR_NO_PROTOCOL, "the peer speaks neither Noise nor Yamux");
        break;
    case MULTISTREAM_FAILED:
        conn_fail(c, &err);
        break;
    }
    return used;
}

static size_t security_feed(struct conn *c, struct bytes in)
{
    bool done;
    size_t used = select_feed(c, in, NOISE_NAME, &done, small_write);
    if (done && c->state == CONN_SELECT_SECURITY)
        noise_start(c);
    return used;
}

/* A handshake is by far the dearest thing a stranger can ask for: what goes beyond so many messages
 * of it waits in the kernel until the loop has looked at everybody else. */
static void on_turn(struct deferred *d)
{
    struct host *h = container_of(d, struct host, turn);
    h->handshakes = 0;
    while (!list_empty(&h->hasty))
        conn_read_again(container_of(list_pop(&h->hasty), struct conn, thirsty_));
}

static void turn_count(struct host *h)
{
    h->handshakes++;
    if (!deferred_pending(&h->turn))
        loop_defer_named(h->loop, &h->turn, on_turn, "handshakes");
}

static bool has_turn(const struct conn *c)
{
    return !c->upgrade || LIMIT_CHECK(P2P_HANDSHAKES_PER_TURN, c->host->handshakes + 1);
}

static size_t noise_feed(struct conn *c, struct bytes in)
{
    struct conn_upgrade *u = c->upgrade;
    struct error err = { ERR_OK, "" };
    bool sized = u->have >= NOISE_LENGTH_BYTES;
    size_t want = sized ? noise_frame_size(bytes_of(u->message, u->have)) : NOISE_LENGTH_BYTES;
    size_t n = MIN(in.size, want - u->have);
    memcpy(u->message + u->have, in.data, n);
    u->have += (uint32_t)n;
    size_t size = noise_frame_size(bytes_of(u->message, u->have));
    if (size > sizeof(u->message)) {
        LIMIT_HIT(NOISE_HANDSHAKE_BYTES);
        conn_close(c, ERR_TOO_LARGE, "a Noise handshake message that is too long");
        return n;
    }
    if (size == 0 || u->have < size)
        return n;
    turn_count(c->host);
    enum err rc =
        noise_read(&u->noise, u->message + NOISE_LENGTH_BYTES, u->have - NOISE_LENGTH_BYTES, &err);
    u->have = 0;
    if (rc)
        conn_fail(c, &err);
    else
        noise_step(c);
    return n;
}

/* Reading. */

static void plain_in(struct conn *c, struct bytes plain)
{
    struct error err = { ERR_OK, "" };
    while (plain.size > 0 && c->state == CONN_SELECT_MUXER) {
        bool done;
        size_t used = select_feed(c, plain, YAMUX_NAME, &done, small_record);
        plain = bytes_of(plain.data + used, plain.size - used);
        if (done && c->state == CONN_SELECT_MUXER)
            conn_open(c);
    }
    if (plain.size == 0 || c->state != CONN_OPEN)
        return;
    if (yamux_feed(&c->mux, plain, c->last_read_ms, &err)) {
        if (!c->writing_)
            record_out(c); /* the go away, if the socket takes it */
        conn_fail(c, &err);
        return;
    }
    conn_streams_bound(c);
    if (yamux_wants_fill(&c->mux) || c->block_plain_ > 0 || c->draining)
        conn_flush_soon(c);
}

/* A whole record with its length. */
static void record_in(struct conn *c, uint8_t *record, size_t size)
{
    struct error err = { ERR_OK, "" };
    size_t plain = size - NOISE_LENGTH_BYTES;
    if (noise_open(&c->records, record + NOISE_LENGTH_BYTES, &plain, &err))
        conn_fail(c, &err);
    else
        plain_in(c, bytes_of(record + NOISE_LENGTH_BYTES, plain));
}

/* Keeps the beginning of a record. */
static void partial_keep(struct conn *c, struct bytes tail)
{
    c->partial_since_ms_ = c->last_read_ms;
    if (!conn_partial_grow(c, noise_frame_size(tail), tail.size)) {
        conn_close(c, ERR_BUDGET, "no memory for a record");
        return;
    }
    memcpy(c->partial_, tail.data, tail.size);
    c->partial_have_ = (uint32_t)tail.size;
}

static void bytes_in(struct conn *c, uint8_t *data, size_t size)
{
    size_t all = size, records = 0;
    while (size > 0 && c->state != CONN_CLOSED) {
        size_t n;
        if (c->state == CONN_SELECT_SECURITY) {
            n = security_feed(c, bytes_of(data, size));
        } else if (c->state == CONN_NOISE) {
            n = noise_feed(c, bytes_of(data, size));
        } else {
            n = noise_frame_size(bytes_of(data, size));
            if (n == 0 || n > size) {
                partial_keep(c, bytes_of(data, size));
                return;
            }
            record_in(c, data, n);
            records++;
            c->small_records_ = records >= RECORDS_MANY && records * RECORD_WORTH_BYTES > all;
        }
        data += n;
        size -= n;
    }
}

/* More of a record whose beginning was kept. */
static void partial_in(struct conn *c, size_t size)
{
    c->partial_have_ += (uint32_t)size;
    size_t need = noise_frame_size(bytes_of(c->partial_, c->partial_have_));
    if (need == 0 || need > c->partial_have_)
        return;
    uint8_t *record = c->partial_;
    uint32_t room = c->partial_room_;
    struct host *h = c->host;
    c->partial_ = NULL; /* closing the connection must not free it while it is read */
    c->partial_have_ = c->partial_room_ = 0;
    c->small_records_ = c->small_records_ && need < READ_SMALL_BYTES;
    record_in(c, record, need);
    mem_free(h->mem, record);
    conn_partial_give(h, room);
}

/* What a kept record still needs, else the host's buffer. */
static void on_alloc(uv_handle_t *handle, size_t suggested UNUSED, uv_buf_t *buf)
{
    struct conn *c = handle->data;
    if (!c->partial_) {
        size_t room = has_turn(c) ? conn_read_room(c->host) : 0;
        room = c->small_records_ ? MIN(room, (size_t)READ_SMALL_BYTES) : room;
        *buf = uv_buf_init((char *)c->host->read_buffer, (unsigned)room);
        return;
    }
    size_t need = noise_frame_size(bytes_of(c->partial_, c->partial_have_));
    need = need ? need : NOISE_LENGTH_BYTES;
    bool room = c->partial_have_ < c->partial_room_ || conn_partial_grow(c, need, c->partial_have_);
    size_t to = room ? MIN(need, c->partial_room_) : c->partial_have_;
    *buf = uv_buf_init((char *)c->partial_ + c->partial_have_, (unsigned)(to - c->partial_have_));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct conn *c = stream->data;
    struct loop *loop = c->host->loop;
    if (size == UV_ENOBUFS) { /* the bytes wait in the kernel */
        uv_read_stop(stream);
        bool hasty = c->upgrade && deferred_pending(&c->host->turn);
        list_append(hasty ? &c->host->hasty : &c->host->thirsty, &c->thirsty_);
        if (!hasty) /* no input block is free */
            conn_relieve(c->host);
        return;
    }
    if (size == 0)
        return;
    if (size < 0) {
        conn_close(c, ERR_CLOSED, size == UV_EOF ? "the peer closed" : uv_strerror((int)size));
        return;
    }
    loop_callback_begin(loop, "connection read");
    c->last_read_ms = loop_now_ms(loop);
    c->bytes_in += (uint64_t)size;
    metric_add(METRIC_p2p_received_bytes_total, (uint64_t)size);
    if (c->partial_)
        partial_in(c, (size_t)size);
    else
        bytes_in(c, (uint8_t *)buf->base, (size_t)size);
    loop_callback_end(loop);
}

/* The beginning. */

static void upgrade_start(struct conn *c)
{
    uint8_t out[128];
    struct writer w = writer_of(out, sizeof(out));
    c->state = CONN_SELECT_SECURITY;
    c->last_read_ms = loop_now_ms(c->host->loop);
    uv_tcp_nodelay(&socket_of(c)->tcp, 1);
    uv_tcp_keepalive(&socket_of(c)->tcp, 1, 60);
    int kernel = (int)c->host->options.socket_buffer_bytes, same = kernel;
    if (kernel > 0) { /* if the system refuses, its own sizes are good enough */
        uv_send_buffer_size((uv_handle_t *)stream_of(c), &kernel);
        uv_recv_buffer_size((uv_handle_t *)stream_of(c), &same);
    }
    if (c->inbound) {
        multistream_listen(&c->upgrade->select);
        multistream_put(&w, MULTISTREAM_HEADER);
    } else {
        multistream_dial(&c->upgrade->select, NOISE_NAME, &w);
    }
    if (uv_read_start(stream_of(c), on_alloc, on_read))
        conn_close(c, ERR_SYSTEM, "the socket cannot be read");
    else
        small_write(c, out, writer_used(&w));
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct conn *c = connect->data;
    if (c->state == CONN_CLOSED)
        return;
    if (status)
        conn_close(c, ERR_UNREACHABLE, uv_strerror(status));
    else
        upgrade_start(c);
}

static struct conn *conn_new(struct host *h, bool inbound)
{
    struct conn_upgrade *upgrade = mem_try_zalloc(h->mem, sizeof(*upgrade));
    struct conn *c = upgrade ? mem_try_zalloc(h->mem, sizeof(*c)) : NULL;
    if (!c || !mem_take(h->mem, NOISE_CONTEXT_BYTES)) {
        mem_free(h->mem, c);
        mem_free(h->mem, upgrade);
        return NULL;
    }
    c->host = h;
    c->inbound = inbound;
    c->upgrade = upgrade;
    c->opened_ms = loop_now_ms(h->loop);
    list_init(&c->streams);
    list_append(&h->conns, &c->link_);
    h->conns_count++;
    h->half_open += inbound;
    h->handles++;
    timer_init(&c->timer_, h->loop, on_timer, "connection");
    uv_tcp_init(loop_uv(h->loop), &socket_of(c)->tcp);
    socket_of(c)->tcp.data = socket_of(c)->connect.data = socket_of(c)->write.data = c;
    return c;
}

static void address_of(const struct sockaddr_storage *ss, struct host_address *out)
{
    *out = (struct host_address){ .ip6 = ss->ss_family == AF_INET6 };
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)ss;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
    memcpy(out->ip, out->ip6 ? (const void *)&in6->sin6_addr : (const void *)&in4->sin_addr,
           out->ip6 ? 16 : 4);
    out->port = ntohs(out->ip6 ? in6->sin6_port : in4->sin_port);
}

struct turned_away {
    uv_tcp_t tcp;
    struct host *host;
};

static void on_turned_away(uv_handle_t *handle)
{
    struct turned_away *t = handle->data;
    struct host *h = t->host;
    mem_free(h->mem, t);
    host_handle_closed(h);
}

/* libuv listens no more until what waits is accepted: taken, and closed at once. */
static void turn_away(struct host *h, uv_stream_t *listener)
{
    metric_add_by(METRIC_p2p_refused_total, REFUSED_MEMORY, 1);
    struct turned_away *t = mem_zalloc(h->mem, sizeof(*t));
    t->host = h;
    h->handles++;
    uv_tcp_init(loop_uv(h->loop), &t->tcp);
    t->tcp.data = t;
    uv_accept(listener, (uv_stream_t *)&t->tcp); /* if it fails, there is nothing to close */
    uv_close((uv_handle_t *)&t->tcp, on_turned_away);
}

void conn_accept(struct host *h, uv_stream_t *listener)
{
    struct sockaddr_storage ss = { 0 };
    int size = sizeof(ss);
    struct conn *c = conn_new(h, true);
    if (!c) {
        turn_away(h, listener);
        return;
    }
    if (uv_accept(listener, stream_of(c)) ||
        uv_tcp_getpeername(&socket_of(c)->tcp, (struct sockaddr *)&ss, &size)) {
        conn_close(c, ERR_SYSTEM, "cannot be accepted");
        return;
    }
    address_of(&ss, &c->address);
    if (!host_admits(h, &c->address)) {
        conn_close(c, ERR_LIMIT, "too many connections");
        return;
    }
    c->admitted_ = true;
    timer_set(&c->timer_, LIMIT_P2P_UPGRADE_IN_MS);
    upgrade_start(c);
}

struct conn *conn_dial(struct host *h, const struct host_address *to,
                       const struct peer_id *expected, struct dial_attempt *attempt,
                       struct error *err)
{
    struct conn *c = conn_new(h, false);
    if (!c) {
        mem_refused(h->mem, sizeof(*c), err);
        return NULL;
    }
    struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons(to->port) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(to->port) };
    memcpy(&in4.sin_addr, to->ip, 4);
    memcpy(&in6.sin6_addr, to->ip, 16);
    c->address = *to;
    c->remote = *expected;
    int rc =
        uv_tcp_connect(&socket_of(c)->connect, &socket_of(c)->tcp,
                       to->ip6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in4, on_connected);
    if (rc) {
        bool short_of = rc == UV_EMFILE || rc == UV_ENFILE || rc == UV_ENOBUFS || rc == UV_ENOMEM;
        error_set(err, short_of ? ERR_SYSTEM : ERR_UNREACHABLE, "dialing: %s", uv_strerror(rc));
        conn_fail(c, err);
        return NULL;
    }
    c->admitted_ = true;
    c->attempt = attempt;
    timer_set(&c->timer_,
              address_is_private(to) ? LIMIT_P2P_UPGRADE_PRIVATE_MS : LIMIT_P2P_UPGRADE_OUT_MS);
    return c;
}

void conn_ping(struct conn *c)
{
    if (c->pinged_ns_ == 0)
        c->pinged_ns_ = uv_hrtime();
    yamux_ping(&c->mux);
    conn_flush_soon(c);
}

void conn_pong(struct conn *c)
{
    if (c->pinged_ns_ > 0)
        c->rtt_ns = uv_hrtime() - c->pinged_ns_;
    c->pinged_ns_ = 0;
}

void conn_close_soon(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    c->unwanted_ = true;
    if (c->state == CONN_OPEN)
        yamux_send_go_away(&c->mux, YAMUX_GO_AWAY_NORMAL);
    timer_set(&c->timer_, 1);
}

void conn_drain(struct conn *c, uint32_t go_away)
{
    if (c->state != CONN_OPEN) {
        conn_close(c, ERR_CANCELED, "the host closes");
        return;
    }
    c->draining = true;
    yamux_send_go_away(&c->mux, go_away);
    conn_flush_soon(c);
}

/* The upgrade's deadline; then silence and stalled writes. */
static void on_timer(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, timer_);
    uint64_t now = loop_now_ms(c->host->loop), silent = now - c->last_read_ms;
    if (c->unwanted_) {
        conn_close(c, ERR_CANCELED, "closed by us");
        return;
    }
    if (c->state != CONN_OPEN) {
        conn_close(c, ERR_TIMEOUT, "the upgrade takes too long");
        return;
    }
    if (!list_empty(&c->host->starved) || !list_empty(&c->host->thirsty))
        conn_relieve(c->host);
    if (list_linked(&c->starved_))
        conn_flush_soon(c); /* it was memory that was short, and nobody says when there is some */
    if (silent >= LIMIT_P2P_SILENCE_MS) {
        conn_close(c, ERR_TIMEOUT, "the peer is silent");
        return;
    }
    if (c->writing_ && now - c->write_started_ms_ >= LIMIT_P2P_WRITE_STALL_MS) {
        conn_close(c, ERR_TIMEOUT, "the peer does not read");
        return;
    }
    if (silent >= LIMIT_P2P_KEEPALIVE_MS) {
        conn_ping(c);
    }
    timer_set(&c->timer_, LIMIT_P2P_TICK_MS);
}
