/* lib/swarm/pullsync_serve.h
 *
 * The inside of the pullsync server, for its files: pullsync_server.c (life, cursors, peers and
 * their rate), pullsync_serve.c (one page to one peer). Thread: loop only.
 */
#ifndef LARDER_SWARM_PULLSYNC_SERVE_H
#define LARDER_SWARM_PULLSYNC_SERVE_H

#include "core/metrics.h"
#include "net/frame.h"
#include "store/reserve_page.h"
#include "swarm/pullsync_pages.h"
#include "swarm/pullsync_server.h"
#include "swarm/pullsync_wire.h"

enum { SERVE_PEER_BUCKETS = 256 };

struct serve_peer {
    struct peer_id id;
    struct list link; /* of its bucket */
    struct pullsync_server *server;
    struct page_quota quota;
    struct list paying; /* sessions that wait for tokens, in order */
    struct timer timer;
    int64_t tokens_u;   /* millionths of a chunk; below zero: in debt */
    uint64_t tokens_ms; /* when they were counted */
    uint32_t sessions, delivering;
};

struct pullsync_server {
    struct pullsync_server_options options;
    struct protocol pages_protocol, cursors_protocol; /* for tests; the host has its own */
    struct pages *pages;
    struct list sessions, cursor_sessions, rooms; /* rooms: wait for a delivery's buffer */
    struct list peers[SERVE_PEER_BUCKETS];
    uint8_t *spare; /* a small delivery's buffer that nobody else's memory can take away */
    bool spare_used, stopping, pages_stopped, pages_done;
    uint32_t deliveries; /* structs alive */
    struct pullsync_server_status status;
    void (*done)(void *ctx);
    void *done_ctx;
    struct deferred done_later, rooms_later;
    struct metrics_collector collector;
};

/* What a session needs while it delivers: read ahead, as it goes on the wire. */
struct delivery {
    struct reserve_page read;
    struct pullsync_server *server;
    struct serve *session; /* NULL: it is gone, and this goes with the read */
    uint8_t *buf;          /* for as many chunks; owned, or the spare one */
    uint32_t chunks;
    bool spare, reading;
    uint32_t size, sent, gone;
    struct timer retry;                             /* after a failed read */
    struct chunk_id ids[LIMIT_RESERVE_READ_CHUNKS]; /* the page may go before the read ends */
};

static inline size_t delivery_bytes(uint32_t chunks)
{
    return (size_t)chunks * PULLSYNC_DELIVERY_BYTES_MAX;
}

enum serve_step {
    SERVE_HEADERS, /* waits for the opener's */
    SERVE_GET,
    SERVE_PARKED, /* for a page: entries, memory, a read */
    SERVE_OFFER,  /* being written */
    SERVE_WANT,
    SERVE_RATE, /* waits for tokens */
    SERVE_ROOM, /* waits for a buffer */
    SERVE_READ,
    SERVE_DELIVER, /* being written */
    SERVE_CLOSING, /* our side is done */
};

/* One stream of `pullsync`. While it is parked it is this struct and two links. */
struct serve {
    struct pullsync_server *server;
    struct serve_peer *peer;
    struct stream *stream;
    struct list link; /* all sessions */
    struct list turn; /* peer->paying or server->rooms */
    struct frame_reader frames;
    struct page_user user;
    struct delivery *delivery;
    enum serve_step step : 8;
    bool answer_headers; /* 00 is still to be written */
    uint16_t wanted, next;
    uint32_t sent; /* of the offer */
    uint8_t want[PULLSYNC_WANT_BYTES];
};

/* pullsync_serve.c */
extern const struct stream_ops serve_ops;
void serve_paid(struct serve *s);                 /* its tokens are there */
void serve_rooms(struct pullsync_server *server); /* a buffer may have become free */
void serve_room_soon(struct pullsync_server *server);

/* pullsync_server.c */
struct serve_peer *serve_peer_enter(struct pullsync_server *server, const struct peer_id *id);
void serve_peer_leave(struct serve_peer *peer);
void serve_pay(struct serve *s); /* serve_paid comes, maybe inside */
void serve_stop_check(struct pullsync_server *server);

#endif
