/* lib/net/yamux.h
 *
 * Yamux 1.0: many streams on one connection, each with a window.
 * https://github.com/hashicorp/yamux/blob/master/spec.md and what go-yamux and rust-yamux do.
 *
 * A machine over bytes: feed takes what the peer sent and calls back, fill writes what is to be
 * sent and asks the streams for their bytes. No I/O and no clock of its own: the time is handed in.
 * Window: 256 KiB each way, and `more` on our side, told with SYN or ACK. Credit is returned for
 * what yamux_consumed reports. Ownership: session and streams are fields of their user's structs. A
 * stream belongs to the session from yamux_open or on_open until on_gone, which is the last call
 * about it, comes exactly once, and never from inside yamux_open, _finish, _reset, _consumed,
 * _want_write. Thread: loop only. Nothing is allocated. Errors: ERR_PROTOCOL: the session is over;
 * fill sends the go away once more, then close.
 */
#ifndef LARDER_NET_YAMUX_H
#define LARDER_NET_YAMUX_H

#include "base/bytes.h"
#include "base/list.h"

enum {
    YAMUX_HEADER_BYTES = 12,
    YAMUX_BUCKETS = 32,
};

enum yamux_go_away { /* go-libp2p's codes begin at 0x1000 */
                     YAMUX_GO_AWAY_NORMAL = 0,
                     YAMUX_GO_AWAY_PROTOCOL = 1,
                     YAMUX_GO_AWAY_INTERNAL = 2,
                     YAMUX_GO_AWAY_LIMIT = 0x1001,
                     YAMUX_GO_AWAY_RATE = 0x1002,
                     YAMUX_GO_AWAY_TRIMMED = 0x1005,
                     YAMUX_GO_AWAY_SHUTDOWN = 0x1006,
};
enum { YAMUX_RESET_PLAIN = 0, YAMUX_RESET_LIMIT = 0x1002 }; /* stream codes are another list */

enum yamux_end {
    YAMUX_END_CLOSED,  /* both sides sent FIN */
    YAMUX_END_RESET,   /* by the peer */
    YAMUX_END_LOCAL,   /* by us, and the peer is told */
    YAMUX_END_SESSION, /* the session ended below it */
};

struct yamux;
struct yamux_stream {
    struct yamux *session; /* NULL before open and after on_gone */
    struct yamux_stream *hash_next_;
    struct list control_, writer_;
    uint32_t id;
    uint32_t send_credit; /* bytes we may send */
    uint32_t more;        /* in, before open: what the peer may send beyond 256 KiB */
    uint32_t receive_left_, consumed_;
    uint32_t reset_code_;
    uint16_t flags_;
};

struct yamux_ops {
    /* A stream was opened by the peer: return one that is zeroed but for more, or NULL with a reset
     * code. */
    struct yamux_stream *(*on_open)(struct yamux *y, uint32_t *reset_code);
    void (*on_acked)(struct yamux *y, struct yamux_stream *s); /* ours was accepted */
    void (*on_data)(struct yamux *y, struct yamux_stream *s, struct bytes data);
    void (*on_fin)(struct yamux *y, struct yamux_stream *s); /* no on_data after it */
    /* Write at most room bytes to buf; 0: not now, until yamux_want_write. */
    size_t (*on_writable)(struct yamux *y, struct yamux_stream *s, uint8_t *buf, size_t room);
    void (*on_gone)(struct yamux *y, struct yamux_stream *s, enum yamux_end end, uint32_t code);
    void (*on_pong)(struct yamux *y);
    void (*on_go_away)(struct yamux *y, uint32_t code); /* no new streams; close when idle */
};

struct yamux_rate {
    uint32_t count, bad_seconds;
};

struct yamux {
    const struct yamux_ops *ops;
    uint32_t streams_in, streams_out, unacked;
    uint64_t refused; /* streams of the peer, in all */
    bool dialer_, peer_gone_, failed_, go_away_wanted_, go_away_sent_, ping_wanted_, pinging_;
    uint8_t header_have_;
    uint8_t header_[YAMUX_HEADER_BYTES];
    bool body_fin_;
    uint32_t body_left_;
    struct yamux_stream *body_of_; /* NULL: skipped */
    struct list controls_, writers_;
    struct yamux_stream *buckets_[YAMUX_BUCKETS];
    uint64_t next_id_;
    uint32_t go_away_code_, ping_value_;
    uint32_t pongs_[LIMIT_YAMUX_PONGS], pongs_count_;
    uint32_t refusals_count_;
    struct {
        uint32_t id, code;
    } refusals_[LIMIT_YAMUX_REFUSALS];
    uint64_t second_ms_, ten_ms_, tokens_ms_;
    struct yamux_rate pings_, syns_, rsts_;
    uint32_t tokens_, unasked_, skipped_;
};

void yamux_init(struct yamux *y, bool dialer, const struct yamux_ops *ops, uint64_t now_ms);
/* Ends every stream with YAMUX_END_SESSION. */
void yamux_close(struct yamux *y);

enum err yamux_feed(struct yamux *y, struct bytes in, uint64_t now_ms, struct error *err);
/* Frames into out until there is nothing to send or no room worth using. */
void yamux_fill(struct yamux *y, struct writer *out);
bool yamux_wants_fill(const struct yamux *y);

/* Opens a stream that is zeroed but for more. False: too many unacknowledged, ids used up, or the
 * session is ending. */
bool yamux_open(struct yamux *y, struct yamux_stream *s) WARN_UNUSED;
void yamux_want_write(struct yamux_stream *s); /* idempotent */
/* A data frame right now: all of it or nothing. Returns size, or 0. */
size_t yamux_write_now(struct yamux_stream *s, struct bytes data, struct writer *out);
void yamux_consumed(struct yamux_stream *s, uint32_t bytes);
void yamux_finish(struct yamux_stream *s); /* FIN; on_writable is not called again */
void yamux_reset(struct yamux_stream *s, uint32_t code);

void yamux_ping(struct yamux *y); /* one at a time; on_pong answers */
void yamux_send_go_away(struct yamux *y, uint32_t code);

#endif
