/* The keys whose provider records are kept alive: asks the running node, or does it itself. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "node/client.h"
#include "node/offline.h"

/* "keys", the verb, its words; a file's path is made absolute, since the node stands elsewhere. */
static enum err words_make(const char *words[], struct config_args *args, const char *prefix,
                           char path[PATH_MAX], struct error *err)
{
    uint32_t n = 0;
    words[n++] = "keys";
    for (uint32_t i = 0; i < args->operands; i++)
        words[n++] = args->argv[i];
    if (prefix)
        words[n++] = prefix;
    if (args->operands == 2 && !strcmp(args->argv[0], "import")) {
        if (!realpath(args->argv[1], path))
            return error_set(err, ERR_USAGE, "%.120s: no such file", args->argv[1]);
        words[2] = path;
        if (isatty(STDERR_FILENO))
            words[n++] = "bar";
    }
    words[n] = NULL;
    return ERR_OK;
}

int cmd_keys(struct cli *cli)
{
    static struct config config;
    static const char *words[LIMIT_ADMIN_REQUEST_WORDS + 4];
    const char *prefix = NULL;
    bool given = false;
    const struct config_flag flags[] = {
        { "prefix", "BITS", "count: only keys whose place begins with these binary digits.", &given,
          &prefix },
        { NULL, NULL, NULL, NULL, NULL },
    };
    struct config_args args = { .flags = flags, .operands_max = LIMIT_ADMIN_REQUEST_WORDS - 1 };
    struct error err = { ERR_OK, "" };
    char path[PATH_MAX];
    int exit_code = 0;
    if (!cli_load(cli, &config, &args))
        return cli->exit_code;
    enum err rc = words_make(words, &args, prefix, path, &err);
    rc = rc ? rc : client_run(config.data_dir, words, NULL, &exit_code, &err);
    if (rc == ERR_UNREACHABLE) {
        error_clear(&err);
        config.reprovide = true; /* whoever asks for its keys wants the store */
        rc = offline_keys(&config, words + 1, &exit_code, &err);
    }
    return rc ? cli_fail(&err) : exit_code;
}
