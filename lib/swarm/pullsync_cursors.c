#include "swarm/pullsync_cursors.h"

#include "net/protocols.h"
#include "swarm/headers.h"

static void on_done(struct deferred *d)
{
    struct pullsync_cursors *c = container_of(d, struct pullsync_cursors, later_);
    c->cb(c, c->failed_.code ? &c->failed_ : NULL);
}

/* The answer, or the end: the stream goes its own way. */
static void finish(struct pullsync_cursors *c, const struct error *err)
{
    if (c->done_)
        return;
    c->done_ = true;
    if (err)
        c->failed_ = *err;
    if (c->stream_) {
        struct stream *s = c->stream_;
        frame_close(&c->frames_);
        c->stream_ = NULL;
        stream_set_user(s, NULL);
        stream_deadline(s, LIMIT_PULLSYNC_CLOSE_MS);
        if (err)
            stream_reset(s, 0);
        else
            stream_finish(s);
    }
    loop_defer(c->loop, &c->later_, on_done);
}

static enum err on_frame(struct frame_reader *fr, struct bytes message)
{
    struct pullsync_cursors *c = container_of(fr, struct pullsync_cursors, frames_);
    struct error err = { ERR_OK, "" };
    if (c->headers_) {
        enum err rc = pullsync_ack_decode(&c->ack, message, &err);
        finish(c, rc ? &err : NULL);
        return ERR_OK;
    }
    if (headers_check(message, &err)) {
        finish(c, &err);
        return ERR_OK;
    }
    c->headers_ = true;
    stream_want_write(c->stream_);
    return ERR_OK;
}

static size_t cursors_data(struct stream *s UNUSED, void *user, const uint8_t *bytes, size_t size)
{
    struct pullsync_cursors *c = user;
    struct error err;
    if (!c)
        return size;
    if (size > 0) {
        size_t n = frame_feed(&c->frames_, bytes, size);
        return c->stream_ ? n : size;
    }
    error_set(&err, ERR_CLOSED, "asking for cursors: the peer closed");
    finish(c, &err);
    return 0;
}

/* First our headers, and after the peer's an empty Syn: both are the byte 0. */
static size_t cursors_writable(struct stream *s UNUSED, void *user, uint8_t *buf, size_t room)
{
    struct pullsync_cursors *c = user;
    size_t n = 0;
    if (!c || room == 0 || (c->asked_ && !c->headers_))
        return 0;
    if (!c->asked_ || (c->headers_ && !c->syn_)) {
        buf[n++] = 0;
        c->syn_ = c->asked_;
        c->asked_ = true;
    }
    return n;
}

static void cursors_close(struct stream *s UNUSED, void *user, const struct error *err,
                          uint32_t code UNUSED)
{
    struct pullsync_cursors *c = user;
    struct error closed;
    if (!c)
        return;
    frame_close(&c->frames_);
    c->stream_ = NULL;
    error_set(&closed, err ? err->code : ERR_CLOSED, "asking for cursors: %s",
              err ? err->text : "the peer closed");
    finish(c, &closed);
}

static const struct stream_ops ops = { NULL, cursors_data, cursors_writable, cursors_close };
static struct protocol ask;
static const struct protocol *const choices[] = { &ask };

const struct protocol *pullsync_cursors_protocol(void)
{
    protocol_init(&ask, PROTOCOL_pullsync_cursors, &ops, NULL);
    return &ask;
}

void pullsync_cursors_opened(struct pullsync_cursors *c, struct stream *s)
{
    c->stream_ = s;
    c->frames_ = (struct frame_reader){
        .stream = s, .owner = c->mem, FRAME_LIMIT(PULLSYNC_REQUEST_BYTES), .on_frame = on_frame
    };
    stream_deadline(s, LIMIT_PULLSYNC_CLOSE_MS);
    stream_want_write(s);
}

static void on_open(struct stream_open *req, struct stream *s, const struct error *err)
{
    struct pullsync_cursors *c = container_of(req, struct pullsync_cursors, open_);
    c->opening_ = false;
    if (s)
        pullsync_cursors_opened(c, s);
    else
        finish(c, err);
}

void pullsync_cursors_ask(struct host *h, struct pullsync_cursors *c, const struct peer_id *peer)
{
    assert(c->cb && !c->done_);
    c->opening_ = true;
    (void)pullsync_cursors_protocol();
    c->open_ = (struct stream_open){
        .to = *peer, .choices = choices, .count = 1, .user = c, .cb = on_open
    };
    stream_open(h, &c->open_);
}

void pullsync_cursors_cancel(struct pullsync_cursors *c)
{
    struct error err = { ERR_CANCELED, "canceled" };
    if (c->opening_)
        stream_open_cancel(&c->open_);
    else
        finish(c, &err);
}
