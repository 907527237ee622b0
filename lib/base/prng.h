/* lib/base/prng.h
 *
 * A small seeded generator (splitmix64) for choices that need no secrecy: random walks, jitter,
 * tests. Same seed, same numbers. Keys and nonces come from the system, never from here.
 * Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
 * Thread: whoever holds the struct.
 */
#ifndef LARDER_BASE_PRNG_H
#define LARDER_BASE_PRNG_H

#include "base/base.h"

struct prng {
    uint64_t state;
};

static inline struct prng prng_of(uint64_t seed)
{
    return (struct prng){ seed };
}
static inline uint64_t prng_next(struct prng *p)
{
    uint64_t z = p->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}
/* 0 .. n-1; the bias is at most n / 2^32. */
static inline uint32_t prng_below(struct prng *p, uint32_t n)
{
    assert(n > 0);
    return (uint32_t)((prng_next(p) >> 32) * n >> 32);
}
void prng_fill(struct prng *p, void *out, size_t size);

#endif
