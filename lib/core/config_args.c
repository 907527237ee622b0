#include "core/config_args.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum word_kind {
    WORD_END,
    WORD_OPERAND,
    WORD_HELP,
    WORD_CONFIG,
    WORD_ROW,
    WORD_FLAG,
    WORD_UNKNOWN
};

/* A walk over the words: what each is, and which value goes with it. */
struct words {
    const struct config_args *args;
    const struct option_target *target;
    uint32_t at;     /* of the next word */
    bool flags_over; /* after "--" */
    /* the word just read */
    const char *word;
    char name[64];     /* of a flag, without dashes and value */
    const char *value; /* NULL: none */
    const struct option_row *row;
    const struct config_flag *flag;
};

static const struct config_flag *find_flag(const struct config_args *args, const char *name)
{
    for (const struct config_flag *f = args->flags; f && f->name; f++)
        if (!strcmp(f->name, name))
            return f;
    return NULL;
}

/* Which rows are flags here? */
static const struct option_row *find_row(const struct words *w)
{
    const struct option_row *row = option_find(w->target, w->name, strlen(w->name));
    if (!w->args->all_options && strcmp(w->name, "data-dir"))
        return NULL;
    return row;
}

/* The next word is the value of one that takes its value that way. */
static void take_value(struct words *w)
{
    if (!w->value && w->args->argv[w->at])
        w->value = w->args->argv[w->at++];
}

static enum word_kind classify_flag(struct words *w)
{
    const char *start = w->word + 2, *equals = strchr(start, '=');
    size_t size = equals ? (size_t)(equals - start) : strlen(start);
    w->value = equals ? equals + 1 : NULL;
    snprintf(w->name, sizeof(w->name), "%.*s", (int)MIN(size, sizeof(w->name) - 1), start);
    if (!strcmp(w->name, "help"))
        return WORD_HELP;
    if (!strcmp(w->name, "config")) {
        take_value(w);
        return WORD_CONFIG;
    }
    if ((w->flag = find_flag(w->args, w->name)) != NULL) {
        if (w->flag->argument)
            take_value(w);
        return WORD_FLAG;
    }
    if ((w->row = find_row(w)) != NULL) {
        if (w->row->type != OPTION_TYPE_BOOL && w->row->type != OPTION_TYPE_CHOICE)
            take_value(w);
        else if (!w->value)
            w->value = "true";
        return WORD_ROW;
    }
    return WORD_UNKNOWN;
}

/* A flag of one letter, which only subcommands have. */
static enum word_kind classify_letter(struct words *w)
{
    w->value = NULL;
    if (w->word[2] || (w->flag = find_flag(w->args, w->word + 1)) == NULL)
        return WORD_UNKNOWN;
    if (w->flag->argument)
        take_value(w);
    return WORD_FLAG;
}

static enum word_kind next_word(struct words *w)
{
    w->word = w->args->argv[w->at];
    if (!w->word)
        return WORD_END;
    w->at++;
    if (w->flags_over || w->word[0] != '-' || !w->word[1])
        return WORD_OPERAND;
    if (!strcmp(w->word, "--")) {
        w->flags_over = true;
        return next_word(w);
    }
    if (!strcmp(w->word, "-h"))
        return WORD_HELP;
    snprintf(w->name, sizeof(w->name), "%.60s", w->word);
    return w->word[1] == '-' ? classify_flag(w) : classify_letter(w);
}

void config_args_scan(struct config_args *args, const struct option_target *t)
{
    struct words w = { .args = args, .target = t };
    enum word_kind kind;
    args->help = false;
    args->data_dir_given = false;
    args->file = NULL;
    while ((kind = next_word(&w)) != WORD_END) {
        if (kind == WORD_HELP)
            args->help = true;
        else if (kind == WORD_CONFIG && w.value && !args->file)
            args->file = w.value;
        else if (kind == WORD_ROW && !strcmp(w.name, "data-dir"))
            args->data_dir_given = true;
    }
}

static void load_row(struct words *w)
{
    const struct option_target *t = w->target;
    const struct option_given *given = &t->given[w->row - t->rows];
    struct error err = { ERR_OK, "" };
    if (!w->value) {
        char allowed[160];
        option_allowed(w->row, allowed, sizeof(allowed));
        option_report_add(t->report, "--%s: it needs a value; allowed: %s", w->name, allowed);
        return;
    }
    if (given->source != OPTION_FLAG)
        option_begin(t, w->row, OPTION_FLAG, 0);
    else if (w->row->kind != OPTION_KIND_LIST) {
        option_report_add(t->report, "--%s: it is given twice", w->name);
        return;
    }
    if (option_set(t, w->row, w->value, &err))
        option_report_add(t->report, "--%s: %s", w->name, err.text);
}

static void load_flag(struct words *w)
{
    const struct config_flag *f = w->flag;
    if (*f->given)
        option_report_add(w->target->report, "--%s: it is given twice", w->name);
    else if (f->argument && !w->value)
        option_report_add(w->target->report, "--%s: it needs a value: %s", w->name, f->argument);
    else if (!f->argument && w->value)
        option_report_add(w->target->report, "--%s: it takes no value", w->name);
    else if (f->argument)
        *f->value = w->value;
    *f->given = true;
}

static void load_operand(struct words *w, struct config_args *args)
{
    const char *hint = "";
    /* --log-level debug: the habit of other programs. */
    if (w->at >= 2 && w->row && w->row->type == OPTION_TYPE_CHOICE &&
        !strncmp(args->argv[w->at - 2], "--", 2) && !strchr(args->argv[w->at - 2], '='))
        hint = "; a choice is written with '=': --name=value";
    if (args->operands < args->operands_max)
        args->argv[args->operands++] = (char *)w->word;
    else
        option_report_add(w->target->report, "'%.60s': there is nothing it could mean here%s",
                          w->word, hint);
}

void config_args_load(struct config_args *args, const struct option_target *t)
{
    struct words w = { .args = args, .target = t };
    enum word_kind kind;
    unsigned files = 0;
    args->operands = 0;
    while ((kind = next_word(&w)) != WORD_END) {
        switch (kind) {
        case WORD_OPERAND:
            load_operand(&w, args);
            break;
        case WORD_CONFIG:
            if (!w.value || !w.value[0])
                option_report_add(t->report, "--config: it needs a value: the path of a file");
            if (files++)
                option_report_add(t->report, "--config: it is given twice");
            break;
        case WORD_ROW:
            load_row(&w);
            break;
        case WORD_FLAG:
            load_flag(&w);
            break;
        case WORD_UNKNOWN:
            option_report_add(t->report, "%s: there is no such flag%s", w.word,
                              option_did_you_mean(t, w.name).text);
            break;
        case WORD_HELP:
        case WORD_END:
            break;
        }
    }
}

const char *config_environment(char *const *envp, const char *name)
{
    size_t size = strlen(name);
    for (; *envp; envp++)
        if (!strncmp(*envp, name, size) && (*envp)[size] == '=')
            return (*envp)[size + 1] ? *envp + size + 1 : NULL;
    return NULL;
}

static void load_variable_list(const struct option_target *t, const struct option_row *row,
                               const char *value)
{
    struct error err = { ERR_OK, "" };
    for (const char *at = value; *at;) {
        char entry[1024];
        size_t size = strcspn(at, ",");
        enum err rc = ERR_CONFIG;
        if (size >= sizeof(entry)) {
            error_set(&err, rc, "an entry is longer than %zu bytes", sizeof(entry) - 1);
        } else {
            memcpy(entry, at, size);
            entry[size] = '\0';
            rc = option_set(t, row, entry, &err);
        }
        if (rc)
            option_report_add(t->report, "%s: %s", option_variable(row).text, err.text);
        at += size;
        if (*at == ',' && !*++at) /* a comma at the end has an empty entry behind it */
            option_report_add(t->report, "%s: an entry is empty", option_variable(row).text);
    }
}

static void load_variable(const struct option_target *t, const char *variable)
{
    const char *equals = strchr(variable, '=');
    char name[64];
    if (!equals)
        return;
    size_t size = MIN((size_t)(equals - variable), sizeof(name) - 1);
    memcpy(name, variable, size);
    name[size] = '\0';
    for (const struct option_row *row = t->rows; row < t->rows + t->count; row++) {
        if (row->kind == OPTION_KIND_SECTION || strcmp(option_variable(row).text, name))
            continue;
        struct error err = { ERR_OK, "" };
        option_begin(t, row, OPTION_ENVIRONMENT, 0);
        if (row->kind == OPTION_KIND_LIST)
            load_variable_list(t, row, equals + 1);
        else if (option_set(t, row, equals + 1, &err))
            option_report_add(t->report, "%s: %s", name, err.text);
        return;
    }
    option_report_add(t->report, "%s: no option has this name in the environment", name);
}

void config_credentials_load(const struct option_target *t, char *const *envp)
{
    const char *dir = config_environment(envp, "CREDENTIALS_DIRECTORY");
    for (const struct option_row *row = t->rows; dir && row < t->rows + t->count; row++) {
        char path[LIMIT_PATH_BYTES];
        struct error err = { ERR_OK, "" };
        if (row->type != OPTION_TYPE_SECRET_FILE ||
            t->given[row - t->rows].source != OPTION_DEFAULT)
            continue;
        int size = snprintf(path, sizeof(path), "%s/%s", dir, option_name(row).text);
        if (size < 0 || (size_t)size >= sizeof(path) || access(path, F_OK))
            continue;
        option_begin(t, row, OPTION_ENVIRONMENT, 0);
        if (option_set(t, row, path, &err))
            option_report_add(t->report, "%s: %s", path, err.text);
    }
}

void config_environment_load(const struct option_target *t, char *const *envp)
{
    for (; *envp; envp++)
        if (!strncmp(*envp, "LARDER_", 7))
            load_variable(t, *envp);
}
