#include "node/swarm_net.h"

#include "base/mem.h"
#include "codec/multiaddr.h"
#include "core/config.h"
#include "core/log.h"
#include "net/protocols.h"
#include "node/p2p.h"
#include "node/swarm.h"
#include "node/swarm_net_state.h"
#include "swarm/pingpong.h"
#include "swarm/pricing.h"

struct topology *node_topology(struct node *n)
{
    return n->swarm_net ? n->swarm_net->topology : NULL;
}

/* What the host may still call while it closes. */

enum err swarm_net_memory_start(struct node *n, struct error *err)
{
    const struct swarm_identity *id = node_swarm_identity(n);
    if (!id)
        return ERR_OK;
    struct mem_owner *mem = node_owner(n, "swarm");
    struct swarm_net *s = n->swarm_net = mem_zalloc(mem, sizeof(*s));
    s->node = n;
    s->mem = mem;
    s->identity.swarm = id;
    s->identity.full_node = n->started->full_node;
    s->identity.welcome = n->started->welcome_message;
    enum err rc = topology_create(&s->topology, mem, id->overlay, err);
    rc = rc ? rc : known_create(&s->known, mem, id->overlay, err);
    return rc;
}

void swarm_net_memory_stop(struct node *n)
{
    struct swarm_net *s = n->swarm_net;
    if (!s)
        return;
    pullsync_server_destroy(s->server);
    hive_close(&s->hive);
    topology_destroy(s->topology);
    known_destroy(s->known);
    n->swarm_net = NULL;
    mem_free(s->mem, s);
}

/* Events of the host. */

static void on_open(void *ctx, const struct peer_id *peer UNUSED, bool inbound)
{
    struct swarm_net *s = ctx;
    s->reachable |= inbound;
}

static void on_gone(void *ctx, const struct peer_id *peer)
{
    struct swarm_net *s = ctx;
    if (!host_connected(s->host, peer))
        topology_remove(s->topology, peer);
}

/* Full nodes are what we are connected for. */
static void on_peer(void *ctx, const struct swarm_peer *p)
{
    struct swarm_net *s = ctx;
    if (p->full_node)
        (void)host_protect(s->host, &p->id, HOST_TAG_SWARM, true);
}

static void on_peer_gone(void *ctx, const struct swarm_peer *p)
{
    struct swarm_net *s = ctx;
    if (p->full_node)
        (void)host_protect(s->host, &p->id, HOST_TAG_SWARM, false);
}

static bool remote_of(void *ctx UNUSED, struct stream *stream, struct writer *out)
{
    host_stream_remote(stream, out);
    return true;
}

static void disconnect(void *ctx, const struct peer_id *peer)
{
    struct swarm_net *s = ctx;
    if (s->host && !s->stopping)
        host_disconnect(s->host, peer);
}

static void keep_only(void *ctx, struct stream *stream)
{
    struct swarm_net *s = ctx;
    if (s->host && !s->stopping)
        host_keep_only(stream);
}

static bool admits(void *ctx, const struct peer_id *peer)
{
    struct swarm_net *s = ctx;
    return topology_find(s->topology, peer) != NULL;
}

static void on_known(void *ctx)
{
    struct swarm_net *s = ctx;
    if (s->connector && !s->stopping)
        connector_look(s->connector);
}

/* That of the reserve, which the topology goes by, too. */
static uint8_t radius_of(void *ctx)
{
    struct swarm_net *s = ctx;
    struct reserve_status st;
    reserve_status(node_reserve(s->node), &st);
    topology_set_radius(s->topology, st.radius);
    return st.radius;
}

/* Start. */

static struct session_ctx ctx_of(struct swarm_net *s, const struct session_kind *kind, void *owner)
{
    return (struct session_ctx){ .kind = kind,
                                 .loop = s->node->env.loop,
                                 .mem = s->mem,
                                 .admitted = s->topology,
                                 .owner = owner };
}

static enum err serve(struct swarm_net *s, struct error *err)
{
    s->pricing_ctx = ctx_of(s, &pricing_kind, NULL);
    s->hive_ctx = ctx_of(s, &hive_kind, &s->hive);
    s->status_ctx = ctx_of(s, &status_kind, &s->status);
    s->pingpong_ctx = ctx_of(s, &pingpong_kind, NULL);
    const struct {
        enum protocol_row row;
        const struct session_ctx *ctx;
    } rows[] = {
        { PROTOCOL_handshake, handshake_served(&s->handshake) },
        { PROTOCOL_pricing, &s->pricing_ctx },
        { PROTOCOL_hive, &s->hive_ctx },
        { PROTOCOL_status, &s->status_ctx },
        { PROTOCOL_pingpong, &s->pingpong_ctx },
    };
    enum err rc = ERR_OK;
    for (size_t i = 0; i < ARRAY_SIZE(rows) && !rc; i++)
        rc = host_serve(s->host, rows[i].row, &session_ops, (void *)(uintptr_t)rows[i].ctx, err);
    return rc;
}

static enum err server_start(struct swarm_net *s, struct error *err)
{
    const struct config *c = s->node->env.config;
    const struct pullsync_server_options options = { .loop = s->node->env.loop,
                                                     .host = s->host,
                                                     .reserve = node_reserve(s->node),
                                                     .mem = node_owner(s->node, "pullsync"),
                                                     .governor = s->node->env.governor,
                                                     .rate = (uint32_t)c->pullsync_serve_rate,
                                                     .admits = admits,
                                                     .ctx = s };
    return pullsync_server_create(&s->server, &options, err);
}

static enum err contacts_add(struct swarm_net *s, const struct option_list *list,
                             enum contact_kind kind, struct error *err)
{
    enum err rc = ERR_OK;
    for (uint32_t i = 0; i < list->count && !rc; i++) {
        uint8_t buf[LIMIT_MULTIADDR_BYTES];
        struct writer w = writer_of(buf, sizeof(buf));
        rc = multiaddr_from_text(list->items[i], strlen(list->items[i]), &w, err);
        if (!rc)
            rc = connector_add(s->connector, bytes_of(buf, writer_used(&w)), kind, err);
        if (rc)
            return error_wrap(err, rc, "%s", list->items[i]);
    }
    return ERR_OK;
}

static enum err connector_start(struct swarm_net *s, struct error *err)
{
    const struct connector_options options = { .loop = s->node->env.loop,
                                               .mem = s->mem,
                                               .governor = s->node->env.governor,
                                               .host = s->host,
                                               .topology = s->topology,
                                               .known = s->known,
                                               .handshake = &s->handshake,
                                               .own = &s->identity.peer,
                                               .radius = radius_of,
                                               .ctx = s };
    return connector_create(&s->connector, &options, err);
}

enum err swarm_net_call(struct swarm_net *s, struct error *err)
{
    const struct config *c = s->node->env.config;
    enum err rc = contacts_add(s, &c->peers, CONTACT_CONFIGURED, err);
    return rc ? rc : contacts_add(s, &c->bootnode, CONTACT_BOOTNODE, err);
}

static void known_start(struct swarm_net *s)
{
    s->known_store = (struct known_store){ .loop = s->node->env.loop,
                                           .state = node_statestore(s->node),
                                           .known = s->known,
                                           .network_id = s->identity.swarm->network_id,
                                           .on_known = on_known,
                                           .ctx = s };
    known_store_start(&s->known_store);
}

static void modules_init(struct swarm_net *s)
{
    struct loop *loop = s->node->env.loop;
    s->handshake = (struct handshake){ .loop = loop,
                                       .mem = s->mem,
                                       .host = s->host,
                                       .topology = s->topology,
                                       .known = s->known,
                                       .record = &s->record,
                                       .remote = remote_of,
                                       .disconnect = disconnect,
                                       .keep_only = keep_only,
                                       .ctx = s };
    handshake_init(&s->handshake);
    s->hive = (struct hive){ .loop = loop,
                             .mem = s->mem,
                             .topology = s->topology,
                             .known = s->known,
                             .network_id = s->identity.swarm->network_id,
                             .on_known = on_known,
                             .ctx = s };
    hive_init(&s->hive);
    s->status = (struct status_source){ .facts = swarm_net_facts, .ctx = s };
    s->host_watch = (struct host_watch){ .on_open = on_open, .on_gone = on_gone, .ctx = s };
    host_watch(s->host, &s->host_watch);
    s->peers_watch =
        (struct topology_watch){ .on_peer = on_peer, .on_gone = on_peer_gone, .ctx = s };
    topology_watch(s->topology, &s->peers_watch);
}

enum err swarm_net_part_start(struct node *n, struct error *err)
{
    struct swarm_net *s = n->swarm_net;
    if (!s)
        return ERR_OK;
    s->host = p2p_host(n);
    assert(s->host && node_reserve(n)); /* NEEDS(swarm, p2p), and it stands before us */
    s->identity.peer = *host_id(s->host);
    modules_init(s);
    enum err rc = serve(s, err);
    rc = rc ? rc : server_start(s, err);
    rc = rc ? rc : connector_start(s, err);
    if (rc)
        return rc;
    s->section.name = "topology";
    s->section.write = swarm_net_status_write;
    status_section_add(node_status(n), &s->section);
    known_start(s);
    swarm_net_record(s);
    return ERR_OK;
}

void swarm_net_part_reload(struct node *n)
{
    struct swarm_net *s = n->swarm_net;
    const struct config *c = n->env.config;
    struct error err = { ERR_OK, "" };
    if (!s || s->stopping || !s->connector)
        return;
    pullsync_server_set_rate(s->server, (uint32_t)c->pullsync_serve_rate);
    connector_reload_begin(s->connector);
    if (swarm_net_call(s, &err))
        log_warning("peers: %s", err.text);
    connector_reload_end(s->connector);
}

/* Stop. */

static void on_calls_ended(void *ctx)
{
    struct swarm_net *s = ctx;
    node_release(s->node, &s->calls_hold, NULL);
}

static void on_server_ended(void *ctx)
{
    struct swarm_net *s = ctx;
    node_release(s->node, &s->server_hold, NULL);
}

static void on_known_stored(void *ctx)
{
    struct swarm_net *s = ctx;
    s->known_store.loop = NULL;
    node_release(s->node, &s->known_hold, NULL);
}

void swarm_net_part_drain(struct node *n)
{
    struct swarm_net *s = n->swarm_net;
    if (!s || s->stopping || !s->host)
        return;
    s->stopping = true;
    if (s->connector) {
        node_hold(n, &s->calls_hold, "calls to Swarm peers");
        connector_stop(s->connector, on_calls_ended, s);
    }
    if (s->server) {
        node_hold(n, &s->server_hold, "pullsync sessions of peers");
        pullsync_server_stop(s->server, on_server_ended, s);
    }
    if (s->known_store.loop) { /* it was started */
        node_hold(n, &s->known_hold, "peers we know of");
        known_store_stop(&s->known_store, on_known_stored, s);
    }
}

void swarm_net_part_stop(struct node *n)
{
    struct swarm_net *s = n->swarm_net;
    if (!s || !s->host)
        return;
    status_section_remove(&s->section);
    host_unwatch(&s->host_watch);
    topology_unwatch(&s->peers_watch);
    connector_destroy(s->connector);
    s->connector = NULL;
    s->host = NULL;
}
