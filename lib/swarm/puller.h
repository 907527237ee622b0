/* lib/swarm/puller.h
 *
 * What to pull from whom: for each peer whose handshake is through, which bins, from which BinID
 * on; historical and live at once. What is done is recorded per peer and bin in the state store,
 * after the chunks are durable: a crash repeats a page and never skips one. Pages with refused
 * chunks are asked for again a few times, and after a restart.
 * Owns:   peers, sessions, the memory of refused chunks. Borrows all that its options name.
 * Thread: loop only. Memory: some 20 KB per peer with all bins, plus what sessions hold.
 */
#ifndef LARDER_SWARM_PULLER_H
#define LARDER_SWARM_PULLER_H

#include "net/host.h"
#include "store/reserve.h"
#include "store/statestore.h"
#include "swarm/pullsync_client.h"

struct puller;

struct puller_options { /* borrowed pointers outlive the puller */
    struct loop *loop;
    struct host *host;
    struct work_pool *work;
    struct reserve *reserve; /* open */
    struct statestore *state;
    struct mem_owner *mem; /* "pullsync" */
    /* From its trigger on no session is begun and no offer is read; NULL: none. */
    struct governor *governor;
    const uint8_t *overlay; /* OVERLAY_BYTES, ours */
    /* The present table of batches, or NULL; each job takes its own use of it. */
    struct batches *(*batches)(void *ctx);
    bool accept_all_stamps;
    uint32_t rate; /* new chunks per second over all peers; 0: unlimited */
    void *ctx;
    /* For tests without a host: the other end of a stream with which protocol; NULL: none. */
    struct stream *(*open)(void *ctx, const struct peer_id *peer, const struct protocol *p,
                           void *user);
};
enum err puller_create(struct puller **out, const struct puller_options *o, struct error *err);
/* Everything is canceled; done is called once, when nothing is out and what is through is recorded.
 */
void puller_stop(struct puller *p, void (*done)(void *ctx), void *ctx);
void puller_destroy(struct puller *p); /* NULL is fine; stopped and done */

/* A full node's handshake is through, and we may open streams to it; it is gone. */
void puller_peer_up(struct puller *p, const struct peer_id *id, const uint8_t *overlay,
                    uint8_t proximity);
void puller_peer_down(struct puller *p, const struct peer_id *id);

void puller_set_rate(struct puller *p, uint32_t rate);
/* Chunks whose batch was not known are asked for again: for a reload of the batches. */
void puller_retry_refused(struct puller *p);

struct puller_status {
    uint32_t peers, asking;   /* asking: their cursors are not known yet */
    uint32_t bins, bins_live; /* wanted; of them without a gap up to their cursor */
    uint32_t sessions, parked;
    uint64_t missing; /* BinIDs up to the cursors that were not offered yet; saturates */
    bool synced;      /* peers there are, nothing is missing and nothing under way */
    uint64_t offered, wanted, delivered, stored, present;
    uint64_t refused[PULLSYNC_REFUSALS];
    uint64_t pages, failed; /* sessions by how they ended */
    uint32_t remembered;    /* pages with refused chunks, to be asked for again */
    uint8_t radius;
};
void puller_status(const struct puller *p, struct puller_status *out);

struct puller_bin_status {
    const struct peer_id *peer;
    const uint8_t *overlay;
    uint8_t proximity, bin;
    uint64_t cursor;     /* the highest BinID that is known there */
    uint64_t synced;     /* all up to it are done */
    uint64_t missing;    /* of 1 .. cursor */
    bool live;           /* nothing is missing: what comes is pulled as it comes */
    uint64_t per_second; /* BinIDs done, over the last seconds */
    uint64_t eta_s;      /* until nothing is missing at that rate; UINT64_MAX: unknown */
    const char *doing;   /* the step of its busiest session */
};
/* Every wanted bin of every peer whose cursors are known. False: that was enough. */
typedef bool puller_each_cb(void *ctx, const struct puller_bin_status *bin);
void puller_each(const struct puller *p, puller_each_cb *cb, void *ctx);

#endif
