#include "unit.h"

#include "base/hex.h"
#include "codec/wire.h"

static const struct {
    const char *why, *hex;
    int fields; /* how many are read before the end or the failure */
    enum err want;
} cases[] = {
    { "an empty message", "", 0, ERR_OK },
    { "a varint", "089601", 1, ERR_OK },
    { "all four types", "0801 0a0161 0d01000000 090100000000000000", 4, ERR_OK },
    { "a long varint is allowed here", "08ffffffffffffffffff01", 1, ERR_OK },
    { "a varint above 64 bits", "08ffffffffffffffffff02", 0, ERR_MALFORMED },
    { "field number 0", "0001", 0, ERR_MALFORMED },
    { "the largest field number", "f8ffffff0f00", 1, ERR_OK },
    { "a field number of 30 bits", "808080801000", 0, ERR_MALFORMED },
    { "a group", "0b", 0, ERR_MALFORMED },
    { "the end of a group", "0c", 0, ERR_MALFORMED },
    { "wire type 7", "0f", 0, ERR_MALFORMED },
    { "a tag alone", "0801 08", 1, ERR_MALFORMED },
    { "bytes longer than the rest", "0a0261", 0, ERR_MALFORMED },
    { "a length of 64 bits", "0affffffffffffffffff01", 0, ERR_MALFORMED },
    { "half a fixed field", "0d0102", 0, ERR_MALFORMED },
};

static struct bytes unhex(const char *hex, uint8_t *buf, size_t size)
{
    char tight[256];
    size_t n = 0, used = 0;
    for (; *hex; hex++)
        if (*hex != ' ')
            tight[n++] = *hex;
    check(!hex_decode(tight, n, buf, size, &used, NULL), "hex");
    return bytes_of(buf, used);
}

TEST(a_message_is_pulled_field_by_field)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t buf[64];
        struct reader r = reader_of(unhex(cases[i].hex, buf, sizeof(buf)));
        struct wire_field f;
        int n = 0;
        while (wire_next(&r, &f))
            n++;
        check(n == cases[i].fields, cases[i].why);
        check(reader_finish(&r, "message", NULL) == cases[i].want, cases[i].why);
    }
}

/* Each prefix of a header asks for more; the whole header is read whatever follows. */
TEST(a_header_is_peeked_in_a_window)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t buf[64];
        struct bytes b = unhex(cases[i].hex, buf, sizeof(buf));
        struct reader r = reader_of(b);
        struct wire_field want, got;
        if (b.size == 0 || !wire_next(&r, &want))
            continue;
        size_t header = (size_t)(r.at - b.data) - want.bytes.size;
        for (size_t n = 0; n < header; n++)
            check(wire_peek(bytes_of(buf, n), &got) == 0, "a prefix");
        for (size_t n = header; n <= b.size; n++)
            check(wire_peek(bytes_of(buf, n), &got) == (int)header && got.number == want.number &&
                      got.type == want.type && got.value == want.value,
                  cases[i].why);
    }
    static const char *bad[] = { "00", "0b", "0f", "8080808010", "08ffffffffffffffffff02" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint8_t buf[64];
        struct wire_field f;
        check(wire_peek(unhex(bad[i], buf, sizeof(buf)), &f) < 0, bad[i]);
    }
}

TEST(what_is_written_is_read)
{
    uint8_t buf[64];
    struct writer w = writer_of(buf, sizeof(buf));
    wire_put_varint(&w, 1, 0);
    wire_put_bytes(&w, 4000, bytes_of("abc", 3));
    wire_put_varint(&w, 2, UINT64_MAX);
    check(!w.overflow && wire_bytes_size(4000, 3) == 7, "sizes");
    struct reader r = reader_of(bytes_of(buf, writer_used(&w)));
    struct wire_field f;
    check(wire_next(&r, &f) && wire_is(&r, &f, 1, WIRE_VARINT) && f.value == 0, "zero is written");
    check(wire_next(&r, &f) && f.number == 4000 && bytes_equal(f.bytes, bytes_of("abc", 3)), "abc");
    check(wire_next(&r, &f) && f.value == UINT64_MAX && !wire_is(&r, &f, 3, WIRE_BYTES), "max");
    check(!r.failed && !wire_is(&r, &f, 2, WIRE_BYTES) && r.failed, "a number in another type");
}
