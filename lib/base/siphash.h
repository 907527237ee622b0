/* lib/base/siphash.h
 *
 * SipHash-1-3 with 128 bits of output: a keyed pseudo-random function for short input that others
 * choose. https://www.aumasson.jp/siphash/siphash.pdf; the 128-bit form is that of the authors'
 * reference code (github.com/veorq/SipHash).
 * Thread: any.
 */
#ifndef LARDER_BASE_SIPHASH_H
#define LARDER_BASE_SIPHASH_H

#include "base/bytes.h"

struct siphash_key {
    uint64_t k0, k1; /* the 16 bytes of the key, little-endian halves */
};
struct siphash_sum {
    uint64_t first, second; /* bytes 0..7 and 8..15 of the output, little-endian */
};

struct siphash_key siphash_key_of(const uint8_t bytes[16]);
struct siphash_sum siphash13_128(const struct siphash_key *key, struct bytes message);

#endif
