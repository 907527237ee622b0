#include "node_bed.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "core/metrics.h"
#include "node/node_state.h"
#include "node/node_stores.h"
#include "store/statestore.h"

/* A node of status and stores, and a part above them that uses the stores as others will. */
static struct node_bed bed;
static struct rlimit old_limit;
static struct state_put put;
static uint8_t value[LIMIT_STATE_VALUE_BYTES];
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
        check(!stores_ready(node_stores(bed.node), &why), "degraded");
        check(metric_of(METRIC_store_writable) == 0, "and a metric says so");
        setrlimit(RLIMIT_FSIZE, &old_limit);
    }
    timer_set(&bed.timer, err ? 500 : 1);
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
    state_put(node_statestore(bed.node), &put);
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
    timer_init(&bed.timer, node_env(n)->loop, next_round, "next_round");
    timer_set(&bed.timer, 1);
    return ERR_OK;
}

TEST(stores_live_with_the_node_and_through_a_failing_disk)
{
    static const char *const no_more[] = { NULL };
    struct error err = { ERR_OK, "" };
    node_bed_config(&bed, "node", no_more);
    node_bed_parts(&bed, upper_start);
    check(!node_bed_make(&bed, &err), err.text);
    enum err rc = node_bed_run(&bed, &err);
    check(rc == ERR_OK, err.text);
    check(failures >= 1 && writes >= 2, "it failed and recovered");
}

TEST(the_plan_of_disk_has_a_row_per_store)
{
    static const char *const no_options[] = { NULL };
    struct plan_disk_row row;
    node_bed_config(&bed, NULL, no_options);
    check(plan_disk_row(&bed.config, 0, &row) && !strcmp(row.name, "state"), "the first store");
    check(row.bytes > 0 && row.sentence[0], "what it will need, and for what");
    check(plan_disk_row(&bed.config, METRIC_STORES, &row) && row.bytes == 0, "slabs: swarm is off");
    check(!plan_disk_row(&bed.config, METRIC_STORES + 1, &row), "no more");
}
