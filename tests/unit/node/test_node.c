#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/config.h"
#include "core/env.h"
#include "core/loop.h"
#include "core/timer.h"
#include "node/datadir.h"
#include "node/node.h"

/* Two parts that write down what is asked of them: an upper letter for the first one, a lower for
 * the second. */
static char story[64];
static struct config config;
static struct node_hold hold;
static struct timer timer;
static struct node *node;

/* What the test at hand wants. */
static struct {
    bool fail_sync, fail_async, work; /* work: drain waits until cancel */
    bool stop_in_start, fail_in_run;
    unsigned signals; /* sent when running */
} want;

static void tell(char c)
{
    size_t used = strlen(story);
    assert(used + 1 < sizeof(story));
    story[used] = c;
    story[used + 1] = '\0';
}

static enum err upper_start(struct node *n UNUSED, struct error *err UNUSED)
{
    tell('S');
    return ERR_OK;
}
static void upper_drain(struct node *n UNUSED)
{
    tell('D');
}
static void upper_cancel(struct node *n UNUSED)
{
    tell('C');
}
static void upper_stop(struct node *n UNUSED)
{
    tell('E');
}

static void in_run(struct timer *t)
{
    struct error err = { ERR_OK, "" };
    error_set(&err, ERR_CORRUPT, "broke while running");
    if (node_phase(node) == NODE_STARTING) { /* node.json is still being written */
        timer_set(t, 1);
        return;
    }
    if (node_phase(node) == NODE_RUNNING)
        tell('r');
    if (want.fail_in_run)
        node_fail(node, &err);
    if (want.signals > 0) {
        want.signals--;
        raise(SIGTERM);
        timer_set(t, want.signals ? 20 : 0);
    }
}

static void started_later(struct timer *t)
{
    struct error err = { ERR_OK, "" };
    error_set(&err, ERR_IO, "no disk there");
    timer_init(t, node_env(node)->loop, in_run, "in_run");
    if (!want.fail_async && !want.stop_in_start)
        timer_set(t, 1);
    node_release(node, &hold, want.fail_async ? &err : NULL);
}

static enum err lower_start(struct node *n, struct error *err)
{
    tell('s');
    if (want.fail_sync)
        return error_set(err, ERR_LOCKED, "somebody has it");
    if (want.stop_in_start)
        raise(SIGTERM);
    node_hold(n, &hold, "starting late");
    timer_init(&timer, node_env(n)->loop, started_later, "started_later");
    timer_set(&timer, 20);
    return ERR_OK;
}
static void lower_drain(struct node *n)
{
    tell('d');
    if (want.work)
        node_hold(n, &hold, "work");
}
static void lower_cancel(struct node *n)
{
    tell('c');
    if (want.work)
        node_release(n, &hold, NULL);
}
static void lower_stop(struct node *n UNUSED)
{
    tell('e');
}

static const struct node_part parts[] = {
    { "upper", upper_start, NULL, upper_drain, upper_cancel, upper_stop },
    { "lower", lower_start, NULL, lower_drain, lower_cancel, lower_stop },
};

static enum err live(const char *deadline)
{
    static struct option_report report;
    char dir[256], flag[64], home[] = "HOME=/nowhere";
    snprintf(dir, sizeof(dir), "--data-dir=%s/node", unit_temp_dir());
    snprintf(flag, sizeof(flag), "--shutdown-deadline=%s", deadline);
    char *argv[] = { dir, flag, NULL }, *envp[] = { home, NULL };
    struct config_args args = { .argv = argv, .envp = envp, .all_options = true };
    struct error err = { ERR_OK, "" };
    check(config_load(&config, &args, &report), report.text);
    const struct node_options options = {
        .config = &config, .args = &args, .parts = parts, .parts_count = ARRAY_SIZE(parts)
    };
    story[0] = '\0';
    check(!node_create(&node, &options, &err), err.text);
    enum err rc = node_run(node, &err);
    timer_set(&timer, 0);
    node_destroy(node);
    memset(&want, 0, sizeof(want));
    return rc;
}

TEST(parts_start_in_order_and_stop_in_reverse)
{
    want.signals = 1;
    check(live("5s") == ERR_OK, "asked to stop");
    check(!strcmp(story, "SsrdDeE"), story);
}

TEST(a_start_that_fails_stops_what_has_started)
{
    want.fail_sync = true;
    check(live("5s") == ERR_LOCKED, "its error comes back");
    check(!strcmp(story, "SsdDeE"), story);
    want.fail_async = true;
    check(live("5s") == ERR_IO, "also when it comes late");
    check(!strcmp(story, "SsdDeE"), story);
}

TEST(a_signal_during_the_start_stops_it)
{
    want.stop_in_start = true;
    check(live("5s") == ERR_OK, "asked to stop");
    check(!strcmp(story, "SsdDeE"), story);
}

TEST(running_work_is_canceled_at_the_deadline)
{
    want.signals = 1;
    want.work = true;
    check(live("50ms") == ERR_OK, "asked to stop");
    check(!strcmp(story, "SsrdDcCeE"), story);
    want.signals = 1;
    want.work = true;
    check(live("0s") == ERR_OK, "no deadline at all");
    check(!strcmp(story, "SsrdDcCeE"), story);
}

TEST(a_second_signal_does_not_wait)
{
    want.signals = 2;
    want.work = true;
    check(live("10m") == ERR_OK, "asked twice");
    check(!strcmp(story, "SsrdDcCeE"), story);
}

TEST(a_part_may_stop_the_node)
{
    want.fail_in_run = true;
    check(live("5s") == ERR_CORRUPT, "with its error");
    check(!strcmp(story, "SsrdDeE"), story);
}

TEST(a_file_is_replaced_as_a_whole)
{
    struct datadir dir, again;
    struct error err = { ERR_OK, "" };
    char path[256], text[16] = "";
    snprintf(path, sizeof(path), "%s/deep/er/data", unit_temp_dir());
    check(!datadir_open(&dir, path, &err), err.text);
    check(datadir_open(&again, path, &err) == ERR_LOCKED, "one at a time");
    check(!datadir_write_file(&dir, "f", "longer text", 11, &err), err.text);
    check(!datadir_write_file(&dir, "f", "short", 5, &err), err.text);
    int fd = openat(dir.fd, "f", O_RDONLY);
    check(fd >= 0 && read(fd, text, sizeof(text)) == 5 && !strcmp(text, "short"), text);
    close(fd);
    check(faccessat(dir.fd, "f.new", F_OK, 0) != 0, "no draft stays");
    check(datadir_write_file(&dir, "no/such/folder", "x", 1, &err) == ERR_IO,
          "an error of the disk");
    datadir_close(&dir);
    check(!datadir_open(&again, path, &err), "the lock goes with its holder");
    datadir_close(&again);
}
