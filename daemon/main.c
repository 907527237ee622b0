/* larder COMMAND: finds the row of the command and runs it. */
#include <string.h>

#include "cli.h"

static const struct cli_command *find_command(const char *name)
{
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        name = "help";
    if (!strcmp(name, "--version"))
        name = "version";
    for (uint32_t i = 0; i < cli_commands_count; i++)
        if (!strcmp(cli_commands[i].name, name))
            return &cli_commands[i];
    return NULL;
}

int main(int argc, char **argv, char **envp)
{
    struct error err = { ERR_OK, "" };
    const struct cli_command *command = argc > 1 ? find_command(argv[1]) : NULL;
    if (!command) {
        if (argc > 1)
            error_set(&err, ERR_USAGE, "there is no command '%.60s'; `larder help` lists them",
                      argv[1]);
        else
            error_set(&err, ERR_USAGE, "a command is missing; `larder help` lists them");
        return cli_fail(&err);
    }
    struct cli cli = { .command = command, .argv = argv + 2, .envp = envp };
    int exit_code = command->run(&cli);
    /* A full disk or a closed pipe behind standard output is not success. */
    if (fflush(stdout) && exit_code == 0) {
        error_set(&err, ERR_IO, "standard output could not be written");
        return cli_fail(&err);
    }
    return exit_code;
}
