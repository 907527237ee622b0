/* lib/node/batches_check.h
 *
 * Is the file of option batches a table of batches? What `larder check-config` asks; a node reads
 * it piece by piece instead (swarm_batches.c).
 * Thread: a process that has nothing else to do: it blocks, with memory of its own.
 * Errors: a line of the report with the file, the line and the row.
 */
#ifndef LARDER_NODE_BATCHES_CHECK_H
#define LARDER_NODE_BATCHES_CHECK_H

#include "base/error.h"

struct config;
struct option_report;

/* *count: batches in it; 0 when swarm is off or there is no file. One that cannot be read at all is
 * an affair of plan_values_check. */
void batches_check(const struct config *c, uint32_t *count, struct option_report *report);

#endif
