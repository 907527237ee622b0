/* What we say of ourselves: to people in the status document, to peers in /swarm/status. */
#include "codec/json.h"
#include "core/config.h"
#include "node/swarm.h"
#include "node/swarm_net_state.h"
#include "node/swarm_pull.h"
#include "store/batches.h"
#include "swarm/puller.h"

static uint8_t radius(const struct swarm_net *s, struct reserve_status *st)
{
    struct reserve *r = node_reserve(s->node);
    *st = (struct reserve_status){ 0 };
    if (r)
        reserve_status(r, st);
    return st->radius;
}

static bool add_rate(void *ctx, const struct puller_bin_status *b)
{
    *(uint64_t *)ctx += b->live ? 0 : b->per_second;
    return true;
}

/* What arrives, as history is caught up with. */
static double pull_rate(const struct swarm_net *s)
{
    uint64_t per_second = 0;
    if (node_puller(s->node))
        puller_each(node_puller(s->node), add_rate, &per_second);
    return (double)per_second;
}

void swarm_net_facts(void *ctx, struct status_facts *out)
{
    const struct swarm_net *s = ctx;
    struct reserve_status st;
    unsigned r = radius(s, &st);
    uint64_t within = 0;
    for (unsigned bin = r; bin < RESERVE_BINS; bin++)
        within += st.in_bin[bin];
    *out = (struct status_facts){
        .reserve_size = st.count,
        .reserve_size_within_radius = within,
        .pullsync_rate = pull_rate(s),
        .storage_radius = (uint8_t)r,
        .committed_depth = (uint8_t)r, /* no doubling: the reserve is one neighbourhood */
        .connected_peers = topology_count(s->topology),
        .neighbourhood_size = topology_neighbours(s->topology, r),
        .full_node = s->identity.full_node,
        .reachable = s->reachable,
        .batch_commitment = node_batches(s->node) ? batches_chunks(node_batches(s->node)) : 0,
    };
}

void swarm_net_status_write(struct status_section *section, struct json_writer *w)
{
    const struct swarm_net *s = container_of(section, struct swarm_net, section);
    struct connector_status calls = { 0 };
    struct reserve_status st;
    unsigned r = radius(s, &st);
    json_put_bool(w, "full_node", s->identity.full_node);
    json_put_bool(w, "reachable", s->reachable);
    json_put_uint(w, "peers", topology_count(s->topology));
    json_put_uint(w, "neighbours", topology_neighbours(s->topology, r));
    json_put_uint(w, "known", known_count(s->known));
    if (s->connector)
        connector_status(s->connector, &calls);
    json_put_uint(w, "contacts", calls.contacts);
    json_put_uint(w, "calling", calls.calling);
    json_put_uint(w, "failing", calls.failing);
    json_array_begin(w, "bins");
    for (unsigned bin = 0; bin < TOPOLOGY_BINS; bin++) {
        if (topology_bin_count(s->topology, bin) == 0)
            continue;
        json_object_begin(w, NULL);
        json_put_uint(w, "bin", bin);
        json_put_uint(w, "peers", topology_bin_count(s->topology, bin));
        json_object_end(w);
    }
    json_array_end(w);
}
