/* lib/core/sem.h
 *
 * A counting semaphore for the loop, with waiters in order of arrival.
 * Owns:   nothing; a waiter is a field of its request and lives until it is released.
 * Thread: loop only. Nobody blocks: to wait is to be called back.
 * Bound:  the requests that exist; each has one waiter.
 */
#ifndef LARDER_CORE_SEM_H
#define LARDER_CORE_SEM_H

#include "base/list.h"
#include "core/loop.h"

struct sem_waiter;
typedef void sem_cb(struct sem_waiter *w);

struct sem {
    struct loop *loop_;
    struct list waiting_;
    /* Read as gauges and a counter. */
    uint32_t limit, in_use, waiting;
    uint64_t waited_ms; /* of all permits granted, from acquire to grant */
};

struct sem_waiter { /* zeroed at first */
    struct sem *sem_;
    sem_cb *cb_;
    struct list link_;
    struct deferred later_;
    uint64_t since_ms_;
    enum sem_state { SEM_IDLE, SEM_WAITING, SEM_GRANTED, SEM_HURRIED } state_;
};

void sem_start(struct sem *sem, struct loop *loop, uint32_t limit); /* limit >= 1 */
void sem_end(struct sem *sem); /* asserts that no permit is out and nobody waits */
/* A lower limit takes no permit back; it is reached as permits are released. 0: all wait until it
 * is raised. */
void sem_limit_set(struct sem *sem, uint32_t limit);

/* Calls cb with a permit, on a later turn, never inside; first come, first served. */
#define sem_acquire(sem, w, cb) sem_acquire_named(sem, w, cb, #cb)
void sem_acquire_named(struct sem *sem, struct sem_waiter *w, sem_cb *cb, const char *name);
/* Gives the permit back; a no-op without one. Not before cb. */
void sem_release(struct sem_waiter *w);
/* Takes a waiter out of the queue and calls cb on the next turn, without a permit. No-op when the
 * permit has been granted already (cb is then on its way, or has been), or never asked for. */
void sem_hurry(struct sem_waiter *w);

#endif
