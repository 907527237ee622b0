#include "base/siphash.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(struct state *s)
{
    s->v0 += s->v1;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v2 = rotl(s->v2, 32);
}

static inline void compress(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

static inline uint64_t finish(struct state *s)
{
    for (int i = 0; i < 3; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

struct siphash_key siphash_key_of(const uint8_t bytes[16])
{
    return (struct siphash_key){ le64_decode(bytes), le64_decode(bytes + 8) };
}

struct siphash_sum siphash13_128(const struct siphash_key *key, struct bytes message)
{
    struct state s = { key->k0 ^ 0x736f6d6570736575, key->k1 ^ 0x646f72616e646f6d ^ 0xee,
                       key->k0 ^ 0x6c7967656e657261, key->k1 ^ 0x7465646279746573 };
    size_t whole = message.size & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8)
        compress(&s, le64_decode(message.data + i));
    uint64_t last = (uint64_t)message.size << 56;
    for (size_t i = whole; i < message.size; i++)
        last |= (uint64_t)message.data[i] << 8 * (i - whole);
    compress(&s, last);
    s.v2 ^= 0xee;
    struct siphash_sum sum;
    sum.first = finish(&s);
    s.v1 ^= 0xdd;
    sum.second = finish(&s);
    return sum;
}
