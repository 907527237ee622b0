#include "codec/sig_batch.h"

#include <stdlib.h>

#include <secp256k1.h>

#include "codec/keccak.h"

enum {
    SCALAR_BYTES = 32,
    WINDOWS = 16,   /* of four bits in a weight */
    DIGIT_BITS = 4, /* a digit is a nibble less DIGIT_BIAS: -7 .. 8 */
    DIGIT_BIAS = 7,
    DIGIT_MAX = 8,
};
#define WEIGHT_BIAS UINT64_C(0x7777777777777777) /* DIGIT_BIAS in each nibble */

static_assert(sizeof(secp256k1_pubkey) == SIG_BATCH_POINT_BYTES, "a point as the library keeps it");
static_assert(SIG_BATCH_WEIGHT_BYTES * 2 == WINDOWS, "a nibble each");

static const secp256k1_context *library(void)
{
    return secp256k1_context_static;
}

static const secp256k1_pubkey *point_of(const struct sig_batch_item *item, bool positive)
{
    return (const secp256k1_pubkey *)(const void *)item->point_[positive];
}

static const uint8_t *s_of(const struct sig_batch_item *item)
{
    return item->sig_ + SCALAR_BYTES;
}

void sig_batch_init(struct sig_batch *b)
{
    b->count_ = b->signers_ = 0;
}

bool sig_batch_signer(struct sig_batch *b, const uint8_t key[SIG_KEY_BYTES], uint32_t *signer)
{
    if (b->signers_ == SIG_BATCH_SIGNERS_MAX)
        return false;
    memcpy(b->keys_[b->signers_], key, SIG_KEY_BYTES);
    *signer = b->signers_++;
    return true;
}

bool sig_batch_add(struct sig_batch *b, struct sig_batch_item *item, uint32_t signer,
                   const uint8_t digest[SIG_DIGEST_BYTES], const uint8_t sig[SIG_BYTES])
{
    assert(signer < b->signers_);
    uint8_t v = sig[SIG_BYTES - 1], compressed[SIG_KEY_COMPRESSED_BYTES];
    bool usual = v == 27 || v == 28 || v == 31 || v == 32; /* else the abscissa is r + n */
    if (b->count_ == SIG_BATCH_MAX || !usual || !secp256k1_ec_seckey_verify(library(), sig) ||
        !secp256k1_ec_seckey_verify(library(), sig + SCALAR_BYTES))
        return false;
    secp256k1_pubkey point;
    compressed[0] = v % 2 ? 0x02 : 0x03; /* 27 and 31: the even one */
    memcpy(compressed + 1, sig, SCALAR_BYTES);
    if (!secp256k1_ec_pubkey_parse(library(), &point, compressed, sizeof(compressed)))
        return false;
    memcpy(item->point_[true], &point, sizeof(point));
    if (!secp256k1_ec_pubkey_negate(library(), &point))
        return false;
    memcpy(item->point_[false], &point, sizeof(point));
    item->sig_ = sig;
    item->digest_ = digest;
    item->signer_ = signer;
    b->items_[b->count_++] = item;
    return true;
}

uint32_t sig_batch_count(const struct sig_batch *b)
{
    return b->count_;
}

/* Four weights from each H(seed || number). */
static void weights_draw(struct sig_batch *b, const uint8_t seed[SIG_SEED_BYTES])
{
    enum { OF_ONE = KECCAK256_BYTES / SIG_BATCH_WEIGHT_BYTES, SIDE = 8, TEXT = SIG_SEED_BYTES + 4 };
    uint8_t text[SIDE * TEXT], digests[SIDE * KECCAK256_BYTES] = { 0 };
    for (uint32_t from = 0; from < b->count_; from += SIDE * OF_ONE) {
        uint32_t weights = MIN(b->count_ - from, (uint32_t)(SIDE * OF_ONE));
        uint32_t hashes = (weights + OF_ONE - 1) / OF_ONE;
        for (uint32_t i = 0; i < hashes; i++) {
            memcpy(text + i * TEXT, seed, SIG_SEED_BYTES);
            be32_encode(text + i * TEXT + SIG_SEED_BYTES, from / OF_ONE + i);
        }
        struct keccak256_batch all = { digests, text, TEXT, hashes };
        keccak256_batch(&all);
        for (uint32_t i = 0; i < weights; i++)
            memcpy(b->items_[from + i]->weight_, digests + i * SIG_BATCH_WEIGHT_BYTES,
                   SIG_BATCH_WEIGHT_BYTES);
    }
}

/* window 0 is the least significant */
static int digit_of(const struct sig_batch_item *item, uint32_t window)
{
    uint8_t byte = item->weight_[SIG_BATCH_WEIGHT_BYTES - 1 - window / 2];
    return (window % 2 ? byte >> DIGIT_BITS : byte & 15) - DIGIT_BIAS;
}

/* What the digits add up to. False: nothing. */
static bool weight_scalar(const struct sig_batch_item *item, uint8_t out[SCALAR_BYTES],
                          bool *negative)
{
    uint64_t raw = be64_decode(item->weight_);
    *negative = raw < WEIGHT_BIAS;
    memset(out, 0, SCALAR_BYTES);
    be64_encode(out + SCALAR_BYTES - 8, *negative ? WEIGHT_BIAS - raw : raw - WEIGHT_BIAS);
    return raw != WEIGHT_BIAS;
}

/* Points with the same digit, up to sign, in one window. */
struct bucket {
    secp256k1_pubkey sum;
    bool used;
};

static bool buckets_fill(const struct sig_batch *b, uint32_t window, struct bucket *buckets)
{
    const secp256k1_pubkey *points[SIG_BATCH_MAX];
    uint32_t at[DIGIT_MAX + 2] = { 0 };
    for (uint32_t i = 0; i < b->count_; i++)
        at[abs(digit_of(b->items_[i], window)) + 1]++;
    for (uint32_t d = 1; d <= DIGIT_MAX + 1; d++)
        at[d] += at[d - 1];
    uint32_t next[DIGIT_MAX + 1];
    memcpy(next, at, sizeof(next));
    for (uint32_t i = 0; i < b->count_; i++) {
        int digit = digit_of(b->items_[i], window);
        points[next[abs(digit)]++] = point_of(b->items_[i], digit > 0);
    }
    for (uint32_t d = 1; d <= DIGIT_MAX; d++) {
        uint32_t n = at[d + 1] - at[d];
        buckets[d].used = n > 0;
        if (n > 0 && !secp256k1_ec_pubkey_combine(library(), &buckets[d].sum, points + at[d], n))
            return false;
    }
    return true;
}

/* sum a[i] R[i]: a bit of all weights at a time, from the top. False: infinity on the way. */
static bool points_sum(const struct sig_batch *b, secp256k1_pubkey *total)
{
    struct bucket buckets[DIGIT_MAX + 1];
    bool any = false;
    for (uint32_t window = WINDOWS; window-- > 0;) {
        if (!buckets_fill(b, window, buckets))
            return false;
        for (uint32_t bit = DIGIT_BITS; bit-- > 0;) {
            const secp256k1_pubkey *terms[2 + DIGIT_MAX];
            secp256k1_pubkey sum;
            size_t n = 0;
            if (any) {
                terms[n++] = total;
                terms[n++] = total;
            }
            for (uint32_t d = 1; d <= DIGIT_MAX; d++)
                if (buckets[d].used && d >> bit & 1)
                    terms[n++] = &buckets[d].sum;
            if (n == 0)
                continue;
            if (!secp256k1_ec_pubkey_combine(library(), &sum, terms, n))
                return false;
            *total = sum;
            any = true;
        }
    }
    return any;
}

static bool multiply(uint8_t scalar[SCALAR_BYTES], const uint8_t by[SCALAR_BYTES])
{
    return secp256k1_ec_seckey_tweak_mul(library(), scalar, by);
}

struct sum {
    uint8_t scalar[SCALAR_BYTES];
    bool any;
};

static bool sum_add(struct sum *s, const uint8_t term[SCALAR_BYTES])
{
    if (s->any)
        return secp256k1_ec_seckey_tweak_add(library(), s->scalar, term);
    memcpy(s->scalar, term, SCALAR_BYTES);
    s->any = true;
    return true;
}

/* The factors of G and of each signer's key, times the product of all s: a division would need an
 * inverse, a product of all others does not. */
static bool scalars_sum(const struct sig_batch *b, struct sum *of_g, struct sum *of_signer,
                        uint8_t product[SCALAR_BYTES])
{
    uint8_t behind[SCALAR_BYTES] = { [SCALAR_BYTES - 1] = 1 };
    memcpy(product, behind, SCALAR_BYTES);
    for (uint32_t i = 0; i < b->count_; i++) {
        memcpy(b->items_[i]->before_, product, SCALAR_BYTES);
        if (!multiply(product, s_of(b->items_[i])))
            return false;
    }
    for (uint32_t i = b->count_; i-- > 0;) {
        const struct sig_batch_item *item = b->items_[i];
        uint8_t factor[SCALAR_BYTES], g[SCALAR_BYTES], q[SCALAR_BYTES];
        bool negative, any = weight_scalar(item, factor, &negative);
        bool ok = !any || (multiply(factor, item->before_) && multiply(factor, behind) &&
                           (!negative || secp256k1_ec_seckey_negate(library(), factor)));
        memcpy(g, factor, SCALAR_BYTES);
        memcpy(q, factor, SCALAR_BYTES);
        ok = ok && (!any || (multiply(g, item->digest_) && sum_add(of_g, g) &&
                             multiply(q, item->sig_) && sum_add(&of_signer[item->signer_], q)));
        if (!ok || !multiply(behind, s_of(item)))
            return false;
    }
    return true;
}

static bool right_side(const struct sig_batch *b, const struct sum *of_g,
                       const struct sum *of_signer, secp256k1_pubkey *out)
{
    secp256k1_pubkey terms[SIG_BATCH_SIGNERS_MAX];
    const secp256k1_pubkey *list[SIG_BATCH_SIGNERS_MAX];
    size_t n = 0;
    for (uint32_t i = 0; i < b->signers_; i++) {
        if (!of_signer[i].any)
            continue;
        if (!secp256k1_ec_pubkey_parse(library(), &terms[n], b->keys_[i], SIG_KEY_BYTES) ||
            !secp256k1_ec_pubkey_tweak_mul(library(), &terms[n], of_signer[i].scalar))
            return false;
        list[n] = &terms[n];
        n++;
    }
    return n > 0 && secp256k1_ec_pubkey_combine(library(), out, list, n) &&
           secp256k1_ec_pubkey_tweak_add(library(), out, of_g->scalar);
}

bool sig_batch_check(struct sig_batch *b, const uint8_t seed[SIG_SEED_BYTES])
{
    struct sum of_g = { .any = false }, of_signer[SIG_BATCH_SIGNERS_MAX];
    uint8_t product[SCALAR_BYTES];
    secp256k1_pubkey left, right;
    if (b->count_ == 0)
        return true;
    memset(of_signer, 0, sizeof(of_signer));
    weights_draw(b, seed);
    return points_sum(b, &left) && scalars_sum(b, &of_g, of_signer, product) &&
           secp256k1_ec_pubkey_tweak_mul(library(), &left, product) &&
           right_side(b, &of_g, of_signer, &right) &&
           secp256k1_ec_pubkey_cmp(library(), &left, &right) == 0;
}
