#include "codec/curve.h"

#include <sodium.h>

__attribute__((constructor)) static void curve_init(void)
{
    int rc = sodium_init();
    assert(rc >= 0);
}

void x25519_public(const uint8_t secret[X25519_BYTES], uint8_t out[X25519_BYTES])
{
    int rc = crypto_scalarmult_base(out, secret);
    assert(rc == 0);
}

bool x25519_shared(const uint8_t secret[X25519_BYTES], const uint8_t theirs[X25519_BYTES],
                   uint8_t out[X25519_BYTES])
{
    return crypto_scalarmult(out, secret, theirs) == 0;
}

void ed25519_from_seed(const uint8_t seed[ED25519_SEED_BYTES], uint8_t secret[ED25519_SECRET_BYTES])
{
    uint8_t pub[ED25519_PUBLIC_BYTES];
    int rc = crypto_sign_seed_keypair(pub, secret, seed);
    assert(rc == 0);
}

void ed25519_sign(const uint8_t secret[ED25519_SECRET_BYTES], struct bytes message,
                  uint8_t out[ED25519_SIGNATURE_BYTES])
{
    int rc = crypto_sign_detached(out, NULL, message.data, message.size, secret);
    assert(rc == 0);
}

bool ed25519_verify(const uint8_t pub[ED25519_PUBLIC_BYTES], struct bytes message,
                    const uint8_t signature[ED25519_SIGNATURE_BYTES])
{
    return crypto_sign_verify_detached(signature, message.data, message.size, pub) == 0;
}

void blake2b256_of(const void *data, size_t size, uint8_t out[BLAKE2B256_BYTES])
{
    int rc = crypto_generichash(out, BLAKE2B256_BYTES, data, size, NULL, 0);
    assert(rc == 0);
}

bool secret_equal(const void *a, const void *b, size_t size)
{
    return sodium_memcmp(a, b, size) == 0;
}

void secret_wipe(void *p, size_t size)
{
    sodium_memzero(p, size);
}

void secret_random(void *out, size_t size)
{
    randombytes_buf(out, size);
}
