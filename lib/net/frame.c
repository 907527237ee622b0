#include "net/frame.h"

#include "base/mem.h"
#include "base/varint.h"
#include "core/governor.h"

static_assert(LIMIT_ID_ERROR_TEXT_BYTES == 0, "a row that bounds no message stands for none");

struct frame_wait {
    struct mem_waiter waiter;
    struct mem_owner *owner;
    struct frame_reader *fr; /* NULL: the reader is gone */
};

size_t frame_header_put(uint8_t out[9], size_t size)
{
    struct writer w = writer_of(out, 9);
    writer_uvarint(&w, size);
    return writer_used(&w);
}

bool frame_partial(const struct frame_reader *fr)
{
    return fr->length_have_ > 0 || fr->sized_;
}

static void message_reset(struct frame_reader *fr)
{
    if (!fr->lent_)
        mem_free(fr->owner, fr->body_);
    fr->body_ = NULL;
    fr->lent_ = false;
    fr->length_have_ = 0;
    fr->sized_ = false;
    fr->size_ = fr->have_ = 0;
}

void frame_close(struct frame_reader *fr)
{
    if (fr->wait_) {
        fr->wait_->fr = NULL;
        mem_wait_cancel(&fr->wait_->waiter);
        fr->wait_ = NULL;
    }
    message_reset(fr);
    fr->closed_ = true;
}

/* Bytes of the length; sized_ once it is complete. */
static size_t length_feed(struct frame_reader *fr, const uint8_t *bytes, size_t size)
{
    size_t used = 0;
    while (used < size && !fr->sized_) {
        uint64_t v = 0;
        fr->length_[fr->length_have_++] = bytes[used++];
        int n = uvarint_peek(bytes_of(fr->length_, fr->length_have_), &v);
        if (n == 0 && fr->length_have_ < sizeof(fr->length_))
            continue;
        if (n <= 0) {
            stream_fail(fr->stream, ERR_MALFORMED, 0);
            break;
        }
        if (v > fr->max_bytes) {
            if (fr->limit)
                limit_hit(fr->limit);
            stream_fail(fr->stream, ERR_TOO_LARGE, 0);
            break;
        }
        fr->size_ = (uint32_t)v;
        fr->sized_ = true;
    }
    return used;
}

static void message_deliver(struct frame_reader *fr, struct bytes message)
{
    enum err rc = fr->on_frame(fr, message);
    if (rc)
        stream_fail(fr->stream, rc, 0);
}

static void on_room(struct mem_waiter *waiter, const struct error *err)
{
    struct frame_wait *w = container_of(waiter, struct frame_wait, waiter);
    struct frame_reader *fr = w->fr;
    struct mem_owner *owner = w->owner;
    if (!err)
        mem_give(owner, waiter->bytes_); /* the allocation below charges it again, at once */
    if (fr) {
        fr->wait_ = NULL;
        if (err) {
            stream_fail(fr->stream, ERR_BUDGET, 0);
        } else {
            fr->body_ = mem_zalloc(owner, fr->size_);
            stream_resume(fr->stream);
        }
    }
    mem_free(owner, w);
}

/* False: it has to be waited for, and the stream is paused. */
static bool body_alloc(struct frame_reader *fr)
{
    fr->body_ = mem_try_alloc(fr->owner, fr->size_);
    if (fr->body_)
        return true;
    fr->wait_ = mem_zalloc(fr->owner, sizeof(*fr->wait_));
    fr->wait_->owner = fr->owner;
    fr->wait_->fr = fr;
    stream_pause(fr->stream);
    mem_wait(fr->owner, &fr->wait_->waiter, fr->size_, on_room);
    return false;
}

/* A message that is whole in the bytes at hand is not copied, but into room of the handler's. */
static size_t body_feed(struct frame_reader *fr, const uint8_t *bytes, size_t size)
{
    size_t n = MIN(size, (size_t)(fr->size_ - fr->have_));
    if (!fr->body_ && fr->room && fr->size_ > 0) {
        fr->body_ = fr->room(fr, fr->size_);
        fr->lent_ = fr->body_ != NULL;
        if (!fr->body_)
            return 0;
    }
    if (!fr->body_ && n == fr->size_) {
        message_reset(fr);
        message_deliver(fr, bytes_of(bytes, n));
        return n;
    }
    if (!fr->body_ && !body_alloc(fr))
        return 0;
    memcpy(fr->body_ + fr->have_, bytes, n);
    fr->have_ += (uint32_t)n;
    if (fr->have_ == fr->size_) {
        struct bytes message = bytes_of(fr->body_, fr->size_);
        uint8_t *body = fr->lent_ ? NULL : fr->body_;
        fr->body_ = NULL; /* on_frame may close the reader */
        struct mem_owner *owner = fr->owner;
        message_reset(fr);
        message_deliver(fr, message);
        mem_free(owner, body);
    }
    return n;
}

size_t frame_feed(struct frame_reader *fr, const uint8_t *bytes, size_t size)
{
    size_t used = 0;
    while (used < size && !fr->closed_ && !fr->wait_ && !fr->stream->ending_ &&
           !fr->stream->paused_) {
        if (!fr->sized_)
            used += length_feed(fr, bytes + used, size - used);
        if (fr->sized_ && (used < size || fr->size_ == 0))
            used += body_feed(fr, bytes + used, size - used);
    }
    return used;
}
