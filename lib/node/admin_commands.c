#include "node/admin_commands.h"

#include "base/mem.h"
#include "node/admin_backup.h"
#include "node/admin_keys.h"
#include "node/admin_p2p.h"
#include "node/admin_reserve.h"
#include "node/admin_text.h"
#include "node/admin_provide.h"
#include "node/node_state.h"
#include "node/status.h"

/* The document of /api/v1/status, which `larder status` makes its page of. */
static void start_status(struct admin_session *s)
{
    struct error err = { ERR_OK, "" };
    struct admin_text *t = admin_text_make(s, LIMIT_STATUS_BYTES);
    if (!t)
        return;
    if (!status_write(node_status(s->node), t->text, t->room, &t->size, &err)) {
        admin_text_send(s, t);
        return;
    }
    mem_free(s->node->mem, t);
    admin_fail(s, &err);
}

const struct admin_command admin_commands[] = {
    { "status", start_status, false },
    { "backup", admin_backup_start, false },
    { "keys", admin_keys_start, false },
    { "reserve", admin_reserve_start, false },
    { "peers", admin_peers_start, false },
    { "ping", admin_ping_start, false },
    { "identify", admin_identify_start, false },
    { "provide", admin_provide_start, false },
    { "find-providers", admin_find_providers_start, false },
    { NULL, NULL, false },
};

static void on_idle(void *ctx)
{
    struct node *n = ctx;
    node_release(n, &n->admin_hold, NULL);
}

enum err admin_part_start(struct node *n, struct error *err)
{
    const struct admin_options options = {
        .node = n,
        .loop = n->env.loop,
        .mem = n->mem,
        .dir = n->started->data_dir,
        .dir_fd = n->datadir.fd,
    };
    return admin_create(&n->admin, &options, err);
}

void admin_part_drain(struct node *n)
{
    if (n->admin && admin_close(n->admin, false, on_idle, n))
        node_hold(n, &n->admin_hold, "commands on the control socket");
}

void admin_part_cancel(struct node *n)
{
    if (n->admin)
        (void)admin_close(n->admin, true, on_idle,
                          n); /* drain holds the node already, or need not */
}

void admin_part_stop(struct node *n)
{
    admin_destroy(n->admin);
    n->admin = NULL;
}
