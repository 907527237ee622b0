/* lib/node/offline.h
 *
 * Commands on a data directory that no node runs on: its lock, the plan of memory, the rows of the
 * configuration. They refuse with ERR_LOCKED while a node runs.
 * Thread: a process that has nothing else to do: they block.
 * Errors: ERR_LOCKED, ERR_USAGE, and those of stores, backup.h and restore.h.
 */
#ifndef LARDER_NODE_OFFLINE_H
#define LARDER_NODE_OFFLINE_H

#include "base/error.h"

struct config;

/* The lines are for standard output. */
enum err offline_backup(const struct config *c, const char *dir, struct error *err);
enum err offline_restore(const struct config *c, const char *dir, struct error *err);
/* names: the stores to repair, ended by NULL; none: all that are there. */
enum err offline_repair(const struct config *c, char *const *names, struct error *err);

/* What `larder keys` does, in words; prints to the process's own streams. */
enum err offline_keys(const struct config *c, const char *const *words, int *exit_code,
                      struct error *err);

#endif
