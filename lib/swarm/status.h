/* lib/swarm/status.h
 *
 * /swarm/status/1.1.3/status: every bee asks its peers how they are, 10 s after the start and then
 * every few minutes; who does not answer is pruned first. We answer with what is so.
 * Thread: loop only. Errors of a session: ERR_MALFORMED.
 */
#ifndef LARDER_SWARM_STATUS_H
#define LARDER_SWARM_STATUS_H

#include "swarm/session.h"

struct status_facts {
    uint64_t reserve_size, reserve_size_within_radius;
    double pullsync_rate; /* chunks a second that arrive and were not here */
    uint8_t storage_radius, committed_depth;
    uint64_t connected_peers, neighbourhood_size;
    bool full_node;
    bool reachable;            /* somebody has connected to us */
    uint64_t batch_commitment; /* chunks that the batches we know may stamp */
};
struct status_source { /* the session_ctx's owner */
    void (*facts)(void *ctx, struct status_facts *out);
    void *ctx;
};

extern const struct session_kind status_kind;

#endif
