#include "swarm/handshake.h"

#include "base/mem.h"
#include "core/log.h"
#include "core/metrics.h"
#include "net/protocols.h"
#include "proto/swarm.pb-c.h"
#include "swarm/known.h"
#include "swarm/topology.h"

struct handshake_session {
    struct session base;
    struct handshake_dial *req; /* NULL: the peer began */
    bool admitted;              /* by this session */
    size_t seen_as_bytes;       /* our address as the peer gave it, with our id; 0: none */
    uint8_t seen_as[LIMIT_MULTIADDR_BYTES];
};

static struct handshake *of(const struct session *s)
{
    return s->ctx->owner;
}

static struct handshake_session *self_of(struct session *s)
{
    return container_of(s, struct handshake_session, base);
}

/* The address at which we see the peer, for a Syn. */
static struct bytes underlay_seen(struct session *s, uint8_t *buf, size_t size)
{
    struct handshake *h = of(s);
    struct writer w = writer_of(buf, size);
    if (!h->remote || !h->remote(h->ctx, s->stream, &w))
        multiaddr_put_tcp(&w, MULTIADDR_IP4, (const uint8_t[4]){ 127, 0, 0, 1 }, 1);
    multiaddr_put_peer(&w, stream_peer(s->stream));
    assert(!w.overflow);
    return bytes_of(buf, writer_used(&w));
}

/* Remembers the first address that names us. strict: all of them must, and there must be one. */
static enum err seen_as_read(struct session *s, struct bytes raw, bool strict, struct error *err)
{
    struct handshake_session *self = self_of(s);
    const struct peer_id *own = &of(s)->record->identity->peer;
    struct overlay_underlays u;
    enum err rc = overlay_underlays_parse(&u, raw, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < u.count; i++) {
        bool ours = underlay_names(u.addrs[i], own);
        if (!ours && strict)
            return error_set(err, ERR_PROTOCOL, "the peer says we are somebody else");
        if (!ours || self->seen_as_bytes > 0 || u.addrs[i].size > sizeof(self->seen_as))
            continue;
        memcpy(self->seen_as, u.addrs[i].data, u.addrs[i].size);
        self->seen_as_bytes = u.addrs[i].size;
    }
    if (strict && u.count == 0)
        return error_set(err, ERR_PROTOCOL, "the peer does not say at which address it sees us");
    return ERR_OK;
}

/* What an Ack is made of, which must live until it is written. */
struct ack_parts {
    Swarm__HandshakeAck ack;
    Swarm__BzzAddress address;
    struct overlay_record rec;
    uint8_t signature[SIG_BYTES], chequebook[OVERLAY_CHEQUEBOOK_BYTES];
    uint8_t own[LIMIT_MULTIADDR_BYTES];
};

static void ack_make(struct session *s, struct ack_parts *a)
{
    struct handshake_session *self = self_of(s);
    const struct own_record *record = of(s)->record;
    const struct record_identity *id = record->identity;
    struct bytes seen_as = bytes_of(self->seen_as, self->seen_as_bytes);
    if (seen_as.size == 0) { /* any address of ours will do; this one leads nobody astray */
        struct writer w = writer_of(a->own, sizeof(a->own));
        multiaddr_put_tcp(&w, MULTIADDR_IP4, (const uint8_t[4]){ 127, 0, 0, 1 }, 1);
        multiaddr_put_peer(&w, &id->peer);
        seen_as = bytes_of(a->own, writer_used(&w));
    }
    own_record_fill(record, seen_as, a->signature, &a->rec);
    memset(a->chequebook, 0, sizeof(a->chequebook)); /* as a bee without one says it */
    swarm__bzz_address__init(&a->address);
    a->address.underlay = pb_data(a->rec.underlays);
    a->address.signature = pb_data(a->rec.signature);
    a->address.overlay = pb_data(a->rec.overlay);
    a->address.nonce = pb_data(a->rec.nonce);
    a->address.timestamp = a->rec.timestamp_s;
    a->address.chequebook_address = pb_data(bytes_of(a->chequebook, sizeof(a->chequebook)));
    swarm__handshake_ack__init(&a->ack);
    a->ack.address = &a->address;
    a->ack.network_id = id->swarm->network_id;
    a->ack.full_node = id->full_node;
    a->ack.welcome_message = pb_data(bytes_of(id->welcome, strlen(id->welcome)));
}

static struct overlay_record record_of(const Swarm__BzzAddress *a)
{
    return (struct overlay_record){ .underlays = pb_bytes(a->underlay),
                                    .signature = pb_bytes(a->signature),
                                    .overlay = pb_bytes(a->overlay),
                                    .nonce = pb_bytes(a->nonce),
                                    .timestamp_s = a->timestamp,
                                    .chequebook = pb_bytes(a->chequebook_address) };
}

/* A record travels in gossip, so anybody could show it: it counts from the peer it names. */
static enum err names_peer(struct session *s, const struct overlay_record *rec, struct error *err)
{
    struct overlay_underlays u;
    enum err rc = overlay_underlays_parse(&u, rec->underlays, err);
    for (uint32_t i = 0; !rc && i < u.count; i++)
        if (underlay_names(u.addrs[i], stream_peer(s->stream)))
            return ERR_OK;
    if (!rc)
        rc = error_set(err, ERR_BAD_PROOF, "the record is of another peer");
    return rc;
}

static enum err record_accept(struct session *s, const Swarm__HandshakeAck *ack,
                              struct overlay_record *rec, struct error *err)
{
    struct handshake *h = of(s);
    const struct record_identity *id = h->record->identity;
    if (!ack || !ack->address)
        return error_set(err, ERR_MALFORMED, "no record");
    if (ack->network_id != id->swarm->network_id)
        return error_set(err, ERR_PROTOCOL, "the peer is of network %" PRIu64 ", we of %" PRIu64,
                         ack->network_id, id->swarm->network_id);
    *rec = record_of(ack->address);
    struct overlay_check check = { .network_id = id->swarm->network_id,
                                   .now_s = (int64_t)(loop_wall_ns(h->loop) / 1000000000) };
    if (rec->overlay.size == OVERLAY_BYTES)
        check.newest_known_s = known_timestamp(h->known, rec->overlay.data);
    enum err rc = overlay_record_check(rec, &check, err);
    if (!rc && !memcmp(rec->overlay.data, id->swarm->overlay, OVERLAY_BYTES))
        rc = error_set(err, ERR_PROTOCOL, "the peer has our own overlay");
    return rc ? rc : names_peer(s, rec, err);
}

/* A peer does not call whom it is connected to: it was started again, and may have another reserve
 * and another overlay. What is known of it, and what is asked of it, goes with the old connection.
 */
static void forget_old(struct session *s)
{
    struct handshake *h = of(s);
    const struct swarm_peer *p = topology_find(h->topology, stream_peer(s->stream));
    if (!p || !p->ready || self_of(s)->req ||
        loop_now_ms(h->loop) - p->since_ms < LIMIT_SWARM_AGAIN_MS)
        return;
    if (h->keep_only)
        h->keep_only(h->ctx, s->stream);
    topology_remove(h->topology, stream_peer(s->stream));
}

static enum err admit(struct session *s, const Swarm__HandshakeAck *ack, struct error *err)
{
    struct handshake *h = of(s);
    struct handshake_session *self = self_of(s);
    struct overlay_record rec;
    struct swarm_peer *p;
    enum err rc = record_accept(s, ack, &rec, err);
    if (rc)
        return rc;
    forget_old(s);
    bool before = topology_find(h->topology, stream_peer(s->stream));
    const struct topology_arrival arrival = { .id = stream_peer(s->stream),
                                              .overlay = rec.overlay.data,
                                              .full_node = ack->full_node,
                                              .inbound = !self->req,
                                              .now_ms = loop_now_ms(h->loop) };
    rc = topology_admit(h->topology, &arrival, &p, err);
    if (rc)
        return rc;
    self->admitted = p && !before;
    if (ack->full_node)
        (void)known_learn(h->known, &rec);
    return ERR_OK;
}

/* The steps of who dials. */

enum { STEP_SYN, STEP_ACK, STEP_SYNACK, STEP_CLOSE };

static enum err syn_send(struct session *s, struct error *err)
{
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
    Swarm__HandshakeSyn syn = SWARM__HANDSHAKE_SYN__INIT;
    syn.observed_underlay = pb_data(underlay_seen(s, buf, sizeof(buf)));
    return session_send(s, &syn.base, err);
}

static int on_synack(struct session *s, const struct session_event *ev, struct error *err)
{
    ProtobufCMessage *m;
    struct ack_parts parts;
    if (session_unpack(s, &swarm__handshake_syn_ack__descriptor, ev->message, &m, err))
        return SESSION_FAILED;
    const Swarm__HandshakeSynAck *synack = (Swarm__HandshakeSynAck *)m;
    if (!synack->syn) {
        error_set(err, ERR_MALFORMED, "no Syn in the SynAck");
        return SESSION_FAILED;
    }
    if (seen_as_read(s, pb_bytes(synack->syn->observed_underlay), true, err) ||
        admit(s, synack->ack, err))
        return SESSION_FAILED;
    ack_make(s, &parts);
    return session_send(s, &parts.ack.base, err) ? SESSION_FAILED : STEP_CLOSE;
}

/* The steps of who listens. */

static int on_syn(struct session *s, const struct session_event *ev, struct error *err)
{
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
    ProtobufCMessage *m;
    struct ack_parts parts;
    if (!handshake_ready(of(s))) {
        error_set(err, ERR_CANCELED, "our record is not stored yet");
        return SESSION_FAILED;
    }
    if (session_unpack(s, &swarm__handshake_syn__descriptor, ev->message, &m, err))
        return SESSION_FAILED;
    struct bytes seen = pb_bytes(((Swarm__HandshakeSyn *)m)->observed_underlay);
    if (seen_as_read(s, seen, false, err))
        return SESSION_FAILED;
    Swarm__HandshakeSyn syn = SWARM__HANDSHAKE_SYN__INIT;
    Swarm__HandshakeSynAck synack = SWARM__HANDSHAKE_SYN_ACK__INIT;
    syn.observed_underlay = pb_data(underlay_seen(s, buf, sizeof(buf)));
    ack_make(s, &parts);
    synack.syn = &syn;
    synack.ack = &parts.ack;
    return session_send(s, &synack.base, err) ? SESSION_FAILED : STEP_ACK;
}

static int on_ack(struct session *s, const struct session_event *ev, struct error *err)
{
    ProtobufCMessage *m;
    if (session_unpack(s, &swarm__handshake_ack__descriptor, ev->message, &m, err) ||
        admit(s, (Swarm__HandshakeAck *)m, err))
        return SESSION_FAILED;
    return STEP_CLOSE;
}

/* Both. */

static int on_fin(struct session *s, const struct session_event *ev UNUSED,
                  struct error *err UNUSED)
{
    struct handshake *h = of(s);
    struct swarm_peer *p = topology_find(h->topology, stream_peer(s->stream));
    metric_add(METRIC_swarm_handshakes_total, 1);
    self_of(s)->admitted = false; /* it stays, whatever becomes of this stream */
    if (p)
        topology_ready(h->topology, p);
    return SESSION_DONE;
}

static void on_ended(struct session *s, const struct error *err)
{
    struct handshake *h = of(s);
    struct handshake_session *self = self_of(s);
    struct handshake_dial *req = self->req;
    struct peer_id peer = *stream_peer(s->stream);
    if (err) {
        char id[PEER_ID_TEXT_MAX];
        metric_add_by(METRIC_swarm_handshakes_failed_total, err->code, 1);
        if (!req)
            log_info("handshake with %s: %s", peer_id_to_text(&peer, id), err->text);
        if (self->admitted)
            topology_remove(h->topology, &peer);
        if (!topology_find(h->topology, &peer) && h->disconnect)
            h->disconnect(h->ctx, &peer);
    }
    if (req) {
        req->session_ = NULL;
        req->cb(req, err);
    }
}

static const struct session_step steps[] = {
    [STEP_SYN] = { "awaiting the Syn", SESSION_FRAME, on_syn, LIMIT_SWARM_HANDSHAKE_MS },
    [STEP_ACK] = { "awaiting the Ack", SESSION_FRAME, on_ack, LIMIT_SWARM_HANDSHAKE_MS },
    /* A bee waits 10 s for the identify of who has none. */
    [STEP_SYNACK] = { "awaiting the SynAck", SESSION_FRAME, on_synack, LIMIT_SWARM_HANDSHAKE_MS },
    [STEP_CLOSE] = { "closing", SESSION_FIN, on_fin, LIMIT_SWARM_HANDSHAKE_MS },
};

static const struct session_kind kind = { .name = "handshake",
                                          .steps = steps,
                                          .message_bytes_max = LIMIT_SWARM_HANDSHAKE_BYTES,
                                          .message_limit = LIMIT_ID_SWARM_HANDSHAKE_BYTES,
                                          .arena_bytes_max = LIMIT_SWARM_ARENA_BYTES,
                                          .size = sizeof(struct handshake_session),
                                          .ended = on_ended };

void handshake_init(struct handshake *h)
{
    assert(h->loop && h->mem && h->topology && h->known && h->record);
    h->ctx_ = (struct session_ctx){ .kind = &kind, .loop = h->loop, .mem = h->mem, .owner = h };
    protocol_init(&h->dialed_, PROTOCOL_handshake, &session_ops, &h->ctx_);
    h->choices_[0] = &h->dialed_;
}

const struct session_ctx *handshake_served(const struct handshake *h)
{
    return &h->ctx_;
}

bool handshake_ready(const struct handshake *h)
{
    return h->record->identity != NULL;
}

struct session *handshake_dial_session(struct handshake *h, struct handshake_dial *req,
                                       struct error *err)
{
    struct session *s = session_new(&h->ctx_, err);
    if (s)
        self_of(s)->req = req;
    req->handshake_ = h;
    req->session_ = s;
    return s;
}

void handshake_dial_begin(struct session *s, struct stream *stream)
{
    struct error err = { ERR_OK, "" };
    session_start(s, stream, STEP_SYNACK);
    if (syn_send(s, &err))
        session_fail(s, err.code, err.text);
}

static void on_opened(struct stream_open *open, struct stream *stream, const struct error *err)
{
    struct handshake_dial *req = container_of(open, struct handshake_dial, open_);
    if (stream) {
        handshake_dial_begin(req->session_, stream);
        return;
    }
    if (req->session_)
        session_free(req->session_);
    req->session_ = NULL;
    req->cb(req, err);
}

static void on_refused(struct deferred *d)
{
    struct handshake_dial *req = container_of(d, struct handshake_dial, refused_);
    req->cb(req, &req->error_);
}

void handshake_dial(struct handshake *h, struct handshake_dial *req)
{
    assert(h->host && req->cb && req->peer.len > 0 && handshake_ready(h));
    struct session *s = handshake_dial_session(h, req, &req->error_);
    if (!s) {
        loop_defer(h->loop, &req->refused_, on_refused);
        return;
    }
    req->open_ = (struct stream_open){
        .to = req->peer, .choices = h->choices_, .count = 1, .user = s, .cb = on_opened
    };
    stream_open(h->host, &req->open_);
}

void handshake_dial_cancel(struct handshake_dial *req)
{
    if (req->session_ && req->session_->stream)
        session_fail(req->session_, ERR_CANCELED, "canceled");
    else if (req->session_)
        stream_open_cancel(&req->open_);
}
