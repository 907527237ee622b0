#include "unit.h"

#include "codec/chunk.h"
#include "swarm_pattern.h"
#include "vectors.h"

static struct bytes soc_vector(uint8_t *data, uint8_t *address)
{
    yajl_val v = vector_get(vectors_load("swarm-vectors.json"), "soc");
    check(vector_hex(v, "address", address, CHUNK_ADDRESS_BYTES) == CHUNK_ADDRESS_BYTES, "size");
    return bytes_of(data, vector_hex(v, "data", data, LIMIT_CHUNK_BYTES));
}

TEST(a_single_owner_chunk_of_bee)
{
    yajl_val v = vector_get(vectors_load("swarm-vectors.json"), "soc");
    uint8_t data[LIMIT_CHUNK_BYTES], address[CHUNK_ADDRESS_BYTES], want[SIG_BYTES];
    struct bytes raw = soc_vector(data, address);
    struct chunk_soc soc;
    struct chunk_soc_proof proof;
    struct error err = { ERR_OK, "" };
    check(!chunk_soc_parse(&soc, raw, &err), err.text);
    check(vector_hex(v, "id", want, sizeof(want)) == 32 && !memcmp(soc.id, want, 32), "id");
    check(vector_hex(v, "signature", want, sizeof(want)) == SIG_BYTES &&
              !memcmp(soc.signature, want, SIG_BYTES),
          "signature");
    check(!chunk_soc_prove(&proof, &soc, &err), err.text);
    check(vector_hex(v, "owner", want, sizeof(want)) == 20 && !memcmp(proof.owner, want, 20),
          "owner");
    check(vector_hex(v, "wrapped_address", want, sizeof(want)) == 32 &&
              !memcmp(proof.wrapped_address, want, 32),
          "wrapped address");
    check(!memcmp(proof.address, address, 32), "address");
    enum chunk_kind kind = CHUNK_CONTENT;
    check(!chunk_check(&kind, address, raw, &err) && kind == CHUNK_SINGLE_OWNER, err.text);
}

TEST(any_changed_byte_of_a_single_owner_chunk_is_seen)
{
    uint8_t data[LIMIT_CHUNK_BYTES], address[CHUNK_ADDRESS_BYTES];
    struct bytes raw = soc_vector(data, address);
    for (size_t i = 0; i < raw.size; i++) {
        enum chunk_kind kind;
        bool same_v = i == CHUNK_SOC_HEAD_BYTES - 1; /* v + 4 means the same as v */
        data[i] ^= same_v ? 0x02 : 0x04;
        check(chunk_check(&kind, address, raw, NULL) == ERR_BAD_PROOF, "a changed byte");
        data[i] ^= same_v ? 0x02 : 0x04;
    }
    address[31] ^= 1;
    enum chunk_kind kind;
    check(chunk_check(&kind, address, raw, NULL) == ERR_BAD_PROOF, "another address");
}

TEST(content_chunks)
{
    static uint8_t data[LIMIT_CHUNK_CONTENT_BYTES];
    uint8_t address[CHUNK_ADDRESS_BYTES];
    static const size_t sizes[] = { 0, 1, 96, 97, 98, 4095, 4096 };
    swarm_pattern(data + BMT_SPAN_BYTES, BMT_PAYLOAD_BYTES_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct error err = { ERR_OK, "" };
        struct bytes raw = bytes_of(data, BMT_SPAN_BYTES + sizes[i]);
        enum chunk_kind kind = CHUNK_SINGLE_OWNER;
        le64_encode(data, sizes[i]);
        bmt_address(address, sizes[i], bytes_of(data + BMT_SPAN_BYTES, sizes[i]));
        check(!chunk_check(&kind, address, raw, &err) && kind == CHUNK_CONTENT, err.text);
        data[0] ^= 1;
        check(chunk_check(&kind, address, raw, &err) == ERR_BAD_PROOF, "the span counts too");
    }
}

static const struct {
    const char *why;
    size_t size;
    enum err want;
} sizes[] = {
    { "nothing", 0, ERR_MALFORMED },
    { "a span cut short", 7, ERR_MALFORMED },
    { "an empty chunk of another address", 8, ERR_BAD_PROOF },
    { "too short for a single-owner chunk", 104, ERR_BAD_PROOF },
    { "the shortest that could be one", 105, ERR_BAD_PROOF },
    { "the longest that could be content", 4104, ERR_BAD_PROOF },
    { "single-owner at most", 4105, ERR_BAD_PROOF },
    { "the longest there is", 4201, ERR_BAD_PROOF },
    { "one byte more", 4202, ERR_TOO_LARGE },
};

TEST(sizes_of_chunks)
{
    static uint8_t data[LIMIT_CHUNK_BYTES + 1], address[CHUNK_ADDRESS_BYTES];
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct error err = { ERR_OK, "" };
        enum chunk_kind kind;
        check(chunk_check(&kind, address, bytes_of(data, sizes[i].size), &err) == sizes[i].want,
              sizes[i].why);
        check(err.text[0], "a refusal has a sentence");
    }
    uint64_t before = limit_hits(LIMIT_ID_CHUNK_CONTENT_BYTES);
    check(chunk_content_address(address, bytes_of(data, 4105), NULL) == ERR_TOO_LARGE,
          "no content");
    check(limit_hits(LIMIT_ID_CHUNK_CONTENT_BYTES) == before + 1, "and counted");
}

/* Builds id || signature || span || payload. */
static struct bytes soc_make(uint8_t *out, const struct sig_signer *s, const uint8_t *id,
                             struct bytes wrapped)
{
    uint8_t text[64], digest[32];
    memcpy(text, id, 32);
    check(!chunk_content_address(text + 32, wrapped, NULL), "address");
    keccak256(digest, bytes_of(text, 64));
    memcpy(out, id, 32);
    sig_eth_sign(s, bytes_of(digest, 32), out + 32);
    memcpy(out + CHUNK_SOC_HEAD_BYTES, wrapped.data, wrapped.size);
    return bytes_of(out, CHUNK_SOC_HEAD_BYTES + wrapped.size);
}

/* The key of the replicas' owner: 01, then zeros (bee's pkg/replicas). */
TEST(a_replica_wraps_what_its_id_names)
{
    uint8_t secret[32] = { 0x01 }, wrapped[8 + 3] = { 3, 0, 0, 0, 0, 0, 0, 0, 'f', 'o', 'o' };
    uint8_t id[32], data[256], address[32], text[52];
    struct sig_signer s;
    struct error err = { ERR_OK, "" };
    check(!sig_signer_init(&s, secret, secret, &err), err.text);
    static const struct {
        const char *why;
        size_t flipped;
        enum err want;
    } cases[] = {
        { "the id is the wrapped address", 32, ERR_OK },
        { "its first byte is free: it spreads the replicas", 0, ERR_OK },
        { "its second is not", 1, ERR_BAD_PROOF },
        { "nor is its last", 31, ERR_BAD_PROOF },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        enum chunk_kind kind;
        check(!chunk_content_address(id, bytes_of(wrapped, sizeof(wrapped)), &err), err.text);
        if (cases[i].flipped < 32)
            id[cases[i].flipped] ^= 0x80;
        struct bytes raw = soc_make(data, &s, id, bytes_of(wrapped, sizeof(wrapped)));
        memcpy(text, id, 32);
        sig_signer_eth_address(&s, text + 32);
        check(text[32] == 0xdc && text[33] == 0x5b && text[51] == 0xb5, "the well-known owner");
        keccak256(address, bytes_of(text, sizeof(text)));
        check(chunk_check(&kind, address, raw, &err) == cases[i].want, cases[i].why);
    }
}
