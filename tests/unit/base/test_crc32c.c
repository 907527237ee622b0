#include "unit.h"

#include "base/crc32c.h"
#include "base/prng.h"

/* RFC 3720 B.4, and the check value of the CRC catalogue. */
TEST(known_values)
{
    uint8_t bytes[32];
    memset(bytes, 0, sizeof(bytes));
    check(crc32c(0, bytes_of(bytes, 32)) == 0x8a9136aa, "32 zeros");
    memset(bytes, 0xff, sizeof(bytes));
    check(crc32c(0, bytes_of(bytes, 32)) == 0x62a8ab43, "32 ones");
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    check(crc32c(0, bytes_of(bytes, 32)) == 0x46dd794e, "counting up");
    check(crc32c(0, bytes_of("123456789", 9)) == 0xe3069283, "the check value");
}

TEST(both_ways_agree_in_one_piece_or_two)
{
    static uint8_t bytes[1700]; /* lanes are 256 bytes, three at a time */
    struct prng p = prng_of(5);
    prng_fill(&p, bytes, sizeof(bytes));
    for (size_t size = 0; size < sizeof(bytes); size += size < 300 ? 1 : 7) {
        uint32_t whole = crc32c(0, bytes_of(bytes, size));
        size_t cut = prng_below(&p, (uint32_t)size + 1);
        check(whole == crc32c_plain(0, bytes_of(bytes, size)), "with and without the processor");
        check(whole == crc32c(crc32c(0, bytes_of(bytes, cut)), bytes_of(bytes + cut, size - cut)),
              "in two pieces");
    }
}
