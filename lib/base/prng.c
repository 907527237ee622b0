#include "base/prng.h"

#include <string.h>

void prng_fill(struct prng *p, void *out, size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        uint64_t word = prng_next(p);
        size_t n = MIN(size, sizeof(word));
        memcpy(at, &word, n);
        at += n;
        size -= n;
    }
}
