#include "unit.h"

#include "base/mem.h"
#include "swarm/known.h"
#include "swarm/topology.h"
#include "swarm_bed.h"

static enum err admit(struct topology *t, uint8_t first, uint8_t n, bool inbound,
                      struct swarm_peer **out)
{
    struct peer_id id = { .len = 3, .bytes = { first, n, n } };
    uint8_t overlay[OVERLAY_BYTES] = { first, n };
    const struct topology_arrival a = {
        .id = &id, .overlay = overlay, .full_node = true, .inbound = inbound
    };
    return topology_admit(t, &a, out, NULL);
}

TEST(a_bin_below_the_radius_holds_eighteen)
{
    static const uint8_t own[OVERLAY_BYTES];
    struct swarm_bed b;
    struct topology *t;
    struct swarm_peer *p = NULL;
    swarm_bed_make(&b);
    check(!topology_create(&t, b.mem, own, NULL), "topology");
    topology_set_radius(t, 1);
    for (uint8_t i = 0; i < LIMIT_SWARM_BIN_PEERS; i++)
        check(!admit(t, 0x80, i, true, &p), "room in bin 0");
    check(admit(t, 0x80, 100, true, &p) == ERR_LIMIT, "one too many");
    check(!admit(t, 0x80, 100, false, &p) && p, "one that we dialed ourselves");
    check(!admit(t, 0x40, 100, true, &p) && p->proximity == 1, "a neighbour");
    check(topology_bin_count(t, 0) == LIMIT_SWARM_BIN_PEERS + 1 && topology_bin_count(t, 1) == 1,
          "by bin");
    topology_set_radius(t, 0);
    check(!admit(t, 0x80, 101, true, &p) && p, "with radius 0 all are neighbours");
    uint32_t n = 0;
    for (const struct swarm_peer *at = NULL; (at = topology_next(t, at)); n++)
        ;
    check(n == LIMIT_SWARM_BIN_PEERS + 3, "all are walked over");
    check(topology_count(t) == 0 && topology_neighbours(t, 0) == 0, "none is ready");
    topology_ready(t, p);
    check(topology_count(t) == 1 && topology_neighbours(t, 0) == 1, "now one is");
    check(topology_neighbours(t, 1) == 0, "which is in bin 0");
    topology_destroy(t);
    swarm_bed_end(&b);
}

TEST(an_overlay_is_here_once)
{
    static const uint8_t own[OVERLAY_BYTES];
    struct swarm_bed b;
    struct topology *t;
    struct swarm_peer *p, *again = NULL;
    swarm_bed_make(&b);
    check(!topology_create(&t, b.mem, own, NULL), "topology");
    check(!admit(t, 0x80, 1, true, &p) && !admit(t, 0x80, 1, false, &again), "twice");
    check(p == again && p->inbound, "the older one stays as it is");
    struct peer_id other = { .len = 2, .bytes = { 9, 9 } };
    const struct topology_arrival a = { .id = &other, .overlay = p->overlay, .full_node = true };
    check(!topology_admit(t, &a, &again, NULL) && !again, "the same overlay under another id");
    check(topology_find(t, &p->id) == p && !topology_find(t, &other), "only one is here");
    mem_fault_at(1);
    check(admit(t, 0x80, 2, true, &again) == ERR_BUDGET, "memory");
    mem_fault_at(0);
    topology_destroy(t);
    swarm_bed_end(&b);
}

static enum known_outcome learn(struct known *k, uint8_t first, uint16_t n, int64_t at_s)
{
    static struct swarm_node node;
    static const uint8_t chequebook[1], nonce[32], sig[65];
    if (node.underlay_bytes == 0)
        swarm_node_make(&node, 5);
    uint8_t overlay[OVERLAY_BYTES] = { first, (uint8_t)(n >> 8), (uint8_t)n };
    const struct overlay_record rec = { .underlays = bytes_of(node.underlay, node.underlay_bytes),
                                        .overlay = bytes_of(overlay, OVERLAY_BYTES),
                                        .nonce = bytes_of(nonce, 32),
                                        .signature = bytes_of(sig, 65),
                                        .chequebook = bytes_of(chequebook, 0),
                                        .timestamp_s = at_s };
    return known_learn(k, &rec);
}

TEST(nearer_peers_take_the_place_of_farther_ones)
{
    static const uint8_t own[OVERLAY_BYTES];
    struct swarm_bed b;
    struct known *k;
    swarm_bed_make(&b);
    check(!known_create(&k, b.mem, own, NULL), "known");
    for (uint16_t i = 0; i < LIMIT_KNOWN_PEERS; i++)
        check(learn(k, 0x40, i, 10) == KNOWN_KEPT, "room");
    check(learn(k, 0x40, 3, 9) == KNOWN_OLD, "an older record");
    check(learn(k, 0x40, 3, 11) == KNOWN_KEPT && known_count(k) == LIMIT_KNOWN_PEERS,
          "a newer one");
    check(learn(k, 0x41, 1, 10) == KNOWN_FULL, "as far as the farthest");
    check(learn(k, 0x20, 1, 10) == KNOWN_KEPT && known_count(k) == LIMIT_KNOWN_PEERS, "nearer");
    uint8_t near[OVERLAY_BYTES] = { 0x20, 0, 1 };
    check(known_timestamp(k, near) == 10, "it is there");
    known_forget(k, near);
    check(known_timestamp(k, near) == 0 && known_count(k) == LIMIT_KNOWN_PEERS - 1, "forgotten");
    check(learn(k, 0, 0, 10) == KNOWN_USELESS, "our own overlay");
    known_destroy(k);
    swarm_bed_end(&b);
}

TEST(addresses_that_nobody_can_dial_are_left_out)
{
    static const uint8_t own[OVERLAY_BYTES];
    struct swarm_bed b;
    struct known *k;
    struct swarm_node node, other;
    uint8_t raw[512], sig[SIG_BYTES];
    struct overlay_record rec;
    static const uint8_t udp[] = { 4, 1, 2, 3, 4, 0x91, 2, 0, 80 };
    swarm_bed_make(&b);
    swarm_node_make(&node, 5);
    swarm_node_make(&other, 6);
    check(!known_create(&k, b.mem, own, NULL), "known");
    const struct overlay_underlays u = { { bytes_of(udp, sizeof(udp)),
                                           bytes_of(node.underlay, node.underlay_bytes),
                                           bytes_of(other.underlay, other.underlay_bytes) },
                                         3 };
    struct writer w = writer_of(raw, sizeof(raw));
    check(overlay_underlays_write(&w, &u), "three addresses");
    swarm_node_record(&node, BED_WALL_S, sig, &rec);
    rec.underlays = bytes_of(raw, writer_used(&w));
    check(known_learn(k, &rec) == KNOWN_KEPT, "one is enough");
    const struct known_peer *p = known_at(k, 0);
    check(bytes_equal(bytes_of(p->addresses, p->address_bytes),
                      bytes_of(node.underlay, node.underlay_bytes)),
          "UDP and another peer's are left out");
    check(peer_id_equal(&p->id, &node.id), "the peer they name");
    rec.underlays = bytes_of(udp, sizeof(udp));
    rec.overlay = bytes_of(other.swarm.overlay, OVERLAY_BYTES);
    check(known_learn(k, &rec) == KNOWN_USELESS, "none");
    known_destroy(k);
    swarm_bed_end(&b);
}
