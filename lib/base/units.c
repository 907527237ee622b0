#include "base/units.h"

#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: printing takes the first unit that divides the value. Powers of ten are only
 * read: a size is printed as what memory and disks are cut in. */
static const struct unit sizes[] = {
    { "TiB", 1024 * GiB },
    { "GiB", GiB },
    { "MiB", MiB },
    { "KiB", KiB },
    { "B", 1 },
    { "TB", UINT64_C(1000000000000) },
    { "GB", UINT64_C(1000000000) },
    { "MB", UINT64_C(1000000) },
    { "kB", UINT64_C(1000) },
};
enum { SIZES_PRINTED = 5 };

static const struct unit durations[] = {
    { "d", DAYS }, { "h", HOURS }, { "m", MINUTES }, { "s", SECONDS }, { "ms", 1 },
};

/* The digits text begins with; *rest is what follows them. */
static enum err parse_digits(const char *text, uint64_t *out, const char **rest, struct error *err)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return error_set(err, ERR_MALFORMED, "'%.40s' does not fit 64 bits", text);
    if (at == text)
        return error_set(err, ERR_MALFORMED, "'%.40s' is not a whole number", text);
    *out = value;
    *rest = at;
    return ERR_OK;
}

enum err units_parse_count(const char *text, uint64_t *out, struct error *err)
{
    uint64_t value = 0;
    const char *rest = NULL;
    enum err rc = parse_digits(text, &value, &rest, err);
    if (rc)
        return rc;
    if (*rest)
        return error_set(err, ERR_MALFORMED, "'%.40s' is not a whole number", text);
    *out = value;
    return ERR_OK;
}

static enum err apply_unit(const char *text, uint64_t value, const struct unit *unit, uint64_t *out,
                           struct error *err)
{
    if (__builtin_mul_overflow(value, unit->factor, &value))
        return error_set(err, ERR_MALFORMED, "'%.40s' does not fit 64 bits", text);
    *out = value;
    return ERR_OK;
}

enum err units_parse_size(const char *text, uint64_t *bytes, struct error *err)
{
    uint64_t value = 0;
    const char *rest = NULL;
    enum err rc = parse_digits(text, &value, &rest, err);
    if (rc)
        return rc;
    if (!*rest) {
        *bytes = value;
        return ERR_OK;
    }
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        if (!strcmp(rest, sizes[i].name))
            return apply_unit(text, value, &sizes[i], bytes, err);
    return error_set(err, ERR_MALFORMED,
                     "'%.40s' is not a size; write 100MiB (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)",
                     text);
}

enum err units_parse_duration(const char *text, uint64_t *ms, struct error *err)
{
    uint64_t value = 0;
    const char *rest = NULL;
    enum err rc = parse_digits(text, &value, &rest, err);
    if (rc)
        return rc;
    if (!*rest && value == 0) {
        *ms = 0;
        return ERR_OK;
    }
    for (size_t i = 0; i < ARRAY_SIZE(durations); i++)
        if (!strcmp(rest, durations[i].name))
            return apply_unit(text, value, &durations[i], ms, err);
    return error_set(err, ERR_MALFORMED, "'%.40s' is not a duration; write 25s (ms, s, m, h, d)",
                     text);
}

static struct units_text print_exact(uint64_t value, const struct unit *units, size_t count)
{
    struct units_text out;
    size_t i = 0;
    while (i + 1 < count && (value == 0 || value % units[i].factor))
        i++;
    snprintf(out.text, sizeof(out.text), "%" PRIu64 "%s", value / units[i].factor, units[i].name);
    return out;
}

struct units_text units_size(uint64_t bytes)
{
    return print_exact(bytes, sizes, SIZES_PRINTED);
}

struct units_text units_duration(uint64_t ms)
{
    return ms ? print_exact(ms, durations, ARRAY_SIZE(durations)) : (struct units_text){ "0s" };
}

struct units_text units_size_about(uint64_t bytes)
{
    struct units_text out;
    size_t i = 0;
    while (i + 1 < SIZES_PRINTED && bytes < sizes[i].factor)
        i++;
    double value = (double)bytes / (double)sizes[i].factor;
    int decimals = i + 1 == SIZES_PRINTED ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
    snprintf(out.text, sizeof(out.text), "%.*f %s", decimals, value, sizes[i].name);
    return out;
}
