/* lib/codec/curve.h
 *
 * What libsodium does for us, and nothing else includes it: X25519, ed25519, BLAKE2b-256,
 * comparison in constant time, wiping, and secret random bytes. It is initialised before main.
 * Thread: any. Nothing here blocks, save curve_random early in a machine's boot.
 */
#ifndef LARDER_CODEC_CURVE_H
#define LARDER_CODEC_CURVE_H

#include "base/bytes.h"

enum {
    X25519_BYTES = 32,
    ED25519_SEED_BYTES = 32,
    ED25519_PUBLIC_BYTES = 32,
    ED25519_SECRET_BYTES = 64, /* seed, then public key */
    ED25519_SIGNATURE_BYTES = 64,
    BLAKE2B256_BYTES = 32,
};

void x25519_public(const uint8_t secret[X25519_BYTES], uint8_t out[X25519_BYTES]);
/* False when the result is all zeros: the other side sent a point of small order. */
bool x25519_shared(const uint8_t secret[X25519_BYTES], const uint8_t theirs[X25519_BYTES],
                   uint8_t out[X25519_BYTES]) WARN_UNUSED;

void ed25519_from_seed(const uint8_t seed[ED25519_SEED_BYTES],
                       uint8_t secret[ED25519_SECRET_BYTES]);
void ed25519_sign(const uint8_t secret[ED25519_SECRET_BYTES], struct bytes message,
                  uint8_t out[ED25519_SIGNATURE_BYTES]);
bool ed25519_verify(const uint8_t pub[ED25519_PUBLIC_BYTES], struct bytes message,
                    const uint8_t signature[ED25519_SIGNATURE_BYTES]) WARN_UNUSED;

void blake2b256_of(const void *data, size_t size, uint8_t out[BLAKE2B256_BYTES]);

bool secret_equal(const void *a, const void *b, size_t size) WARN_UNUSED; /* in constant time */
void secret_wipe(void *p, size_t size);                                   /* not optimised away */
void secret_random(void *out, size_t size);

#endif
