#include "node/swarm_pull.h"

#include "base/mem.h"
#include "codec/json.h"
#include "core/config.h"
#include "core/log.h"
#include "node/node_state.h"
#include "node/node_stores.h"
#include "node/p2p.h"
#include "node/status.h"
#include "node/swarm.h"
#include "node/swarm_net.h"
#include "node/swarm_pull_list.h"
#include "store/batches.h"
#include "swarm/identity.h"
#include "swarm/puller.h"
#include "swarm/topology.h"

struct swarm_pull {
    struct node *node;
    struct mem_owner *mem;
    struct puller *puller;
    struct topology_watch watch;
    struct status_section section;
    struct node_hold hold;
    bool stopping;
};

struct puller *node_puller(struct node *n)
{
    return n->swarm_pull ? n->swarm_pull->puller : NULL;
}

static void on_peer(void *ctx, const struct swarm_peer *peer)
{
    struct swarm_pull *s = ctx;
    if (peer->full_node) /* a light one keeps nothing to pull */
        puller_peer_up(s->puller, &peer->id, peer->overlay, peer->proximity);
}

static void on_gone(void *ctx, const struct swarm_peer *peer)
{
    struct swarm_pull *s = ctx;
    puller_peer_down(s->puller, &peer->id);
}

static struct batches *present_batches(void *ctx)
{
    struct swarm_pull *s = ctx;
    return node_batches(s->node);
}

/* What it says of itself. */

static void write_section(struct status_section *section, struct json_writer *w)
{
    static const char *const refused[PULLSYNC_REFUSALS] = {
        [PULLSYNC_MALFORMED] = "malformed", [PULLSYNC_UNKNOWN_BATCH] = "unknown_batch",
        [PULLSYNC_BAD_PROOF] = "bad_proof", [PULLSYNC_OTHER_STAMP] = "other_stamp",
        [PULLSYNC_UNASKED] = "unasked",     [PULLSYNC_MISSING] = "missing",
        [PULLSYNC_OLDER] = "older",         [PULLSYNC_DAMAGED] = "damaged",
    };
    const struct swarm_pull *s = container_of(section, struct swarm_pull, section);
    struct puller_status st;
    puller_status(s->puller, &st);
    json_put_bool(w, "synced", st.synced);
    json_put_uint(w, "missing", st.missing);
    json_put_uint(w, "radius", st.radius);
    json_put_uint(w, "sessions", st.sessions);
    json_put_uint(w, "parked", st.parked);
    json_put_uint(w, "offered", st.offered);
    json_put_uint(w, "wanted", st.wanted);
    json_put_uint(w, "delivered", st.delivered);
    json_put_uint(w, "stored", st.stored);
    json_object_begin(w, "refused");
    for (unsigned i = 0; i < PULLSYNC_REFUSALS; i++)
        json_put_uint(w, refused[i], st.refused[i]);
    json_object_end(w);
    json_put_uint(w, "remembered", st.remembered);
    json_put_uint(w, "pages", st.pages);
    json_put_uint(w, "failed", st.failed);
    struct swarm_pull_list list;
    swarm_pull_list_begin(&list, w);
    puller_each(s->puller, swarm_pull_list_bin, &list);
    swarm_pull_list_end(&list);
}

/* Start, reload, stop. */

enum err swarm_pull_part_start(struct node *n, struct error *err)
{
    struct topology *topology = node_topology(n);
    if (!topology)
        return ERR_OK;
    const struct config *c = n->env.config;
    struct mem_owner *mem = node_owner(n, "pullsync");
    struct swarm_pull *s = n->swarm_pull = mem_zalloc(mem, sizeof(*s));
    s->node = n;
    s->mem = mem;
    const struct puller_options options = { .loop = n->env.loop,
                                            .host = p2p_host(n),
                                            .work = n->env.work,
                                            .reserve = node_reserve(n),
                                            .state = node_statestore(n),
                                            .mem = mem,
                                            .governor = n->env.governor,
                                            .overlay = node_swarm_identity(n)->overlay,
                                            .batches = present_batches,
                                            .accept_all_stamps = n->started->accept_all_stamps,
                                            .rate = (uint32_t)c->pullsync_pull_rate,
                                            .ctx = s };
    enum err rc = puller_create(&s->puller, &options, err);
    if (rc)
        return rc;
    s->watch = (struct topology_watch){ .on_peer = on_peer, .on_gone = on_gone, .ctx = s };
    topology_watch(topology, &s->watch);
    s->section.name = "pullsync";
    s->section.write = write_section;
    status_section_add(node_status(n), &s->section);
    return ERR_OK;
}

void swarm_pull_part_reload(struct node *n)
{
    if (n->swarm_pull && !n->swarm_pull->stopping)
        puller_set_rate(n->swarm_pull->puller, (uint32_t)n->env.config->pullsync_pull_rate);
}

static void on_stopped(void *ctx)
{
    struct swarm_pull *s = ctx;
    node_release(s->node, &s->hold, NULL);
}

void swarm_pull_part_drain(struct node *n)
{
    struct swarm_pull *s = n->swarm_pull;
    if (!s || s->stopping || !s->puller)
        return;
    s->stopping = true;
    topology_unwatch(&s->watch);
    node_hold(n, &s->hold, "pulling from peers");
    puller_stop(s->puller, on_stopped, s);
}

void swarm_pull_part_stop(struct node *n)
{
    struct swarm_pull *s = n->swarm_pull;
    if (!s)
        return;
    status_section_remove(&s->section);
    topology_unwatch(&s->watch);
    puller_destroy(s->puller);
    n->swarm_pull = NULL;
    mem_free(s->mem, s);
}
