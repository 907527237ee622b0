#include "unit.h"

#include "base/hex.h"
#include "base/prng.h"
#include "base/siphash.h"

/* Key 00..0f, message 00, 01, 02, ... Lengths 0 and 1 are in the tests of the Rust crate siphasher;
 * the others agree with a second program written from the paper. */
static const struct {
    size_t size;
    const char *sum;
} cases[] = {
    { 0, "e77ebcb22788a5befd62db6add303001" },  { 1, "fc6f370460d3eda85e0573cc2b2ff063" },
    { 7, "1084b923f2aae0c3a62f2ec80848ab77" },  { 8, "aa12fee1d5e3dab4724f16ab35f9c799" },
    { 15, "c17e5505b2bd526c2921cdec1e7e0109" }, { 63, "4c5800e34efe426f079f6b0aa75260ad" },
    { 96, "b427cf98051bafe1efcd679ca30e0267" },
};

TEST(sums_agree_with_other_programs)
{
    uint8_t bytes[96], sum[16];
    char text[33];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    struct siphash_key key = siphash_key_of(bytes);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct siphash_sum s = siphash13_128(&key, bytes_of(bytes, cases[i].size));
        le64_encode(sum, s.first);
        le64_encode(sum + 8, s.second);
        check(!strcmp(hex_encode(text, bytes_of(sum, sizeof(sum))), cases[i].sum), cases[i].sum);
    }
}

TEST(the_generator_repeats_with_its_seed)
{
    struct prng a = prng_of(7), b = prng_of(7), c = prng_of(8);
    uint8_t x[21], y[21];
    prng_fill(&a, x, sizeof(x));
    prng_fill(&b, y, sizeof(y));
    check(!memcmp(x, y, sizeof(x)), "same seed, same bytes");
    check(prng_next(&a) != prng_next(&c), "another seed, other numbers");
    unsigned seen = 0;
    for (int i = 0; i < 1000; i++)
        seen |= 1u << prng_below(&a, 8);
    check(seen == 0xff, "every value below the bound comes up");
    check(prng_below(&a, 1) == 0, "one choice is no choice");
}
