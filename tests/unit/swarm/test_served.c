/* The small protocols that bees open to us: pricing, hive, status, pingpong. */
#include "unit.h"

#include "base/mem.h"
#include "base/varint.h"
#include "core/loop.h"
#include "proto/swarm.pb-c.h"
#include "swarm/hive.h"
#include "swarm/known.h"
#include "swarm/pingpong.h"
#include "swarm/pricing.h"
#include "swarm/status.h"
#include "swarm/topology.h"
#include "swarm_bed.h"
#include "vectors.h"

static const uint8_t own[OVERLAY_BYTES];

struct fixture {
    struct swarm_bed b;
    struct swarm_node peer;
    struct topology *topology;
    struct known *known;
    struct hive hive;
    struct status_source source;
    struct session_ctx ctx;
    struct scripted script;
};
static struct fixture f;

static void facts(void *ctx UNUSED, struct status_facts *out)
{
    *out = (struct status_facts){ .reserve_size = 1000,
                                  .reserve_size_within_radius = 900,
                                  .pullsync_rate = 1.5,
                                  .storage_radius = 3,
                                  .committed_depth = 3,
                                  .connected_peers = 4,
                                  .neighbourhood_size = 2,
                                  .full_node = true,
                                  .reachable = true,
                                  .batch_commitment = 1 << 20 };
}

static void begin(const struct session_kind *kind, bool admitted)
{
    struct swarm_peer *p;
    memset(&f, 0, sizeof(f));
    swarm_bed_make(&f.b);
    swarm_node_make(&f.peer, 9);
    check(!topology_create(&f.topology, f.b.mem, own, NULL), "topology");
    check(!known_create(&f.known, f.b.mem, own, NULL), "known");
    const struct topology_arrival a = { .id = &f.peer.id, .overlay = f.peer.swarm.overlay };
    check(!admitted || !topology_admit(f.topology, &a, &p, NULL), "a peer");
    f.hive = (struct hive){ .loop = f.b.loop,
                            .mem = f.b.mem,
                            .topology = f.topology,
                            .known = f.known,
                            .network_id = 7357 };
    hive_init(&f.hive);
    f.source.facts = facts;
    f.ctx = (struct session_ctx){ .kind = kind,
                                  .loop = f.b.loop,
                                  .mem = f.b.mem,
                                  .admitted = f.topology,
                                  .owner = kind == &hive_kind ? (void *)&f.hive : &f.source };
    f.script.self = f.peer.id;
    scripted_open(&f.script, &f.b, &session_ops, &f.ctx);
}

static void end(void)
{
    if (!f.script.closed)
        stream_reset(f.script.s, 0);
    swarm_bed_turn(&f.b, 1);
    hive_close(&f.hive);
    topology_destroy(f.topology);
    known_destroy(f.known);
    swarm_bed_end(&f.b);
}

static void say(const void *bytes, size_t size)
{
    scripted_send(&f.script, bytes_of(bytes, size));
    swarm_bed_turn(&f.b, 1);
}

static void say_message(const ProtobufCMessage *m)
{
    static uint8_t buf[64 * 1024];
    struct writer w = writer_of(buf, sizeof(buf));
    pb_put_delimited(&w, m);
    check(!w.overflow, "room");
    say(buf, writer_used(&w));
}

static void say_vector(const char *name)
{
    yajl_val list = vector_get(vectors_load("swarm-vectors.json"), "messages_delimited");
    for (size_t i = 0; i < vector_count(list); i++) {
        yajl_val v = vector_at(list, i);
        uint8_t raw[1024];
        if (strcmp(vector_text(v, "name"), name))
            continue;
        say(raw, vector_hex(v, "delimited", raw, sizeof(raw)));
        return;
    }
    check(false, name);
}

TEST(pricing_is_heard)
{
    begin(&pricing_kind, true);
    say("\0", 1);
    check(f.script.got_bytes == 1 && f.script.got[0] == 0, "our headers");
    say_vector("payment threshold 13500000");
    check(f.script.got_bytes == 1 && f.script.fin, "nothing is said, and our side is closed");
    scripted_finish(&f.script);
    swarm_bed_turn(&f.b, 1);
    check(f.script.closed && f.script.end == ERR_OK, "in order");
    end();
}

TEST(an_end_or_a_message_that_no_step_waits_for_ends_it)
{
    begin(&pricing_kind, true);
    say("\0", 1);
    scripted_finish(&f.script);
    swarm_bed_turn(&f.b, 1);
    check(f.script.closed && f.script.end, "closed before the threshold came");
    end();
    begin(&pricing_kind, true);
    say("\0", 1);
    say_vector("payment threshold 13500000");
    check(!f.script.closed, "so far in order");
    say("\0", 1);
    check(f.script.closed && f.script.end, "one message too many");
    end();
    begin(&status_kind, true);
    say("\0", 1);
    swarm_bed_turn(&f.b, LIMIT_SWARM_HEADERS_MS + 1);
    check(f.script.closed && f.script.end, "silence");
    end();
}

static void too_long(const struct session_kind *kind, enum limit_id row, uint32_t most)
{
    uint8_t length[9];
    struct writer w = writer_of(length, sizeof(length));
    uint64_t hits = limit_hits(row);
    begin(kind, true);
    say("\0", 1);
    writer_uvarint(&w, most);
    say(length, writer_used(&w));
    check(!f.script.closed && limit_hits(row) == hits, "it may be as long as that");
    end();
    begin(kind, true);
    say("\0", 1);
    w = writer_of(length, sizeof(length));
    writer_uvarint(&w, most + 1);
    say(length, writer_used(&w));
    check(f.script.closed && f.script.end && limit_hits(row) == hits + 1, "and no longer");
    end();
}

TEST(a_message_is_refused_and_counted_at_its_length)
{
    too_long(&pricing_kind, LIMIT_ID_SWARM_SMALL_BYTES, LIMIT_SWARM_SMALL_BYTES);
    too_long(&status_kind, LIMIT_ID_SWARM_SMALL_BYTES, LIMIT_SWARM_SMALL_BYTES);
    too_long(&pingpong_kind, LIMIT_ID_SWARM_SMALL_BYTES, LIMIT_SWARM_SMALL_BYTES);
    too_long(&hive_kind, LIMIT_ID_SWARM_MESSAGE_BYTES, LIMIT_SWARM_MESSAGE_BYTES);
}

TEST(before_the_handshake_nothing_is_served)
{
    begin(&pricing_kind, false);
    say("\0", 1);
    check(f.script.closed && f.script.end && f.script.got_bytes == 0, "reset");
    end();
}

TEST(pings_are_answered_in_braces)
{
    begin(&pingpong_kind, true);
    say("\0", 1);
    say_vector("ping");
    say_vector("ping");
    yajl_val list = vector_get(vectors_load("swarm-vectors.json"), "messages_delimited");
    for (size_t i = 0; i < vector_count(list); i++) {
        yajl_val v = vector_at(list, i);
        uint8_t pong[64];
        if (strcmp(vector_text(v, "name"), "pong"))
            continue;
        size_t n = vector_hex(v, "delimited", pong, sizeof(pong));
        check(f.script.got_bytes == 1 + 2 * n && !memcmp(f.script.got + 1 + n, pong, n), "pong");
    }
    scripted_finish(&f.script);
    swarm_bed_turn(&f.b, 1);
    check(f.script.closed && f.script.end == ERR_OK && f.script.fin, "in order");
    end();
}

TEST(a_long_greeting_and_a_slow_reader)
{
    static uint8_t text[4000];
    Swarm__Ping ping = SWARM__PING__INIT;
    memset(text, 'x', sizeof(text));
    ping.greeting = pb_data(bytes_of(text, sizeof(text)));
    begin(&pingpong_kind, true);
    say("\0", 1);
    stream_pause(f.script.s);
    /* Beyond a window of answers nobody takes, no greeting is read: nothing piles up. */
    for (int i = 0; i < 70; i++)
        say_message(&ping.base);
    check(f.b.mem->used_bytes < f.b.base_bytes + 640 * KiB, "bounded");
    end();
}

TEST(status_is_told_as_it_is)
{
    begin(&status_kind, true);
    say("\0", 1);
    say("\0", 1);
    struct arena a;
    ProtobufCMessage *m;
    struct error err = { ERR_OK, "" };
    arena_init(&a, f.b.mem, 1024, 16 * KiB);
    size_t n = f.script.got_bytes - 2;
    check(f.script.got[1] == n && n < 128, "headers, then a framed message");
    check(!pb_unpack(&swarm__status_snapshot__descriptor, bytes_of(f.script.got + 2, n), &a, &m,
                     &err),
          err.text);
    const Swarm__StatusSnapshot *s = (Swarm__StatusSnapshot *)m;
    check(s->reserve_size == 1000 && s->reserve_size_within_radius == 900, "reserve");
    check(s->pullsync_rate == 1.5 && s->storage_radius == 3 && s->committed_depth == 3, "radius");
    check(s->connected_peers == 4 && s->neighborhood_size == 2 && s->is_reachable, "peers");
    check(!strcmp(s->bee_mode, "full") && s->batch_commitment == 1 << 20, "mode");
    arena_free(&a);
    check(f.script.fin, "our side is closed");
    end();
}

/* n records of different nodes in one message. */
static void gossip(uint32_t n, uint8_t seed, int64_t at_s, bool spoiled)
{
    static struct swarm_node nodes[40];
    static uint8_t sigs[40][SIG_BYTES];
    static Swarm__BzzAddress list[40];
    static Swarm__BzzAddress *at[40];
    Swarm__Peers peers = SWARM__PEERS__INIT;
    for (uint32_t i = 0; i < n; i++) {
        struct overlay_record rec;
        swarm_node_make(&nodes[i], (uint8_t)(seed + i));
        swarm_node_record(&nodes[i], at_s, sigs[i], &rec);
        sigs[i][9] ^= spoiled;
        swarm__bzz_address__init(&list[i]);
        list[i].underlay = pb_data(rec.underlays);
        list[i].signature = pb_data(rec.signature);
        list[i].overlay = pb_data(rec.overlay);
        list[i].nonce = pb_data(rec.nonce);
        list[i].timestamp = rec.timestamp_s;
        at[i] = &list[i];
    }
    peers.n_peers = n;
    peers.peers = at;
    say_message(&peers.base);
}

static void again(void)
{
    if (!f.script.closed)
        stream_reset(f.script.s, 0);
    swarm_bed_turn(&f.b, 1);
    memset(&f.script, 0, sizeof(f.script));
    f.script.self = f.peer.id;
    scripted_open(&f.script, &f.b, &session_ops, &f.ctx);
    say("\0", 1);
}

TEST(gossip_is_verified_and_kept)
{
    begin(&hive_kind, true);
    say("\0", 1);
    swarm_bed_turn(&f.b, LIMIT_SWARM_HEADERS_MS + 1); /* a minute is allowed */
    gossip(30, 20, BED_WALL_S, false);
    check(known_count(f.known) == 30 && f.script.fin, "thirty records");
    again();
    gossip(5, 20, BED_WALL_S + 299 - 300, false);
    check(known_count(f.known) == 30, "older ones change nothing");
    again();
    gossip(5, 60, BED_WALL_S, true);
    check(known_count(f.known) == 30, "records that do not verify are left out");
    again();
    gossip(5, 70, BED_WALL_S + 100, false);
    check(known_count(f.known) == 30, "nor those from the future");
    end();
}

TEST(bee_s_gossip_is_read_and_its_foreign_signature_found)
{
    begin(&hive_kind, true);
    say("\0", 1);
    say_vector("hive gossip, one (signature not of this record)");
    check(known_count(f.known) == 0 && f.script.fin, "read and not kept");
    end();
}

TEST(gossip_has_limits)
{
    begin(&hive_kind, true);
    say("\0", 1);
    gossip(31, 20, BED_WALL_S, false);
    check(f.script.closed && f.script.end && known_count(f.known) == 0, "31 in one message");
    for (int i = 0; i < 4; i++) {
        again();
        gossip(30, 20, BED_WALL_S, false);
        check(!f.script.closed, "120 of a burst of 128");
    }
    again();
    gossip(9, 20, BED_WALL_S, false);
    check(f.script.closed && f.script.end, "129");
    swarm_bed_turn(&f.b, LIMIT_HIVE_RECORD_MS);
    again();
    gossip(9, 20, BED_WALL_S, false);
    check(!f.script.closed, "one more after a minute");
    end();
}

TEST(records_that_wait_are_bounded)
{
    begin(&hive_kind, true);
    f.hive.waiting_count_ = LIMIT_HIVE_WAITING;
    say("\0", 1);
    gossip(2, 20, BED_WALL_S, false);
    check(known_count(f.known) == 0, "no more are taken");
    f.hive.waiting_count_ = 0;
    end();
}

TEST(refused_memory_ends_a_session_and_nothing_else)
{
    static const struct session_kind *const kinds[] = { &pricing_kind, &hive_kind, &status_kind,
                                                        &pingpong_kind };
    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
        for (uint64_t at = 1; at < 25; at++) {
            begin(kinds[k], true);
            mem_fault_at(at);
            say("\0\0", 2);
            mem_fault_at(0);
            end();
        }
}
