/* The peers the running node is connected to. */
#include "cli.h"
#include "node/client.h"

int cmd_peers(struct cli *cli)
{
    static struct config config;
    bool json = false;
    const struct config_flag flags[] = {
        { "json", NULL, "The document of /api/v1/peers, for programs.", &json, NULL },
        { NULL, NULL, NULL, NULL, NULL },
    };
    struct config_args args = { .flags = flags };
    struct error err = { ERR_OK, "" };
    int exit_code = 0;
    if (!cli_load(cli, &config, &args))
        return cli->exit_code;
    const char *const words[] = { "peers", json ? "json" : NULL, NULL };
    return client_run(config.data_dir, words, NULL, &exit_code, &err) ? cli_fail(&err) : exit_code;
}
