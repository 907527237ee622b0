/* lib/swarm/handshake.h
 *
 * /swarm/handshake/15.0.0/handshake: who are you. The first stream of a connection, and the only
 * one without headers.
 *
 *     dialer                     listener
 *       Syn{seen as}       -->
 *                          <--   SynAck{Syn{seen as}, Ack}
 *       Ack{record, network, full node}  -->
 *       FIN                -->
 *                          <--   FIN
 *
 * Either side admits the other to the topology when it accepts its record, since streams of the
 * other may come in the very segment that ends the handshake; watchers of the topology are told at
 * the FIN. A failed handshake ends the connection. A peer that is here and calls us again has lost
 * its old connection, though ours may look well for a while: it starts anew here, too.
 * Thread: loop only. A record is verified where it is read: a recovery takes some 50 us.
 * Errors: ERR_MALFORMED, ERR_BAD_PROOF (the record), ERR_PROTOCOL (another network, not our id),
 *         ERR_LIMIT (no room for such a peer), and those of streams.
 */
#ifndef LARDER_SWARM_HANDSHAKE_H
#define LARDER_SWARM_HANDSHAKE_H

#include "net/host.h"
#include "swarm/record.h"
#include "swarm/session.h"

struct known;
struct topology;

struct handshake { /* a field of its user, filled in but for the end, then handshake_init */
    struct loop *loop;
    struct mem_owner *mem;
    struct host *host; /* NULL in tests over stream_mem */
    struct topology *topology;
    struct known *known;
    const struct own_record *record;
    /* Where the other end of the stream is, without its peer id. False: unknown. */
    bool (*remote)(void *ctx, struct stream *s, struct writer *out);
    /* The connections to this peer are to be closed. */
    void (*disconnect)(void *ctx, const struct peer_id *peer);
    /* Those beside the one of this stream are dead; may be NULL. */
    void (*keep_only)(void *ctx, struct stream *s);
    void *ctx;
    struct session_ctx ctx_;
    struct protocol dialed_; /* what we open streams with */
    const struct protocol *choices_[1];
};
void handshake_init(struct handshake *h);
const struct session_ctx *handshake_served(const struct handshake *h); /* for host_serve */

/* Is there a record of ours to show? Nobody is to be called before. */
bool handshake_ready(const struct handshake *h);

/* Shake hands on a connection that is open, when handshake_ready. */
struct handshake_dial;
typedef void handshake_dial_cb(struct handshake_dial *req, const struct error *err);
struct handshake_dial {    /* zeroed at first */
    struct peer_id peer;   /* in */
    handshake_dial_cb *cb; /* in: once; err NULL: the peer is in the topology, or was there */
    struct stream_open open_;
    struct session *session_;
    struct handshake *handshake_;
    struct deferred refused_;
    struct error error_;
};
void handshake_dial(struct handshake *h, struct handshake_dial *req);
void handshake_dial_cancel(struct handshake_dial *req); /* cb still comes */

/* Over a stream that is open already, with the protocol ops session_ops and, as its user, what
 * handshake_dial_session gave. */
struct session *handshake_dial_session(struct handshake *h, struct handshake_dial *req,
                                       struct error *err);
void handshake_dial_begin(struct session *s, struct stream *stream);

#endif
