#include "codec/multihash.h"

#include "base/varint.h"

/* The length a known function's digest must have; 0: any. */
static size_t digest_size(uint64_t code)
{
    switch (code) {
    case MULTIHASH_SHA2_256:
    case MULTIHASH_KECCAK_256:
    case MULTIHASH_BLAKE2B_256:
        return 32;
    case MULTIHASH_SHA2_512:
        return 64;
    default:
        return 0;
    }
}

struct multihash multihash_read(struct reader *r)
{
    const uint8_t *start = r->at;
    uint64_t code = reader_uvarint(r);
    uint64_t size = reader_uvarint(r);
    size_t fixed = digest_size(code);
    if (!r->failed && !LIMIT_CHECK(MULTIHASH_DIGEST_BYTES, size))
        reader_fail(r, ERR_TOO_LARGE);
    bool forgeable = code != MULTIHASH_IDENTITY && size < LIMIT_MULTIHASH_DIGEST_BYTES_MIN;
    if (!r->failed && forgeable)
        LIMIT_HIT(MULTIHASH_DIGEST_BYTES_MIN);
    if (forgeable || (fixed && size != fixed))
        reader_fail(r, ERR_MALFORMED);
    struct bytes digest = reader_take(r, size);
    if (r->failed)
        return (struct multihash){ 0 };
    return (struct multihash){ code, digest, bytes_of(start, (size_t)(r->at - start)) };
}

enum err multihash_parse(struct bytes b, struct multihash *out, struct error *err)
{
    struct reader r = reader_of(b);
    struct multihash mh = multihash_read(&r);
    enum err rc = reader_finish(&r, "multihash", err);
    if (!rc)
        *out = mh;
    return rc;
}

void multihash_put(struct writer *w, uint64_t code, struct bytes digest)
{
    writer_uvarint(w, code);
    writer_uvarint(w, digest.size);
    writer_put(w, digest.data, digest.size);
}
