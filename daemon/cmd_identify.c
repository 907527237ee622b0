/* What a peer says of itself: to the running node, or to one that runs for this alone. */
#include "cli.h"
#include "node/client.h"
#include "node/offline_node.h"

int cmd_identify(struct cli *cli)
{
    static struct config config;
    struct config_args args = { .all_options = true, .operands_max = 1 };
    struct error err = { ERR_OK, "" };
    int exit_code = 0;
    if (!cli_load(cli, &config, &args))
        return cli->exit_code;
    enum err rc = ERR_OK;
    if (args.operands == 0)
        rc = error_set(&err, ERR_USAGE,
                       "identify takes an address; `larder help identify` says how");
    const char *const words[] = { "identify", args.operands ? args.argv[0] : NULL, NULL };
    rc = rc ? rc : client_run(config.data_dir, words, NULL, &exit_code, &err);
    if (rc == ERR_UNREACHABLE) {
        struct offline_command command = { .words = words, .dials = true };
        error_clear(&err);
        rc = offline_node_run(&config, &command, &err);
        exit_code = command.exit_code;
    }
    return rc ? cli_fail(&err) : exit_code;
}
