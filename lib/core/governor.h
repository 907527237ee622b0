/* lib/core/governor.h
 *
 * Watches what the process really holds against the setting `memory`, asks elastic owners to
 * shrink, and serves those who wait for memory. It makes things slow and never stuck: a floor is
 * never lent, running work is never stopped by the marks, waiters are served in order.
 *
 *   level 0  normal
 *   level 1  from the target on (setting - slack / 2): owners above their share are asked to
 * shrink, in the order of the rows, and the allocator gives unused pages back; the has-cache stops
 * growing level 2  from the trigger on (setting - slack / 4): no new work either (governor_admits)
 *   level 3  above the setting for LIMIT_GOVERNOR_OVER_MS: shrinkers are told to end work
 *
 * A level rises with the first look that sees it, and falls after LIMIT_GOVERNOR_CALM_LOOKS of
 * them.
 *
 * Owns:   the waiters' queues. Borrows the plan and the loop, which outlive it.
 * Thread: loop only. Errors: ERR_CANCELED, ERR_TOO_LARGE for waiters.
 */
#ifndef LARDER_CORE_GOVERNOR_H
#define LARDER_CORE_GOVERNOR_H

#include "base/list.h"
#include "base/mem.h"
#include "core/cgroup.h"
#include "core/loop.h"
#include "core/timer.h"

enum governor_level { GOVERNOR_NORMAL, GOVERNOR_TARGET, GOVERNOR_TRIGGER, GOVERNOR_OVER };

struct governor;

struct governor_sample {      /* as of the last look, every LIMIT_GOVERNOR_PERIOD_MS */
    uint64_t held_bytes;      /* anonymous memory and mapped windows */
    uint64_t held_peak_bytes; /* highest anonymous memory, by the kernel's high-water mark */
    uint64_t file_bytes;      /* resident pages of files */
    uint64_t accounted_bytes; /* what the owners say */
    uint64_t idle_bytes;      /* pages the allocator keeps for what comes next */
    /* Held, less accounted, less idle: libraries, stacks, and lies. */
    int64_t unaccounted_bytes;
    struct mem_stats allocator;
    struct cgroup_sample cgroup;
};

struct governor_options {
    struct mem_plan *plan;
    bool metrics;     /* publish the rows memory_*: the plan is that of owners.def */
    const char *root; /* "" for the machine's own proc and sys; tests hand in a fixture tree */
    /* Instead of what the kernel says, for tests; NULL otherwise. */
    void (*process_memory)(void *ctx, struct process_memory *out);
    void *ctx;
};

enum err governor_create(struct governor **out, struct loop *loop,
                         const struct governor_options *options, struct error *err);
void governor_destroy(struct governor *g); /* NULL is fine; asserts that nobody waits */

/* The setting that holds: the configured one, or a control group's limit less 64 MiB when that is
 * smaller. */
uint64_t governor_effective_bytes(uint64_t setting_bytes, const char *root);

enum governor_level governor_level(const struct governor *g);
bool governor_admits(const struct governor *g); /* may new work start? */
const struct governor_sample *governor_sample(const struct governor *g);
void governor_look(struct governor *g); /* sample now, as the timer does */

/* Told when the level changes, for what pauses and resumes by it. */
struct governor_watch {
    struct list link_;
    void (*cb)(struct governor_watch *w, enum governor_level level);
};
void governor_watch_add(struct governor *g, struct governor_watch *w);
void governor_watch_remove(struct governor_watch *w);

/* How an owner gives back. Called with the number of bytes wished; gives back what is cheap, at
 * once or soon. urgent: end work if that is what it takes. */
struct governor_shrinker {
    struct list link_;
    struct mem_owner *owner;
    void (*shrink)(struct governor_shrinker *s, uint64_t bytes, bool urgent);
};
void governor_shrinker_add(struct governor *g, struct governor_shrinker *s);
void governor_shrinker_remove(struct governor_shrinker *s);

/* Waits until the owner can have bytes at once, in the order of asking among waiters of one owner;
 * among owners the one with the lowest part of its share in use is served first. cb fires exactly
 * once, on the loop, never inside the call: err NULL means the bytes are charged, to be given back
 * with mem_give. ERR_TOO_LARGE: the owner can never have that much. The request starts zeroed. */
struct mem_waiter;
typedef void mem_wait_cb(struct mem_waiter *w, const struct error *err);
struct mem_waiter {
    struct list link_;
    struct mem_owner *owner_;
    mem_wait_cb *cb_;
    uint64_t bytes_;
    enum { MEM_WAITER_IDLE, MEM_WAITER_QUEUED, MEM_WAITER_DONE } state_;
    enum err code_;
};
void mem_wait(struct mem_owner *o, struct mem_waiter *w, uint64_t bytes, mem_wait_cb *cb);
void mem_wait_cancel(struct mem_waiter *w); /* cb still fires, with ERR_CANCELED; idle: no-op */

#endif
