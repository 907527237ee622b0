/* lib/net/yamux_frame.h
 *
 * What yamux.c and yamux_send.c share: the frame header and the state of a stream. For these two
 * files alone.
 *
 *     version u8 = 0 | type u8 | flags u16 | stream id u32 | length u32        big-endian
 */
#ifndef LARDER_NET_YAMUX_FRAME_H
#define LARDER_NET_YAMUX_FRAME_H

#include "net/yamux.h"

enum { FRAME_DATA = 0, FRAME_WINDOW = 1, FRAME_PING = 2, FRAME_GO_AWAY = 3 };
enum { FLAG_SYN = 1, FLAG_ACK = 2, FLAG_FIN = 4, FLAG_RST = 8 };

struct frame {
    uint8_t type;
    uint16_t flags;
    uint32_t id, length;
};

enum {
    STREAM_INBOUND = 1 << 0,
    STREAM_SYN_WANTED = 1 << 1, /* ours, not yet announced */
    STREAM_ACK_WANTED = 1 << 2, /* theirs, not yet acknowledged */
    STREAM_ACKED = 1 << 3,      /* ours, acknowledged */
    STREAM_FIN_WANTED = 1 << 4,
    STREAM_FIN_SENT = 1 << 5,
    STREAM_FIN_RECEIVED = 1 << 6,
    STREAM_RESET = 1 << 7,        /* by us; the frame is still to be sent */
    STREAM_CREDIT_SMALL = 1 << 8, /* the peer gives credit by the byte: wait until it adds up */
};

/* Into the table and the list of those with something to announce. */
void yamux_stream_attach(struct yamux *y, struct yamux_stream *s, uint32_t id, uint16_t flags);
/* Out of all lists; calls on_gone. */
void yamux_stream_gone(struct yamux_stream *s, enum yamux_end end, uint32_t code);

#endif
