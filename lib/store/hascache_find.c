/* Look-ups, compiled three times: the processor decides at run time which one is used. */
#include "store/hascache_segment.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { BATCH = 16, NO_SLOT = -1 };

static inline __attribute__((always_inline)) int first_of(const struct hascache_line *line,
                                                          unsigned mask, uint8_t hi)
{
    for (; mask; mask &= mask - 1) {
        int slot = __builtin_ctz(mask);
        if (line->hi[slot] == hi)
            return slot;
    }
    return NO_SLOT;
}

static inline __attribute__((always_inline)) int find_plain(const struct hascache_line *line,
                                                            uint64_t lo, uint8_t hi)
{
    unsigned mask = 0;
    for (int i = 0; i < SLOTS_PER_LINE; i++)
        mask |= (unsigned)(line->lo[i] == lo) << i;
    return first_of(line, mask, hi);
}

/* A miss whose first line has sent nobody away is answered from that line alone. In a batch all
 * first lines are under way before the first is looked at, then all second lines. */
#define HASCACHE_LOOKUPS(name, attributes)                                                         \
    attributes static int slot_##name(const struct hascache_line *line, uint64_t lo, uint8_t hi)   \
    {                                                                                              \
        return find_##name(line, lo, hi);                                                          \
    }                                                                                              \
    attributes static bool has_##name(const struct hascache *h, const struct hascache_hash *k)     \
    {                                                                                              \
        const struct hascache_segment *s = segment_of(h, k);                                       \
        uint8_t hi = (uint8_t)k->hi;                                                               \
        const struct hascache_line *line = segment_line(h, s, first_line(s, k->lo, hi));           \
        if (find_##name(line, k->lo, hi) >= 0)                                                     \
            return true;                                                                           \
        return line->ovf &&                                                                        \
               find_##name(segment_line(h, s, second_line(s, k->lo)), k->lo, hi) >= 0;             \
    }                                                                                              \
    attributes static uint32_t sixteen_##name(const struct hascache *h,                            \
                                              const struct hascache_hash *k, uint32_t count)       \
    {                                                                                              \
        const struct hascache_line *first[BATCH], *second[BATCH];                                  \
        uint32_t have = 0, again = 0;                                                              \
        for (uint32_t i = 0; i < count; i++) {                                                     \
            const struct hascache_segment *s = segment_of(h, &k[i]);                               \
            first[i] = segment_line(h, s, first_line(s, k[i].lo, (uint8_t)k[i].hi));               \
            second[i] = segment_line(h, s, second_line(s, k[i].lo));                               \
            __builtin_prefetch(first[i]);                                                          \
        }                                                                                          \
        for (uint32_t i = 0; i < count; i++) {                                                     \
            if (find_##name(first[i], k[i].lo, (uint8_t)k[i].hi) >= 0) {                           \
                have |= 1u << i;                                                                   \
            } else if (first[i]->ovf) {                                                            \
                __builtin_prefetch(second[i]);                                                     \
                again |= 1u << i;                                                                  \
            }                                                                                      \
        }                                                                                          \
        for (; again; again &= again - 1) {                                                        \
            int i = __builtin_ctz(again);                                                          \
            if (find_##name(second[i], k[i].lo, (uint8_t)k[i].hi) >= 0)                            \
                have |= 1u << i;                                                                   \
        }                                                                                          \
        return have;                                                                               \
    }                                                                                              \
    static void has_many_##name(const struct hascache *h, const struct hascache_hash *k,           \
                                uint32_t count, uint8_t *have)                                     \
    {                                                                                              \
        for (uint32_t i = 0; i < count; i += BATCH) {                                              \
            uint32_t bits = sixteen_##name(h, k + i, MIN(count - i, BATCH));                       \
            have[i / 8] = (uint8_t)bits;                                                           \
            if (i + 8 < count)                                                                     \
                have[i / 8 + 1] = (uint8_t)(bits >> 8);                                            \
        }                                                                                          \
    }                                                                                              \
    static const struct hascache_kernel kernel_##name = { #name, slot_##name, has_##name,          \
                                                          has_many_##name };

HASCACHE_LOOKUPS(plain, )

#if defined(__x86_64__)
#define WITH_AVX2 __attribute__((target("avx2")))
#define WITH_AVX512 __attribute__((target("avx512f")))

WITH_AVX2 static inline __attribute__((always_inline)) int
find_avx2(const struct hascache_line *line, uint64_t lo, uint8_t hi)
{
    const __m256i *half = (const __m256i *)line;
    __m256i want = _mm256_set1_epi64x((long long)lo);
    __m256i a = _mm256_cmpeq_epi64(_mm256_load_si256(half), want);
    __m256i b = _mm256_cmpeq_epi64(_mm256_load_si256(half + 1), want);
    unsigned mask = (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(a)) |
                    (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(b)) << 4;
    return first_of(line, mask & 0x7f, hi);
}

WITH_AVX512 static inline __attribute__((always_inline)) int
find_avx512(const struct hascache_line *line, uint64_t lo, uint8_t hi)
{
    __m512i want = _mm512_set1_epi64((long long)lo);
    return first_of(line, _mm512_cmpeq_epi64_mask(_mm512_load_si512(line), want) & 0x7f, hi);
}

HASCACHE_LOOKUPS(avx2, WITH_AVX2)
HASCACHE_LOOKUPS(avx512, WITH_AVX512)
#endif

const struct hascache_kernel *hascache_kernel(unsigned i)
{
    assert(i < HASCACHE_KERNELS);
#if defined(__x86_64__)
    if (i == 0)
        return __builtin_cpu_supports("avx512f") ? &kernel_avx512 : NULL;
    if (i == 1)
        return __builtin_cpu_supports("avx2") ? &kernel_avx2 : NULL;
#endif
    return i == HASCACHE_KERNELS - 1 ? &kernel_plain : NULL;
}
