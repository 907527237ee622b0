#include "node/reprovide.h"

#include "base/mem.h"
#include "codec/json.h"
#include "core/config.h"
#include "core/governor.h"
#include "core/metrics.h"
#include "ipfs/provider.h"
#include "node/node_state.h"
#include "node/node_stores.h"
#include "node/p2p.h"
#include "node/status.h"
#include "store/keystore_stage.h"

struct reprovide {
    struct node *node;
    struct mem_owner *mem;
    struct keystore *keystore;
    struct provider *provider;
    bool open, stopping, stopped, ending;
    struct node_hold hold;
    struct metrics_collector collector;
    struct governor_shrinker shrinker;
    struct status_section section;
    struct status_condition condition;
};

struct keystore *node_keystore(struct node *n)
{
    return n->reprovide && n->reprovide->open ? n->reprovide->keystore : NULL;
}

struct provider *node_provider(struct node *n)
{
    return n->reprovide && !n->reprovide->stopping ? n->reprovide->provider : NULL;
}

/* ---- shown ---- */

enum { PEERS_KNOWN, PEERS_CONNECTED, PEERS_BAD, PEERS_STATES };
static_assert((int)PEERS_STATES == (int)METRIC_LABELS_reprovide_peer_state, "a value for each");

static void collect(struct metrics_collector *c)
{
    struct reprovide *r = container_of(c, struct reprovide, collector);
    struct provider_status st;
    struct keystore_status ks;
    provider_status(r->provider, &st);
    keystore_status(r->keystore, &ks);
    metric_set(METRIC_keystore_keys, (int64_t)keystore_total(r->keystore));
    metric_set(METRIC_keystore_generation, (int64_t)ks.generation);
    metric_set(METRIC_keystore_staged_keys, (int64_t)ks.staged);
    metric_set(METRIC_keystore_left_keys, (int64_t)ks.left);
    metric_set(METRIC_keystore_compacting, ks.compacting);
    metric_raise(METRIC_reprovide_keys_provided_total, st.totals.keys);
    metric_raise(METRIC_reprovide_records_sent_total, st.totals.sent);
    metric_raise(METRIC_reprovide_records_confirmed_total, st.totals.confirmed);
    metric_raise(METRIC_reprovide_records_failed_total, st.totals.failed);
    metric_raise(METRIC_reprovide_lookups_total, st.totals.lookups);
    metric_set(METRIC_reprovide_keys_scheduled, (int64_t)keystore_total(r->keystore));
    metric_set(METRIC_reprovide_keys_ongoing, (int64_t)st.ongoing_keys);
    metric_set(METRIC_reprovide_cycle_progress_ratio, st.progress_millionths);
    metric_set(METRIC_reprovide_cycle_seconds, (int64_t)st.cycle_ms * 1000000);
    metric_set_by(METRIC_reprovide_regions, 0, st.scheduled);
    metric_set_by(METRIC_reprovide_regions, 1, st.late);
    metric_set_by(METRIC_reprovide_regions, 2, st.active);
    metric_set(METRIC_reprovide_oldest_record_age_seconds, (int64_t)st.oldest_record_ms * 1000000);
    metric_set(METRIC_reprovide_holders_avg, (st.holders_milli + 500) / 1000);
    metric_set_by(METRIC_reprovide_peers, PEERS_KNOWN, st.table);
    metric_set_by(METRIC_reprovide_peers, PEERS_CONNECTED, st.connected);
    metric_set_by(METRIC_reprovide_peers, PEERS_BAD, st.bad);
    metric_set(METRIC_reprovide_connectivity, st.state);
    metric_set(METRIC_reprovide_first_provide_pending, (int64_t)keystore_pending(r->keystore));
    metric_set(METRIC_reprovide_first_provide_oldest_seconds,
               (int64_t)st.pending_oldest_ms * 1000000);
    metric_set(METRIC_reprovide_behind, st.behind);
}

static void write_section(struct status_section *s, struct json_writer *w)
{
    struct reprovide *r = container_of(s, struct reprovide, section);
    struct provider_status st;
    struct keystore_status ks;
    provider_status(r->provider, &st);
    keystore_status(r->keystore, &ks);
    json_put_text(w, "state", st.loading ? "loading" : provider_state_name(st.state));
    if (!st.loading && !st.has_address)
        json_put_text(w, "waits_for", "an address that peers are told (p2p-announce)");
    json_put_uint(w, "keys", keystore_total(r->keystore));
    json_put_uint(w, "keys_generation", ks.generation);
    if (ks.staging)
        json_put_uint(w, "keys_staged", ks.staged);
    json_put_uint(w, "keys_left", ks.left);
    json_put_uint(w, "keys_compacting", ks.compacting);
    json_put_uint(w, "first_provides_pending", keystore_pending(r->keystore));
    json_put_uint(w, "keys_ongoing", st.ongoing_keys);
    json_put_uint(w, "parts_scheduled", st.scheduled);
    json_put_uint(w, "parts_late", st.late);
    json_put_uint(w, "parts_active", st.active);
    json_put_uint(w, "cycle_percent", st.progress_millionths / 10000);
    json_put_uint(w, "cycle_last_seconds", st.cycle_ms / 1000);
    json_put_uint(w, "oldest_record_seconds", st.oldest_record_ms / 1000);
    json_put_uint(w, "keys_provided", st.totals.keys);
    json_put_uint(w, "records_sent", st.totals.sent);
    json_put_uint(w, "records_confirmed", st.totals.confirmed);
    json_put_uint(w, "records_failed", st.totals.failed);
    json_put_uint(w, "holders_milli", st.holders_milli);
    json_put_uint(w, "lookups", st.totals.lookups);
    json_put_uint(w, "servers_known", st.table);
    json_put_uint(w, "servers_connected", st.connected);
    json_put_uint(w, "servers_bad", st.bad);
    json_put_uint(w, "behind", st.behind);
    if (st.failure[0])
        json_put_text(w, "last_failure", st.failure);
}

/* Keys are taken and nothing is provided: that is no fault, and still nothing to be happy with. */
static enum readiness look(struct status_condition *c, struct error *why)
{
    struct reprovide *r = container_of(c, struct reprovide, condition);
    struct provider_status st;
    provider_status(r->provider, &st);
    if (r->node->started->dht_bootstrap.count == 0)
        error_set(why, ERR_CONFIG, "dht-bootstrap is empty");
    else if (!st.loading && !st.has_address)
        error_set(why, ERR_CONFIG, "peers are told no address of ours");
    return why->code ? READINESS_DEGRADED : READINESS_OK;
}

/* ---- life ---- */

static void shrink(struct governor_shrinker *s, uint64_t bytes UNUSED, bool urgent)
{
    provider_shrink(container_of(s, struct reprovide, shrinker)->provider, urgent);
}

static enum err begin(struct reprovide *r, struct error *err)
{
    const struct config *c = r->node->started;
    const struct provider_options options = {
        .loop = r->node->env.loop,
        .host = p2p_host(r->node),
        .keystore = r->keystore,
        .work = r->node->env.work,
        .mem = r->mem,
        .governor = r->node->env.governor,
        .dht_prefix = c->dht_protocol_prefix,
        .allow_private = c->allow_private_cidrs,
        .bootstrap = c->dht_bootstrap.items,
        .bootstrap_count = c->dht_bootstrap.count,
        .workers = (uint32_t)c->reprovide_workers,
        .connections = (uint32_t)c->reprovide_connections,
        .chunk_keys = (uint32_t)c->reprovide_chunk_keys,
        .interval_ms = c->reprovide_interval,
        .stall_ms = (uint32_t)c->reprovide_record_timeout,
    };
    enum err rc = provider_create(&r->provider, &options, err);
    if (rc)
        return rc;
    r->collector.collect = collect;
    metrics_collector_add(&r->collector);
    r->shrinker = (struct governor_shrinker){ .owner = r->mem, .shrink = shrink };
    governor_shrinker_add(r->node->env.governor, &r->shrinker);
    r->section.name = "reprovide";
    r->section.write = write_section;
    status_section_add(node_status(r->node), &r->section);
    r->condition.name = "reprovide";
    r->condition.look = look;
    status_condition_add(node_status(r->node), &r->condition);
    return ERR_OK;
}

static void on_opened(void *ctx, const struct error *err)
{
    struct reprovide *r = ctx;
    struct error failed = { ERR_OK, "" };
    r->open = !err;
    if (!err && begin(r, &failed))
        err = &failed;
    node_release(r->node, &r->hold, err);
}

enum err reprovide_part_start(struct node *n, struct error *err)
{
    if (!n->started->reprovide)
        return ERR_OK;
    struct mem_owner *mem = node_owner(n, "reprovide");
    struct reprovide *r = n->reprovide = mem_zalloc(mem, sizeof(*r));
    r->node = n;
    r->mem = mem;
    enum err rc = keystore_create(&r->keystore, stores_find(node_stores(n), "keystore"),
                                  n->env.loop, mem, err);
    if (rc)
        return rc;
    node_hold(n, &r->hold, "reading the keystore");
    keystore_open(r->keystore, on_opened, r);
    return ERR_OK;
}

static void part_free(struct reprovide *r)
{
    struct node *n = r->node;
    if (r->provider) {
        governor_shrinker_remove(&r->shrinker);
        metrics_collector_remove(&r->collector);
        status_section_remove(&r->section);
        status_condition_remove(&r->condition);
    }
    provider_destroy(r->provider);
    keystore_destroy(r->keystore);
    mem_free(r->mem, r);
    n->reprovide = NULL;
}

static void on_keystore_stopped(void *ctx)
{
    struct reprovide *r = ctx;
    struct node *n = r->node;
    node_release(n, &r->hold, NULL);
    part_free(r);
}

static void keystore_end(struct reprovide *r)
{
    node_hold(r->node, &r->hold, "a write of the keystore");
    keystore_stop(r->keystore, on_keystore_stopped, r);
}

static void on_stopped(void *ctx)
{
    struct reprovide *r = ctx;
    r->stopped = true;
    node_release(r->node, &r->hold, NULL);
    if (r->ending)
        keystore_end(r);
}

static void stop(struct reprovide *r)
{
    r->stopping = true;
    node_hold(r->node, &r->hold, "provider records on their way");
    provider_stop(r->provider, on_stopped, r);
}

/* Passes end where they are; what they have sent is remembered. */
void reprovide_part_drain(struct node *n)
{
    if (n->reprovide && n->reprovide->provider && !n->reprovide->stopping)
        stop(n->reprovide);
}

/* The keystore goes last: commands may still be at it. */
void reprovide_part_stop(struct node *n)
{
    struct reprovide *r = n->reprovide;
    if (!r)
        return;
    r->ending = true;
    if (r->provider && !r->stopping)
        stop(r);
    else if (!r->keystore)
        part_free(r);
    else if (!r->provider || r->stopped)
        keystore_end(r);
}
