/* lib/swarm/hive.h
 *
 * /swarm/hive/2.0.0/peers: a peer tells us of others, up to 30 signed records in one message, and
 * says nothing back. We read what comes, verify what would be worth keeping, one record per turn of
 * the loop, and put it into the table of known peers. We send no gossip: bees gossip about us.
 * A peer that sends more than a burst of 128 records and one a minute has its stream reset, as bee
 * does it.
 * Thread: loop only. Errors of a session: ERR_MALFORMED, ERR_LIMIT.
 */
#ifndef LARDER_SWARM_HIVE_H
#define LARDER_SWARM_HIVE_H

#include "core/loop.h"
#include "swarm/session.h"

struct known;

extern const struct session_kind hive_kind;

struct hive { /* a field of its user; init, and close before it is freed */
    struct loop *loop;
    struct mem_owner *mem;
    struct topology *topology;
    struct known *known;
    uint64_t network_id;
    void (*on_known)(void *ctx); /* a record was kept; may be NULL */
    void *ctx;
    struct list waiting_; /* records to verify */
    uint32_t waiting_count_;
    struct deferred verify_;
};
/* The session_ctx's owner is this hive. */
void hive_init(struct hive *h);
void hive_close(struct hive *h);

#endif
