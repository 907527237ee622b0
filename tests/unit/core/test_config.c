#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/config.h"
#include "core/config_yaml.h"

static struct config config, other;
static struct option_report report;

/* Loads with these words (a copy, since operands move), this environment and this file's text. */
static bool load(const char *const *words, const char *const *environment, const char *yaml,
                 struct config_args *args)
{
    static char *argv[16], *envp[16];
    static char path[256], flag[300], copies[16][128];
    unsigned n = 0, e = 0;
    snprintf(path, sizeof(path), "%s/larder.yaml", unit_temp_dir());
    snprintf(flag, sizeof(flag), "--config=%s", path);
    FILE *f = fopen(path, "w");
    check(f && fputs(yaml, f) >= 0 && fclose(f) == 0, path);
    argv[n++] = flag;
    for (; words && *words; words++) {
        snprintf(copies[n], sizeof(copies[n]), "%s", *words);
        argv[n] = copies[n];
        n++;
    }
    for (; environment && *environment; environment++)
        envp[e++] = (char *)*environment;
    argv[n] = envp[e] = NULL;
    args->argv = argv;
    args->envp = envp;
    return config_load(&config, args, &report);
}
#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define HOME "HOME=/home/somebody"

static bool load_words(const char *const *words)
{
    struct config_args args = { .all_options = true };
    return load(words, WORDS(HOME), "", &args);
}

TEST(every_number_has_its_bounds)
{
    for (unsigned i = 0; i < OPTION_ID_COUNT; i++) {
        const struct option_row *row = &config_rows[i];
        if (row->kind != OPTION_KIND_VALUE || row->type == OPTION_TYPE_BOOL ||
            row->type == OPTION_TYPE_CHOICE)
            continue;
        const uint64_t values[] = { row->min - 1, row->min, row->max, row->max + 1 };
        for (unsigned v = 0; v < ARRAY_SIZE(values); v++) {
            bool inside = v == 1 || v == 2;
            if (v == 0 && row->min == 0)
                continue;
            char number[32], flag[128];
            option_number_text(row, values[v], number, sizeof(number));
            snprintf(flag, sizeof(flag), "--%s=%s", option_name(row).text, number);
            check(load_words(WORDS(flag)) == inside, flag);
            const void *field = (const char *)&config + row->offset;
            check(!inside || *(const option_number_t *)field == values[v], flag);
        }
    }
}

TEST(every_row_has_a_sentence_and_a_default_that_is_allowed)
{
    for (unsigned i = 0; i < OPTION_ID_COUNT; i++) {
        const struct option_row *row = &config_rows[i];
        size_t size = strlen(row->sentence);
        check(size > 10 && row->sentence[size - 1] == '.', row->name);
        check(row->kind != OPTION_KIND_VALUE || row->type != OPTION_TYPE_CHOICE ||
                  (row->choices && row->choices[row->max] && !row->choices[row->max + 1]),
              "the last choice is the row's maximum");
        check(row->kind != OPTION_KIND_SECTION || row->enabled_by == OPTION_ALWAYS ||
                  config_rows[row->enabled_by].type == OPTION_TYPE_BOOL ||
                  config_rows[row->enabled_by].kind == OPTION_KIND_TEXT ||
                  config_rows[row->enabled_by].kind == OPTION_KIND_LIST,
              "a section's switch is a BOOL, or what may be empty");
    }
}

TEST(a_part_without_an_address_is_off)
{
    struct config_args args = { .all_options = true };
    check(load(WORDS("--http-addr="), WORDS(HOME), "", &args), report.text);
    check(!config_section_on(&config, OPTION_ID_SECTION_http), "an empty text");
    check(!config_section_on(&config, OPTION_ID_SECTION_p2p), "an empty list");
    check(load(WORDS("--p2p-addr=/ip4/127.0.0.1/tcp/0"), WORDS(HOME), "", &args), report.text);
    check(config_section_on(&config, OPTION_ID_SECTION_http), "it has a default");
    check(config_section_on(&config, OPTION_ID_SECTION_p2p), "a list with an entry");
}

TEST(a_flag_wins_over_the_environment_and_that_over_the_file)
{
    struct config_args args = { .all_options = true };
    check(load(NULL, WORDS(HOME), "", &args), report.text);
    check(config.memory == 1 * GiB, "the default");
    check(load(NULL, WORDS(HOME), "memory: 2GiB\nread-workers: 3\n", &args), report.text);
    check(config.memory == 2 * GiB && config.read_workers == 3, "the file");
    check(load(NULL, WORDS(HOME, "LARDER_MEMORY=3GiB"), "memory: 2GiB\nread-workers: 3\n", &args),
          report.text);
    check(config.memory == 3 * GiB && config.read_workers == 3, "the environment");
    check(
        load(WORDS("--memory", "4GiB"), WORDS(HOME, "LARDER_MEMORY=3GiB"), "memory: 2GiB\n", &args),
        report.text);
    check(config.memory == 4 * GiB, "the flag");
    check(config.given_[OPTION_ID_memory].source == OPTION_FLAG, "and it is known");
}

static const struct {
    const char *why;
    const char *words[4];
    const char *error; /* part of the report; NULL: none */
} flag_cases[] = {
    { "a bare BOOL is true", { "--log-redact-addresses" }, NULL },
    { "a BOOL takes its value by =", { "--log-redact-addresses=false" }, NULL },
    { "and not as a word", { "--log-redact-addresses", "false" }, "'false'" },
    { "a CHOICE as a word", { "--log-level", "debug" }, "written with '='" },
    { "others may", { "--memory", "1GiB" }, NULL },
    { "a value is missing", { "--memory" }, "--memory: it needs a value; allowed: 64MiB to 1TiB" },
    { "twice", { "--memory=1GiB", "--memory=1GiB" }, "--memory: it is given twice" },
    { "a slip",
      { "--memroy=1GiB" },
      "--memroy=1GiB: there is no such flag; did you mean 'memory'?" },
    { "underscores", { "--data_dir=/x" }, "did you mean 'data-dir'?" },
    { "an operand", { "now" }, "'now'" },
    { "a dash is an operand", { "-" }, "'-'" },
    { "a short flag", { "-m" }, "-m: there is no such flag" },
    { "after -- all are operands", { "--", "--memory=1GiB" }, "'--memory=1GiB'" },
    { "a second file", { "--config=/dev/null" }, "--config: it is given twice" },
};

TEST(flags_are_read_strictly)
{
    for (size_t i = 0; i < ARRAY_SIZE(flag_cases); i++) {
        bool ok = load_words(flag_cases[i].words);
        check(ok == !flag_cases[i].error, flag_cases[i].why);
        check(ok || strstr(report.text, flag_cases[i].error), report.text);
    }
}

static const struct {
    const char *why, *variable, *error;
} environment_cases[] = {
    { "capitals and underscores", "LARDER_LOG_REDACT_ADDRESSES=true", NULL },
    { "an unknown one", "LARDER_MEMRY=1GiB", "LARDER_MEMRY: no option" },
    { "a bad value", "LARDER_MEMORY=much", "LARDER_MEMORY: 'much' is not a whole number" },
    { "other programs' are theirs", "LARDERMEMORY=much", NULL },
};

TEST(the_environment_is_read_strictly)
{
    for (size_t i = 0; i < ARRAY_SIZE(environment_cases); i++) {
        struct config_args args = { .all_options = true };
        bool ok = load(NULL, WORDS(HOME, environment_cases[i].variable), "", &args);
        check(ok == !environment_cases[i].error, environment_cases[i].why);
        check(ok || strstr(report.text, environment_cases[i].error), report.text);
    }
}

TEST(the_data_directory_is_found)
{
    struct config_args args = { .all_options = true };
    static const struct {
        const char *variables[3], *want;
    } cases[] = {
        { { "HOME=/home/a", "STATE_DIRECTORY=/var/lib/larder:/x" }, "/var/lib/larder" },
        { { "HOME=/home/a", "XDG_STATE_HOME=/s" }, "/s/larder" },
        { { "HOME=/home/a", "XDG_STATE_HOME=relative" }, "/home/a/.local/state/larder" },
        { { "HOME=/home/a" }, "/home/a/.local/state/larder" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        check(load(NULL, cases[i].variables, "", &args), report.text);
        check(!strcmp(config.data_dir, cases[i].want), config.data_dir);
    }
    check(!load(NULL, NULL, "", &args) && strstr(report.text, "data-dir: no home"), "nowhere");
    check(load(NULL, NULL, "data-dir: /d\n", &args), "said in the file");
}

static const struct {
    const char *why, *yaml, *error;
} yaml_cases[] = {
    { "nothing", "", NULL },
    { "comments", "# memory: 1GiB\n", NULL },
    { "a document mark", "%YAML 1.1\n---\nmemory: 1GiB\n...\n", NULL },
    { "quotes around a size", "memory: \"1GiB\"\n", NULL },
    { "quotes around a truth value", "log-redact-addresses: 'true'\n",
      ":1: log-redact-addresses: it is text" },
    { "quotes around a count", "read-workers: '2'\n", ":1: read-workers: it is text in quotes" },
    { "yes", "log-redact-addresses: yes\n", "allowed: true or false" },
    { "no value", "memory:\n", ":1: memory: it has no value" },
    { "a list for one value", "\nmemory: [1GiB]\n",
      ":2: memory: it is a list; allowed: 64MiB to 1TiB" },
    { "a mapping", "memory:\n  max: {a: [1, {b: 2}]}\nmemroy: 1\n",
      ":3: memroy: there is no such option" },
    { "twice", "memory: 1GiB\nmemory: 1GiB\n", ":2: memory: it stands already in line 1" },
    { "an alias", "memory: &a 1GiB\nread-workers: *a\n", ":2: read-workers: aliases" },
    { "an anchor alone", "memory: &a 1GiB\n", ":1: memory: anchors" },
    { "a tag", "memory: !!str 1GiB\n", ":1: memory: tags" },
    { "a tag on all", "!x\nmemory: 1GiB\n", "tags" },
    { "a tag directive", "%TAG ! tag:x,2000:\n---\nmemory: 1GiB\n", "tags" },
    { "a second document", "memory: 1GiB\n---\nmemory: 2GiB\n", ":2: a second document" },
    { "a list as a whole", "- memory\n", ":1: a configuration is" },
    { "a word as a whole", "memory\n", ":1: a configuration is" },
    { "a key that is a list", "[a, b]: 1\n", ":1: a key is" },
    { "merged keys", "<<: {memory: 1GiB}\n", ":1: <<: there is no such option" },
    { "a tab", "memory:\n\t- 1\n", "it is not YAML" },
    { "not UTF-8", "memory: \xff\n", "it is not UTF-8" },
    { "a zero byte in text", "data-dir: \"/a\\0b\"\n", ":1: data-dir: it has a zero byte" },
    { "unfinished", "memory: [\n", "it is not YAML" },
};

TEST(yaml_is_read_strictly)
{
    struct config_args args = { .all_options = true };
    for (size_t i = 0; i < ARRAY_SIZE(yaml_cases); i++) {
        bool ok = load(NULL, WORDS(HOME), yaml_cases[i].yaml, &args);
        check(ok == !yaml_cases[i].error, yaml_cases[i].why);
        check(ok || strstr(report.text, yaml_cases[i].error), report.text);
    }
}

TEST(a_file_has_a_limit)
{
    size_t size = LIMIT_CONFIG_FILE_BYTES + 10;
    char *yaml = malloc(size + 1);
    check(yaml != NULL, "memory for the test");
    memset(yaml, '#', size);
    yaml[size] = '\0';
    struct config_args args = { .all_options = true };
    check(!load(NULL, WORDS(HOME), yaml, &args), "too large");
    check(strstr(report.text, "the file is larger than 1048576 bytes"), report.text);
    free(yaml);
    char flag[] = "--config=/nowhere/larder.yaml", home[] = HOME;
    char *words[] = { flag, NULL };
    char *environment[] = { home, NULL };
    args = (struct config_args){ .argv = words, .envp = environment, .all_options = true };
    check(!config_load(&config, &args, &report), "a file that was named must be there");
    check(strstr(report.text, "/nowhere/larder.yaml: cannot be opened: No such file"), report.text);
}

TEST(all_errors_are_told_in_one_run)
{
    struct config_args args = { .all_options = true };
    check(!load(WORDS("--shutdown-deadline=9"), WORDS(HOME, "LARDER_LOG_LEVEL=loud"),
                "memory: 1\nread-workers: 0\nlog-format: xml\n", &args),
          "five errors");
    check(report.errors == 5, report.text);
}

static unsigned changes_applied, changes_refused;

static void count_change(void *ctx UNUSED, const struct option_row *row UNUSED, bool applied)
{
    if (applied)
        changes_applied++;
    else
        changes_refused++;
}

TEST(a_reload_takes_what_may_change)
{
    struct config_args args = { .all_options = true };
    check(load(NULL, WORDS(HOME), "memory: 2GiB\nlog-level: debug\ndata-dir: /a\n", &args),
          "first");
    memcpy(&other, &config, sizeof(other));
    other.data_dir = "/a"; /* its own text, not the one in config */
    check(load(NULL, WORDS(HOME), "memory: 3GiB\nlog-level: error\ndata-dir: /b\n", &args), "next");
    config_reload(&config, &other, &other, count_change, NULL);
    check(config.memory == 2 * GiB && !strcmp(config.data_dir, "/a"), "RESTART rows stay");
    check(config.log_level == 0, "RELOAD rows change");
    check(changes_applied == 1 && changes_refused == 2, "and all three are told");
}

TEST(a_subcommand_has_flags_and_operands_of_its_own)
{
    bool json = false, job = false;
    const char *name = NULL;
    const struct config_flag flags[] = {
        { "json", NULL, "As JSON.", &json, NULL },
        { "job", "NAME", "Of this name.", &job, &name },
        { 0 },
    };
    struct config_args args = { .flags = flags, .operands_max = 2 };
    check(load(WORDS("a", "--json", "--job", "x", "b"), WORDS(HOME), "", &args), report.text);
    check(json && job && !strcmp(name, "x"), "flags");
    check(args.operands == 2 && !strcmp(args.argv[0], "a") && !strcmp(args.argv[1], "b"),
          "operands");
    json = job = false;
    check(!load(WORDS("--json=1", "--memory=1GiB"), WORDS(HOME), "", &args), "no rows as flags");
    check(strstr(report.text, "--json: it takes no value"), report.text);
    check(strstr(report.text, "--memory=1GiB: there is no such flag"), report.text);
}
