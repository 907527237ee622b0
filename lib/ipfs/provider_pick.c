/* What is next: parts that were never provided, parts that are due, the oldest record first; then
 * new keys of parts that are fresh. And the workers that do it. */
#include "base/mem.h"
#include "core/governor.h"
#include "core/log.h"
#include "ipfs/provider_state.h"

enum { FIRST_LEN_MAX = 14 };

static bool overlap(struct kad_prefix a, struct kad_prefix b)
{
    return kad_prefix_holds(a, b) || kad_prefix_holds(b, a);
}

static bool is_claimed(const struct provider *p, struct kad_prefix part,
                       const struct provider_worker *but)
{
    for (uint32_t i = 0; i < p->o.workers; i++) {
        const struct provider_worker *w = &p->workers[i];
        if (w != but && w->region && overlap(w->claim, part))
            return true;
    }
    return false;
}

static bool is_lean(const struct provider *p)
{
    return provider_now_ms(p) < p->lean_until_ms;
}

static uint32_t workers_max(const struct provider *p)
{
    return is_lean(p) ? 1 : p->o.workers;
}

/* One is kept for what is due in time. */
static uint32_t burst_max(const struct provider *p)
{
    return workers_max(p) > 1 ? workers_max(p) - 1 : 1;
}

static bool must_wait(const struct provider *p, struct kad_prefix part)
{
    for (uint32_t i = 0; i < PROVIDER_RETRIES; i++)
        if (p->retries[i].until_ms > provider_now_ms(p) && overlap(p->retries[i].prefix, part))
            return true;
    return false;
}

/* ---- events of a region ---- */

static void add_blocked(const struct provider_worker *w, struct kad_prefix region, struct cover *c)
{
    const struct provider *p = w->provider;
    uint64_t now = provider_wall_ms(p), end, at = region.bits;
    uint64_t stop = region.bits | ~kad_prefix_mask(region.len);
    for (bool more = true; more; at = end + 1) {
        const struct schedule_entry *e = schedule_at(&p->schedule, at, &end);
        if (e && schedule_is_fresh(&p->schedule, e, now))
            cover_add(c, e->prefix);
        more = end < stop;
    }
    for (uint32_t i = 0; i < p->o.workers; i++) {
        const struct provider_worker *other = &p->workers[i];
        if (other->region && other != w && overlap(other->claim, region))
            cover_add(c, other->claim);
    }
}

static bool on_want(void *ctx, struct kad_prefix region, struct kad_prefix *part)
{
    struct cover blocked = { .count = 0 };
    add_blocked(ctx, region, &blocked);
    return cover_gap(&blocked, region, 0, part);
}

/* What was explored is ours, but for what others have begun. */
static void on_covers(void *ctx, struct kad_prefix prefix)
{
    struct provider_worker *w = ctx;
    if (!w->pending_only && !is_claimed(w->provider, prefix, w))
        w->claim = prefix;
}

static void on_ongoing(void *ctx, int64_t keys)
{
    struct provider_worker *w = ctx;
    w->ongoing = (uint64_t)((int64_t)w->ongoing + keys);
}

static void on_part_done(void *ctx, const struct region_part *part)
{
    struct provider_worker *w = ctx;
    struct provider *p = w->provider;
    struct schedule_entry e = { .prefix = part->prefix,
                                .done_ms = part->started_ms,
                                .keys = part->keys + part->keys_before,
                                .servers = part->servers,
                                .reached = part->reached };
    w->done_something = true;
    p->totals.keys += part->keys + part->keys_before;
    p->totals.sent += part->sent;
    p->totals.failed += part->failed;
    p->totals.confirmed += part->confirmed;
    p->totals_dirty = true;
    if (part->keys > 0) {
        e.holders_milli = (uint32_t)MIN(part->sent * 1000 / part->keys, UINT32_MAX);
        p->holders_sum += part->sent * 1000;
        p->holders_keys += part->keys;
    }
    if (!w->pending_only)
        schedule_put(&p->schedule, &e);
    provider_flush(p);
}

static void retry_later(struct provider *p, struct kad_prefix prefix, const struct error *err)
{
    uint32_t i = p->retry_at++ % PROVIDER_RETRIES;
    uint64_t wait = LIMIT_PROVIDER_AGAIN_MS;
    if (err->code == ERR_BUDGET || err->code == ERR_CLOSED || err->code == ERR_LIMIT ||
        err->code == ERR_TIMEOUT)
        wait = LIMIT_PROVIDER_TICK_MS; /* nothing is wrong with the servers that are left */
    p->retries[i].prefix = prefix;
    p->retries[i].until_ms = provider_now_ms(p) + wait;
    p->retries[i].longer = err->code == ERR_LIMIT;
}

/* The one end of a region. */
static void on_done(void *ctx, const struct error *err)
{
    struct provider_worker *w = ctx;
    struct provider *p = w->provider;
    w->region = NULL;
    if (err && err->code != ERR_CANCELED) {
        p->failure = *err;
        log_info("reprovide: a part of %u bits: %s", w->claim.len, err->text);
        retry_later(p, w->claim, err);
        if (err->code == ERR_BUDGET)
            provider_shrink(p, false);
    }
    if (provider_back(p))
        return;
    if (err && (err->code == ERR_UNREACHABLE || err->code == ERR_CLOSED))
        provider_net_lost(p);
    timer_set(&p->tick, 1);
}

static uint32_t active(const struct provider *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->o.workers; i++)
        n += p->workers[i].region != NULL;
    return n;
}

static bool worker_start(struct provider *p, struct kad_prefix prefix, bool pending_only)
{
    struct provider_worker *w = p->workers;
    struct error err = { ERR_OK, "" };
    assert(active(p) < p->o.workers);
    while (w->region)
        w++;
    const struct kad_record *record = provider_record(p);
    const struct region_options options = {
        .dht = p->dht,
        .keystore = p->o.keystore,
        .work = p->o.work,
        .mem = p->o.mem,
        .record = record,
        .preimages = p->preimages,
        .prefix = prefix,
        .pending_only = pending_only,
        .chunk_keys =
            is_lean(p) ? MIN(p->o.chunk_keys, (uint32_t)LIMIT_PROVIDER_LEAN_KEYS) : p->o.chunk_keys,
        .connections = p->o.connections,
        .stall_ms = p->o.stall_ms,
        .lookups = &p->totals.lookups,
        .events = { on_want, on_covers, on_ongoing, provider_resume, on_part_done, on_done, w },
    };
    w->claim = prefix;
    w->pending_only = pending_only;
    w->done_something = false;
    if (!record || region_start(&w->region, &options, &err)) {
        w->region = NULL;
        return false; /* no memory now: the next tick tries again */
    }
    return true;
}

/* ---- choosing ---- */

struct candidate {
    struct kad_prefix prefix;
    uint64_t done_ms; /* 0: never */
    bool found, late;
};

/* Servers, and what was read from the disk, can make it long; each bit more doubles the walk. A
 * part that is too long for its servers is split when they are known. */
static uint8_t first_len(const struct provider *p)
{
    static_assert(1 << FIRST_LEN_MAX == LIMIT_SCHEDULE_PARTS, "no more parts than it remembers");
    uint32_t len = p->prefix_len == UINT32_MAX ? 0 : p->prefix_len;
    uint32_t average = schedule_average_len(&p->schedule);
    if (average != UINT32_MAX && average > len)
        len = average;
    return (uint8_t)MIN(len > 0 ? len - 1 : 0, (uint32_t)FIRST_LEN_MAX);
}

/* In halves, when exploring it whole has left gaps. */
struct kad_prefix provider_longer(const struct provider *p, struct kad_prefix part)
{
    struct kad_prefix longest = part;
    for (uint32_t i = 0; i < PROVIDER_RETRIES; i++) {
        struct kad_prefix tried = p->retries[i].prefix;
        if (p->retries[i].longer && kad_prefix_holds(part, tried) && tried.len < 32 &&
            tried.len >= longest.len)
            longest = kad_prefix_child(tried, false);
    }
    return longest;
}

static void consider(struct provider *p, struct candidate *best, struct kad_prefix part,
                     const struct schedule_entry *e, bool late)
{
    uint64_t done = e ? e->done_ms : 0;
    if (best->found && best->done_ms <= done)
        return;
    if (is_claimed(p, part, NULL) || must_wait(p, part))
        return;
    *best = (struct candidate){ provider_longer(p, part), done, true, late };
}

/* One walk over the key space: what is due, and what the gauges show. */
static struct candidate survey(struct provider *p)
{
    struct candidate best = { .found = false };
    uint64_t now = provider_wall_ms(p), end, at = 0, fresh = 0;
    uint8_t len = first_len(p);
    p->late = p->scheduled = 0;
    p->oldest_done_ms = 0;
    for (bool more = true; more; at = end + 1) {
        const struct schedule_entry *e = schedule_at(&p->schedule, at, &end);
        struct kad_prefix part = e ? e->prefix : schedule_gap(&p->schedule, at, len);
        if (!e)
            end = part.bits | ~kad_prefix_mask(part.len);
        more = end != UINT64_MAX;
        bool empty = keystore_bucket_count(p->o.keystore, part) == 0;
        bool is_fresh = empty || (e && schedule_is_fresh(&p->schedule, e, now));
        fresh += is_fresh ? UINT64_C(1) << (63 - part.len) >> 20 : 0;
        p->scheduled += e != NULL;
        if (e && !empty && (p->oldest_done_ms == 0 || e->done_ms < p->oldest_done_ms))
            p->oldest_done_ms = e->done_ms;
        if (is_fresh)
            continue;
        bool late = !e || schedule_due(&p->schedule, e) + LIMIT_PROVIDER_SOON_MS < now;
        p->late += late;
        consider(p, &best, part, e, late);
    }
    p->fresh_millionths = (uint32_t)((unsigned __int128)fresh * 1000000 >> 43);
    return best;
}

/* Since when there is something; the clock may have been stepped back meanwhile. True: it has begun
 * or ended. */
static bool note_since(uint64_t *since, bool is, uint64_t now)
{
    uint64_t before = *since;
    *since = !is ? 0 : before == 0 ? now : MIN(before, now);
    return (before == 0) != (*since == 0);
}

static void note_times(struct provider *p)
{
    uint64_t now = provider_wall_ms(p), late_since = MIN(p->late_since_ms, now);
    p->totals_dirty |= note_since(&p->pending_since_ms, keystore_pending(p->o.keystore) > 0, now);
    if (note_since(&p->late_since_ms, p->late > 0, now)) {
        p->totals_dirty = true;
        if (p->late == 0)
            p->cycle_ms = now - late_since;
    }
    if (p->totals_dirty)
        provider_flush(p);
}

/* ---- new keys of fresh parts ---- */

static void on_scanned(struct keystore_read *req, const struct error *err)
{
    struct provider *p = container_of(req, struct provider, scan);
    uint64_t end;
    p->out--;
    p->scanning = false;
    if (provider_back(p))
        return;
    if (err || p->scan_key.count == 0) {
        req->after_size = 0; /* from the start, the next time */
        return;
    }
    uint64_t kad = keyset_kad(&p->scan_key, 0);
    const struct schedule_entry *e = schedule_at(&p->schedule, kad, &end);
    /* The scan goes on behind the part: a key there that sorts behind all others. */
    memset(req->after, 0xff, sizeof(req->after));
    be64_encode(req->after, end);
    req->after_size = sizeof(req->after);
    timer_set(&p->tick, 1); /* the next part need not wait for its turn */
    if (!e || !schedule_is_fresh(&p->schedule, e, provider_wall_ms(p)) ||
        is_claimed(p, e->prefix, NULL) || must_wait(p, e->prefix))
        return; /* it is done with its part */
    if (active(p) >= burst_max(p))
        return; /* workers have begun since the scan did */
    (void)worker_start(p, e->prefix, true);
}

static void scan_pending(struct provider *p)
{
    if (p->scanning || keystore_pending(p->o.keystore) == 0)
        return;
    p->scan.kind = KEYSTORE_PENDING;
    p->scan.keys = &p->scan_key;
    p->scan.cb = on_scanned;
    p->scanning = true;
    p->out++;
    keystore_read(p->o.keystore, &p->scan);
}

void provider_pick_tick(struct provider *p)
{
    uint32_t workers = workers_max(p);
    bool admitted = !p->o.governor || governor_admits(p->o.governor);
    schedule_clock(&p->schedule, provider_wall_ms(p));
    for (;;) {
        struct candidate c = survey(p);
        uint32_t n = active(p);
        note_times(p);
        if (p->state != PROVIDER_ONLINE || !p->has_address || !admitted || n >= workers)
            return;
        if (c.found && n >= (c.late ? burst_max(p) : workers))
            return;
        if (!c.found)
            break;
        if (!worker_start(p, c.prefix, false))
            return;
    }
    if (active(p) < burst_max(p))
        scan_pending(p);
}

void provider_shrink(struct provider *p, bool urgent)
{
    bool first = true;
    p->lean_until_ms = provider_now_ms(p) + LIMIT_PROVIDER_LEAN_MS;
    for (uint32_t i = 0; urgent && i < p->o.workers; i++) {
        if (p->workers[i].region && !first)
            region_cancel(p->workers[i].region);
        first &= !p->workers[i].region;
    }
}

void provider_pick_stop(struct provider *p)
{
    for (uint32_t i = 0; i < p->o.workers; i++)
        if (p->workers[i].region)
            region_cancel(p->workers[i].region);
}
