/* The reserve for people: what is in it, content into it and out of it, is it sound. */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "node/client.h"
#include "node/offline_node.h"

enum { WORDS_MAX = 8 };

struct reserve_cli {
    const char *batch, *stamp_key, *output;
    bool repair, raw;
    const char *words[WORDS_MAX];
    char paths[2][PATH_MAX];
};

/* The node may stand in another folder than we do. */
static enum err absolute(const char *path, char out[PATH_MAX], struct error *err)
{
    char here[PATH_MAX] = "";
    if (path[0] != '/' && !getcwd(here, sizeof(here)))
        return error_set(err, ERR_SYSTEM, "the present folder has no name");
    int n = snprintf(out, PATH_MAX, "%s%s%s", here, here[0] ? "/" : "", path);
    if (n < 0 || n >= PATH_MAX)
        return error_set(err, ERR_USAGE, "a path is too long");
    return ERR_OK;
}

static enum err words_of_upload(struct reserve_cli *r, const char *path, struct error *err)
{
    if (!path || !r->batch || !r->stamp_key)
        return error_set(err, ERR_USAGE,
                         "reserve upload takes a file or folder, --batch and --stamp-key");
    enum err rc = absolute(path, r->paths[0], err);
    rc = rc ? rc : absolute(r->stamp_key, r->paths[1], err);
    r->words[2] = r->paths[0];
    r->words[3] = r->batch;
    r->words[4] = r->paths[1];
    return rc;
}

static enum err words_of_download(struct reserve_cli *r, const char *reference, struct error *err)
{
    if (!reference || !r->output)
        return error_set(err, ERR_USAGE, "reserve download takes a reference and -o FILE");
    r->words[2] = reference;
    r->words[3] = r->paths[0];
    r->words[4] = r->raw ? "raw" : "tree";
    return absolute(r->output, r->paths[0], err);
}

static enum err words_make(struct reserve_cli *r, char *const *operands, uint32_t count,
                           struct error *err)
{
    const char *what = count > 0 ? operands[0] : "", *operand = count > 1 ? operands[1] : NULL;
    r->words[0] = "reserve";
    r->words[1] = what;
    if (!strcmp(what, "upload"))
        return words_of_upload(r, operand, err);
    if (!strcmp(what, "download"))
        return words_of_download(r, operand, err);
    if (operand || (strcmp(what, "stats") && strcmp(what, "list") && strcmp(what, "verify")))
        return error_set(err, ERR_USAGE,
                         "it is reserve stats, list, verify, upload or download; `larder help "
                         "reserve` says how");
    if (r->repair && strcmp(what, "verify") != 0)
        return error_set(err, ERR_USAGE, "--repair goes with reserve verify");
    if (r->repair)
        r->words[1] = "repair";
    return ERR_OK;
}

static enum err run(struct config *config, struct reserve_cli *r, int *exit_code, struct error *err)
{
    enum err rc = client_run(config->data_dir, r->words, NULL, exit_code, err);
    if (!rc && !strcmp(r->words[1], "download"))
        *exit_code = cli_made(r->paths[0], *exit_code);
    if (rc != ERR_UNREACHABLE)
        return rc;
    if (!config->swarm)
        return rc; /* nobody runs there, and we could not either */
    if (r->repair && !config->batches[0] && !config->accept_all_stamps)
        return error_set(err, ERR_USAGE,
                         "a repair keeps chunks of known batches alone: set batches (or "
                         "accept-all-stamps)");
    error_clear(err);
    struct offline_command command = { .words = r->words, .repair = r->repair };
    rc = offline_node_run(config, &command, err);
    *exit_code = command.exit_code;
    return rc;
}

int cmd_reserve(struct cli *cli)
{
    static struct config config;
    static struct reserve_cli r;
    bool batch = false, key = false, output = false;
    const struct config_flag flags[] = {
        { "batch", "ID", "upload: the batch that pays; the table of option batches has it.", &batch,
          &r.batch },
        { "stamp-key", "FILE", "upload: the key of the batch's owner (larder overlay --key).", &key,
          &r.stamp_key },
        { "o", "FILE", "download: where to; a folder that is new or empty for a directory.",
          &output, &r.output },
        { "raw", NULL, "download: the bytes, also of what is a directory.", &r.raw, NULL },
        { "repair", NULL, "verify: make the index anew from the chunk bodies; for a stopped node.",
          &r.repair, NULL },
        { NULL, NULL, NULL, NULL, NULL },
    };
    struct config_args args = { .flags = flags, .all_options = true, .operands_max = 2 };
    struct error err = { ERR_OK, "" };
    int exit_code = 0;
    if (!cli_load(cli, &config, &args))
        return cli->exit_code;
    enum err rc = words_make(&r, args.argv, args.operands, &err);
    rc = rc ? rc : run(&config, &r, &exit_code, &err);
    return rc ? cli_fail(&err) : exit_code;
}
