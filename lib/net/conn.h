/* lib/net/conn.h
 *
 * One connection: a socket, its upgrade (security, Noise, muxer), records, and the yamux session
 * over them. For the files of the host; protocols see stream.h.
 *
 *     connect/accept -> SELECT_SECURITY -> NOISE -> [SELECT_MUXER] -> OPEN -> CLOSED
 *
 * What is read goes through one buffer of the host and is opened in place; only a record that is
 * not whole yet has a buffer of its own. What is written is laid out in one block per connection,
 * sealed in place, and given back when the socket has it.
 * Owns:   itself: freed when its socket is closed and its last stream is. Memory: the owner of its
 * host. Thread: loop only.
 */
#ifndef LARDER_NET_CONN_H
#define LARDER_NET_CONN_H

#include "net/host.h"
#include "net/multistream.h"
#include "net/noise.h"
#include "net/yamux.h"

enum conn_state {
    CONN_CONNECTING,
    CONN_SELECT_SECURITY,
    CONN_NOISE,
    CONN_SELECT_MUXER,
    CONN_OPEN,
    CONN_CLOSED
};

enum {
    CONN_SOCKET_BYTES = 576,
    CONN_BLOCK_BYTES = NOISE_LENGTH_BYTES + NOISE_RECORD_MAX,
    CONN_AGENT_BYTES = LIMIT_P2P_AGENT_BYTES + 1,
};

/* Only while the connection is half open. */
struct conn_upgrade {
    struct multistream select;
    struct noise noise;
    uint32_t have;
    uint8_t message[NOISE_LENGTH_BYTES + LIMIT_NOISE_HANDSHAKE_BYTES];
};

struct conn {
    struct host *host;
    struct list link_, starved_, thirsty_;           /* in the host's lists */
    _Alignas(16) uint8_t socket_[CONN_SOCKET_BYTES]; /* libuv's part, known to conn.c alone */
    enum conn_state state;
    bool inbound, filling_, writing_, draining, unwanted_;
    bool admitted_;      /* an upgrade began, whose end counts */
    bool small_records_; /* many in its last read */
    struct conn_upgrade *upgrade;
    struct noise_records records;
    struct peer_id remote; /* once OPEN; before that whom we expect, len 0: anybody */
    struct host_address address;
    struct yamux mux;
    struct list streams;
    uint32_t stream_objects; /* whose handlers have not heard the end; they keep it alive */
    bool socket_closed_;
    uint8_t *partial_; /* a record that is not whole yet */
    uint32_t partial_have_, partial_room_;
    uint64_t partial_since_ms_; /* when its first byte was kept */
    uint8_t *block_;            /* what is being laid out or written */
    uint32_t block_room_, block_plain_, block_sealed_;
    struct timer timer_;
    struct deferred flush_;
    uint64_t opened_ms, last_read_ms, bytes_in, bytes_out;
    uint64_t write_started_ms_; /* while writing_ */
    uint64_t used_ms;           /* when it last had a stream */
    uint64_t rtt_ns;            /* of the last keepalive; 0: not measured yet */
    uint64_t pushed_ms, pinged_ns_;
    uint32_t told_version; /* of what identify says about us */
    uint64_t queued_bytes; /* received and not taken, of all its streams */
    uint64_t protocols;    /* bit i: the peer serves row i of protocols.def */
    bool identified;
    char agent[CONN_AGENT_BYTES];
    struct dial_attempt *attempt; /* who waits for the upgrade; NULL: nobody any more */
    struct error why;             /* of the end */
};

/* Accepts what waits at a listener (listener.c). */
struct uv_stream_s;
void conn_accept(struct host *h, struct uv_stream_s *listener);
/* Connects; dial_attempt_done is called once, later. NULL: ERR_SYSTEM (no socket), ERR_BUDGET,
 * ERR_UNREACHABLE (no way leads there). */
struct conn *conn_dial(struct host *h, const struct host_address *to,
                       const struct peer_id *expected, struct dial_attempt *attempt,
                       struct error *err);
/* Ends it now. Every stream is told; not to be called from inside yamux_feed or yamux_fill. */
void conn_close(struct conn *c, enum err code, const char *why);
/* The same on the next turn, for those inside. */
void conn_close_soon(struct conn *c);
void conn_ping(struct conn *c);
void conn_pong(struct conn *c);
/* No new streams; go away is sent, and it closes when its streams are done or the time is up. */
void conn_drain(struct conn *c, uint32_t go_away);
void conn_flush_soon(struct conn *c);
/* A data frame into the block that is laid out; 0: not now. */
size_t conn_write_now(struct conn *c, struct yamux_stream *s, struct bytes data);

void conn_read_again(struct conn *c); /* one that waited for room to read */

void conn_free_when_done(struct conn *c);

/* conn_pool.c. False: no block now; the connection's turn comes when one is given back. */
bool conn_block_get(struct conn *c);
void conn_block_free(struct conn *c);
/* The turn of who waits for a block, if there is room. Whoever has had it and took none passes. */
void conn_block_pass(struct host *h);
size_t conn_read_room(const struct host *h); /* of the host's buffer; 0: wait */
/* Room in partial_ for have bytes of a record of need, and some more. */
bool conn_partial_grow(struct conn *c, size_t need, size_t have);
void conn_partial_give(struct host *h, uint32_t bytes);
/* While somebody waits, who has held a block for too long is closed on the next turn. */
void conn_relieve(struct host *h);

/* conn_stream.c */
extern const struct yamux_ops conn_stream_ops;
enum err conn_stream_open(struct conn *c, struct stream_open *req, struct error *err);
/* Resets the longest queues until the connection and the host are within their bounds. */
void conn_streams_bound(struct conn *c);

/* dial.c. err NULL: c is OPEN. Otherwise c is gone after the call. */
void dial_attempt_done(struct dial_attempt *a, struct conn *c, const struct error *err);

#endif
