#include "codec/keccak.h"

static const uint64_t round_constants[24] = {
    UINT64_C(0x0000000000000001), UINT64_C(0x0000000000008082), UINT64_C(0x800000000000808a),
    UINT64_C(0x8000000080008000), UINT64_C(0x000000000000808b), UINT64_C(0x0000000080000001),
    UINT64_C(0x8000000080008081), UINT64_C(0x8000000000008009), UINT64_C(0x000000000000008a),
    UINT64_C(0x0000000000000088), UINT64_C(0x0000000080008009), UINT64_C(0x000000008000000a),
    UINT64_C(0x000000008000808b), UINT64_C(0x800000000000008b), UINT64_C(0x8000000000008089),
    UINT64_C(0x8000000000008003), UINT64_C(0x8000000000008002), UINT64_C(0x8000000000000080),
    UINT64_C(0x000000000000800a), UINT64_C(0x800000008000000a), UINT64_C(0x8000000080008081),
    UINT64_C(0x8000000000008080), UINT64_C(0x0000000080000001), UINT64_C(0x8000000080008008),
};

#define LANES 1
#define WORD uint64_t
#define NAME(x) x1_##x
#define TARGET
#define GATHER(p, stride) (le64_decode(p) + 0 * (stride))
#include "codec/keccak_lanes.h"

#if defined(__x86_64__)
typedef uint64_t word_x4 __attribute__((vector_size(32)));
typedef uint64_t word_x8 __attribute__((vector_size(64)));

#define AT(p, stride, lane) le64_decode((p) + (lane) * (stride))
#define GATHER_X4(p, stride)                                                                       \
    ((word_x4){ AT(p, stride, 0), AT(p, stride, 1), AT(p, stride, 2), AT(p, stride, 3) })
#define GATHER_X8(p, stride)                                                                       \
    ((word_x8){ AT(p, stride, 0), AT(p, stride, 1), AT(p, stride, 2), AT(p, stride, 3),            \
                AT(p, stride, 4), AT(p, stride, 5), AT(p, stride, 6), AT(p, stride, 7) })

#define LANES 4
#define WORD word_x4
#define NAME(x) x4_avx2_##x
#define TARGET __attribute__((target("avx2")))
#define GATHER GATHER_X4
#include "codec/keccak_lanes.h"

#define LANES 4
#define WORD word_x4
#define NAME(x) x4_avx512_##x
#define TARGET __attribute__((target("avx2,avx512f,avx512vl")))
#define GATHER GATHER_X4
#include "codec/keccak_lanes.h"

#define LANES 8
#define WORD word_x8
#define NAME(x) x8_avx512_##x
#define TARGET __attribute__((target("avx2,avx512f,avx512vl")))
#define GATHER GATHER_X8
#include "codec/keccak_lanes.h"
#endif

typedef void hash_fn(uint8_t *out, const uint8_t *in, size_t stride, size_t size);

/* A rest of at least rest_min inputs is worth a call with idle lanes (measured: four with AVX2 cost
 * as much as one and a half alone); a smaller one goes to the next engine. */
static const struct {
    const char *name;
    hash_fn *hash;
    size_t lanes, rest_min;
    enum keccak_engine next;
} engines[KECCAK_ENGINES] = {
    [KECCAK_X1] = { "x1", x1_hash, 1, 1, KECCAK_X1 },
#if defined(__x86_64__)
    [KECCAK_X4_AVX2] = { "x4 avx2", x4_avx2_hash, 4, 2, KECCAK_X1 },
    [KECCAK_X4_AVX512] = { "x4 avx512vl", x4_avx512_hash, 4, 2, KECCAK_X1 },
    [KECCAK_X8_AVX512] = { "x8 avx512", x8_avx512_hash, 8, 5, KECCAK_X4_AVX512 },
#endif
};

enum { LANES_MAX = 8, BATCH_INPUT_BYTES_MAX = 512 };

bool keccak_engine_usable(enum keccak_engine engine)
{
    switch (engine) {
    case KECCAK_X1:
        return true;
#if defined(__x86_64__)
    case KECCAK_X4_AVX2:
        return __builtin_cpu_supports("avx2");
    case KECCAK_X4_AVX512:
    case KECCAK_X8_AVX512:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512vl");
#else
    case KECCAK_X4_AVX2:
    case KECCAK_X4_AVX512:
    case KECCAK_X8_AVX512:
        return false;
#endif
    case KECCAK_ENGINES:
        break;
    }
    assert(!"no such engine");
    return false;
}

const char *keccak_engine_name(enum keccak_engine engine)
{
    assert(engine < KECCAK_ENGINES);
    return engines[engine].name ? engines[engine].name : "not built";
}

enum keccak_engine keccak_engine_best(void)
{
    if (keccak_engine_usable(KECCAK_X8_AVX512))
        return KECCAK_X8_AVX512;
    return keccak_engine_usable(KECCAK_X4_AVX2) ? KECCAK_X4_AVX2 : KECCAK_X1;
}

/* Fewer inputs than lanes: idle lanes hash zeros and their digests are dropped. */
static void hash_padded(enum keccak_engine engine, const struct keccak256_batch *b)
{
    uint8_t in[LANES_MAX * BATCH_INPUT_BYTES_MAX], out[LANES_MAX * KECCAK256_BYTES];
    size_t used = b->count * b->size, all = engines[engine].lanes * b->size;
    memcpy(in, b->in, used);
    memset(in + used, 0, all - used);
    engines[engine].hash(out, in, b->size, b->size);
    memcpy(b->out, out, b->count * KECCAK256_BYTES);
}

void keccak256_batch_with(enum keccak_engine engine, const struct keccak256_batch *b)
{
    assert(keccak_engine_usable(engine) && b->size <= BATCH_INPUT_BYTES_MAX);
    struct keccak256_batch left = *b;
    while (left.count > 0) {
        size_t lanes = engines[engine].lanes, taken = MIN(lanes, left.count);
        if (left.count >= lanes) {
            engines[engine].hash(left.out, left.in, left.size, left.size);
        } else if (left.count >= engines[engine].rest_min) {
            hash_padded(engine, &left);
        } else {
            engine = engines[engine].next;
            continue;
        }
        left.out += taken * KECCAK256_BYTES;
        left.in += taken * left.size;
        left.count -= taken;
    }
}

void keccak256_batch(const struct keccak256_batch *b)
{
    keccak256_batch_with(keccak_engine_best(), b);
}

void keccak256(uint8_t out[KECCAK256_BYTES], struct bytes data)
{
    x1_hash(out, data.data, 0, data.size);
}

void keccak256_init(struct keccak256 *k)
{
    *k = (struct keccak256){ .used_ = 0 };
}

void keccak256_add(struct keccak256 *k, struct bytes data)
{
    assert(k->used_ < KECCAK256_RATE_BYTES);
    for (size_t i = 0; i < data.size; i++) {
        k->state_[k->used_ / 8] ^= (uint64_t)data.data[i] << (8 * (k->used_ % 8));
        if (++k->used_ == KECCAK256_RATE_BYTES) {
            x1_permute(k->state_);
            k->used_ = 0;
        }
    }
}

void keccak256_finish(struct keccak256 *k, uint8_t out[KECCAK256_BYTES])
{
    assert(k->used_ < KECCAK256_RATE_BYTES);
    k->state_[k->used_ / 8] ^= UINT64_C(1) << (8 * (k->used_ % 8));
    k->state_[KECCAK256_RATE_BYTES / 8 - 1] ^= UINT64_C(0x80) << 56;
    x1_permute(k->state_);
    for (size_t i = 0; i < KECCAK256_BYTES / 8; i++)
        le64_encode(out + 8 * i, k->state_[i]);
}
