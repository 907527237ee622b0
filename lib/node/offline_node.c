#include "node/offline_node.h"

#include <stdio.h>

#include "core/log.h"
#include "node/admin.h"
#include "node/client.h"
#include "node/node_state.h"
#include "node/node_stores.h"
#include "node/p2p.h"
#include "node/status.h"
#include "node/swarm.h"

/* In the place of the listeners: the client of our own control socket, on a worker. */
struct offline_node {
    struct offline_command *command;
    struct node *node;
    struct work work;
    struct node_hold hold;
    bool out;
};

/* Worker: a client like any other. */
static enum err client_job(struct work *w, struct error *err)
{
    struct offline_node *o = container_of(w, struct offline_node, work);
    return client_run(o->node->started->data_dir, o->command->words, NULL, &o->command->exit_code,
                      err);
}

static void client_done(struct work *w, const struct error *err)
{
    struct offline_node *o = container_of(w, struct offline_node, work);
    o->out = false;
    if (o->node->phase != NODE_RUNNING)
        node_release(o->node, &o->hold, NULL);
    else if (err)
        node_fail(o->node, err);
    else
        node_stop(o->node);
    if (err && o->command->exit_code == 0)
        o->command->exit_code = err_exit_code(err->code);
}

static void command_start(struct timer *t)
{
    struct node *n = container_of(t, struct node, offline_timer);
    if (n->phase != NODE_RUNNING) {
        timer_set(t, n->phase == NODE_STARTING ? 1 : 0);
        return;
    }
    n->offline->out = true;
    work_submit(n->env.work, &n->offline->work, WORK_READ, client_job, client_done);
}

/* When all is up. */
static enum err command_part_start(struct node *n, struct error *err UNUSED)
{
    timer_init(&n->offline_timer, n->env.loop, command_start, "command_start");
    timer_set(&n->offline_timer, 1);
    return ERR_OK;
}

static void command_part_drain(struct node *n)
{
    timer_set(&n->offline_timer, 0);
    if (n->offline->out)
        node_hold(n, &n->offline->hold, "the command");
}

/* An address turns the host on; p2p.c does not listen when it runs for one command. */
static void only_dial(struct config *c)
{
    static const char *any[] = { "/ip4/127.0.0.1/tcp/0" };
    c->p2p_addr = (struct option_list){ any, 1 };
    c->swarm = c->reprovide = false;
}

enum err offline_node_run(struct config *c, struct offline_command *command, struct error *err)
{
    static char *no_env[] = { NULL };
    static const struct node_part parts[] = {
        { "status", status_part_start, NULL, NULL, NULL, status_part_stop },
        { "stores", stores_part_start, NULL, NULL, NULL, stores_part_stop },
        { "swarm", swarm_part_start, NULL, swarm_part_drain, NULL, swarm_part_stop },
        { "control socket", admin_part_start, NULL, admin_part_drain, admin_part_cancel,
          admin_part_stop },
        { "command", command_part_start, NULL, command_part_drain, NULL, NULL },
    };
    static const struct node_part dialing_parts[] = {
        { "status", status_part_start, NULL, NULL, NULL, status_part_stop },
        { "stores", stores_part_start, NULL, NULL, NULL, stores_part_stop },
        { "libp2p", p2p_part_start, NULL, p2p_part_drain, p2p_part_cancel, p2p_part_stop },
        { "control socket", admin_part_start, NULL, admin_part_drain, admin_part_cancel,
          admin_part_stop },
        { "command", command_part_start, NULL, command_part_drain, NULL, NULL },
    };
    struct offline_node o = { .command = command };
    struct config_args args = { .argv = no_env, .envp = no_env };
    struct node_options options = {
        .config = c, .args = &args, .parts = parts, .parts_count = ARRAY_SIZE(parts)
    };
    if (command->dials) {
        options.parts = dialing_parts;
        options.parts_count = ARRAY_SIZE(dialing_parts);
        only_dial(c);
    }
    if (c->given_[OPTION_ID_log_level].source == OPTION_DEFAULT)
        c->log_level = LOG_LEVEL_WARNING;
    c->read_workers++; /* the client has one for itself */
    enum err rc = node_create(&o.node, &options, err);
    if (rc) {
        node_destroy(o.node);
        return rc;
    }
    o.node->offline = &o;
    if (command->repair)
        node_swarm_repair(o.node);
    rc = node_run(o.node, err);
    node_destroy(o.node);
    return rc;
}
