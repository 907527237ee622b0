/* lib/node/swarm_state.h
 *
 * The inside of the Swarm part, for swarm.c (life), swarm_batches.c (the table of batches, expiry)
 * and swarm_status.c (what it says of itself). Thread: loop only; what a worker touches is said
 * there.
 */
#ifndef LARDER_NODE_SWARM_STATE_H
#define LARDER_NODE_SWARM_STATE_H

#include "core/governor.h"
#include "node/node_state.h"
#include "node/status.h"
#include "store/batches.h"
#include "node/swarm_claim.h"
#include "store/reserve.h"
#include "swarm/identity.h"

struct swarm;

/* Loading: one job reads a piece, the loop parses it. */
struct batches_load {
    struct work work;
    struct batches_loader *loader;
    int fd;          /* -1: not open */
    bool out, again; /* under way; asked for once more meanwhile */
    bool first;      /* the node waits for it */
    size_t got;      /* out of the job; 0: the end */
    uint8_t piece[LIMIT_BATCHES_PIECE_BYTES];
    char path[LIMIT_PATH_BYTES];
};

/* Expiry: every batch that the reserve has entries of and the table does not know. */
struct batches_expiry {
    struct reserve_next_batch next;
    struct reserve_evict evict;
    bool out, again;
    bool evicting;      /* evict is under way: the table may know its batch again */
    struct error fault; /* of a batch that this pass could not read; ERR_OK: none */
    struct timer retry; /* set: the last pass has failed */
    uint64_t retry_ms;
};

struct swarm {
    struct node *node;
    struct mem_owner *mem; /* putqueue */
    struct swarm_identity identity;
    struct reserve *reserve; /* owned */
    bool open;               /* the reserve is */
    bool stopping;
    bool uploading;          /* one at a time: it counts the stamps of a batch */
    struct batches *batches; /* owned; NULL: none */
    struct batches_load load;
    struct batches_expiry expiry;
    struct swarm_claim claim;
    struct node_hold hold;  /* opening, closing */
    struct node_hold drain; /* what runs at a stop */
    struct governor_watch marks;
    struct status_section section;
    struct status_condition condition;
    char slab_dir[LIMIT_PATH_BYTES], image_path[LIMIT_PATH_BYTES];
};

/* swarm.c, for check-config: what the configuration names, or what is in the data directory.
 * Nothing is made: ERR_NOT_FOUND. */
enum err swarm_key_find(const struct config *c, int dir_fd, uint8_t out[SIG_SECRET_BYTES],
                        struct error *err);
enum err swarm_nonce_find(const struct config *c, int dir_fd, uint8_t out[OVERLAY_NONCE_BYTES],
                          struct error *err);

/* swarm_batches.c: reads the table of option batches. The first time the node is held until it is
 * there; later on a table that cannot be read leaves the old one. */
void swarm_batches_load(struct swarm *s, bool first);
void swarm_expiry_due(struct timer *t);
/* Nothing new; true: something still runs, and releases s->drain at its end. */
bool swarm_batches_drain(struct swarm *s);

/* swarm_status.c */
const char *swarm_cache_name(enum hascache_state state);
enum readiness swarm_look_reserve(struct status_condition *c, struct error *why);
void swarm_status_write(struct status_section *section, struct json_writer *w);

#endif
