/* What goes out: control frames first (answers to pings, refusals, what streams announce), then
 * data, a slice from each writer in turn. */
#include "net/yamux_frame.h"

bool yamux_open(struct yamux *y, struct yamux_stream *s)
{
    if (y->peer_gone_ || y->failed_ || y->go_away_wanted_ || y->next_id_ > UINT32_MAX ||
        !LIMIT_CHECK(YAMUX_STREAMS_UNACKED, y->unacked + 1))
        return false;
    yamux_stream_attach(y, s, (uint32_t)y->next_id_, STREAM_SYN_WANTED);
    y->next_id_ += 2;
    return true;
}

static void announce(struct yamux_stream *s)
{
    if (!list_linked(&s->control_))
        list_append(&s->session->controls_, &s->control_);
}

void yamux_want_write(struct yamux_stream *s)
{
    if (s->session && !(s->flags_ & (STREAM_FIN_WANTED | STREAM_FIN_SENT | STREAM_RESET)) &&
        !list_linked(&s->writer_))
        list_append(&s->session->writers_, &s->writer_);
}

/* Half a window at a time, so that a reader costs one frame per 128 KiB. */
void yamux_consumed(struct yamux_stream *s, uint32_t bytes)
{
    if (!s->session || (s->flags_ & (STREAM_FIN_RECEIVED | STREAM_RESET)))
        return;
    s->consumed_ += bytes;
    uint32_t window = LIMIT_YAMUX_WINDOW_BYTES + s->more;
    assert(s->consumed_ <= window - s->receive_left_);
    if (s->consumed_ >= window / 2)
        announce(s);
}

void yamux_finish(struct yamux_stream *s)
{
    if (!s->session || (s->flags_ & (STREAM_FIN_WANTED | STREAM_FIN_SENT | STREAM_RESET)))
        return;
    s->flags_ |= STREAM_FIN_WANTED;
    if (list_linked(&s->writer_))
        list_remove(&s->writer_);
    announce(s);
}

void yamux_reset(struct yamux_stream *s, uint32_t code)
{
    if (!s->session || (s->flags_ & STREAM_RESET))
        return;
    s->flags_ |= STREAM_RESET;
    s->reset_code_ = code;
    if (list_linked(&s->writer_))
        list_remove(&s->writer_);
    announce(s);
}

void yamux_ping(struct yamux *y)
{
    if (y->pinging_)
        return;
    y->pinging_ = y->ping_wanted_ = true;
    y->ping_value_++;
}

void yamux_send_go_away(struct yamux *y, uint32_t code)
{
    if (y->go_away_wanted_)
        return; /* the first reason counts */
    y->go_away_wanted_ = true;
    y->go_away_code_ = code;
}

static void frame_put(struct writer *out, uint8_t type, uint16_t flags, uint32_t id,
                      uint32_t length)
{
    writer_u8(out, 0);
    writer_u8(out, type);
    writer_be16(out, flags);
    writer_be32(out, id);
    writer_be32(out, length);
}

static bool has_room(const struct writer *out)
{
    return writer_left(out) >= YAMUX_HEADER_BYTES;
}

static void session_fill(struct yamux *y, struct writer *out)
{
    uint32_t n = 0;
    for (; n < y->pongs_count_ && has_room(out); n++)
        frame_put(out, FRAME_PING, FLAG_ACK, 0, y->pongs_[n]);
    y->pongs_count_ -= n;
    memmove(y->pongs_, y->pongs_ + n, y->pongs_count_ * sizeof(y->pongs_[0]));
    if (y->ping_wanted_ && has_room(out)) {
        frame_put(out, FRAME_PING, FLAG_SYN, 0, y->ping_value_);
        y->ping_wanted_ = false;
    }
    for (n = 0; n < y->refusals_count_ && has_room(out); n++)
        frame_put(out, FRAME_WINDOW, FLAG_RST, y->refusals_[n].id, y->refusals_[n].code);
    y->refusals_count_ -= n;
    memmove(y->refusals_, y->refusals_ + n, y->refusals_count_ * sizeof(y->refusals_[0]));
}

/* SYN, ACK, credit and FIN go into one window update. */
static void stream_announce(struct yamux_stream *s, struct writer *out)
{
    uint16_t flags = 0;
    if (s->flags_ & STREAM_RESET) {
        if (!(s->flags_ & STREAM_SYN_WANTED)) /* else the peer never heard of it */
            frame_put(out, FRAME_WINDOW, FLAG_RST, s->id, s->reset_code_);
        yamux_stream_gone(s, YAMUX_END_LOCAL, s->reset_code_);
        return;
    }
    if (s->flags_ & STREAM_SYN_WANTED)
        flags |= FLAG_SYN;
    if (s->flags_ & STREAM_ACK_WANTED)
        flags |= FLAG_ACK;
    if (s->flags_ & STREAM_FIN_WANTED)
        flags |= FLAG_FIN;
    uint32_t credit = s->flags_ & STREAM_FIN_RECEIVED ? 0 : s->consumed_;
    s->consumed_ -= credit;
    s->receive_left_ += credit;
    if (flags || credit)
        frame_put(out, FRAME_WINDOW, flags, s->id, credit);
    s->flags_ &= (uint16_t) ~(STREAM_SYN_WANTED | STREAM_ACK_WANTED);
    if (flags & FLAG_FIN) {
        s->flags_ = (uint16_t)((s->flags_ & ~STREAM_FIN_WANTED) | STREAM_FIN_SENT);
        if (s->flags_ & STREAM_FIN_RECEIVED)
            yamux_stream_gone(s, YAMUX_END_CLOSED, 0);
    }
}

/* How much it may send in one frame now; 0 when it has to wait for credit or for the next block. */
static size_t slice_of(const struct yamux_stream *s, bool alone, size_t left)
{
    size_t credit = s->flags_ & STREAM_CREDIT_SMALL ? 0 : s->send_credit;
    size_t slice = alone ? LIMIT_YAMUX_FRAME_BYTES : LIMIT_YAMUX_SLICE_BYTES;
    size_t wants = MIN(credit, slice);
    if (left <= YAMUX_HEADER_BYTES)
        return 0;
    left -= YAMUX_HEADER_BYTES;
    return left < MIN(wants, LIMIT_YAMUX_CREDIT_BYTES_MIN) ? 0 : MIN(wants, left);
}

/* One frame of s, which is taken out of the writers before it is asked. True when it wrote. */
static bool writer_turn(struct yamux *y, struct yamux_stream *s, bool alone, struct writer *out)
{
    size_t room = slice_of(s, alone, writer_left(out));
    if (room == 0)
        return false;
    uint8_t *body = out->at + YAMUX_HEADER_BYTES;
    list_remove(&s->writer_);
    size_t n = y->ops->on_writable(y, s, body, room);
    assert(n <= room);
    if (n == 0)
        return true; /* it left the ring, which is progress */
    frame_put(out, FRAME_DATA, 0, s->id, (uint32_t)n);
    writer_reserve(out, n);
    s->send_credit -= (uint32_t)n;
    yamux_want_write(s); /* to the end, unless it has finished meanwhile */
    return true;
}

static void controls_fill(struct yamux *y, struct writer *out)
{
    while (!list_empty(&y->controls_) && has_room(out)) {
        struct list *link = list_pop(&y->controls_);
        stream_announce(container_of(link, struct yamux_stream, control_), out);
    }
}

void yamux_fill(struct yamux *y, struct writer *out)
{
    struct list *link = NULL;
    if (!y->failed_) { /* else the reason is all that is left to say */
        session_fill(y, out);
        controls_fill(y, out);
        link = list_first(&y->writers_);
    }
    while (link && list_empty(&y->controls_)) {
        struct list *next = link->next;
        bool alone = y->writers_.next == y->writers_.prev;
        struct yamux_stream *s = container_of(link, struct yamux_stream, writer_);
        bool wrote = writer_turn(y, s, alone, out);
        /* What a handler did inside (finish, reset, other writers) starts the round anew. */
        link = wrote ? list_first(&y->writers_) : next == &y->writers_ ? NULL : next;
        controls_fill(y, out);
    }
    if (y->go_away_wanted_ && !y->go_away_sent_ && has_room(out)) {
        frame_put(out, FRAME_GO_AWAY, 0, 0, y->go_away_code_);
        y->go_away_sent_ = true;
    }
}

bool yamux_wants_fill(const struct yamux *y)
{
    if (y->pongs_count_ > 0 || y->ping_wanted_ || y->refusals_count_ > 0 ||
        !list_empty(&y->controls_) || (y->go_away_wanted_ && !y->go_away_sent_))
        return true;
    for (struct list *link = list_first(&y->writers_); link && link != &y->writers_;
         link = link->next)
        if (slice_of(container_of(link, struct yamux_stream, writer_), true, SIZE_MAX) > 0)
            return true;
    return false;
}

size_t yamux_write_now(struct yamux_stream *s, struct bytes data, struct writer *out)
{
    if (!s->session || (s->flags_ & (STREAM_FIN_WANTED | STREAM_FIN_SENT | STREAM_RESET)) ||
        data.size == 0 || data.size > s->send_credit ||
        writer_left(out) < 2 * YAMUX_HEADER_BYTES + data.size)
        return 0;
    if (list_linked(&s->control_)) { /* its SYN or ACK goes before its data */
        list_remove(&s->control_);
        stream_announce(s, out);
    }
    frame_put(out, FRAME_DATA, 0, s->id, (uint32_t)data.size);
    writer_put(out, data.data, data.size);
    s->send_credit -= (uint32_t)data.size;
    return data.size;
}
