/* lib/core/loop.h
 *
 * The one event loop: deferred calls, the clock, randomness, and the measurement of every callback.
 * Owns:   the libuv loop. Handles of others on it must be closed before loop_destroy.
 * Thread: loop only.
 * Errors: ERR_SYSTEM when the system gives no descriptor for the loop.
 *
 * A callback runs under LIMIT_LOOP_CALLBACK_NS. All of ours are measured: deferred calls, timers
 * and work completions here, others by loop_callback_begin and _end around what a watcher calls.
 */
#ifndef LARDER_CORE_LOOP_H
#define LARDER_CORE_LOOP_H

#include "base/error.h"
#include "base/list.h"

struct loop;
struct timers;
struct uv_loop_s;

enum err loop_create(struct loop **out, struct error *err);
void loop_destroy(struct loop *loop); /* NULL is fine; asserts that nothing is pending */

/* Until loop_stop, or until nothing is left that could happen: no deferred call, no timer set, no
 * work in flight, no watcher. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop); /* loop_run returns after the present turn */
struct uv_loop_s *loop_uv(struct loop *loop);

/* Deferred calls: cb(d) soon, in the order of loop_defer, never inside it. The struct
 * is a field of the caller's; zeroed at first. It may be deferred again inside its callback, which
 * is how long work is cut into slices. */
struct deferred {
    struct list link_;
    void (*cb_)(struct deferred *d);
    const char *name_;
};
typedef void deferred_cb(struct deferred *d);
#define loop_defer(loop, d, cb) loop_defer_named(loop, d, cb, #cb)
void loop_defer_named(struct loop *loop, struct deferred *d, deferred_cb *cb, const char *name);
void loop_defer_cancel(struct deferred *d); /* cb is not called; no-op when not deferred */
static inline bool deferred_pending(const struct deferred *d)
{
    return list_linked(&d->link_);
}

/* Monotonic, read once per turn: the clock of deadlines. */
uint64_t loop_now_ms(const struct loop *loop);
/* Since 1970, read anew: the clock of what is written down or sent. May jump. */
uint64_t loop_wall_ns(const struct loop *loop);
/* From the kernel, good for keys. */
void loop_random(struct loop *loop, void *buf, size_t size);
uint64_t loop_random_below(struct loop *loop, uint64_t bound); /* uniform in [0, bound) */

/* For tests. From loop_clock_set on both clocks stand still until they are set again; timers that
 * are due fall in the next turn, and timers that are not keep loop_run no longer alive: it returns
 * when all is quiet. now_ms must not go back. Callbacks are then measured by this clock. */
void loop_clock_set(struct loop *loop, uint64_t now_ms, uint64_t wall_ns);
/* Runs till all is quiet, then turns both clocks on by ms, stopping at every deadline on the way,
 * with a run till all is quiet at each stop and at the end. Do not use with sockets. */
void loop_clock_turn(struct loop *loop, uint64_t ms);
/* loop_random repeats one sequence per seed. */
void loop_random_seed(struct loop *loop, uint64_t seed);

/* Around a callback of a watcher in another file. Calls may nest: the outermost counts. The name is
 * a literal. */
void loop_callback_begin(struct loop *loop, const char *name);
void loop_callback_end(struct loop *loop);

/* Also in the histogram loop_lag_seconds; the slowest of each LIMIT_LOOP_SLOW_LOG_MS that is above
 * the limit is named in the log. */
struct loop_stats {
    uint64_t callbacks;  /* measured */
    uint64_t slow;       /* of them, above LIMIT_LOOP_CALLBACK_NS */
    uint64_t busy_ns;    /* all callbacks together */
    uint64_t slow_ns;    /* the slow ones together */
    uint64_t slowest_ns; /* the slowest since the start */
    const char *slowest_name;
};
const struct loop_stats *loop_stats(const struct loop *loop);

struct timers *loop_timers(struct loop *loop);      /* for timer.c alone */
bool loop_clock_is_turned(const struct loop *loop); /* for timer.c alone */

#endif
