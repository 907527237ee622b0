#include "swarm/pullsync_wire.h"

#include "base/varint.h"

static_assert(LIMIT_PULLSYNC_PAGE_CHUNKS <= LIMIT_RESERVE_PAGE_CHUNKS,
              "one request to the reserve serves a page");

/* A number, which the proto3 of others may also leave out. */
static bool number(struct reader *r, const struct wire_field *f, uint32_t n, uint64_t *out)
{
    if (!wire_is(r, f, n, WIRE_VARINT))
        return false;
    *out = f->value;
    return true;
}

static bool blob(struct reader *r, const struct wire_field *f, uint32_t n, struct bytes *out)
{
    if (!wire_is(r, f, n, WIRE_BYTES))
        return false;
    *out = f->bytes;
    return true;
}

static enum err cursor_add(struct pullsync_ack *ack, uint32_t *count, uint64_t cursor,
                           struct error *err)
{
    if (*count == RESERVE_BINS)
        return error_set(err, ERR_LIMIT, "more than %d cursors", RESERVE_BINS);
    if (cursor == UINT64_MAX) /* what comes is asked for from the BinID behind it on */
        return error_set(err, ERR_PROTOCOL, "the cursor of bin %" PRIu32 " can have no successor",
                         *count);
    ack->cursors[(*count)++] = cursor;
    return ERR_OK;
}

enum err pullsync_ack_decode(struct pullsync_ack *out, struct bytes message, struct error *err)
{
    struct reader r = reader_of(message);
    struct wire_field f;
    uint32_t count = 0;
    enum err rc = ERR_OK;
    memset(out, 0, sizeof(*out));
    while (!rc && wire_next(&r, &f)) {
        if (f.number == 1 && f.type == WIRE_BYTES) {
            struct reader packed = reader_of(f.bytes);
            while (!rc && reader_left(&packed) > 0)
                rc = cursor_add(out, &count, reader_pbvarint(&packed), err);
            if (!rc)
                rc = reader_finish(&packed, "cursors", err);
        } else if (f.number == 1 && wire_is(&r, &f, 1, WIRE_VARINT)) {
            rc = cursor_add(out, &count, f.value, err);
        } else {
            (void)number(&r, &f, 2, &out->epoch);
        }
    }
    rc = rc ? rc : reader_finish(&r, "cursors", err);
    if (!rc && count != RESERVE_BINS)
        rc = error_set(err, ERR_PROTOCOL, "%u cursors instead of %d", count, RESERVE_BINS);
    return rc;
}

void pullsync_ack_encode(struct writer *w, const struct pullsync_ack *ack)
{
    size_t size = 0;
    uint8_t packed[10 * RESERVE_BINS];
    struct writer p = writer_of(packed, sizeof(packed));
    for (uint32_t i = 0; i < RESERVE_BINS; i++)
        writer_pbvarint(&p, ack->cursors[i]);
    size = writer_used(&p);
    wire_put_bytes(w, 1, bytes_of(packed, size));
    if (ack->epoch)
        wire_put_varint(w, 2, ack->epoch);
}

enum err pullsync_get_decode(struct pullsync_get *out, struct bytes message, struct error *err)
{
    struct reader r = reader_of(message);
    struct wire_field f;
    uint64_t bin = 0, start = 0;
    while (wire_next(&r, &f))
        if (!number(&r, &f, 1, &bin))
            (void)number(&r, &f, 2, &start);
    enum err rc = reader_finish(&r, "request of a page", err);
    if (rc)
        return rc;
    if (bin >= RESERVE_BINS)
        return error_set(err, ERR_PROTOCOL, "bin %" PRIu64 " was asked for", bin);
    out->bin = (uint8_t)bin;
    out->start = start ? start : 1;
    return ERR_OK;
}

void pullsync_get_encode(struct writer *w, const struct pullsync_get *get)
{
    if (get->bin)
        wire_put_varint(w, 1, get->bin);
    wire_put_varint(w, 2, get->start);
}

static bool hash_field(struct reader *r, const struct wire_field *f, uint32_t n, uint8_t out[32])
{
    struct bytes b;
    if (!blob(r, f, n, &b))
        return false;
    if (b.size == 32)
        memcpy(out, b.data, 32);
    else if (b.size > 0)
        reader_fail(r, ERR_MALFORMED);
    return true;
}

/* As nearly all of them look. */
static bool entry_is_usual(struct bytes b)
{
    static const uint8_t heads[3][2] = { { 0x0a, 32 }, { 0x12, 32 }, { 0x1a, 32 } };
    return b.size == PULLSYNC_ENTRY_BYTES - 2 && !memcmp(b.data, heads[0], 2) &&
           !memcmp(b.data + 34, heads[1], 2) && !memcmp(b.data + 68, heads[2], 2);
}

static void entry_decode(struct reader *outer, struct chunk_id *id, struct bytes b)
{
    if (entry_is_usual(b)) {
        memcpy(id->address, b.data + 2, 32);
        memcpy(id->batch, b.data + 36, 32);
        memcpy(id->stamp_hash, b.data + 70, 32);
        return;
    }
    struct reader r = reader_of(b);
    struct wire_field f;
    memset(id, 0, sizeof(*id));
    while (wire_next(&r, &f))
        if (!hash_field(&r, &f, 1, id->address) && !hash_field(&r, &f, 2, id->batch))
            (void)hash_field(&r, &f, 3, id->stamp_hash);
    if (r.failed)
        reader_fail(outer, r.failed);
}

enum err pullsync_offer_decode(struct pullsync_offer *out, struct bytes message, struct error *err)
{
    struct reader r = reader_of(message);
    struct wire_field f;
    out->topmost = 0;
    out->count = 0;
    while (wire_next(&r, &f)) {
        if (number(&r, &f, 1, &out->topmost) || !wire_is(&r, &f, 2, WIRE_BYTES))
            continue;
        if (!LIMIT_CHECK(PULLSYNC_PAGE_CHUNKS, out->count + 1))
            return error_set(err, ERR_LIMIT, "more than %d chunks were offered",
                             LIMIT_PULLSYNC_PAGE_CHUNKS);
        entry_decode(&r, &out->ids[out->count++], f.bytes);
    }
    enum err rc = reader_finish(&r, "offer", err);
    if (!rc && out->topmost == UINT64_MAX)
        rc = error_set(err, ERR_PROTOCOL, "the topmost BinID can have no successor");
    return rc;
}

void pullsync_offer_begin(struct writer *w, uint64_t topmost, uint32_t count)
{
    uint8_t head[PULLSYNC_TOPMOST_BYTES_MAX];
    struct writer h = writer_of(head, sizeof(head));
    wire_put_varint(&h, 1, topmost);
    writer_uvarint(w, writer_used(&h) + (size_t)count * PULLSYNC_ENTRY_BYTES);
    writer_put(w, head, writer_used(&h));
}

void pullsync_offer_entry(uint8_t out[PULLSYNC_ENTRY_BYTES], const struct chunk_id *id)
{
    struct writer w = writer_of(out, PULLSYNC_ENTRY_BYTES);
    wire_put_header(&w, 2, PULLSYNC_ENTRY_BYTES - 2);
    wire_put_bytes(&w, 1, bytes_of(id->address, 32));
    wire_put_bytes(&w, 2, bytes_of(id->batch, 32));
    wire_put_bytes(&w, 3, bytes_of(id->stamp_hash, 32));
    assert(!w.overflow && writer_left(&w) == 0);
}

enum err pullsync_want_decode(uint8_t bits[PULLSYNC_WANT_BYTES], uint32_t count,
                              struct bytes message, struct error *err)
{
    struct reader r = reader_of(message);
    struct wire_field f;
    struct bytes vector = { NULL, 0 };
    while (wire_next(&r, &f))
        (void)blob(&r, &f, 1, &vector);
    enum err rc = reader_finish(&r, "wanted chunks", err);
    if (rc)
        return rc;
    size_t need = (count + 7) / 8;
    if (vector.size < need)
        return error_set(err, ERR_PROTOCOL, "%zu bytes say which of %u chunks are wanted",
                         vector.size, count);
    memset(bits, 0, PULLSYNC_WANT_BYTES);
    if (need > 0)
        memcpy(bits, vector.data, need);
    if (count % 8)
        bits[count / 8] &= (uint8_t)((1u << count % 8) - 1);
    return ERR_OK;
}

void pullsync_want_encode(struct writer *w, const uint8_t *bits, uint32_t count)
{
    size_t used = (count + 7) / 8, size = count / 8 + 1;
    wire_put_header(w, 1, size);
    writer_put(w, bits, used);
    for (; used < size; used++)
        writer_u8(w, 0);
}

enum err pullsync_delivery_decode(struct pullsync_delivery *out, struct bytes message,
                                  struct error *err)
{
    struct reader r = reader_of(message);
    struct wire_field f;
    memset(out, 0, sizeof(*out));
    while (wire_next(&r, &f))
        if (!blob(&r, &f, 1, &out->address) && !blob(&r, &f, 2, &out->data))
            (void)blob(&r, &f, 3, &out->stamp);
    return reader_finish(&r, "delivery", err);
}

void pullsync_delivery_encode(struct writer *w, const struct pullsync_delivery *d)
{
    size_t size = 0;
    if (d->address.size > 0)
        size = wire_bytes_size(1, d->address.size) + wire_bytes_size(2, d->data.size) +
               wire_bytes_size(3, d->stamp.size);
    writer_uvarint(w, size);
    if (size == 0)
        return;
    wire_put_bytes(w, 1, d->address);
    wire_put_bytes(w, 2, d->data);
    wire_put_bytes(w, 3, d->stamp);
}
