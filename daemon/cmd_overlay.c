/* Says who the node is in its Swarm network, and finds nonces and batches for people. */
#include "cli.h"
#include "node/overlay_print.h"

int cmd_overlay(struct cli *cli)
{
    static struct config config;
    bool prefix = false, key = false, depth = false;
    struct overlay_print what = { .prefix = NULL };
    const struct config_flag flags[] = {
        { "prefix", "BITS",
          "Find a nonce whose overlay begins with these zeros and ones; each bit doubles the time. "
          "Put it into the option nonce before chunks are stored.",
          &prefix, &what.prefix },
        { "key", "FILE", "Print the Ethereum address of this key instead.", &key, &what.key_file },
        { "make", NULL, "Make the file of --key when it is not there.", &what.make, NULL },
        { "batch-depth", "DEPTH",
          "Print a table of batches for a private network: one new batch of 2^DEPTH chunks that "
          "belongs to --key.",
          &depth, &what.batch_depth },
        { NULL, NULL, NULL, NULL, NULL },
    };
    struct config_args args = { .flags = flags, .all_options = true };
    struct error err = { ERR_OK, "" };
    if (!cli_load(cli, &config, &args))
        return cli->exit_code;
    return overlay_print(&config, &what, &err) ? cli_fail(&err) : 0;
}
