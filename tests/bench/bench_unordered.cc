/* tests/bench/bench_unordered.cc: the set of the C++ library, for comparison. */
#include "bench_hascache.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace
{
using Key = std::array<uint8_t, BENCH_KEY_BYTES>;

struct Hash {
    size_t operator()(const Key &k) const
    {
        return std::hash<std::string_view>()(
            std::string_view(reinterpret_cast<const char *>(k.data()), k.size()));
    }
};

double cpu_ns()
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

double resident_bytes()
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return 4096.0 * (double)resident;
}

double look_ns(const std::unordered_set<Key, Hash> &set, uint64_t from, uint64_t lookups,
               uint64_t *found)
{
    std::vector<Key> keys(BENCH_WHOLE_KEYS);
    bench_key_list(set.size(), from, keys[0].data());
    double start = cpu_ns();
    for (uint64_t i = 0; i < lookups; i++)
        *found += set.count(keys[i % BENCH_WHOLE_KEYS]);
    return (cpu_ns() - start) / (double)lookups;
}
} // namespace

void bench_unordered_set(uint64_t entries, uint64_t lookups, struct bench_set *out)
{
    std::unordered_set<Key, Hash> set;
    Key k;
    uint64_t found = 0;
    double before = resident_bytes(), start = cpu_ns();
    for (uint64_t i = 0; i < entries; i++) {
        bench_key(i, k.data());
        set.insert(k);
    }
    out->insert_ns = (cpu_ns() - start) / (double)entries;
    out->bytes_per_entry = (resident_bytes() - before) / (double)entries;
    out->hit_ns = look_ns(set, 0, lookups, &found);
    out->miss_ns = look_ns(set, entries, lookups, &found);
    if (found != lookups)
        out->hit_ns = out->miss_ns = -1;
}
