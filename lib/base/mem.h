/* lib/base/mem.h
 *
 * Memory is asked for, not taken. Every byte that varies in size belongs to an owner: a row of an
 * array of struct mem_row (owners.def is one such array, tests bring theirs).
 *
 * The rule for a take: the owner stays at or below its ceiling, and the sum of all that is used
 * stays under the setting minus slack minus the floors that other owners have not used. So a take
 * within an owner's own floor always succeeds, and ceilings may add up to more than the setting. An
 * owner that has its share gets no more while another one waits for a part of its own.
 *
 * Charges are usable sizes. Sanitizer and fuzz builds link no jemalloc and charge requested sizes.
 * Thread: the loop thread alone, but for the mem_arena_* functions.
 * Errors: a refusal is false or NULL and an ordinary answer; turn it into ERR_BUDGET with
 * mem_refused(), which names the owner.
 */
#ifndef LARDER_BASE_MEM_H
#define LARDER_BASE_MEM_H

#include "base/error.h"

enum mem_kind {
    MEM_ELASTIC,
    MEM_FIXED, /* charged once, at start; its really allocated bytes come from mem_stats_read() */
};

struct mem_row {
    const char *name;
    const char *at_limit; /* what happens there, for check-config */
    enum mem_kind kind;
    uint64_t floor_bytes;
    uint8_t share_percent, ceiling_percent; /* of the setting; never below the floor */
    bool enabled;                           /* off: no floor, no share, every take is refused */
};

struct mem_owner {
    struct mem_row row;
    struct mem_plan *plan;
    uint64_t share_bytes, ceiling_bytes;
    uint64_t used_bytes, peak_bytes;
    uint64_t refused; /* takes that were refused */
    uint32_t waiters; /* kept by core/governor.c: while there are any, mem_take refuses */
};

struct mem_plan {
    uint64_t setting_bytes, slack_bytes;
    uint64_t used_bytes;         /* sum over the owners */
    uint64_t used_peak_bytes;    /* highest such sum */
    uint64_t floor_unused_bytes; /* sum of what owners have not used of their floors */
    uint32_t count;
    struct mem_owner *owners;
    void (*on_room)(struct mem_plan *plan, void *ctx); /* set by the governor: bytes came back */
    void *on_room_ctx;
};

/* Never fails for want of room in the setting: mem_plan_check says whether it fits, so that
 * check-config can print a plan that does not. Rows are copied. */
enum err mem_plan_create(struct mem_plan **out, uint64_t setting_bytes, const struct mem_row *rows,
                         uint32_t count, struct error *err);
void mem_plan_destroy(
    struct mem_plan *plan); /* NULL is fine; asserts that every owner holds zero */
uint64_t mem_plan_needed_bytes(const struct mem_plan *plan); /* floors + slack of what is enabled */
/* ERR_CONFIG with a sentence that says by how much the setting is too small. */
enum err mem_plan_check(const struct mem_plan *plan, struct error *err);
struct mem_owner *mem_plan_find(struct mem_plan *plan, const char *name); /* NULL when absent */

/* Now or not at all. */
bool mem_take(struct mem_owner *o, uint64_t bytes) WARN_UNUSED;
/* The same, regardless of waiters: for the governor, which serves them. Counts no refusal. */
bool mem_take_for_waiter(struct mem_owner *o, uint64_t bytes) WARN_UNUSED;
void mem_give(struct mem_owner *o, uint64_t bytes);
/* Can it ever have that much at once? If not, waiting is in vain. */
bool mem_could_ever(const struct mem_owner *o, uint64_t bytes);
/* Sets ERR_BUDGET with the owner's name, for "could not take" sentences. */
int mem_refused(const struct mem_owner *o, uint64_t bytes, struct error *err);

/* Take and allocate. NULL is an ordinary answer. Zeroed: mem_try_zalloc. */
void *mem_try_alloc(struct mem_owner *o, size_t bytes) WARN_UNUSED;
void *mem_try_zalloc(struct mem_owner *o, size_t bytes) WARN_UNUSED;
/* Grows or shrinks what mem_try_alloc gave; NULL leaves the old block as it was. */
void *mem_try_realloc(struct mem_owner *o, void *old, size_t bytes) WARN_UNUSED;
/* Charged and never refused: for small structs whose number a limit bounds. Aborts when the system
 * has no page left. */
void *mem_zalloc(struct mem_owner *o, size_t bytes);
char *mem_strdup(struct mem_owner *o, const char *text); /* as mem_zalloc */
void mem_free(struct mem_owner *o, void *ptr);           /* NULL is fine */

/* For the machine itself: a few structs of fixed size, made once and before there is a plan (the
 * loop, the worker pool). No owner pays; they stand in the slack. Aborts as mem_zalloc does. */
void *mem_machine_zalloc(size_t bytes);
void mem_machine_free(void *ptr); /* NULL is fine */
/* For those who wait: ask for mem_charge_bytes(bytes), and allocate when it is granted. NULL only
 * when the system has none; the charge then stays with the caller. mem_free gives it back. */
uint64_t mem_charge_bytes(size_t bytes);
void *mem_alloc_taken(struct mem_owner *o, size_t bytes) WARN_UNUSED;

/* What the allocator and the kernel say. */
struct mem_stats {
    uint64_t allocated_bytes; /* by the program, all arenas; 0 without jemalloc */
    uint64_t resident_bytes;  /* pages the allocator holds */
    uint64_t stores_bytes;    /* allocated in the arena of LevelDB and the pool's threads */
};
void mem_stats_read(struct mem_stats *out);
void mem_purge(void); /* give every unused page back now */

/* Threads that run LevelDB's code allocate from an arena of their own, so that the owner `stores`
 * can be compared with what LevelDB really took. Call once at the start of a thread; the loop
 * thread enters and leaves around opening and closing stores. */
void mem_arena_stores_enter(void);
void mem_arena_stores_leave(void);

/* Tests: refuse the n-th take from now on (1 = the next); 0 = off. */
void mem_fault_at(uint64_t n);

#endif
