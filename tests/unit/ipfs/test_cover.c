/* What a look-up proves about the key space, and what is left to look into. */
#include "unit.h"

#include <stdlib.h>

#include "base/prng.h"
#include "ipfs/cover.h"
#include "lab.h"

static uint64_t target_;
static int by_distance(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a ^ target_, y = *(const uint64_t *)b ^ target_;
    return (x > y) - (x < y);
}

TEST(steps_of_an_exploration_are_those_of_the_reference)
{
    yajl_val steps =
        vector_get(vector_get(vectors_load("kad-vectors.json"), "exploration"), "steps");
    for (size_t i = 0; i < vector_count(steps); i++) {
        yajl_val v = vector_at(steps, i), gaps = vector_get(v, "gaps_left");
        struct cover c = { .count = 0 };
        uint64_t nearest[KAD_K], own;
        uint8_t target[KAD_BYTES];
        struct kad_peer peer;
        struct kad_prefix gap, covered = lab_prefix(vector_text(v, "covered_prefix"));
        lab_peer(0, &peer);
        own = kad_first(peer.kad);
        vector_hex(v, "target", target, sizeof(target));
        for (uint32_t j = 0; j < KAD_K; j++) {
            yajl_val list = vector_get(v, "closest20_lab_peers");
            lab_peer((uint32_t)YAJL_GET_INTEGER(vector_at(list, j)), &peer);
            nearest[j] = kad_first(peer.kad);
        }
        cover_reason(&c, kad_first(target), nearest, KAD_K);
        check(c.count == 1 && c.parts[0].bits == covered.bits && c.parts[0].len == covered.len,
              "what is covered");
        for (size_t g = 0; g < vector_count(gaps); g++) {
            const char *text = YAJL_GET_STRING(vector_at(gaps, g));
            check(cover_gap(&c, lab_prefix(vector_text(v, "requested_prefix")), own, &gap),
                  "a gap is left");
            check(gap.bits == lab_prefix(text).bits && gap.len == strlen(text), text);
            cover_add(&c, gap);
        }
        check(!cover_gap(&c, lab_prefix(vector_text(v, "requested_prefix")), own, &gap), "no more");
    }
}

/* In networks of any size: no server is under a covered prefix that was not among the answers. */
TEST(what_is_covered_is_known_whole)
{
    struct prng p = prng_of(5);
    for (int round = 0; round < 300; round++) {
        static uint64_t servers[400];
        uint32_t count = 1 + prng_below(&p, 400), looked = 0;
        struct cover c = { .count = 0 };
        struct kad_prefix gap, all = { 0, 0 };
        bool known[400] = { false };
        for (uint32_t i = 0; i < count; i++)
            prng_fill(&p, &servers[i], sizeof(servers[i]));
        while (cover_gap(&c, all, servers[0], &gap)) {
            target_ = gap.bits | (servers[0] & ~kad_prefix_mask(gap.len));
            qsort(servers, count, sizeof(servers[0]), by_distance);
            uint64_t nearest[KAD_K];
            uint32_t n = MIN(count, (uint32_t)KAD_K);
            memcpy(nearest, servers, n * sizeof(nearest[0]));
            /* Known servers are told apart by a mark in their last bit. */
            for (uint32_t i = 0; i < n; i++)
                servers[i] |= 1;
            cover_reason(&c, target_, nearest, n);
            check(++looked < 400, "it ends");
        }
        for (uint32_t i = 0; i < count; i++)
            known[i] = servers[i] & 1;
        uint32_t missed = 0;
        for (uint32_t i = 0; i < count; i++)
            missed += !known[i] && !(servers[i] & 1);
        check(missed == 0, "nobody is missed");
    }
}

TEST(siblings_merge_and_parts_go_into_wholes)
{
    struct cover c = { .count = 0 };
    struct kad_prefix gap;
    static const char *const parts[] = { "000", "0010", "01", "0011", "11", "10" };
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        check(cover_gap(&c, lab_prefix(""), 0, &gap), "something is left");
        cover_add(&c, lab_prefix(parts[i]));
    }
    check(c.count == 1 && c.parts[0].len == 0, "all is one");
    check(!cover_gap(&c, lab_prefix("0101"), 0, &gap), "and nothing is left");
}
