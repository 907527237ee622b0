/* One page of one bin to one peer.
 *
 *     <-- Headers     --> Headers
 *     <-- Get{bin, start}
 *     --> Offer, once there is an entry
 *     <-- Want{bit vector}
 *     --> Delivery, once per wanted chunk, at the peer's rate
 *
 * Both sides close. FIN before Want means that the peer has lost interest, as a reset does. */
#include "swarm/pullsync_serve.h"

#include "base/mem.h"
#include "swarm/headers.h"

static const struct {
    const char *name;
    uint32_t deadline_ms; /* 0: it may take as long as it likes */
} steps[] = {
    [SERVE_HEADERS] = { "awaiting headers", LIMIT_PULLSYNC_REQUEST_MS },
    [SERVE_GET] = { "awaiting a request", LIMIT_PULLSYNC_REQUEST_MS },
    [SERVE_PARKED] = { "parked", 0 },
    [SERVE_OFFER] = { "offering", LIMIT_PULLSYNC_WRITE_MS },
    [SERVE_WANT] = { "awaiting wants", LIMIT_PULLSYNC_WANT_MS },
    [SERVE_RATE] = { "held to its rate", 0 },
    [SERVE_ROOM] = { "waiting for memory", 0 },
    [SERVE_READ] = { "reading", 0 },
    [SERVE_DELIVER] = { "delivering", LIMIT_PULLSYNC_WRITE_MS },
    [SERVE_CLOSING] = { "closing", LIMIT_PULLSYNC_CLOSE_MS },
};

static void step_to(struct serve *s, enum serve_step step)
{
    s->step = step;
    stream_deadline(s->stream, steps[step].deadline_ms);
}

/* --- asked ----------------------------------------------------------------------------------- */

static enum err on_get(struct serve *s, struct bytes message)
{
    struct pullsync_get get;
    enum err rc = pullsync_get_decode(&get, message, NULL);
    if (rc)
        return rc;
    s->user.bin = get.bin;
    s->user.start = get.start;
    step_to(s, SERVE_PARKED);
    pages_ask(s->server->pages, &s->user);
    return ERR_OK;
}

static enum err on_want(struct serve *s, struct bytes message)
{
    uint32_t count;
    (void)page_entries(s->user.page, &count);
    enum err rc = pullsync_want_decode(s->want, count, message, NULL);
    if (rc)
        return rc;
    s->wanted = 0;
    for (uint32_t i = 0; i < count; i++)
        s->wanted = (uint16_t)(s->wanted + pullsync_bit(s->want, i));
    s->server->status.wanted += s->wanted;
    metric_add(METRIC_pullsync_served_wanted_total, s->wanted);
    step_to(s, SERVE_RATE);
    serve_pay(s);
    return ERR_OK;
}

static enum err on_headers(struct serve *s, struct bytes message)
{
    enum err rc = headers_check(message, NULL);
    if (rc)
        return rc;
    step_to(s, SERVE_GET);
    if (stream_try_write(s->stream, headers_none, sizeof(headers_none)))
        return ERR_OK;
    s->answer_headers = true;
    stream_want_write(s->stream);
    return ERR_OK;
}

static enum err on_frame(struct frame_reader *fr, struct bytes message)
{
    struct serve *s = container_of(fr, struct serve, frames);
    switch (s->step) {
    case SERVE_HEADERS:
        return on_headers(s, message);
    case SERVE_GET:
        return on_get(s, message);
    case SERVE_WANT:
        return on_want(s, message);
    case SERVE_PARKED:
    case SERVE_OFFER:
    case SERVE_RATE:
    case SERVE_ROOM:
    case SERVE_READ:
    case SERVE_DELIVER:
    case SERVE_CLOSING:
        break;
    }
    return ERR_PROTOCOL; /* nobody asked */
}

/* --- offering -------------------------------------------------------------------------------- */

static void on_page(struct page_user *u)
{
    struct serve *s = container_of(u, struct serve, user);
    uint32_t count;
    (void)page_entries(u->page, &count);
    s->sent = 0;
    s->server->status.offered += count;
    metric_add(METRIC_pullsync_served_offered_total, count);
    step_to(s, SERVE_OFFER);
    stream_want_write(s->stream);
}

/* The offer is made as it is written, at any position, out of the page that others share. */
static size_t offer_write(struct serve *s, struct writer *w)
{
    uint8_t piece[PULLSYNC_ENTRY_BYTES + PULLSYNC_TOPMOST_BYTES_MAX];
    uint32_t count;
    const struct reserve_entry *entries = page_entries(s->user.page, &count);
    struct writer front = writer_of(piece, sizeof(piece));
    pullsync_offer_begin(&front, page_topmost(s->user.page), count);
    uint32_t front_size = (uint32_t)writer_used(&front);
    uint32_t size = front_size + count * PULLSYNC_ENTRY_BYTES;
    while (s->sent < size && writer_left(w) > 0) {
        struct bytes part = bytes_of(piece + s->sent, front_size - s->sent);
        if (s->sent >= front_size) {
            uint32_t at = s->sent - front_size;
            pullsync_offer_entry(piece, &entries[at / PULLSYNC_ENTRY_BYTES].id);
            part = bytes_of(piece + at % PULLSYNC_ENTRY_BYTES,
                            PULLSYNC_ENTRY_BYTES - at % PULLSYNC_ENTRY_BYTES);
        }
        size_t n = MIN(part.size, writer_left(w));
        writer_put(w, part.data, n);
        s->sent += (uint32_t)n;
    }
    return size - s->sent;
}

/* --- delivering ------------------------------------------------------------------------------ */

static void delivery_free(struct delivery *d)
{
    struct pullsync_server *server = d->server;
    timer_set(&d->retry, 0);
    if (d->spare)
        server->spare_used = false;
    else
        mem_free(server->options.mem, d->buf);
    mem_free(server->options.mem, d);
    server->deliveries--;
    serve_room_soon(server);
    serve_stop_check(server);
}

static void done(struct serve *s)
{
    if (s->delivery) {
        s->peer->delivering--;
        delivery_free(s->delivery);
        s->delivery = NULL;
    }
    pages_leave(&s->user);
    step_to(s, SERVE_CLOSING);
    stream_finish(s->stream);
}

/* Worker: encodes behind what is there. */
static bool delivery_add(struct reserve_page *req, uint32_t i, const struct reserve_found *found)
{
    struct delivery *d = container_of(req, struct delivery, read);
    struct writer w = writer_of(d->buf + d->size, delivery_bytes(d->chunks) - d->size);
    struct pullsync_delivery out = { .address = { NULL, 0 } };
    if (found)
        out = (struct pullsync_delivery){ bytes_of(req->ids[i].address, 32), found->data,
                                          bytes_of(found->stamp, STAMP_BYTES) };
    d->gone += !found;
    pullsync_delivery_encode(&w, &out);
    assert(!w.overflow);
    d->size += (uint32_t)writer_used(&w);
    return true;
}

static void on_read(struct reserve_page *req, const struct error *err)
{
    struct delivery *d = container_of(req, struct delivery, read);
    struct serve *s = d->session;
    d->reading = false;
    if (!s) {
        delivery_free(d);
        return;
    }
    if (err) { /* the store is away for a while; a reset peer would ask again at once */
        timer_set(&d->retry, LIMIT_PULLSYNC_RETRY_MS);
        return;
    }
    struct pullsync_server *server = s->server;
    server->status.delivered += req->count - d->gone;
    server->status.gone += d->gone;
    metric_add(METRIC_pullsync_served_delivered_total, req->count - d->gone);
    metric_add(METRIC_pullsync_served_gone_total, d->gone);
    step_to(s, SERVE_DELIVER);
    stream_want_write(s->stream);
}

static void read_now(struct delivery *d)
{
    d->size = d->sent = d->gone = 0;
    d->reading = true;
    step_to(d->session, SERVE_READ);
    reserve_page_read(d->server->options.reserve, &d->read);
}

static void on_retry(struct timer *t)
{
    read_now(container_of(t, struct delivery, retry));
}

/* The next wanted chunks, or the end. */
static void read_on(struct serve *s)
{
    struct delivery *d = s->delivery;
    uint32_t count;
    const struct reserve_entry *entries = page_entries(s->user.page, &count);
    d->read.count = 0;
    d->read.removals = page_removals(s->user.page);
    for (; s->next < count && d->read.count < d->chunks; s->next++)
        if (pullsync_bit(s->want, s->next))
            d->ids[d->read.count++] = entries[s->next].id;
    if (d->read.count == 0)
        done(s);
    else
        read_now(d);
}

/* A large one where there is memory for it, since a read costs two changes of thread. */
static uint8_t *buffer_take(struct pullsync_server *server, uint32_t *chunks)
{
    static const uint32_t sizes[] = { LIMIT_RESERVE_READ_CHUNKS, LIMIT_PULLSYNC_SMALL_CHUNKS };
    uint8_t *buf = NULL;
    for (size_t i = 0; !buf && i < ARRAY_SIZE(sizes); i++) {
        *chunks = sizes[i];
        buf = mem_try_alloc(server->options.mem, delivery_bytes(sizes[i]));
    }
    return buf;
}

static bool room_take(struct serve *s)
{
    struct pullsync_server *server = s->server;
    uint32_t chunks;
    if (s->peer->delivering >= LIMIT_PULLSYNC_PEER_DELIVERIES)
        return false;
    uint8_t *buf = buffer_take(server, &chunks);
    bool spare = !buf && !server->spare_used;
    if (!buf && !spare)
        return false;
    server->spare_used |= spare;
    s->peer->delivering++;
    server->deliveries++;
    s->delivery = mem_zalloc(server->options.mem, sizeof(*s->delivery));
    s->delivery->server = server;
    s->delivery->session = s;
    s->delivery->buf = spare ? server->spare : buf;
    s->delivery->chunks = chunks;
    s->delivery->spare = spare;
    s->delivery->read.ids = s->delivery->ids;
    s->delivery->read.each = delivery_add;
    s->delivery->read.cb = on_read;
    timer_init(&s->delivery->retry, server->options.loop, on_retry, "reading a page again");
    return true;
}

void serve_rooms(struct pullsync_server *server)
{
    list_each_safe (at, &server->rooms) {
        struct serve *s = container_of(at, struct serve, turn);
        if (room_take(s)) {
            list_remove(&s->turn);
            read_on(s);
        }
    }
}

void serve_paid(struct serve *s)
{
    s->next = 0;
    if (s->wanted == 0) {
        done(s);
        return;
    }
    step_to(s, SERVE_ROOM);
    if (list_empty(&s->server->rooms) && room_take(s))
        read_on(s);
    else
        list_append(&s->server->rooms, &s->turn);
}

/* --- the stream ------------------------------------------------------------------------------ */

static enum err serve_open(struct stream *stream, void *ctx, void **user)
{
    struct pullsync_server *server = ctx;
    const struct pullsync_server_options *o = &server->options;
    const struct peer_id *peer = stream_peer(stream);
    if (server->stopping || (o->admits && !o->admits(o->ctx, peer)))
        return ERR_REFUSED;
    struct serve *s = mem_zalloc(o->mem, sizeof(*s)); /* as many as the host has streams */
    s->server = server;
    s->peer = serve_peer_enter(server, peer);
    s->stream = stream;
    s->user.cb = on_page;
    s->user.quota = &s->peer->quota;
    s->frames = (struct frame_reader){
        .stream = stream, .owner = o->mem, FRAME_LIMIT(PULLSYNC_REQUEST_BYTES), .on_frame = on_frame
    };
    list_append(&server->sessions, &s->link);
    server->status.sessions++;
    step_to(s, SERVE_HEADERS);
    *user = s;
    return ERR_OK;
}

static size_t serve_data(struct stream *stream, void *user, const uint8_t *bytes, size_t size)
{
    struct serve *s = user;
    if (size > 0)
        return frame_feed(&s->frames, bytes, size);
    if (s->step <= SERVE_WANT)
        stream_reset(stream, 0);
    return 0;
}

static size_t serve_writable(struct stream *stream UNUSED, void *user, uint8_t *buf, size_t room)
{
    struct serve *s = user;
    struct writer w = writer_of(buf, room);
    if (s->answer_headers && room > 0) {
        writer_put(&w, headers_none, sizeof(headers_none));
        s->answer_headers = false;
    }
    if (s->step == SERVE_OFFER && offer_write(s, &w) == 0) {
        step_to(s, SERVE_WANT);
    } else if (s->step == SERVE_DELIVER) {
        struct delivery *d = s->delivery;
        size_t n = MIN((size_t)(d->size - d->sent), writer_left(&w));
        writer_put(&w, d->buf + d->sent, n);
        d->sent += (uint32_t)n;
        if (d->sent == d->size)
            read_on(s);
    }
    return writer_used(&w);
}

static void serve_close(struct stream *stream UNUSED, void *user, const struct error *err,
                        uint32_t code UNUSED)
{
    struct serve *s = user;
    if (!s)
        return;
    struct pullsync_server *server = s->server;
    if (err)
        metric_add_by(METRIC_pullsync_serve_failed_total, err->code, 1);
    frame_close(&s->frames);
    if (list_linked(&s->turn))
        list_remove(&s->turn);
    if (s->delivery) {
        s->peer->delivering--;
        s->delivery->session = NULL;
        if (s->delivery->reading)
            reserve_page_cancel(&s->delivery->read);
        else
            delivery_free(s->delivery);
    }
    pages_leave(&s->user);
    list_remove(&s->link);
    server->status.sessions--;
    serve_peer_leave(s->peer);
    mem_free(server->options.mem, s);
    serve_stop_check(server);
}

const struct stream_ops serve_ops = { serve_open, serve_data, serve_writable, serve_close };
