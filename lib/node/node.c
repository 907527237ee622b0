#include "node/node_state.h"

#include <signal.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/version.h"
#include "core/log.h"
#include "core/notify.h"
#include "core/signal.h"
#include "node/admin.h"
#include "node/facts.h"
#include "node/node_stores.h"
#include "node/p2p.h"
#include "node/reprovide.h"
#include "node/scrape.h"
#include "node/status.h"
#include "node/swarm.h"
#include "node/swarm_net.h"
#include "node/swarm_pull.h"

/* In the order of start; stopped in reverse. A subsystem adds a row. */
static const struct node_part node_parts[] = {
    { "status", status_part_start, NULL, NULL, NULL, status_part_stop },
    /* Before the stores, whose opening may take a while: /readyz says so. */
    { "http", scrape_part_start, NULL, NULL, NULL, scrape_part_stop },
    { "stores", stores_part_start, NULL, NULL, NULL, stores_part_stop },
    { "swarm", swarm_part_start, swarm_part_reload, swarm_part_drain, NULL, swarm_part_stop },
    { "memory of Swarm peers", swarm_net_memory_start, NULL, NULL, NULL, swarm_net_memory_stop },
    { "libp2p", p2p_part_start, NULL, p2p_part_drain, p2p_part_cancel, p2p_part_stop },
    { "Swarm peers", swarm_net_part_start, swarm_net_part_reload, swarm_net_part_drain, NULL,
      swarm_net_part_stop },
    { "pulling from peers", swarm_pull_part_start, swarm_pull_part_reload, swarm_pull_part_drain,
      NULL, swarm_pull_part_stop },
    { "reprovide", reprovide_part_start, NULL, reprovide_part_drain, NULL, reprovide_part_stop },
    { "control socket", admin_part_start, NULL, admin_part_drain, admin_part_cancel,
      admin_part_stop },
};

/* What canceled work and the stores may need to end; the unit's own limit is less than the longest
 * shutdown-deadline. */
enum { STOP_AFTER_DEADLINE_MS = 20000 };

static void step(struct deferred *d);

static void step_soon(struct node *n)
{
    if (!deferred_pending(&n->step))
        loop_defer(n->env.loop, &n->step, step);
}

void node_hold(struct node *n, struct node_hold *hold, const char *what)
{
    hold->what_ = what;
    list_append(&n->holds, &hold->link_);
}

void node_release(struct node *n, struct node_hold *hold, const struct error *err)
{
    list_remove(&hold->link_);
    if (err && !n->failure.code)
        n->failure = *err;
    if (n->phase != NODE_RUNNING)
        step_soon(n);
}

static void log_holds(struct node *n)
{
    for (struct list *at = n->holds.next; at != &n->holds; at = at->next)
        log_info("still running: %s", container_of(at, struct node_hold, link_)->what_);
}

static void each_part(struct node *n, void (*pick)(const struct node_part *part, struct node *n))
{
    for (uint32_t i = n->parts_started; i-- > 0;)
        pick(&n->parts[i], n);
}

static void drain_part(const struct node_part *part, struct node *n)
{
    if (part->drain)
        part->drain(n);
}

static void cancel_part(const struct node_part *part, struct node *n)
{
    if (part->cancel)
        part->cancel(n);
}

static void cancel_rest(struct node *n)
{
    n->phase = NODE_CANCELING;
    timer_set(&n->deadline, 0);
    log_holds(n);
    each_part(n, cancel_part);
    step_soon(n);
}

static void deadline_passed(struct timer *t)
{
    struct node *n = container_of(t, struct node, deadline);
    log_warning("shutdown-deadline has passed; what still runs is canceled");
    cancel_rest(n);
}

static void drain(struct node *n)
{
    n->phase = NODE_DRAINING;
    notify_stopping(n->notify);
    notify_status(n->notify, "stopping");
    each_part(n, drain_part);
    uint64_t wait_ms = node_config(n)->shutdown_deadline;
    notify_extend(n->notify, wait_ms + STOP_AFTER_DEADLINE_MS);
    if (list_empty(&n->holds))
        step_soon(n);
    else if (wait_ms == 0)
        cancel_rest(n);
    else
        timer_set(&n->deadline, wait_ms);
}

void node_stop(struct node *n)
{
    switch (n->phase) {
    case NODE_STARTING: /* the part that starts now ends its start first */
        n->asked_to_stop = true;
        step_soon(n);
        return;
    case NODE_RUNNING:
        drain(n);
        return;
    case NODE_DRAINING:
        log_info("asked again: not waiting any longer");
        cancel_rest(n);
        return;
    case NODE_CANCELING:
    case NODE_STOPPING:
        return;
    }
}

void node_fail(struct node *n, const struct error *err)
{
    assert(err->code);
    if (!n->failure.code) {
        n->failure = *err;
        log_error("stopping: %s", err->text);
    }
    if (n->phase == NODE_STARTING || n->phase == NODE_RUNNING)
        node_stop(n);
}

static void become_ready(struct node *n)
{
    n->phase = NODE_RUNNING;
    notify_ready(n->notify);
    notify_status(n->notify, "ready");
    log_info_with(LOG_FIELDS(log_uint("ms", loop_now_ms(n->env.loop) - n->created_ms),
                             log_text("data_dir", n->started->data_dir)),
                  "ready");
}

static void facts_written(void *ctx)
{
    struct node *n = ctx;
    node_release(n, &n->facts_hold, NULL);
}

/* True: the node is held until node.json is as it shall be. */
static bool wait_for_facts(struct node *n)
{
    if (!facts_wait(n->facts, facts_written, n))
        return false;
    node_hold(n, &n->facts_hold, "writing node.json");
    return true;
}

static void start_next(struct node *n)
{
    if (n->failure.code || n->asked_to_stop) {
        drain(n);
    } else if (n->parts_started == n->parts_count && n->published) {
        become_ready(n);
    } else if (n->parts_started == n->parts_count) {
        n->published = true; /* who hears READY finds the file */
        facts_publish(n->facts);
        if (!wait_for_facts(n))
            step_soon(n);
    } else {
        const struct node_part *part = &n->parts[n->parts_started++];
        struct error err = { ERR_OK, "" };
        if (part->start(n, &err) && !n->failure.code)
            n->failure = err;
        if (list_empty(&n->holds))
            step_soon(n);
    }
}

/* Of this thread; threads that start meanwhile keep it. */
static void block_signals(bool block)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* One more signal shall not kill what is all but gone: its owners are still to be checked. Blocked,
 * because closing a watcher puts back the default, which kills, for a moment. */
static void ignore_signals(struct node *n)
{
    block_signals(true);
    signals_destroy(n->signals);
    n->signals = NULL;
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    block_signals(false);
}

static void stop_next(struct node *n)
{
    if (n->parts_started == 0) {
        if (wait_for_facts(n))
            return;
        ignore_signals(n);
        loop_stop(n->env.loop);
        return;
    }
    const struct node_part *part = &n->parts[--n->parts_started];
    if (part->stop)
        part->stop(n);
    if (list_empty(&n->holds))
        step_soon(n);
}

static void step(struct deferred *d)
{
    struct node *n = container_of(d, struct node, step);
    if (!list_empty(&n->holds))
        return; /* the last release comes back here */
    switch (n->phase) {
    case NODE_STARTING:
        start_next(n);
        return;
    case NODE_RUNNING:
        return;
    case NODE_DRAINING:
    case NODE_CANCELING:
        timer_set(&n->deadline, 0);
        n->phase = NODE_STOPPING;
        step_soon(n);
        return;
    case NODE_STOPPING:
        stop_next(n);
        return;
    }
}

void node_reload_parts(struct node *n)
{
    for (uint32_t i = 0; i < n->parts_started; i++)
        if (n->parts[i].reload)
            n->parts[i].reload(n);
}

enum err node_create(struct node **out, const struct node_options *options, struct error *err)
{
    struct node *n = mem_machine_zalloc(sizeof(*n));
    n->started = n->env.config = options->config;
    n->args = options->args;
    n->parts = options->parts ? options->parts : node_parts;
    n->parts_count = options->parts ? options->parts_count : ARRAY_SIZE(node_parts);
    list_init(&n->holds);
    enum err rc = machine_create(n, options, err);
    if (!rc)
        rc = facts_create(&n->facts, n->mem, n->env.work, &n->datadir, err);
    if (rc) {
        node_destroy(n);
        return rc;
    }
    timer_init(&n->deadline, n->env.loop, deadline_passed, "deadline_passed");
    *out = n;
    return ERR_OK;
}

static enum err run_nothing(struct work *w UNUSED, struct error *err UNUSED)
{
    return ERR_OK;
}

static void threads_started(struct work *w, const struct error *err)
{
    struct node *n = container_of(w, struct node, first_job);
    node_release(n, &n->first_job_hold, err);
}

enum err node_run(struct node *n, struct error *err)
{
    assert(n->phase == NODE_STARTING && n->parts_started == 0);
    /* The first job waits until every thread has started: milliseconds that no callback may take.
     */
    node_hold(n, &n->first_job_hold, "starting threads");
    block_signals(true); /* in those threads: signals are the loop's */
    work_submit(n->env.work, &n->first_job, WORK_CPU, run_nothing, threads_started);
    block_signals(false);
    loop_run(n->env.loop);
    assert(n->phase == NODE_STOPPING && n->parts_started == 0 && list_empty(&n->holds));
    if (n->failure.code)
        return error_set(err, n->failure.code, "%s", n->failure.text);
    return ERR_OK;
}

void node_destroy(struct node *n)
{
    if (!n)
        return;
    reload_destroy(n);
    facts_destroy(n->facts);
    machine_destroy(n);
    mem_machine_free(n);
}

struct env *node_env(struct node *n)
{
    return &n->env;
}

const struct config *node_config(const struct node *n)
{
    return n->env.config;
}

struct mem_plan *node_plan(struct node *n)
{
    return n->plan;
}

struct mem_owner *node_owner(struct node *n, const char *name)
{
    struct mem_owner *owner = mem_plan_find(n->plan, name);
    assert(owner);
    return owner;
}

const struct datadir *node_datadir(const struct node *n)
{
    return &n->datadir;
}

struct notify *node_notify(struct node *n)
{
    return n->notify;
}

struct facts *node_facts(struct node *n)
{
    return n->facts;
}

uint64_t node_started_ms(const struct node *n)
{
    return n->created_ms;
}

enum node_phase node_phase(const struct node *n)
{
    return n->phase;
}

const char *node_phase_name(enum node_phase phase)
{
    switch (phase) {
    case NODE_STARTING:
        return "starting";
    case NODE_RUNNING:
        return "ready";
    case NODE_DRAINING:
    case NODE_CANCELING:
    case NODE_STOPPING:
        return "stopping";
    }
    return "";
}
