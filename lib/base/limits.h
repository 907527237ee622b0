/* lib/base/limits.h
 *
 * The rows of limits.def as constants LIMIT_<name>, and the check that counts hits.
 */
#ifndef LARDER_BASE_LIMITS_H
#define LARDER_BASE_LIMITS_H

#include "base/base.h"

#define LIMIT_SOURCE(name, value, unit, origin) LIMIT_FIXED(name, value, unit, origin)
#define LIMIT_FIXED(name, value, unit, origin) LIMIT_##name = (value),
enum {
#include "tables/limits.def"
};
#undef LIMIT_FIXED
#undef LIMIT_SOURCE

#define LIMIT_SOURCE(name, value, unit, origin) LIMIT_ID_##name,
#define LIMIT_FIXED(name, value, unit, origin) LIMIT_ID_##name,
enum limit_id {
#include "tables/limits.def"
    LIMIT_ID_COUNT
};
#undef LIMIT_FIXED
#undef LIMIT_SOURCE

/* True while value is within the limit; a value above it is counted as a hit. Any thread. */
#define LIMIT_CHECK(name, value)                                                                   \
    ((uint64_t)(value) <= (uint64_t)LIMIT_##name || (limit_hit(LIMIT_ID_##name), false))

/* A limit that was met in another way than by a comparison. */
#define LIMIT_HIT(name) limit_hit(LIMIT_ID_##name)

void limit_hit(enum limit_id id);
uint64_t limit_hits(enum limit_id id);
const char *limit_name(enum limit_id id);
bool limit_is_source(enum limit_id id); /* counts hits: peers, disks or users can meet it */

#endif
