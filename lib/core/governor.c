#include "core/governor.h"

#include "core/log.h"
#include "core/metrics.h"

struct governor {
    struct loop *loop;
    struct mem_plan *plan;
    struct governor_options options;
    struct cgroup cgroup;
    struct timer timer;
    struct deferred serve;
    struct list *queues; /* waiters by owner */
    struct list done;    /* waiters whose callback is due */
    struct list watches, shrinkers;
    struct governor_sample sample;
    enum governor_level level;
    uint32_t calm_looks;    /* in a row that saw a lower one */
    uint64_t over_since_ms; /* 0: not over the setting */
    struct mem_owner *home; /* pays for the queues */
    struct metrics_collector collector;
};

static void collect(struct metrics_collector *c);
static void on_tick(struct timer *t);
static void on_serve(struct deferred *d);

static void on_room(struct mem_plan *plan, void *ctx)
{
    struct governor *g = ctx;
    assert(g->plan == plan);
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->owners[i].waiters > 0) {
            if (!deferred_pending(&g->serve))
                loop_defer(g->loop, &g->serve, on_serve);
            return;
        }
}

/* The first owner that is on pays for us. */
static struct mem_owner *home_of(struct mem_plan *plan)
{
    uint32_t i = 0;
    while (i + 1 < plan->count && !plan->owners[i].row.enabled)
        i++;
    return &plan->owners[i];
}

enum err governor_create(struct governor **out, struct loop *loop,
                         const struct governor_options *options, struct error *err)
{
    struct mem_owner *home = home_of(options->plan);
    struct governor *g = mem_try_zalloc(home, sizeof(*g));
    struct list *queues = mem_try_zalloc(home, options->plan->count * sizeof(*queues));
    if (!g || !queues) {
        mem_free(home, g);
        mem_free(home, queues);
        return mem_refused(home, sizeof(*g), err);
    }
    *g = (struct governor){ .loop = loop, .plan = options->plan, .options = *options };
    g->home = home;
    g->queues = queues;
    for (uint32_t i = 0; i < g->plan->count; i++)
        list_init(&queues[i]);
    list_init(&g->done);
    list_init(&g->watches);
    list_init(&g->shrinkers);
    cgroup_find(&g->cgroup, options->root);
    timer_init(&g->timer, loop, on_tick, "memory governor");
    g->plan->on_room = on_room;
    g->plan->on_room_ctx = g;
    governor_look(g);
    timer_set(&g->timer, LIMIT_GOVERNOR_PERIOD_MS);
    g->collector.collect = collect;
    if (options->metrics)
        metrics_collector_add(&g->collector);
    *out = g;
    return ERR_OK;
}

void governor_destroy(struct governor *g)
{
    if (!g)
        return;
    assert(list_empty(&g->done) && list_empty(&g->watches) && list_empty(&g->shrinkers));
    for (uint32_t i = 0; i < g->plan->count; i++)
        assert(list_empty(&g->queues[i]));
    metrics_collector_remove(&g->collector);
    timer_set(&g->timer, 0);
    loop_defer_cancel(&g->serve);
    g->plan->on_room = NULL;
    struct mem_owner *home = g->home;
    mem_free(home, g->queues);
    mem_free(home, g);
}

uint64_t governor_effective_bytes(uint64_t setting_bytes, const char *root)
{
    struct cgroup cg;
    cgroup_find(&cg, root);
    uint64_t limit = cgroup_limit_bytes(&cg);
    if (limit == CGROUP_NO_LIMIT)
        return setting_bytes;
    uint64_t ours = limit > LIMIT_CGROUP_MARGIN_BYTES ? limit - LIMIT_CGROUP_MARGIN_BYTES : 0;
    return MIN(setting_bytes, ours);
}

enum governor_level governor_level(const struct governor *g)
{
    return g->level;
}

bool governor_admits(const struct governor *g)
{
    return g->level < GOVERNOR_TRIGGER;
}

const struct governor_sample *governor_sample(const struct governor *g)
{
    return &g->sample;
}

static void collect(struct metrics_collector *c)
{
    const struct governor *g = container_of(c, struct governor, collector);
    const struct governor_sample *s = &g->sample;
    assert(g->plan->count == METRIC_OWNERS);
    for (uint32_t i = 0; i < g->plan->count; i++) {
        const struct mem_owner *o = &g->plan->owners[i];
        metric_set_by(METRIC_memory_used_bytes, i, (int64_t)o->used_bytes);
        metric_set_by(METRIC_memory_peak_bytes, i, (int64_t)o->peak_bytes);
        metric_set_by(METRIC_memory_share_bytes, i, (int64_t)o->share_bytes);
        metric_set_by(METRIC_memory_waiting, i, o->waiters);
        metric_raise_by(METRIC_memory_refused_total, i, o->refused);
    }
    metric_set(METRIC_memory_setting_bytes, (int64_t)g->plan->setting_bytes);
    metric_set(METRIC_memory_held_bytes, (int64_t)s->held_bytes);
    metric_set(METRIC_memory_file_bytes, (int64_t)s->file_bytes);
    metric_set(METRIC_memory_idle_bytes, (int64_t)s->idle_bytes);
    metric_set(METRIC_memory_unaccounted_bytes, s->unaccounted_bytes);
    metric_set(METRIC_memory_level, (int64_t)g->level);
}

/* --- looking ------------------------------------------------------------------------------- */

static void sample_take(struct governor *g)
{
    struct governor_sample *s = &g->sample;
    struct process_memory pm;
    if (g->options.process_memory)
        g->options.process_memory(g->options.ctx, &pm);
    else
        process_memory_read(g->options.root, &pm);
    mem_stats_read(&s->allocator);
    cgroup_sample_read(&g->cgroup, &s->cgroup);
    s->held_bytes = pm.anon_bytes;
    s->held_peak_bytes = pm.anon_peak_bytes;
    s->file_bytes = pm.file_bytes;
    /* Fixed owners are charged with what they may take. Compared is what they did take, else the
     * headroom of the reservation would hide a lie. */
    s->accounted_bytes = s->allocator.stores_bytes;
    for (uint32_t i = 0; i < g->plan->count; i++)
        if (g->plan->owners[i].row.kind == MEM_ELASTIC)
            s->accounted_bytes += g->plan->owners[i].used_bytes;
    /* Pages that the allocator has not given back yet are known, so they hide no lie. */
    s->idle_bytes = s->allocator.resident_bytes > s->allocator.allocated_bytes
                        ? s->allocator.resident_bytes - s->allocator.allocated_bytes
                        : 0;
    s->unaccounted_bytes =
        (int64_t)s->held_bytes - (int64_t)s->accounted_bytes - (int64_t)s->idle_bytes;
}

static enum governor_level level_of(struct governor *g)
{
    const struct mem_plan *plan = g->plan;
    uint64_t held = g->sample.held_bytes;
    if (held <= plan->setting_bytes)
        g->over_since_ms = 0;
    else if (g->over_since_ms == 0)
        g->over_since_ms = loop_now_ms(g->loop);
    if (g->over_since_ms && loop_now_ms(g->loop) - g->over_since_ms >= LIMIT_GOVERNOR_OVER_MS)
        return GOVERNOR_OVER;
    if (held >= plan->setting_bytes - plan->slack_bytes / 4 ||
        g->sample.cgroup.full_percent > LIMIT_GOVERNOR_FULL_PERCENT)
        return GOVERNOR_TRIGGER;
    if (held >= plan->setting_bytes - plan->slack_bytes / 2 ||
        g->sample.cgroup.some_percent > LIMIT_GOVERNOR_SOME_PERCENT)
        return GOVERNOR_TARGET;
    return GOVERNOR_NORMAL;
}

/* False when nobody speaks for this owner. */
static bool shrink_owner(struct governor *g, struct mem_owner *o, uint64_t bytes, bool urgent)
{
    bool asked = false;
    list_each_safe (at, &g->shrinkers) {
        struct governor_shrinker *s = container_of(at, struct governor_shrinker, link_);
        if (s->owner == o) {
            s->shrink(s, bytes, urgent);
            asked = true;
        }
    }
    return asked;
}

/* Asks owners above their share, in the order of the rows, for bytes in all; beyond what they have
 * borrowed only when urgent. */
static void shrink_borrowers(struct governor *g, uint64_t bytes, bool urgent)
{
    for (uint32_t i = 0; i < g->plan->count && bytes > 0; i++) {
        struct mem_owner *o = &g->plan->owners[i];
        uint64_t keep = urgent ? o->row.floor_bytes : o->share_bytes;
        uint64_t wish = o->used_bytes > keep ? MIN(o->used_bytes - keep, bytes) : 0;
        if (wish == 0 || !shrink_owner(g, o, wish, urgent))
            continue; /* the next row is asked for all of it */
        bytes -= wish;
        if (g->options.metrics)
            metric_add_by(METRIC_memory_shrink_asked_total, i, 1);
    }
}

/* What those wait for that are below their share: the reason to shrink others, whatever the marks
 * say. Without it two borrowers can hold everything while a third keeps its floor for ever. */
static uint64_t bytes_waited_for(const struct governor *g)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < g->plan->count; i++) {
        const struct mem_owner *o = &g->plan->owners[i];
        if (!list_empty(&g->queues[i]) && o->used_bytes < o->share_bytes)
            bytes += container_of(list_first(&g->queues[i]), struct mem_waiter, link_)->bytes_;
    }
    return bytes;
}

/* seen: by this look, which may be below the level that still stands. */
static void relieve(struct governor *g, enum governor_level seen)
{
    const struct mem_plan *plan = g->plan;
    uint64_t target = plan->setting_bytes - plan->slack_bytes / 2;
    if (seen != GOVERNOR_NORMAL) {
        uint64_t above = g->sample.held_bytes > target ? g->sample.held_bytes - target : 0;
        if (g->sample.allocator.resident_bytes >
            g->sample.allocator.allocated_bytes + LIMIT_GOVERNOR_PURGE_BYTES)
            mem_purge();
        shrink_borrowers(g, MAX(above, (uint64_t)LIMIT_GOVERNOR_SHRINK_BYTES_MIN),
                         seen == GOVERNOR_OVER);
    }
    uint64_t waited_for = bytes_waited_for(g);
    if (waited_for > 0)
        shrink_borrowers(g, waited_for, false);
}

/* Who holds what stands in the log only when it has come to the worst. */
static void log_level_change(const struct governor *g, enum governor_level level)
{
    static const char *const says[] = { "normal", "above the target: owners shrink",
                                        "above the trigger: new work waits",
                                        "above the setting: work is ended" };
    LOG_AT(level > g->level ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
           LOG_FIELDS(log_uint("held_bytes", g->sample.held_bytes),
                      log_int("unaccounted_bytes", g->sample.unaccounted_bytes)),
           "memory is %s", says[level]);
    for (uint32_t i = 0; level == GOVERNOR_OVER && i < g->plan->count; i++)
        log_warning_with(LOG_FIELDS(log_text("owner", g->plan->owners[i].row.name),
                                    log_uint("used_bytes", g->plan->owners[i].used_bytes),
                                    log_uint("share_bytes", g->plan->owners[i].share_bytes)),
                         "memory is held");
}

static void level_set(struct governor *g, enum governor_level level)
{
    log_level_change(g, level);
    g->level = level;
    g->calm_looks = 0;
    list_each_safe (at, &g->watches) {
        struct governor_watch *w = container_of(at, struct governor_watch, link_);
        w->cb(w, level);
    }
}

/* A mark is passed at the first look that sees it: memory may grow fast. It is left when looks in a
 * row say so, the last of them how far: one sample that is a page below says nothing. */
void governor_look(struct governor *g)
{
    sample_take(g);
    enum governor_level seen = level_of(g);
    g->calm_looks = seen < g->level ? g->calm_looks + 1 : 0;
    if (seen > g->level || g->calm_looks >= LIMIT_GOVERNOR_CALM_LOOKS)
        level_set(g, seen);
    relieve(g, seen);
}

static void on_tick(struct timer *t)
{
    struct governor *g = container_of(t, struct governor, timer);
    governor_look(g);
    timer_set(&g->timer, LIMIT_GOVERNOR_PERIOD_MS);
}

void governor_watch_add(struct governor *g, struct governor_watch *w)
{
    list_append(&g->watches, &w->link_);
}

void governor_watch_remove(struct governor_watch *w)
{
    list_remove(&w->link_);
}

void governor_shrinker_add(struct governor *g, struct governor_shrinker *s)
{
    assert(s->owner->plan == g->plan && s->shrink);
    list_append(&g->shrinkers, &s->link_);
}

void governor_shrinker_remove(struct governor_shrinker *s)
{
    list_remove(&s->link_);
}

/* --- waiting ------------------------------------------------------------------------------- */

static void serve_soon(struct governor *g)
{
    if (!deferred_pending(&g->serve))
        loop_defer(g->loop, &g->serve, on_serve);
}

static void waiter_end(struct governor *g, struct mem_waiter *w, enum err code)
{
    if (list_linked(&w->link_)) {
        list_remove(&w->link_);
        w->owner_->waiters--;
    }
    w->state_ = MEM_WAITER_DONE;
    w->code_ = code;
    list_append(&g->done, &w->link_);
}

void mem_wait(struct mem_owner *o, struct mem_waiter *w, uint64_t bytes, mem_wait_cb *cb)
{
    struct governor *g = o->plan->on_room_ctx;
    assert(g && cb && bytes > 0 && w->state_ == MEM_WAITER_IDLE);
    w->owner_ = o;
    w->bytes_ = bytes;
    w->cb_ = cb;
    if (mem_could_ever(o, bytes)) {
        w->state_ = MEM_WAITER_QUEUED;
        list_append(&g->queues[o - o->plan->owners], &w->link_);
        o->waiters++;
    } else {
        waiter_end(g, w, ERR_TOO_LARGE);
    }
    serve_soon(g);
}

void mem_wait_cancel(struct mem_waiter *w)
{
    if (w->state_ == MEM_WAITER_IDLE)
        return;
    struct governor *g = w->owner_->plan->on_room_ctx;
    if (w->state_ == MEM_WAITER_QUEUED) {
        waiter_end(g, w, ERR_CANCELED);
    } else if (w->code_ == ERR_OK) { /* granted, and its callback is still to come */
        mem_give(w->owner_, w->bytes_);
        w->code_ = ERR_CANCELED;
    }
    serve_soon(g);
}

/* Of the owners whose first waiter has not been tried in this round, the one with the lowest part
 * of its share in use. */
static struct mem_owner *next_to_serve(struct governor *g, const uint8_t *tried)
{
    struct mem_owner *best = NULL;
    double best_part = 0;
    for (uint32_t i = 0; i < g->plan->count; i++) {
        struct mem_owner *o = &g->plan->owners[i];
        double part = (double)o->used_bytes / (double)MAX(o->share_bytes, UINT64_C(1));
        if (o->waiters == 0 || (tried[i / 8] >> i % 8 & 1) || (best && part >= best_part))
            continue;
        best = o;
        best_part = part;
    }
    return best;
}

static void grant_what_fits(struct governor *g)
{
    uint8_t tried[LIMIT_MEM_OWNERS_MAX / 8] = { 0 };
    struct mem_owner *o;
    assert(g->plan->count <= LIMIT_MEM_OWNERS_MAX);
    while ((o = next_to_serve(g, tried)) != NULL) {
        uint32_t i = (uint32_t)(o - g->plan->owners);
        struct mem_waiter *w = container_of(list_first(&g->queues[i]), struct mem_waiter, link_);
        if (mem_take_for_waiter(o, w->bytes_))
            waiter_end(g, w, ERR_OK);
        else
            tried[i / 8] |= (uint8_t)(1 << i % 8);
    }
}

static void on_serve(struct deferred *d)
{
    struct governor *g = container_of(d, struct governor, serve);
    grant_what_fits(g);
    struct list due;
    list_init(&due);
    list_move_all(&due, &g->done);
    for (struct list *at; (at = list_pop(&due)) != NULL;) {
        struct mem_waiter *w = container_of(at, struct mem_waiter, link_);
        struct error err = { ERR_OK, "" };
        w->state_ = MEM_WAITER_IDLE;
        if (w->code_ == ERR_TOO_LARGE)
            error_set(&err, ERR_TOO_LARGE, "%" PRIu64 " bytes are more than '%s' can ever hold",
                      w->bytes_, w->owner_->row.name);
        else if (w->code_)
            error_set(&err, w->code_, "canceled while waiting for memory of '%s'",
                      w->owner_->row.name);
        w->cb_(w, w->code_ ? &err : NULL);
    }
    uint64_t waited_for = bytes_waited_for(g);
    if (waited_for > 0)
        shrink_borrowers(g, waited_for, false);
}
