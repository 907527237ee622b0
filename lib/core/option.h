/* lib/core/option.h
 *
 * One option: its row, its value in a struct, and its text form. Which rows there are is the
 * caller's affair (core/config.h has those of config.def; tests bring their own).
 * Owns:   nothing. Texts live in the target's struct option_texts.
 * Thread: any, one thread per target.
 * Errors: ERR_CONFIG with a sentence that says what is allowed.
 */
#ifndef LARDER_CORE_OPTION_H
#define LARDER_CORE_OPTION_H

#include "base/error.h"

enum option_kind { OPTION_KIND_SECTION, OPTION_KIND_VALUE, OPTION_KIND_TEXT, OPTION_KIND_LIST };
enum option_type {
    OPTION_TYPE_SECTION,
    OPTION_TYPE_BOOL,
    OPTION_TYPE_COUNT,
    OPTION_TYPE_SIZE,
    OPTION_TYPE_DURATION,
    OPTION_TYPE_CHOICE,
    OPTION_TYPE_TEXT,
    OPTION_TYPE_PATH,
    OPTION_TYPE_ADDRESS,
    OPTION_TYPE_MULTIADDR,
    OPTION_TYPE_SECRET_FILE,
};
enum option_applies { OPTION_RELOAD, OPTION_RESTART };
enum option_source { OPTION_DEFAULT, OPTION_FILE, OPTION_ENVIRONMENT, OPTION_FLAG };

/* The C types of the fields. */
typedef bool option_bool_t;
typedef uint64_t option_number_t; /* COUNT, SIZE in bytes, DURATION in ms, CHOICE by position */
struct option_list {
    const char *const *items;
    uint32_t count;
};

struct option_row {
    const char *name; /* as in C, with underscores; option_name() has the dashes */
    enum option_kind kind;
    enum option_type type;
    enum option_applies applies;
    uint32_t entries_max;       /* of a list */
    uint64_t def, min, max;     /* of a value */
    const char *text_def;       /* of a text */
    const char *const *choices; /* of a CHOICE, ended by NULL */
    const char *sentence;
    uint32_t enabled_by; /* of a section: index of its switch, or OPTION_ALWAYS */
    size_t offset;       /* of the field in the values */
};
enum { OPTION_ALWAYS = UINT32_MAX };

struct option_given {
    enum option_source source;
    uint32_t line; /* of the file; else 0 */
};

/* Room for texts and lists, filled from the front, never given back. */
struct option_texts {
    size_t used;
    _Alignas(8) char bytes[LIMIT_CONFIG_TEXT_BYTES];
};

/* What is wrong, one line each; what does not fit is counted, and the last line says so. */
struct option_report {
    uint32_t errors, lost;
    size_t used;
    char text[LIMIT_CONFIG_REPORT_BYTES];
};

struct option_target {
    const struct option_row *rows;
    uint32_t count;
    void *values; /* the struct that has a field for each row */
    struct option_given *given;
    struct option_texts *texts;
    struct option_report *report;
};

struct option_name {
    char text[64];
};
struct option_name option_name(const struct option_row *row);     /* "data-dir" */
struct option_name option_variable(const struct option_row *row); /* "LARDER_DATA_DIR" */

void option_set_defaults(const struct option_target *t);
/* The row of that name (dashes), or NULL. */
const struct option_row *option_find(const struct option_target *t, const char *name, size_t size);
/* "; did you mean 'memory'?" or "". */
struct option_name option_did_you_mean(const struct option_target *t, const char *name);

/* The next texts for this row come from a stronger source: a list starts empty. */
void option_begin(const struct option_target *t, const struct option_row *row,
                  enum option_source source, uint32_t line);
/* Sets a value or text, or appends to a list. */
enum err option_set(const struct option_target *t, const struct option_row *row, const char *text,
                    struct error *err);
/* What may be written: "64MiB to 1TiB", "true or false". */
void option_allowed(const struct option_row *row, char *out, size_t size);
/* A number of a VALUE row in the form it is written. */
void option_number_text(const struct option_row *row, uint64_t value, char *out, size_t size);
/* The value in the form it is written; a list separated by commas, a secret masked. */
void option_print(const struct option_target *t, const struct option_row *row, char *out,
                  size_t size);
bool option_equal(const struct option_row *row, const void *a, const void *b);
/* The value of from; a text or list stays where it is, so from must live as long. */
void option_share(const struct option_target *to, const struct option_row *row, const void *from);

/* The section a row stands in, or NULL. */
const struct option_row *option_section(const struct option_target *t,
                                        const struct option_row *row);
/* Is a part on whose switch is this row? A BOOL that is true, a text or list that is not empty. */
bool option_switch_on(const struct option_row *row, const void *field);
bool option_has_effect(const struct option_target *t, const struct option_row *row);

/* A copy of text in the target's texts; NULL when they are full. */
const char *option_keep(const struct option_target *t, const char *text, struct error *err);
void option_report_begin(struct option_report *report);
void option_report_add(struct option_report *report, const char *fmt, ...) PRINTF_LIKE(2, 3);
void option_report_end(struct option_report *report);

#endif
