/* Life of the puller, its peers, and the radius, which says what is wanted of whom. */
#include "base/mem.h"
#include "core/log.h"
#include "swarm/puller_state.h"

#define KEY_RAISES "pull-raises"

/* --- the radius ------------------------------------------------------------------------------ */

static void raises_record(struct puller *p);

static void on_raises_put(struct state_put *put, const struct error *err)
{
    struct puller *p = container_of(put, struct puller, raises_put);
    p->raises_putting = false;
    p->raises_dirty |= err != NULL;
    if (p->raises_dirty && !err)
        raises_record(p); /* else when it is looked at again */
    puller_stop_check(p);
}

static void raises_record(struct puller *p)
{
    p->raises_dirty = p->raises_putting;
    if (p->raises_putting)
        return;
    struct writer w = writer_of(p->raises_value, sizeof(p->raises_value));
    pull_raises_encode(&w, &p->raises);
    p->raises_putting = true;
    p->raises_put.key = (struct state_key){ STATE_NODE, bytes_of(KEY_RAISES, strlen(KEY_RAISES)) };
    p->raises_put.value = bytes_of(p->raises_value, writer_used(&w));
    p->raises_put.cb = on_raises_put;
    state_put(p->options.state, &p->raises_put);
}

/* p: the proximity of the peer. Near ones are asked for all we keep; those a little farther off for
 * the bin we are in. */
static bool bin_wanted(const struct puller *p, uint8_t proximity, uint8_t bin)
{
    uint8_t radius = p->raises.radius;
    if (proximity >= radius)
        return bin >= radius;
    return radius - proximity <= LIMIT_PULLSYNC_FAR_BINS && bin == proximity;
}

static void peer_bins(struct puller_peer *peer)
{
    struct puller *p = peer->puller;
    if (!peer->known || peer->gone || p->stopping)
        return;
    for (uint8_t i = 0; i < RESERVE_BINS; i++) {
        struct puller_bin *b = peer->bins[i];
        bool wanted = bin_wanted(p, peer->proximity, i);
        if (!b && !wanted)
            continue;
        if (!b)
            b = peer->bins[i] = bin_create(peer, i);
        if (b->wanted && !wanted)
            bin_cancel(b);
        b->wanted = wanted;
        if (wanted)
            bin_load(b);
    }
}

void puller_see_radius(struct puller *p)
{
    struct reserve_status status;
    reserve_status(p->options.reserve, &status);
    if (!p->raises_loaded || !pull_raises_see(&p->raises, status.radius))
        return;
    raises_record(p);
    list_each (at, &p->peers) {
        struct puller_peer *peer = container_of(at, struct puller_peer, link);
        for (uint8_t i = 0; i < RESERVE_BINS; i++)
            if (peer->bins[i] && peer->bins[i]->loaded)
                bin_forget_stale(peer->bins[i]);
    }
    timer_set(&p->recheck, 1); /* bins are begun and ended on a turn of their own */
}

static void on_recheck(struct timer *t)
{
    struct puller *p = container_of(t, struct puller, recheck);
    timer_set(t, LIMIT_PULLSYNC_RECHECK_MS);
    if (p->raises_dirty)
        raises_record(p);
    puller_see_radius(p);
    list_each_safe (at, &p->peers)
        peer_bins(container_of(at, struct puller_peer, link));
    struct batches *batches = p->options.batches(p->options.ctx);
    pull_refused_retry(p, batches != p->batches_seen); /* another table: they were read again */
    p->batches_seen = batches;
}

static uint8_t env_radius(struct pullsync_client *c)
{
    struct pull_run *run = container_of(c, struct pull_run, client);
    struct puller *p = run->bin->peer->puller;
    puller_see_radius(p);
    run->raises = p->raises.now;
    run->radius = p->raises.radius;
    return run->radius;
}

/* The page after this one can be asked for: it is known where this one ends. */
static void env_offered(struct pullsync_client *c)
{
    bin_start(container_of(c, struct pull_run, client)->bin);
}

void backoff_set(struct puller *p, struct pull_backoff *b, enum err why)
{
    uint32_t shift = MIN(b->fails, UINT32_C(12));
    uint64_t base = LIMIT_PULLSYNC_BACKOFF_MS_MIN;
    if (why != ERR_OK) { /* ERR_OK: nobody is at fault, it is only early */
        b->fails++;
        base = err_session_of(why) == ERR_SESSION_PEER ? base * 8 : base;
        base = MIN(base << shift, (uint64_t)LIMIT_PULLSYNC_BACKOFF_MS_MAX);
    }
    timer_set(&b->timer, base / 2 + loop_random_below(p->options.loop, base) + 1);
}

/* --- peers ----------------------------------------------------------------------------------- */

static void peer_ask(struct puller_peer *peer);

static void on_peer_free(struct deferred *d)
{
    struct puller_peer *peer = container_of(d, struct puller_peer, later);
    struct puller *p = peer->puller;
    for (uint8_t i = 0; i < RESERVE_BINS; i++)
        if (peer->bins[i])
            bin_free(peer->bins[i]);
    timer_set(&peer->backoff.timer, 0);
    list_remove(&peer->link);
    mem_free(p->options.mem, peer);
    puller_stop_check(p);
}

void peer_free_when_idle(struct puller_peer *peer)
{
    if (!peer->gone || peer->asking || deferred_pending(&peer->later))
        return;
    for (uint8_t i = 0; i < RESERVE_BINS; i++)
        if (peer->bins[i] && !bin_idle(peer->bins[i]))
            return;
    loop_defer(peer->puller->options.loop, &peer->later, on_peer_free);
}

static void on_cursors(struct pullsync_cursors *c, const struct error *err)
{
    struct puller_peer *peer = container_of(c, struct puller_peer, cursors);
    struct puller *p = peer->puller;
    peer->asking = false;
    if (err && err->code != ERR_CANCELED) {
        p->totals.failed++;
        metric_add_by(METRIC_pullsync_failed_total, err->code, 1);
        backoff_set(p, &peer->backoff, err->code);
    } else if (!err) {
        peer->known = true;
        peer_bins(peer);
    }
    peer_free_when_idle(peer);
}

static void peer_ask(struct puller_peer *peer)
{
    struct puller *p = peer->puller;
    if (peer->gone || peer->known || peer->asking || !p->raises_loaded || p->stopping || p->held)
        return;
    peer->asking = true;
    memset(&peer->cursors, 0, sizeof(peer->cursors));
    peer->cursors.loop = p->options.loop;
    peer->cursors.mem = p->options.mem;
    peer->cursors.cb = on_cursors;
    if (!p->options.open) {
        pullsync_cursors_ask(p->options.host, &peer->cursors, &peer->id);
        return;
    }
    struct stream *s =
        p->options.open(p->options.ctx, &peer->id, pullsync_cursors_protocol(), &peer->cursors);
    if (s)
        pullsync_cursors_opened(&peer->cursors, s);
    else
        pullsync_cursors_cancel(&peer->cursors);
}

static void on_peer_time(struct timer *t)
{
    peer_ask(container_of(t, struct puller_peer, backoff.timer));
}

static struct puller_peer *peer_find(struct puller *p, const struct peer_id *id)
{
    list_each (at, &p->peers) {
        struct puller_peer *peer = container_of(at, struct puller_peer, link);
        if (!peer->gone && peer_id_equal(&peer->id, id))
            return peer;
    }
    return NULL;
}

void puller_peer_up(struct puller *p, const struct peer_id *id, const uint8_t *overlay,
                    uint8_t proximity)
{
    if (p->stopping || peer_find(p, id))
        return;
    struct puller_peer *peer = mem_zalloc(p->options.mem, sizeof(*peer));
    peer->puller = p;
    peer->id = *id;
    memcpy(peer->overlay, overlay, OVERLAY_BYTES);
    peer->proximity = proximity;
    timer_init(&peer->backoff.timer, p->options.loop, on_peer_time, "cursors of a peer");
    list_append(&p->peers, &peer->link);
    peer_ask(peer);
}

static void peer_end(struct puller_peer *peer)
{
    peer->gone = true;
    timer_set(&peer->backoff.timer, 0);
    if (peer->asking)
        pullsync_cursors_cancel(&peer->cursors);
    for (uint8_t i = 0; i < RESERVE_BINS; i++)
        if (peer->bins[i])
            bin_cancel(peer->bins[i]);
    peer_free_when_idle(peer);
}

void puller_peer_down(struct puller *p, const struct peer_id *id)
{
    struct puller_peer *peer = peer_find(p, id);
    if (peer)
        peer_end(peer);
}

/* --- the governor ---------------------------------------------------------------------------- */

/* Held: sessions that are parked stay so, and an offer that comes waits in its stream, which slows
 * the peer and costs it nothing. Chunks that were asked for still come: that gives memory back. */
static void marks_look(struct puller *p)
{
    bool held = !governor_admits(p->options.governor) || timer_is_set(&p->lean);
    if (held == p->held || p->stopping)
        return;
    p->held = held;
    pullsync_env_hold(&p->env, held);
    if (held)
        return;
    list_each_safe (at, &p->peers) {
        struct puller_peer *peer = container_of(at, struct puller_peer, link);
        if (!timer_is_set(&peer->backoff.timer))
            peer_ask(peer);
        peer_bins(peer);
    }
}

static void on_level(struct governor_watch *w, enum governor_level level UNUSED)
{
    marks_look(container_of(w, struct puller, marks));
}

static void on_lean_over(struct timer *t)
{
    marks_look(container_of(t, struct puller, lean));
}

/* We hold more than our share: what is being fetched is let in first, and asked for no more until
 * nobody has wished for a while. With nothing on its way there is nothing to give. */
static void shrink(struct governor_shrinker *s, uint64_t bytes UNUSED, bool urgent UNUSED)
{
    struct puller *p = container_of(s, struct puller, shrinker);
    if (p->env.inflight.count == 0 || p->stopping)
        return;
    timer_set(&p->lean, LIMIT_PULLSYNC_LEAN_MS);
    marks_look(p);
}

static void marks_begin(struct puller *p)
{
    timer_init(&p->lean, p->options.loop, on_lean_over, "pulling less");
    if (!p->options.governor)
        return;
    p->marks.cb = on_level;
    governor_watch_add(p->options.governor, &p->marks);
    p->shrinker = (struct governor_shrinker){ .owner = p->options.mem, .shrink = shrink };
    governor_shrinker_add(p->options.governor, &p->shrinker);
    marks_look(p);
}

static void marks_end(struct puller *p)
{
    timer_set(&p->lean, 0);
    if (!p->options.governor)
        return;
    governor_watch_remove(&p->marks);
    governor_shrinker_remove(&p->shrinker);
}

/* --- life ------------------------------------------------------------------------------------ */

static void on_raises(struct state_get *get, const struct error *err)
{
    struct puller *p = container_of(get, struct puller, raises_get);
    struct bytes value = bytes_of(p->raises_value, err ? 0 : writer_used(&get->value));
    p->raises_getting = false;
    p->raises_loaded = !p->stopping;
    if (err || pull_raises_decode(&p->raises, value, NULL))
        memset(&p->raises, 0, sizeof(p->raises));
    puller_see_radius(p);
    list_each (at, &p->peers)
        peer_ask(container_of(at, struct puller_peer, link));
    puller_stop_check(p);
}

static void collect(struct metrics_collector *c)
{
    struct puller_status s;
    puller_status(container_of(c, struct puller, collector), &s);
    metric_set(METRIC_pullsync_peers, s.peers);
    metric_set(METRIC_pullsync_sessions, s.sessions);
    metric_set(METRIC_pullsync_missing, (int64_t)MIN(s.missing, (uint64_t)INT64_MAX));
    metric_set(METRIC_pullsync_synced, s.synced);
}

enum err puller_create(struct puller **out, const struct puller_options *o, struct error *err)
{
    struct reserve_status status;
    struct puller *p = mem_zalloc(o->mem, sizeof(*p));
    p->options = *o;
    p->refused = mem_try_zalloc(o->mem, LIMIT_PULLSYNC_REFUSED * sizeof(*p->refused));
    if (!p->refused) {
        mem_free(o->mem, p);
        return mem_refused(o->mem, LIMIT_PULLSYNC_REFUSED * sizeof(*p->refused), err);
    }
    list_init(&p->peers);
    reserve_status(o->reserve, &status);
    p->own_epoch = status.epoch;
    p->env = (struct pullsync_env){ .loop = o->loop,
                                    .host = o->open ? NULL : o->host,
                                    .work = o->work,
                                    .reserve = o->reserve,
                                    .mem = o->mem,
                                    .overlay = o->overlay,
                                    .batches = o->batches,
                                    .accept_all_stamps = o->accept_all_stamps,
                                    .radius = env_radius,
                                    .offered = env_offered,
                                    .ctx = o->ctx };
    pullsync_env_init(&p->env, o->rate);
    marks_begin(p);
    timer_init(&p->recheck, o->loop, on_recheck, "puller");
    timer_set(&p->recheck, LIMIT_PULLSYNC_RECHECK_MS);
    p->raises_get.key = (struct state_key){ STATE_NODE, bytes_of(KEY_RAISES, strlen(KEY_RAISES)) };
    p->raises_get.value = writer_of(p->raises_value, sizeof(p->raises_value));
    p->raises_get.cb = on_raises;
    p->raises_getting = true;
    state_get(o->state, &p->raises_get);
    p->collector.collect = collect;
    metrics_collector_add(&p->collector);
    *out = p;
    return ERR_OK;
}

static void on_done(struct deferred *d)
{
    struct puller *p = container_of(d, struct puller, done_later);
    p->done(p->done_ctx);
}

void puller_stop_check(struct puller *p)
{
    if (p->stopping && list_empty(&p->peers) && !p->raises_getting && !p->raises_putting &&
        !deferred_pending(&p->done_later))
        loop_defer(p->options.loop, &p->done_later, on_done);
}

void puller_stop(struct puller *p, void (*done)(void *ctx), void *ctx)
{
    assert(!p->stopping);
    p->stopping = true;
    p->done = done;
    p->done_ctx = ctx;
    timer_set(&p->recheck, 0);
    list_each_safe (at, &p->peers) {
        struct puller_peer *peer = container_of(at, struct puller_peer, link);
        if (!peer->gone)
            peer_end(peer);
    }
    puller_stop_check(p);
}

void puller_destroy(struct puller *p)
{
    if (!p)
        return;
    assert(list_empty(&p->peers) && !deferred_pending(&p->done_later));
    metrics_collector_remove(&p->collector);
    timer_set(&p->recheck, 0);
    marks_end(p);
    pullsync_env_end(&p->env);
    mem_free(p->options.mem, p->refused);
    mem_free(p->options.mem, p);
}

void puller_set_rate(struct puller *p, uint32_t rate)
{
    pull_rate_set(&p->env.rate, rate);
}
