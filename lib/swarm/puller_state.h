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

enum pull_refused_state {
    REFUSED_NONE,    /* a free entry */
    REFUSED_WAITING, /* to be asked for again when it is due */
    REFUSED_ASKED,   /* not done any more: here for its tries */
    REFUSED_GIVEN_UP /* until the batches are read again, or a restart */
};

struct pull_refused { /* a page in which chunks were refused, or several and what is between them */
    uint8_t overlay[OVERLAY_BYTES], bin;
    uint8_t tries, state; /* enum pull_refused_state */
    bool unknown_batch;   /* one of the reasons */
    uint64_t from, to;
    uint64_t due_ms;
};

struct puller {
    struct puller_options options;
    struct pullsync_env env;
    struct list peers;
    struct pull_raises raises;
    uint64_t own_epoch;
    bool raises_loaded, raises_dirty, raises_putting, raises_getting, stopping;
    bool held; /* by the governor: what runs goes on, and nothing is begun */
    struct governor_watch marks;
    struct governor_shrinker shrinker;
    struct timer lean; /* while it is set we were asked for memory a moment ago */
    struct state_get raises_get;
    struct state_put raises_put;
    uint8_t raises_value[PULL_RAISES_BYTES];
    struct timer recheck;
    const struct batches *batches_seen; /* compared, never looked into */
    struct puller_status totals;        /* what is counted since the start */
    struct pull_refused *refused;       /* owned, LIMIT_PULLSYNC_REFUSED */
    uint32_t refused_count;             /* of them were in use */
    uint32_t refused_next;              /* dropped next, when no two can be joined */
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
/* They are not done any more. at_once: there is a reason to think better of the peer. */
void bin_reopen(struct puller_bin *b, uint64_t from, uint64_t to, bool at_once);
uint64_t bin_missing(const struct puller_bin *b);

/* pull_refused.c */
/* A page is through and counts as done. */
void pull_refused_page(struct puller_bin *b, uint64_t from, uint64_t to,
                       const struct pullsync_counts *c);
void pull_refused_retry(struct puller *p, bool batches);
/* v, what is done of b, is about to be recorded: over a restart pages that are remembered are not
 * done. As long as they are remembered they are: what was recorded was read. */
void pull_refused_leave_out(const struct puller_bin *b, struct pull_intervals *v);
void pull_refused_put_back(struct puller_bin *b);
void pull_refused_forget(const struct puller_bin *b); /* the BinIDs are asked for anyway */
uint32_t pull_refused_count(const struct puller *p);

#endif
