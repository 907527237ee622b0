#include "core/config.h"

#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/config_args.h"
#include "core/config_yaml.h"

#define DEFAULT_FILE "/etc/larder/larder.yaml"

/* Units and sets of choices share one namespace: the column "unit" of config.def. */
#define CHOICES(set, ...) static const char *const choices_##set[] = { __VA_ARGS__, NULL };
#include "tables/config.def"
#define choices_NONE NULL
#define choices_BYTES NULL
#define choices_MS NULL

#define OPTION_ID_ALWAYS OPTION_ALWAYS
const struct option_row config_rows[OPTION_ID_COUNT] = {
#define SECTION(name_, enabled_by_, sentence_)                                                     \
    { .name = #name_,                                                                              \
      .kind = OPTION_KIND_SECTION,                                                                 \
      .sentence = sentence_,                                                                       \
      .enabled_by = OPTION_ID_##enabled_by_ },
#define OPTION(name_, type_, unit_, def_, min_, max_, applies_, sentence_)                         \
    { .name = #name_,                                                                              \
      .kind = OPTION_KIND_VALUE,                                                                   \
      .type = OPTION_TYPE_##type_,                                                                 \
      .applies = OPTION_##applies_,                                                                \
      .def = def_,                                                                                 \
      .min = min_,                                                                                 \
      .max = max_,                                                                                 \
      .choices = choices_##unit_,                                                                  \
      .sentence = sentence_,                                                                       \
      .offset = offsetof(struct config, name_) },
#define OPTION_TEXT(name_, type_, def_, applies_, sentence_)                                       \
    { .name = #name_,                                                                              \
      .kind = OPTION_KIND_TEXT,                                                                    \
      .type = OPTION_TYPE_##type_,                                                                 \
      .applies = OPTION_##applies_,                                                                \
      .text_def = def_,                                                                            \
      .sentence = sentence_,                                                                       \
      .offset = offsetof(struct config, name_) },
#define OPTION_LIST(name_, type_, entries_, applies_, sentence_)                                   \
    { .name = #name_,                                                                              \
      .kind = OPTION_KIND_LIST,                                                                    \
      .type = OPTION_TYPE_##type_,                                                                 \
      .applies = OPTION_##applies_,                                                                \
      .entries_max = entries_,                                                                     \
      .sentence = sentence_,                                                                       \
      .offset = offsetof(struct config, name_) },
#include "tables/config.def"
};

struct option_target config_target(struct config *c, struct option_report *report)
{
    return (struct option_target){
        .rows = config_rows,
        .count = OPTION_ID_COUNT,
        .values = c,
        .given = c->given_,
        .texts = &c->texts_,
        .report = report,
    };
}

/* $STATE_DIRECTORY (a service's; the first of a list), else below the user's. */
static void default_data_dir(struct config *c, char *const *envp, const struct option_target *t)
{
    char path[4096];
    const char *state = config_environment(envp, "STATE_DIRECTORY");
    const char *xdg = config_environment(envp, "XDG_STATE_HOME");
    const char *home = config_environment(envp, "HOME");
    int size = 0;
    if (state)
        size = snprintf(path, sizeof(path), "%.*s", (int)strcspn(state, ":"), state);
    else if (xdg && xdg[0] == '/') /* the specification says to ignore a relative one */
        size = snprintf(path, sizeof(path), "%s/larder", xdg);
    else if (home)
        size = snprintf(path, sizeof(path), "%s/.local/state/larder", home);
    struct error err = { ERR_OK, "" };
    const char *kept = NULL;
    if (size > 0 && (size_t)size < sizeof(path))
        kept = option_keep(t, path, &err);
    if (kept)
        c->data_dir = kept;
    else
        option_report_add(t->report, "data-dir: %s",
                          err.code ? err.text : "no home directory to put it in; allowed: a path");
}

static const char *choose_file(const struct config_args *args)
{
    if (args->file)
        return args->file;
    if (!args->all_options && args->data_dir_given)
        return NULL;
    return access(DEFAULT_FILE, F_OK) == 0 ? DEFAULT_FILE : NULL;
}

bool config_load(struct config *c, struct config_args *args, struct option_report *report)
{
    struct option_target t = config_target(c, report);
    option_report_begin(report);
    option_set_defaults(&t);
    config_args_scan(args, &t);
    if (args->help)
        return true;
    c->file = choose_file(args);
    if (c->file)
        config_yaml_load(&t, c->file);
    config_environment_load(&t, args->envp);
    config_args_load(args, &t);
    config_credentials_load(&t, args->envp);
    if (!c->data_dir[0])
        default_data_dir(c, args->envp, &t);
    option_report_end(report);
    return report->errors == 0;
}

void config_reload(struct config *next, const struct config *runs, const struct config *started,
                   config_changed_fn *changed, void *ctx)
{
    struct option_target t = config_target(next, NULL);
    for (const struct option_row *row = t.rows; row < t.rows + t.count; row++) {
        if (!option_equal(row, next, runs))
            changed(ctx, row, row->applies == OPTION_RELOAD);
        if (row->applies == OPTION_RESTART)
            option_share(&t, row, started);
    }
}

/* Rows NEEDS(name, other); the last one is none, since there may be no other. */
static const struct {
    int name, other;
} section_needs[] = {
#define NEEDS(name, other) { OPTION_ID_SECTION_##name, OPTION_ID_SECTION_##other },
#include "tables/config.def"
    { -1, -1 },
};

bool config_section_on(const struct config *c, enum option_id id)
{
    const struct option_row *section = &config_rows[id];
    assert(section->kind == OPTION_KIND_SECTION);
    if (section->enabled_by == OPTION_ALWAYS)
        return true;
    for (size_t i = 0; i + 1 < ARRAY_SIZE(section_needs); i++)
        if (section_needs[i].other == (int)id &&
            config_section_on(c, (enum option_id)section_needs[i].name))
            return true; /* no row of config.def needs itself, by whatever way */
    const struct option_row *enabled_by = &config_rows[section->enabled_by];
    return option_switch_on(enabled_by, (const uint8_t *)c + enabled_by->offset);
}
