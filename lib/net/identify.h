/* lib/net/identify.h
 *
 * /ipfs/id/1.0.0: the side that opens the stream is told who the other is: key, addresses,
 * protocols, the address it is seen at, agent.
 * https://github.com/libp2p/specs/blob/master/identify/README.md
 * Thread: any for the messages, which are values; the loop for asking.
 */
#ifndef LARDER_NET_IDENTIFY_H
#define LARDER_NET_IDENTIFY_H

#include "net/frame.h"
#include "net/host.h"

struct identify_own { /* what we say */
    struct bytes public_key;
    const struct host *host; /* its addresses and protocols */
    const struct host_address *observed;
    const char *agent;
};
/* Without its length. */
void identify_put(struct writer *w, const struct identify_own *own);

struct identify_seen { /* what a message says; names and addresses come by callbacks */
    struct bytes public_key, observed, version, agent;
    void (*on_protocol)(struct identify_seen *seen, struct bytes name);
    void (*on_address)(struct identify_seen *seen, struct bytes multiaddr);
    void *ctx;
};
/* Fields that are absent stay as they are: long messages come in parts, a push is partial. */
enum err identify_read(struct bytes message, struct identify_seen *seen, struct error *err);

/* Asks a connected peer, which may answer in several messages. */
struct identify_ask;
struct identify_ask {
    struct peer_id to; /* in */
    /* in: anything but ERR_OK ends it; see identify_read */
    enum err (*on_message)(struct identify_ask *a, struct bytes message);
    void (*cb)(struct identify_ask *a, const struct error *err); /* in: the last call */
    struct stream *stream_;
    struct stream_open open_;
    struct frame_reader frames_;
    uint32_t messages_;
};
void identify_ask(struct host *h, struct identify_ask *a);
void identify_ask_cancel(struct identify_ask *a); /* cb still comes */

#endif
