/* /ipfs/id/push/1.0.0: who has changed says so: the message of identify, unasked. What it leaves
 * out stays as it was. */
#include "base/mem.h"
#include "core/metrics.h"
#include "net/frame.h"
#include "net/host_state.h"

enum { PUSH_SENT, PUSH_RECEIVED }; /* the label direction: outbound, inbound */

/* Being told. */

struct told {
    struct mem_owner *mem;
    struct frame_reader frames;
    uint32_t messages;
};

static enum err on_message(struct frame_reader *fr, struct bytes message)
{
    struct told *t = container_of(fr, struct told, frames);
    struct conn *c = stream_conn(fr->stream);
    if (!LIMIT_CHECK(P2P_IDENTIFY_MESSAGES, ++t->messages))
        return ERR_LIMIT;
    return identify_apply(c, message, true);
}

static enum err told_open(struct stream *s, void *ctx UNUSED, void **user)
{
    struct conn *c = stream_conn(s);
    uint64_t now = loop_now_ms(c->host->loop);
    if (c->pushed_ms > 0 && now - c->pushed_ms < LIMIT_P2P_PUSH_MS) {
        LIMIT_HIT(P2P_PUSH_MS);
        return ERR_LIMIT;
    }
    struct told *t = mem_try_zalloc(c->host->mem, sizeof(*t));
    if (!t)
        return ERR_BUDGET;
    c->pushed_ms = now;
    t->mem = c->host->mem;
    t->frames.stream = s;
    t->frames.owner = t->mem;
    t->frames.max_bytes = LIMIT_P2P_IDENTIFY_BYTES;
    t->frames.limit = LIMIT_ID_P2P_IDENTIFY_BYTES;
    t->frames.on_frame = on_message;
    *user = t;
    stream_deadline(s, LIMIT_P2P_IDENTIFY_MS);
    return ERR_OK;
}

static size_t told_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct told *t = user;
    if (size > 0)
        return frame_feed(&t->frames, bytes, size);
    stream_finish(s);
    return 0;
}

static void told_close(struct stream *s, void *user, const struct error *err, uint32_t code UNUSED)
{
    struct told *t = user;
    struct conn *c = stream_conn(s);
    if (!t)
        return;
    if (!err && t->messages > 0 && c->state == CONN_OPEN) {
        metric_add_by(METRIC_p2p_pushes_total, PUSH_RECEIVED, 1);
        host_conn_identified(c);
    }
    frame_close(&t->frames);
    mem_free(t->mem, t);
}

const struct stream_ops identify_push_ops = { told_open, told_data, NULL, told_close };

/* Telling. */

struct telling {
    struct mem_owner *mem;
    struct stream_open open;
    size_t size, sent;
    uint8_t bytes[LIMIT_P2P_IDENTIFY_OWN_BYTES];
};

static size_t tell_data(struct stream *s UNUSED, void *user UNUSED, const uint8_t *b UNUSED,
                        size_t size)
{
    return size; /* nothing is expected but FIN */
}

static size_t tell_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct telling *t = user;
    size_t n = MIN(room, t->size - t->sent);
    memcpy(buf, t->bytes + t->sent, n);
    t->sent += n;
    if (t->sent == t->size)
        stream_finish(s);
    return n;
}

static void tell_close(struct stream *s UNUSED, void *user, const struct error *err UNUSED,
                       uint32_t code UNUSED)
{
    struct telling *t = user;
    mem_free(t->mem, t);
}

static const struct stream_ops tell_ops = { NULL, tell_data, tell_writable, tell_close };
static const struct protocol tell_protocol = { .name = "/ipfs/id/push/1.0.0",
                                               .ops = &tell_ops,
                                               .row = PROTOCOL_identify_push };
static const struct protocol *const tell_choices[] = { &tell_protocol };

static void on_opened(struct stream_open *req, struct stream *s, const struct error *err UNUSED)
{
    struct telling *t = container_of(req, struct telling, open);
    if (!s) {
        mem_free(t->mem, t);
        return;
    }
    metric_add_by(METRIC_p2p_pushes_total, PUSH_SENT, 1);
    stream_deadline(s, LIMIT_P2P_IDENTIFY_MS);
    stream_want_write(s);
}

void identify_push(struct conn *c)
{
    struct host *h = c->host;
    struct telling *t = mem_try_zalloc(h->mem, sizeof(*t));
    if (!t)
        return; /* it asks again when it connects again */
    t->mem = h->mem;
    t->size = identify_frame(c, t->bytes);
    t->open = (struct stream_open){
        .to = c->remote, .conn = c, .choices = tell_choices, .count = 1, .user = t, .cb = on_opened
    };
    stream_open(h, &t->open);
}
