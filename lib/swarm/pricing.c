#include "swarm/pricing.h"

#include "core/metrics.h"
#include "proto/swarm.pb-c.h"

enum { STEP_HEADERS, STEP_THRESHOLD, STEP_CLOSE };

static int on_headers(struct session *s, const struct session_event *ev, struct error *err)
{
    return session_headers(s, ev->message, err) ? SESSION_FAILED : STEP_THRESHOLD;
}

static int on_threshold(struct session *s, const struct session_event *ev, struct error *err)
{
    ProtobufCMessage *m;
    if (session_unpack(s, &swarm__announce_payment_threshold__descriptor, ev->message, &m, err))
        return SESSION_FAILED;
    metric_add(METRIC_pricing_received_total, 1);
    return STEP_CLOSE;
}

static int on_fin(struct session *s UNUSED, const struct session_event *ev UNUSED,
                  struct error *err UNUSED)
{
    return SESSION_DONE;
}

static const struct session_step steps[] = {
    [STEP_HEADERS] = { "awaiting headers", SESSION_FRAME, on_headers, LIMIT_SWARM_HEADERS_MS },
    [STEP_THRESHOLD] = { "awaiting a threshold", SESSION_FRAME, on_threshold,
                         LIMIT_SWARM_HEADERS_MS },
    [STEP_CLOSE] = { "closing", SESSION_FIN, on_fin, LIMIT_SWARM_CLOSE_MS },
};

const struct session_kind pricing_kind = { .name = "pricing",
                                           .steps = steps,
                                           .message_bytes_max = LIMIT_SWARM_SMALL_BYTES,
                                           .message_limit = LIMIT_ID_SWARM_SMALL_BYTES,
                                           .arena_bytes_max = LIMIT_SWARM_ARENA_BYTES,
                                           .size = sizeof(struct session) };
