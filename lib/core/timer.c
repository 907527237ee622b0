#include "core/timer.h"

#include <uv.h>

#include "base/mem.h"
#include "core/loop.h"

/* A pairing heap: setting a timer is O(1), taking one out is O(log n) over time, and it needs no
 * memory but the links in the timers. A wheel would be as fast but wakes up to move far timers
 * down, and an idle node must not wake up. */
struct timers {
    struct loop *loop;
    struct timer *root; /* the earliest */
    uint64_t order;
    uint64_t armed_ms; /* what uv is set for; 0: not set */
    uv_timer_t uv;
    uv_prepare_t before_poll; /* sets uv anew when the earliest timer has gone */
};

static bool earlier(const struct timer *a, const struct timer *b)
{
    if (a->deadline_ms_ != b->deadline_ms_)
        return a->deadline_ms_ < b->deadline_ms_;
    return a->order_ < b->order_;
}

static struct timer *heap_meld(struct timer *a, struct timer *b)
{
    if (!a || !b)
        return a ? a : b;
    if (earlier(b, a)) {
        struct timer *t = a;
        a = b;
        b = t;
    }
    b->prev_ = a;
    b->next_ = a->child_;
    if (a->child_)
        a->child_->prev_ = b;
    a->child_ = b;
    return a;
}

/* Melds siblings in pairs from the left and the pairs from the right. A loop, since a recursion
 * would be as deep as a node has children. */
static struct timer *heap_meld_siblings(struct timer *first)
{
    struct timer *pairs = NULL; /* a stack by next_ */
    while (first) {
        struct timer *a = first, *b = a->next_;
        first = b ? b->next_ : NULL;
        a->next_ = a->prev_ = NULL;
        if (b)
            b->next_ = b->prev_ = NULL;
        struct timer *pair = heap_meld(a, b);
        pair->next_ = pairs;
        pairs = pair;
    }
    struct timer *root = NULL;
    while (pairs) {
        struct timer *pair = pairs;
        pairs = pair->next_;
        pair->next_ = NULL;
        root = heap_meld(root, pair);
    }
    return root;
}

static void heap_remove(struct timers *ts, struct timer *t)
{
    if (t == ts->root) {
        ts->root = heap_meld_siblings(t->child_);
    } else {
        if (t->prev_->child_ == t)
            t->prev_->child_ = t->next_;
        else
            t->prev_->next_ = t->next_;
        if (t->next_)
            t->next_->prev_ = t->prev_;
        ts->root = heap_meld(ts->root, heap_meld_siblings(t->child_));
    }
    t->child_ = t->next_ = t->prev_ = NULL;
}

static void on_uv_timer(uv_timer_t *uv);

/* libuv refuses only closed handles, and ours close last. */
static void uv_arm(struct timers *ts, uint64_t deadline_ms, uint64_t delay_ms)
{
    ts->armed_ms = deadline_ms;
    int rc = uv_timer_start(&ts->uv, on_uv_timer, delay_ms, 0);
    assert(rc == 0);
}

/* A turned clock arms uv only for what is due, so that waiting for the rest is not "alive". */
static void arm(struct timers *ts)
{
    uint64_t next = timers_next_ms(ts), now = loop_now_ms(ts->loop);
    if (next == 0 || (loop_clock_is_turned(ts->loop) && next > now)) {
        if (ts->armed_ms)
            uv_timer_stop(&ts->uv);
        ts->armed_ms = 0;
    } else if (next != ts->armed_ms) {
        uv_arm(ts, next, next > now ? next - now : 0);
    }
}

static void on_before_poll(uv_prepare_t *prepare)
{
    arm(prepare->data);
}

static void on_uv_timer(uv_timer_t *uv)
{
    struct timers *ts = uv->data;
    uint64_t now = loop_now_ms(ts->loop);
    ts->armed_ms = 0;
    /* What callbacks set lies behind now, which stands still during a turn: this ends. */
    while (ts->root && ts->root->deadline_ms_ <= now) {
        struct timer *t = ts->root;
        heap_remove(ts, t);
        t->deadline_ms_ = 0;
        struct loop *loop = ts->loop;
        loop_callback_begin(loop, t->name_);
        t->cb_(t);
        loop_callback_end(loop);
    }
    arm(ts);
}

void timer_init(struct timer *t, struct loop *loop, timer_cb *cb, const char *name)
{
    assert(loop && cb && name);
    *t = (struct timer){ .loop_ = loop, .cb_ = cb, .name_ = name };
}

void timer_set(struct timer *t, uint64_t deadline_ms)
{
    if (deadline_ms == 0 && t->deadline_ms_ == 0)
        return;
    assert(t->loop_);
    struct timers *ts = loop_timers(t->loop_);
    if (t->deadline_ms_)
        heap_remove(ts, t);
    t->deadline_ms_ = 0;
    if (deadline_ms == 0)
        return; /* on_before_poll sets uv for the next one: a deadline that never comes is cheap */
    uint64_t now = loop_now_ms(t->loop_);
    t->deadline_ms_ = deadline_ms < UINT64_MAX - now ? now + deadline_ms : UINT64_MAX;
    t->order_ = ts->order++;
    ts->root = heap_meld(ts->root, t);
    if (ts->root == t)
        arm(ts);
}

uint64_t timer_left_ms(const struct timer *t)
{
    if (t->deadline_ms_ == 0)
        return 0;
    uint64_t now = loop_now_ms(t->loop_);
    return t->deadline_ms_ > now ? t->deadline_ms_ - now : 0;
}

struct timers *timers_create(struct loop *loop)
{
    struct timers *ts = mem_machine_zalloc(sizeof(*ts));
    ts->loop = loop;
    uv_timer_init(loop_uv(loop), &ts->uv);
    uv_prepare_init(loop_uv(loop), &ts->before_poll);
    ts->uv.data = ts->before_poll.data = ts;
    uv_prepare_start(&ts->before_poll, on_before_poll);
    uv_unref((uv_handle_t *)&ts->before_poll);
    return ts;
}

void timers_close(struct timers *ts)
{
    assert(!ts->root); /* a timer is still set: its user was not finished */
    uv_close((uv_handle_t *)&ts->uv, NULL);
    uv_close((uv_handle_t *)&ts->before_poll, NULL);
}

void timers_destroy(struct timers *ts)
{
    mem_machine_free(ts);
}

uint64_t timers_next_ms(const struct timers *ts)
{
    return ts->root ? ts->root->deadline_ms_ : 0;
}

void timers_clock_turned(struct timers *ts)
{
    ts->armed_ms = 0; /* it was for another clock */
    uv_timer_stop(&ts->uv);
    arm(ts);
}
