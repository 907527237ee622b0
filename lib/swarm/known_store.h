/* lib/swarm/known_store.h
 *
 * The nearest of the peers we have heard of, kept in the state store, so that a node that starts
 * again finds peers though its bootnodes are gone. LIMIT_KNOWN_STORED places of one peer each; now
 * and then, and at the stop, those that differ from the table are written, one after the other.
 * What is read is as little trusted as gossip: a peer counts once it has shaken our hand.
 * Owns:   nothing but its place in the state store. Memory: the struct.
 * Thread: loop only. Errors: none; what cannot be stored is tried again later.
 */
#ifndef LARDER_SWARM_KNOWN_STORE_H
#define LARDER_SWARM_KNOWN_STORE_H

#include "core/loop.h"
#include "core/timer.h"
#include "store/statestore.h"
#include "swarm/known.h"

/* be64 network id, be64 timestamp, overlay[32], addresses. */
enum { KNOWN_STORED_BYTES_MAX = 8 + 8 + OVERLAY_BYTES + KNOWN_ADDRESS_BYTES };

struct known_place { /* what is stored there */
    bool used;
    int64_t timestamp_s;
    uint8_t overlay[OVERLAY_BYTES];
};

struct known_store {             /* zeroed at first; borrowed pointers outlive it */
    struct loop *loop;           /* in */
    struct statestore *state;    /* in */
    struct known *known;         /* in */
    uint64_t network_id;         /* in: peers of another network are dropped */
    void (*on_known)(void *ctx); /* in: one was read; may be NULL */
    void *ctx;                   /* in */

    struct known_place places_[LIMIT_KNOWN_STORED];
    uint8_t next_; /* the place that is read or written */
    bool reading_, writing_, stopping_, done_called_;
    uint8_t key_[1], value_[KNOWN_STORED_BYTES_MAX];
    struct state_get get_;
    struct state_put put_;
    struct timer timer_;
    struct deferred later_;
    void (*done_)(void *ctx);
    void *done_ctx_;
};

void known_store_start(struct known_store *s); /* reads, and stores from then on */
/* What has changed is stored; done is called once, later. Fine before it was started. */
void known_store_stop(struct known_store *s, void (*done)(void *ctx), void *ctx);

size_t known_stored_encode(const struct known_peer *p, uint64_t network_id,
                           uint8_t out[KNOWN_STORED_BYTES_MAX]);
/* rec borrows from value; its addresses are known_learn's affair. */
enum err known_stored_decode(struct overlay_record *rec, struct bytes value, uint64_t network_id,
                             int64_t now_s, struct error *err);

#endif
