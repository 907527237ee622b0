/* Shows how the running node is: its status document, or a page made of it. */
#include <poll.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli.h"
#include "node/client.h"
#include "node/status_page.h"

struct document {
    size_t used;
    char text[LIMIT_STATUS_BYTES];
};

static enum err to_document(void *ctx, bool to_stderr, const char *data, size_t size,
                            struct error *err)
{
    struct document *d = ctx;
    if (to_stderr) {
        fwrite(data, 1, size, stderr);
        return ERR_OK;
    }
    if (size > sizeof(d->text) - d->used)
        return error_set(err, ERR_TOO_LARGE, "the status document is too long");
    memcpy(d->text + d->used, data, size);
    d->used += size;
    return ERR_OK;
}

static enum err print_page(struct mem_owner *mem, const struct document *d, bool again,
                           struct error *err)
{
    struct status_page *page = NULL;
    enum err rc = status_page_parse(&page, mem, bytes_of(d->text, d->used), err);
    if (rc)
        return rc;
    if (again)
        fputs("\033[H\033[2J", stdout); /* the page stays where it is */
    status_page_print(page, stdout, cli_bold(stdout)[0] != '\0');
    status_page_destroy(page);
    return ERR_OK;
}

/* One answer; exit_code is the node's. */
static enum err show(const char *data_dir, struct mem_owner *mem, bool json, bool watch,
                     int *exit_code, struct error *err)
{
    static struct document d; /* too large for the stack */
    static const char *const words[] = { "status", NULL };
    const struct client_output output = { to_document, &d };
    d.used = 0;
    enum err rc = client_run(data_dir, words, &output, exit_code, err);
    if (rc || *exit_code)
        return rc;
    if (!json)
        rc = print_page(mem, &d, watch && isatty(STDOUT_FILENO), err);
    else
        fwrite(d.text, 1, d.used, stdout);
    fflush(stdout);
    return rc;
}

int cmd_status(struct cli *cli)
{
    static struct config config;
    static const struct mem_row row = { "status", "refused", MEM_ELASTIC, 1 * MiB, 50, 50, true };
    bool json = false, watch = false;
    const struct config_flag flags[] = {
        { "json", NULL, "The document as it is, for programs.", &json, NULL },
        { "watch", NULL, "Show it again and again, until interrupted.", &watch, NULL },
        { NULL, NULL, NULL, NULL, NULL },
    };
    struct config_args args = { .flags = flags };
    struct error err = { ERR_OK, "" };
    struct mem_plan *plan = NULL;
    int exit_code = 0;
    if (!cli_load(cli, &config, &args))
        return cli->exit_code;
    enum err rc = mem_plan_create(&plan, 64 * MiB, &row, 1, &err);
    struct mem_owner *mem = rc ? NULL : mem_plan_find(plan, row.name);
    do {
        if (!rc)
            rc = show(config.data_dir, mem, json, watch, &exit_code, &err);
    } while (watch && !rc && !exit_code && !ferror(stdout) &&
             poll(NULL, 0, LIMIT_STATUS_WATCH_MS) == 0);
    mem_plan_destroy(plan);
    return rc ? cli_fail(&err) : exit_code;
}
