/* lib/core/log.h
 *
 * The log: one line per event, a sentence and named fields. Only the owner of a whole operation
 * logs, once; library code returns errors instead.
 * Owns:   one line of buffer; a line that the reader of stderr could not take yet.
 * Thread: loop only.
 * Errors: none. It never waits: what the reader cannot take is dropped and counted
 *         (log_dropped_total), and the next line that gets through says how many.
 * Units:  a line has at most LIMIT_LOG_LINE_BYTES and is cut beyond; each place in the code writes
 *         at most LIMIT_LOG_SITE_LINES per LIMIT_LOG_SITE_PERIOD_MS, errors included, and its next
 *         line says how many were left out.
 *
 *     log_info("ready");
 *     log_warning("pullsync with %s: %s", peer, err->text);
 *     log_info_with(LOG_FIELDS(log_text("store", name), log_uint("bytes", n)), "store opened");
 */
#ifndef LARDER_CORE_LOG_H
#define LARDER_CORE_LOG_H

#include "base/error.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVELS };

enum log_format {
    LOG_FORMAT_TEXT,   /* for people; coloured on a terminal, unless NO_COLOR is set */
    LOG_FORMAT_LOGFMT, /* time=... level=info msg="..." key=value */
    LOG_FORMAT_JSON,   /* {"time":"...","level":"info","message":"...","key":"value"} */
};

struct log_options {
    enum log_level level;   /* lines above it are not made at all */
    enum log_format format; /* TEXT leaves the time to the journal when that reads us */
    bool redact_addresses;  /* IP addresses and names in multiaddrs become "redacted" */
};

/* Before it: text, info, nothing redacted, to stderr. May be called again (reload). */
void log_setup(const struct log_options *options);
/* Where lines go: 2 at first. What can be written to without waiting is decided here: call it again
 * when the descriptor behind the number has changed. For tests, too. */
void log_setup_fd(int fd);

struct log_field {
    const char *key; /* a literal in lower case, with _ between words; NULL ends a list */
    enum log_field_kind { LOG_FIELD_TEXT, LOG_FIELD_UINT, LOG_FIELD_INT, LOG_FIELD_BOOL } kind;
    union {
        const char *text;
        uint64_t uint;
        int64_t sint;
    } value;
};
static inline struct log_field log_text(const char *key, const char *text)
{
    return (struct log_field){ key, LOG_FIELD_TEXT, { .text = text ? text : "" } };
}
static inline struct log_field log_uint(const char *key, uint64_t value)
{
    return (struct log_field){ key, LOG_FIELD_UINT, { .uint = value } };
}
static inline struct log_field log_int(const char *key, int64_t value)
{
    return (struct log_field){ key, LOG_FIELD_INT, { .sint = value } };
}
static inline struct log_field log_bool(const char *key, bool value)
{
    return (struct log_field){ key, LOG_FIELD_BOOL, { .uint = value } };
}
static inline struct log_field log_err(const struct error *err)
{
    return log_text("error", err ? err->text : "");
}
/* clang-format off */
#define LOG_FIELDS(...) (const struct log_field[]){ __VA_ARGS__, { NULL, LOG_FIELD_TEXT, { NULL } } }
/* clang-format on */

bool log_enabled(enum log_level level);

struct log_site { /* one per place in the code */
    uint64_t period_began_ms;
    uint32_t lines, suppressed;
};
void log_write(enum log_level level, struct log_site *site, const struct log_field *fields,
               const char *fmt, ...) PRINTF_LIKE(4, 5);

#define LOG_AT(level, fields, ...)                                                                 \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        if (log_enabled(level))                                                                    \
            log_write(level, &log_site_, fields, __VA_ARGS__);                                     \
    } while (0)

#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, NULL, __VA_ARGS__)
#define log_warning(...) LOG_AT(LOG_LEVEL_WARNING, NULL, __VA_ARGS__)
#define log_info(...) LOG_AT(LOG_LEVEL_INFO, NULL, __VA_ARGS__)
#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, NULL, __VA_ARGS__)
#define log_error_with(fields, ...) LOG_AT(LOG_LEVEL_ERROR, fields, __VA_ARGS__)
#define log_warning_with(fields, ...) LOG_AT(LOG_LEVEL_WARNING, fields, __VA_ARGS__)
#define log_info_with(fields, ...) LOG_AT(LOG_LEVEL_INFO, fields, __VA_ARGS__)
#define log_debug_with(fields, ...) LOG_AT(LOG_LEVEL_DEBUG, fields, __VA_ARGS__)

/* log_redact.c: text with every address replaced by "redacted", cut to size (with its NUL). IP
 * addresses and the names in multiaddrs (/dns4/name) count; loopback, unspecified addresses and
 * localhost stay, since they tell nothing about a peer. */
void log_redact(char *out, size_t size, const char *text);

#endif
