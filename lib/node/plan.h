/* lib/node/plan.h
 *
 * What the process will take, said before it takes it: the plan of memory over the rows of
 * owners.def that are on, and the plan of file descriptors over those of descriptors.def.
 * Thread: loop, or before there is one.
 * Errors: ERR_CONFIG when memory does not hold the floors, ERR_SYSTEM when the system's limit of
 *         descriptors is too low; both with a sentence.
 */
#ifndef LARDER_NODE_PLAN_H
#define LARDER_NODE_PLAN_H

#include "base/mem.h"
#include "core/config.h"

/* The rows of owners.def as this configuration turns them on; returns how many. */
enum { PLAN_OWNERS_MAX = LIMIT_MEM_OWNERS_MAX };
uint32_t plan_memory_rows(const struct config *c, struct mem_row rows[PLAN_OWNERS_MAX]);

/* What an owner has with this configuration on this machine; alone, it takes and gives nothing.
 * False: there is none of that name, or it is off. */
bool plan_memory_owner(const struct config *c, const char *name, struct mem_owner *out);

struct plan_descriptors_row {
    const char *name, *sentence;
    uint64_t count; /* 0: its section is off */
};
/* Row i of descriptors.def; false when there is none. */
bool plan_descriptors_row(const struct config *c, uint32_t i, struct plan_descriptors_row *out);
uint64_t plan_descriptors_needed(const struct config *c);
/* The soft limit becomes at least needed. */
enum err plan_descriptors_raise(uint64_t needed, struct error *err);
/* Would plan_descriptors_raise succeed? */
enum err plan_descriptors_check(uint64_t needed, struct error *err);

/* A line about the row's value: which row, where it was set, and what err says of it. */
void plan_value_wrong(const struct config *c, uint32_t id, const struct error *err,
                      struct option_report *report);
/* What only the node can judge of a configuration: that addresses can be parsed and that files with
 * secrets hold what their readers take, of parts that are on. A line for each that is wrong, in a
 * report that somebody else begins and ends. Blocks on files. */
void plan_values_check(const struct config *c, struct option_report *report);

#endif
