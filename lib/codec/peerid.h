/* lib/codec/peerid.h
 *
 * Peer ids and the key messages they are made from:
 * https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md
 * Ownership: a decoded public key borrows its message. Thread: any.
 */
#ifndef LARDER_CODEC_PEERID_H
#define LARDER_CODEC_PEERID_H

#include "codec/crypto.h"
#include "codec/curve.h"

/* A multihash: identity for keys whose message has at most 42 bytes, else sha2-256. len 0: none. */
struct peer_id {
    uint8_t len;
    uint8_t bytes[43];
};

enum {
    PEER_ID_BYTES_MAX = 42,
    PEER_ID_TEXT_MAX = 64, /* base58 with NUL: 52, 53 or 46 characters in practice */
    PEER_KEY_INLINE_MAX = 42,
    PEER_PUBLIC_MAX = 4 + P256_SPKI_BYTES, /* the largest public key message of our own keys */
    PEER_SIGNATURE_MAX = P256_SIGNATURE_MAX,
};

enum peer_key_type { /* crypto.proto of libp2p */
                     PEER_KEY_RSA = 0,
                     PEER_KEY_ED25519 = 1,
                     PEER_KEY_SECP256K1 = 2,
                     PEER_KEY_ECDSA = 3,
};

struct peer_key {
    enum peer_key_type type;
    struct bytes data;  /* see peerid.c's table */
    struct bytes whole; /* the message */
};

static inline struct bytes peer_id_bytes(const struct peer_id *id)
{
    return bytes_of(id->bytes, id->len);
}
static inline bool peer_id_equal(const struct peer_id *a, const struct peer_id *b)
{
    return bytes_equal(peer_id_bytes(a), peer_id_bytes(b));
}

/* ERR_MALFORMED unless b is a sha2-256 or identity multihash of at most 42 bytes. */
enum err peer_id_parse(struct bytes b, struct peer_id *out, struct error *err);
/* Base58btc, or a CIDv1 with codec libp2p-key in any multibase. */
enum err peer_id_from_text(const char *text, size_t text_size, struct peer_id *out,
                           struct error *err);
char *peer_id_to_text(const struct peer_id *id, char out[PEER_ID_TEXT_MAX]); /* base58btc */

/* A public key message. ERR_MALFORMED when it is not in its one canonical form: extra fields,
 * another order, long lengths; hashing such a message would give one key several ids. */
enum err peer_key_decode(struct bytes message, struct peer_key *out, struct error *err);
/* From the message as received. */
void peer_key_id(const struct peer_key *key, struct peer_id *out);
/* ERR_BAD_PROOF when it does not match, ERR_MALFORMED or ERR_TOO_LARGE when the key is bad. */
enum err peer_key_verify(const struct peer_key *key, struct bytes message, struct bytes signature,
                         struct error *err);

/* A secret key of our own: ed25519, secp256k1 or ECDSA P-256. Wipe it with secret_wipe. */
struct peer_secret {
    enum peer_key_type type;
    uint8_t secret[ED25519_SECRET_BYTES]; /* seed and public part, or a scalar of 32 bytes */
    uint8_t public_message[PEER_PUBLIC_MAX];
    size_t public_size;
    struct peer_id id;
};

/* A private key message, as go-libp2p and bee write it. ERR_UNSUPPORTED for RSA. */
enum err peer_secret_decode(struct bytes message, struct peer_secret *out, struct error *err);
void peer_secret_from_seed(const uint8_t seed[ED25519_SEED_BYTES], struct peer_secret *out);
/* The message of an ed25519 or secp256k1 secret. out: 2 + 2 + 64 bytes are enough. */
void peer_secret_put(struct writer *w, const struct peer_secret *s);
enum err peer_secret_sign(const struct peer_secret *s, struct bytes message,
                          uint8_t out[PEER_SIGNATURE_MAX], size_t *out_size, struct error *err);

#endif
