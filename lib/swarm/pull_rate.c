#include "swarm/pull_rate.h"

static void serve(struct pull_rate *r);

static void on_timer(struct timer *t)
{
    serve(container_of(t, struct pull_rate, timer));
}

static void on_later(struct deferred *d)
{
    serve(container_of(d, struct pull_rate, later));
}

void pull_rate_init(struct pull_rate *r, struct loop *loop, uint32_t per_second)
{
    *r = (struct pull_rate){ .loop = loop,
                             .per_second = per_second,
                             .tokens_u = (int64_t)per_second * 1000000,
                             .tokens_ms = loop_now_ms(loop) };
    list_init(&r->waiting);
    timer_init(&r->timer, loop, on_timer, "pull rate");
}

void pull_rate_end(struct pull_rate *r)
{
    assert(list_empty(&r->waiting));
    timer_set(&r->timer, 0);
    loop_defer_cancel(&r->later);
}

static void refill(struct pull_rate *r)
{
    uint64_t now = loop_now_ms(r->loop), passed = MIN(now - r->tokens_ms, (uint64_t)3600000);
    r->tokens_ms = now;
    r->tokens_u = MIN(r->tokens_u + (int64_t)(passed * r->per_second * 1000),
                      (int64_t)r->per_second * 1000000);
}

static void soon(struct pull_rate *r)
{
    if (!deferred_pending(&r->later))
        loop_defer(r->loop, &r->later, on_later);
}

void pull_rate_set(struct pull_rate *r, uint32_t per_second)
{
    refill(r);
    r->per_second = per_second;
    soon(r);
}

static void serve(struct pull_rate *r)
{
    while (!list_empty(&r->waiting)) {
        struct pull_rate_waiter *w =
            container_of(list_first(&r->waiting), struct pull_rate_waiter, link_);
        if (!w->canceled_ && r->per_second > 0) {
            int64_t price = (int64_t)w->chunks * 1000000;
            refill(r);
            int64_t missing = MIN(price, (int64_t)r->per_second * 1000000) - r->tokens_u;
            if (missing > 0) {
                timer_set(&r->timer, (uint64_t)missing / (r->per_second * UINT64_C(1000)) + 1);
                return;
            }
            r->tokens_u -= price;
            w->paid = w->chunks;
        }
        list_remove(&w->link_);
        w->cb(w, w->canceled_);
    }
    timer_set(&r->timer, 0);
}

void pull_rate_wait(struct pull_rate *r, struct pull_rate_waiter *w)
{
    w->rate_ = r;
    w->canceled_ = false;
    list_append(&r->waiting, &w->link_);
    soon(r);
}

void pull_rate_refund(struct pull_rate *r, uint32_t chunks)
{
    if (chunks == 0)
        return;
    refill(r);
    r->tokens_u = MIN(r->tokens_u + (int64_t)chunks * 1000000, (int64_t)r->per_second * 1000000);
    if (!list_empty(&r->waiting))
        soon(r);
}

void pull_rate_cancel(struct pull_rate_waiter *w)
{
    if (!w->rate_ || !list_linked(&w->link_))
        return;
    w->canceled_ = true;
    list_remove(&w->link_);
    list_prepend(&w->rate_->waiting, &w->link_);
    soon(w->rate_);
}
