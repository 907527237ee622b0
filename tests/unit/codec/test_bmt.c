#include "unit.h"

#include "codec/bmt.h"
#include "swarm_pattern.h"
#include "vectors.h"

/* Straight from the definition: halves of a padded payload, down to pairs of leaves. */
static void plain_root(uint8_t out[32], const uint8_t *padded, size_t size)
{
    uint8_t pair[64];
    if (size == 64) {
        memcpy(pair, padded, 64);
    } else {
        plain_root(pair, padded, size / 2);
        plain_root(pair + 32, padded + size / 2, size / 2);
    }
    keccak256(out, bytes_of(pair, 64));
}

static void plain_address(uint8_t out[32], uint64_t span, struct bytes payload)
{
    uint8_t padded[BMT_PAYLOAD_BYTES_MAX] = { 0 }, top[40];
    if (payload.size > 0)
        memcpy(padded, payload.data, payload.size);
    le64_encode(top, span);
    plain_root(top + 8, padded, sizeof(padded));
    keccak256(out, bytes_of(top, sizeof(top)));
}

TEST(every_length_equals_the_plain_definition)
{
    static uint8_t data[BMT_PAYLOAD_BYTES_MAX + 1];
    swarm_pattern(data, BMT_PAYLOAD_BYTES_MAX);
    for (size_t size = 0; size <= BMT_PAYLOAD_BYTES_MAX; size++) {
        uint8_t want[32], got[32];
        /* Every length at one odd offset: payloads lie at any address. */
        struct bytes payload = bytes_of(data + size % 2, size);
        plain_address(want, size, payload);
        bmt_address(got, size, payload);
        check(!memcmp(want, got, 32), "a payload of this size");
    }
}

TEST(every_engine_equals_the_plain_definition)
{
    static uint8_t data[BMT_PAYLOAD_BYTES_MAX];
    static const size_t sizes[] = {
        0, 1, 32, 33, 64, 65, 96, 97, 160, 1000, 2048, 2049, 4095, 4096
    };
    swarm_pattern(data, sizeof(data));
    for (enum keccak_engine e = KECCAK_X1; e < KECCAK_ENGINES; e++) {
        for (size_t i = 0; keccak_engine_usable(e) && i < ARRAY_SIZE(sizes); i++) {
            uint8_t want[32], got[32];
            plain_address(want, UINT64_C(1) << 40, bytes_of(data, sizes[i]));
            bmt_address_with(e, got, UINT64_C(1) << 40, bytes_of(data, sizes[i]));
            check(!memcmp(want, got, 32), keccak_engine_name(e));
        }
    }
}

/* Payloads up to 65 bytes are spelled out; the longer ones have their rule in their name. */
static struct bytes vector_payload(yajl_val v, uint8_t *out)
{
    size_t size = (size_t)vector_int(v, "payload_len");
    if (vector_find(v, "payload"))
        check(vector_hex(v, "payload", out, BMT_PAYLOAD_BYTES_MAX) == size, "length of the hex");
    else if (!strncmp(vector_text(v, "name"), "zeros", 5))
        memset(out, 0, size);
    else
        swarm_pattern(out, size);
    return bytes_of(out, size);
}

TEST(addresses_are_those_of_bee)
{
    yajl_val list = vector_get(vectors_load("swarm-vectors.json"), "bmt");
    check(vector_count(list) == 18, "all vectors are there");
    for (size_t i = 0; i < vector_count(list); i++) {
        yajl_val v = vector_at(list, i);
        uint8_t payload[BMT_PAYLOAD_BYTES_MAX], span[8], want[32], got[32];
        check(vector_hex(v, "span", span, sizeof(span)) == 8, "span");
        check(vector_hex(v, "address", want, sizeof(want)) == 32, "address");
        bmt_address(got, le64_decode(span), vector_payload(v, payload));
        check(!memcmp(want, got, 32), vector_text(v, "name"));
    }
}
