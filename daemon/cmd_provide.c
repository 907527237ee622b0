/* What is asked goes to the running node word by word: the DHT is its affair. */
#include "cli.h"
#include "node/client.h"

static int ask(struct cli *cli, const char *command)
{
    static struct config config;
    static const char *words[LIMIT_ADMIN_REQUEST_WORDS + 2];
    struct config_args args = { .operands_max = LIMIT_ADMIN_REQUEST_WORDS - 1 };
    struct error err = { ERR_OK, "" };
    int exit_code = 0;
    if (!cli_load(cli, &config, &args))
        return cli->exit_code;
    words[0] = command;
    for (uint32_t i = 0; i < args.operands; i++)
        words[1 + i] = args.argv[i];
    return client_run(config.data_dir, words, NULL, &exit_code, &err) ? cli_fail(&err) : exit_code;
}

int cmd_provide(struct cli *cli)
{
    return ask(cli, "provide");
}

int cmd_find_providers(struct cli *cli)
{
    return ask(cli, "find-providers");
}
