#include "codec/chunk.h"

static_assert(LIMIT_CHUNK_CONTENT_BYTES == BMT_SPAN_BYTES + BMT_PAYLOAD_BYTES_MAX, "one page");
static_assert(LIMIT_CHUNK_BYTES == CHUNK_SOC_HEAD_BYTES + LIMIT_CHUNK_CONTENT_BYTES, "and a head");

/* Its private key is published: anybody may store replicas of root chunks under it. */
static const uint8_t replicas_owner[SIG_ETH_ADDRESS_BYTES] = { 0xdc, 0x5b, 0x20, 0x84, 0x7f,
                                                               0x43, 0xd6, 0x79, 0x28, 0xf4,
                                                               0x9c, 0xd4, 0xf8, 0x5d, 0x69,
                                                               0x6b, 0x5a, 0x76, 0x17, 0xb5 };

enum err chunk_content_address(uint8_t out[CHUNK_ADDRESS_BYTES], struct bytes data,
                               struct error *err)
{
    if (data.size < BMT_SPAN_BYTES)
        return error_set(err, ERR_MALFORMED, "a chunk of %zu bytes is too short", data.size);
    if (!LIMIT_CHECK(CHUNK_CONTENT_BYTES, data.size))
        return error_set(err, ERR_TOO_LARGE, "a content chunk of %zu bytes is too long", data.size);
    bmt_address(out, le64_decode(data.data),
                bytes_of(data.data + BMT_SPAN_BYTES, data.size - BMT_SPAN_BYTES));
    return ERR_OK;
}

enum err chunk_soc_parse(struct chunk_soc *out, struct bytes data, struct error *err)
{
    if (data.size < CHUNK_SOC_BYTES_MIN)
        return error_set(err, ERR_MALFORMED, "a single-owner chunk of %zu bytes is too short",
                         data.size);
    if (!LIMIT_CHECK(CHUNK_BYTES, data.size))
        return error_set(err, ERR_TOO_LARGE, "a chunk of %zu bytes is too long", data.size);
    *out = (struct chunk_soc){
        .id = data.data,
        .signature = data.data + CHUNK_ID_BYTES,
        .wrapped = bytes_of(data.data + CHUNK_SOC_HEAD_BYTES, data.size - CHUNK_SOC_HEAD_BYTES),
    };
    return ERR_OK;
}

enum err chunk_soc_prove(struct chunk_soc_proof *out, const struct chunk_soc *soc,
                         struct error *err)
{
    struct chunk_soc_proof proof;
    uint8_t text[CHUNK_ID_BYTES + CHUNK_ADDRESS_BYTES], digest[KECCAK256_BYTES];
    enum err rc = chunk_content_address(proof.wrapped_address, soc->wrapped, err);
    if (rc)
        return rc;
    memcpy(text, soc->id, CHUNK_ID_BYTES);
    memcpy(text + CHUNK_ID_BYTES, proof.wrapped_address, CHUNK_ADDRESS_BYTES);
    keccak256(digest, bytes_of(text, sizeof(text)));
    rc = sig_eth_recover(proof.owner, bytes_of(digest, sizeof(digest)), soc->signature, err);
    if (rc)
        return error_wrap(err, rc, "single-owner chunk");
    if (!memcmp(proof.owner, replicas_owner, sizeof(replicas_owner)) &&
        memcmp(proof.wrapped_address + 1, soc->id + 1, CHUNK_ID_BYTES - 1))
        return error_set(err, ERR_BAD_PROOF, "a replica wraps another chunk than its id names");
    memcpy(text + CHUNK_ID_BYTES, proof.owner, SIG_ETH_ADDRESS_BYTES);
    keccak256(proof.address, bytes_of(text, CHUNK_ID_BYTES + SIG_ETH_ADDRESS_BYTES));
    *out = proof;
    return ERR_OK;
}

enum err chunk_check(enum chunk_kind *kind, const uint8_t address[CHUNK_ADDRESS_BYTES],
                     struct bytes data, struct error *err)
{
    uint8_t content[CHUNK_ADDRESS_BYTES];
    if (data.size <= LIMIT_CHUNK_CONTENT_BYTES) {
        enum err rc = chunk_content_address(content, data, err);
        if (rc)
            return rc;
        if (!memcmp(content, address, CHUNK_ADDRESS_BYTES)) {
            *kind = CHUNK_CONTENT;
            return ERR_OK;
        }
        if (data.size < CHUNK_SOC_BYTES_MIN)
            return error_set(err, ERR_BAD_PROOF, "the content does not hash to its address");
    }
    struct chunk_soc soc;
    struct chunk_soc_proof proof;
    enum err rc = chunk_soc_parse(&soc, data, err);
    if (!rc)
        rc = chunk_soc_prove(&proof, &soc, err);
    if (rc)
        return rc;
    if (memcmp(proof.address, address, CHUNK_ADDRESS_BYTES))
        return error_set(err, ERR_BAD_PROOF,
                         "neither the content nor its owner gives the chunk's address");
    *kind = CHUNK_SINGLE_OWNER;
    return ERR_OK;
}
