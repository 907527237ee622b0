#include "codec/stamp.h"

#include "codec/keccak.h"

enum err stamp_decode(struct stamp *out, struct bytes raw, struct error *err)
{
    if (raw.size != STAMP_BYTES)
        return error_set(err, ERR_MALFORMED, "a stamp of %zu bytes instead of %d", raw.size,
                         STAMP_BYTES);
    struct reader r = reader_of(raw);
    reader_copy(&r, out->batch, sizeof(out->batch));
    out->bucket = reader_be32(&r);
    out->position = reader_be32(&r);
    out->timestamp = reader_be64(&r);
    reader_copy(&r, out->signature, sizeof(out->signature));
    assert(!r.failed && r.at == r.end);
    return ERR_OK;
}

void stamp_encode(const struct stamp *s, uint8_t out[STAMP_BYTES])
{
    struct writer w = writer_of(out, STAMP_BYTES);
    writer_put(&w, s->batch, sizeof(s->batch));
    writer_be32(&w, s->bucket);
    writer_be32(&w, s->position);
    writer_be64(&w, s->timestamp);
    writer_put(&w, s->signature, sizeof(s->signature));
    assert(writer_used(&w) == STAMP_BYTES);
}

void stamp_hash(uint8_t out[STAMP_HASH_BYTES], const uint8_t raw[STAMP_BYTES])
{
    keccak256(out, bytes_of(raw, STAMP_BYTES));
}

void stamp_digest(uint8_t out[STAMP_HASH_BYTES], const struct stamp *s,
                  const uint8_t address[STAMP_ADDRESS_BYTES])
{
    uint8_t text[STAMP_ADDRESS_BYTES + STAMP_BATCH_BYTES + STAMP_INDEX_BYTES + 8];
    struct writer w = writer_of(text, sizeof(text));
    writer_put(&w, address, STAMP_ADDRESS_BYTES);
    writer_put(&w, s->batch, sizeof(s->batch));
    writer_be32(&w, s->bucket);
    writer_be32(&w, s->position);
    writer_be64(&w, s->timestamp);
    assert(writer_used(&w) == sizeof(text));
    keccak256(out, bytes_of(text, sizeof(text)));
}

void stamp_hash_side(const struct stamp_hashes *stamps, size_t count)
{
    enum { HEAD = STAMP_BYTES - SIG_BYTES, TEXT = STAMP_ADDRESS_BYTES + HEAD };
    uint8_t whole[STAMP_SIDE_MAX * STAMP_BYTES], texts[STAMP_SIDE_MAX * TEXT];
    uint8_t hashes[STAMP_SIDE_MAX * STAMP_HASH_BYTES], digests[STAMP_SIDE_MAX * STAMP_HASH_BYTES];
    assert(count <= STAMP_SIDE_MAX);
    for (size_t i = 0; i < count; i++) {
        memcpy(whole + i * STAMP_BYTES, stamps[i].raw, STAMP_BYTES);
        memcpy(texts + i * TEXT, stamps[i].address, STAMP_ADDRESS_BYTES);
        memcpy(texts + i * TEXT + STAMP_ADDRESS_BYTES, stamps[i].raw, HEAD);
    }
    keccak256_batch(&(struct keccak256_batch){ hashes, whole, STAMP_BYTES, count });
    keccak256_batch(&(struct keccak256_batch){ digests, texts, TEXT, count });
    for (size_t i = 0; i < count; i++)
        memcpy(stamps[i].hash, hashes + i * STAMP_HASH_BYTES, STAMP_HASH_BYTES);
    sig_eth_digests(hashes, digests, count);
    for (size_t i = 0; i < count; i++)
        memcpy(stamps[i].signed_digest, hashes + i * STAMP_HASH_BYTES, STAMP_HASH_BYTES);
}

uint32_t stamp_bucket(const uint8_t address[STAMP_ADDRESS_BYTES], uint8_t bucket_depth)
{
    assert(bucket_depth <= STAMP_BUCKET_DEPTH_MAX);
    return (uint32_t)((uint64_t)be32_decode(address) >> (32 - bucket_depth));
}

enum err stamp_check_index(const struct stamp *s, const uint8_t address[STAMP_ADDRESS_BYTES],
                           uint8_t depth, uint8_t bucket_depth, struct error *err)
{
    assert(depth >= bucket_depth && depth <= STAMP_DEPTH_MAX);
    uint32_t bucket = stamp_bucket(address, bucket_depth);
    if (s->bucket != bucket)
        return error_set(err, ERR_BAD_PROOF, "a stamp of bucket %" PRIu32 " on a chunk of %" PRIu32,
                         s->bucket, bucket);
    unsigned bits = depth - bucket_depth;
    if (bits < 32 && s->position >> bits)
        return error_set(err, ERR_BAD_PROOF, "stamp %" PRIu32 " of a bucket that holds 2^%u",
                         s->position, bits);
    return ERR_OK;
}

enum err stamp_recover(uint8_t owner[SIG_ETH_ADDRESS_BYTES], const struct stamp *s,
                       const uint8_t address[STAMP_ADDRESS_BYTES], struct error *err)
{
    uint8_t digest[STAMP_HASH_BYTES];
    stamp_digest(digest, s, address);
    enum err rc = sig_eth_recover(owner, bytes_of(digest, sizeof(digest)), s->signature, err);
    return rc ? (enum err)error_wrap(err, rc, "stamp") : ERR_OK;
}

enum err stamp_check(const struct stamp *s, const uint8_t address[STAMP_ADDRESS_BYTES],
                     const struct stamp_batch *batch, struct error *err)
{
    uint8_t owner[SIG_ETH_ADDRESS_BYTES];
    enum err rc = stamp_check_index(s, address, batch->depth, batch->bucket_depth, err);
    if (!rc)
        rc = stamp_recover(owner, s, address, err);
    if (!rc && memcmp(owner, batch->owner, sizeof(owner)))
        rc = error_set(err, ERR_BAD_PROOF, "the stamp's signer is not the batch owner");
    return rc;
}

void stamp_sign(struct stamp *s, const struct sig_signer *signer,
                const uint8_t address[STAMP_ADDRESS_BYTES])
{
    uint8_t digest[STAMP_HASH_BYTES];
    stamp_digest(digest, s, address);
    sig_eth_sign(signer, bytes_of(digest, sizeof(digest)), s->signature);
}
