/* lib/net/stream.h
 *
 * What a protocol sees of a connection: one stream of bytes each way. Two things stand behind it: a
 * yamux stream of a connection (conn_stream.c), and one half of a pair in memory (stream_mem.c) on
 * which tests run whole sessions with a turned clock.
 *
 * Reading: on_data says how much it took; the rest is queued (at most a window of 256 KiB, charged
 *   to the owner of the host) and offered again when more comes or after stream_resume. The peer
 *   gets credit for taken bytes only, so a handler that takes nothing stops its peer.
 * Writing: stream_want_write, then on_writable is handed the very buffer that is sent. There is no
 *   send queue, and nothing is allocated per write.
 * Ownership: a stream pointer is valid from on_open until on_close returns; on_close comes exactly
 *   once. All functions may be called inside callbacks, reset too; no callback comes from inside
 *   any of them.
 * Thread: loop only.
 */
#ifndef LARDER_NET_STREAM_H
#define LARDER_NET_STREAM_H

#include "codec/peerid.h"
#include "core/loop.h"
#include "core/timer.h"

struct mem_owner;
struct stream;

struct stream_ops {
    /* Negotiated. Anything but ERR_OK resets the stream. May set *user. Not for opened streams,
     * which bring their own user. */
    enum err (*on_open)(struct stream *s, void *ctx, void **user);
    /* size > 0: bytes; size == 0: the peer sent FIN. Returns how many bytes were taken. */
    size_t (*on_data)(struct stream *s, void *user, const uint8_t *bytes, size_t size);
    /* Write up to room bytes to buf (room >= 1024 unless the credit is smaller) and return how
     * many; 0: leave me alone until the next stream_want_write. NULL: never writes this way. */
    size_t (*on_writable)(struct stream *s, void *user, uint8_t *buf, size_t room);
    /* Last call. err NULL: both directions ended by FIN. remote_code: of the peer's reset. */
    void (*on_close)(struct stream *s, void *user, const struct error *err, uint32_t remote_code);
};

struct protocol {
    const char *name; /* "/ipfs/ping/1.0.0" */
    /* Does asked mean this protocol? NULL: only its name does. */
    bool (*match)(const char *served, const char *asked, size_t asked_size);
    const struct stream_ops *ops;
    void *ctx; /* for on_open */
    uint16_t in_per_peer_max;
    uint32_t in_max;             /* over all peers */
    uint32_t idle_ms;            /* no byte in either direction; 0: as long as it likes */
    uint32_t rx_queue_bytes_max; /* <= window; more resets the stream; 0: the whole window */
    uint8_t row;                 /* enum protocol_row, which metrics count by; 0: none */
};

const struct peer_id *stream_peer(const struct stream *s);
const struct protocol *stream_protocol(const struct stream *s);
void stream_set_user(struct stream *s, void *user);

void stream_want_write(struct stream *s); /* cheap, idempotent */
/* Small answers at once: all of it, or 0 and nothing (then use on_writable). At most 4 KiB. */
size_t stream_try_write(struct stream *s, const void *data, size_t size);
void stream_pause(struct stream *s); /* no on_data, no credit */
void stream_resume(struct stream *s);
void stream_finish(struct stream *s); /* FIN after what was written; no on_writable from here on */
void stream_reset(struct stream *s, uint32_t code);
void stream_deadline(struct stream *s, uint32_t deadline_ms); /* 0: off; then ERR_TIMEOUT */
/* The handler is through with it: no callback comes any more, and its protocol may be freed. FIN,
 * and what still comes until the peer's is dropped; after linger_ms, or at once with 0, a reset. */
void stream_leave(struct stream *s, uint32_t linger_ms);

/* Below: for what stands behind a stream. */

struct stream_backend {
    void (*credit)(struct stream *s, uint32_t bytes);
    void (*want_write)(struct stream *s);
    size_t (*try_write)(struct stream *s, struct bytes data);
    void (*finish)(struct stream *s);
    void (*reset)(struct stream *s, uint32_t code);
    void (*release)(struct stream *s); /* on_close is done: free it once nothing else needs it */
};

struct stream_piece;
struct stream {
    const struct stream_backend *backend_;
    const struct protocol *protocol_; /* NULL until negotiated */
    void *user_;
    struct loop *loop_;
    struct mem_owner *mem_;
    struct peer_id peer_;
    struct stream_piece *first_, *last_; /* queued bytes */
    uint32_t queued_bytes;
    bool paused_, fin_in_, fin_told_, finished_, ending_, closed_, reading_, gone_;
    enum err end_;
    uint32_t end_code_;
    uint64_t deadline_at_ms_, last_byte_ms_; /* 0: no deadline */
    uint64_t answer_at_ms_;                  /* until when the peer must have agreed; 0: it has */
    struct timer timer_;
    struct deferred deferred_;
    void (*on_queued)(struct stream *s, int64_t change); /* the backend's account; may be NULL */
};

enum { STREAM_TRY_WRITE_MAX = 4096 };

/* s is zeroed, but for what the backend set: backend_, loop_, mem_, peer_. */
void stream_init(struct stream *s);
/* The peer must agree on the protocol by then, whatever the handler's deadline; 0: it has. */
void stream_answer_due(struct stream *s, uint32_t in_ms);
/* From here on the handler is called. */
void stream_start(struct stream *s, const struct protocol *protocol, void *user);
void stream_take_data(struct stream *s, struct bytes data);
void stream_take_fin(struct stream *s);
/* The handler's bytes for a buffer; 0 when it has none or there is none. */
size_t stream_take_writable(struct stream *s, uint8_t *buf, size_t room);
/* Nothing more will come from below. ERR_OK: both sides sent FIN. */
void stream_below_gone(struct stream *s, enum err why, uint32_t remote_code);
/* Ends it from above: resets below, and on_close comes with why. */
void stream_fail(struct stream *s, enum err why, uint32_t code);

#endif
