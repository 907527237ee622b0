#include "core/sem.h"

void sem_start(struct sem *sem, struct loop *loop, uint32_t limit)
{
    assert(loop && limit > 0);
    *sem = (struct sem){ .loop_ = loop, .limit = limit };
    list_init(&sem->waiting_);
}

void sem_end(struct sem *sem)
{
    assert(sem->in_use == 0 && sem->waiting == 0 && list_empty(&sem->waiting_));
}

static void on_turn(struct deferred *d)
{
    struct sem_waiter *w = container_of(d, struct sem_waiter, later_);
    w->cb_(w);
}

static void call_next_turn(struct sem_waiter *w, enum sem_state state)
{
    w->state_ = state;
    loop_defer_named(w->sem_->loop_, &w->later_, on_turn, w->later_.name_);
}

static void leave_queue(struct sem_waiter *w)
{
    assert(w->state_ == SEM_WAITING && w->sem_->waiting > 0);
    list_remove(&w->link_);
    w->sem_->waiting--;
}

/* The permit is taken here and not in the callback: who comes between the two finds it gone. */
static void grant(struct sem *sem)
{
    struct list *first;
    while (sem->in_use < sem->limit && (first = list_first(&sem->waiting_))) {
        struct sem_waiter *w = container_of(first, struct sem_waiter, link_);
        leave_queue(w);
        sem->in_use++;
        sem->waited_ms += loop_now_ms(sem->loop_) - w->since_ms_;
        call_next_turn(w, SEM_GRANTED);
    }
}

void sem_limit_set(struct sem *sem, uint32_t limit)
{
    sem->limit = limit;
    grant(sem);
}

void sem_acquire_named(struct sem *sem, struct sem_waiter *w, sem_cb *cb, const char *name)
{
    assert(cb && w->state_ == SEM_IDLE);
    w->sem_ = sem;
    w->cb_ = cb;
    w->later_.name_ = name;
    w->since_ms_ = loop_now_ms(sem->loop_);
    w->state_ = SEM_WAITING;
    list_append(&sem->waiting_, &w->link_);
    sem->waiting++;
    grant(sem);
}

void sem_release(struct sem_waiter *w)
{
    if (w->state_ == SEM_IDLE)
        return;
    assert(w->state_ != SEM_WAITING && !deferred_pending(&w->later_)); /* not before cb */
    bool granted = w->state_ == SEM_GRANTED;
    w->state_ = SEM_IDLE;
    if (granted) {
        assert(w->sem_->in_use > 0);
        w->sem_->in_use--;
        grant(w->sem_);
    }
}

void sem_hurry(struct sem_waiter *w)
{
    if (w->state_ != SEM_WAITING)
        return;
    leave_queue(w);
    call_next_turn(w, SEM_HURRIED);
}
