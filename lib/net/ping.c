#include "net/ping.h"

#include "base/mem.h"
#include "net/protocols.h"

#include <time.h>

/* An echo of whole pings: what has come in and is not answered yet. */
struct echo {
    struct mem_owner *mem;
    uint8_t have, sent; /* of one ping; sent counts once have is full */
    bool fin;
    uint8_t bytes[PING_BYTES];
};

static enum err echo_open(struct stream *s, void *ctx UNUSED, void **user)
{
    struct echo *e = mem_try_zalloc(s->mem_, sizeof(*e));
    if (!e)
        return ERR_BUDGET;
    e->mem = s->mem_;
    *user = e;
    return ERR_OK;
}

static size_t echo_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct echo *e = user;
    if (size == 0) {
        e->fin = true;
        if (e->have < PING_BYTES)
            stream_finish(s);
        return 0;
    }
    size_t n = MIN(size, (size_t)(PING_BYTES - e->have));
    memcpy(e->bytes + e->have, bytes, n);
    e->have = (uint8_t)(e->have + n);
    if (e->have < PING_BYTES)
        return n;
    if (stream_try_write(s, e->bytes, PING_BYTES))
        e->have = 0;
    else
        stream_want_write(s); /* takes nothing more until this one is answered */
    return n;
}

static size_t echo_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct echo *e = user;
    if (e->have < PING_BYTES)
        return 0;
    size_t n = MIN(room, (size_t)(PING_BYTES - e->sent));
    memcpy(buf, e->bytes + e->sent, n);
    e->sent = (uint8_t)(e->sent + n);
    if (e->sent == PING_BYTES) {
        e->have = e->sent = 0;
        stream_resume(s);
        if (e->fin)
            stream_finish(s);
    }
    return n;
}

static void echo_close(struct stream *s UNUSED, void *user, const struct error *err UNUSED,
                       uint32_t code UNUSED)
{
    struct echo *e = user;
    if (e)
        mem_free(e->mem, e);
}

const struct stream_ops ping_ops = { echo_open, echo_data, echo_writable, echo_close };

/* Asking. */

static void finish(struct ping *p, const struct error *err)
{
    if (p->done_)
        return;
    p->done_ = true;
    p->cb(p, err);
}

static uint64_t clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static size_t ask_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct ping *p = user;
    size_t n = MIN(size, (size_t)(PING_BYTES - p->have_));
    memcpy(p->in_ + p->have_, bytes, n);
    p->have_ = (uint8_t)(p->have_ + n);
    if (p->have_ == PING_BYTES && size > 0)
        p->rtt_ns = clock_ns() - p->sent_ns_;
    if (p->have_ == PING_BYTES || size == 0) /* nothing more will come */
        stream_finish(s);
    return n;
}

static size_t ask_writable(struct stream *s UNUSED, void *user, uint8_t *buf, size_t room)
{
    struct ping *p = user;
    if (p->sent_ || room < PING_BYTES)
        return 0;
    p->sent_ = true;
    p->sent_ns_ = clock_ns();
    memcpy(buf, p->out_, PING_BYTES);
    return PING_BYTES;
}

static void ask_close(struct stream *s UNUSED, void *user, const struct error *err,
                      uint32_t code UNUSED)
{
    struct ping *p = user;
    struct error wrong;
    p->stream_ = NULL;
    if (p->have_ == PING_BYTES && !memcmp(p->in_, p->out_, PING_BYTES)) {
        finish(p, NULL);
        return;
    }
    if (!err) {
        error_set(&wrong, ERR_PROTOCOL, "ping: %s",
                  p->have_ == PING_BYTES ? "other bytes came back" : "the peer did not answer it");
        err = &wrong;
    }
    finish(p, err);
}

static const struct stream_ops ask_ops = { NULL, ask_data, ask_writable, ask_close };
static const struct protocol ask_protocol = { .name = "/ipfs/ping/1.0.0",
                                              .ops = &ask_ops,
                                              .row = PROTOCOL_ping };
static const struct protocol *const ask_choices[] = { &ask_protocol };

static void on_opened(struct stream_open *req, struct stream *s, const struct error *err)
{
    struct ping *p = container_of(req, struct ping, open_);
    if (!s) {
        finish(p, err);
        return;
    }
    p->stream_ = s;
    stream_deadline(s, LIMIT_P2P_PING_MS);
    stream_want_write(s);
}

void ping(struct host *h, struct ping *p)
{
    assert(p->cb);
    p->sent_ = p->done_ = false;
    p->stream_ = NULL;
    p->have_ = 0;
    secret_random(p->out_, sizeof(p->out_));
    p->open_ = (struct stream_open){
        .to = p->to, .choices = ask_choices, .count = 1, .user = p, .cb = on_opened
    };
    stream_open(h, &p->open_);
}

void ping_cancel(struct ping *p)
{
    if (p->stream_)
        stream_reset(p->stream_, 0);
    else
        stream_open_cancel(&p->open_);
}
