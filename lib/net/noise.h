/* lib/net/noise.h
 *
 * Noise_XX_25519_ChaChaPoly_SHA256 with libp2p's payload: who is at the other end of this
 * connection, and records that nobody else can read or change.
 * https://noiseprotocol.org/noise.html, https://github.com/libp2p/specs/tree/master/noise
 *
 *     e                    -->                       empty payload, in clear
 *                          <--  e, ee, s, es         payload
 *     s, se                -->                       payload
 *
 * Messages and records have their length in front, 2 bytes big-endian; the framing is the caller's
 * (noise_frame_size). No I/O.
 * Owns:   two AEAD contexts per finished handshake. Thread: loop only.
 * Errors: ERR_MALFORMED, ERR_BAD_PROOF (sealed or signed wrongly, or another peer than expected),
 *         ERR_PROTOCOL, ERR_SYSTEM (no memory for a context).
 */
#ifndef LARDER_NET_NOISE_H
#define LARDER_NET_NOISE_H

#include "codec/peerid.h"

enum {
    NOISE_LENGTH_BYTES = 2,
    NOISE_RECORD_MAX = 65535,
    NOISE_PLAIN_MAX = NOISE_RECORD_MAX - AEAD_TAG_BYTES,
    NOISE_PAYLOAD_MAX = 512, /* of ours: a P-256 key, its signature, one muxer */
    NOISE_MESSAGE_MAX = NOISE_LENGTH_BYTES + 96 + AEAD_TAG_BYTES + NOISE_PAYLOAD_MAX,
    /* What the two contexts of a connection take inside libcrypto, to be charged for it. */
    NOISE_CONTEXT_BYTES = 2 * 1056,
};

/* Our static key and the payload that proves it, made once per process and never stored. */
struct noise_static {
    uint8_t secret[X25519_BYTES];
    uint8_t pub[X25519_BYTES];
    uint8_t payload[NOISE_PAYLOAD_MAX];
    size_t payload_size;
};
/* secret: 32 fresh random bytes. muxers: what we offer inside the handshake, NULL at the end. */
enum err noise_static_init(struct noise_static *st, const struct peer_secret *identity,
                           const uint8_t secret[X25519_BYTES], const char *const *muxers,
                           struct error *err);

enum noise_step {
    NOISE_WRITE_1,
    NOISE_READ_1,
    NOISE_WRITE_2,
    NOISE_READ_2,
    NOISE_WRITE_3,
    NOISE_READ_3,
    NOISE_DONE,
    NOISE_BROKEN
};

struct noise {
    enum noise_step step; /* what comes next; a dialer writes 1, reads 2, writes 3 */
    bool dialer;
    bool muxer_named;      /* their list names ours: no negotiation after the handshake */
    const char *muxer_;    /* ours, borrowed */
    struct peer_id remote; /* once their payload is verified */
    const struct noise_static *static_; /* borrowed */
    struct peer_id expected_;           /* len 0: anybody */
    uint8_t h_[SHA256_BYTES], ck_[SHA256_BYTES], k_[AEAD_KEY_BYTES];
    uint64_t n_;
    uint8_t e_[X25519_BYTES], e_pub_[X25519_BYTES]; /* ours */
    uint8_t re_[X25519_BYTES], rs_[X25519_BYTES];   /* theirs */
};

struct noise_options {
    bool dialer;
    const struct noise_static *st;   /* borrowed until the end of the handshake */
    const struct peer_id *expected;  /* a dialer's; NULL: anybody */
    const char *muxer;               /* the name to look for in their list */
    uint8_t ephemeral[X25519_BYTES]; /* fresh random bytes, wiped by noise_wipe */
};
void noise_init(struct noise *n, const struct noise_options *options);
/* The next message with its length in front; step must be one of the writes. */
enum err noise_write(struct noise *n, struct writer *out, struct error *err);
/* A whole message without its length; step must be one of the reads. It is opened in place. */
enum err noise_read(struct noise *n, uint8_t *message, size_t size, struct error *err);

/* The records after the handshake. Zeroed is fine for noise_records_close. */
struct noise_records {
    struct aead *seal_, *open_;
    uint64_t sealed_, opened_;
    uint32_t empty_; /* in a row */
};
/* step must be NOISE_DONE. Wipes n but for remote and muxer_named. */
enum err noise_split(struct noise *n, struct noise_records *out, struct error *err);
void noise_wipe(struct noise *n);
void noise_records_close(struct noise_records *r);

/* buf holds NOISE_LENGTH_BYTES of room, size bytes of plaintext, AEAD_TAG_BYTES of room. Returns
 * the size of the record with its length. */
size_t noise_seal(struct noise_records *r, uint8_t *buf, size_t size);
/* Opens a record (without its length) in place; *size becomes that of the plaintext, which may be
 * 0. Any error ends the connection. */
enum err noise_open(struct noise_records *r, uint8_t *record, size_t *size, struct error *err);

/* The size of the frame at the front of b with its length, or 0 while the length is not there. */
static inline size_t noise_frame_size(struct bytes b)
{
    return b.size < NOISE_LENGTH_BYTES ? 0 : NOISE_LENGTH_BYTES + (size_t)be16_decode(b.data);
}

#endif
