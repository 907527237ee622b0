/* lib/net/host.h
 *
 * The libp2p host: listeners, connections, their limits, and the protocols served on them.
 * Owns:   listeners and connections. Borrows the loop, the owner and the identity.
 * Memory: every byte is charged to one owner. Bound: see host_stats, which adds it up.
 * Thread: loop only. No callback from inside a call.
 * Errors: ERR_UNREACHABLE, ERR_TIMEOUT, ERR_LIMIT, ERR_BAD_PROOF (another peer than expected),
 *         ERR_NO_PROTOCOL, ERR_CANCELED, ERR_CLOSED, ERR_SYSTEM.
 */
#ifndef LARDER_NET_HOST_H
#define LARDER_NET_HOST_H

#include "codec/multiaddr.h"
#include "net/addrbook.h"
#include "net/host_options.h"
#include "net/stream.h"

struct host;
struct conn;
struct dial_attempt;

enum err host_create(struct host **out, const struct host_options *options, struct error *err);
/* Before the first host_listen and the first connection. p is borrowed. */
enum err host_register(struct host *h, const struct protocol *p, struct error *err);
/* (ip4 | ip6) tcp. Port 0: any. */
enum err host_listen(struct host *h, struct bytes multiaddr, struct error *err);
/* What others are told in place of the listeners' addresses. */
enum err host_announce(struct host *h, struct bytes multiaddr, struct error *err);
/* Go away to everybody, then closes; done is called once when nothing is left. */
void host_close(struct host *h, uint32_t drain_ms, void (*done)(void *ctx), void *ctx);
void host_hurry(struct host *h);   /* the drain of a host that closes ends now */
void host_destroy(struct host *h); /* after done; NULL is fine */

const struct peer_id *host_id(const struct host *h);
/* The i-th address we are reached at, without /p2p; false: there is none. */
bool host_address(const struct host *h, size_t i, struct writer *out);
bool host_announces(const struct host *h, struct bytes multiaddr); /* is it told to peers? */

/* Connect to a peer, by addresses and by what the address book knows of it. Names are looked up;
 * what they lead to is tried 250 ms apart, IPv6 and IPv4 in turn, and the first to be upgraded
 * wins. An open connection to peer is answer enough. */
struct host_dial;
typedef void host_dial_cb(struct host_dial *req, const struct error *err);
struct host_dial {
    struct peer_id peer;           /* in; len 0: whoever answers, then out */
    const struct bytes *addresses; /* in: borrowed until cb */
    size_t count;
    bool urgent; /* in: somebody waits: addresses that failed a short while ago are tried too */
    host_dial_cb *cb;  /* in: err NULL: connected */
    uint64_t begun_ms; /* out, also before cb: since when it is tried, on the loop's clock; 0: all
                          dials are taken, or there was nothing to try */
    struct host *host_;
    struct dial_job *job_;
    struct deferred deferred_;
    struct error result_;
};
void host_dial(struct host *h, struct host_dial *req);
void host_dial_cancel(struct host_dial *req); /* cb still comes, with ERR_CANCELED */

/* The address book. What cannot be dialed from here is not kept. */
void host_learn(struct host *h, const struct peer_id *peer, const struct bytes *addresses,
                size_t count, enum host_source source);
enum host_tag { /* who wants a peer: it is not trimmed, and its addresses are not forgotten */
                HOST_TAG_CONFIG = 1 << 0,
                HOST_TAG_SWARM = 1 << 1,
                HOST_TAG_DHT = 1 << 2,
                HOST_TAG_BLOCKS = 1 << 3,
};
void host_shrink(struct host *h, uint32_t connections); /* closes so many idle, unwanted ones */
bool host_protect(struct host *h, const struct peer_id *peer, enum host_tag tag, bool on);

/* Open a stream on the oldest outbound connection, else on any. The first of choices that the peer
 * speaks is taken; user is what its callbacks are given. */
struct stream_open;
typedef void stream_open_cb(struct stream_open *req, struct stream *s, const struct error *err);
struct stream_open {
    struct peer_id to;                     /* in */
    const struct protocol *const *choices; /* in: borrowed until cb */
    uint8_t count;                         /* in: 1 .. LIMIT_MULTISTREAM_PROPOSALS */
    void *user;                            /* in */
    stream_open_cb *cb;                    /* in: s NULL on failure */
    struct conn *conn;                     /* in: on this very connection; NULL: any */
    bool dial;                             /* in: connect first, by the address book, if need be */
    uint8_t chosen;                        /* out */
    bool dialing_;
    struct host_dial dial_;
    struct stream *stream_;
    struct host *host_;
    struct deferred deferred_;
    struct error result_;
};
void stream_open(struct host *h, struct stream_open *req);
void stream_open_cancel(struct stream_open *req); /* cb still comes, with ERR_CANCELED */

struct host_peer { /* a row of `larder peers` */
    struct peer_id id;
    struct host_address address;
    bool inbound;
    const char *agent;
    uint64_t age_ms, bytes_in, bytes_out;
    uint64_t rtt_ns; /* 0: not measured yet */
    uint32_t streams, tags;
};
uint32_t host_connections(const struct host *h);
bool host_connected(const struct host *h, const struct peer_id *peer);
void host_disconnect(struct host *h, const struct peer_id *peer); /* wholly, on the next turn */
void host_keep_only(struct stream *s); /* of the connections to its peer */
/* The multiaddr of the other end of a stream's socket, without /p2p. */
void host_stream_remote(struct stream *s, struct writer *out);
/* Does the peer say that it serves this row of protocols.def? False before identify has told. */
bool host_peer_serves(const struct host *h, const struct peer_id *peer, unsigned protocol_row);
struct host_stats {
    uint32_t connections_max; /* those of ours that we dial may be some more */
    uint32_t inbound, outbound, half_open, dialing, streams, known_peers;
    uint64_t queued_bytes;
    uint64_t bound_bytes; /* what connections, streams and their bytes may take at most */
};
void host_stats(const struct host *h, struct host_stats *out);
void host_metrics(struct host *h); /* sets the gauges that stand in no counter's place */
size_t host_peers(const struct host *h, struct host_peer *out, size_t max);

/* Called when a connection is OPEN, when it is gone, when identify has told who a peer is, and when
 * several peers see us at one address. A callback may remove its own watcher and no other, opens
 * streams and closes no connection. */
struct host_watch { /* zeroed at first */
    struct list link_;
    void (*on_open)(void *ctx, const struct peer_id *peer, bool inbound);
    void (*on_gone)(void *ctx, const struct peer_id *peer);
    void (*on_identified)(void *ctx, const struct peer_id *peer);
    void (*on_observed)(void *ctx, const struct host_address *us);
    void *ctx;
};
void host_watch(struct host *h, struct host_watch *w);
void host_unwatch(struct host_watch *w); /* no-op when it does not watch */

#endif
