#include "node/admin_backup.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/units.h"
#include "node/admin_commands.h"
#include "node/node_state.h"
#include "node/node_stores.h"
#include "node/swarm.h"
#include "store/backup.h"
#include "store/slab.h"

enum { PROGRESS_EVERY_MS = 1000 };

struct backup_command {
    struct admin_session *session;
    struct backup *backup;
    uint64_t printed_ms; /* when */
    bool full;           /* the reader is slow: no progress until there is room */
};

static void on_progress(void *ctx, const struct backup_progress *now)
{
    struct backup_command *c = ctx;
    uint64_t now_ms = loop_now_ms(node_env(c->session->node)->loop);
    if (c->full || (!now->finished && now_ms - c->printed_ms < PROGRESS_EVERY_MS))
        return;
    c->printed_ms = now_ms;
    c->full = !admin_print(c->session, "%s: %" PRIu64 " records, %s%s\n", now->store, now->records,
                           units_size_about(now->bytes).text, now->finished ? ", done" : "");
}

static void on_space(struct admin_session *s)
{
    struct backup_command *c = s->state;
    c->full = false;
}

static void on_gone(struct admin_session *s)
{
    struct backup_command *c = s->state;
    backup_cancel(c->backup);
}

static void on_done(void *ctx, const struct error *err)
{
    struct backup_command *c = ctx;
    struct admin_session *s = c->session;
    struct error failure = { ERR_OK, "" };
    if (err)
        failure = *err; /* it is the backup's */
    backup_destroy(c->backup);
    s->state = NULL;
    s->on_gone = NULL;
    s->on_space = NULL;
    mem_free(node_owner(s->node, "node"), c);
    if (failure.code)
        admin_fail_path(s, &failure);
    else
        admin_end(s, 0);
}

static enum err start(struct admin_session *s, struct backup_command *c, struct error *err)
{
    struct node *n = s->node;
    if (!node_stores(n))
        return error_set(err, ERR_LIMIT, "the stores are not open");
    char slabs[LIMIT_PATH_BYTES];
    snprintf(slabs, sizeof(slabs), "%s/" SLAB_DIR_NAME, node_env(n)->config->data_dir);
    const struct backup_options options = {
        .stores = node_stores(n),
        .loop = node_env(n)->loop,
        .work = node_env(n)->work,
        .mem = node_owner(n, "node"),
        .dir = s->argv[0],
        .slab_dir = node_reserve(n) ? slabs : NULL,
        .reserve = node_reserve(n),
        .data_dir = n->started->data_dir,
        .identity = datadir_identity,
        .progress = on_progress,
        .done = on_done,
        .ctx = c,
    };
    return backup_start(&c->backup, &options, err);
}

void admin_backup_start(struct admin_session *s)
{
    struct error err = { ERR_OK, "" };
    if (s->argc != 1 || s->argv[0][0] != '/') {
        error_set(&err, ERR_USAGE, "backup takes the absolute path of a folder");
        admin_fail(s, &err);
        return;
    }
    struct backup_command *c = mem_zalloc(node_owner(s->node, "node"), sizeof(*c));
    c->session = s;
    if (start(s, c, &err)) {
        mem_free(node_owner(s->node, "node"), c);
        admin_fail(s, &err);
        return;
    }
    s->state = c;
    s->on_space = on_space;
    s->on_gone = on_gone;
}
