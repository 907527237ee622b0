/* lib/node/batches_check.h
 *
 * Is the file of option batches a table of batches? What `larder check-config` asks; a node reads
 * it piece by piece instead (swarm_batches.c).
 * Thread: a process that has nothing else to do: it blocks, with memory of its own.
 * Errors: ERR_CONFIG with the file, the line and the row.
 */
#ifndef LARDER_NODE_BATCHES_CHECK_H
#define LARDER_NODE_BATCHES_CHECK_H

#include "base/error.h"

struct config;

/* *count: batches in it; 0 when swarm is off or there is no file. */
enum err batches_check(const struct config *c, uint32_t *count, struct error *err);

#endif
