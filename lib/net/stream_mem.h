/* lib/net/stream_mem.h
 *
 * A pair of streams in memory: what one side writes the other reads, a turn of the loop later, with
 * the window of a real stream. For tests of whole sessions.
 * Owns:   both streams until both are closed. Thread: loop only.
 */
#ifndef LARDER_NET_STREAM_MEM_H
#define LARDER_NET_STREAM_MEM_H

#include "net/stream.h"

struct stream_mem_options {
    struct loop *loop;
    struct mem_owner *mem;
    const struct protocol *protocol; /* of both sides */
    void *dialer_user;               /* the listener gets its own by on_open */
    struct peer_id dialer, listener;
    const struct protocol *listener_protocol; /* NULL: the same */
    size_t piece_bytes;                       /* at most so many per turn; 0: a frame's worth */
};
/* The dialer's side; the listener's on_open is called on the next turn. */
struct stream *stream_mem_open(const struct stream_mem_options *options);

#endif
