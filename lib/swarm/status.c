#include "swarm/status.h"

#include "core/metrics.h"
#include "proto/swarm.pb-c.h"

enum { STEP_HEADERS, STEP_GET, STEP_CLOSE };

static int on_headers(struct session *s, const struct session_event *ev, struct error *err)
{
    return session_headers(s, ev->message, err) ? SESSION_FAILED : STEP_GET;
}

static int on_get(struct session *s, const struct session_event *ev, struct error *err)
{
    static char full[] = "full", light[] = "light";
    const struct status_source *source = s->ctx->owner;
    struct status_facts f = { 0 };
    ProtobufCMessage *m;
    if (session_unpack(s, &swarm__status_get__descriptor, ev->message, &m, err))
        return SESSION_FAILED;
    source->facts(source->ctx, &f);
    Swarm__StatusSnapshot snapshot = SWARM__STATUS_SNAPSHOT__INIT;
    snapshot.reserve_size = f.reserve_size;
    snapshot.reserve_size_within_radius = f.reserve_size_within_radius;
    snapshot.pullsync_rate = f.pullsync_rate;
    snapshot.storage_radius = f.storage_radius;
    snapshot.committed_depth = f.committed_depth;
    snapshot.connected_peers = f.connected_peers;
    snapshot.neighborhood_size = f.neighbourhood_size;
    snapshot.bee_mode = f.full_node ? full : light;
    snapshot.is_reachable = f.reachable;
    snapshot.batch_commitment = f.batch_commitment;
    metric_add(METRIC_status_answered_total, 1);
    return session_send(s, &snapshot.base, err) ? SESSION_FAILED : STEP_CLOSE;
}

static int on_fin(struct session *s UNUSED, const struct session_event *ev UNUSED,
                  struct error *err UNUSED)
{
    return SESSION_DONE;
}

static const struct session_step steps[] = {
    [STEP_HEADERS] = { "awaiting headers", SESSION_FRAME, on_headers, LIMIT_SWARM_HEADERS_MS },
    [STEP_GET] = { "awaiting a question", SESSION_FRAME, on_get, LIMIT_SWARM_HEADERS_MS },
    [STEP_CLOSE] = { "closing", SESSION_FIN, on_fin, LIMIT_SWARM_CLOSE_MS },
};

const struct session_kind status_kind = { .name = "status",
                                          .steps = steps,
                                          .message_bytes_max = LIMIT_SWARM_SMALL_BYTES,
                                          .message_limit = LIMIT_ID_SWARM_SMALL_BYTES,
                                          .arena_bytes_max = LIMIT_SWARM_ARENA_BYTES,
                                          .size = sizeof(struct session) };
