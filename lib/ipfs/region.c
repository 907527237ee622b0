#include "ipfs/region.h"

#include "base/mem.h"
#include "core/log.h"
#include "ipfs/schedule.h"

enum { FEW_KEYS = 2, REPEATS = 3 };

struct region {
    struct region_options o;
    struct kad_record record;
    struct keystore_count count;
    struct keystore_read few;
    struct keystore_write settle;
    struct keyset keys; /* of few */
    uint32_t few_at;
    union {
        struct explore explore;
        struct provide provide;
    } u;
    uint64_t kads[LIMIT_EXPLORE_SERVERS];
    struct kad_prefix at; /* the minimal region */
    uint32_t first, servers_count;
    struct pass_server *servers; /* owned; of the minimal region */
    uint32_t servers_room;
    uint32_t repeats;
    struct pass *pass;
    struct region_part part;
    struct schedule_progress at_key; /* of the part: proven up to its last */
    uint64_t adds;                   /* of the keystore, when the part was begun */
    bool resumed;
    struct deferred later;
    struct error failure;
    uint64_t ongoing;
    enum { REGION_COUNTS, REGION_FEW, REGION_EXPLORES, REGION_PASSES } state;
    bool canceled;
};

static void next_part(struct region *r);

static void shift_ongoing(struct region *r, uint64_t to)
{
    if (r->o.events.ongoing && to != r->ongoing)
        r->o.events.ongoing(r->o.events.ctx, (int64_t)to - (int64_t)r->ongoing);
    r->ongoing = to;
}

/* The only end. */
static void on_finish(struct deferred *d)
{
    static const struct error canceled = { ERR_CANCELED, "canceled" };
    struct region *r = container_of(d, struct region, later);
    struct region_events events = r->o.events;
    struct error failure = r->canceled ? canceled : r->failure;
    shift_ongoing(r, 0);
    keyset_free(&r->keys);
    mem_free(r->o.mem, r->servers);
    mem_free(r->o.mem, r);
    events.done(events.ctx, failure.code ? &failure : NULL);
}

static void finish(struct region *r, const struct error *err)
{
    if (err)
        r->failure = *err;
    if (!deferred_pending(&r->later))
        loop_defer(dht_options(r->o.dht)->loop, &r->later, on_finish);
}

static uint64_t wall_ms(const struct region *r)
{
    return loop_wall_ns(dht_options(r->o.dht)->loop) / 1000000;
}

/* ---- split ---- */

static uint32_t lower(const uint64_t *kads, uint32_t total, uint64_t at)
{
    uint32_t lo = 0, hi = total;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (kads[mid] < at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct kad_prefix region_split(const uint64_t *kads, uint32_t total, struct kad_prefix cover,
                               uint64_t at, uint32_t *first, uint32_t *count)
{
    struct kad_prefix p = cover;
    uint32_t lo = lower(kads, total, p.bits), hi = lo;
    while (hi < total && kad_prefix_has(p, kads[hi]))
        hi++;
    while (p.len < 63) {
        struct kad_prefix one = kad_prefix_child(p, true);
        uint32_t mid = lower(kads, total, one.bits);
        if (mid - lo < KAD_K || hi - mid < KAD_K)
            break;
        if (kad_prefix_has(one, at)) {
            p = one;
            lo = mid;
        } else {
            p = kad_prefix_child(p, false);
            hi = mid;
        }
    }
    *first = lo;
    *count = hi - lo;
    return p;
}

/* ---- one or two keys ---- */

static void provide_next(struct region *r);

static void on_provided(struct provide *p, const struct error *err)
{
    struct region *r = container_of(p, struct region, u.provide);
    r->part.sent += p->sent;
    r->part.failed += p->servers - p->sent;
    r->part.confirmed += p->confirmed;
    r->part.servers = r->part.reached = MAX(r->part.servers, p->servers);
    r->part.keys++;
    ++*r->o.lookups;
    if (err || p->unasked > 0) {
        struct error held;
        error_set(&held, ERR_TIMEOUT, "%u servers could not be asked in time", p->unasked);
        finish(r, p->unasked > 0 && !r->canceled ? &held : err);
        return;
    }
    r->few_at++;
    provide_next(r);
}

/* The keys are no longer pending. */
static void on_settled(struct keystore_write *req, const struct error *err)
{
    struct region *r = container_of(req, struct region, settle);
    if (!err && !r->canceled && r->o.events.part_done)
        r->o.events.part_done(r->o.events.ctx, &r->part);
    finish(r, err);
}

static void provide_next(struct region *r)
{
    if (r->canceled) {
        finish(r, NULL);
        return;
    }
    if (r->few_at == r->keys.count) {
        r->settle =
            (struct keystore_write){ .op = KEYSTORE_PROVIDED, .keys = &r->keys, .cb = on_settled };
        keystore_write(r->o.keystore, &r->settle);
        return;
    }
    struct bytes hash = keyset_hash(&r->keys, r->few_at);
    struct provide *p = &r->u.provide;
    memcpy(p->key, hash.data, hash.size);
    p->key_size = (uint8_t)hash.size;
    p->record = r->o.record;
    p->cb = on_provided;
    provide_start(r->o.dht, p);
}

static void explore(struct region *r);

static void on_few(struct keystore_read *req, const struct error *err)
{
    struct region *r = container_of(req, struct region, few);
    if (err) {
        finish(r, err);
    } else if ((r->keys.count > FEW_KEYS || !req->end) && !r->canceled) {
        explore(r);
    } else {
        shift_ongoing(r, r->keys.count);
        provide_next(r);
    }
}

static void read_few(struct region *r)
{
    struct error err;
    if (!keyset_init(&r->keys, r->o.mem, FEW_KEYS + 1)) {
        mem_refused(r->o.mem, keyset_bytes(FEW_KEYS + 1), &err);
        finish(r, &err);
        return;
    }
    r->state = REGION_FEW;
    r->part = (struct region_part){ .prefix = r->o.prefix, .started_ms = wall_ms(r) };
    r->few = (struct keystore_read){
        .kind = r->o.pending_only ? KEYSTORE_PENDING : KEYSTORE_KEYS,
        .prefix = r->o.prefix,
        .keys = &r->keys,
        .cb = on_few,
    };
    keystore_read(r->o.keystore, &r->few);
}

/* ---- passes ---- */

static void pass_begin(struct region *r, bool repeat, struct bytes after);

/* Once a server has failed, what comes then is with one server less until the pass is repeated: it
 * stays pending, and a new process begins before it. The repetition sends what is left to do for
 * keys that the first pass saw: those that were added behind its position stay pending too. */
static void on_progress(void *ctx, struct pass_progress *p)
{
    struct region *r = ctx;
    struct schedule_progress *at = &r->at_key;
    if (r->repeats == 0)
        r->part.keys += p->keys;
    if (!p->whole || key_compare(p->last, bytes_of(at->last, at->last_size)) <= 0)
        return;
    at->keys += p->keys;
    memcpy(at->last, p->last.data, p->last.size);
    at->last_size = (uint8_t)p->last.size;
    at->at_ms = wall_ms(r);
    p->settle = r->repeats == 0 || (!r->resumed && keystore_adds(r->o.keystore) == r->adds);
    if (r->o.pending_only)
        return; /* what is pending says it all */
    struct writer w = writer_of(p->note + SCHEDULE_KEY_BYTES, SCHEDULE_PROGRESS_BYTES);
    schedule_row_key('p', at->prefix, p->note);
    schedule_progress_value(at, &w);
    p->row = (struct keystore_row){ bytes_of(p->note, SCHEDULE_KEY_BYTES),
                                    bytes_of(p->note + SCHEDULE_KEY_BYTES, writer_used(&w)) };
}

/* Counts a pass; true: some servers failed in it, and enough live to do without them. Who was not
 * asked is not to blame: it stays, and gets its keys in the repetition. */
static bool pass_account(struct region *r, uint32_t *unasked)
{
    uint32_t living = 0, fell = 0;
    *unasked = 0;
    for (uint32_t i = 0; i < r->servers_count; i++) {
        struct pass_server *s = &r->servers[i];
        s->gone_before = s->gone;
        if (s->gone)
            continue;
        if (s->unasked) {
            ++*unasked;
        } else if (s->failed) {
            r->part.failed += s->sent;
            fell++;
            s->gone = true;
        } else {
            r->part.sent += s->sent;
            r->part.confirmed += s->confirmed;
            living++;
        }
        s->sent = s->confirmed = 0;
    }
    r->part.reached = living;
    return fell + *unasked > 0 && living > 0;
}

static void on_passed(void *ctx, const struct error *err)
{
    struct region *r = ctx;
    struct error few;
    uint32_t unasked;
    r->pass = NULL;
    bool again = pass_account(r, &unasked);
    if (err || r->canceled) {
        finish(r, err);
    } else if (again && r->part.reached + unasked < KAD_K && r->at.len > 0) {
        error_set(&few, ERR_CLOSED, "fewer than %d servers of a region are left", KAD_K);
        finish(r, &few); /* explored anew, without the bad ones */
    } else if (again && r->repeats < REPEATS) {
        r->repeats++;
        pass_begin(r, true, bytes_of(NULL, 0));
    } else if (again && unasked > 0) {
        error_set(&few, ERR_TIMEOUT, "%u servers of a region could not be asked in time", unasked);
        finish(r, &few);
    } else {
        if (r->o.events.part_done)
            r->o.events.part_done(r->o.events.ctx, &r->part);
        next_part(r);
    }
}

static void pass_begin(struct region *r, bool repeat, struct bytes after)
{
    struct error err = { ERR_OK, "" };
    const struct pass_options options = {
        .dht = r->o.dht,
        .keystore = r->o.keystore,
        .work = r->o.work,
        .mem = r->o.mem,
        .record = r->o.record,
        .kind = r->o.pending_only && !repeat ? KEYSTORE_PENDING : KEYSTORE_KEYS,
        .prefix = r->part.prefix,
        .after = after,
        .servers = r->servers,
        .servers_count = r->servers_count,
        .repeat = repeat,
        .chunk_keys = r->o.chunk_keys,
        .connections_max = r->o.connections,
        .stall_ms = r->o.stall_ms,
        .progress = on_progress,
        .cb = on_passed,
        .ctx = r,
    };
    if (pass_start(&r->pass, &options, &err))
        finish(r, &err);
}

/* All of them, since a key's nearest may be any: ids that are made up near a part must not push
 * others out. */
static bool servers_take(struct region *r)
{
    const struct explore *e = &r->u.explore;
    if (r->servers_count > r->servers_room) {
        struct pass_server *more =
            mem_try_realloc(r->o.mem, r->servers, r->servers_count * sizeof(*more));
        if (!more)
            return false;
        r->servers = more;
        r->servers_room = r->servers_count;
    }
    if (!LIMIT_CHECK(PASS_SERVERS, r->servers_count))
        log_info("reprovide: %u servers in a region of %u bits: it is read in smaller key chunks",
                 r->servers_count, r->at.len);
    for (uint32_t i = 0; i < r->servers_count; i++)
        r->servers[i] = (struct pass_server){ .peer = e->servers[r->first + i] };
    return true;
}

/* From where a process came that ended in the middle of it, or from the start. */
static void part_begin(struct region *r)
{
    struct schedule_progress *at = &r->at_key;
    r->adds = keystore_adds(r->o.keystore);
    r->resumed = !r->o.pending_only && r->o.events.resume &&
                 r->o.events.resume(r->o.events.ctx, r->part.prefix, at);
    if (r->resumed) {
        r->part.started_ms = at->started_ms;
        r->part.keys_before = at->keys;
    } else {
        *at = (struct schedule_progress){ .started_ms = r->part.started_ms };
    }
    at->prefix = r->part.prefix;
    pass_begin(r, false, bytes_of(at->last, at->last_size));
}

/* New keys are those of the prefix alone: what was explored with it is late, or another worker's,
 * and its new keys come with all others. */
static bool next_wanted(struct region *r, struct kad_prefix *part)
{
    bool whole = kad_prefix_holds(r->o.prefix, r->at);
    if (!r->o.pending_only)
        return r->o.events.want(r->o.events.ctx, r->at, part);
    *part = whole ? r->at : r->o.prefix;
    return r->part.servers == 0 && (whole || kad_prefix_holds(r->at, r->o.prefix));
}

/* Region after region, and in each the parts that are wanted. */
static void next_part(struct region *r)
{
    const struct explore *e = &r->u.explore;
    struct kad_prefix part = r->at;
    for (;;) {
        if (r->servers_count > 0 && !r->canceled && next_wanted(r, &part))
            break;
        uint64_t end = r->at.bits | ~kad_prefix_mask(r->at.len);
        if (r->canceled || end == (e->prefix.bits | ~kad_prefix_mask(e->prefix.len))) {
            finish(r, NULL);
            return;
        }
        r->at = part =
            region_split(r->kads, e->count, e->prefix, end + 1, &r->first, &r->servers_count);
        r->part.servers = 0;
    }
    if (!servers_take(r)) {
        struct error err;
        mem_refused(r->o.mem, r->servers_count * sizeof(*r->servers), &err);
        finish(r, &err);
        return;
    }
    r->repeats = 0;
    r->part = (struct region_part){ .prefix = part,
                                    .started_ms = wall_ms(r),
                                    .servers = r->servers_count };
    part_begin(r);
}

static void on_explored(struct explore *e, const struct error *err)
{
    struct region *r = container_of(e, struct region, u.explore);
    *r->o.lookups += e->lookups;
    if (err || r->canceled) {
        finish(r, err);
        return;
    }
    for (uint32_t i = 0; i < e->count; i++)
        r->kads[i] = kad_first(e->servers[i].kad);
    r->state = REGION_PASSES;
    r->at =
        region_split(r->kads, e->count, e->prefix, e->prefix.bits, &r->first, &r->servers_count);
    if (e->dropped > 0) { /* those that were kept are the nearest of what was asked for, no more */
        log_info(
            "reprovide: more than %u servers near a part of %u bits: the farthest are left out",
            e->count, r->o.prefix.len);
        r->at = e->prefix = r->o.prefix;
        r->first = 0;
        r->servers_count = e->count;
    }
    if (r->o.events.covers)
        r->o.events.covers(r->o.events.ctx, e->prefix);
    next_part(r);
}

/* ---- the beginning ---- */

static void on_count(struct keystore_count *req, const struct error *err)
{
    struct region *r = container_of(req, struct region, count);
    if (err || r->canceled) {
        finish(r, err);
        return;
    }
    if (req->count == 0) {
        const struct region_part nothing = { .prefix = r->o.prefix, .started_ms = wall_ms(r) };
        if (r->o.events.part_done)
            r->o.events.part_done(r->o.events.ctx, &nothing);
        finish(r, NULL);
        return;
    }
    if (req->count <= FEW_KEYS || r->o.pending_only)
        read_few(r);
    else
        explore(r);
}

static void explore(struct region *r)
{
    uint64_t keys = keystore_bucket_count(r->o.keystore, r->o.prefix);
    shift_ongoing(r, r->o.pending_only ? MIN(keystore_pending(r->o.keystore), keys) : keys);
    r->state = REGION_EXPLORES;
    r->u.explore.prefix = r->o.prefix;
    r->u.explore.preimages = r->o.preimages;
    r->u.explore.cb = on_explored;
    explore_start(r->o.dht, &r->u.explore);
}

enum err region_start(struct region **out, const struct region_options *options, struct error *err)
{
    struct region *r = mem_try_zalloc(options->mem, sizeof(*r));
    if (!r)
        return mem_refused(options->mem, sizeof(*r), err);
    r->o = *options;
    r->record = *options->record;
    r->o.record = &r->record;
    r->count =
        (struct keystore_count){ .prefix = options->prefix, .limit = FEW_KEYS + 1, .cb = on_count };
    keystore_count(options->keystore, &r->count);
    *out = r;
    return ERR_OK;
}

void region_cancel(struct region *r)
{
    if (r->canceled)
        return;
    r->canceled = true;
    switch (r->state) {
    case REGION_COUNTS: /* comes back by itself */
        return;
    case REGION_FEW:
        provide_cancel(&r->u.provide);
        return;
    case REGION_EXPLORES:
        explore_cancel(&r->u.explore);
        return;
    case REGION_PASSES:
        if (r->pass)
            pass_cancel(r->pass);
        return;
    }
}
