/* lib/net/ping.h
 *
 * /ipfs/ping/1.0.0: 32 bytes, echoed until the opener closes. We answer everybody: bee probes
 * reachability with a stranger that only pings.
 * https://github.com/libp2p/specs/blob/master/ping/ping.md
 * Ownership: a request is a field of its caller's struct. Thread: loop only.
 */
#ifndef LARDER_NET_PING_H
#define LARDER_NET_PING_H

#include "net/host.h"

enum { PING_BYTES = 32 };

extern const struct stream_ops ping_ops; /* registered by every host */

/* One round trip on a stream of its own: go ends a ping stream after 30 s. */
struct ping;
typedef void ping_cb(struct ping *p, const struct error *err);
struct ping {
    struct peer_id to; /* in: a connected peer */
    ping_cb *cb;       /* in: err NULL: rtt_ns holds; the last call */
    uint64_t rtt_ns;   /* out */
    struct stream_open open_;
    struct stream *stream_;
    uint64_t sent_ns_;
    uint8_t out_[PING_BYTES], in_[PING_BYTES];
    uint8_t have_;
    bool sent_, done_;
};
void ping(struct host *h, struct ping *p);
void ping_cancel(struct ping *p); /* cb still comes */

#endif
