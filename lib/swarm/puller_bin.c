/* One bin of one peer: what is missing up to its cursor, a few pages at a time, and at once what
 * comes behind the cursor, in a session that is parked there. */
#include "base/mem.h"
#include "swarm/puller_state.h"

enum { RATE_WINDOW_MS = 10000 };

static void bin_record(struct puller_bin *b);
static pullsync_client_cb on_page;

/* --- which pages ----------------------------------------------------------------------------- */

static bool may_run(const struct puller_bin *b)
{
    const struct puller *p = b->peer->puller;
    return b->wanted && b->loaded && !b->peer->gone && !p->stopping && !p->held;
}

/* The first BinID that is neither done nor under way; 0: none, or it is not known yet where the
 * page of a session under way will end. */
static uint64_t history_next(const struct puller_bin *b)
{
    uint64_t id = pull_intervals_next(&b->done, 1);
    for (bool moved = true; moved;) {
        moved = false;
        list_each (at, &b->runs) {
            const struct pull_run *run = container_of(at, struct pull_run, link);
            if (run->live)
                continue;
            if (run->client.topmost == 0)
                return 0;
            if (run->client.start <= id && id <= run->client.topmost) {
                id = pull_intervals_next(&b->done, run->client.topmost + 1);
                moved = true;
            }
        }
    }
    return id <= b->top ? id : 0;
}

static void run_begin(struct puller_bin *b, uint64_t start, bool live)
{
    struct puller *p = b->peer->puller;
    struct pull_run *run = mem_zalloc(p->options.mem, sizeof(*run));
    run->bin = b;
    run->live = live;
    run->client.env = &p->env;
    run->client.peer = b->peer->id;
    run->client.bin = b->bin;
    run->client.start = start;
    run->client.heard_ms = &b->peer->heard_ms;
    run->client.cb = on_page;
    list_append(&b->runs, &run->link);
    b->live_out |= live;
    b->history_out += !live;
    p->totals.sessions++;
    pullsync_client_start(&run->client);
    if (p->options.open) {
        struct stream *s =
            p->options.open(p->options.ctx, &b->peer->id, pullsync_client_protocol(), &run->client);
        if (s)
            pullsync_client_opened(&run->client, s);
        else
            pullsync_client_refused(&run->client);
    }
}

static void on_later(struct deferred *d)
{
    struct puller_bin *b = container_of(d, struct puller_bin, later);
    if (!may_run(b))
        return;
    while (b->history_out < LIMIT_PULLSYNC_BIN_PAGES && !timer_is_set(&b->history.timer)) {
        uint64_t next = history_next(b);
        if (next == 0)
            break;
        run_begin(b, next, false);
    }
    if (!b->live_out && !timer_is_set(&b->live.timer)) {
        b->live_from = pull_intervals_next(&b->done, b->live_from);
        run_begin(b, b->live_from, true);
    }
}

void bin_start(struct puller_bin *b)
{
    if (may_run(b) && !deferred_pending(&b->later))
        loop_defer(b->peer->puller->options.loop, &b->later, on_later);
}

/* --- a page ended ---------------------------------------------------------------------------- */

static void totals_add(struct puller_status *t, const struct pullsync_counts *c)
{
    t->offered += c->offered;
    t->wanted += c->wanted;
    t->delivered += c->delivered;
    t->stored += c->stored;
    t->present += c->present;
    for (unsigned i = 0; i < PULLSYNC_REFUSALS; i++)
        t->refused[i] += c->refused[i];
}

static void rate_count(struct puller_bin *b, uint64_t n)
{
    uint64_t now = loop_now_ms(b->peer->puller->options.loop);
    if (now - b->window_ms >= RATE_WINDOW_MS) {
        b->window_before = now - b->window_ms < 2 * RATE_WINDOW_MS ? b->window_now : 0;
        b->window_now = 0;
        b->window_ms = now;
    }
    b->window_now += n;
}

/* Does the page count as done? What was decided under another radius does not. */
static bool page_counts(struct pull_run *run)
{
    struct puller *p = run->bin->peer->puller;
    puller_see_radius(p);
    return !run->client.again && run->raises == p->raises.now && run->radius <= p->raises.radius &&
           run->client.topmost >= run->client.start;
}

/* Chunks of the page that were good: stored, or not taken because there is a newer stamp. */
static uint32_t good_of(const struct pullsync_client *c)
{
    return c->counts.stored + c->counts.refused[PULLSYNC_OLDER];
}

static void page_done(struct pull_run *run)
{
    struct puller_bin *b = run->bin;
    struct pullsync_client *c = &run->client;
    struct pull_backoff *backoff = run->live ? &b->live : &b->history;
    b->peer->puller->totals.pages++;
    if (!page_counts(run)) {
        /* Again: what others fetched did not come. Else there was no progress, and a peer must not
         * make us spin. */
        backoff_set(b->peer->puller, backoff, c->again ? ERR_OK : ERR_PROTOCOL);
        return;
    }
    uint64_t before = pull_intervals_covered(&b->done, c->topmost);
    pull_intervals_add(&b->done, c->start, c->topmost);
    rate_count(b, pull_intervals_covered(&b->done, c->topmost) - before);
    b->top = MAX(b->top, c->topmost);
    if (run->live)
        b->live_from = c->topmost + 1;
    /* A peer that has nothing of what it offers is asked less and less often. */
    if (c->counts.wanted == 0 || good_of(c) > 0)
        backoff->fails = 0;
    else if (!timer_is_set(&backoff->timer)) /* pages under way together count once */
        backoff_set(b->peer->puller, backoff, ERR_PROTOCOL);
    pull_refused_page(b, c->start, c->topmost, &c->counts);
    bin_record(b);
}

static void on_page(struct pullsync_client *c, const struct error *err)
{
    struct pull_run *run = container_of(c, struct pull_run, client);
    struct puller_bin *b = run->bin;
    struct puller *p = b->peer->puller;
    totals_add(&p->totals, &c->counts);
    pull_rate_refund(&p->env.rate, c->paid_.paid - MIN(c->paid_.paid, good_of(c)));
    p->totals.sessions--;
    list_remove(&run->link);
    if (run->live)
        b->live_out = false;
    else
        b->history_out--;
    if (!err) {
        page_done(run);
    } else if (err->code != ERR_CANCELED) {
        p->totals.failed++;
        metric_add_by(METRIC_pullsync_failed_total, err->code, 1);
        backoff_set(p, run->live ? &b->live : &b->history, err->code);
    }
    mem_free(p->options.mem, run);
    bin_start(b);
    peer_free_when_idle(b->peer);
}

/* --- what is recorded ------------------------------------------------------------------------ */

static struct state_key key_of(const struct puller_bin *b)
{
    return (struct state_key){ STATE_PULLED, bytes_of(b->key, sizeof(b->key)) };
}

static void record_now(struct puller_bin *b);

static void on_recorded(struct state_put *put, const struct error *err)
{
    struct puller_bin *b = container_of(put, struct puller_bin, put);
    bool live = !b->peer->gone;
    b->putting = false;
    if (err && live) /* until then a crash would repeat more pages */
        bin_record(b);
    else if (b->dirty && !live)
        record_now(b);
    peer_free_when_idle(b->peer);
}

static void record_now(struct puller_bin *b)
{
    struct puller *p = b->peer->puller;
    timer_set(&b->record, 0);
    if (!b->dirty || b->putting)
        return;
    b->dirty = false;
    b->putting = true;
    b->done.raises = p->raises.now;
    b->done.radius = p->raises.radius;
    struct pull_intervals done = b->done;
    pull_refused_leave_out(b, &done);
    struct writer w = writer_of(b->value, sizeof(b->value));
    pull_intervals_encode(&w, &done);
    assert(!w.overflow);
    b->put.key = key_of(b);
    b->put.value = bytes_of(b->value, writer_used(&w));
    b->put.cb = on_recorded;
    state_put(p->options.state, &b->put);
}

static void on_record_time(struct timer *t)
{
    struct puller_bin *b = container_of(t, struct puller_bin, record);
    if (b->putting)
        timer_set(t, LIMIT_PULLSYNC_RECORD_MS);
    else
        record_now(b);
}

/* Soon, with what else is done until then: a crash in between only repeats pages. */
static void bin_record(struct puller_bin *b)
{
    b->dirty = true;
    if (b->peer->gone)
        record_now(b);
    else if (!timer_is_set(&b->record))
        timer_set(&b->record, LIMIT_PULLSYNC_RECORD_MS);
}

void bin_forget_stale(struct puller_bin *b)
{
    struct puller *p = b->peer->puller;
    if (!pull_intervals_stale(&b->done, &p->raises, b->peer->proximity, b->bin))
        return;
    b->done.count = 0;
    pull_refused_forget(b);
    bin_record(b);
}

static void on_loaded(struct state_get *get, const struct error *err)
{
    struct puller_bin *b = container_of(get, struct puller_bin, get);
    struct puller *p = b->peer->puller;
    uint64_t epoch = b->peer->cursors.ack.epoch;
    struct pull_intervals v;
    b->getting = false;
    if (err && err->code != ERR_NOT_FOUND && err->code != ERR_CANCELED) {
        backoff_set(p, &b->history, err->code); /* bin_load is tried again */
        peer_free_when_idle(b->peer);
        return;
    }
    b->loaded = true;
    b->done = (struct pull_intervals){ .epoch = epoch,
                                       .own_epoch = p->own_epoch,
                                       .raises = p->raises.now,
                                       .radius = p->raises.radius };
    bool good =
        !err && !pull_intervals_decode(&v, bytes_of(b->value, writer_used(&get->value)), NULL);
    if (good && v.epoch == epoch && v.own_epoch == p->own_epoch) {
        b->done = v;
        pull_refused_put_back(b);
        bin_forget_stale(b);
    } else if (!err || err->code != ERR_CANCELED) {
        pull_refused_forget(b);
    }
    bin_start(b);
    peer_free_when_idle(b->peer);
}

void bin_load(struct puller_bin *b)
{
    if (b->loaded) {
        bin_start(b);
        return;
    }
    if (b->getting)
        return;
    b->getting = true;
    b->get.key = key_of(b);
    b->get.value = writer_of(b->value, sizeof(b->value));
    b->get.cb = on_loaded;
    state_get(b->peer->puller->options.state, &b->get);
}

void bin_reopen(struct puller_bin *b, uint64_t from, uint64_t to, bool at_once)
{
    b->top = MAX(b->top, to);
    if (at_once) { /* what was no good may be now */
        b->history.fails = 0;
        timer_set(&b->history.timer, 0);
    } else if (!b->peer->gone && !timer_is_set(&b->history.timer)) {
        backoff_set(b->peer->puller, &b->history, ERR_PROTOCOL);
    }
    pull_intervals_remove(&b->done, from, to);
    bin_record(b);
    bin_start(b);
}

uint64_t bin_missing(const struct puller_bin *b)
{
    return b->top - pull_intervals_covered(&b->done, b->top);
}

/* --- life ------------------------------------------------------------------------------------ */

static void on_history_time(struct timer *t)
{
    bin_load(container_of(t, struct puller_bin, history.timer));
}

static void on_live_time(struct timer *t)
{
    bin_start(container_of(t, struct puller_bin, live.timer));
}

struct puller_bin *bin_create(struct puller_peer *peer, uint8_t number)
{
    struct puller *p = peer->puller;
    struct puller_bin *b = mem_zalloc(p->options.mem, sizeof(*b));
    b->peer = peer;
    b->bin = number;
    b->top = peer->cursors.ack.cursors[number];
    b->live_from = b->top + 1;
    b->window_ms = loop_now_ms(p->options.loop);
    memcpy(b->key, peer->overlay, OVERLAY_BYTES);
    b->key[OVERLAY_BYTES] = number;
    list_init(&b->runs);
    timer_init(&b->history.timer, p->options.loop, on_history_time, "pull history");
    timer_init(&b->live.timer, p->options.loop, on_live_time, "pull live");
    timer_init(&b->record, p->options.loop, on_record_time, "pulled intervals");
    return b;
}

void bin_cancel(struct puller_bin *b)
{
    timer_set(&b->history.timer, 0);
    timer_set(&b->live.timer, 0);
    loop_defer_cancel(&b->later);
    record_now(b);
    if (b->getting)
        state_get_cancel(&b->get);
    list_each_safe (at, &b->runs)
        pullsync_client_cancel(&container_of(at, struct pull_run, link)->client);
}

bool bin_idle(const struct puller_bin *b)
{
    return list_empty(&b->runs) && !b->putting && !b->getting;
}

void bin_free(struct puller_bin *b)
{
    assert(bin_idle(b));
    timer_set(&b->history.timer, 0);
    timer_set(&b->live.timer, 0);
    timer_set(&b->record, 0);
    loop_defer_cancel(&b->later);
    mem_free(b->peer->puller->options.mem, b);
}
