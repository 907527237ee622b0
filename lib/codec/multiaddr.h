/* lib/codec/multiaddr.h
 *
 * Addresses as a sequence of (code, value): https://github.com/multiformats/multiaddr; codes from
 * its protocols.csv. Where go and rust differ (empty address, empty name, one trailing slash, a
 * CIDv1 as peer id) we follow go.
 * Ownership: parts borrow the address. Thread: any. Nothing is allocated.
 */
#ifndef LARDER_CODEC_MULTIADDR_H
#define LARDER_CODEC_MULTIADDR_H

#include "codec/peerid.h"

enum multiaddr_code {
    MULTIADDR_IP4 = 4,
    MULTIADDR_TCP = 6,
    MULTIADDR_IP6 = 41,
    MULTIADDR_IP6ZONE = 42,
    MULTIADDR_DNS = 53,
    MULTIADDR_DNS4 = 54,
    MULTIADDR_DNS6 = 55,
    MULTIADDR_DNSADDR = 56,
    MULTIADDR_UDP = 273,
    MULTIADDR_WEBRTC_DIRECT = 280,
    MULTIADDR_P2P_CIRCUIT = 290,
    MULTIADDR_UNIX = 400,
    MULTIADDR_P2P = 421,
    MULTIADDR_ONION3 = 445,
    MULTIADDR_TLS = 448,
    MULTIADDR_SNI = 449,
    MULTIADDR_QUIC = 460,
    MULTIADDR_QUIC_V1 = 461,
    MULTIADDR_WEBTRANSPORT = 465,
    MULTIADDR_CERTHASH = 466,
    MULTIADDR_WS = 477,
    MULTIADDR_WSS = 478,
    MULTIADDR_HTTP = 480,
    MULTIADDR_MEMORY = 777,
};

enum { MULTIADDR_TEXT_MAX = 4 * LIMIT_MULTIADDR_BYTES };

struct multiaddr_part {
    uint64_t code;
    struct bytes value; /* without its length */
};

/* The next part; false at the end and after a failure. ERR_UNSUPPORTED stands for a code we do not
 * know: the rest cannot be split, and the address is to be dropped, not the message around it. */
bool multiaddr_next(struct reader *r, struct multiaddr_part *out);

/* Is all of b an address of known parts within the limits? */
enum err multiaddr_check(struct bytes b, struct error *err);

enum err multiaddr_from_text(const char *text, size_t text_size, struct writer *out,
                             struct error *err);
/* Peer ids come out in base58, IPv6 as in RFC 5952. ERR_TOO_LARGE when it does not fit. */
enum err multiaddr_to_text(struct bytes b, char *out, size_t out_size, struct error *err);

/* (ip4 | ip6 | dns | dns4 | dns6 | dnsaddr) tcp [p2p]; a dnsaddr has no tcp. */
struct multiaddr_target {
    enum multiaddr_code host; /* IP4, IP6, DNS, DNS4, DNS6 or DNSADDR */
    struct bytes value;       /* 4 or 16 bytes, or a name without NUL */
    uint16_t port;            /* 0 with DNSADDR */
    struct peer_id peer;      /* len 0: none was named */
};
/* False: we cannot dial it (UDP, relayed, WebSocket, unknown, malformed). */
bool multiaddr_target(struct bytes b, struct multiaddr_target *out) WARN_UNUSED;

/* host and tcp parts, and a p2p part unless peer is NULL. family: MULTIADDR_IP4 or _IP6. */
void multiaddr_put_tcp(struct writer *w, enum multiaddr_code family, const uint8_t *ip,
                       uint16_t port);
void multiaddr_put_peer(struct writer *w, const struct peer_id *peer);

#endif
