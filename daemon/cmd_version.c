#include <string.h>

#include "base/version.h"
#include "cli.h"

int cmd_version(struct cli *cli)
{
    struct error err = { ERR_OK, "" };
    if (cli->argv[0] && (!strcmp(cli->argv[0], "--help") || !strcmp(cli->argv[0], "-h"))) {
        struct cli overview = { .argv = cli->argv + 1, .envp = cli->envp };
        return cmd_help(&overview);
    }
    if (cli->argv[0]) {
        error_set(&err, ERR_USAGE, "version takes nothing behind it");
        return cli_fail(&err);
    }
    printf("larder %s\n", LARDER_VERSION);
    return 0;
}
