#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "core/config.h"
#include "core/metrics.h"
#include "node/node_state.h"
#include "node/node_stores.h"
#include "node/status.h"
#include "store/statestore.h"

/* A node of status and stores, and a part above them that uses the stores as others will. */
static struct config config;
static struct timer timer;
static struct rlimit old_limit;
static struct state_put put;
static uint8_t value[LIMIT_STATE_VALUE_BYTES];
static struct node *node;
static int failures, writes, rounds;

static void page_make(void)
{
    char buf[LIMIT_METRICS_PIECE_BYTES];
    struct metrics_page page;
    metrics_page_begin(&page);
    while (metrics_page_next(&page, buf, sizeof(buf)) > 0)
        continue;
}

static int64_t metric_of(enum metric m)
{
    return metric_get_by(m, METRIC_STORE_state);
}

static void on_put(struct state_put *req UNUSED, const struct error *err)
{
    struct error why = { ERR_OK, "" };
    failures += err != NULL;
    writes += err == NULL;
    page_make();
    if (err) { /* the disk is full now; it is well again for the next round */
        check(err->code == ERR_IO, err->text);
        check(!stores_ready(node_stores(node), &why), "degraded");
        check(metric_of(METRIC_store_writable) == 0, "and a metric says so");
        setrlimit(RLIMIT_FSIZE, &old_limit);
    }
    timer_set(&timer, err ? 500 : 1);
}

/* Writes until one fails, and then until one succeeds again. */
static void next_round(struct timer *t UNUSED)
{
    check(++rounds < 1000, "in time");
    if (failures > 0 && metric_of(METRIC_store_reopened_total) == 1) {
        check(metric_of(METRIC_store_writable) == 1, "it takes writes again");
        raise(SIGTERM);
        return;
    }
    put = (struct state_put){ .key = { STATE_NODE, bytes_of("test", 4) },
                              .value = bytes_of(value, sizeof(value)),
                              .cb = on_put };
    state_put(node_statestore(node), &put);
}

static enum err upper_start(struct node *n, struct error *err UNUSED)
{
    struct rlimit limit;
    struct error why = { ERR_OK, "" };
    check(node_stores(n) && node_statestore(n), "the part below has started");
    check(stores_ready(node_stores(n), &why), why.text);
    page_make();
    check(metric_get(METRIC_disk_free_bytes) > 0, "free space");
    check(metric_of(METRIC_store_memory_bytes) == 2 * MiB, "its row's part");
    check(metric_of(METRIC_store_written_bytes_total) > 0, "the format record");
    check(metric_of(METRIC_store_syncs_total) > 0, "synced");
    getrlimit(RLIMIT_FSIZE, &old_limit);
    limit = old_limit;
    limit.rlim_cur = 20 * KiB;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    timer_init(&timer, node_env(n)->loop, next_round, "next_round");
    timer_set(&timer, 1);
    return ERR_OK;
}

static void upper_stop(struct node *n UNUSED)
{
    timer_set(&timer, 0);
}

static const struct node_part parts[] = {
    { "status", status_part_start, NULL, NULL, NULL, status_part_stop },
    { "stores", stores_part_start, NULL, NULL, NULL, stores_part_stop },
    { "upper", upper_start, NULL, NULL, NULL, upper_stop },
};

static void config_make(struct config_args *args, char *const *argv)
{
    static struct option_report report;
    static char home[] = "HOME=/nowhere";
    static char *envp[] = { home, NULL };
    *args =
        (struct config_args){ .argv = (char **)(uintptr_t)argv, .envp = envp, .all_options = true };
    check(config_load(&config, args, &report), report.text);
}

TEST(stores_live_with_the_node_and_through_a_failing_disk)
{
    char dir[256], free_disk[] = "--min-free-disk=0";
    struct config_args args;
    struct error err = { ERR_OK, "" };
    snprintf(dir, sizeof(dir), "--data-dir=%s/node", unit_temp_dir());
    char *argv[] = { dir, free_disk, NULL };
    config_make(&args, argv);
    const struct node_options options = {
        .config = &config, .args = &args, .parts = parts, .parts_count = ARRAY_SIZE(parts)
    };
    check(!node_create(&node, &options, &err), err.text);
    enum err rc = node_run(node, &err);
    node_destroy(node);
    check(rc == ERR_OK, err.text);
    check(failures >= 1 && writes >= 2, "it failed and recovered");
}

TEST(the_plan_of_disk_has_a_row_per_store)
{
    struct config_args args;
    char *argv[] = { NULL };
    struct plan_disk_row row;
    config_make(&args, argv);
    check(plan_disk_row(&config, 0, &row) && !strcmp(row.name, "state"), "the first store");
    check(row.bytes > 0 && row.sentence[0], "what it will need, and for what");
    check(plan_disk_row(&config, METRIC_STORES, &row) && row.bytes == 0, "slabs: swarm is off");
    check(!plan_disk_row(&config, METRIC_STORES + 1, &row), "no more");
}
