/* lib/swarm/pullsync_cursors.h
 *
 * Asks a peer once how far each of its bins goes, and for the epoch of its reserve.
 * Ownership: a request is its caller's struct and lives until cb. Thread: loop only.
 */
#ifndef LARDER_SWARM_PULLSYNC_CURSORS_H
#define LARDER_SWARM_PULLSYNC_CURSORS_H

#include "net/frame.h"
#include "net/host.h"
#include "swarm/pullsync_wire.h"

struct pullsync_cursors;
typedef void pullsync_cursors_cb(struct pullsync_cursors *c, const struct error *err);
struct pullsync_cursors {    /* zeroed at first */
    struct loop *loop;       /* in */
    struct mem_owner *mem;   /* in */
    pullsync_cursors_cb *cb; /* in: once, never inside */
    struct pullsync_ack ack; /* out */
    struct stream_open open_;
    struct stream *stream_;
    struct frame_reader frames_;
    struct deferred later_;
    struct error failed_;
    bool headers_, asked_, syn_, opening_, done_;
};
void pullsync_cursors_ask(struct host *h, struct pullsync_cursors *c, const struct peer_id *peer);
void pullsync_cursors_cancel(struct pullsync_cursors *c); /* cb still comes */
/* For tests without a host: c->loop, mem and cb are set. */
void pullsync_cursors_opened(struct pullsync_cursors *c, struct stream *s);
const struct protocol *pullsync_cursors_protocol(void);

#endif
