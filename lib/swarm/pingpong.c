#include "swarm/pingpong.h"

#include "proto/swarm.pb-c.h"

enum { STEP_HEADERS, STEP_PING };

static int on_headers(struct session *s, const struct session_event *ev, struct error *err)
{
    return session_headers(s, ev->message, err) ? SESSION_FAILED : STEP_PING;
}

static int on_ping(struct session *s, const struct session_event *ev, struct error *err)
{
    ProtobufCMessage *m;
    if (ev->kind == SESSION_FIN)
        return SESSION_DONE;
    if (session_unpack(s, &swarm__ping__descriptor, ev->message, &m, err))
        return SESSION_FAILED;
    struct bytes greeting = pb_bytes(((Swarm__Ping *)m)->greeting);
    uint8_t text[LIMIT_SWARM_SMALL_BYTES + 2];
    struct writer w = writer_of(text, sizeof(text));
    writer_u8(&w, '{');
    writer_put(&w, greeting.data, greeting.size); /* shorter than its message */
    writer_u8(&w, '}');
    Swarm__Pong pong = SWARM__PONG__INIT;
    pong.response = pb_data(bytes_of(text, writer_used(&w)));
    return session_send(s, &pong.base, err) ? SESSION_FAILED : STEP_PING;
}

static const struct session_step steps[] = {
    [STEP_HEADERS] = { "awaiting headers", SESSION_FRAME, on_headers, LIMIT_SWARM_HEADERS_MS },
    [STEP_PING] = { "awaiting a ping", SESSION_FRAME | SESSION_FIN, on_ping, LIMIT_SWARM_CLOSE_MS },
};

const struct session_kind pingpong_kind = { .name = "pingpong",
                                            .steps = steps,
                                            .message_bytes_max = LIMIT_SWARM_SMALL_BYTES,
                                            .message_limit = LIMIT_ID_SWARM_SMALL_BYTES,
                                            .arena_bytes_max = LIMIT_SWARM_ARENA_BYTES,
                                            .size = sizeof(struct session) };
