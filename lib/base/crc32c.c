#include "base/crc32c.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
#endif

enum { POLYNOMIAL = 0x82f63b78 }; /* reflected */

uint32_t crc32c_plain(uint32_t crc, struct bytes data)
{
    crc = ~crc;
    for (size_t i = 0; i < data.size; i++) {
        crc ^= data.data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? (uint32_t)POLYNOMIAL : 0);
    }
    return ~crc;
}

#if defined(__x86_64__)
/* The processor's instruction takes three cycles and one can begin in each: so three lanes side by
 * side, and the sums of the first two are moved over what lies behind them. That is a product with
 * x^(8n - 33) mod P for n bytes, here of one and of two lanes; the 33 are what the product and the
 * reduction by the instruction add. */
enum { LANE_BYTES = 256 };
#define OVER_1_LANE INT64_C(0xb9e02b86)
#define OVER_2_LANES INT64_C(0xdd7e3b0c)

__attribute__((target("sse4.2,pclmul"))) static uint64_t over(uint64_t crc, int64_t factor)
{
    __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi64_si128(factor), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc32c_sse(uint32_t crc, struct bytes data)
{
    uint64_t wide = ~crc;
    const uint8_t *at = data.data, *end = data.data + data.size;
    for (; end - at >= 3 * LANE_BYTES; at += 3 * LANE_BYTES) {
        uint64_t second = 0, third = 0;
        for (size_t i = 0; i < LANE_BYTES; i += 8) {
            wide = _mm_crc32_u64(wide, le64_decode(at + i));
            second = _mm_crc32_u64(second, le64_decode(at + LANE_BYTES + i));
            third = _mm_crc32_u64(third, le64_decode(at + (size_t)2 * LANE_BYTES + i));
        }
        wide = over(wide, OVER_2_LANES) ^ over(second, OVER_1_LANE) ^ third;
    }
    for (; end - at >= 8; at += 8)
        wide = _mm_crc32_u64(wide, le64_decode(at));
    crc = (uint32_t)wide;
    for (; at < end; at++)
        crc = _mm_crc32_u8(crc, *at);
    return ~crc;
}
#endif

uint32_t crc32c(uint32_t crc, struct bytes data)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
        return crc32c_sse(crc, data);
#endif
    return crc32c_plain(crc, data);
}
