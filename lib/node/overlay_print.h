/* lib/node/overlay_print.h
 *
 * What `larder overlay` prints: who the node is in its Swarm network, nonces that lead to a
 * neighbourhood, the address of a key, a batch for a private network. No node is asked.
 * Thread: a process that has nothing else to do: it blocks.
 * Errors: those of net/ethkey.h; ERR_USAGE.
 */
#ifndef LARDER_NODE_OVERLAY_PRINT_H
#define LARDER_NODE_OVERLAY_PRINT_H

#include "base/error.h"

struct config;

struct overlay_print {
    const char *prefix;      /* zeros and ones: mine a nonce; NULL: no */
    const char *key_file;    /* of this key; NULL: of the node's own */
    bool make;               /* the key file, when it is not there */
    const char *batch_depth; /* print a table with one batch of this key; NULL: no */
};
enum err overlay_print(const struct config *c, const struct overlay_print *what, struct error *err);

#endif
