/* lib/swarm/topology.h
 *
 * The peers whose handshake is finished, by bin. A connection that never shakes hands is not in
 * here, however often it pings: bee looks from a second host whether we can be reached.
 *
 * A peer enters when its record is accepted, since its first streams may come in the same segment
 * as the end of its handshake; watchers are told when the handshake's stream is closed, because
 * only then may we open streams of our own.
 * Owns:   the peers. Memory: about 200 bytes each, charged to the owner given.
 * Thread: loop only. Errors: ERR_LIMIT (the bin is full), ERR_BUDGET.
 */
#ifndef LARDER_SWARM_TOPOLOGY_H
#define LARDER_SWARM_TOPOLOGY_H

#include "base/list.h"
#include "codec/overlay.h"
#include "codec/peerid.h"

struct mem_owner;
struct topology;

enum { TOPOLOGY_BINS = OVERLAY_BIN_MAX + 1 };

struct swarm_peer {
    struct peer_id id;
    uint8_t overlay[OVERLAY_BYTES];
    uint8_t proximity; /* to our overlay */
    bool full_node;    /* a light one is served and never asked */
    bool inbound;      /* it shook our hand */
    bool ready;        /* watchers know it */
    uint64_t since_ms;
    /* Gossip it may still send us, and since when that is so (hive.c). */
    uint32_t gossip_left;
    uint64_t gossip_ms;
    struct list link_;
};

struct topology_watch { /* a field of its user; zeroed at first */
    struct list link_;
    void (*on_peer)(void *ctx, const struct swarm_peer *p);
    void (*on_gone)(void *ctx, const struct swarm_peer *p);
    void *ctx;
};

enum err topology_create(struct topology **out, struct mem_owner *mem,
                         const uint8_t overlay[OVERLAY_BYTES], struct error *err);
void topology_destroy(struct topology *t); /* NULL is fine; tells nobody */
/* Bins below it are for finding others, and hold few. At first 0. */
void topology_set_radius(struct topology *t, uint8_t radius);

/* What a handshake has learned. */
struct topology_arrival {
    const struct peer_id *id;
    const uint8_t *overlay;
    bool full_node, inbound;
    uint64_t now_ms;
};
/* *out is NULL when the overlay is here under another peer id, which stays. A peer that is here
 * already stays as it is. */
enum err topology_admit(struct topology *t, const struct topology_arrival *a,
                        struct swarm_peer **out, struct error *err);
void topology_ready(struct topology *t, struct swarm_peer *p);      /* once; no-op after that */
void topology_remove(struct topology *t, const struct peer_id *id); /* no-op when absent */

struct swarm_peer *topology_find(struct topology *t, const struct peer_id *id);
bool topology_has_overlay(const struct topology *t, const uint8_t overlay[OVERLAY_BYTES]);
/* All, in no order: NULL at first; p must still be there. */
const struct swarm_peer *topology_next(const struct topology *t, const struct swarm_peer *p);
uint32_t topology_count(const struct topology *t);                   /* ready ones */
uint32_t topology_bin_count(const struct topology *t, unsigned bin); /* full ones, ready or not */
/* Ready full ones at least that near. */
uint32_t topology_neighbours(const struct topology *t, unsigned radius);
const uint8_t *topology_overlay(const struct topology *t);

void topology_watch(struct topology *t, struct topology_watch *w);
void topology_unwatch(struct topology_watch *w); /* no-op when it does not watch */

#endif
