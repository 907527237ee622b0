/* lib/swarm/identity.h
 *
 * Who we are in a Swarm network: an Ethereum key, a nonce, and the overlay address they make.
 * Ownership: plain struct in the caller's place, not moved after init; wipe it at its end.
 * Thread: init and wipe: the loop. The rest is constant, so any. Mining: a worker or no loop.
 * Errors: ERR_MALFORMED.
 */
#ifndef LARDER_SWARM_IDENTITY_H
#define LARDER_SWARM_IDENTITY_H

#include "codec/overlay.h"

struct swarm_identity {
    struct sig_signer signer;
    uint8_t ethereum[SIG_ETH_ADDRESS_BYTES];
    uint8_t nonce[OVERLAY_NONCE_BYTES];
    uint8_t overlay[OVERLAY_BYTES];
    uint64_t network_id;
};
enum err swarm_identity_init(struct swarm_identity *id, const uint8_t secret[SIG_SECRET_BYTES],
                             const uint8_t nonce[OVERLAY_NONCE_BYTES], uint64_t network_id,
                             struct error *err);
void swarm_identity_wipe(struct swarm_identity *id); /* zeroed ones are fine */

/* 64 hex digits. */
enum err swarm_nonce_parse(uint8_t out[OVERLAY_NONCE_BYTES], const char *text, struct error *err);

/* A neighbourhood: the first bits of its overlays. */
struct swarm_prefix {
    uint8_t bytes[OVERLAY_BYTES];
    uint32_t bits;
};
/* Of zeros and ones, at most LIMIT_OVERLAY_PREFIX_BITS. */
enum err swarm_prefix_parse(struct swarm_prefix *out, const char *text, struct error *err);
bool swarm_prefix_matches(const struct swarm_prefix *p, const uint8_t overlay[OVERLAY_BYTES]);
/* A nonce whose overlay lies there: 2^bits tries on average, about a million a second. */
void swarm_nonce_mine(uint8_t nonce[OVERLAY_NONCE_BYTES], uint8_t overlay[OVERLAY_BYTES],
                      const uint8_t ethereum[SIG_ETH_ADDRESS_BYTES], uint64_t network_id,
                      const struct swarm_prefix *p);

#endif
