/* lib/swarm/puller_state.h
 *
 * The inside of the puller, for its files: puller.c (life, peers, radius), puller_bin.c (one bin of
 * one peer), pull_refused.c (chunks to be asked for again), puller_status.c. Thread: loop only.
 */
#ifndef LARDER_SWARM_PULLER_STATE_H
#define LARDER_SWARM_PULLER_STATE_H

#include "core/metrics.h"
#include "swarm/pull_intervals.h"
#include "swarm/puller.h"
#include "swarm/pullsync_cursors.h"

enum { PULL_KEY_BYTES = OVERLAY_BYTES + 1 };

struct puller_bin;

/* One session of a bin. */
struct pull_run {
    struct pullsync_client client;
    struct puller_bin *bin;
    struct list link; /* of its bin */
    bool live;
    uint32_t raises; /* when its offer was looked at */
    uint8_t radius;
};

struct pull_backoff {
    struct timer timer;
    uint32_t fails;
};

struct puller_bin {
    struct puller_peer *peer;
    uint8_t bin;
    bool wanted, loaded, live_out, putting, dirty, getting;
    struct pull_intervals done;
    uint64_t top;       /* the highest BinID known there */
    uint64_t live_from; /* what the live session asks for next */
    struct list runs;
    uint32_t history_out; /* historical ones among them */
    struct pull_backoff history, live;
    struct deferred later; /* starts sessions */
    struct timer record;
    struct state_get get;
    struct state_put put;
    uint8_t key[PULL_KEY_BYTES], value[PULL_INTERVALS_BYTES_MAX];
    uint64_t window_ms, window_now, window_before; /* for the rate */
};

struct puller_peer {
    struct puller *puller;
    struct list link;
    struct peer_id id;
    uint8_t overlay[OVERLAY_BYTES], proximity;
    bool gone, known, asking; /* known: its cursors are */
    struct pullsync_cursors cursors;
    uint64_t heard_ms; /* when it brought a chunk last */
    struct pull_backoff backoff;
    struct puller_bin *bins[RESERVE_BINS]; /* owned; NULL: never wanted */
    struct deferred later;                 /* frees it */
};

struct pull_refused { /* an entry of the ring */
    uint8_t overlay[OVERLAY_BYTES], bin;
    uint8_t tries;
    bool waiting; /* to be asked for again */
    enum pullsync_refusal why;
    uint64_t from, to; /* the page it was offered in */
    uint64_t due_ms;
};

struct puller {
    struct puller_options options;
    struct pullsync_env env;
    struct list peers;
    struct pull_raises raises;
    uint64_t own_epoch;
    bool raises_loaded, raises_dirty, raises_putting, raises_getting, stopping;
    struct state_get raises_get;
    struct state_put raises_put;
    uint8_t raises_value[PULL_RAISES_BYTES];
    struct timer recheck;
    const struct batches *batches_seen; /* compared, never looked into */
    struct puller_status totals;        /* what is counted since the start */
    struct pull_refused *refused;       /* owned ring */
    uint32_t refused_next, refused_count;
    void (*done)(void *ctx);
    void *done_ctx;
    struct deferred done_later;
    struct metrics_collector collector;
};

/* puller.c */
void puller_see_radius(struct puller *p);
void puller_stop_check(struct puller *p);
void peer_free_when_idle(struct puller_peer *peer);
/* After a failure: twice as long each time, give or take a half. */
void backoff_set(struct puller *p, struct pull_backoff *b, enum err why);

/* puller_bin.c */
struct puller_bin *bin_create(struct puller_peer *peer, uint8_t number);
void bin_load(struct puller_bin *b); /* then it runs while it is wanted */
void bin_start(struct puller_bin *b);
void bin_cancel(struct puller_bin *b);
bool bin_idle(const struct puller_bin *b);
void bin_free(struct puller_bin *b); /* idle */
void bin_forget_stale(struct puller_bin *b);
void bin_reopen(struct puller_bin *b, uint64_t from, uint64_t to);
uint64_t bin_missing(const struct puller_bin *b);

/* pull_refused.c */
void pull_refused_add(struct pull_run *run, enum pullsync_refusal why);
void pull_refused_retry(struct puller *p, bool batches);

#endif
