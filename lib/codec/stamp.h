/* lib/codec/stamp.h
 *
 * A postage stamp: the right to keep one chunk, signed by the owner of a batch.
 *   batch id[32] || bucket[4, BE] || position[4, BE] || timestamp[8, BE] || signature[65]
 * The bucket is the first bits of the chunk's address; the signature is over
 * H(address || batch id || bucket || position || timestamp).
 * Source: bee's pkg/postage. Nothing here looks at the balance of a batch.
 * Thread: any. Errors: ERR_MALFORMED (wrong size), ERR_BAD_PROOF (not valid for this chunk or
 * batch).
 */
#ifndef LARDER_CODEC_STAMP_H
#define LARDER_CODEC_STAMP_H

#include "codec/sig.h"

enum {
    STAMP_BYTES = 113,
    STAMP_HASH_BYTES = 32,
    STAMP_BATCH_BYTES = 32,
    STAMP_INDEX_BYTES = 8, /* bucket || position */
    STAMP_ADDRESS_BYTES = 32,
    STAMP_DEPTH_MAX = 64,
    STAMP_BUCKET_DEPTH_MAX = 32,
    STAMP_SIDE_MAX = SIG_SIDE_MAX,
};

struct stamp {
    uint8_t batch[STAMP_BATCH_BYTES];
    uint32_t bucket, position; /* position within the bucket */
    uint64_t timestamp;        /* nanoseconds since 1970 by convention; only ever compared */
    uint8_t signature[SIG_BYTES];
};

struct stamp_batch { /* what the rules need to know of a batch */
    uint8_t owner[SIG_ETH_ADDRESS_BYTES];
    uint8_t depth, bucket_depth; /* 2^depth stamps in 2^bucket_depth buckets */
};

enum err stamp_decode(struct stamp *out, struct bytes raw, struct error *err);
void stamp_encode(const struct stamp *s, uint8_t out[STAMP_BYTES]);
/* H over all 113 bytes: the stamp's name in the reserve and on the wire. */
void stamp_hash(uint8_t out[STAMP_HASH_BYTES], const uint8_t raw[STAMP_BYTES]);
/* What the signature is over. */
void stamp_digest(uint8_t out[STAMP_HASH_BYTES], const struct stamp *s,
                  const uint8_t address[STAMP_ADDRESS_BYTES]);

/* Up to STAMP_SIDE_MAX stamps side by side: the name of each, and what its signature is over in the
 * form in which it is signed (sig_eth_digest of the digest above). */
struct stamp_hashes {
    const uint8_t *raw, *address;  /* in: STAMP_BYTES, STAMP_ADDRESS_BYTES */
    uint8_t *hash, *signed_digest; /* out: STAMP_HASH_BYTES each */
};
void stamp_hash_side(const struct stamp_hashes *stamps, size_t count);

/* bucket_depth <= STAMP_BUCKET_DEPTH_MAX */
uint32_t stamp_bucket(const uint8_t address[STAMP_ADDRESS_BYTES], uint8_t bucket_depth);
/* Cheap: bucket and position fit chunk and batch. depth >= bucket_depth; both within their maxima.
 */
enum err stamp_check_index(const struct stamp *s, const uint8_t address[STAMP_ADDRESS_BYTES],
                           uint8_t depth, uint8_t bucket_depth, struct error *err);
/* Dear (about 45 us): who signed it? */
enum err stamp_recover(uint8_t owner[SIG_ETH_ADDRESS_BYTES], const struct stamp *s,
                       const uint8_t address[STAMP_ADDRESS_BYTES], struct error *err);
/* Both, and the signer is the batch owner. */
enum err stamp_check(const struct stamp *s, const uint8_t address[STAMP_ADDRESS_BYTES],
                     const struct stamp_batch *batch, struct error *err);
/* Fills in the signature; batch, bucket, position and timestamp are set. */
void stamp_sign(struct stamp *s, const struct sig_signer *signer,
                const uint8_t address[STAMP_ADDRESS_BYTES]);

#endif
