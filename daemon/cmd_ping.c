/* Round trips to a peer: by the running node, or by one that runs for this alone. */
#include "cli.h"
#include "node/client.h"
#include "node/offline_node.h"

int cmd_ping(struct cli *cli)
{
    static struct config config;
    bool given = false;
    const char *count = "4";
    const struct config_flag flags[] = {
        { "count", "N", "How many, a second apart; 4 when it is not said.", &given, &count },
        { NULL, NULL, NULL, NULL, NULL },
    };
    struct config_args args = { .flags = flags, .all_options = true, .operands_max = 1 };
    struct error err = { ERR_OK, "" };
    int exit_code = 0;
    uint64_t n;
    if (!cli_load(cli, &config, &args))
        return cli->exit_code;
    enum err rc = ERR_OK;
    if (args.operands == 0)
        rc = error_set(&err, ERR_USAGE, "ping takes an address; `larder help ping` says how");
    else if (units_parse_count(count, &n, &err))
        rc = error_wrap(&err, ERR_USAGE, "--count");
    const char *const words[] = { "ping", args.operands ? args.argv[0] : NULL, count, NULL };
    rc = rc ? rc : client_run(config.data_dir, words, NULL, &exit_code, &err);
    if (rc == ERR_UNREACHABLE) {
        struct offline_command command = { .words = words, .dials = true };
        error_clear(&err);
        rc = offline_node_run(&config, &command, &err);
        exit_code = command.exit_code;
    }
    return rc ? cli_fail(&err) : exit_code;
}
