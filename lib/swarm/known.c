#include "swarm/known.h"

#include "base/mem.h"
#include "codec/multiaddr.h"
#include "core/metrics.h"

struct known {
    struct mem_owner *mem;
    uint8_t overlay[OVERLAY_BYTES];
    uint32_t count;
    struct known_peer *peers[LIMIT_KNOWN_PEERS];
};

enum err known_create(struct known **out, struct mem_owner *mem,
                      const uint8_t overlay[OVERLAY_BYTES], struct error *err)
{
    struct known *k = mem_try_zalloc(mem, sizeof(*k));
    if (!k)
        return mem_refused(mem, sizeof(*k), err);
    k->mem = mem;
    memcpy(k->overlay, overlay, OVERLAY_BYTES);
    *out = k;
    return ERR_OK;
}

void known_destroy(struct known *k)
{
    if (!k)
        return;
    for (uint32_t i = 0; i < k->count; i++)
        mem_free(k->mem, k->peers[i]);
    mem_free(k->mem, k);
}

bool underlay_names(struct bytes address, const struct peer_id *id)
{
    uint8_t buf[8 + PEER_ID_BYTES_MAX];
    struct writer w = writer_of(buf, sizeof(buf));
    multiaddr_put_peer(&w, id);
    size_t n = writer_used(&w);
    return !w.overflow && address.size > n && !memcmp(address.data + address.size - n, buf, n);
}

static uint32_t index_of(const struct known *k, const uint8_t overlay[OVERLAY_BYTES])
{
    uint32_t i = 0;
    while (i < k->count && memcmp(k->peers[i]->overlay, overlay, OVERLAY_BYTES))
        i++;
    return i;
}

static uint32_t farthest(const struct known *k)
{
    uint32_t worst = 0;
    for (uint32_t i = 1; i < k->count; i++)
        if (k->peers[i]->proximity < k->peers[worst]->proximity)
            worst = i;
    return worst;
}

/* Addresses that we can dial and that all name the first one's peer. */
static bool addresses_keep(struct known_peer *out, struct bytes raw)
{
    struct overlay_underlays all, kept = { .count = 0 };
    size_t bytes = 1;
    out->id.len = 0;
    if (overlay_underlays_parse(&all, raw, NULL))
        return false;
    for (uint32_t i = 0; i < all.count; i++) {
        struct multiaddr_target t;
        if (!multiaddr_target(all.addrs[i], &t) || t.peer.len == 0)
            continue;
        if (out->id.len > 0 && !peer_id_equal(&out->id, &t.peer))
            continue;
        if (bytes + 2 + all.addrs[i].size > KNOWN_ADDRESS_BYTES)
            break;
        bytes += 2 + all.addrs[i].size;
        out->id = t.peer;
        kept.addrs[kept.count++] = all.addrs[i];
    }
    struct writer w = writer_of(out->addresses, sizeof(out->addresses));
    bool fits = overlay_underlays_write(&w, &kept);
    out->address_bytes = (uint16_t)writer_used(&w);
    return fits && kept.count > 0;
}

enum known_outcome known_wants(const struct known *k, const struct overlay_record *rec,
                               int64_t newer_by_s)
{
    struct known_peer p;
    if (rec->overlay.size != OVERLAY_BYTES || !memcmp(rec->overlay.data, k->overlay, OVERLAY_BYTES))
        return KNOWN_USELESS;
    uint32_t i = index_of(k, rec->overlay.data);
    if (i < k->count)
        return rec->timestamp_s < k->peers[i]->timestamp_s ||
                       rec->timestamp_s - k->peers[i]->timestamp_s < newer_by_s
                   ? KNOWN_OLD
                   : KNOWN_KEPT;
    if (!addresses_keep(&p, rec->underlays))
        return KNOWN_USELESS;
    if (!LIMIT_CHECK(KNOWN_PEERS, k->count + 1) &&
        overlay_proximity(k->overlay, rec->overlay.data) <= k->peers[farthest(k)]->proximity)
        return KNOWN_FULL;
    return KNOWN_KEPT;
}

enum known_outcome known_learn(struct known *k, const struct overlay_record *rec)
{
    enum known_outcome outcome = known_wants(k, rec, 0);
    if (outcome != KNOWN_KEPT)
        return outcome;
    struct known_peer p = { .timestamp_s = rec->timestamp_s };
    memcpy(p.overlay, rec->overlay.data, OVERLAY_BYTES);
    p.proximity = (uint8_t)overlay_proximity(k->overlay, p.overlay);
    if (!addresses_keep(&p, rec->underlays))
        return KNOWN_USELESS;
    uint32_t i = index_of(k, p.overlay);
    if (i == LIMIT_KNOWN_PEERS)
        i = farthest(k);
    if (i == k->count) {
        k->peers[i] = mem_try_alloc(k->mem, sizeof(p));
        if (!k->peers[i])
            return KNOWN_FULL;
        k->count++;
    }
    *k->peers[i] = p;
    metric_set(METRIC_swarm_known_peers, k->count);
    return KNOWN_KEPT;
}

void known_forget(struct known *k, const uint8_t overlay[OVERLAY_BYTES])
{
    uint32_t i = index_of(k, overlay);
    if (i == k->count)
        return;
    mem_free(k->mem, k->peers[i]);
    k->peers[i] = k->peers[--k->count];
    metric_set(METRIC_swarm_known_peers, k->count);
}

void known_postpone(struct known *k, const uint8_t overlay[OVERLAY_BYTES])
{
    uint32_t i = index_of(k, overlay);
    if (i == k->count)
        return;
    struct known_peer *p = k->peers[i];
    memmove(k->peers + i, k->peers + i + 1, (k->count - 1 - i) * sizeof(*k->peers));
    k->peers[k->count - 1] = p;
}

int64_t known_timestamp(const struct known *k, const uint8_t overlay[OVERLAY_BYTES])
{
    uint32_t i = index_of(k, overlay);
    return i < k->count ? k->peers[i]->timestamp_s : 0;
}

uint32_t known_count(const struct known *k)
{
    return k->count;
}

const struct known_peer *known_at(const struct known *k, uint32_t i)
{
    assert(i < k->count);
    return k->peers[i];
}
