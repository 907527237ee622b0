#include "swarm/session.h"

#include "swarm/headers.h"
#include "swarm/topology.h"

enum { ARENA_BLOCK_BYTES = 1024 };

static const struct session_step *step_of(const struct session *s)
{
    return &s->ctx->kind->steps[s->step];
}

static void finish_now(struct session *s)
{
    s->finish = true;
    if (!s->out)
        stream_finish(s->stream);
}

/* The only place where a session changes its step, arms its deadline or ends. */
static enum err advance(struct session *s, const struct session_event *ev)
{
    const struct session_step *step = step_of(s);
    if (!(step->waits_for & (int)ev->kind))
        return error_set(&s->failure, ev->kind == SESSION_FIN ? ERR_CLOSED : ERR_PROTOCOL,
                         "%s: %s while %s", s->ctx->kind->name,
                         ev->kind == SESSION_FIN ? "the peer closed" : "a message", step->name);
    int next = step->run(s, ev, &s->failure);
    arena_free(&s->arena);
    if (next == SESSION_FAILED)
        return error_wrap(&s->failure, s->failure.code, "%s, %s", s->ctx->kind->name, step->name);
    if (next == SESSION_DONE) {
        finish_now(s);
        return ERR_OK;
    }
    s->step = next;
    if (step_of(s)->waits_for == SESSION_FIN)
        finish_now(s);
    stream_deadline(s->stream, step_of(s)->deadline_ms);
    return ERR_OK;
}

static enum err on_frame(struct frame_reader *fr, struct bytes message)
{
    const struct session_event ev = { SESSION_FRAME, message };
    return advance(container_of(fr, struct session, frames), &ev);
}

struct session *session_new(const struct session_ctx *ctx, struct error *err)
{
    const struct session_kind *kind = ctx->kind;
    struct session *s = mem_try_zalloc(ctx->mem, kind->size);
    if (!s) {
        mem_refused(ctx->mem, kind->size, err);
        return NULL;
    }
    s->ctx = ctx;
    s->frames = (struct frame_reader){ .owner = ctx->mem,
                                       .max_bytes = kind->message_bytes_max,
                                       .limit = kind->message_limit,
                                       .on_frame = on_frame };
    arena_init(&s->arena, ctx->mem, ARENA_BLOCK_BYTES, kind->arena_bytes_max);
    return s;
}

void session_free(struct session *s)
{
    frame_close(&s->frames);
    arena_free(&s->arena);
    mem_free(s->ctx->mem, s->out);
    mem_free(s->ctx->mem, s);
}

void session_start(struct session *s, struct stream *stream, int first_step)
{
    s->stream = s->frames.stream = stream;
    s->step = first_step;
    stream_deadline(stream, step_of(s)->deadline_ms);
}

static enum err on_open(struct stream *stream, void *ctx, void **user)
{
    const struct session_ctx *c = ctx;
    if (c->admitted && !topology_find(c->admitted, stream_peer(stream)))
        return ERR_PROTOCOL; /* before the handshake */
    struct session *s = session_new(c, NULL);
    if (!s)
        return ERR_BUDGET;
    session_start(s, stream, 0);
    *user = s;
    return ERR_OK;
}

static size_t on_data(struct stream *stream, void *user, const uint8_t *bytes, size_t size)
{
    struct session *s = user;
    if (size > 0)
        return frame_feed(&s->frames, bytes, size);
    const struct session_event ev = { SESSION_FIN, bytes_of(NULL, 0) };
    enum err rc = ERR_OK;
    if (frame_partial(&s->frames))
        rc = error_set(&s->failure, ERR_CLOSED, "%s: the peer closed within a message",
                       s->ctx->kind->name);
    else
        rc = advance(s, &ev);
    if (rc)
        stream_fail(stream, rc, 0);
    return 0;
}

static size_t on_writable(struct stream *stream, void *user, uint8_t *buf, size_t room)
{
    struct session *s = user;
    size_t n = MIN(room, s->out_size - s->out_sent);
    if (n > 0)
        memcpy(buf, s->out + s->out_sent, n);
    s->out_sent += n;
    if (!s->out || s->out_sent < s->out_size)
        return n;
    mem_free(s->ctx->mem, s->out);
    s->out = NULL;
    s->out_size = s->out_sent = 0;
    if (s->finish)
        stream_finish(stream);
    stream_resume(stream);
    return n;
}

static void on_close(struct stream *stream UNUSED, void *user, const struct error *err,
                     uint32_t code UNUSED)
{
    struct session *s = user;
    if (!s)
        return;
    if (s->ctx->kind->ended)
        s->ctx->kind->ended(s, s->failure.code ? &s->failure : err);
    session_free(s);
}

const struct stream_ops session_ops = { on_open, on_data, on_writable, on_close };

/* Whole and at once when the connection has room, which is nearly always. */
static enum err send_bytes(struct session *s, uint8_t *bytes, size_t size)
{
    assert(!s->out);
    if (stream_try_write(s->stream, bytes, size) == size) {
        mem_free(s->ctx->mem, bytes);
        return ERR_OK;
    }
    s->out = bytes;
    s->out_size = size;
    s->out_sent = 0;
    stream_pause(s->stream);
    stream_want_write(s->stream);
    return ERR_OK;
}

enum err session_send(struct session *s, const ProtobufCMessage *m, struct error *err)
{
    size_t size = pb_size_delimited(m);
    uint8_t *bytes = mem_try_alloc(s->ctx->mem, size);
    if (!bytes)
        return mem_refused(s->ctx->mem, size, err);
    struct writer w = writer_of(bytes, size);
    pb_put_delimited(&w, m);
    return send_bytes(s, bytes, size);
}

enum err session_unpack(struct session *s, const ProtobufCMessageDescriptor *type,
                        struct bytes message, ProtobufCMessage **out, struct error *err)
{
    return pb_unpack(type, message, &s->arena, out, err);
}

enum err session_headers(struct session *s, struct bytes message, struct error *err)
{
    enum err rc = headers_check(message, err);
    if (rc)
        return rc;
    uint8_t *bytes = mem_try_alloc(s->ctx->mem, sizeof(headers_none));
    if (!bytes)
        return mem_refused(s->ctx->mem, sizeof(headers_none), err);
    memcpy(bytes, headers_none, sizeof(headers_none));
    return send_bytes(s, bytes, sizeof(headers_none));
}

void session_fail(struct session *s, enum err code, const char *why)
{
    error_set(&s->failure, code, "%s: %s", s->ctx->kind->name, why);
    stream_fail(s->stream, code, 0);
}
