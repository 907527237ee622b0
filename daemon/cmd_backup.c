/* A backup of all stores, by the running node, or of a data directory that no node runs on. */
#include <limits.h>
#include <unistd.h>

#include "cli.h"
#include "node/client.h"
#include "node/offline.h"

/* The node may stand in another folder than we do. */
static enum err absolute(const char *dir, char out[PATH_MAX], struct error *err)
{
    char here[PATH_MAX] = "";
    if (dir[0] != '/' && !getcwd(here, sizeof(here)))
        return error_set(err, ERR_SYSTEM, "the present folder has no name");
    int n = snprintf(out, PATH_MAX, "%s%s%s", here, here[0] ? "/" : "", dir);
    if (n < 0 || n >= PATH_MAX)
        return error_set(err, ERR_USAGE, "the folder's path is too long");
    return ERR_OK;
}

int cmd_backup(struct cli *cli)
{
    static struct config config;
    struct config_args args = { .operands_max = 1 };
    struct error err = { ERR_OK, "" };
    char dir[PATH_MAX];
    if (!cli_load(cli, &config, &args))
        return cli->exit_code;
    if (args.operands != 1) {
        error_set(&err, ERR_USAGE, "backup takes a folder");
        return cli_fail(&err);
    }
    if (absolute(args.argv[0], dir, &err))
        return cli_fail(&err);
    int exit_code = 0;
    const char *const words[] = { "backup", dir, NULL };
    enum err rc = client_run(config.data_dir, words, NULL, &exit_code, &err);
    if (!rc)
        exit_code = cli_made(dir, exit_code);
    if (rc == ERR_UNREACHABLE) {
        error_clear(&err);
        rc = offline_backup(&config, dir, &err);
    }
    return rc ? cli_fail(&err) : exit_code;
}
