/* Answers of servers, as their bytes come in. */
#include "base/varint.h"
#include "codec/wire.h"
#include "ipfs/kad.h"

enum { FIELD_TYPE = 1, FIELD_CLOSER = 8, FIELD_PROVIDERS = 9 };
enum { PEER_ID = 1, PEER_ADDRESS = 2 };

/* The id stands first; when the entry was longer than what is kept of it, its last address may be
 * cut and is left out. */
static enum err take_entry(struct kad_decoder *d, struct error *err)
{
    struct reader r = reader_of(bytes_of(d->entry_, d->entry_have_));
    struct kad_peer peer = { 0 };
    struct peer_id id;
    struct wire_field f;
    bool known = false;
    while (wire_next(&r, &f)) {
        if (wire_is(&r, &f, PEER_ID, WIRE_BYTES)) {
            known = !peer_id_parse(f.bytes, &id, NULL);
            if (known)
                kad_peer_init(&peer, &id);
        } else if (wire_is(&r, &f, PEER_ADDRESS, WIRE_BYTES) && known) {
            (void)kad_peer_add_address(&peer, f.bytes, d->allow_private);
        }
    }
    if (r.failed && d->entry_size_ == d->entry_have_)
        return error_set(err, ERR_MALFORMED, "kad: a peer in an answer");
    d->closer += d->field_ == FIELD_CLOSER;
    if (known && (d->field_ != FIELD_CLOSER || LIMIT_CHECK(KAD_CLOSER_PEERS, d->closer)))
        d->on_peer(d, &peer, d->field_ == FIELD_PROVIDERS);
    return ERR_OK;
}

/* One byte of the length in front of the message. */
static enum err take_size(struct kad_decoder *d, uint8_t byte, struct error *err)
{
    uint64_t size = 0;
    d->head_[d->head_have_++] = byte;
    int n = uvarint_peek(bytes_of(d->head_, d->head_have_), &size);
    if (n < 0 || (n == 0 && d->head_have_ > 9))
        return error_set(err, ERR_MALFORMED, "kad: the length of a message");
    if (n == 0)
        return ERR_OK;
    if (!LIMIT_CHECK(KAD_MESSAGE_BYTES, size))
        return error_set(err, ERR_TOO_LARGE, "kad: a message of %" PRIu64 " bytes", size);
    d->sized_ = true;
    d->head_have_ = 0;
    d->left_ = (uint32_t)size;
    d->done = size == 0;
    return ERR_OK;
}

/* One byte of a field's header. */
static enum err take_head(struct kad_decoder *d, uint8_t byte, struct error *err)
{
    struct wire_field f;
    d->left_--;
    d->head_[d->head_have_++] = byte;
    int n = wire_peek(bytes_of(d->head_, d->head_have_), &f);
    if (n == WIRE_NEVER || (n == 0 && (d->left_ == 0 || d->head_have_ == sizeof(d->head_))))
        return error_set(err, ERR_MALFORMED, "kad: a field of an answer");
    if (n == 0)
        return ERR_OK;
    d->head_have_ = 0;
    if (f.type == WIRE_BYTES) {
        if (f.value > d->left_)
            return error_set(err, ERR_MALFORMED, "kad: a field is longer than its message");
        d->field_ = f.number <= FIELD_PROVIDERS ? (uint8_t)f.number : 0;
        d->body_left_ = d->entry_size_ = (uint32_t)f.value;
        d->entry_have_ = 0;
        d->in_body_ = true;
    } else if (f.number == FIELD_TYPE && f.type == WIRE_VARINT) {
        d->type = f.value;
    }
    return ERR_OK;
}

/* As much of a field's body as there is. */
static size_t take_body(struct kad_decoder *d, struct bytes in)
{
    size_t n = MIN(in.size, (size_t)d->body_left_);
    size_t keep = MIN(n, sizeof(d->entry_) - d->entry_have_);
    if (d->field_ == FIELD_CLOSER || d->field_ == FIELD_PROVIDERS) {
        memcpy(d->entry_ + d->entry_have_, in.data, keep);
        d->entry_have_ += (uint32_t)keep;
    }
    d->body_left_ -= (uint32_t)n;
    d->left_ -= (uint32_t)n;
    return n;
}

enum err kad_decode(struct kad_decoder *d, struct bytes in, size_t *taken, struct error *err)
{
    size_t at = 0;
    enum err rc = ERR_OK;
    while (!rc && !d->done && (at < in.size || (d->in_body_ && d->body_left_ == 0))) {
        if (!d->sized_) {
            rc = take_size(d, in.data[at++], err);
            continue;
        }
        if (!d->in_body_)
            rc = take_head(d, in.data[at++], err);
        else
            at += take_body(d, bytes_of(in.data + at, in.size - at));
        if (rc || (d->in_body_ && d->body_left_ > 0))
            continue;
        if (d->in_body_ && (d->field_ == FIELD_CLOSER || d->field_ == FIELD_PROVIDERS))
            rc = take_entry(d, err);
        d->in_body_ = false;
        d->done = d->left_ == 0 && d->head_have_ == 0;
    }
    *taken = at;
    return rc;
}
