/* Makes stores that do not open any more open again, with what can be read of them. */
#include "cli.h"
#include "node/offline.h"

int cmd_repair(struct cli *cli)
{
    static struct config config;
    struct config_args args = { .operands_max = 16 };
    struct error err = { ERR_OK, "" };
    if (!cli_load(cli, &config, &args))
        return cli->exit_code;
    args.argv[args.operands] = NULL;
    return offline_repair(&config, args.argv, &err) ? cli_fail(&err) : 0;
}
