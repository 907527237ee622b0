/* lib/net/host_state.h
 *
 * The host's inside, for its own files: host.c, conn.c, conn_stream.c, dial.c, identify.c.
 */
#ifndef LARDER_NET_HOST_STATE_H
#define LARDER_NET_HOST_STATE_H

#include "net/conn.h"
#include "net/ping.h"
#include "net/protocols.h"

enum { HOST_READ_BYTES = 2 * CONN_BLOCK_BYTES };

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
    uint8_t announce[LIMIT_P2P_LISTENERS][64];
    size_t announce_size[LIMIT_P2P_LISTENERS];
    uint32_t announce_count;
    struct list conns, jobs;
    struct list starved, thirsty; /* connections that wait for a block to write, to read */
    uint32_t conns_count, half_open, streams_in, handles;
    uint64_t queued_bytes, rx_pool_used, tx_pool_used;
    uint8_t *read_buffer;
    bool closing;
    struct timer drain;
    struct deferred done_later;
    void (*done)(void *ctx);
    void *done_ctx;
    struct list watchers;
};

struct conn *host_conn_to(struct host *h, const struct peer_id *peer);
uint32_t host_conns_of(const struct host *h, const struct peer_id *peer);
/* May an inbound connection from there be taken? */
bool host_admits(struct host *h, const struct host_address *from);
void host_conn_opened(struct conn *c);
void host_conn_identified(struct conn *c);
void host_conn_gone(struct conn *c);     /* one that was OPEN */
void host_handle_closed(struct host *h); /* a socket's close callback has run */
bool address_is_private(const struct host_address *a);
void address_put(struct writer *w, const struct host_address *a);
enum { HOST_NO_PROTOCOL = -1 };
int host_protocol_index(const struct host *h, const char *asked, size_t size);

/* conn_stream.c: the connection below a stream of the host's. */
struct conn *stream_conn(struct stream *s);

/* listener.c */
const struct host_address *listener_address(const struct listener *l);
void listeners_close(struct host *h);

/* dial.c */
void dial_jobs_cancel(struct host *h);

/* identify.c */
extern const struct stream_ops identify_ops;
void identify_start(struct conn *c);

#endif
