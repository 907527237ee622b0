/* lib/node/swarm_claim.h
 *
 * For whom the reserve was filled, as a file beside it: check-config cannot ask the store, which a
 * node that runs has locked. The store alone decides; the file is made from what it took, at its
 * opening and when the first chunk comes, and is gone while it holds none. Without a file, or with
 * one that nobody can read, nothing is said: older releases, and a restored backup, have none.
 * Owner:  a field of struct swarm. Thread: loop; the file is written by a worker. check: no loop.
 */
#ifndef LARDER_NODE_SWARM_CLAIM_H
#define LARDER_NODE_SWARM_CLAIM_H

#include "core/work.h"
#include "store/reserve.h"

struct config;
struct option_report;
struct swarm;

struct swarm_claim {
    struct work work;
    struct claim_watch {
        struct reserve_watch watch;
        struct swarm *swarm;
    } watches[RESERVE_BINS]; /* set while the reserve is empty */
    bool told;               /* the file is, or is being made, as `filled` says */
    bool filled;
    bool again;       /* something changed while it was being written */
    size_t text_size; /* 0: no file */
    char text[LIMIT_IDENTITY_FILE_BYTES];
};

/* Whenever a reserve that is open may have become empty, or no longer be it. */
void swarm_claim_look(struct swarm *s);
/* The last look; true: the file is being written, and swarm_claim_ended is called behind that. */
bool swarm_claim_stop(struct swarm *s);
void swarm_claim_ended(struct swarm *s); /* swarm.c */

/* A line for each option, or file of the data directory, that is not what the reserve was filled
 * with. Makes nothing; blocks on files. */
void swarm_claim_check(const struct config *c, int dir_fd, struct option_report *report);

#endif
