/* Says what is wrong with a configuration, or what a node would take with it. */
#include <string.h>

#include "base/mem.h"
#include "cli.h"
#include "core/governor.h"
#include "node/advice.h"
#include "node/batches_check.h"
#include "node/node_stores.h"
#include "node/p2p.h"
#include "node/plan.h"
#include "node/swarm.h"

static const char *source_name(enum option_source source)
{
    switch (source) {
    case OPTION_DEFAULT:
        return "default";
    case OPTION_FILE:
        return "file";
    case OPTION_ENVIRONMENT:
        return "environment";
    case OPTION_FLAG:
        return "flag";
    }
    return "";
}

static void print_given(struct config *c)
{
    struct option_target t = config_target(c, NULL);
    printf("%sconfiguration%s: %s\n", cli_bold(stdout), cli_plain(stdout),
           c->file ? c->file : "no file; flags, environment and defaults");
    for (const struct option_row *row = t.rows; row < t.rows + t.count; row++) {
        const struct option_given *given = &t.given[row - t.rows];
        char value[512], where[32] = "";
        if (given->source == OPTION_DEFAULT)
            continue;
        option_print(&t, row, value, sizeof(value));
        if (given->source == OPTION_FILE)
            snprintf(where, sizeof(where), " line %u", given->line);
        printf("  %s: %s  (%s%s)\n", option_name(row).text, value, source_name(given->source),
               where);
    }
    for (const struct option_row *row = t.rows; row < t.rows + t.count; row++)
        if (t.given[row - t.rows].source != OPTION_DEFAULT && !option_has_effect(&t, row))
            printf("  %s has no effect: %s is off\n", option_name(row).text,
                   option_name(&t.rows[option_section(&t, row)->enabled_by]).text);
    printf("  data directory: %s\n", c->data_dir);
}

static void print_memory(const struct config *c, const struct mem_plan *plan)
{
    printf("\n%smemory%s: %s", cli_bold(stdout), cli_plain(stdout), units_size(c->memory).text);
    if (plan->setting_bytes < c->memory)
        printf(", of which a control group leaves %s", units_size_about(plan->setting_bytes).text);
    printf("\n  %-10s %-8s %10s %10s %10s  %s\n", "owner", "kind", "floor", "share", "ceiling",
           "at its limit");
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct mem_owner *o = &plan->owners[i];
        if (o->row.enabled)
            printf("  %-10s %-8s %10s %10s %10s  %s\n", o->row.name,
                   o->row.kind == MEM_FIXED ? "fixed" : "elastic",
                   units_size_about(o->row.floor_bytes).text, units_size_about(o->share_bytes).text,
                   units_size_about(o->ceiling_bytes).text, o->row.at_limit);
    }
    printf("  %-10s %-8s %10s %10s %10s  %s\n", "slack", "watched",
           units_size_about(plan->slack_bytes).text, units_size_about(plan->slack_bytes).text, "-",
           "larder_memory_unaccounted_bytes shows it");
    printf("  floors and slack need %s of %s\n", units_size_about(mem_plan_needed_bytes(plan)).text,
           units_size_about(plan->setting_bytes).text);
}

static void print_descriptors(const struct config *c)
{
    struct plan_descriptors_row row;
    printf("\n%sfile descriptors%s: %" PRIu64 "\n", cli_bold(stdout), cli_plain(stdout),
           plan_descriptors_needed(c));
    for (uint32_t i = 0; plan_descriptors_row(c, i, &row); i++)
        if (row.count > 0)
            printf("  %-10s %6" PRIu64 "  %s\n", row.name, row.count, row.sentence);
}

static void print_disk(const struct config *c)
{
    struct plan_disk_row row;
    printf("\n%sdisk%s: writes stop below %s of free space\n", cli_bold(stdout), cli_plain(stdout),
           units_size(c->min_free_disk).text);
    for (uint32_t i = 0; plan_disk_row(c, i, &row); i++)
        if (row.bytes > 0)
            printf("  %-10s %10s  %s\n", row.name, units_size_about(row.bytes).text, row.sentence);
}

/* The plan is shown whether it holds or not. */
static enum err check_plans(struct config *c, struct option_report *report)
{
    struct mem_row rows[PLAN_OWNERS_MAX];
    struct mem_plan *plan = NULL;
    struct error err;
    uint32_t count = plan_memory_rows(c, rows);
    enum err rc =
        mem_plan_create(&plan, governor_effective_bytes(c->memory, ""), rows, count, &err);
    if (!rc) {
        print_memory(c, plan);
        print_descriptors(c);
        print_disk(c);
        rc = mem_plan_check(plan, &err);
    }
    mem_plan_destroy(plan);
    if (rc)
        option_report_add(report, "%s", err.text);
    enum err descriptors = plan_descriptors_check(plan_descriptors_needed(c), &err);
    if (descriptors)
        option_report_add(report, "%s", err.text);
    return rc ? rc : descriptors;
}

static void print_advice(const struct config *c)
{
    static struct option_report report;
    option_report_begin(&report);
    advice_collect(c, &report);
    option_report_end(&report);
    if (report.errors > 0)
        printf("\n%swarnings%s:\n", cli_bold(stdout), cli_plain(stdout));
    char *rest = NULL;
    for (char *line = strtok_r(report.text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        cli_print_wrapped(stdout, "  ", line);
}

/* Errors of the file do not hide those that only a look at files and numbers finds: all are said
 * in one run. */
int cmd_check_config(struct cli *cli)
{
    static struct config config;
    static struct option_report parsed, judged;
    struct config_args args = { .all_options = true };
    enum err rc = ERR_OK;
    uint32_t batches = 0, of_plans = 0;
    if (!cli_read(cli, &config, &args, &parsed))
        return cli->exit_code;
    option_report_begin(&judged);
    if (parsed.errors == 0) {
        print_given(&config);
        rc = check_plans(&config, &judged);
        of_plans = judged.errors;
        p2p_identity_check(&config, &judged); /* in data-dir, which is known now */
        swarm_identity_check(&config, &judged);
    }
    plan_values_check(&config, &judged);
    batches_check(&config, &batches, &judged);
    option_report_end(&judged);
    if (parsed.errors + judged.errors > 0) {
        fflush(stdout);
        fprintf(stderr, "%s%s", parsed.text, judged.text);
        int exit_code = cli_fail_config(parsed.errors + judged.errors);
        bool plans_alone = parsed.errors == 0 && judged.errors == of_plans;
        return plans_alone ? err_exit_code(rc) : exit_code;
    }
    if (batches > 0)
        printf("\n%sbatches%s: %" PRIu32 " in %s\n", cli_bold(stdout), cli_plain(stdout), batches,
               config.batches);
    print_advice(&config);
    printf("\nthe configuration is good\n");
    return 0;
}
