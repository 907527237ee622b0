#include "base/limits.h"

#include <stdatomic.h>

/* Statistics of a check that workers make too; nothing is decided by them. */
static _Atomic uint64_t hits[LIMIT_ID_COUNT];

static const struct {
    const char *name;
    bool source;
} rows[] = {
#define LIMIT_SOURCE(name, value, unit, origin) { #name, true },
#define LIMIT_FIXED(name, value, unit, origin) { #name, false },
#include "tables/limits.def"
#undef LIMIT_FIXED
#undef LIMIT_SOURCE
};

void limit_hit(enum limit_id id)
{
    assert(id < LIMIT_ID_COUNT);
    atomic_fetch_add_explicit(&hits[id], 1, memory_order_relaxed);
}

uint64_t limit_hits(enum limit_id id)
{
    assert(id < LIMIT_ID_COUNT);
    return atomic_load_explicit(&hits[id], memory_order_relaxed);
}

const char *limit_name(enum limit_id id)
{
    assert(id < LIMIT_ID_COUNT);
    return rows[id].name;
}

bool limit_is_source(enum limit_id id)
{
    assert(id < LIMIT_ID_COUNT);
    return rows[id].source;
}
