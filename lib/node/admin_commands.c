#include "node/admin_commands.h"

#include "base/mem.h"
#include "node/admin_backup.h"
#include "node/admin_keys.h"
#include "node/admin_reserve.h"
#include "node/node_state.h"
#include "node/status.h"

/* The document of /api/v1/status, which `larder status` makes its page of. */
struct status_answer {
    size_t at, size;
    char text[LIMIT_STATUS_BYTES];
};

static void status_gone(struct admin_session *s)
{
    mem_free(s->node->mem, s->state);
    admin_end(s, 0);
}

static void status_on(struct admin_session *s)
{
    struct status_answer *a = s->state;
    s->on_gone = NULL; /* not in the middle of this */
    while (a->at < a->size) {
        size_t n = MIN(a->size - a->at, LIMIT_ADMIN_OUTPUT_BYTES / 2);
        bool more = admin_write(s, ADMIN_OUT, a->text + a->at, n);
        a->at += n;
        if (!more && a->at < a->size && !admin_gone(s)) {
            s->on_gone = status_gone;
            return; /* until there is space */
        }
    }
    mem_free(s->node->mem, a);
    admin_end(s, 0);
}

static void start_status(struct admin_session *s)
{
    struct error err = { ERR_OK, "" };
    struct status_answer *a = mem_try_alloc(s->node->mem, sizeof(*a));
    if (!a) {
        mem_refused(s->node->mem, sizeof(*a), &err);
        admin_fail(s, &err);
        return;
    }
    if (status_write(node_status(s->node), a->text, sizeof(a->text), &a->size, &err)) {
        mem_free(s->node->mem, a);
        admin_fail(s, &err);
        return;
    }
    a->at = 0;
    s->state = a;
    s->on_space = status_on;
    status_on(s);
}

const struct admin_command admin_commands[] = {
    { "status", start_status, false },
    { "backup", admin_backup_start, false },
    { "keys", admin_keys_start, false },
    { "reserve", admin_reserve_start, false },
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
