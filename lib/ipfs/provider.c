/* The life of the provider. */
#include "base/mem.h"
#include "core/metrics.h"
#include "ipfs/provider_state.h"

uint64_t provider_wall_ms(const struct provider *p)
{
    return loop_wall_ns(p->o.loop) / 1000000;
}

uint64_t provider_now_ms(const struct provider *p)
{
    return loop_now_ms(p->o.loop);
}

struct dht *provider_dht(const struct provider *p)
{
    return p->dht;
}

const char *provider_state_name(enum provider_state state)
{
    switch (state) {
    case PROVIDER_OFFLINE:
        return "offline";
    case PROVIDER_DISCONNECTED:
        return "disconnected";
    case PROVIDER_ONLINE:
        return "online";
    }
    return "";
}

/* Addresses change while we run: each region has a copy of its own. */
const struct kad_record *provider_record(struct provider *p)
{
    struct kad_record record;
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
    bool any = false;
    kad_record_init(&record, host_id(p->o.host));
    for (size_t i = 0; i < LIMIT_P2P_LISTENERS; i++) {
        struct writer w = writer_of(buf, sizeof(buf));
        if (!host_address(p->o.host, i, &w))
            break;
        struct bytes address = bytes_of(buf, writer_used(&w));
        any |= host_announces(p->o.host, address) && kad_record_add_address(&record, address);
    }
    p->has_address = any;
    if (any)
        p->record = record;
    return any && p->record.tail_size > 0 ? &p->record : NULL;
}

static void on_tick(struct timer *t)
{
    struct provider *p = container_of(t, struct provider, tick);
    if (p->stopping)
        return;
    timer_set(t, LIMIT_PROVIDER_TICK_MS);
    if (p->loading)
        return;
    provider_net_tick(p);
    provider_pick_tick(p);
    provider_sweep(p);
}

enum err provider_create(struct provider **out, const struct provider_options *options,
                         struct error *err)
{
    const struct dht_options dht = {
        .loop = options->loop,
        .host = options->host,
        .mem = options->mem,
        .prefix = options->dht_prefix,
        .allow_private = options->allow_private,
        .connections_max = options->workers * options->connections + KAD_K,
        .answer_ms = options->stall_ms,
    };
    struct mem_owner *mem = options->mem;
    struct provider *p = mem_try_zalloc(mem, sizeof(*p));
    if (!p)
        return mem_refused(mem, sizeof(*p), err);
    p->o = *options;
    p->prefix_len = UINT32_MAX;
    p->loading = true;
    p->retry_ms = LIMIT_PROVIDER_RETRY_MS_MIN;
    timer_init(&p->tick, options->loop, on_tick, "provider");
    p->preimages = mem_try_alloc(mem, KAD_PREIMAGES * sizeof(*p->preimages));
    p->rows_buffer = mem_try_alloc(mem, PROVIDER_ROWS_BYTES);
    p->lookup = mem_try_zalloc(mem, sizeof(*p->lookup));
    p->workers = mem_try_zalloc(mem, options->workers * sizeof(*p->workers));
    enum err rc = ERR_OK;
    if (!p->preimages || !p->rows_buffer || !p->lookup || !p->workers ||
        !schedule_init(&p->schedule, mem) || !keyset_init(&p->scan_key, mem, 2))
        rc = mem_refused(mem, KAD_PREIMAGES * sizeof(*p->preimages), err);
    rc = rc ? rc : dht_create(&p->dht, &dht, err);
    if (rc) {
        provider_destroy(p);
        return rc;
    }
    for (uint32_t i = 0; i < options->workers; i++)
        p->workers[i].provider = p;
    p->schedule.order = kad_first(dht_self(p->dht));
    p->schedule.interval_ms = options->interval_ms;
    p->schedule.start_ms = provider_wall_ms(p);
    *out = p;
    provider_load(p);
    timer_set(&p->tick, 1);
    return ERR_OK;
}

void provider_destroy(struct provider *p)
{
    if (!p)
        return;
    struct mem_owner *mem = p->o.mem;
    timer_set(&p->tick, 0);
    dht_destroy(p->dht);
    schedule_free(&p->schedule);
    keyset_free(&p->scan_key);
    mem_free(mem, p->preimages);
    mem_free(mem, p->rows_buffer);
    mem_free(mem, p->lookup);
    mem_free(mem, p->workers);
    mem_free(mem, p);
}

/* ---- stopping ---- */

static void on_stopped(struct deferred *d)
{
    struct provider *p = container_of(d, struct provider, stopped);
    p->stop_cb(p->stop_ctx);
}

static void stop_when_quiet(struct provider *p)
{
    if (p->out > 0 || !p->stop_cb || deferred_pending(&p->stopped))
        return;
    for (uint32_t i = 0; i < p->o.workers; i++)
        if (p->workers[i].region)
            return;
    loop_defer(p->o.loop, &p->stopped, on_stopped);
}

bool provider_back(struct provider *p)
{
    if (p->stopping)
        stop_when_quiet(p);
    return p->stopping;
}

void provider_stop(struct provider *p, void (*cb)(void *ctx), void *ctx)
{
    p->stopping = true;
    p->stop_cb = cb;
    p->stop_ctx = ctx;
    timer_set(&p->tick, 0);
    provider_net_stop(p);
    provider_pick_stop(p);
    provider_flush(p); /* what is known by now is known after the restart */
    stop_when_quiet(p);
}

/* ---- shown ---- */

void provider_count(struct provider *p, uint64_t sent, uint64_t confirmed)
{
    p->totals.sent += sent;
    p->totals.confirmed += confirmed;
    p->totals.keys += sent > 0;
    p->totals_dirty = true;
}

uint64_t provider_last_ms(const struct provider *p, uint64_t kad)
{
    uint64_t end;
    const struct schedule_entry *e = schedule_at(&p->schedule, kad, &end);
    return e ? e->done_ms : 0;
}

/* A cycle ends when the last of its parts is due, or later when those that are left take longer. */
static bool is_behind(const struct provider *p, uint64_t now)
{
    uint64_t work = p->cycle_left * p->part_ms / p->o.workers;
    uint64_t last = p->cycle_since_ms + p->o.interval_ms + LIMIT_SCHEDULE_DELAY_MS;
    return p->o.interval_ms > 0 && p->cycle_left > 0 && p->cycle_since_ms > 0 &&
           MAX(now + work, p->cycle_due_ms) > last + LIMIT_PROVIDER_SOON_MS;
}

void provider_status(const struct provider *p, struct provider_status *out)
{
    uint64_t wall = provider_wall_ms(p);
    *out = (struct provider_status){
        .state = p->state,
        .loading = p->loading,
        .has_address = p->has_address,
        .table = dht_table_size(p->dht),
        .connected = dht_conn_count(p->dht),
        .bad = dht_bad_count(p->dht),
        .scheduled = p->scheduled,
        .late = p->late,
        .oldest_record_ms = p->oldest_done_ms ? wall - MIN(wall, p->oldest_done_ms) : 0,
        .pending_oldest_ms = p->pending_since_ms ? wall - MIN(wall, p->pending_since_ms) : 0,
        .cycle_ms = p->cycle_ms,
        .progress_millionths = p->fresh_millionths,
        .holders_milli = p->holders_keys ? (uint32_t)(p->holders_sum / p->holders_keys) : 0,
        .totals = p->totals,
    };
    out->behind = is_behind(p, wall);
    for (uint32_t i = 0; i < p->o.workers; i++) {
        out->active += p->workers[i].region != NULL;
        out->ongoing_keys += p->workers[i].ongoing;
    }
    memcpy(out->failure, p->failure.text, sizeof(out->failure) - 1);
}
