#include "unit.h"

#include "base/bytes.h"
#include "base/hex.h"
#include "base/varint.h"

static const struct {
    const char *why, *hex;
    int uvarint; /* what uvarint_peek returns */
    bool pb;     /* is it a protobuf varint? */
    uint64_t value;
} cases[] = {
    { "zero", "00", 1, true, 0 },
    { "one byte", "7f", 1, true, 127 },
    { "two bytes", "8001", 2, true, 128 },
    { "not the shortest form", "8000", -2, true, 0 },
    { "not the shortest form, longer", "8100", -2, true, 1 },
    { "nothing at all", "", 0, false, 0 },
    { "cut short", "80", 0, false, 0 },
    { "the largest uvarint", "ffffffffffffffff7f", 9, true, INT64_MAX },
    { "64 bits are too many for multiformats", "80808080808080808001", -3, true,
      UINT64_C(1) << 63 },
    { "65 bits are too many for both", "ffffffffffffffffff02", -3, false, 0 },
};

TEST(varint_readers_differ)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t buf[16];
        size_t size = 0;
        uint64_t v = 0;
        check(!hex_decode(cases[i].hex, strlen(cases[i].hex), buf, sizeof(buf), &size, NULL),
              "hex");
        check(uvarint_peek(bytes_of(buf, size), &v) == cases[i].uvarint, cases[i].why);
        struct reader r = reader_of(bytes_of(buf, size));
        check(cases[i].uvarint <= 0 || v == cases[i].value, cases[i].why);
        v = reader_pbvarint(&r);
        check((r.failed == ERR_OK) == cases[i].pb, cases[i].why);
        check(!cases[i].pb || v == cases[i].value, cases[i].why);
    }
}

TEST(a_reader_remembers_its_first_failure)
{
    struct reader r = reader_of(bytes_of("\x01\x02\x03", 3));
    check(reader_be16(&r) == 0x0102, "two bytes are there");
    check(reader_be32(&r) == 0 && r.failed == ERR_MALFORMED, "four are not");
    check(reader_u8(&r) == 0, "after a failure nothing is read");
    struct error err;
    check(reader_finish(&r, "thing", &err) == ERR_MALFORMED, err.text);
    r = reader_of(bytes_of("\x01\x02", 2));
    check(reader_u8(&r) == 1 && reader_finish(&r, "thing", &err) == ERR_MALFORMED,
          "a byte is left over");
}

TEST(a_writer_stops_at_its_end)
{
    uint8_t buf[6];
    struct writer w = writer_of(buf, sizeof(buf));
    writer_be32(&w, 0x01020304);
    writer_uvarint(&w, 300);
    check(!w.overflow && writer_used(&w) == 6 && buf[4] == 0xac && buf[5] == 0x02, "it fits");
    writer_u8(&w, 1);
    check(w.overflow && writer_used(&w) == 6, "a seventh byte does not");
}

TEST(an_error_is_a_code_and_a_sentence)
{
    struct error err = { ERR_OK, "" };
    check(error_set(&err, ERR_CORRUPT, "checksum mismatch in %s", "000412.ldb") == ERR_CORRUPT,
          "the code comes back");
    error_wrap(&err, ERR_CORRUPT, "cursor of bin %d", 9);
    check(!strcmp(err.text, "cursor of bin 9: checksum mismatch in 000412.ldb"), err.text);
    check(error_errno(&err, ERR_IO, 28, "writing") == ERR_DISK_FULL,
          "ENOSPC has a code of its own");
    check(!strcmp(err_label(ERR_DISK_FULL), "disk_full"), "labels are lower case");
}
