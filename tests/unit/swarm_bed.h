/* tests/unit/swarm_bed.h
 *
 * For tests of Swarm sessions: a loop whose clock is turned, an owner, and a peer that is played
 * from a script over a stream in memory: it sends bytes, remembers what it got, and says when the
 * other side finished or reset.
 */
#ifndef LARDER_TESTS_SWARM_BED_H
#define LARDER_TESTS_SWARM_BED_H

#include "base/bytes.h"
#include "net/stream_mem.h"
#include "swarm/identity.h"
#include "unit.h"

enum { BED_WALL_S = 1780000000 }; /* the time of the vectors' records */

struct swarm_bed {
    struct loop *loop;
    struct mem_plan *plan;
    struct governor *governor;
    struct mem_owner *mem;
    uint64_t base_bytes; /* what the governor holds */
};
void swarm_bed_make(struct swarm_bed *b);
void swarm_bed_end(struct swarm_bed *b); /* checks that all memory came back */
void swarm_bed_turn(struct swarm_bed *b, uint64_t ms);

/* A key, its peer id and its overlay in network 7357, from a small number. */
struct swarm_node {
    struct swarm_identity swarm;
    struct peer_id id;
    uint8_t underlay[64]; /* /ip4/127.0.0.1/tcp/1634/p2p/id */
    size_t underlay_bytes;
};
void swarm_node_make(struct swarm_node *n, uint8_t seed);
/* Its signed record; signature and the rest are in the node and in sig. */
void swarm_node_record(const struct swarm_node *n, int64_t timestamp_s, uint8_t sig[SIG_BYTES],
                       struct overlay_record *out);

struct scripted {
    struct stream *s;
    struct peer_id self; /* whom it plays; set before it opens */
    uint8_t got[16 * 1024];
    size_t got_bytes;
    uint8_t out[64 * 1024]; /* what waits for room */
    size_t out_bytes;
    bool fin, closed, finish_wanted;
    enum err end; /* ERR_OK: both sides finished */
};
/* Opens a stream to what ops serve. */
void scripted_open(struct scripted *p, struct swarm_bed *b, const struct stream_ops *ops,
                   void *ctx);
/* The other way: the session is ours and dials; the script answers. Returns our side. */
struct stream *scripted_listen(struct scripted *p, struct swarm_bed *b,
                               const struct protocol *dialer, void *session);
void scripted_send(struct scripted *p, struct bytes b);
void scripted_finish(struct scripted *p);

#endif
