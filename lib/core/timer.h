/* lib/core/timer.h
 *
 * Deadlines. All timers of a loop stand in one heap behind one libuv timer, which is armed for the
 * earliest deadline and for nothing else: while none is due, nothing wakes up.
 * Owns:   nothing; a timer is a field of its user and must be off when that is freed.
 * Thread: loop only.
 */
#ifndef LARDER_CORE_TIMER_H
#define LARDER_CORE_TIMER_H

#include "base/error.h"

struct loop;
struct timer;
struct timers;

typedef void timer_cb(struct timer *t);

struct timer {
    struct loop *loop_;
    timer_cb *cb_;
    const char *name_;
    uint64_t deadline_ms_;                /* on the loop's clock; 0 = off */
    uint64_t order_;                      /* among equal deadlines the one set first fires first */
    struct timer *child_, *next_, *prev_; /* prev_ is the parent for a first child */
};

/* The name stands in the log when the callback is slow; a literal. */
void timer_init(struct timer *t, struct loop *loop, timer_cb *cb, const char *name);

/* Calls cb once, deadline_ms from the loop's now on; 0 turns the timer off. A set timer is set
 * anew. cb is never called inside; it may set its timer again, and free it. Off is fine on a zeroed
 * one. */
void timer_set(struct timer *t, uint64_t deadline_ms);
static inline bool timer_is_set(const struct timer *t)
{
    return t->deadline_ms_ != 0;
}
uint64_t timer_left_ms(const struct timer *t); /* 0 when off or due */

/* For loop.c alone. */
struct timers *timers_create(struct loop *loop);
void timers_close(struct timers *ts);             /* asserts that no timer is set */
void timers_destroy(struct timers *ts);           /* after the loop has run the close callbacks */
uint64_t timers_next_ms(const struct timers *ts); /* the earliest deadline; 0: none */
void timers_clock_turned(struct timers *ts);

#endif
