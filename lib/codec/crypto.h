/* lib/codec/crypto.h
 *
 * What OpenSSL's libcrypto does for us, and nothing else includes it: ChaCha20-Poly1305 records,
 * SHA-2, HMAC, P-256 and RSA. Algorithms are fetched once, before main; an implicit fetch at each
 * use costs time and takes locks.
 * Thread: any, an aead by one thread at a time. Nothing here blocks.
 */
#ifndef LARDER_CODEC_CRYPTO_H
#define LARDER_CODEC_CRYPTO_H

#include "base/bytes.h"

enum {
    SHA256_BYTES = 32,
    SHA512_BYTES = 64,
    AEAD_KEY_BYTES = 32,
    AEAD_TAG_BYTES = 16,
    P256_SCALAR_BYTES = 32,
    P256_SPKI_BYTES = 91,    /* DER SubjectPublicKeyInfo with an uncompressed point */
    P256_SIGNATURE_MAX = 72, /* DER */
};

/* A running hash is a plain value: it may live on the stack, be copied and be thrown away. */
struct sha256 {
    uint64_t state_[14];
};
void sha256_init(struct sha256 *h);
void sha256_update(struct sha256 *h, const void *data, size_t size);
void sha256_final(struct sha256 *h, uint8_t out[SHA256_BYTES]);
void sha256_of(const void *data, size_t size, uint8_t out[SHA256_BYTES]);

struct sha512 {
    uint64_t state_[27];
};
void sha512_init(struct sha512 *h);
void sha512_update(struct sha512 *h, const void *data, size_t size);
void sha512_final(struct sha512 *h, uint8_t out[SHA512_BYTES]);
void sha512_of(const void *data, size_t size, uint8_t out[SHA512_BYTES]);

/* HMAC-SHA256 over the parts, one after the other. */
void hmac_sha256(struct bytes key, const struct bytes *parts, size_t count,
                 uint8_t out[SHA256_BYTES]);

/* ChaCha20-Poly1305 with one key. The nonce is Noise's: four zero bytes, then the counter in
 * little-endian order. Never seal twice with one counter. In place (out == in) is fine. */
struct aead;
struct aead *aead_create(const uint8_t key[AEAD_KEY_BYTES]); /* NULL: no memory */
void aead_destroy(struct aead *a);                           /* NULL is fine; the key is wiped */
/* out has room for in.size + AEAD_TAG_BYTES. */
void aead_seal(struct aead *a, uint64_t counter, struct bytes ad, struct bytes in, uint8_t *out);
/* out has room for in.size - AEAD_TAG_BYTES; false: too short or not sealed with this key, counter
 * and ad (then out holds nothing of value). */
bool aead_open(struct aead *a, uint64_t counter, struct bytes ad, struct bytes in,
               uint8_t *out) WARN_UNUSED;

/* Signatures over SHA-256 of the message, DER. The key is the exact SubjectPublicKeyInfo of a P-256
 * key with an uncompressed point. ERR_MALFORMED: not such a key; ERR_BAD_PROOF: does not match. */
enum err p256_verify(struct bytes spki, struct bytes message, struct bytes signature,
                     struct error *err);
enum err p256_sign(const uint8_t scalar[P256_SCALAR_BYTES], struct bytes message,
                   uint8_t out[P256_SIGNATURE_MAX], size_t *out_size, struct error *err);
/* ERR_MALFORMED: zero or not below the order. */
enum err p256_public(const uint8_t scalar[P256_SCALAR_BYTES], uint8_t out[P256_SPKI_BYTES],
                     struct error *err);

/* PKCS#1 v1.5 over SHA-256. Moduli of 2048 to 8192 bits; others are refused before arithmetic. */
enum err rsa_verify(struct bytes spki, struct bytes message, struct bytes signature,
                    struct error *err);

#endif
