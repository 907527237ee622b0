/* lib/codec/sig.h
 *
 * ECDSA over secp256k1: Ethereum's recoverable signatures (Swarm stamps, single-owner chunks,
 * handshake records) and plain DER ones (libp2p peers with such a key). With sig_batch.c the
 * only includer of libsecp256k1.
 * Verifying needs no state. Signing needs a struct sig_signer: a key and a context blinded with a
 * seed; it is constant after its init, so workers share it.
 * Ownership: a signer is the caller's plain struct, without memory of its own; wipe it at its end.
 * Thread: any. Errors: ERR_BAD_PROOF (does not verify), ERR_MALFORMED (not even a signature or
 * key).
 */
#ifndef LARDER_CODEC_SIG_H
#define LARDER_CODEC_SIG_H

#include "base/bytes.h"

enum {
    SIG_BYTES = 65, /* r[32] || s[32] || v; big endian, as Ethereum writes it */
    SIG_DIGEST_BYTES = 32,
    SIG_SECRET_BYTES = 32,
    SIG_KEY_BYTES = 65,            /* uncompressed: 04 || x || y */
    SIG_KEY_COMPRESSED_BYTES = 33, /* 02 or 03 || x */
    SIG_DER_BYTES_MAX = 72,
    SIG_ETH_ADDRESS_BYTES = 20,
    SIG_SEED_BYTES = 32,
    SIG_SIDE_MAX = 8,
};

/* H("\x19Ethereum Signed Message:\n" || decimal length || data) */
void sig_eth_digest(uint8_t out[SIG_DIGEST_BYTES], struct bytes data);
/* The same for count digests of 32 bytes, one behind the other; count <= SIG_SIDE_MAX. */
void sig_eth_digests(uint8_t *out, const uint8_t *data, size_t count);
/* The last 20 bytes of H(x || y). */
void sig_eth_address(uint8_t out[SIG_ETH_ADDRESS_BYTES], const uint8_t key[SIG_KEY_BYTES]);

/* Which key made this signature? Takes exactly what bee's crypto.Recover takes: v 27..34, where
 * 31..34 mean the same as 27..30; high s too; 29 and 30 only when r + n is an x coordinate. */
enum err sig_recover(uint8_t key[SIG_KEY_BYTES], const uint8_t digest[SIG_DIGEST_BYTES],
                     const uint8_t sig[SIG_BYTES], struct error *err);
/* Whose signature of data (not digested yet) is this? */
enum err sig_eth_recover(uint8_t owner[SIG_ETH_ADDRESS_BYTES], struct bytes data,
                         const uint8_t sig[SIG_BYTES], struct error *err);

/* A compressed or uncompressed key is a point of the curve. */
enum err sig_key_check(struct bytes key, struct error *err);
/* A DER signature over a digest; high s is normalised first, as libp2p's implementations do. */
enum err sig_verify_der(struct bytes key, const uint8_t digest[SIG_DIGEST_BYTES], struct bytes der,
                        struct error *err);

struct sig_signer {
    uint8_t secret_[SIG_SECRET_BYTES];
    uint8_t key_[SIG_KEY_BYTES], compressed_[SIG_KEY_COMPRESSED_BYTES];
    _Alignas(16) uint8_t context_[512]; /* of libsecp256k1; not moved after init */
};
/* seed: fresh random bytes for the blinding. ERR_MALFORMED: secret is zero or not below the order.
 */
enum err sig_signer_init(struct sig_signer *s, const uint8_t secret[SIG_SECRET_BYTES],
                         const uint8_t seed[SIG_SEED_BYTES], struct error *err);
void sig_signer_wipe(struct sig_signer *s); /* the secret is overwritten; zeroed structs are fine */
const uint8_t *sig_signer_key(const struct sig_signer *s);        /* SIG_KEY_BYTES */
const uint8_t *sig_signer_compressed(const struct sig_signer *s); /* SIG_KEY_COMPRESSED_BYTES */
void sig_signer_eth_address(const struct sig_signer *s, uint8_t out[SIG_ETH_ADDRESS_BYTES]);

/* Deterministic (RFC 6979), low s, v 27 or 28. */
void sig_eth_sign(const struct sig_signer *s, struct bytes data, uint8_t out[SIG_BYTES]);
/* Returns how many bytes of out were written. */
size_t sig_sign_der(const struct sig_signer *s, const uint8_t digest[SIG_DIGEST_BYTES],
                    uint8_t out[SIG_DER_BYTES_MAX]);

#endif
