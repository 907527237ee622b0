/* lib/base/units.h
 *
 * Sizes and durations as people write them: 1GiB, 10MB, 25s, 100ms. KiB, MiB, GiB, TiB are powers
 * of two, kB, MB, GB, TB of ten. Whole numbers only, no space before the unit. Thread: any. Errors:
 * ERR_MALFORMED, with a sentence that says what is allowed.
 */
#ifndef LARDER_BASE_UNITS_H
#define LARDER_BASE_UNITS_H

#include "base/error.h"

#define SECONDS UINT64_C(1000) /* durations are milliseconds */
#define MINUTES (60 * SECONDS)
#define HOURS (60 * MINUTES)
#define DAYS (24 * HOURS)

struct units_text {
    char text[32];
};

enum err units_parse_count(const char *text, uint64_t *out, struct error *err);
/* A number without a unit is bytes. */
enum err units_parse_size(const char *text, uint64_t *bytes, struct error *err);
/* A number without a unit is an error, but 0 is 0. */
enum err units_parse_duration(const char *text, uint64_t *ms, struct error *err);

/* Exact, and read back as the same value: units_size(1536 * MiB).text is "1536MiB". */
struct units_text units_size(uint64_t bytes);
struct units_text units_duration(uint64_t ms);
/* For people, three digits: "1.50 GiB". */
struct units_text units_size_about(uint64_t bytes);

#endif
