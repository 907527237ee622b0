/* tests/unit/codec/swarm_pattern.h: pattern(n) of the Swarm vectors. */
#ifndef LARDER_TESTS_CODEC_SWARM_PATTERN_H
#define LARDER_TESTS_CODEC_SWARM_PATTERN_H

#include "base/bytes.h"

static inline uint8_t swarm_pattern_at(uint64_t i)
{
    return (uint8_t)(7 * i + i / 256 + 3);
}
static inline struct bytes swarm_pattern(uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = swarm_pattern_at(i);
    return bytes_of(out, size);
}

#endif
