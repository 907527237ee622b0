/* Handshakes over streams in memory: the vectors of bee, each check, and both sides at once. */
#include "unit.h"

#include "base/mem.h"
#include "base/varint.h"
#include "core/loop.h"
#include "proto/swarm.pb-c.h"
#include "swarm/handshake.h"
#include "swarm/known.h"
#include "swarm/topology.h"
#include "swarm_bed.h"
#include "vectors.h"

/* One node: its record, its topology, its handshake. */
struct node {
    struct swarm_node keys;
    struct record_identity identity;
    struct own_record record;
    struct topology *topology;
    struct known *known;
    struct handshake handshake;
    struct topology_watch watch;
    uint32_t told, gone, disconnected, kept;
};

static void on_peer(void *ctx, const struct swarm_peer *p UNUSED)
{
    ((struct node *)ctx)->told++;
}
static void on_gone(void *ctx, const struct swarm_peer *p UNUSED)
{
    ((struct node *)ctx)->gone++;
}
static void disconnect(void *ctx, const struct peer_id *peer UNUSED)
{
    ((struct node *)ctx)->disconnected++;
}

static void keep_only(void *ctx, struct stream *s UNUSED)
{
    ((struct node *)ctx)->kept++;
}

static void node_make(struct node *n, struct swarm_bed *b, uint8_t seed, bool full)
{
    struct error err = { ERR_OK, "" };
    bool changed;
    memset(n, 0, sizeof(*n));
    swarm_node_make(&n->keys, seed);
    n->identity = (struct record_identity){
        .swarm = &n->keys.swarm, .full_node = full, .welcome = "hi", .peer = n->keys.id
    };
    const struct overlay_underlays u = { { bytes_of(n->keys.underlay, n->keys.underlay_bytes) },
                                         1 };
    const struct record_wish wish = { &u, bytes_of(NULL, 0), BED_WALL_S };
    check(!own_record_make(&n->record, &n->identity, &wish, &changed, &err), err.text);
    check(!topology_create(&n->topology, b->mem, n->keys.swarm.overlay, &err), err.text);
    check(!known_create(&n->known, b->mem, n->keys.swarm.overlay, &err), err.text);
    n->watch = (struct topology_watch){ .on_peer = on_peer, .on_gone = on_gone, .ctx = n };
    topology_watch(n->topology, &n->watch);
    n->handshake = (struct handshake){ .loop = b->loop,
                                       .mem = b->mem,
                                       .topology = n->topology,
                                       .known = n->known,
                                       .record = &n->record,
                                       .disconnect = disconnect,
                                       .keep_only = keep_only,
                                       .ctx = n };
    handshake_init(&n->handshake);
}

static void node_end(struct node *n)
{
    topology_unwatch(&n->watch);
    topology_destroy(n->topology);
    known_destroy(n->known);
}

static uint32_t answered;
static struct error answer;
static void on_dialed(struct handshake_dial *req UNUSED, const struct error *err)
{
    answered++;
    answer = err ? *err : (struct error){ ERR_OK, "" };
}

/* Two nodes of ours over one pair. */
static void shake(struct swarm_bed *b, struct node *dialer, struct node *listener, size_t piece)
{
    static struct handshake_dial req;
    static struct protocol serve, dial;
    struct error err = { ERR_OK, "" };
    req = (struct handshake_dial){ .peer = listener->keys.id, .cb = on_dialed };
    answered = 0;
    struct session *s = handshake_dial_session(&dialer->handshake, &req, &err);
    check(s, err.text);
    serve = (struct protocol){ .name = "/test",
                               .ops = &session_ops,
                               .ctx = (void *)(uintptr_t)handshake_served(&listener->handshake) };
    dial = (struct protocol){ .name = "/test", .ops = &session_ops };
    const struct stream_mem_options o = { .loop = b->loop,
                                          .mem = b->mem,
                                          .protocol = &dial,
                                          .dialer_user = s,
                                          .dialer = dialer->keys.id,
                                          .listener = listener->keys.id,
                                          .listener_protocol = &serve,
                                          .piece_bytes = piece };
    handshake_dial_begin(s, stream_mem_open(&o));
    swarm_bed_turn(b, 100);
}

TEST(two_nodes_shake_hands)
{
    for (size_t piece = 0; piece < 3; piece++) {
        struct swarm_bed b;
        struct node a, l;
        swarm_bed_make(&b);
        node_make(&a, &b, 1, false);
        node_make(&l, &b, 2, true);
        shake(&b, &a, &l, piece * 7);
        check(answered == 1 && answer.code == ERR_OK, answer.text);
        check(a.told == 1 && l.told == 1, "both are told, once");
        const struct swarm_peer *p = topology_find(a.topology, &l.keys.id);
        check(p && p->full_node && !p->inbound && p->ready, "the listener is a full node");
        check(!memcmp(p->overlay, l.keys.swarm.overlay, OVERLAY_BYTES), "its overlay");
        check(p->proximity == overlay_proximity(a.keys.swarm.overlay, l.keys.swarm.overlay),
              "its bin");
        p = topology_find(l.topology, &a.keys.id);
        check(p && !p->full_node && p->inbound && p->ready, "the dialer is a light one");
        check(known_count(a.known) == 1 && known_count(l.known) == 0, "full ones are known");
        shake(&b, &a, &l, 0);
        check(answered == 1 && answer.code == ERR_OK && a.told == 1 && l.told == 1,
              "a second time: it completes, and nobody is new");
        check(topology_count(a.topology) == 1 && l.disconnected == 0, "one peer");
        topology_remove(a.topology, &l.keys.id);
        check(a.gone == 1 && topology_count(a.topology) == 0, "gone");
        node_end(&a);
        node_end(&l);
        swarm_bed_end(&b);
    }
}

TEST(who_calls_again_has_started_again)
{
    struct swarm_bed b;
    struct node a, l;
    swarm_bed_make(&b);
    node_make(&a, &b, 1, true);
    node_make(&l, &b, 2, true);
    shake(&b, &a, &l, 0);
    swarm_bed_turn(&b, LIMIT_SWARM_AGAIN_MS - 200);
    shake(&b, &a, &l, 0);
    check(l.told == 1 && l.gone == 0 && l.kept == 0, "both may have called at once");
    swarm_bed_turn(&b, 200);
    shake(&b, &a, &l, 0);
    check(answered == 1 && answer.code == ERR_OK, answer.text);
    check(l.gone == 1 && l.told == 2 && l.kept == 1, "it is gone, and here again");
    check(topology_count(l.topology) == 1 && topology_find(l.topology, &a.keys.id)->ready, "once");
    check(a.told == 1 && a.gone == 0, "who calls knows what it does");
    shake(&b, &a, &l, 0);
    check(l.gone == 1 && l.told == 2, "no more often than that");
    node_end(&a);
    node_end(&l);
    swarm_bed_end(&b);
}

static struct bytes vector(yajl_val v, const char *key, uint8_t *buf, size_t size)
{
    return bytes_of(buf, vector_hex(v, key, buf, size));
}

/* bee's own bytes: the peer is the one of the vectors, QmcgpsyW... */
static void bee_of_vectors(struct scripted *p)
{
    static const char text[] = "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC";
    memset(p, 0, sizeof(*p));
    check(!peer_id_from_text(text, strlen(text), &p->self, NULL), "its id");
}

TEST(bee_s_messages_are_taken_by_a_listener)
{
    for (size_t i = 0; i < 2; i++) {
        struct swarm_bed b;
        struct node n;
        static struct scripted bee;
        uint8_t buf[1024];
        yajl_val v = vector_at(vector_get(vectors_load("swarm-vectors.json"), "handshake"), i);
        swarm_bed_make(&b);
        node_make(&n, &b, 1, true);
        bee_of_vectors(&bee);
        scripted_open(&bee, &b, &session_ops, (void *)(uintptr_t)handshake_served(&n.handshake));
        scripted_send(&bee, vector(v, "syn_delimited", buf, sizeof(buf)));
        swarm_bed_turn(&b, 1);
        check(bee.got_bytes > 200 && !bee.closed, "a SynAck");
        check(topology_count(n.topology) == 0, "nobody yet");
        scripted_send(&bee, vector(v, "ack_delimited", buf, sizeof(buf)));
        swarm_bed_turn(&b, 1);
        const struct swarm_peer *p = topology_find(n.topology, &bee.self);
        check(p && p->full_node && !p->ready && n.told == 0,
              "its streams are served before its FIN, and nobody opens one yet");
        check(bee.fin, "we are done");
        scripted_finish(&bee);
        swarm_bed_turn(&b, 1);
        check(p->ready && n.told == 1 && bee.closed && bee.end == ERR_OK, "an end in order");
        topology_remove(n.topology, &bee.self);
        node_end(&n);
        swarm_bed_end(&b);
    }
}

/* What a hostile or broken side may say; the changes are made to messages that are right. */
enum change {
    NONE,
    NO_ADDRESS,
    NETWORK,
    SIGNATURE,
    NEWER,
    TIME_AHEAD,
    OTHER_PEER,
    CHEQUEBOOK_NONE,
    CHEQUEBOOK_SHORT,
    OUR_OVERLAY,
    SYN_EMPTY,
    SYN_NONE,
    SYN_OTHER,
    SYN_NO_PEER,
    CUT
};

struct script {
    struct swarm_node peer;
    uint8_t signature[SIG_BYTES], out[2048];
    struct overlay_record rec;
    Swarm__BzzAddress address;
    Swarm__HandshakeAck ack;
    Swarm__HandshakeSyn syn;
    Swarm__HandshakeSynAck synack;
};

static void script_make(struct script *s, const struct node *n, enum change c)
{
    static const uint8_t no_peer[] = { 4, 127, 0, 0, 1, 6, 6, 0x62 };
    static const uint8_t short_chequebook[19];
    swarm_node_make(&s->peer, c == OUR_OVERLAY ? 1 : 7);
    if (c == OTHER_PEER)
        s->peer.underlay[s->peer.underlay_bytes - 1] ^= 1;
    swarm_node_record(&s->peer, BED_WALL_S + (c == TIME_AHEAD ? 61 : 0), s->signature, &s->rec);
    s->signature[40] ^= c == SIGNATURE;
    swarm__bzz_address__init(&s->address);
    s->address.underlay = pb_data(s->rec.underlays);
    s->address.signature = pb_data(s->rec.signature);
    s->address.overlay = pb_data(s->rec.overlay);
    s->address.nonce = pb_data(s->rec.nonce);
    s->address.timestamp = s->rec.timestamp_s;
    if (c == CHEQUEBOOK_SHORT)
        s->address.chequebook_address = pb_data(bytes_of(short_chequebook, 19));
    swarm__handshake_ack__init(&s->ack);
    s->ack.address = c == NO_ADDRESS ? NULL : &s->address;
    s->ack.network_id = c == NETWORK ? 1 : 7357;
    s->ack.full_node = true;
    swarm__handshake_syn__init(&s->syn);
    struct bytes seen = c == SYN_OTHER     ? s->rec.underlays
                        : c == SYN_NO_PEER ? bytes_of(no_peer, sizeof(no_peer))
                        : c == SYN_EMPTY   ? bytes_of(NULL, 0)
                                           : bytes_of(n->keys.underlay, n->keys.underlay_bytes);
    s->syn.observed_underlay = pb_data(seen);
    swarm__handshake_syn_ack__init(&s->synack);
    s->synack.syn = c == SYN_NONE ? NULL : &s->syn;
    s->synack.ack = &s->ack;
}

static struct bytes framed(struct script *s, const ProtobufCMessage *m, enum change c)
{
    struct writer w = writer_of(s->out, sizeof(s->out));
    pb_put_delimited(&w, m);
    check(!w.overflow, "room");
    return bytes_of(s->out, writer_used(&w) - (c == CUT ? 5 : 0));
}

static const struct {
    const char *why;
    enum change change;
    enum err dialing, listening; /* how our side ends */
} cases[] = {
    { "all is right", NONE, ERR_OK, ERR_OK },
    { "an Ack without a record", NO_ADDRESS, ERR_MALFORMED, ERR_MALFORMED },
    { "another network", NETWORK, ERR_PROTOCOL, ERR_PROTOCOL },
    { "a signature that does not match", SIGNATURE, ERR_BAD_PROOF, ERR_BAD_PROOF },
    { "a record older than one we have seen", NEWER, ERR_BAD_PROOF, ERR_BAD_PROOF },
    { "a record from the future", TIME_AHEAD, ERR_BAD_PROOF, ERR_BAD_PROOF },
    { "somebody else's record", OTHER_PEER, ERR_BAD_PROOF, ERR_BAD_PROOF },
    { "no chequebook", CHEQUEBOOK_NONE, ERR_OK, ERR_OK },
    { "a chequebook of 19 bytes", CHEQUEBOOK_SHORT, ERR_MALFORMED, ERR_MALFORMED },
    { "our own overlay", OUR_OVERLAY, ERR_PROTOCOL, ERR_PROTOCOL },
    { "an empty Syn", SYN_EMPTY, ERR_MALFORMED, ERR_MALFORMED },
    { "no Syn in a SynAck", SYN_NONE, ERR_MALFORMED, ERR_OK },
    { "it sees somebody else", SYN_OTHER, ERR_PROTOCOL, ERR_OK },
    { "it sees nobody", SYN_NO_PEER, ERR_PROTOCOL, ERR_OK },
    { "cut short", CUT, ERR_CLOSED, ERR_CLOSED },
};

static void learn_newer(struct node *n, struct script *s)
{
    uint8_t sig[SIG_BYTES];
    struct overlay_record rec;
    swarm_node_record(&s->peer, BED_WALL_S + 1, sig, &rec);
    check(known_learn(n->known, &rec) == KNOWN_KEPT, "a newer record from elsewhere");
}

TEST(a_listener_checks_everything)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct swarm_bed b;
        struct node n;
        static struct scripted peer;
        static struct script s;
        enum change c = cases[i].change;
        swarm_bed_make(&b);
        node_make(&n, &b, 1, true);
        script_make(&s, &n, c);
        if (c == NEWER)
            learn_newer(&n, &s);
        memset(&peer, 0, sizeof(peer));
        swarm_node_make(&s.peer, c == OUR_OVERLAY ? 1 : 7);
        peer.self = s.peer.id;
        scripted_open(&peer, &b, &session_ops, (void *)(uintptr_t)handshake_served(&n.handshake));
        scripted_send(&peer, framed(&s, &s.syn.base, NONE));
        swarm_bed_turn(&b, 1);
        script_make(&s, &n, c);
        scripted_send(&peer, framed(&s, &s.ack.base, c));
        scripted_finish(&peer);
        swarm_bed_turn(&b, 1);
        bool good = cases[i].listening == ERR_OK;
        check(peer.closed && (peer.end == ERR_OK) == good, cases[i].why);
        check(topology_count(n.topology) == (good ? 1 : 0), cases[i].why);
        check(n.disconnected == (good ? 0 : 1), "a failed handshake ends the connection");
        node_end(&n);
        swarm_bed_end(&b);
    }
}

TEST(a_syn_is_refused_and_counted_at_its_length)
{
    static struct scripted peer;
    struct swarm_node from;
    struct swarm_bed b;
    struct node n;
    uint8_t length[9];
    struct writer w = writer_of(length, sizeof(length));
    uint64_t hits = limit_hits(LIMIT_ID_SWARM_HANDSHAKE_BYTES);
    swarm_bed_make(&b);
    node_make(&n, &b, 1, true);
    swarm_node_make(&from, 7);
    memset(&peer, 0, sizeof(peer));
    peer.self = from.id;
    scripted_open(&peer, &b, &session_ops, (void *)(uintptr_t)handshake_served(&n.handshake));
    writer_uvarint(&w, LIMIT_SWARM_HANDSHAKE_BYTES + 1);
    scripted_send(&peer, bytes_of(length, writer_used(&w)));
    swarm_bed_turn(&b, 1);
    check(peer.closed && peer.end && n.disconnected == 1, "it costs the connection");
    check(limit_hits(LIMIT_ID_SWARM_HANDSHAKE_BYTES) == hits + 1, "counted");
    node_end(&n);
    swarm_bed_end(&b);
}

TEST(a_dialer_checks_everything)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct swarm_bed b;
        struct node n;
        static struct scripted peer;
        static struct script s;
        static struct protocol dial = { .name = "/test", .ops = &session_ops };
        struct handshake_dial req = { .cb = on_dialed };
        enum change c = cases[i].change;
        swarm_bed_make(&b);
        node_make(&n, &b, 1, false);
        script_make(&s, &n, c);
        if (c == NEWER)
            learn_newer(&n, &s);
        swarm_node_make(&s.peer, c == OUR_OVERLAY ? 1 : 7);
        memset(&peer, 0, sizeof(peer));
        peer.self = req.peer = s.peer.id;
        answered = 0;
        struct session *session = handshake_dial_session(&n.handshake, &req, NULL);
        handshake_dial_begin(session, scripted_listen(&peer, &b, &dial, session));
        swarm_bed_turn(&b, 1);
        check(peer.got_bytes > 40 && peer.got[0] == peer.got_bytes - 1, "a Syn and nothing else");
        script_make(&s, &n, c);
        scripted_send(&peer, framed(&s, &s.synack.base, c));
        swarm_bed_turn(&b, 1);
        bool good = cases[i].dialing == ERR_OK;
        check(good || n.told == 0, "nobody is told before the end");
        check((topology_find(n.topology, &peer.self) != NULL) == good,
              "admitted once the Ack is written");
        scripted_finish(&peer);
        swarm_bed_turn(&b, 1);
        check(answered == 1 && answer.code == cases[i].dialing, cases[i].why);
        check(good || strstr(answer.text, "handshake"), answer.text);
        check(topology_count(n.topology) == (good ? 1 : 0), cases[i].why);
        check(n.disconnected == (good ? 0 : 1), "a failed handshake ends the connection");
        node_end(&n);
        swarm_bed_end(&b);
    }
}

TEST(silence_ends_it_and_takes_the_peer_back)
{
    struct swarm_bed b;
    struct node n;
    static struct scripted peer;
    static struct script s;
    swarm_bed_make(&b);
    node_make(&n, &b, 1, true);
    script_make(&s, &n, NONE);
    memset(&peer, 0, sizeof(peer));
    peer.self = s.peer.id;
    scripted_open(&peer, &b, &session_ops, (void *)(uintptr_t)handshake_served(&n.handshake));
    scripted_send(&peer, framed(&s, &s.syn.base, NONE));
    swarm_bed_turn(&b, LIMIT_SWARM_HANDSHAKE_MS - 1);
    scripted_send(&peer, framed(&s, &s.ack.base, NONE));
    swarm_bed_turn(&b, 1);
    check(topology_find(n.topology, &peer.self) && !peer.closed, "admitted");
    swarm_bed_turn(&b, LIMIT_SWARM_HANDSHAKE_MS + 1);
    check(peer.closed && peer.end, "no FIN in time");
    check(!topology_find(n.topology, &peer.self) && n.told == 0 && n.gone == 0, "and forgotten");
    check(n.disconnected == 1, "the connection ends");
    node_end(&n);
    swarm_bed_end(&b);
}

TEST(a_dial_is_canceled_at_each_step)
{
    for (int step = 0; step < 2; step++) {
        struct swarm_bed b;
        struct node n;
        static struct scripted peer;
        static struct script s;
        static struct protocol dial = { .name = "/test", .ops = &session_ops };
        struct handshake_dial req = { .cb = on_dialed };
        swarm_bed_make(&b);
        node_make(&n, &b, 1, false);
        script_make(&s, &n, NONE);
        memset(&peer, 0, sizeof(peer));
        peer.self = req.peer = s.peer.id;
        answered = 0;
        struct session *session = handshake_dial_session(&n.handshake, &req, NULL);
        handshake_dial_begin(session, scripted_listen(&peer, &b, &dial, session));
        swarm_bed_turn(&b, 1);
        if (step == 1)
            scripted_send(&peer, framed(&s, &s.synack.base, NONE));
        swarm_bed_turn(&b, 1);
        handshake_dial_cancel(&req);
        check(answered == 0, "never inside the call");
        swarm_bed_turn(&b, 1);
        check(answered == 1 && answer.code == ERR_CANCELED, answer.text);
        check(!topology_find(n.topology, &peer.self), "nobody");
        node_end(&n);
        swarm_bed_end(&b);
    }
}

TEST(refused_memory_ends_a_handshake_and_nothing_else)
{
    for (uint64_t at = 1; at < 40; at++) {
        struct swarm_bed b;
        struct node a, l;
        swarm_bed_make(&b);
        node_make(&a, &b, 1, false);
        node_make(&l, &b, 2, true);
        struct handshake_dial probe = { 0 };
        struct session *s = handshake_dial_session(&a.handshake, &probe, NULL);
        session_free(s);
        mem_fault_at(at + 1); /* the first is the session itself, which the next test refuses */
        shake(&b, &a, &l, 0);
        mem_fault_at(0);
        check(answered == 1, "one answer");
        node_end(&a);
        node_end(&l);
        swarm_bed_end(&b);
    }
}

TEST(a_light_node_beyond_the_hundredth_is_refused)
{
    struct swarm_bed b;
    struct node n;
    struct swarm_peer *p;
    struct error err = { ERR_OK, "" };
    swarm_bed_make(&b);
    node_make(&n, &b, 1, true);
    for (uint32_t i = 0; i <= LIMIT_SWARM_LIGHT_PEERS; i++) {
        struct peer_id id = { .len = 3, .bytes = { 0, 1, (uint8_t)i } };
        uint8_t overlay[OVERLAY_BYTES] = { (uint8_t)i, 1 };
        const struct topology_arrival a = { .id = &id, .overlay = overlay };
        enum err rc = topology_admit(n.topology, &a, &p, &err);
        check(rc == (i < LIMIT_SWARM_LIGHT_PEERS ? ERR_OK : ERR_LIMIT), "100 of them");
    }
    node_end(&n);
    swarm_bed_end(&b);
}
