/* What the reserve shows on /metrics: read just before a page is made. */
#include "core/metrics.h"
#include "store/reserve_state.h"

static_assert((unsigned)METRIC_LABELS_reserve_outcome == RESERVE_OUTCOMES, "a label per outcome");
static_assert((unsigned)METRIC_LABELS_evict_reason == RESERVE_EVICT_REASONS, "a label per reason");
static_assert((unsigned)METRIC_LABELS_reserve_work == RESERVE_WORKS, "a label per work");
static_assert((unsigned)METRIC_LABELS_hascache_state == HASCACHE_PARTIAL + 1, "a label per state");

enum { PATH_CACHE_HIT, PATH_CACHE_MISS, PATH_INDEX };

static void collect_cache(const struct reserve *r, const struct reserve_status *s)
{
    struct hascache_stats stats = { .relayouts = 0 };
    if (r->cache)
        hascache_stats(r->cache, &stats);
    for (unsigned state = 0; state < METRIC_LABELS_hascache_state; state++)
        metric_set_by(METRIC_hascache_state, state, s->cache == state);
    metric_set(METRIC_hascache_entries, (int64_t)s->cache_entries);
    metric_set(METRIC_hascache_bytes, (int64_t)s->cache_bytes);
    metric_raise(METRIC_hascache_relayouts_total, stats.relayouts);
    metric_raise(METRIC_hascache_refused_total, stats.refused);
}

static void collect_has(const struct reserve *r, const struct reserve_status *s)
{
    metric_raise_by(METRIC_reserve_has_total, PATH_CACHE_HIT, s->has_cache_hits);
    metric_raise_by(METRIC_reserve_has_total, PATH_CACHE_MISS, s->has_cache_misses);
    metric_raise_by(METRIC_reserve_has_total, PATH_INDEX, s->has_index);
    metric_set(METRIC_pullsync_has_in_use, r->has_sem.in_use);
    metric_set(METRIC_pullsync_has_waiting, r->has_sem.waiting);
    metric_raise(METRIC_pullsync_has_waited_seconds_total, r->has_sem.waited_ms * 1000000);
}

static void collect(struct metrics_collector *c)
{
    const struct reserve *r = container_of(c, struct reserve, collector);
    struct reserve_status s;
    reserve_status(r, &s);
    for (unsigned i = 0; i < METRIC_LABELS_reserve_outcome; i++)
        metric_raise_by(METRIC_reserve_puts_total, i, s.put_outcomes[i]);
    metric_raise(METRIC_reserve_commits_total, s.put_groups);
    for (unsigned i = 0; i < METRIC_LABELS_evict_reason; i++)
        metric_raise_by(METRIC_reserve_evicted_total, i, s.evicted[i]);
    metric_raise(METRIC_reserve_damaged_total, s.damaged);
    for (unsigned i = 0; i < METRIC_LABELS_reserve_work; i++)
        metric_set_by(METRIC_reserve_failing, i, reserve_failure(r, (enum reserve_work)i) != NULL);
    metric_set(METRIC_reserve_chunks, (int64_t)s.count);
    metric_set(METRIC_reserve_radius, s.radius);
    metric_set(METRIC_reserve_slab_bytes, (int64_t)s.slab_bytes);
    metric_set(METRIC_reserve_slots_used, (int64_t)s.slots_used);
    collect_cache(r, &s);
    collect_has(r, &s);
}

void reserve_metrics_start(struct reserve *r)
{
    r->collector.collect = collect;
    metrics_collector_add(&r->collector);
}

void reserve_metrics_end(struct reserve *r)
{
    metrics_collector_remove(&r->collector);
}
