/* lib/codec/keccak.h
 *
 * Keccak-256 with the original padding 0x01 (Ethereum, Swarm), not NIST SHA3-256. One permutation
 * written once with vector extensions and built for 1, 4 and 8 inputs side by side; the CPU decides
 * at run time which is used.
 * Ownership: buffers are the caller's. Thread: any. Errors: none.
 */
#ifndef LARDER_CODEC_KECCAK_H
#define LARDER_CODEC_KECCAK_H

#include "base/bytes.h"

enum { KECCAK256_BYTES = 32, KECCAK256_RATE_BYTES = 136, KECCAK_STATE_WORDS = 25 };

void keccak256(uint8_t out[KECCAK256_BYTES], struct bytes data);

/* The same over parts that do not lie side by side. */
struct keccak256 {
    uint64_t state_[KECCAK_STATE_WORDS];
    uint32_t used_; /* bytes absorbed into the current block */
};
void keccak256_init(struct keccak256 *k);
void keccak256_add(struct keccak256 *k, struct bytes data);
void keccak256_finish(struct keccak256 *k, uint8_t out[KECCAK256_BYTES]);

/* Many inputs of one size, one behind the other; the digests are written one behind the other.
 * out may be in itself when size >= 32, since a digest never lies behind its input. */
struct keccak256_batch {
    uint8_t *out;      /* count * 32 bytes */
    const uint8_t *in; /* count * size bytes */
    size_t size, count;
};
void keccak256_batch(const struct keccak256_batch *b);

/* How a batch is computed. Tests and benchmarks name an engine; everybody else lets the CPU choose.
 */
enum keccak_engine {
    KECCAK_X1,        /* any machine */
    KECCAK_X4_AVX2,   /* 4 inputs */
    KECCAK_X4_AVX512, /* 4 inputs, with AVX-512VL's rotate and three-operand logic */
    KECCAK_X8_AVX512, /* 8 inputs */
    KECCAK_ENGINES
};
bool keccak_engine_usable(enum keccak_engine engine); /* does this CPU have it? */
const char *keccak_engine_name(enum keccak_engine engine);
enum keccak_engine keccak_engine_best(void);
/* engine must be usable; a rest smaller than its width takes the narrower ones below it. */
void keccak256_batch_with(enum keccak_engine engine, const struct keccak256_batch *b);

#endif
