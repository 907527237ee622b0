#include "base/crc32c.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
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
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse(uint32_t crc, struct bytes data)
{
    uint64_t wide = ~crc;
    const uint8_t *at = data.data, *end = data.data + data.size;
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
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse(crc, data);
#endif
    return crc32c_plain(crc, data);
}
