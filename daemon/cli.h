/* daemon/cli.h
 *
 * What subcommands share: their rows, reading their words, help, colours.
 * Thread: the only one. Errors: printed to standard error; the exit code says which kind.
 */
#ifndef LARDER_DAEMON_CLI_H
#define LARDER_DAEMON_CLI_H

#include <stdio.h>

#include "core/config.h"

struct cli;
typedef void cli_help_fn(const struct cli *cli, struct config *c, const struct config_args *args);

struct cli {
    const struct cli_command *command;
    char **argv; /* what follows the command's name */
    char **envp;
    int exit_code;     /* when cli_load says that there is nothing to do */
    cli_help_fn *help; /* what --help does; NULL: it prints for people */
};

struct cli_command {
    const char *name, *arguments, *sentence;
    int (*run)(struct cli *cli); /* returns the exit code */
};
extern const struct cli_command cli_commands[];
extern const uint32_t cli_commands_count;

#define COMMAND(id, name, arguments, sentence) int cmd_##id(struct cli *cli);
#include "commands.def"
#undef COMMAND

/* Reads words, environment and file into c. False: help was printed or errors were, and the command
 * returns cli->exit_code. */
bool cli_load(struct cli *cli, struct config *c, struct config_args *args) WARN_UNUSED;

/* The same, but what is wrong is left in report. False: help was printed. */
bool cli_read(struct cli *cli, struct config *c, struct config_args *args,
              struct option_report *report) WARN_UNUSED;

/* How many errors there were, on standard error; returns the exit code. */
int cli_fail_config(uint32_t errors);
/* "larder: sentence" on standard error; returns the exit code of its row. */
int cli_fail(const struct error *err);

/* Of a command by which the running node made path: is it there for us too? A service has a /tmp of
 * its own. Returns exit_code, or another when it was 0 and there is nothing. */
int cli_made(const char *path, int exit_code);

/* Escapes for headings, empty unless f is a terminal and NO_COLOR is not set. */
const char *cli_bold(FILE *f);
const char *cli_plain(FILE *f);

/* Text in lines of up to 78 columns, each behind this indent. */
void cli_print_wrapped(FILE *f, const char *indent, const char *text);

#endif
