/* lib/swarm/pullsync_client.h
 *
 * Asks one peer for one page of one bin and stores what is new.
 *
 * Ownership: a request is its caller's struct and lives until cb, which comes once and never inside
 *            a call. The env and what it points to outlive it.
 * Memory:    while it is parked, this struct. An offer's bytes are asked for when its length is
 *            known, by as many sessions at once as env->offers allows; the memory of all wanted
 *            chunks is asked for before Want is sent, so no Delivery can find no room.
 * Thread:    loop only.
 * Errors:    those of the stream; ERR_PROTOCOL, ERR_MALFORMED, ERR_LIMIT of the peer; ERR_IO,
 *            ERR_DISK_FULL, ERR_BUDGET when a chunk was lost on our side; ERR_CANCELED. What was
 *            delivered and valid is stored all the same.
 */
#ifndef LARDER_SWARM_PULLSYNC_CLIENT_H
#define LARDER_SWARM_PULLSYNC_CLIENT_H

#include "core/governor.h"
#include "core/sem.h"
#include "core/work.h"
#include "net/frame.h"
#include "net/host.h"
#include "swarm/inflight.h"
#include "swarm/pull_rate.h"
#include "swarm/pullsync_wire.h"

struct batches;
struct pullsync_client;

enum pullsync_refusal { /* in the order of the label pullsync_refused */
                        PULLSYNC_MALFORMED,
                        PULLSYNC_UNKNOWN_BATCH,
                        PULLSYNC_BAD_PROOF,   /* address, signature, bucket or position */
                        PULLSYNC_OTHER_STAMP, /* valid, but not the stamp that was offered */
                        PULLSYNC_UNASKED,
                        PULLSYNC_MISSING, /* gone at the peer, as it may be */
                        PULLSYNC_OLDER,   /* a stamp that is not older holds its place */
                        PULLSYNC_DAMAGED, /* here: what our index says of it */
                        PULLSYNC_REFUSALS
};

struct pullsync_env { /* of all sessions of one puller */
    struct loop *loop;
    struct host *host; /* NULL: open_ is set, by tests */
    struct work_pool *work;
    struct reserve *reserve;
    struct mem_owner *mem;
    const uint8_t *overlay; /* ours */
    struct batches *(*batches)(void *ctx);
    bool accept_all_stamps;
    uint8_t (*radius)(struct pullsync_client *c); /* chunks farther from us are not wanted */
    void (*offered)(struct pullsync_client *c);   /* topmost is known; may be NULL */
    void *ctx;
    struct inflight inflight;
    struct pull_rate rate;
    struct sem offers;
    uint32_t offers_max_;
};

struct pullsync_counts {
    uint32_t offered, wanted, delivered, stored, present;
    uint32_t refused[PULLSYNC_REFUSALS];
};

typedef void pullsync_client_cb(struct pullsync_client *c, const struct error *err);
struct pullsync_client {      /* zeroed at first */
    struct pullsync_env *env; /* in */
    struct peer_id peer;      /* in */
    uint8_t bin;              /* in */
    uint64_t start;           /* in: the first BinID that is wanted */
    pullsync_client_cb *cb;   /* in: err NULL: the page is done */
    /* in: when something came last from this peer, in any session; NULL: there is no other. */
    uint64_t *heard_ms;
    uint64_t topmost; /* out: the last BinID of the page; 0: nothing was offered */
    /* out: chunks that another session was fetching did not arrive there: ask for the page again.
     */
    bool again;
    struct pullsync_counts counts; /* out */

    struct stream *stream_;
    struct stream_open *open_; /* until it is open */
    struct frame_reader frames_;
    uint8_t step_;
    bool pending_, permit_out_, ended_;
    uint8_t out_[64];
    uint8_t out_size_, out_sent_;
    uint16_t scan_;
    uint32_t offer_bytes_;
    struct offer_room *offer_; /* owned: what was offered */
    struct page_room *page_;   /* owned: what was delivered */
    struct list blocked_;      /* sessions that wait for what we fetch */
    struct list link_;         /* in another one's blocked_ */
    struct deferred later_;
    struct sem_waiter permit_;
    struct mem_waiter room_;
    struct pull_rate_waiter paid_;
    struct error failed_;
};
void pullsync_client_start(struct pullsync_client *c);
void pullsync_client_cancel(struct pullsync_client *c); /* cb still comes, with ERR_CANCELED */
const char *pullsync_client_step(const struct pullsync_client *c);
/* Is an offer being worked on? A parked session has none. */
bool pullsync_client_busy(const struct pullsync_client *c);
/* For tests, where there is no host: the stream that c talks on. */
void pullsync_client_opened(struct pullsync_client *c, struct stream *s);
void pullsync_client_refused(struct pullsync_client *c); /* there is no stream to be had */
const struct protocol *pullsync_client_protocol(void);   /* after pullsync_env_init */

void pullsync_env_init(struct pullsync_env *env, uint32_t rate); /* fields are set */
void pullsync_env_end(struct pullsync_env *env);
/* Offers wait, unread, until it is let go; those being worked on go on. */
void pullsync_env_hold(struct pullsync_env *env, bool on);

#endif
