#include "node/admin_commands.h"

#include "base/mem.h"
#include "node/admin_backup.h"
#include "node/node_state.h"

/* Memory by owner: what the plan says, and what is used. */
static void start_memory(struct admin_session *s)
{
    const struct mem_plan *plan = node_plan(s->node);
    admin_print(s, "%-10s %10s %10s %10s %10s\n", "owner", "used", "peak", "share", "ceiling");
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct mem_owner *o = &plan->owners[i];
        if (!o->row.enabled)
            continue;
        admin_print(s, "%-10s %10s %10s %10s %10s\n", o->row.name,
                    units_size_about(o->used_bytes).text, units_size_about(o->peak_bytes).text,
                    units_size_about(o->share_bytes).text, units_size_about(o->ceiling_bytes).text);
    }
    admin_end(s, 0);
}

const struct admin_command admin_commands[] = {
    { "memory", start_memory, false },
    { "backup", admin_backup_start, false },
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
