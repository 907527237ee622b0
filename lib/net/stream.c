#include "net/stream.h"

#include "base/mem.h"
#include "core/metrics.h"

enum { PIECE_BYTES = 4096 - 24 };

/* Queued bytes, filled to the brim: a frame of one byte costs one byte. */
struct stream_piece {
    struct stream_piece *next;
    uint32_t from, to;
    uint8_t bytes[PIECE_BYTES];
};

static void on_deferred(struct deferred *d);
static void on_timer(struct timer *t);

void stream_init(struct stream *s)
{
    assert(s->backend_ && s->loop_ && s->mem_);
    timer_init(&s->timer_, s->loop_, on_timer, "stream");
    s->last_byte_ms_ = loop_now_ms(s->loop_);
}

const struct peer_id *stream_peer(const struct stream *s)
{
    return &s->peer_;
}

const struct protocol *stream_protocol(const struct stream *s)
{
    return s->protocol_;
}

void stream_set_user(struct stream *s, void *user)
{
    s->user_ = user;
}

static void later(struct stream *s)
{
    if (!deferred_pending(&s->deferred_))
        loop_defer_named(s->loop_, &s->deferred_, on_deferred, "stream");
}

static uint64_t earlier(uint64_t due, uint64_t other)
{
    return due && other ? MIN(due, other) : due + other;
}

/* The earliest of the handler's deadline, that of the peer's answer, the protocol's idle limit. */
static uint64_t due_ms(const struct stream *s)
{
    uint64_t due = earlier(s->deadline_at_ms_, s->answer_at_ms_);
    if (s->protocol_ && s->protocol_->idle_ms > 0)
        due = earlier(due, s->last_byte_ms_ + s->protocol_->idle_ms);
    return due;
}

static void timer_arm(struct stream *s)
{
    uint64_t now = loop_now_ms(s->loop_), due = due_ms(s);
    timer_set(&s->timer_, s->closed_ || due == 0 ? 0 : due > now ? due - now : 1);
}

static void on_timer(struct timer *t)
{
    struct stream *s = container_of(t, struct stream, timer_);
    if (due_ms(s) > loop_now_ms(s->loop_))
        timer_arm(s); /* bytes came meanwhile: being idle is looked at here, not per byte */
    else
        stream_fail(s, ERR_TIMEOUT, 0);
}

void stream_deadline(struct stream *s, uint32_t deadline_ms)
{
    s->deadline_at_ms_ = deadline_ms ? loop_now_ms(s->loop_) + deadline_ms : 0;
    timer_arm(s);
}

void stream_answer_due(struct stream *s, uint32_t in_ms)
{
    s->answer_at_ms_ = in_ms ? loop_now_ms(s->loop_) + in_ms : 0;
    timer_arm(s);
}

void stream_start(struct stream *s, const struct protocol *protocol, void *user)
{
    s->protocol_ = protocol;
    s->user_ = user;
    s->last_byte_ms_ = loop_now_ms(s->loop_);
    metric_add_by(METRIC_p2p_streams_total, protocol->row, 1);
    metric_shift_by(METRIC_p2p_streams, protocol->row, 1);
    timer_arm(s);
    if (s->first_ || s->fin_in_)
        later(s);
}

static void queue_changed(struct stream *s, int64_t change)
{
    s->queued_bytes = (uint32_t)(s->queued_bytes + change);
    if (s->on_queued)
        s->on_queued(s, change);
}

static void queue_drop(struct stream *s)
{
    queue_changed(s, -(int64_t)s->queued_bytes);
    while (s->first_) {
        struct stream_piece *p = s->first_;
        s->first_ = p->next;
        mem_free(s->mem_, p);
    }
    s->last_ = NULL;
}

static bool queue_put(struct stream *s, struct bytes data)
{
    uint32_t most = s->protocol_ ? s->protocol_->rx_queue_bytes_max : 0;
    if (most > 0 && s->queued_bytes + data.size > most)
        return false;
    while (data.size > 0) {
        if (!s->last_ || s->last_->to == PIECE_BYTES) {
            struct stream_piece *p = mem_try_alloc(s->mem_, sizeof(*p));
            if (!p)
                return false;
            p->next = NULL;
            p->from = p->to = 0;
            *(s->last_ ? &s->last_->next : &s->first_) = p;
            s->last_ = p;
        }
        size_t n = MIN(data.size, PIECE_BYTES - s->last_->to);
        memcpy(s->last_->bytes + s->last_->to, data.data, n);
        s->last_->to += (uint32_t)n;
        data = bytes_of(data.data + n, data.size - n);
        queue_changed(s, (int64_t)n);
    }
    return true;
}

/* The handler's share of some bytes; what it took goes back to the peer as credit. */
static size_t offer(struct stream *s, struct bytes data)
{
    s->reading_ = true;
    size_t n = s->protocol_->ops->on_data(s, s->user_, data.data, data.size);
    s->reading_ = false;
    assert(n <= data.size);
    if (n > 0 && !s->ending_)
        s->backend_->credit(s, (uint32_t)n);
    return n;
}

static bool may_offer(const struct stream *s)
{
    return s->protocol_ && !s->paused_ && !s->ending_ && !s->reading_;
}

/* What is queued, then FIN. Stops when the handler takes no more. */
static void queue_offer(struct stream *s)
{
    while (s->first_ && may_offer(s)) {
        struct stream_piece *p = s->first_;
        size_t n = offer(s, bytes_of(p->bytes + p->from, p->to - p->from));
        if (n == 0 || s->ending_)
            break;
        p->from += (uint32_t)n;
        queue_changed(s, -(int64_t)n);
        if (p->from < p->to)
            continue;
        s->first_ = p->next;
        if (!s->first_)
            s->last_ = NULL;
        mem_free(s->mem_, p);
    }
    if (!s->first_ && s->fin_in_ && !s->fin_told_ && may_offer(s)) {
        s->fin_told_ = true;
        offer(s, bytes_of("", 0)); /* a pointer that memcpy takes, too */
    }
}

void stream_take_data(struct stream *s, struct bytes data)
{
    s->last_byte_ms_ = loop_now_ms(s->loop_);
    if (s->ending_)
        return;
    if (s->first_)
        queue_offer(s);
    while (data.size > 0 && !s->first_ && may_offer(s)) {
        size_t n = offer(s, data);
        if (n == 0)
            break;
        data = bytes_of(data.data + n, data.size - n);
    }
    if (s->ending_ || data.size == 0)
        return;
    if (!queue_put(s, data))
        stream_fail(s, ERR_BUDGET, 0);
}

void stream_take_fin(struct stream *s)
{
    s->fin_in_ = true;
    if (!s->ending_)
        queue_offer(s);
}

size_t stream_take_writable(struct stream *s, uint8_t *buf, size_t room)
{
    if (!s->protocol_ || s->ending_ || s->finished_ || !s->protocol_->ops->on_writable)
        return 0;
    size_t n = s->protocol_->ops->on_writable(s, s->user_, buf, room);
    if (n > 0)
        s->last_byte_ms_ = loop_now_ms(s->loop_);
    return n;
}

void stream_want_write(struct stream *s)
{
    if (!s->ending_ && !s->finished_)
        s->backend_->want_write(s);
}

size_t stream_try_write(struct stream *s, const void *data, size_t size)
{
    if (s->ending_ || s->finished_ || size == 0 || size > STREAM_TRY_WRITE_MAX)
        return 0;
    s->last_byte_ms_ = loop_now_ms(s->loop_);
    return s->backend_->try_write(s, bytes_of(data, size));
}

void stream_pause(struct stream *s)
{
    s->paused_ = true;
}

void stream_resume(struct stream *s)
{
    s->paused_ = false;
    if (s->first_ || s->fin_in_)
        later(s);
}

void stream_finish(struct stream *s)
{
    if (s->ending_ || s->finished_)
        return;
    s->finished_ = true;
    s->backend_->finish(s);
    later(s);
}

static size_t nobody_data(struct stream *s UNUSED, void *user UNUSED, const uint8_t *bytes UNUSED,
                          size_t size)
{
    return size;
}

void stream_leave(struct stream *s, uint32_t linger_ms)
{
    static const struct stream_ops ops = { NULL, nobody_data, NULL, NULL };
    static const struct protocol nobody = { .name = "", .ops = &ops };
    metric_shift_by(METRIC_p2p_streams, s->protocol_->row, -1);
    metric_shift_by(METRIC_p2p_streams, nobody.row, 1);
    s->protocol_ = &nobody;
    s->user_ = NULL;
    if (linger_ms == 0) {
        stream_reset(s, 0);
        return;
    }
    stream_finish(s);
    stream_deadline(s, linger_ms);
    stream_resume(s);
}

void stream_reset(struct stream *s, uint32_t code)
{
    stream_fail(s, ERR_CANCELED, code);
}

void stream_fail(struct stream *s, enum err why, uint32_t code)
{
    assert(why != ERR_OK);
    if (s->ending_)
        return;
    s->ending_ = true;
    s->end_ = why;
    if (!s->reading_) /* else the handler is looking at it */
        queue_drop(s);
    if (!s->gone_)
        s->backend_->reset(s, code);
    later(s);
}

void stream_below_gone(struct stream *s, enum err why, uint32_t remote_code)
{
    s->gone_ = true;
    if (!s->ending_ && why) {
        s->ending_ = true;
        s->end_ = why;
        s->end_code_ = remote_code;
    }
    later(s);
}

static void close_now(struct stream *s)
{
    struct error err = { ERR_OK, "" };
    if (s->protocol_) {
        metric_shift_by(METRIC_p2p_streams, s->protocol_->row, -1);
        metric_add_by(METRIC_p2p_streams_ended_total, s->end_, 1);
    }
    s->closed_ = s->ending_ = true;
    queue_drop(s);
    timer_set(&s->timer_, 0);
    if (s->end_)
        error_set(&err, s->end_, "stream: %s", err_text(s->end_));
    if (s->protocol_ && s->protocol_->ops->on_close)
        s->protocol_->ops->on_close(s, s->user_, s->end_ ? &err : NULL, s->end_code_);
    /* A handler that failed while the queue was offered, or resumed, has asked for another turn. */
    loop_defer_cancel(&s->deferred_);
    s->backend_->release(s);
}

/* Offers what waits, and ends what is over: both FINs told and sent, or a failure. */
static void on_deferred(struct deferred *d)
{
    struct stream *s = container_of(d, struct stream, deferred_);
    if (s->closed_)
        return;
    if (!s->ending_)
        queue_offer(s);
    bool orderly = s->gone_ && s->fin_told_ && s->finished_;
    if (s->ending_ || orderly || (s->gone_ && !s->protocol_))
        close_now(s);
}
