/* lib/swarm/session.h
 *
 * What the small protocols of Swarm share: a session is a table of steps, each waits for a message
 * or for the other side's end, and session.c alone moves from one to the next. Pullsync has its own
 * engine, since its streams wait for hours by the thousand.
 *
 * A kind of session is served by host_serve(host, PROTOCOL_…, &session_ops, &ctx). A step that
 * waits for the end closes our side first: both sides must, or the other one resets after 30 s.
 * Owns:   itself; freed when its stream is closed. Memory: the owner of its ctx.
 * Thread: loop only. Errors: a step's own; ERR_CLOSED, ERR_PROTOCOL (a message or an end that the
 *         step does not wait for), ERR_TIMEOUT.
 */
#ifndef LARDER_SWARM_SESSION_H
#define LARDER_SWARM_SESSION_H

#include "codec/pb.h"
#include "net/frame.h"

struct session;
struct topology;

enum session_event_kind { SESSION_FRAME = 1, SESSION_FIN = 2 };
struct session_event {
    enum session_event_kind kind;
    struct bytes message; /* of a frame */
};
enum { SESSION_DONE = -1, SESSION_FAILED = -2 };

struct session_step {
    const char *name;
    int waits_for; /* SESSION_FRAME, SESSION_FIN or both */
    /* The next step, SESSION_DONE, or SESSION_FAILED with err set. */
    int (*run)(struct session *s, const struct session_event *ev, struct error *err);
    uint32_t deadline_ms;
};

struct session_kind {
    const char *name;
    const struct session_step *steps; /* the first is where one that was opened to us begins */
    uint32_t message_bytes_max;
    enum limit_id message_limit; /* its row */
    uint32_t arena_bytes_max;    /* for what a message is unpacked to */
    size_t size;                 /* of the struct that begins with a struct session */
    /* Once; NULL: all went well. It is freed behind the call. May be NULL. */
    void (*ended)(struct session *s, const struct error *err);
};

struct session_ctx { /* constant while anything is open */
    const struct session_kind *kind;
    struct loop *loop;
    struct mem_owner *mem;
    /* Streams of peers that are not in here are refused; NULL: of nobody. */
    struct topology *admitted;
    void *owner; /* the module's own */
};

struct session {
    const struct session_ctx *ctx;
    struct stream *stream; /* NULL until it is open */
    struct frame_reader frames;
    struct arena arena; /* emptied after each step */
    int step;
    uint8_t *out; /* what does not fit the connection now; nothing is read meanwhile */
    size_t out_size, out_sent;
    bool finish; /* behind out */
    struct error failure;
};

extern const struct stream_ops session_ops; /* ctx: a struct session_ctx */

/* For streams that we open: the session is the user of stream_open, then start, or free. */
struct session *session_new(const struct session_ctx *ctx,
                            struct error *err); /* NULL: ERR_BUDGET */
void session_start(struct session *s, struct stream *stream, int first_step);
void session_free(struct session *s); /* one without a stream */

/* Inside a step, at most once in each. */
enum err session_send(struct session *s, const ProtobufCMessage *m, struct error *err);
enum err session_unpack(struct session *s, const ProtobufCMessageDescriptor *type,
                        struct bytes message, ProtobufCMessage **out, struct error *err);
/* The first step of whoever is asked: checks the peer's headers and answers with ours. */
enum err session_headers(struct session *s, struct bytes message, struct error *err);
/* From outside of a step: it ends with this error. */
void session_fail(struct session *s, enum err code, const char *why);

#endif
