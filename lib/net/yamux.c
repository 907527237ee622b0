/* What comes in. What goes out is in yamux_send.c. */
#include "net/yamux.h"

#include "net/yamux_frame.h"

enum { RATE_SECOND_MS = 1000, RATE_TEN_MS = 10000 };

void yamux_init(struct yamux *y, bool dialer, const struct yamux_ops *ops, uint64_t now_ms)
{
    *y = (struct yamux){ .ops = ops,
                         .dialer_ = dialer,
                         .next_id_ = dialer ? 1 : 2,
                         .second_ms_ = now_ms,
                         .ten_ms_ = now_ms,
                         .tokens_ms_ = now_ms,
                         .tokens_ = LIMIT_YAMUX_OPEN_BURST };
    list_init(&y->controls_);
    list_init(&y->writers_);
}

/* Ids of one side are two apart. */
static struct yamux_stream **bucket_of(struct yamux *y, uint32_t id)
{
    return &y->buckets_[(id >> 1) % YAMUX_BUCKETS];
}

static struct yamux_stream *stream_find(struct yamux *y, uint32_t id)
{
    struct yamux_stream *s = *bucket_of(y, id);
    while (s && s->id != id)
        s = s->hash_next_;
    return s;
}

void yamux_stream_attach(struct yamux *y, struct yamux_stream *s, uint32_t id, uint16_t flags)
{
    assert(!s->session);
    *s = (struct yamux_stream){ .session = y,
                                .id = id,
                                .send_credit = LIMIT_YAMUX_WINDOW_BYTES,
                                .more = s->more,
                                .receive_left_ = LIMIT_YAMUX_WINDOW_BYTES,
                                .consumed_ = s->more,
                                .flags_ = flags };
    struct yamux_stream **bucket = bucket_of(y, id);
    s->hash_next_ = *bucket;
    *bucket = s;
    if (flags & STREAM_INBOUND) {
        y->streams_in++;
    } else {
        y->streams_out++;
        y->unacked++;
    }
    list_append(&y->controls_, &s->control_);
}

void yamux_stream_gone(struct yamux_stream *s, enum yamux_end end, uint32_t code)
{
    struct yamux *y = s->session;
    struct yamux_stream **at = bucket_of(y, s->id);
    while (*at != s)
        at = &(*at)->hash_next_;
    *at = s->hash_next_;
    if (list_linked(&s->control_))
        list_remove(&s->control_);
    if (list_linked(&s->writer_))
        list_remove(&s->writer_);
    if (y->body_of_ == s)
        y->body_of_ = NULL; /* the rest of its frame is skipped */
    if (s->flags_ & STREAM_INBOUND) {
        y->streams_in--;
        /* An orderly end costs the peer as much as us: bucket and rate are for those who open and
         * reset. */
        if (end == YAMUX_END_CLOSED) {
            y->tokens_ = MIN(y->tokens_ + 1, LIMIT_YAMUX_OPEN_BURST);
            y->syns_.count -= y->syns_.count > 0;
        }
    } else {
        y->streams_out--;
        y->unacked -= s->flags_ & STREAM_ACKED ? 0 : 1;
    }
    s->session = NULL;
    y->ops->on_gone(y, s, end, code);
}

void yamux_close(struct yamux *y)
{
    for (size_t i = 0; i < YAMUX_BUCKETS; i++)
        while (y->buckets_[i])
            yamux_stream_gone(y->buckets_[i], YAMUX_END_SESSION, 0);
}

/* The peer breaks the rules: go away is the last thing it hears. */
static enum err fail(struct yamux *y, uint32_t code, struct error *err, const char *text)
{
    y->failed_ = true;
    yamux_send_go_away(y, code);
    return error_set(err, ERR_PROTOCOL, "yamux: %s", text);
}

static void rate_turn(struct yamux_rate *r, uint32_t max, bool idle)
{
    r->bad_seconds = !idle && r->count > max ? r->bad_seconds + 1 : 0;
    r->count = 0;
}

/* Moves the windows in which abuse is counted. */
static void clock_turn(struct yamux *y, uint64_t now_ms)
{
    uint64_t passed = now_ms - y->second_ms_;
    if (passed >= RATE_SECOND_MS) {
        bool idle = passed >= 2 * RATE_SECOND_MS;
        rate_turn(&y->pings_, LIMIT_YAMUX_PINGS_PER_SECOND, idle);
        rate_turn(&y->syns_, LIMIT_YAMUX_SYNS_PER_SECOND, idle);
        rate_turn(&y->rsts_, LIMIT_YAMUX_RSTS_PER_SECOND, idle);
        y->second_ms_ = now_ms;
    }
    if (now_ms - y->ten_ms_ >= RATE_TEN_MS) {
        y->unasked_ = y->skipped_ = 0;
        y->ten_ms_ = now_ms;
    }
    uint64_t fresh = (now_ms - y->tokens_ms_) * LIMIT_YAMUX_OPENS_PER_SECOND / 1000;
    if (fresh > 0) {
        y->tokens_ = (uint32_t)MIN(y->tokens_ + fresh, LIMIT_YAMUX_OPEN_BURST);
        y->tokens_ms_ = now_ms;
    }
}

static enum err abuse_check(struct yamux *y, struct error *err)
{
    if (y->pings_.bad_seconds >= LIMIT_YAMUX_RATE_SECONDS) {
        LIMIT_HIT(YAMUX_PINGS_PER_SECOND);
        return fail(y, YAMUX_GO_AWAY_RATE, err, "too many pings");
    }
    if (y->syns_.bad_seconds >= LIMIT_YAMUX_RATE_SECONDS) {
        LIMIT_HIT(YAMUX_SYNS_PER_SECOND);
        return fail(y, YAMUX_GO_AWAY_RATE, err, "too many streams opened per second");
    }
    if (y->rsts_.bad_seconds >= LIMIT_YAMUX_RATE_SECONDS) {
        LIMIT_HIT(YAMUX_RSTS_PER_SECOND);
        return fail(y, YAMUX_GO_AWAY_RATE, err, "too many streams reset per second");
    }
    if (!LIMIT_CHECK(YAMUX_UNASKED_PONGS, y->unasked_))
        return fail(y, YAMUX_GO_AWAY_RATE, err, "too many ping answers nobody asked for");
    if (!LIMIT_CHECK(YAMUX_SKIPPED_BYTES, y->skipped_))
        return fail(y, YAMUX_GO_AWAY_RATE, err, "too much data for streams that are gone");
    return ERR_OK;
}

static enum err on_ping(struct yamux *y, uint16_t flags, uint32_t value)
{
    if (flags & FLAG_SYN) {
        y->pings_.count++;
        if (LIMIT_CHECK(YAMUX_PONGS, y->pongs_count_ + 1))
            y->pongs_[y->pongs_count_++] = value;
    } else if (flags & FLAG_ACK) {
        if (y->pinging_ && value == y->ping_value_) {
            y->pinging_ = false;
            y->ops->on_pong(y);
        } else {
            y->unasked_++;
        }
    }
    return ERR_OK;
}

static enum err refuse(struct yamux *y, uint32_t id, uint32_t code, struct error *err)
{
    y->refused++;
    if (!LIMIT_CHECK(YAMUX_REFUSALS, y->refusals_count_ + 1))
        return fail(y, YAMUX_GO_AWAY_RATE, err, "more streams than we can even refuse");
    y->refusals_[y->refusals_count_].id = id;
    y->refusals_[y->refusals_count_++].code = code;
    return ERR_OK;
}

/* SYN. *out stays NULL when the stream is refused. */
static enum err on_syn(struct yamux *y, uint32_t id, struct yamux_stream **out, struct error *err)
{
    uint32_t code = YAMUX_RESET_LIMIT;
    y->syns_.count++;
    if (id == 0 || (id % 2 == 1) == y->dialer_)
        return fail(y, YAMUX_GO_AWAY_PROTOCOL, err, "a stream id of the wrong parity");
    if (stream_find(y, id))
        return fail(y, YAMUX_GO_AWAY_PROTOCOL, err, "a stream opened twice");
    if (y->tokens_ == 0) {
        LIMIT_HIT(YAMUX_OPEN_BURST);
        return refuse(y, id, code, err);
    }
    y->tokens_--;
    if (!LIMIT_CHECK(YAMUX_STREAMS_IN, y->streams_in + 1) || y->go_away_wanted_)
        return refuse(y, id, code, err);
    struct yamux_stream *s = y->ops->on_open(y, &code);
    if (!s)
        return refuse(y, id, code, err);
    yamux_stream_attach(y, s, id, STREAM_INBOUND | STREAM_ACK_WANTED);
    *out = s;
    return ERR_OK;
}

static void on_fin(struct yamux *y, struct yamux_stream *s)
{
    if (s->flags_ & STREAM_FIN_RECEIVED)
        return;
    s->flags_ |= STREAM_FIN_RECEIVED;
    if (!(s->flags_ & STREAM_RESET))
        y->ops->on_fin(y, s);
    /* Reset from inside on_fin: the reset is still to be sent, and ends it. */
    if ((s->flags_ & STREAM_FIN_SENT) && !(s->flags_ & STREAM_RESET))
        yamux_stream_gone(s, YAMUX_END_CLOSED, 0);
}

static void credit_add(struct yamux_stream *s, uint32_t credit)
{
    s->send_credit = credit > UINT32_MAX - s->send_credit ? UINT32_MAX : s->send_credit + credit;
    if (s->send_credit >= LIMIT_YAMUX_CREDIT_BYTES_MIN)
        s->flags_ &= (uint16_t)~STREAM_CREDIT_SMALL;
    else if (credit > 0)
        s->flags_ |= STREAM_CREDIT_SMALL;
}

/* Data, or a window update: length is the size of the body, or credit, or a reset code. */
static enum err on_stream_frame(struct yamux *y, const struct frame *f, struct error *err)
{
    bool data = f->type == FRAME_DATA;
    struct yamux_stream *s = NULL;
    y->body_left_ = data ? f->length : 0;
    y->body_of_ = NULL;
    enum err rc = ERR_OK;
    if (f->flags & FLAG_SYN)
        rc = on_syn(y, f->id, &s, err);
    else
        s = stream_find(y, f->id);
    if (rc || !s)
        return rc;
    if (!(s->flags_ & (STREAM_INBOUND | STREAM_ACKED))) {
        s->flags_ |= STREAM_ACKED; /* rust may acknowledge with its first data */
        y->unacked--;
        if (!(f->flags & FLAG_RST) && !(s->flags_ & STREAM_RESET))
            y->ops->on_acked(y, s);
    }
    if (f->flags & FLAG_RST) {
        y->rsts_.count++;
        yamux_stream_gone(s, YAMUX_END_RESET, data ? 0 : f->length);
        return ERR_OK;
    }
    if (!data) {
        credit_add(s, f->length);
        if (f->flags & FLAG_FIN)
            on_fin(y, s);
        return ERR_OK;
    }
    if (f->length > s->receive_left_)
        return fail(y, YAMUX_GO_AWAY_PROTOCOL, err, "data beyond the window");
    s->receive_left_ -= f->length;
    if (f->length > 0 && (s->flags_ & STREAM_FIN_RECEIVED))
        yamux_reset(s, YAMUX_RESET_PLAIN);
    y->body_of_ = s;
    y->body_fin_ = f->flags & FLAG_FIN;
    return ERR_OK;
}

static enum err on_frame(struct yamux *y, struct error *err)
{
    struct frame f;
    struct reader r = reader_of(bytes_of(y->header_, sizeof(y->header_)));
    uint8_t version = reader_u8(&r);
    f.type = reader_u8(&r);
    f.flags = reader_be16(&r);
    f.id = reader_be32(&r);
    f.length = reader_be32(&r);
    if (version != 0)
        return fail(y, YAMUX_GO_AWAY_PROTOCOL, err, "another version");
    switch (f.type) {
    case FRAME_DATA:
    case FRAME_WINDOW:
        return on_stream_frame(y, &f, err);
    case FRAME_PING:
        return on_ping(y, f.flags, f.length);
    case FRAME_GO_AWAY:
        y->peer_gone_ = true;
        y->ops->on_go_away(y, f.length);
        return ERR_OK;
    default:
        return fail(y, YAMUX_GO_AWAY_PROTOCOL, err, "a frame of unknown type");
    }
}

/* A piece of a frame's body, and its FIN when it is the last. */
static void body_piece(struct yamux *y, struct bytes piece)
{
    struct yamux_stream *s = y->body_of_;
    y->body_left_ -= (uint32_t)piece.size;
    if (piece.size > 0 && s && !(s->flags_ & STREAM_RESET))
        y->ops->on_data(y, s, piece);
    else
        y->skipped_ += (uint32_t)piece.size;
    if (y->body_left_ == 0 && y->body_of_) {
        s = y->body_of_;
        y->body_of_ = NULL;
        if (y->body_fin_)
            on_fin(y, s);
    }
}

enum err yamux_feed(struct yamux *y, struct bytes in, uint64_t now_ms, struct error *err)
{
    assert(!y->failed_);
    clock_turn(y, now_ms);
    enum err rc = abuse_check(y, err);
    while (!rc && in.size > 0) {
        if (y->body_left_ > 0) {
            size_t n = MIN(in.size, y->body_left_);
            body_piece(y, bytes_of(in.data, n));
            in = bytes_of(in.data + n, in.size - n);
            rc = abuse_check(y, err);
            continue;
        }
        size_t n = MIN(in.size, (size_t)(YAMUX_HEADER_BYTES - y->header_have_));
        memcpy(y->header_ + y->header_have_, in.data, n);
        y->header_have_ = (uint8_t)(y->header_have_ + n);
        in = bytes_of(in.data + n, in.size - n);
        if (y->header_have_ < YAMUX_HEADER_BYTES)
            break;
        y->header_have_ = 0;
        rc = on_frame(y, err);
        if (!rc && y->body_left_ == 0)
            body_piece(y, bytes_of(in.data, 0)); /* an empty data frame may carry FIN */
        if (!rc)
            rc = abuse_check(y, err);
    }
    return rc;
}
