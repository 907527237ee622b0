/* Is the DHT there? Bootstrap, the check after a failure, refreshing the table, and how long the
 * prefixes of its regions are. One thing at a time. */
#include "core/log.h"
#include "ipfs/provider_state.h"

enum { TABLE_FEW = 10, MEASURES = 4, REFRESH_BITS_MAX = 15, OFFLINE_MS = 2 * 3600 * 1000 };

static void boot_next(struct provider *p);
static void measure_next(struct provider *p);
static void refresh_next(struct provider *p);

static void set_state(struct provider *p, enum provider_state state)
{
    if (p->state == state)
        return;
    p->state = state;
    timer_set(&p->tick, 1); /* there may be something to do now, or no longer */
    log_info("reprovide: %s", provider_state_name(state));
}

/* The one look-up of this file. */
static void look_up(struct provider *p, struct bytes key, lookup_cb *cb)
{
    p->lookup->type = KAD_FIND_NODE;
    memcpy(p->lookup->key, key.data, key.size);
    p->lookup->key_size = (uint8_t)key.size;
    p->lookup->cb = cb;
    p->totals.lookups++;
    p->out++;
    lookup_start(p->dht, p->lookup);
}

static void net_idle(struct provider *p)
{
    p->checking = false;
    p->checked_ms = provider_now_ms(p);
}

/* ---- the check: our own place, after the bootstrap peers when few servers are known ---- */

static void failed(struct provider *p, const char *why)
{
    uint64_t now = provider_now_ms(p);
    error_set(&p->failure, ERR_UNREACHABLE, "%.100s", why);
    if (p->state == PROVIDER_ONLINE || p->lost_ms == 0)
        p->lost_ms = now;
    if (p->state == PROVIDER_ONLINE)
        set_state(p, PROVIDER_DISCONNECTED);
    if (now - p->lost_ms >= OFFLINE_MS) {
        set_state(p, PROVIDER_OFFLINE);
        p->prefix_len = UINT32_MAX;
    }
    net_idle(p);
    p->retry_ms = MIN(p->retry_ms * 2, (uint32_t)LIMIT_PROVIDER_RETRY_MS_MAX);
}

static void on_checked(struct lookup *l, const struct error *err)
{
    struct provider *p = l->owner;
    p->out--;
    if (provider_back(p))
        return;
    if (err || !lookup_found(l, 0)) {
        failed(p, err ? err->text : "no server of the DHT answered");
        return;
    }
    if (p->state != PROVIDER_ONLINE)
        dht_forgive(p->dht);
    p->lost_ms = 0;
    p->retry_ms = LIMIT_PROVIDER_RETRY_MS_MIN;
    if (p->prefix_len == UINT32_MAX) {
        p->measures = p->measured_bits = 0;
        measure_next(p);
    } else {
        set_state(p, PROVIDER_ONLINE);
        net_idle(p);
    }
}

static void check_self(struct provider *p)
{
    look_up(p, peer_id_bytes(host_id(p->o.host)), on_checked);
}

static void on_boot_answer(struct dht_query *q, const struct error *err)
{
    struct provider *p = container_of(q, struct provider, boot_query);
    p->out--;
    if (provider_back(p))
        return;
    if (err)
        p->failure = *err;
    boot_next(p);
}

static void on_boot_peer(struct dht_query *q, const struct kad_peer *peer, bool provider UNUSED)
{
    struct provider *p = container_of(q, struct provider, boot_query);
    dht_table_add(p->dht, peer); /* who does not answer leaves it again */
}

static void on_boot_dialed(struct host_dial *req, const struct error *err)
{
    struct provider *p = container_of(req, struct provider, boot_dial);
    p->out--;
    if (provider_back(p))
        return;
    if (err) {
        p->failure = *err;
        log_info("reprovide: bootstrap peer %s: %s", p->o.bootstrap[p->bootstrap_at - 1],
                 err->text);
        boot_next(p);
        return;
    }
    kad_peer_init(&p->boot_peer, &req->peer);
    (void)kad_peer_add_address(&p->boot_peer, p->boot_bytes, p->o.allow_private);
    p->boot_query = (struct dht_query){ .to = &p->boot_peer,
                                        .type = KAD_FIND_NODE,
                                        .key = peer_id_bytes(host_id(p->o.host)),
                                        .on_peer = on_boot_peer,
                                        .cb = on_boot_answer };
    p->out++;
    dht_query(p->dht, &p->boot_query);
}

static void boot_next(struct provider *p)
{
    while (p->bootstrap_at < p->o.bootstrap_count) {
        const char *text = p->o.bootstrap[p->bootstrap_at++];
        struct writer w = writer_of(p->boot_address, sizeof(p->boot_address));
        if (multiaddr_from_text(text, strlen(text), &w, NULL))
            continue; /* refused with the configuration */
        p->boot_bytes = bytes_of(p->boot_address, writer_used(&w));
        p->boot_dial =
            (struct host_dial){ .addresses = &p->boot_bytes, .count = 1, .cb = on_boot_dialed };
        p->out++;
        host_dial(p->o.host, &p->boot_dial);
        return;
    }
    check_self(p);
}

static void check(struct provider *p)
{
    p->checking = true;
    p->bootstrap_at = dht_table_size(p->dht) < TABLE_FEW ? 0 : p->o.bootstrap_count;
    boot_next(p);
}

/* ---- how long the prefixes of regions are ---- */

static void on_measured(struct lookup *l, const struct error *err)
{
    struct provider *p = l->owner;
    const struct kad_peer *near = err ? NULL : lookup_found(l, 0), *peer;
    uint32_t common = near ? KAD_BYTES * 8 : 0, n = 0;
    p->out--;
    if (provider_back(p))
        return;
    for (uint32_t i = 1; near && i < KAD_K && (peer = lookup_found(l, i)) != NULL; i++, n++)
        common = MIN(common, kad_common(near->kad, peer->kad));
    p->measured_bits += n > 0 ? common : 0;
    if (++p->measures < MEASURES) {
        measure_next(p);
        return;
    }
    p->prefix_len = p->measured_bits / MEASURES;
    p->refreshed_ms = provider_now_ms(p);
    set_state(p, PROVIDER_ONLINE);
    net_idle(p);
}

static void measure_next(struct provider *p)
{
    uint8_t key[KAD_PREIMAGE_BYTES] = { 0x12, 0x20 };
    loop_random(p->o.loop, key + 2, sizeof(key) - 2);
    look_up(p, bytes_of(key, sizeof(key)), on_measured);
}

/* ---- refresh: a place at every distance, then our own ---- */

static void on_refreshed(struct lookup *l, const struct error *err UNUSED)
{
    struct provider *p = l->owner;
    p->out--;
    if (!provider_back(p))
        refresh_next(p);
}

static void refresh_next(struct provider *p)
{
    uint8_t key[KAD_PREIMAGE_BYTES];
    if (p->refresh_bit > MIN(p->prefix_len + 4, (uint32_t)REFRESH_BITS_MAX)) {
        check_self(p); /* and the check ends it */
        return;
    }
    uint64_t place = kad_first(dht_self(p->dht)) ^ (UINT64_C(1) << (63 - p->refresh_bit++));
    kad_preimage(p->preimages[place >> (64 - KAD_PREIMAGE_BITS)], key);
    look_up(p, bytes_of(key, sizeof(key)), on_refreshed);
}

/* ---- servers that were not heard: some at a time ---- */

static void on_ping_answer(struct dht_query *q, const struct error *err UNUSED)
{
    struct provider *p = q->owner;
    p->out--;
    (void)provider_back(p);
}

static void ping_silent(struct provider *p)
{
    for (uint32_t i = 0; i < LIMIT_PROVIDER_PINGS; i++) {
        struct dht_query *q = &p->pings[i].query;
        if (q->out_)
            continue;
        if (!dht_table_silent(p->dht, LIMIT_PROVIDER_SILENT_MS, &p->pings[i].peer))
            return;
        *q = (struct dht_query){ .to = &p->pings[i].peer,
                                 .type = KAD_FIND_NODE,
                                 .key = peer_id_bytes(&p->pings[i].peer.id),
                                 .owner = p,
                                 .cb = on_ping_answer };
        p->out++;
        dht_query(p->dht, q);
    }
}

/* ---- */

void provider_net_tick(struct provider *p)
{
    uint64_t now = provider_now_ms(p);
    p->lookup->owner = p;
    (void)provider_record(p);
    if (p->state == PROVIDER_ONLINE)
        ping_silent(p);
    if (p->checking)
        return;
    if (p->state != PROVIDER_ONLINE) {
        if (now - p->checked_ms >= p->retry_ms || p->checked_ms == 0)
            check(p);
    } else if (now - p->refreshed_ms >= LIMIT_PROVIDER_REFRESH_MS) {
        p->checking = true;
        p->refreshed_ms = now;
        p->refresh_bit = 0;
        refresh_next(p);
    } else if (dht_table_size(p->dht) < TABLE_FEW && now - p->checked_ms >= LIMIT_PROVIDER_FEW_MS) {
        check(p);
    }
}

void provider_net_lost(struct provider *p)
{
    if (!p->checking && provider_now_ms(p) - p->checked_ms >= LIMIT_PROVIDER_CHECK_MS)
        check(p);
}

void provider_net_stop(struct provider *p)
{
    lookup_cancel(p->lookup);
    dht_query_cancel(&p->boot_query);
    for (uint32_t i = 0; i < LIMIT_PROVIDER_PINGS; i++)
        dht_query_cancel(&p->pings[i].query);
    if (p->boot_dial.job_)
        host_dial_cancel(&p->boot_dial);
}
