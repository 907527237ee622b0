/* lib/node/datadir.h
 *
 * The data directory: made when it is not there, readable by nobody else (0700), and locked for one
 * process. The lock goes with the process, however that ends.
 * Owns:   two descriptors. Thread: before the loop runs, and after; it touches the disk.
 * Errors: ERR_LOCKED with the process that has it, ERR_CORRUPT (a restore into it has not ended),
 *         ERR_IO, ERR_CONFIG.
 */
#ifndef LARDER_NODE_DATADIR_H
#define LARDER_NODE_DATADIR_H

#include "base/error.h"

#define DATADIR_P2P_KEY "p2p-key"
#define DATADIR_SWARM_KEY "swarm-key"
#define DATADIR_SWARM_NONCE "swarm-nonce"
#define DATADIR_CLAIM "reserve-filled-for" /* swarm_claim.h; no backup has it */
/* The files that say who the node is, ended by NULL: a backup has them. */
extern const char *const datadir_identity[];

struct datadir {
    int fd; /* of the directory, for openat */
    int lock_fd_;
};
#define DATADIR_NONE                                                                               \
    {                                                                                              \
        -1, -1                                                                                     \
    }

enum err datadir_open(struct datadir *d, const char *path, struct error *err);
void datadir_close(struct datadir *d); /* fine when it is not open */

/* Replaces a file as a whole: whoever reads sees the old text or the new one. Any thread. */
enum err datadir_write_file(const struct datadir *d, const char *name, const char *text,
                            size_t size, struct error *err);

#endif
