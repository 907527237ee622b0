/* lib/codec/overlay.h
 *
 * Who a Swarm node is: its overlay address, the proximity of addresses, and the signed record that
 * names its overlay and its underlays (the multiaddrs where it is reached), as handshake and hive
 * carry it.
 * Source: bee's pkg/bzz, pkg/swarm, pkg/p2p/libp2p/internal/handshake.
 * Ownership: records borrow from the message they were read from. Thread: any.
 * Errors: ERR_MALFORMED, ERR_LIMIT, ERR_BAD_PROOF.
 */
#ifndef LARDER_CODEC_OVERLAY_H
#define LARDER_CODEC_OVERLAY_H

#include "codec/sig.h"

enum {
    OVERLAY_BYTES = 32,
    OVERLAY_NONCE_BYTES = 32,
    OVERLAY_CHEQUEBOOK_BYTES = 20,
    OVERLAY_BIN_MAX = 31,
};

/* H(ethereum address || network id, 8 bytes LE || nonce) */
void overlay_compute(uint8_t out[OVERLAY_BYTES], const uint8_t owner[SIG_ETH_ADDRESS_BYTES],
                     uint64_t network_id, const uint8_t nonce[OVERLAY_NONCE_BYTES]);

/* Equal leading bits of two addresses, at most 31: the bin of one as seen from the other. */
unsigned overlay_proximity(const uint8_t a[OVERLAY_BYTES], const uint8_t b[OVERLAY_BYTES]);

/* The underlays of a record: one address as it is; none or several as 0x99 and, for each,
 * uvarint(length) || address. Addresses are not looked into: codec/multiaddr.c does that. */
struct overlay_underlays {
    struct bytes addrs[LIMIT_UNDERLAYS];
    uint32_t count;
};
enum err overlay_underlays_parse(struct overlay_underlays *out, struct bytes raw,
                                 struct error *err);
/* False: more than LIMIT_UNDERLAYS_BYTES, or w is full. */
bool overlay_underlays_write(struct writer *w, const struct overlay_underlays *u);

/* The fields of a BzzAddress as they stand on the wire. */
struct overlay_record {
    struct bytes underlays, signature, overlay, nonce;
    int64_t timestamp_s;     /* Unix time when it was made */
    struct bytes chequebook; /* 20 bytes, or none */
};

/* Signs rec->underlays, overlay, nonce, timestamp and chequebook for one network. */
void overlay_record_sign(const struct overlay_record *rec, uint64_t network_id,
                         const struct sig_signer *signer, uint8_t out[SIG_BYTES]);

/* Every check a receiver makes that needs no state but these: sizes of all fields, at least one
 * underlay, a timestamp above 0, at most LIMIT_RECORD_AHEAD_S in the future and not below
 * newest_known_s (0 when none was seen), and a signature whose signer owns the overlay. */
struct overlay_check {
    uint64_t network_id;
    int64_t now_s, newest_known_s;
};
enum err overlay_record_check(const struct overlay_record *rec, const struct overlay_check *c,
                              struct error *err);

#endif
