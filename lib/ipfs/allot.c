#include "ipfs/allot.h"

void allot_init(struct allot *a, const uint64_t *places, uint32_t count)
{
    static_assert(LIMIT_EXPLORE_SERVERS <= UINT16_MAX, "indexes of servers are short");
    assert(count <= LIMIT_EXPLORE_SERVERS);
    *a = (struct allot){ .places = places, .count = count, .set_count = MIN(count, KAD_K) };
    for (uint32_t i = 1; i < count; i++) {
        uint64_t x = places[i] ^ places[i - 1];
        assert(places[i] >= places[i - 1]);
        a->depth = MAX(a->depth, (uint8_t)(x ? __builtin_clzll(x) + 1 : 64));
    }
}

void allot_key(struct allot *a, uint64_t kad)
{
    uint64_t nearest[KAD_K];
    uint32_t n = 0;
    if (a->valid && ((kad ^ a->run) & kad_prefix_mask(a->depth)) == 0)
        return;
    a->valid = true;
    a->run = kad;
    for (uint32_t i = 0; i < a->count; i++) {
        uint64_t x = a->places[i] ^ kad;
        uint32_t at = n;
        if (n < KAD_K)
            n++;
        else if (x < nearest[KAD_K - 1])
            at = KAD_K - 1;
        else
            continue;
        for (; at > 0 && x < nearest[at - 1]; at--) {
            nearest[at] = nearest[at - 1];
            a->set[at] = a->set[at - 1];
        }
        nearest[at] = x;
        a->set[at] = (uint16_t)i;
    }
}
