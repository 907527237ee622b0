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
    if (w->kind != PROVIDER_NEW && !is_claimed(w->provider, prefix, w))
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
        w->parts++;
        e.holders_milli = (uint32_t)MIN(part->sent * 1000 / part->keys, UINT32_MAX);
        p->holders_sum += part->sent * 1000;
        p->holders_keys += part->keys;
    }
    if (w->kind != PROVIDER_NEW)
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

/* Exploring is a part of it. A mean, in which the last eight count most. */
static void note_pace(const struct provider_worker *w)
{
    struct provider *p = w->provider;
    if (w->parts == 0 || w->kind == PROVIDER_NEW)
        return;
    uint64_t ms = (provider_now_ms(p) - w->began_ms) / w->parts;
    p->part_ms = p->part_ms > 0 ? (7 * p->part_ms + ms) / 8 : ms;
}

/* The one end of a region. */
static void on_done(void *ctx, const struct error *err)
{
    struct provider_worker *w = ctx;
    struct provider *p = w->provider;
    w->region = NULL;
    if (!err)
        note_pace(w);
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

static bool worker_start(struct provider *p, struct kad_prefix prefix, enum provider_kind kind)
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
        .pending_only = kind == PROVIDER_NEW,
        .chunk_keys =
            is_lean(p) ? MIN(p->o.chunk_keys, (uint32_t)LIMIT_PROVIDER_LEAN_KEYS) : p->o.chunk_keys,
        .connections = p->o.connections,
        .stall_ms = p->o.stall_ms,
        .lookups = &p->totals.lookups,
        .events = { on_want, on_covers, on_ongoing, provider_resume, on_part_done, on_done, w },
    };
    w->claim = prefix;
    w->kind = kind;
    w->done_something = false;
    w->began_ms = provider_now_ms(p);
    w->parts = 0;
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
    bool found;
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
                     const struct schedule_entry *e)
{
    uint64_t done = e ? e->done_ms : 0;
    if (best->found && best->done_ms <= done)
        return;
    if (is_claimed(p, part, NULL) || must_wait(p, part))
        return;
    *best = (struct candidate){ provider_longer(p, part), done, true };
}

/* Of a part with keys: how old it is, and whether it belongs to what the cycle has still to do. */
static void note_part(struct provider *p, const struct schedule_entry *e)
{
    if (e && (p->oldest_done_ms == 0 || e->done_ms < p->oldest_done_ms))
        p->oldest_done_ms = e->done_ms;
    if (e && e->done_ms > p->cycle_since_ms)
        return;
    p->cycle_left++;
    if (e && p->o.interval_ms > 0)
        p->cycle_due_ms = MAX(p->cycle_due_ms, schedule_due(&p->schedule, e));
}

/* One walk over the key space: the oldest part in time and the oldest that is late, and what the
 * gauges show. */
static void survey(struct provider *p, struct candidate best[PROVIDER_NEW])
{
    uint64_t now = provider_wall_ms(p), end, at = 0, fresh = 0;
    uint8_t len = first_len(p);
    p->late = p->scheduled = 0;
    p->oldest_done_ms = p->cycle_left = p->cycle_due_ms = 0;
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
        if (!empty)
            note_part(p, e);
        if (is_fresh)
            continue;
        bool late = !e || schedule_due(&p->schedule, e) + LIMIT_PROVIDER_SOON_MS < now;
        p->late += late;
        consider(p, &best[late ? PROVIDER_LATE : PROVIDER_DUE], part, e);
    }
    p->fresh_millionths = (uint32_t)((unsigned __int128)fresh * 1000000 >> 43);
}

/* Since when there is something; the clock may have been stepped back meanwhile. True: it has begun
 * or ended. */
static bool note_since(uint64_t *since, bool is, uint64_t now)
{
    uint64_t before = *since;
    *since = !is ? 0 : before == 0 ? now : MIN(before, now);
    return (before == 0) != (*since == 0);
}

/* A cycle ends when all that has keys was begun since it began, and is the beginning of the next.
 * When the clock was stepped back, all was done now: that is no cycle. */
static void note_cycle(struct provider *p, uint64_t now)
{
    bool any = keystore_total(p->o.keystore) > 0;
    uint64_t since = MIN(p->cycle_since_ms, now);
    bool ends = since > 0 && p->cycle_left == 0;
    if (ends && any)
        p->cycle_ms = now - since;
    if (ends || !any)
        since = 0;
    if (any && since == 0)
        since = now - 1; /* what begins now is of it */
    p->totals_dirty |= ends || (since == 0) != (p->cycle_since_ms == 0);
    p->cycle_since_ms = since;
}

static void note_times(struct provider *p)
{
    uint64_t now = provider_wall_ms(p);
    p->totals_dirty |= note_since(&p->pending_since_ms, keystore_pending(p->o.keystore) > 0, now);
    note_cycle(p, now);
    if (p->totals_dirty)
        provider_flush(p);
}

/* ---- new keys of fresh parts ---- */

static bool takes_new(const struct provider *p, const struct schedule_entry *e)
{
    return e && schedule_is_fresh(&p->schedule, e, provider_wall_ms(p)) &&
           !is_claimed(p, e->prefix, NULL) && !must_wait(p, e->prefix);
}

/* Behind that place: a key there that sorts behind all others. */
static void scan_behind(struct provider *p, uint64_t place)
{
    memset(p->scan.after, 0xff, sizeof(p->scan.after));
    be64_encode(p->scan.after, place);
    p->scan.after_size = sizeof(p->scan.after);
}

/* The rest of a round. In parts that are not fresh new keys are done with all others: these are
 * passed over without a look at the disk. */
static void scan_on(struct provider *p, uint64_t end)
{
    while (end < UINT64_MAX) {
        uint64_t at = end + 1;
        if (takes_new(p, schedule_at(&p->schedule, at, &end))) {
            scan_behind(p, at - 1);
            p->scanning = true;
            p->out++;
            keystore_read(p->o.keystore, &p->scan);
            return;
        }
    }
    p->scan.after_size = 0; /* from the start, the next time */
    p->new_next &= !p->scan_whole;
}

static void on_scanned(struct keystore_read *req, const struct error *err)
{
    struct provider *p = container_of(req, struct provider, scan);
    uint64_t end = UINT64_MAX;
    p->out--;
    p->scanning = false;
    if (provider_back(p))
        return;
    bool any = !err && p->scan_key.count > 0;
    const struct schedule_entry *e =
        any ? schedule_at(&p->schedule, keyset_kad(&p->scan_key, 0), &end) : NULL;
    if (!takes_new(p, e)) {
        scan_on(p, end);
        return;
    }
    scan_behind(p, end);
    p->new_part = e->prefix;
    p->new_found = true;
    timer_set(&p->tick, 1);
}

static void scan_pending(struct provider *p)
{
    if (p->scanning || p->new_found || keystore_pending(p->o.keystore) == 0)
        return;
    p->scan.kind = KEYSTORE_PENDING;
    p->scan.keys = &p->scan_key;
    p->scan.cb = on_scanned;
    p->scan_whole = p->scan.after_size == 0;
    p->scanning = true;
    p->out++;
    keystore_read(p->o.keystore, &p->scan);
}

/* Things have changed since it was found. */
static bool has_new(struct provider *p)
{
    uint64_t end;
    const struct schedule_entry *e = schedule_at(&p->schedule, p->new_part.bits, &end);
    p->new_found &= takes_new(p, e) && kad_prefix_holds(e->prefix, p->new_part);
    return p->new_found;
}

/* ---- whose turn it is ---- */

/* One worker is kept for what is in time and one for what is late: each does what there is of its
 * own, and the rest when there is none. New keys of fresh parts, which may be few or millions, get
 * every other start of the second, and what nothing else wants, but for one worker. */
enum provider_kind provider_turn(const struct provider_turn *t)
{
    bool several = t->workers > 1;
    uint32_t busy = t->busy[PROVIDER_DUE] + t->busy[PROVIDER_LATE] + t->busy[PROVIDER_NEW];
    if (busy >= t->workers)
        return PROVIDER_KINDS;
    if (several && t->wants[PROVIDER_DUE] && t->busy[PROVIDER_DUE] == 0)
        return PROVIDER_DUE;
    if (t->new_next && t->wants[PROVIDER_NEW] && t->busy[PROVIDER_NEW] == 0)
        return PROVIDER_NEW;
    if (several && t->wants[PROVIDER_LATE] && t->busy[PROVIDER_LATE] == 0)
        return PROVIDER_LATE;
    if (t->wants[PROVIDER_LATE] && (t->late_is_older || !t->wants[PROVIDER_DUE]))
        return PROVIDER_LATE;
    if (t->wants[PROVIDER_DUE])
        return PROVIDER_DUE;
    return t->wants[PROVIDER_NEW] && (!several || busy + 1 < t->workers) ? PROVIDER_NEW
                                                                         : PROVIDER_KINDS;
}

/* False: there is no memory now, and the next tick tries again. */
static bool turn_take(struct provider *p, enum provider_kind kind, struct kad_prefix part,
                      bool late)
{
    if (!worker_start(p, part, kind))
        return false;
    if (kind == PROVIDER_NEW)
        p->new_found = p->new_next = false;
    else
        p->new_next |= kind == PROVIDER_LATE || !late;
    return true;
}

void provider_pick_tick(struct provider *p)
{
    bool admitted = !p->o.governor || governor_admits(p->o.governor);
    schedule_clock(&p->schedule, provider_wall_ms(p));
    for (;;) {
        struct candidate c[PROVIDER_NEW] = { 0 };
        struct provider_turn t = { .workers = workers_max(p) };
        survey(p, c);
        note_times(p);
        if (p->state != PROVIDER_ONLINE || !p->has_address || !admitted)
            return;
        for (uint32_t i = 0; i < p->o.workers; i++)
            if (p->workers[i].region)
                t.busy[p->workers[i].kind]++;
        t.wants[PROVIDER_DUE] = c[PROVIDER_DUE].found;
        t.wants[PROVIDER_LATE] = c[PROVIDER_LATE].found;
        t.wants[PROVIDER_NEW] = has_new(p);
        t.late_is_older = c[PROVIDER_LATE].done_ms <= c[PROVIDER_DUE].done_ms;
        t.new_next = p->new_next;
        enum provider_kind kind = provider_turn(&t);
        if (kind == PROVIDER_KINDS) {
            if (p->new_next || !(t.wants[PROVIDER_DUE] || t.wants[PROVIDER_LATE]))
                scan_pending(p);
            return;
        }
        if (!turn_take(p, kind, kind == PROVIDER_NEW ? p->new_part : c[kind].prefix,
                       t.wants[PROVIDER_LATE]))
            return;
    }
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
