/* The hashes use OpenSSL's plain structs: no allocation and no context to keep per thread, and the
 * same assembly as behind EVP. They are marked deprecated since 3.0, hence the define. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "codec/crypto.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/sha.h>

/* Set before main, never changed. */
static EVP_CIPHER *chacha;
static EVP_MD *sha256_md;
static EC_GROUP *p256;

__attribute__((constructor)) static void crypto_fetch(void)
{
    chacha = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
    p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    assert(chacha && sha256_md &&
           p256); /* a libcrypto without its default provider cannot be used at all */
}

/* Freed so that a leak checker sees what is left over; OpenSSL cleans up after us. */
__attribute__((destructor)) static void crypto_release(void)
{
    EVP_CIPHER_free(chacha);
    EVP_MD_free(sha256_md);
    EC_GROUP_free(p256);
}

static_assert(sizeof(SHA256_CTX) <= sizeof(struct sha256), "struct sha256 holds OpenSSL's state");
static_assert(sizeof(SHA512_CTX) <= sizeof(struct sha512), "struct sha512 holds OpenSSL's state");

void sha256_init(struct sha256 *h)
{
    SHA256_Init((SHA256_CTX *)h->state_);
}

void sha256_update(struct sha256 *h, const void *data, size_t size)
{
    SHA256_Update((SHA256_CTX *)h->state_, data, size);
}

void sha256_final(struct sha256 *h, uint8_t out[SHA256_BYTES])
{
    SHA256_Final(out, (SHA256_CTX *)h->state_);
}

void sha256_of(const void *data, size_t size, uint8_t out[SHA256_BYTES])
{
    struct sha256 h;
    sha256_init(&h);
    sha256_update(&h, data, size);
    sha256_final(&h, out);
}

void sha512_init(struct sha512 *h)
{
    SHA512_Init((SHA512_CTX *)h->state_);
}

void sha512_update(struct sha512 *h, const void *data, size_t size)
{
    SHA512_Update((SHA512_CTX *)h->state_, data, size);
}

void sha512_final(struct sha512 *h, uint8_t out[SHA512_BYTES])
{
    SHA512_Final(out, (SHA512_CTX *)h->state_);
}

void sha512_of(const void *data, size_t size, uint8_t out[SHA512_BYTES])
{
    struct sha512 h;
    sha512_init(&h);
    sha512_update(&h, data, size);
    sha512_final(&h, out);
}

enum { HMAC_BLOCK_BYTES = 64 };

static void hmac_pad(const uint8_t key[HMAC_BLOCK_BYTES], uint8_t pad, struct sha256 *h)
{
    uint8_t block[HMAC_BLOCK_BYTES];
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = key[i] ^ pad;
    sha256_init(h);
    sha256_update(h, block, sizeof(block));
    OPENSSL_cleanse(block, sizeof(block));
}

void hmac_sha256(struct bytes key, const struct bytes *parts, size_t count,
                 uint8_t out[SHA256_BYTES])
{
    uint8_t block[HMAC_BLOCK_BYTES] = { 0 };
    if (key.size > sizeof(block))
        sha256_of(key.data, key.size, block);
    else if (key.size > 0)
        memcpy(block, key.data, key.size);
    struct sha256 h;
    hmac_pad(block, 0x36, &h);
    for (size_t i = 0; i < count; i++)
        sha256_update(&h, parts[i].data, parts[i].size);
    sha256_final(&h, out);
    hmac_pad(block, 0x5c, &h);
    sha256_update(&h, out, SHA256_BYTES);
    sha256_final(&h, out);
    OPENSSL_cleanse(block, sizeof(block));
    OPENSSL_cleanse(&h, sizeof(h));
}

enum { AEAD_PIECE_BYTES = 16384 };

/* struct aead is OpenSSL's context under a name of ours: one allocation, key set once. */
static EVP_CIPHER_CTX *ctx_of(struct aead *a)
{
    return (EVP_CIPHER_CTX *)a;
}

struct aead *aead_create(const uint8_t key[AEAD_KEY_BYTES])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx && EVP_CipherInit_ex2(ctx, chacha, key, NULL, 1, NULL) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    return (struct aead *)ctx;
}

void aead_destroy(struct aead *a)
{
    EVP_CIPHER_CTX_free(ctx_of(a));
}

/* Sets direction and nonce, mixes in the associated data. None of this allocates, so none fails. */
static void aead_start(EVP_CIPHER_CTX *ctx, uint64_t counter, struct bytes ad, int sealing)
{
    uint8_t nonce[12] = { 0 };
    le64_encode(nonce + 4, counter);
    int n = 0;
    int ok = EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, sealing, NULL);
    if (ok && ad.size > 0)
        ok = EVP_CipherUpdate(ctx, NULL, &n, ad.data, (int)ad.size);
    assert(ok == 1);
}

/* OpenSSL goes over its input twice, for the cipher and for the tag: in pieces, the second time
 * finds it in the first cache. 5 % at records of 64 KiB. */
static bool aead_update(EVP_CIPHER_CTX *ctx, struct bytes in, uint8_t *out)
{
    for (size_t at = 0; at < in.size; at += AEAD_PIECE_BYTES) {
        int n = 0, size = (int)MIN(in.size - at, AEAD_PIECE_BYTES);
        if (EVP_CipherUpdate(ctx, out + at, &n, in.data + at, size) != 1)
            return false;
    }
    return true;
}

void aead_seal(struct aead *a, uint64_t counter, struct bytes ad, struct bytes in, uint8_t *out)
{
    assert(in.size <= INT32_MAX && ad.size <= INT32_MAX);
    EVP_CIPHER_CTX *ctx = ctx_of(a);
    int n = 0;
    aead_start(ctx, counter, ad, 1);
    bool ok = aead_update(ctx, in, out);
    ok = ok && EVP_CipherFinal_ex(ctx, out + in.size, &n) == 1;
    ok = ok && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES, out + in.size) == 1;
    assert(ok);
}

bool aead_open(struct aead *a, uint64_t counter, struct bytes ad, struct bytes in, uint8_t *out)
{
    if (in.size < AEAD_TAG_BYTES || in.size > INT32_MAX)
        return false;
    EVP_CIPHER_CTX *ctx = ctx_of(a);
    size_t size = in.size - AEAD_TAG_BYTES;
    uint8_t tag[AEAD_TAG_BYTES], rest[16];
    memcpy(tag, in.data + size, sizeof(tag));
    int n = 0;
    aead_start(ctx, counter, ad, 0);
    return EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) == 1 &&
           aead_update(ctx, bytes_of(in.data, size), out) && EVP_CipherFinal_ex(ctx, rest, &n) == 1;
}

/* The SubjectPublicKeyInfo of every P-256 key with an uncompressed point, up to the point's 0x04.
 */
static const uint8_t p256_prefix[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                       0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                       0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00 };
enum { P256_POINT_BYTES = 65 };
static_assert(sizeof(p256_prefix) + P256_POINT_BYTES == P256_SPKI_BYTES, "prefix and point");

/* Drops what a failed call left in OpenSSL's per-thread queue; our sentence says what is wrong. */
static int key_error(struct error *err, enum err code, const char *text)
{
    ERR_clear_error();
    return error_set(err, code, "%s", text);
}

static EVP_PKEY *key_from(const char *type, int selection, OSSL_PARAM_BLD *bld)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;
    if (params && ctx && EVP_PKEY_fromdata_init(ctx) == 1)
        if (EVP_PKEY_fromdata(ctx, &key, selection, params) != 1)
            key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

/* priv may be NULL. OpenSSL checks that the point is on the curve. */
static EVP_PKEY *p256_key(struct bytes point, const BIGNUM *priv)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (bld &&
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.size) ==
            1 &&
        (!priv || OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, priv) == 1))
        key = key_from("EC", priv ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, bld);
    OSSL_PARAM_BLD_free(bld);
    return key;
}

static enum err key_verify(EVP_PKEY *key, struct bytes message, struct bytes signature,
                           struct error *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx && EVP_DigestVerifyInit(ctx, NULL, sha256_md, NULL, key) == 1 &&
             EVP_DigestVerify(ctx, signature.data, signature.size, message.data, message.size) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? ERR_OK : key_error(err, ERR_BAD_PROOF, "the signature does not match");
}

enum err p256_verify(struct bytes spki, struct bytes message, struct bytes signature,
                     struct error *err)
{
    if (spki.size != P256_SPKI_BYTES || memcmp(spki.data, p256_prefix, sizeof(p256_prefix)) != 0)
        return error_set(err, ERR_MALFORMED, "not the public key of a P-256 identity");
    EVP_PKEY *key = p256_key(bytes_of(spki.data + sizeof(p256_prefix), P256_POINT_BYTES), NULL);
    if (!key)
        return key_error(err, ERR_MALFORMED, "the P-256 point is not on its curve");
    enum err rc = key_verify(key, message, signature, err);
    EVP_PKEY_free(key);
    return rc;
}

/* The scalar as a number with its public point; NULL when it is out of range. */
static BIGNUM *p256_scalar(const uint8_t scalar[P256_SCALAR_BYTES], uint8_t point[P256_POINT_BYTES])
{
    BIGNUM *n = BN_bin2bn(scalar, P256_SCALAR_BYTES, NULL);
    EC_POINT *at = EC_POINT_new(p256);
    bool ok = n && at && !BN_is_zero(n) && BN_cmp(n, EC_GROUP_get0_order(p256)) < 0;
    if (ok)
        BN_set_flags(n, BN_FLG_CONSTTIME);
    ok = ok && EC_POINT_mul(p256, at, n, NULL, NULL, NULL) == 1 &&
         EC_POINT_point2oct(p256, at, POINT_CONVERSION_UNCOMPRESSED, point, P256_POINT_BYTES,
                            NULL) == P256_POINT_BYTES;
    EC_POINT_free(at);
    if (!ok) {
        BN_clear_free(n);
        n = NULL;
    }
    return n;
}

enum err p256_public(const uint8_t scalar[P256_SCALAR_BYTES], uint8_t out[P256_SPKI_BYTES],
                     struct error *err)
{
    uint8_t point[P256_POINT_BYTES];
    BIGNUM *n = p256_scalar(scalar, point);
    if (!n)
        return key_error(err, ERR_MALFORMED, "the P-256 scalar is out of range");
    BN_clear_free(n);
    memcpy(out, p256_prefix, sizeof(p256_prefix));
    memcpy(out + sizeof(p256_prefix), point, sizeof(point));
    return ERR_OK;
}

enum err p256_sign(const uint8_t scalar[P256_SCALAR_BYTES], struct bytes message,
                   uint8_t out[P256_SIGNATURE_MAX], size_t *out_size, struct error *err)
{
    uint8_t point[P256_POINT_BYTES];
    BIGNUM *n = p256_scalar(scalar, point);
    if (!n)
        return key_error(err, ERR_MALFORMED, "the P-256 scalar is out of range");
    EVP_PKEY *key = p256_key(bytes_of(point, sizeof(point)), n);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t size = P256_SIGNATURE_MAX;
    bool ok = key && ctx && EVP_DigestSignInit(ctx, NULL, sha256_md, NULL, key) == 1 &&
              EVP_DigestSign(ctx, out, &size, message.data, message.size) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    BN_clear_free(n);
    if (!ok)
        return key_error(err, ERR_SYSTEM, "signing with P-256 failed");
    *out_size = size;
    return ERR_OK;
}

/* One DER element with the wanted tag and the shortest length form; {NULL, 0} fails the reader. */
static struct bytes der_element(struct reader *r, uint8_t tag)
{
    if (reader_u8(r) != tag)
        reader_fail(r, ERR_MALFORMED);
    uint32_t size = reader_u8(r);
    if (size == 0x81) {
        size = reader_u8(r);
        if (size < 0x80)
            reader_fail(r, ERR_MALFORMED);
    } else if (size == 0x82) {
        size = reader_be16(r);
        if (size < 0x100)
            reader_fail(r, ERR_MALFORMED);
    } else if (size >= 0x80) {
        reader_fail(r, ERR_MALFORMED);
    }
    return reader_take(r, size);
}

/* A positive DER integer in its shortest form, without its sign byte. */
static struct bytes der_unsigned(struct reader *r)
{
    struct bytes b = der_element(r, 0x02);
    if (b.size == 0 || (b.data[0] & 0x80) || (b.size > 1 && b.data[0] == 0 && b.data[1] < 0x80)) {
        reader_fail(r, ERR_MALFORMED);
        return (struct bytes){ NULL, 0 };
    }
    return b.data[0] == 0 ? bytes_of(b.data + 1, b.size - 1) : b;
}

/* SEQUENCE { SEQUENCE { rsaEncryption, NULL }, BIT STRING { SEQUENCE { n, e } } } */
static enum err rsa_parse(struct bytes spki, struct bytes *n, struct bytes *e, struct error *err)
{
    static const uint8_t algorithm[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                         0x0d, 0x01, 0x01, 0x01, 0x05, 0x00 };
    struct reader whole = reader_of(spki);
    struct reader outer = reader_of(der_element(&whole, 0x30));
    struct bytes id = der_element(&outer, 0x30);
    struct reader bits = reader_of(der_element(&outer, 0x03));
    bool ok = bytes_equal(id, bytes_of(algorithm, sizeof(algorithm))) && reader_u8(&bits) == 0;
    struct reader key = reader_of(der_element(&bits, 0x30));
    *n = der_unsigned(&key);
    *e = der_unsigned(&key);
    ok = ok && !reader_finish(&whole, "key", NULL) && !reader_finish(&outer, "key", NULL) &&
         !reader_finish(&bits, "key", NULL) && !reader_finish(&key, "key", NULL);
    return ok ? ERR_OK : error_set(err, ERR_MALFORMED, "not the public key of an RSA identity");
}

static EVP_PKEY *rsa_key(struct bytes n, struct bytes e)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *bn_n = BN_bin2bn(n.data, (int)n.size, NULL);
    BIGNUM *bn_e = BN_bin2bn(e.data, (int)e.size, NULL);
    EVP_PKEY *key = NULL;
    if (bld && bn_n && bn_e && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, bn_e) == 1)
        key = key_from("RSA", EVP_PKEY_PUBLIC_KEY, bld);
    BN_free(bn_n);
    BN_free(bn_e);
    OSSL_PARAM_BLD_free(bld);
    return key;
}

enum err rsa_verify(struct bytes spki, struct bytes message, struct bytes signature,
                    struct error *err)
{
    struct bytes n, e;
    enum err rc = rsa_parse(spki, &n, &e, err);
    if (rc)
        return rc;
    uint32_t bits = (uint32_t)n.size * 8 - (uint32_t)(__builtin_clz(n.data[0]) - 24);
    if (!LIMIT_CHECK(RSA_MODULUS_BITS_MAX, bits))
        return error_set(err, ERR_TOO_LARGE, "an RSA key of %" PRIu32 " bits", bits);
    if (bits < LIMIT_RSA_MODULUS_BITS_MIN) {
        LIMIT_HIT(RSA_MODULUS_BITS_MIN);
        return error_set(err, ERR_MALFORMED, "an RSA key of only %" PRIu32 " bits", bits);
    }
    /* As Go's crypto/rsa: odd, above 1, at most 31 bits; a longer one only costs time. */
    if (e.size > 4 || (e.size == 4 && e.data[0] >= 0x80) || (e.size == 1 && e.data[0] < 3) ||
        !(e.data[e.size - 1] & 1))
        return error_set(err, ERR_MALFORMED, "an RSA key with an unusual exponent");
    EVP_PKEY *key = rsa_key(n, e);
    if (!key)
        return key_error(err, ERR_MALFORMED, "an RSA key that OpenSSL refuses");
    rc = key_verify(key, message, signature, err);
    EVP_PKEY_free(key);
    return rc;
}
