/* tests/bench/bench_hascache.h: the key of entry i, the same for every set that is compared. */
#ifndef LARDER_BENCH_HASCACHE_H
#define LARDER_BENCH_HASCACHE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BENCH_KEY_BYTES = 96, BENCH_WHOLE_KEYS = 1 << 18 };

struct bench_set { /* of one program */
    double bytes_per_entry, insert_ns, hit_ns, miss_ns;
};

void bench_key(uint64_t i, uint8_t out[BENCH_KEY_BYTES]);
/* BENCH_WHOLE_KEYS keys of random entries from .. from + entries - 1, made before time is taken. */
void bench_key_list(uint64_t entries, uint64_t from, uint8_t *out);
/* std::unordered_set of whole keys; look-ups are of random members and of strangers. */
void bench_unordered_set(uint64_t entries, uint64_t lookups, struct bench_set *out);

#ifdef __cplusplus
}
#endif

#endif
