#include "base/varint.h"

int uvarint_peek(struct bytes b, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < b.size && i < UVARINT_BYTES_MAX; i++) {
        v |= (uint64_t)(b.data[i] & 0x7f) << (7 * i);
        if (b.data[i] < 0x80) {
            if (b.data[i] == 0 && i > 0)
                return -2; /* not the shortest form */
            *out = v;
            return (int)i + 1;
        }
    }
    return b.size < UVARINT_BYTES_MAX ? 0
                                      : -3; /* a ninth byte with its top bit set: above 63 bits */
}

uint64_t reader_uvarint(struct reader *r)
{
    uint64_t v = 0;
    int n = r->failed ? 0 : uvarint_peek(bytes_of(r->at, reader_left(r)), &v);
    if (n <= 0) {
        reader_fail(r, ERR_MALFORMED);
        return 0;
    }
    r->at += n;
    return v;
}

uint64_t reader_pbvarint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < PBVARINT_BYTES_MAX; i++) {
        uint8_t b = reader_u8(r);
        if (i == PBVARINT_BYTES_MAX - 1 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b < 0x80)
            return r->failed ? 0 : v;
    }
    reader_fail(r, ERR_MALFORMED);
    return 0;
}

void writer_pbvarint(struct writer *w, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        writer_u8(w, (uint8_t)(v | 0x80));
    writer_u8(w, (uint8_t)v);
}

void writer_uvarint(struct writer *w, uint64_t v)
{
    assert(v < UINT64_C(1) << 63);
    writer_pbvarint(w, v);
}

size_t uvarint_size(uint64_t v)
{
    size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}
