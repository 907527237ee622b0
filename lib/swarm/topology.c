#include "swarm/topology.h"

#include "base/mem.h"
#include "core/metrics.h"

enum { BUCKETS = 64 };

struct topology {
    struct mem_owner *mem;
    uint8_t overlay[OVERLAY_BYTES];
    uint8_t radius;
    struct list buckets[BUCKETS]; /* of peers, by the last byte of their id */
    struct list watchers;
    uint32_t bins[TOPOLOGY_BINS]; /* full ones */
    uint32_t light, ready;
};

static struct list *bucket_of(struct topology *t, const struct peer_id *id)
{
    assert(id->len > 0);
    return &t->buckets[id->bytes[id->len - 1] % BUCKETS];
}

enum err topology_create(struct topology **out, struct mem_owner *mem,
                         const uint8_t overlay[OVERLAY_BYTES], struct error *err)
{
    struct topology *t = mem_try_zalloc(mem, sizeof(*t));
    if (!t)
        return mem_refused(mem, sizeof(*t), err);
    t->mem = mem;
    memcpy(t->overlay, overlay, OVERLAY_BYTES);
    for (unsigned i = 0; i < BUCKETS; i++)
        list_init(&t->buckets[i]);
    list_init(&t->watchers);
    *out = t;
    return ERR_OK;
}

static void peer_free(struct topology *t, struct swarm_peer *p)
{
    list_remove(&p->link_);
    *(p->full_node ? &t->bins[p->proximity] : &t->light) -= 1;
    t->ready -= p->ready;
    metric_set(METRIC_swarm_peers, t->ready);
    mem_free(t->mem, p);
}

void topology_destroy(struct topology *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i < BUCKETS; i++)
        while (!list_empty(&t->buckets[i]))
            peer_free(t, container_of(list_first(&t->buckets[i]), struct swarm_peer, link_));
    mem_free(t->mem, t);
}

void topology_set_radius(struct topology *t, uint8_t radius)
{
    t->radius = radius;
}

struct swarm_peer *topology_find(struct topology *t, const struct peer_id *id)
{
    if (id->len == 0)
        return NULL;
    list_each (at, bucket_of(t, id)) {
        struct swarm_peer *p = container_of(at, struct swarm_peer, link_);
        if (peer_id_equal(&p->id, id))
            return p;
    }
    return NULL;
}

const struct swarm_peer *topology_next(const struct topology *t, const struct swarm_peer *p)
{
    unsigned bucket = p ? p->id.bytes[p->id.len - 1] % BUCKETS : 0;
    const struct list *at = p ? p->link_.next : t->buckets[0].next;
    while (at == &t->buckets[bucket]) {
        if (++bucket == BUCKETS)
            return NULL;
        at = t->buckets[bucket].next;
    }
    return container_of(at, struct swarm_peer, link_);
}

bool topology_has_overlay(const struct topology *t, const uint8_t overlay[OVERLAY_BYTES])
{
    const struct swarm_peer *p = NULL;
    while ((p = topology_next(t, p)))
        if (!memcmp(p->overlay, overlay, OVERLAY_BYTES))
            return true;
    return false;
}

/* Neighbours are all welcome: the connections of the host bound them. */
static enum err room_check(const struct topology *t, const struct topology_arrival *a,
                           unsigned proximity, struct error *err)
{
    if (!a->full_node && !LIMIT_CHECK(SWARM_LIGHT_PEERS, t->light + 1))
        return error_set(err, ERR_LIMIT, "there are %d light peers already",
                         LIMIT_SWARM_LIGHT_PEERS);
    if (a->full_node && a->inbound && proximity < t->radius &&
        !LIMIT_CHECK(SWARM_BIN_PEERS, t->bins[proximity] + 1))
        return error_set(err, ERR_LIMIT, "bin %u holds %d peers already", proximity,
                         LIMIT_SWARM_BIN_PEERS);
    return ERR_OK;
}

enum err topology_admit(struct topology *t, const struct topology_arrival *a,
                        struct swarm_peer **out, struct error *err)
{
    struct swarm_peer *p = topology_find(t, a->id);
    if (p || topology_has_overlay(t, a->overlay)) {
        *out = p;
        return ERR_OK;
    }
    unsigned proximity = overlay_proximity(t->overlay, a->overlay);
    enum err rc = room_check(t, a, proximity, err);
    if (rc)
        return rc;
    p = mem_try_zalloc(t->mem, sizeof(*p));
    if (!p)
        return mem_refused(t->mem, sizeof(*p), err);
    p->id = *a->id;
    memcpy(p->overlay, a->overlay, OVERLAY_BYTES);
    p->proximity = (uint8_t)proximity;
    p->full_node = a->full_node;
    p->inbound = a->inbound;
    p->since_ms = p->gossip_ms = a->now_ms;
    p->gossip_left = LIMIT_HIVE_BURST;
    *(p->full_node ? &t->bins[proximity] : &t->light) += 1;
    list_append(bucket_of(t, a->id), &p->link_);
    *out = p;
    return ERR_OK;
}

void topology_ready(struct topology *t, struct swarm_peer *p)
{
    if (p->ready)
        return;
    p->ready = true;
    t->ready++;
    metric_set(METRIC_swarm_peers, t->ready);
    list_each_safe (at, &t->watchers) {
        struct topology_watch *w = container_of(at, struct topology_watch, link_);
        if (w->on_peer)
            w->on_peer(w->ctx, p);
    }
}

void topology_remove(struct topology *t, const struct peer_id *id)
{
    struct swarm_peer *p = topology_find(t, id);
    if (!p)
        return;
    list_each_safe (at, &t->watchers) {
        struct topology_watch *w = container_of(at, struct topology_watch, link_);
        if (p->ready && w->on_gone)
            w->on_gone(w->ctx, p);
    }
    peer_free(t, p);
}

uint32_t topology_count(const struct topology *t)
{
    return t->ready;
}

uint32_t topology_bin_count(const struct topology *t, unsigned bin)
{
    assert(bin < TOPOLOGY_BINS);
    return t->bins[bin];
}

uint32_t topology_neighbours(const struct topology *t, unsigned radius)
{
    uint32_t n = 0;
    const struct swarm_peer *p = NULL;
    while ((p = topology_next(t, p)))
        n += p->ready && p->full_node && p->proximity >= radius;
    return n;
}

const uint8_t *topology_overlay(const struct topology *t)
{
    return t->overlay;
}

void topology_watch(struct topology *t, struct topology_watch *w)
{
    list_append(&t->watchers, &w->link_);
}

void topology_unwatch(struct topology_watch *w)
{
    if (list_linked(&w->link_))
        list_remove(&w->link_);
}
