#include <string.h>

#include "cli.h"

static void print_overview(void)
{
    printf("larder is a storage node that stays inside the memory you give it.\n\n"
           "%susage:%s larder COMMAND [flags]\n\n",
           cli_bold(stdout), cli_plain(stdout));
    for (uint32_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        char words[64];
        snprintf(words, sizeof(words), "%s %s", c->name, c->arguments);
        printf("  %-28s %s\n", words, c->sentence);
    }
    printf("\n`larder COMMAND --help` says what a command takes; larder(8) says more.\n");
}

int cmd_help(struct cli *cli)
{
    const char *name = cli->argv[0];
    if (!name || !strcmp(name, "--help") || !strcmp(name, "-h")) {
        print_overview();
        return 0;
    }
    static char flag[] = "--help";
    for (uint32_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        if (strcmp(c->name, cli->argv[0]) || c->run == cmd_help || c->run == cmd_version)
            continue;
        struct cli other = { .command = c, .argv = (char *[]){ flag, NULL }, .envp = cli->envp };
        return c->run(&other);
    }
    if (!strcmp(cli->argv[0], "help") || !strcmp(cli->argv[0], "version")) {
        print_overview();
        return 0;
    }
    struct error err = { ERR_OK, "" };
    error_set(&err, ERR_USAGE, "there is no command '%.60s'", cli->argv[0]);
    return cli_fail(&err);
}
