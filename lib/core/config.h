/* lib/core/config.h
 *
 * The configuration: a field per row of config.def, from flags, environment, file and defaults, in
 * this order of strength.
 * Owns:   its texts; a struct config is large (LIMIT_CONFIG_TEXT_BYTES) and is not for the stack.
 * Thread: loaded by one thread, then read only; a reload loads a second one.
 * Errors: none are returned one by one: all of them are lines of the report.
 */
#ifndef LARDER_CORE_CONFIG_H
#define LARDER_CORE_CONFIG_H

#include "base/units.h"
#include "core/option.h"

/* OPTION_ID_<name>, and OPTION_ID_SECTION_<name>: positions in config_rows. */
enum option_id {
#define SECTION(name, enabled_by, sentence) OPTION_ID_SECTION_##name,
#define OPTION(name, type, unit, def, min, max, applies, sentence) OPTION_ID_##name,
#define OPTION_TEXT(name, type, def, applies, sentence) OPTION_ID_##name,
#define OPTION_LIST(name, type, entries_max, applies, sentence) OPTION_ID_##name,
#include "tables/config.def"
    OPTION_ID_COUNT
};

struct config {
#define OPTION_FIELD_BOOL option_bool_t
#define OPTION_FIELD_COUNT option_number_t
#define OPTION_FIELD_SIZE option_number_t
#define OPTION_FIELD_DURATION option_number_t
#define OPTION_FIELD_CHOICE option_number_t
#define OPTION(name, type, unit, def, min, max, applies, sentence) OPTION_FIELD_##type name;
#define OPTION_TEXT(name, type, def, applies, sentence) const char *name;
#define OPTION_LIST(name, type, entries_max, applies, sentence) struct option_list name;
#include "tables/config.def"
    const char *file; /* that was read, or NULL */
    struct option_given given_[OPTION_ID_COUNT];
    struct option_texts texts_;
};

extern const struct option_row config_rows[OPTION_ID_COUNT];

/* A flag of a subcommand's own. */
struct config_flag {
    const char *name;     /* without dashes; one letter: -o */
    const char *argument; /* what --help calls its value, or NULL for a bare flag */
    const char *sentence;
    bool *given;
    const char **value; /* borrowed from argv; NULL for a bare flag */
};

struct config_args {
    char **argv;                     /* in: what follows the subcommand, ended by NULL; words that
                                        are no flags move to its front */
    char **envp;                     /* in */
    const struct config_flag *flags; /* in: ended by a row without name; may be NULL */
    bool all_options;                /* in: every row is a flag; else only --config and --data-dir
                                        are, and --data-dir alone means that no file is read */
    uint32_t operands_max;           /* in: words that are no flags */
    uint32_t operands;               /* out */
    bool help;                       /* out: --help was given, nothing else was looked at */
    bool data_dir_given;             /* out: --data-dir was */
    const char *file;                /* out: --config */
};

/* Defaults, then the file (--config, else /etc/larder/larder.yaml when it is there), then the
 * environment, then flags. False when report has errors. */
bool config_load(struct config *c, struct config_args *args,
                 struct option_report *report) WARN_UNUSED;
/* The rows of config.def over c; report may be NULL. */
struct option_target config_target(struct config *c, struct option_report *report);

/* Makes next what a running daemon may change to: RESTART rows are set back to what started, whose
 * texts they then share. Each row that differs from what runs is told, with whether it is applied.
 */
typedef void config_changed_fn(void *ctx, const struct option_row *row, bool applied);
void config_reload(struct config *next, const struct config *runs, const struct config *started,
                   config_changed_fn *changed, void *ctx);

/* Is this part of the daemon on? id: OPTION_ID_SECTION_<name>. */
bool config_section_on(const struct config *c, enum option_id id);

#endif
