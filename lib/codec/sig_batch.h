/* lib/codec/sig_batch.h
 *
 * Many recoverable signatures of few signers, checked together. A signature (r, s, v) over z
 * recovers to the key Q exactly when  s R = z G + r Q, where R is the point with abscissa r and the
 * parity that v names. For items with weights a[i] that their makers could not foresee, one sum
 *     sum a[i] R[i]  =  (sum a[i] z[i] / s[i]) G + sum over signers (sum a[i] r[i] / s[i]) Q
 * stands for all of them. The left side costs a few additions an item, since the points meet in
 * buckets by the digits of their weights; a recovery costs 128 doublings. Every operation on points
 * and scalars is libsecp256k1's; here is only their order.
 * A wrong signature among them passes with probability 2^-64 per attempt, and an attempt is a page
 * sent to us: the weights come from a seed drawn after the signatures were received.
 * Source: Bellare, Garay, Rabin, "Fast batch verification", 1998 (small exponents).
 * Ownership: items and buffers are the caller's. Thread: any. Errors: none; what the sum does not
 * confirm is for sig_recover to judge, one by one.
 */
#ifndef LARDER_CODEC_SIG_BATCH_H
#define LARDER_CODEC_SIG_BATCH_H

#include "codec/sig.h"

enum {
    SIG_BATCH_MAX = 256,
    SIG_BATCH_MIN = 24, /* fewer cost as much as their recoveries (bench `crypto`) */
    SIG_BATCH_SIGNERS_MAX = 16,
    SIG_BATCH_WEIGHT_BYTES = 8,
    SIG_BATCH_POINT_BYTES = 64,
};

struct sig_batch_item {
    const uint8_t *sig_;    /* SIG_BYTES, borrowed */
    const uint8_t *digest_; /* SIG_DIGEST_BYTES, borrowed */
    uint32_t signer_;
    uint8_t weight_[SIG_BATCH_WEIGHT_BYTES];
    uint8_t before_[32]; /* the product of the s in front of this one */
    _Alignas(16) uint8_t point_[2][SIG_BATCH_POINT_BYTES]; /* -R, R */
};

struct sig_batch {
    struct sig_batch_item *items_[SIG_BATCH_MAX];
    uint8_t keys_[SIG_BATCH_SIGNERS_MAX][SIG_KEY_BYTES];
    uint32_t count_, signers_;
};

void sig_batch_init(struct sig_batch *b);
/* key: as sig_recover gives it. False: no room for another signer. */
bool sig_batch_signer(struct sig_batch *b, const uint8_t key[SIG_KEY_BYTES], uint32_t *signer);
/* False: no room, or a rare or wrong form (v of 29, 30, 33, 34; r or s out of range; no such
 * point); the item is then not part of the batch. */
bool sig_batch_add(struct sig_batch *b, struct sig_batch_item *item, uint32_t signer,
                   const uint8_t digest[SIG_DIGEST_BYTES], const uint8_t sig[SIG_BYTES]);
uint32_t sig_batch_count(const struct sig_batch *b);
/* True: each recovers to the key of its signer. False says nothing about any of them. An empty
 * batch is true. */
bool sig_batch_check(struct sig_batch *b, const uint8_t seed[SIG_SEED_BYTES]);

#endif
