#include "unit.h"

#include "base/hex.h"
#include "codec/keccak.h"
#include "swarm_pattern.h"
#include "vectors.h"

enum { INPUT_MAX = 300, COUNT_MAX = 16, RANDOM_INPUTS = 100000 };

static bool digest_is(const uint8_t digest[KECCAK256_BYTES], const char *hex)
{
    char text[2 * KECCAK256_BYTES + 1];
    return !strcmp(hex_encode(text, bytes_of(digest, KECCAK256_BYTES)), hex);
}

TEST(published_digests)
{
    yajl_val v = vector_get(vectors_load("swarm-vectors.json"), "keccak256");
    uint8_t digest[KECCAK256_BYTES];
    keccak256(digest, bytes_of("", 0));
    check(digest_is(digest, vector_text(v, "empty")), "the empty input");
    keccak256(digest, bytes_of("swarm", 5));
    check(digest_is(digest, vector_text(v, "ascii swarm")), "the padding is 0x01");
}

/* Of pattern(size), computed with pycryptodome. */
static const struct {
    size_t size;
    const char *digest;
} lengths[] = {
    { 1, "69c322e3248a5dfc29d73c5b0553b0185a35cd5bb6386747517ef7e53b15e287" },
    { 31, "8522dc30be01c01348c0591309ac2948c9ae4ce02facbb745f85a5297286d3dd" },
    { 135, "00ef96af9cf4b24c7f269d922294444a197d0a33638c2e56634c57e892103a8f" },
    { 136, "742061bcad767ed4c4f5883b1dcb1aad11afdcc140dc469d953759b127b9f9ed" },
    { 137, "e3371f61e770abf254c34239c3b0099ad90594507415bc81dd0a10b9692bbf2a" },
    { 271, "e5d8ed81aec9c96c42d3a0469124061ff338375d4bd593fc641e69286e47c36c" },
    { 272, "15be125fbfd2cf188386607b597241a62280f8368392516f1b2ff67f8be8dd7a" },
    { 273, "c5cc86c635bc232fd03f326b44103fa43493c6f7a81c4e359c174e25dd549069" },
    { 300, "8ecbc1b7b5e8724b1b724d3bf40cebb9c093d73a4a4ed7dcfa7317eb0d92839f" },
    { 4096, "433880f025249e2242f7478fd26100bd8bbca7eeb24ad9620f3d82232b2de6e4" },
};

TEST(lengths_around_a_block)
{
    static uint8_t data[4096];
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        struct bytes in = swarm_pattern(data, lengths[i].size);
        uint8_t digest[KECCAK256_BYTES];
        keccak256(digest, in);
        check(digest_is(digest, lengths[i].digest), lengths[i].digest);
        for (size_t cut = 0; cut <= in.size; cut += 1 + in.size / 20) {
            struct keccak256 k;
            keccak256_init(&k);
            keccak256_add(&k, bytes_of(in.data, cut));
            keccak256_add(&k, bytes_of(in.data + cut, in.size - cut));
            keccak256_finish(&k, digest);
            check(digest_is(digest, lengths[i].digest), "in two parts");
        }
    }
}

static uint64_t random_state = 20240611;
static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

TEST(all_engines_agree)
{
    static uint8_t in[COUNT_MAX * INPUT_MAX], want[COUNT_MAX * KECCAK256_BYTES];
    uint64_t hashed = 0;
    for (size_t round = 0; hashed < RANDOM_INPUTS; round++) {
        size_t size = round % (INPUT_MAX + 1), count = round / 3 % COUNT_MAX + 1;
        for (size_t i = 0; i < size * count; i++)
            in[i] = (uint8_t)(random_next() >> 24);
        for (size_t i = 0; i < count; i++)
            keccak256(want + i * KECCAK256_BYTES, bytes_of(in + i * size, size));
        for (enum keccak_engine e = KECCAK_X1; e < KECCAK_ENGINES; e++) {
            if (!keccak_engine_usable(e))
                continue;
            uint8_t out[COUNT_MAX * KECCAK256_BYTES + 1] = { 0 };
            struct keccak256_batch b = { out, in, size, count };
            keccak256_batch_with(e, &b);
            check(!memcmp(out, want, count * KECCAK256_BYTES), keccak_engine_name(e));
            check(out[count * KECCAK256_BYTES] == 0, "nothing is written behind the digests");
        }
        hashed += count;
    }
}

TEST(a_batch_may_be_hashed_in_place)
{
    for (enum keccak_engine e = KECCAK_X1; e < KECCAK_ENGINES; e++) {
        for (size_t count = 1; keccak_engine_usable(e) && count <= COUNT_MAX; count++) {
            uint8_t data[COUNT_MAX * 64], want[COUNT_MAX * KECCAK256_BYTES];
            swarm_pattern(data, sizeof(data));
            struct keccak256_batch apart = { want, data, 64, count };
            keccak256_batch_with(KECCAK_X1, &apart);
            struct keccak256_batch inside = { data, data, 64, count };
            keccak256_batch_with(e, &inside);
            check(!memcmp(data, want, count * KECCAK256_BYTES), keccak_engine_name(e));
        }
    }
}

TEST(the_best_engine_is_usable)
{
    check(keccak_engine_usable(KECCAK_X1), "any machine can hash");
    check(keccak_engine_usable(keccak_engine_best()), "what is chosen runs here");
}
