/* lib/node/swarm_net_state.h
 *
 * The inside of the part, for swarm_net.c (life, events), swarm_net_record.c (our signed record)
 * and swarm_net_status.c (what it says of itself, to people and to peers). Thread: loop only.
 */
#ifndef LARDER_NODE_SWARM_NET_STATE_H
#define LARDER_NODE_SWARM_NET_STATE_H

#include "node/node_state.h"
#include "node/node_stores.h"
#include "node/status.h"
#include "store/statestore.h"
#include "swarm/connector.h"
#include "swarm/hive.h"
#include "swarm/known_store.h"
#include "swarm/pullsync_server.h"
#include "swarm/status.h"
#include "swarm/topology.h"

struct swarm_net {
    struct node *node;
    struct mem_owner *mem; /* swarm */
    struct host *host;     /* borrowed; NULL before it works and once it has stopped */
    struct record_identity identity;
    struct own_record record; /* its identity is NULL until it may be shown */
    struct topology *topology;
    struct known *known;
    struct known_store known_store;
    struct handshake handshake;
    struct hive hive;
    struct status_source status;
    struct session_ctx pricing_ctx, hive_ctx, status_ctx, pingpong_ctx;
    struct host_watch host_watch;
    struct topology_watch peers_watch;
    struct connector *connector;
    struct pullsync_server *server;
    bool reachable; /* somebody has connected to us */
    bool stopping;
    struct status_section section;
    struct node_hold hold;                                /* the record */
    struct node_hold calls_hold, server_hold, known_hold; /* what ends at a stop */
    struct state_get get;
    struct state_put put;
    uint8_t stored[RECORD_STORED_BYTES];
};

/* swarm_net.c: peers and bootnodes of the configuration become contacts. */
enum err swarm_net_call(struct swarm_net *s, struct error *err);

/* swarm_net_record.c: finds our record or makes it. It is shown once its time is stored; the node
 * is held until then. */
void swarm_net_record(struct swarm_net *s);

/* swarm_net_status.c */
void swarm_net_status_write(struct status_section *section, struct json_writer *w);
void swarm_net_facts(void *ctx, struct status_facts *out); /* ctx: struct swarm_net */

#endif
