/* lib/ipfs/dht.h
 *
 * A client's side of the DHT: the routing table, peers that wasted our time, connections made for
 * it, and one request to one server.
 * Owns:   the table, the list of bad peers, the list of connections. Borrows host, loop and owner.
 * Thread: loop only. A query is a field of its caller, zeroed at first; its cb comes exactly once
 *         and never from inside dht_query.
 * Errors: ERR_LIMIT: no dial was free; ERR_UNREACHABLE, ERR_TIMEOUT, ERR_CLOSED, ERR_NO_PROTOCOL,
 * ERR_MALFORMED, ERR_CANCELED.
 */
#ifndef LARDER_IPFS_DHT_H
#define LARDER_IPFS_DHT_H

#include "ipfs/kad.h"
#include "net/host.h"

struct dht;

struct dht_options {
    struct loop *loop;
    struct host *host;
    struct mem_owner *mem;
    const char *prefix; /* "/ipfs": the protocol is <prefix>/kad/1.0.0 */
    bool allow_private; /* ask servers at private and loopback addresses too */
    uint32_t connections_max;
    uint32_t answer_ms; /* how long a server may take; 0: LIMIT_KAD_ANSWER_MS */
};
enum err dht_create(struct dht **out, const struct dht_options *options, struct error *err);
void dht_destroy(struct dht *d); /* NULL is fine; asserts that no query is out */

const struct dht_options *dht_options(const struct dht *d);
const uint8_t *dht_self(const struct dht *d); /* our own place */
/* The protocol, with these callbacks; it lives as long as d, so who is through with a stream before
 * it is over leaves it (stream_leave). At most LIMIT_KAD_USERS of them. */
const struct protocol *dht_protocol(struct dht *d, const struct stream_ops *ops);

/* The routing table. */
uint32_t dht_table_size(const struct dht *d);
void dht_table_add(struct dht *d, const struct kad_peer *peer);
/* Of those that were not heard for so long, the one silent for longest, which is to be asked now:
 * who does not answer leaves the table. */
bool dht_table_silent(struct dht *d, uint64_t for_ms, struct kad_peer *out);
/* Copies of the nearest; returns how many. */
uint32_t dht_nearest(const struct dht *d, const uint8_t target[KAD_BYTES], struct kad_peer *out,
                     uint32_t max);

/* Bad peers are passed over for a while: 1,024 of them, then who would be good again first is. */
bool dht_is_bad(const struct dht *d, const struct kad_peer *peer);
void dht_mark_bad(struct dht *d, const struct kad_peer *peer, uint32_t for_ms);
uint32_t dht_bad_count(const struct dht *d);
void dht_forgive(struct dht *d); /* all: it was our own network that was away */

/* Connections made here are closed when there are more than connections_max, the longest unused
 * first; what is in use stays. */
void dht_conn_use(struct dht *d, const struct peer_id *peer);
void dht_conn_release(struct dht *d, const struct peer_id *peer);
uint32_t dht_conn_count(const struct dht *d); /* of those */

/* A stream to a server, which is dialed when need be. cb: as of stream_open. */
struct dht_open;
typedef void dht_open_cb(struct dht_open *o, struct stream *s, const struct error *err);
enum { DHT_DIAL_ADDRESSES = 8 };
struct dht_open {
    const struct kad_peer *to;     /* in: borrowed until cb */
    const struct protocol *speaks; /* in: of dht_protocol */
    void *user;                    /* in: of the stream's callbacks */
    dht_open_cb *cb;               /* in */
    /* out, when it failed: for want of something of ours (a free dial, memory). The server was not
     * asked: it is not bad, and whoever needs all the nearest has not got an answer. */
    bool unasked;
    struct dht *dht_;
    struct bytes addresses_[DHT_DIAL_ADDRESSES];
    struct host_dial dial_;
    struct stream_open open_;
    struct timer timer_;
    struct deferred later_;
    enum { DHT_OPEN_IDLE, DHT_OPEN_DIAL, DHT_OPEN_STREAM } state_;
    uint64_t since_ms_;
    uint32_t addresses_count_;
    bool late_, canceled_, reused_;
};
void dht_open(struct dht *d, struct dht_open *o);
void dht_open_cancel(struct dht_open *o); /* cb still comes, with ERR_CANCELED */
/* Does it wait for a free dial of ours? */
bool dht_open_is_held(const struct dht_open *o);

/* One request and its answer. */
struct dht_query;
typedef void dht_query_cb(struct dht_query *q, const struct error *err);
typedef void dht_query_peer_cb(struct dht_query *q, const struct kad_peer *peer, bool provider);
struct dht_query {
    const struct kad_peer *to;       /* in: borrowed until cb */
    enum kad_type type;              /* in: KAD_FIND_NODE or KAD_GET_PROVIDERS */
    struct bytes key;                /* in: borrowed until cb */
    const struct kad_record *record; /* in: this ADD_PROVIDER of the key goes in front; or NULL */
    uint32_t answer_ms;              /* in: 0: as dht_options */
    dht_query_peer_cb *on_peer;      /* in: each peer of the answer */
    void *owner;                     /* in: the caller's */
    dht_query_cb *cb;                /* in */
    bool unasked;                    /* out: as of dht_open */
    struct dht *dht_;
    struct dht_open open_;
    struct stream *stream_;
    struct kad_decoder decoder_;
    struct error failure_;
    bool out_, sent_;
};
void dht_query(struct dht *d, struct dht_query *q);
void dht_query_cancel(struct dht_query *q); /* no-op when it is not out; cb still comes */

#endif
