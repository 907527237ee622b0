#include "cli.h"
#include "node/node.h"

int cmd_start(struct cli *cli)
{
    static struct config config; /* for the life of the process; too large for the stack */
    struct config_args args = { .all_options = true };
    struct error err = { ERR_OK, "" };
    if (!cli_load(cli, &config, &args))
        return cli->exit_code;
    const struct node_options options = { .config = &config, .args = &args };
    struct node *node = NULL;
    enum err rc = node_create(&node, &options, &err);
    if (!rc)
        rc = node_run(node, &err);
    node_destroy(node);
    return rc ? cli_fail(&err) : 0;
}
