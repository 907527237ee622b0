#include "base/mem.h"

#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if LARDER_JEMALLOC
#include <jemalloc/jemalloc.h>

/* Read by jemalloc when the program starts. Two automatic arenas for libraries and ourselves; pages
 * go back after a second. */
const char *malloc_conf = "narenas:2,background_thread:true,max_background_threads:1,"
                          "dirty_decay_ms:1000,muzzy_decay_ms:0";

static unsigned stores_arena; /* made with the first plan, before any thread uses it */

static void arena_stores_create(void)
{
    size_t size = sizeof(stores_arena);
    if (!stores_arena && mallctl("arenas.create", &stores_arena, &size, NULL, 0))
        abort(); /* jemalloc was built without what we tune */
}
static size_t usable_size(size_t bytes)
{
    return nallocx(bytes, 0);
}
static size_t block_size(void *ptr)
{
    return sallocx(ptr, 0);
}
static void *block_alloc(size_t bytes, bool zero)
{
    return mallocx(bytes, zero ? MALLOCX_ZERO : 0);
}
static void *block_realloc(void *ptr, size_t bytes)
{
    return rallocx(ptr, bytes, 0);
}
static void block_free(void *ptr)
{
    dallocx(ptr, 0);
}
#else
/* The size stands in front of the block, at the distance that keeps malloc's alignment. */
enum { BLOCK_HEADER_BYTES = 16 };

static void arena_stores_create(void)
{
}
static size_t usable_size(size_t bytes)
{
    return bytes;
}
static size_t block_size(void *ptr)
{
    size_t bytes;
    memcpy(&bytes, (char *)ptr - BLOCK_HEADER_BYTES, sizeof(bytes));
    return bytes;
}
static void *block_finish(char *raw, size_t bytes)
{
    if (!raw)
        return NULL;
    memcpy(raw, &bytes, sizeof(bytes));
    return raw + BLOCK_HEADER_BYTES;
}
static void *block_alloc(size_t bytes, bool zero)
{
    char *raw = zero ? calloc(1, bytes + BLOCK_HEADER_BYTES) : malloc(bytes + BLOCK_HEADER_BYTES);
    return block_finish(raw, bytes);
}
static void *block_realloc(void *ptr, size_t bytes)
{
    return block_finish(realloc((char *)ptr - BLOCK_HEADER_BYTES, bytes + BLOCK_HEADER_BYTES),
                        bytes);
}
static void block_free(void *ptr)
{
    free((char *)ptr - BLOCK_HEADER_BYTES);
}
#endif

static uint64_t fault_countdown; /* tests only */

void mem_fault_at(uint64_t n)
{
    fault_countdown = n;
}

static uint64_t floor_unused(const struct mem_owner *o)
{
    return o->used_bytes < o->row.floor_bytes ? o->row.floor_bytes - o->used_bytes : 0;
}

static void owner_init(struct mem_owner *o, const struct mem_row *row, struct mem_plan *plan)
{
    o->row = *row;
    o->plan = plan;
    if (!row->enabled)
        o->row.floor_bytes = 0;
    uint64_t floor = o->row.floor_bytes, setting = plan->setting_bytes;
    o->share_bytes = row->enabled ? MAX(setting / 100 * row->share_percent, floor) : 0;
    o->ceiling_bytes = row->enabled ? MAX(setting / 100 * row->ceiling_percent, o->share_bytes) : 0;
    plan->floor_unused_bytes += floor;
}

enum err mem_plan_create(struct mem_plan **out, uint64_t setting_bytes, const struct mem_row *rows,
                         uint32_t count, struct error *err)
{
    assert(count > 0);
    struct mem_plan *plan = calloc(1, sizeof(*plan));
    struct mem_owner *owners = calloc(count, sizeof(*owners));
    if (!plan || !owners) {
        free(plan);
        free(owners);
        return error_set(err, ERR_BUDGET, "no memory for the memory plan");
    }
    plan->setting_bytes = setting_bytes;
    plan->slack_bytes = MAX(setting_bytes / 10, (uint64_t)LIMIT_MEM_SLACK_BYTES_MIN);
    plan->count = count;
    plan->owners = owners;
    for (uint32_t i = 0; i < count; i++)
        owner_init(&owners[i], &rows[i], plan);
    arena_stores_create();
    *out = plan;
    return ERR_OK;
}

void mem_plan_destroy(struct mem_plan *plan)
{
    if (!plan)
        return;
    for (uint32_t i = 0; i < plan->count; i++)
        assert(plan->owners[i].used_bytes == 0); /* each clean exit is a leak test */
    free(plan->owners);
    free(plan);
}

uint64_t mem_plan_needed_bytes(const struct mem_plan *plan)
{
    uint64_t bytes = plan->slack_bytes;
    for (uint32_t i = 0; i < plan->count; i++)
        bytes += plan->owners[i].row.floor_bytes;
    return bytes;
}

/* "slack 48.0 MiB, stores 3.00 MiB, node 1.00 MiB" */
static void name_floors(const struct mem_plan *plan, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "slack %s", units_size_about(plan->slack_bytes).text);
    for (uint32_t i = 0; i < plan->count && used < size; i++)
        if (plan->owners[i].row.floor_bytes > 0)
            used += (size_t)snprintf(out + used, size - used, ", %s %s", plan->owners[i].row.name,
                                     units_size_about(plan->owners[i].row.floor_bytes).text);
}

enum err mem_plan_check(const struct mem_plan *plan, struct error *err)
{
    uint64_t needed = mem_plan_needed_bytes(plan);
    if (needed <= plan->setting_bytes)
        return ERR_OK;
    char text[LIMIT_ERROR_TEXT_BYTES];
    name_floors(plan, text, sizeof(text));
    return error_set(err, ERR_CONFIG, "memory: %s needed, %s more than the setting of %s: %s",
                     units_size_about(needed).text,
                     units_size_about(needed - plan->setting_bytes).text,
                     units_size_about(plan->setting_bytes).text, text);
}

struct mem_owner *mem_plan_find(struct mem_plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->count; i++)
        if (!strcmp(plan->owners[i].row.name, name))
            return &plan->owners[i];
    return NULL;
}

/* Everything that is used changes here: the sums of the plan cannot drift from the owners'. */
static void owner_move(struct mem_owner *o, uint64_t used_bytes)
{
    struct mem_plan *plan = o->plan;
    plan->floor_unused_bytes -= floor_unused(o);
    plan->used_bytes += used_bytes - o->used_bytes;
    o->used_bytes = used_bytes;
    plan->floor_unused_bytes += floor_unused(o);
    o->peak_bytes = MAX(o->peak_bytes, used_bytes);
    plan->used_peak_bytes = MAX(plan->used_peak_bytes, plan->used_bytes);
}

static uint64_t budget_bytes(const struct mem_plan *plan)
{
    return plan->setting_bytes > plan->slack_bytes ? plan->setting_bytes - plan->slack_bytes : 0;
}

static bool take_fits(const struct mem_owner *o, uint64_t bytes)
{
    const struct mem_plan *plan = o->plan;
    if (!o->row.enabled || bytes > o->ceiling_bytes || o->used_bytes > o->ceiling_bytes - bytes)
        return false;
    if (o->used_bytes + bytes <= o->row.floor_bytes)
        return true;
    uint64_t others_unused = plan->floor_unused_bytes - floor_unused(o);
    return plan->used_bytes + bytes + others_unused <= budget_bytes(plan);
}

/* Has o its share already while another owner waits for a part of its own? One item may cross the
 * line: if it might not, two owners just below their shares could each wait for the other. */
static bool take_is_unfair(const struct mem_owner *o)
{
    if (o->used_bytes < MAX(o->share_bytes, o->row.floor_bytes))
        return false;
    for (uint32_t i = 0; i < o->plan->count; i++) {
        const struct mem_owner *other = &o->plan->owners[i];
        if (other != o && other->waiters > 0 && other->used_bytes < other->share_bytes)
            return true;
    }
    return false;
}

bool mem_take_for_waiter(struct mem_owner *o, uint64_t bytes)
{
    if (fault_countdown > 0 && --fault_countdown == 0)
        return false;
    if (!take_fits(o, bytes) || take_is_unfair(o))
        return false;
#ifdef LARDER_BREAK_ACCOUNTING /* a build that lies, to see that the lie is caught */
    bytes /= 2;
#endif
    owner_move(o, o->used_bytes + bytes);
    return true;
}

bool mem_take(struct mem_owner *o, uint64_t bytes)
{
    if (o->waiters == 0 && mem_take_for_waiter(o, bytes))
        return true;
    o->refused++;
    return false;
}

void mem_give(struct mem_owner *o, uint64_t bytes)
{
#ifdef LARDER_BREAK_ACCOUNTING
    bytes = MIN(bytes / 2, o->used_bytes);
#endif
    assert(bytes <= o->used_bytes);
    owner_move(o, o->used_bytes - bytes);
    if (o->plan->on_room)
        o->plan->on_room(o->plan, o->plan->on_room_ctx);
}

bool mem_could_ever(const struct mem_owner *o, uint64_t bytes)
{
    const struct mem_plan *plan = o->plan;
    uint64_t other_floors = 0;
    for (uint32_t i = 0; i < plan->count; i++)
        if (&plan->owners[i] != o)
            other_floors += plan->owners[i].row.floor_bytes;
    return o->row.enabled && bytes <= o->ceiling_bytes &&
           (bytes <= o->row.floor_bytes || bytes + other_floors <= budget_bytes(plan));
}

int mem_refused(const struct mem_owner *o, uint64_t bytes, struct error *err)
{
    return error_set(err, ERR_BUDGET,
                     "%" PRIu64 " bytes refused: owner '%s' holds %" PRIu64 " of at most %" PRIu64,
                     bytes, o->row.name, o->used_bytes, o->ceiling_bytes);
}

static void *try_alloc(struct mem_owner *o, size_t bytes, bool zero)
{
    assert(bytes > 0);
    size_t charge = usable_size(bytes);
    if (!mem_take(o, charge))
        return NULL;
    void *ptr = block_alloc(bytes, zero);
    if (!ptr)
        mem_give(o, charge);
    return ptr;
}

void *mem_try_alloc(struct mem_owner *o, size_t bytes)
{
    return try_alloc(o, bytes, false);
}

void *mem_try_zalloc(struct mem_owner *o, size_t bytes)
{
    return try_alloc(o, bytes, true);
}

void *mem_try_realloc(struct mem_owner *o, void *old, size_t bytes)
{
    if (!old)
        return mem_try_alloc(o, bytes);
    assert(bytes > 0);
    size_t before = block_size(old), after = usable_size(bytes);
    if (after > before && !mem_take(o, after - before))
        return NULL;
    void *ptr = block_realloc(old, bytes);
    if (ptr && after < before)
        mem_give(o, before - after);
    if (!ptr && after > before)
        mem_give(o, after - before);
    return ptr;
}

uint64_t mem_charge_bytes(size_t bytes)
{
    return usable_size(bytes);
}

void *mem_alloc_taken(struct mem_owner *o, size_t bytes)
{
    assert(bytes > 0 && o->used_bytes > 0);
    return block_alloc(bytes, false);
}

void *mem_zalloc(struct mem_owner *o, size_t bytes)
{
    assert(bytes > 0);
    void *ptr = block_alloc(bytes, true);
    if (!ptr)
        abort(); /* the system has no page left; nothing sensible can follow */
    size_t charge = usable_size(bytes);
#ifdef LARDER_BREAK_ACCOUNTING
    charge /= 2;
#endif
    owner_move(o, o->used_bytes + charge);
    return ptr;
}

void *mem_machine_zalloc(size_t bytes)
{
    void *ptr = calloc(1, bytes);
    if (!ptr)
        abort();
    return ptr;
}

void mem_machine_free(void *ptr)
{
    free(ptr);
}

char *mem_strdup(struct mem_owner *o, const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(mem_zalloc(o, bytes), text, bytes);
}

void mem_free(struct mem_owner *o, void *ptr)
{
    if (!ptr)
        return;
    size_t bytes = block_size(ptr);
    block_free(ptr);
    mem_give(o, bytes);
}

#if LARDER_JEMALLOC
static __thread unsigned arena_before;

static uint64_t stat_read(const char *name)
{
    size_t value = 0, size = sizeof(value);
    return mallctl(name, &value, &size, NULL, 0) == 0 ? value : 0;
}

void mem_stats_read(struct mem_stats *out)
{
    uint64_t epoch = 1;
    size_t size = sizeof(epoch);
    mallctl("epoch", &epoch, &size, &epoch, size);
    *out = (struct mem_stats){
        .allocated_bytes = stat_read("stats.allocated"),
        .resident_bytes = stat_read("stats.resident"),
    };
    if (stores_arena) {
        char name[64];
        snprintf(name, sizeof(name), "stats.arenas.%u.small.allocated", stores_arena);
        out->stores_bytes = stat_read(name);
        snprintf(name, sizeof(name), "stats.arenas.%u.large.allocated", stores_arena);
        out->stores_bytes += stat_read(name);
    }
}

void mem_purge(void)
{
    char name[64];
    snprintf(name, sizeof(name), "arena.%u.purge", (unsigned)MALLCTL_ARENAS_ALL);
    mallctl(name, NULL, NULL, NULL, 0);
}

void mem_arena_stores_enter(void)
{
    size_t size = sizeof(arena_before);
    assert(stores_arena != 0); /* a plan comes before threads */
    mallctl("thread.arena", &arena_before, &size, &stores_arena, sizeof(stores_arena));
}

void mem_arena_stores_leave(void)
{
    mallctl("thread.arena", NULL, NULL, &arena_before, sizeof(arena_before));
}
#else
void mem_stats_read(struct mem_stats *out)
{
    *out = (struct mem_stats){ 0 };
}
void mem_purge(void)
{
}
void mem_arena_stores_enter(void)
{
}
void mem_arena_stores_leave(void)
{
}
#endif
