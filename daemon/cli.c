#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const struct cli_command cli_commands[] = {
#define COMMAND(id, name, arguments, sentence) { name, arguments, sentence, cmd_##id },
#include "commands.def"
#undef COMMAND
};
const uint32_t cli_commands_count = ARRAY_SIZE(cli_commands);

static bool colours(FILE *f)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fileno(f)) && !(no && no[0]) && term && strcmp(term, "dumb");
}

const char *cli_bold(FILE *f)
{
    return colours(f) ? "\033[1m" : "";
}

const char *cli_plain(FILE *f)
{
    return colours(f) ? "\033[0m" : "";
}

int cli_fail(const struct error *err)
{
    fprintf(stderr, "larder: %s\n", err->text);
    return err_exit_code(err->code);
}

int cli_made(const char *path, int exit_code)
{
    struct error err = { ERR_OK, "" };
    struct stat st;
    if (exit_code || !lstat(path, &st) || errno != ENOENT) /* others may not look into it */
        return exit_code;
    error_set(&err, ERR_NOT_FOUND,
              "the running node made %s, but not where we see it: a service has a /tmp of its own "
              "(FILES in larder(8))",
              path);
    return cli_fail(&err);
}

void cli_print_wrapped(FILE *f, const char *indent, const char *text)
{
    enum { COLUMNS = 78 };
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > COLUMNS) {
            fputc('\n', f);
            column = 0;
        }
        column += (size_t)fprintf(f, "%s%.*s", column > 0 ? " " : indent, (int)word, text);
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', f);
}

static const char *argument_of(const struct option_row *row)
{
    switch (row->type) {
    case OPTION_TYPE_BOOL:
        return "[=true|false]";
    case OPTION_TYPE_COUNT:
        return "=NUMBER";
    case OPTION_TYPE_SIZE:
        return "=SIZE";
    case OPTION_TYPE_DURATION:
        return "=DURATION";
    case OPTION_TYPE_CHOICE:
        return "=CHOICE";
    case OPTION_TYPE_TEXT:
        return "=TEXT";
    case OPTION_TYPE_PATH:
    case OPTION_TYPE_SECRET_FILE:
        return "=PATH";
    case OPTION_TYPE_ADDRESS:
        return "=ADDRESS";
    case OPTION_TYPE_MULTIADDR:
        return "=MULTIADDR";
    case OPTION_TYPE_SECTION:
        break;
    }
    return "";
}

static void print_option(const struct option_target *defaults, const struct option_row *row)
{
    char allowed[160], value[128], text[512];
    option_allowed(row, allowed, sizeof(allowed));
    option_print(defaults, row, value, sizeof(value));
    printf("  %s--%s%s%s%s\n", cli_bold(stdout), option_name(row).text, cli_plain(stdout),
           argument_of(row), row->kind == OPTION_KIND_LIST ? " (repeatable)" : "");
    snprintf(text, sizeof(text), "%s Default: %s; allowed: %s.", row->sentence,
             value[0] ? value : "none", allowed);
    cli_print_wrapped(stdout, "      ", text);
}

static void print_options(struct config *c, bool all)
{
    struct option_target t = config_target(c, NULL);
    for (const struct option_row *row = t.rows; all && row < t.rows + t.count; row++) {
        if (row->kind == OPTION_KIND_SECTION)
            printf("\n%s%s%s: %s\n", cli_bold(stdout), row->name, cli_plain(stdout), row->sentence);
        else
            print_option(&t, row);
    }
    if (!all)
        printf("  --data-dir=PATH\n      The data directory of the node to ask.\n");
    printf("%s  --config=PATH\n      The file to read; default /etc/larder/larder.yaml when it is "
           "there.\n  --help\n      Print this.\n",
           all ? "\n" : "");
}

static void print_help(const struct cli *cli, struct config *c, const struct config_args *args)
{
    const struct cli_command *command = cli->command;
    printf("%slarder %s%s [flags]%s%s\n", cli_bold(stdout), command->name, cli_plain(stdout),
           command->arguments[0] ? " " : "", command->arguments);
    cli_print_wrapped(stdout, "  ", command->sentence);
    printf("\n");
    for (const struct config_flag *f = args->flags; f && f->name; f++) {
        printf("  %s%s%s%s%s%s\n", cli_bold(stdout), f->name[1] ? "--" : "-", f->name,
               cli_plain(stdout),
               !f->argument ? ""
               : f->name[1] ? "="
                            : " ",
               f->argument ? f->argument : "");
        cli_print_wrapped(stdout, "      ", f->sentence);
    }
    print_options(c, args->all_options);
    if (args->all_options)
        printf(
            "\nEach option is also a key of the file and, in capitals behind LARDER_, a variable "
            "of the\nenvironment. A flag wins over the environment, that over the file.\n");
}

bool cli_read(struct cli *cli, struct config *c, struct config_args *args,
              struct option_report *report)
{
    args->argv = cli->argv;
    args->envp = cli->envp;
    bool good = config_load(c, args, report);
    assert(good || report->errors > 0);
    if (args->help) {
        (cli->help ? cli->help : print_help)(cli, c, args);
        cli->exit_code = 0;
    }
    return !args->help;
}

int cli_fail_config(uint32_t errors)
{
    fprintf(stderr, "larder: %" PRIu32 " error%s in the configuration\n", errors,
            errors == 1 ? "" : "s");
    return err_exit_code(ERR_CONFIG);
}

bool cli_load(struct cli *cli, struct config *c, struct config_args *args)
{
    static struct option_report report;
    if (!cli_read(cli, c, args, &report))
        return false;
    if (report.errors == 0)
        return true;
    fprintf(stderr, "%s", report.text);
    cli->exit_code = cli_fail_config(report.errors);
    return false;
}
