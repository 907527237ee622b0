/* SIGHUP: the whole configuration is read into a second struct on a worker; only one without error
 * replaces the one that runs. */
#include "base/mem.h"
#include "core/governor.h"
#include "core/log.h"
#include "core/notify.h"
#include "core/work.h"
#include "node/node_state.h"
#include "node/plan.h"

struct reload {
    struct node *node;
    struct work work;
    struct node_hold hold;
    bool again;  /* asked while one was under way */
    bool loaded; /* by the worker */
    struct config_args args;
    struct option_report report;
    unsigned next; /* which of configs is free: the other one may be what runs */
    struct config configs[2];
};

static enum err run_load(struct work *w, struct error *err UNUSED)
{
    struct reload *r = container_of(w, struct reload, work);
    r->loaded = config_load(&r->configs[r->next], &r->args, &r->report);
    if (r->loaded) {
        plan_values_check(&r->configs[r->next], &r->report);
        option_report_end(&r->report);
        r->loaded = r->report.errors == 0;
    }
    return ERR_OK; /* what is wrong is told by the report */
}

/* Rows that only a restart applies are checked too: that restart should work. */
static enum err check_plans(const struct config *next, struct error *err)
{
    struct mem_row rows[PLAN_OWNERS_MAX];
    struct mem_plan *plan = NULL;
    uint32_t count = plan_memory_rows(next, rows);
    uint64_t effective = governor_effective_bytes(next->memory, "");
    enum err rc = mem_plan_create(&plan, effective, rows, count, err);
    if (!rc)
        rc = mem_plan_check(plan, err);
    mem_plan_destroy(plan);
    if (!rc)
        rc = plan_descriptors_check(plan_descriptors_needed(next), err);
    return rc;
}

static void tell_change(void *ctx, const struct option_row *row, bool applied)
{
    struct reload *r = ctx;
    char value[128];
    struct option_target t = config_target(&r->configs[r->next], NULL);
    option_print(&t, row, value, sizeof(value));
    if (applied)
        log_info("%s is now %s", option_name(row).text, value);
    else
        log_warning("%s: the change to %s needs a restart", option_name(row).text, value);
}

static void apply(struct reload *r)
{
    struct node *n = r->node;
    struct error err = { ERR_OK, "" };
    if (!r->loaded)
        machine_log_report(&r->report, LOG_LEVEL_ERROR);
    if (!r->loaded || check_plans(&r->configs[r->next], &err)) {
        if (err.code)
            log_error("%s", err.text);
        log_error("the configuration is not applied; the old one stays");
        return;
    }
    config_reload(&r->configs[r->next], n->env.config, n->started, tell_change, r);
    n->env.config = &r->configs[r->next];
    r->next ^= 1;
    machine_log_setup(n->env.config);
    node_reload_parts(n);
    log_info("the configuration is applied");
}

static void load_done(struct work *w, const struct error *err)
{
    struct reload *r = container_of(w, struct reload, work);
    struct node *n = r->node;
    if (err)
        log_error("reading the configuration: %s", err->text);
    else if (n->phase == NODE_RUNNING)
        apply(r);
    if (n->phase == NODE_RUNNING) /* else STOPPING was the last word */
        notify_ready(n->notify);
    bool again = r->again && n->phase == NODE_RUNNING;
    r->again = false;
    node_release(n, &r->hold, NULL);
    if (again)
        reload_start(n);
}

void reload_start(struct node *n)
{
    if (n->phase != NODE_RUNNING) {
        log_info("SIGHUP: the node is %s; nothing is reloaded", node_phase_name(n->phase));
        return;
    }
    if (!n->reload) {
        n->reload = mem_try_zalloc(n->mem, sizeof(*n->reload));
        if (!n->reload) {
            log_error("SIGHUP: no memory to read the configuration");
            return;
        }
        n->reload->node = n;
    }
    struct reload *r = n->reload;
    if (work_pending(&r->work)) {
        r->again = true;
        return;
    }
    notify_reloading(n->notify);
    node_hold(n, &r->hold, "reading the configuration");
    r->args = *n->args;
    work_submit(n->env.work, &r->work, WORK_READ, run_load, load_done);
}

void reload_destroy(struct node *n)
{
    if (n->reload)
        mem_free(n->mem, n->reload);
    n->reload = NULL;
}
