/* Puts a backup into an empty data directory. */
#include "cli.h"
#include "node/offline.h"

int cmd_restore(struct cli *cli)
{
    static struct config config;
    struct config_args args = { .operands_max = 1 };
    struct error err = { ERR_OK, "" };
    if (!cli_load(cli, &config, &args))
        return cli->exit_code;
    if (args.operands != 1) {
        error_set(&err, ERR_USAGE, "restore takes the folder of a backup");
        return cli_fail(&err);
    }
    return offline_restore(&config, args.argv[0], &err) ? cli_fail(&err) : 0;
}
