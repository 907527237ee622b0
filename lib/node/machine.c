/* What stands before the first part of a node and falls after the last: the log, the plans, the
 * lock of the data directory, the loop, workers, the governor. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/version.h"
#include "core/governor.h"
#include "core/log.h"
#include "core/notify.h"
#include "core/signal.h"
#include "core/work.h"
#include "node/node_state.h"
#include "node/plan.h"

static void log_setup_at(const struct config *c, enum log_level level)
{
    const struct log_options options = {
        .level = level,
        .format = (enum log_format)c->log_format,
        .redact_addresses = c->log_redact_addresses,
    };
    log_setup(&options);
}

void machine_log_setup(const struct config *c)
{
    log_setup_at(c, (enum log_level)c->log_level);
}

void machine_log_setup_command(const struct config *c)
{
    bool asked = c->given_[OPTION_ID_log_level].source != OPTION_DEFAULT;
    log_setup_at(c, asked ? (enum log_level)c->log_level : LOG_LEVEL_WARNING);
}

void machine_log_report(struct option_report *report, enum log_level level)
{
    char *rest = NULL;
    for (char *line = strtok_r(report->text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        LOG_AT(level, NULL, "%s", line);
}

/* One is the error of the start; several are lines of the log. */
static enum err check_values(const struct config *c, struct error *err)
{
    static struct option_report report; /* too large for the stack */
    option_report_begin(&report);
    plan_values_check(c, &report);
    option_report_end(&report);
    if (report.errors == 0)
        return ERR_OK;
    if (report.errors == 1)
        return error_set(err, ERR_CONFIG, "%.*s", (int)strcspn(report.text, "\n"), report.text);
    machine_log_report(&report, LOG_LEVEL_ERROR);
    return error_set(err, ERR_CONFIG, "%" PRIu32 " errors in the configuration", report.errors);
}

static enum err create_plan(struct node *n, struct error *err)
{
    struct mem_row rows[PLAN_OWNERS_MAX];
    uint32_t count = plan_memory_rows(n->started, rows);
    uint64_t configured = n->started->memory;
    uint64_t effective = governor_effective_bytes(configured, "");
    if (effective < configured)
        log_warning("a control group's limit leaves %s of the memory setting of %s",
                    units_size_about(effective).text, units_size(configured).text);
    enum err rc = mem_plan_create(&n->plan, effective, rows, count, err);
    if (rc)
        return rc;
    n->mem = node_owner(n, "node");
    rc = mem_plan_check(n->plan, err);
    return rc ? rc : check_values(n->started, err);
}

static enum err create_loop(struct node *n, struct error *err)
{
    enum err rc = loop_create(&n->env.loop, err);
    if (rc)
        return rc;
    n->created_ms = loop_now_ms(n->env.loop);
    const struct work_options workers = {
        .read_workers = (uint32_t)n->started->read_workers,
        .cpu_workers = (uint32_t)n->started->cpu_workers,
        .on_thread_start = mem_arena_stores_enter,
    };
    return work_pool_create(&n->env.work, n->env.loop, &workers, err);
}

static void on_reload(void *ctx)
{
    reload_start(ctx);
}

static void on_terminate(void *ctx, const char *name)
{
    log_info("%s: stopping", name);
    node_stop(ctx);
}

static enum err create_watchers(struct node *n, const struct node_options *o, struct error *err)
{
    const struct signal_handlers handlers = { on_reload, on_terminate, n };
    const struct governor_options governor = { .plan = n->plan,
                                               .metrics = true,
                                               .root = "",
                                               .process_memory = o->process_memory,
                                               .ctx = o->process_memory_ctx };
    enum err rc = signals_create(&n->signals, n->env.loop, &handlers, err);
    if (!rc)
        rc = notify_create(&n->notify, n->env.loop, n->args->envp, err);
    if (!rc)
        rc = governor_create(&n->env.governor, n->env.loop, &governor, err);
    return rc;
}

enum err machine_create(struct node *n, const struct node_options *o, struct error *err)
{
    n->datadir = (struct datadir)DATADIR_NONE;
    machine_log_setup(n->started);
    enum err rc = create_plan(n, err);
    if (!rc)
        rc = plan_descriptors_raise(plan_descriptors_needed(n->started), err);
    if (!rc)
        rc = datadir_open(&n->datadir, n->started->data_dir, err);
    if (!rc)
        rc = create_loop(n, err);
    if (!rc)
        rc = create_watchers(n, o, err);
    if (!rc)
        log_info("larder %s with %s of memory", LARDER_VERSION,
                 units_size(n->plan->setting_bytes).text);
    return rc;
}

enum err node_admits(const struct node *n, struct error *err)
{
    const struct governor_sample *s = governor_sample(n->env.governor);
    if (governor_admits(n->env.governor))
        return ERR_OK;
    return error_set(err, ERR_BUDGET,
                     "new work waits: %s of memory are held of the setting of %s, and the mark for "
                     "that is at %s; try again when `larder status` says less",
                     units_size_about(s->held_bytes).text, units_size(n->plan->setting_bytes).text,
                     units_size_about(n->plan->setting_bytes - n->plan->slack_bytes / 4).text);
}

/* Who still holds memory is said before the plan asserts that nobody does. */
static void log_owners(const struct mem_plan *plan)
{
    if (plan->used_bytes == 0 && plan->used_peak_bytes > 0)
        log_info_with(LOG_FIELDS(log_uint("peak_bytes", plan->used_peak_bytes)),
                      "every owner at zero");
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->owners[i].used_bytes > 0)
            log_error("owner %s still holds %" PRIu64 " bytes", plan->owners[i].row.name,
                      plan->owners[i].used_bytes);
}

void machine_destroy(struct node *n)
{
    governor_destroy(n->env.governor);
    notify_destroy(n->notify);
    signals_destroy(n->signals);
    work_pool_destroy(n->env.work);
    loop_destroy(n->env.loop);
    if (n->plan)
        log_owners(n->plan);
    mem_plan_destroy(n->plan);
    datadir_close(&n->datadir);
}
