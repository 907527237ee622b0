/* lib/net/host_state.h
 *
 * The host's inside, for its own files: host.c, conn.c, conn_stream.c, dial.c, identify.c.
 */
#ifndef LARDER_NET_HOST_STATE_H
#define LARDER_NET_HOST_STATE_H

#include "net/addrbook.h"
#include "net/conn.h"
#include "net/marks.h"
#include "net/observed.h"
#include "net/ping.h"
#include "net/protocols.h"
#include "net/reached.h"
#include "net/resolve.h"

enum { HOST_READ_BYTES = 4 * CONN_BLOCK_BYTES, HOST_MINUTES = 60 };

enum { /* the label p2p_refused */
       REFUSED_CONNECTIONS,
       REFUSED_HALF_OPEN,
       REFUSED_HALF_OPEN_ADDRESS,
       REFUSED_ADDRESS,
       REFUSED_RATE,
       REFUSED_MEMORY,
       REFUSED_DESCRIPTORS,
       REFUSED_MARK /* the governor's trigger */
};

struct listener;

struct host {
    struct loop *loop;
    struct mem_owner *mem;
    struct host_options options;
    struct noise_static noise;
    const struct protocol *protocols[LIMIT_P2P_PROTOCOLS];
    struct protocol served[PROTOCOL_COUNT];     /* by row */
    uint32_t protocols_in[LIMIT_P2P_PROTOCOLS]; /* inbound streams of each */
    uint32_t protocols_count;
    struct listener *listeners[LIMIT_P2P_LISTENERS];
    uint32_t listeners_count;
    struct reached reached; /* by them */
    uint64_t reached_ms;    /* when the interfaces were looked at */
    uint8_t announce[LIMIT_P2P_LISTENERS][64];
    size_t announce_size[LIMIT_P2P_LISTENERS];
    uint32_t announce_count;
    struct list conns, jobs;
    struct list starved, thirsty; /* connections that wait for a block to write, to read */
    struct list hasty;            /* half open ones that wait for the next turn */
    struct deferred turn;         /* set while handshakes > 0 */
    uint32_t handshakes;          /* messages of them in this turn */
    uint32_t conns_count, half_open, streams_in, handles;
    uint32_t streams_ending; /* over, but their handlers have not heard: in no other count */
    uint64_t queued_bytes, rx_pool_used, tx_pool_used;
    uint8_t *read_buffer;
    bool closing;
    struct timer drain, accept_again;
    struct deferred done_later;
    void (*done)(void *ctx);
    void *done_ctx;
    struct list watchers;
    struct addrbook *book;
    struct marks *failures; /* of addresses that were dialed */
    struct marks *callers;  /* tokens of sites that call */
    struct resolver *resolver;
    struct observed observed;
    uint32_t dials;                 /* connects in flight */
    struct timer tick;              /* trimming, pushes; set while there are connections */
    uint32_t inbound[HOST_MINUTES]; /* upgraded in each of the last minutes */
    uint64_t inbound_minute;        /* the newest one */
    uint32_t version; /* of what identify says about us; connections know which one was told */
};

struct conn *host_conn_to(struct host *h, const struct peer_id *peer);
uint32_t host_conns_of(const struct host *h, const struct peer_id *peer);
/* May an inbound connection from there be taken? */
bool host_admits(struct host *h, const struct host_address *from);
/* May an upgrade begin now? If not, whoever calls waits in the kernel until host_half_open_less. */
bool host_takes_upgrade(struct host *h);
void host_half_open_less(struct host *h);
void host_conn_opened(struct conn *c);
void host_conn_identified(struct conn *c);
void host_conn_gone(struct conn *c);     /* one that was OPEN */
void host_handle_closed(struct host *h); /* a socket's close callback has run */
/* Looks at the interfaces when that is due, or now; peers are told on the next tick. */
void host_reached_look(struct host *h, bool now);
void address_put(struct writer *w, const struct host_address *a);
enum { HOST_NO_PROTOCOL = -1 };
int host_protocol_index(const struct host *h, const char *asked, size_t size);

/* conn_stream.c: the connection below a stream of the host's. */
struct conn *stream_conn(struct stream *s);

/* listener.c */
const struct host_address *listener_address(const struct listener *l);
void listeners_close(struct host *h);
void listeners_resume(struct timer *t); /* of the host's accept_again */

/* dial.c */
void dial_jobs_cancel(struct host *h);

/* trim.c */
void host_tick(struct timer *t); /* every LIMIT_P2P_TRIM_MS while there are connections */

/* identify.c */
extern const struct stream_ops identify_ops;
void identify_start(struct conn *c);
/* Our message with its length, as the peer of c shall see it. */
size_t identify_frame(const struct conn *c, uint8_t out[LIMIT_P2P_IDENTIFY_OWN_BYTES]);
/* Merges what the peer says of itself. anew: its protocols take the place of those named before.
 * ERR_BAD_PROOF: it says it is somebody else, and is dropped. */
enum err identify_apply(struct conn *c, struct bytes message, bool anew);

/* observed.c: its identify says at which address it sees us */
void host_conn_observed(struct conn *c, struct bytes multiaddr);

/* identify_push.c */
extern const struct stream_ops identify_push_ops;
void identify_push(struct conn *c);

#endif
