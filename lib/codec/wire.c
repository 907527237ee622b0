#include "codec/wire.h"

#include "base/varint.h"

/* Tag, and for varints and bytes the number behind it. The value of a fixed field is left where it
 * is: its size is known. */
static enum wire_type header_read(struct reader *r, struct wire_field *out)
{
    uint64_t tag = reader_pbvarint(r);
    if (tag >> 3 == 0 || tag >> 3 > WIRE_FIELD_MAX)
        reader_fail(r, ERR_MALFORMED);
    *out = (struct wire_field){ .number = (uint32_t)(tag >> 3) };
    switch (tag & 7) {
    case WIRE_VARINT:
    case WIRE_BYTES:
        out->value = reader_pbvarint(r);
        break;
    case WIRE_FIXED64:
        out->value = reader_le64(r);
        break;
    case WIRE_FIXED32:
        out->value = reader_le32(r);
        break;
    default:
        reader_fail(r, ERR_MALFORMED);
    }
    out->type = (enum wire_type)(tag & 7);
    return out->type;
}

bool wire_next(struct reader *message, struct wire_field *out)
{
    if (reader_left(message) == 0)
        return false;
    if (header_read(message, out) == WIRE_BYTES)
        out->bytes = reader_take(message, out->value);
    return !message->failed;
}

int wire_peek(struct bytes window, struct wire_field *out)
{
    uint8_t head[WIRE_HEADER_BYTES_MAX];
    size_t have = MIN(window.size, sizeof(head));
    struct reader r = reader_of(bytes_of(window.data, have));
    struct wire_field f;
    header_read(&r, &f);
    if (!r.failed) {
        *out = f;
        return (int)(r.at - window.data);
    }
    /* Would it be valid with more bytes? Terminate an open varint and fill up to find out: with
     * zeros, and with ones when what came of a tag is zero so far. */
    if (have == 0)
        return 0;
    if (have == sizeof(head))
        return WIRE_NEVER;
    memcpy(head, window.data, have);
    for (int fill = 0; fill <= 1; fill++) {
        memset(head + have, fill, sizeof(head) - have);
        r = reader_of(bytes_of(head, sizeof(head)));
        header_read(&r, &f);
        if (!r.failed && (size_t)(r.at - head) > have)
            return 0;
    }
    return WIRE_NEVER;
}

bool wire_is(struct reader *r, const struct wire_field *f, uint32_t number, enum wire_type type)
{
    if (f->number != number)
        return false;
    if (f->type != type)
        reader_fail(r, ERR_MALFORMED);
    return f->type == type;
}

void wire_put_varint(struct writer *w, uint32_t number, uint64_t v)
{
    writer_pbvarint(w, (uint64_t)number << 3 | WIRE_VARINT);
    writer_pbvarint(w, v);
}

void wire_put_header(struct writer *w, uint32_t number, size_t size)
{
    writer_pbvarint(w, (uint64_t)number << 3 | WIRE_BYTES);
    writer_pbvarint(w, size);
}

void wire_put_bytes(struct writer *w, uint32_t number, struct bytes b)
{
    wire_put_header(w, number, b.size);
    writer_put(w, b.data, b.size);
}

size_t wire_bytes_size(uint32_t number, size_t size)
{
    return uvarint_size((uint64_t)number << 3) + uvarint_size(size) + size;
}
