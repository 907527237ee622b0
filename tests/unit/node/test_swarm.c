/* A node with the Swarm part: it opens, keeps who it is, reloads its batches and evicts those that
 * vanished; a part above it does what the others will. */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "codec/chunk.h"
#include "core/config.h"
#include "node/node_state.h"
#include "node/node_stores.h"
#include "node/status.h"
#include "node/swarm.h"
#include "store/batches.h"
#include "store/reserve.h"
#include "swarm/identity.h"

enum { CHUNKS = 40 };

static struct config config;
static struct node *node;
static struct timer timer;
static struct reserve_put put;
static struct reserve_item items[CHUNKS];
static uint8_t chunks[CHUNKS][BMT_SPAN_BYTES + 1], stamps[CHUNKS][STAMP_BYTES];
static char batches_path[300];
static uint8_t overlay[OVERLAY_BYTES];
static uint64_t left_at_start; /* entries found by this run */
static int filled;

static const char both[] =
    "[{\"id\":\"0101010101010101010101010101010101010101010101010101010101010101\",\"owner\":"
    "\"1111111111111111111111111111111111111111\",\"depth\":20,\"bucket_depth\":4,"
    "\"immutable\":false},"
    "{\"id\":\"0202020202020202020202020202020202020202020202020202020202020202\",\"owner\":"
    "\"1111111111111111111111111111111111111111\",\"depth\":20,\"bucket_depth\":4,"
    "\"immutable\":true}]";

static void batches_write(const char *text)
{
    FILE *f = fopen(batches_path, "w");
    check(f && fputs(text, f) >= 0 && fclose(f) == 0, "the file of batches");
}

static void only_second(void)
{
    char text[sizeof(both) + 2];
    snprintf(text, sizeof(text), "[%s", strchr(both + 2, '{'));
    batches_write(text);
}

static uint64_t entries(void)
{
    struct reserve_status st;
    reserve_status(node_reserve(node), &st);
    return st.count;
}

/* Every second one of the batch 1, the rest of 2. */
static void item_make(uint32_t i)
{
    struct stamp stamp = { .position = i, .timestamp = i + 1 };
    chunks[i][0] = 1;
    chunks[i][BMT_SPAN_BYTES] = (uint8_t)i;
    memset(stamp.batch, i % 2 + 1, sizeof(stamp.batch));
    items[i] =
        (struct reserve_item){ .data = bytes_of(chunks[i], sizeof(chunks[i])), .stamp = stamps[i] };
    check(!chunk_content_address(items[i].id.address, items[i].data, NULL), "its address");
    memcpy(items[i].id.batch, stamp.batch, sizeof(stamp.batch));
    stamp_encode(&stamp, stamps[i]);
    stamp_hash(items[i].id.stamp_hash, stamps[i]);
}

static void on_put(struct reserve_put *req UNUSED, const struct error *err)
{
    check(!err, err ? err->text : "");
    check(entries() == CHUNKS, "all are there");
    filled++;
    only_second();
    raise(SIGHUP);
    timer_set(&timer, 5);
}

/* Half of them go with their batch; then a table that is none changes nothing. */
static void look(struct timer *t)
{
    static bool broken;
    if (filled == 0) {
        put = (struct reserve_put){ .items = items, .count = CHUNKS, .cb = on_put };
        reserve_put(node_reserve(node), &put);
        return;
    }
    if (entries() == CHUNKS / 2 && !broken) {
        broken = true;
        batches_write("[ { \"id\": 7 } ]");
        raise(SIGHUP);
        timer_set(t, 300);
    } else if (broken) {
        struct reserve_status st;
        uint8_t second[STAMP_BATCH_BYTES];
        memset(second, 2, sizeof(second));
        reserve_status(node_reserve(node), &st);
        check(st.count == CHUNKS / 2 && st.evicted[RESERVE_EVICT_EXPIRED] == CHUNKS / 2, "expired");
        check(batches_find(node_batches(node), second), "the old table stays");
        broken = false;
        raise(SIGTERM);
    } else {
        timer_set(t, 5);
    }
}

static enum err upper_start(struct node *n, struct error *err UNUSED)
{
    char document[LIMIT_STATUS_BYTES];
    size_t used = 0;
    check(node_reserve(n) && node_swarm_identity(n), "the part below has started");
    check(batches_count(node_batches(n)) == 2 || entries() > 0, "the table is read before");
    memcpy(overlay, node_swarm_identity(n)->overlay, sizeof(overlay));
    left_at_start = entries();
    check(!status_write(node_status(n), document, sizeof(document), &used, NULL), "status");
    check(memmem(document, used, "\"has_cache_state\"", 17), "the reserve has its section");
    timer_init(&timer, n->env.loop, look, "look");
    if (filled == 0)
        timer_set(&timer, 1);
    else
        raise(SIGTERM);
    return ERR_OK;
}

static void upper_stop(struct node *n UNUSED)
{
    timer_set(&timer, 0);
}

static const struct node_part parts[] = {
    { "status", status_part_start, NULL, NULL, NULL, status_part_stop },
    { "stores", stores_part_start, NULL, NULL, NULL, stores_part_stop },
    { "swarm", swarm_part_start, swarm_part_reload, swarm_part_drain, NULL, swarm_part_stop },
    { "upper", upper_start, NULL, NULL, NULL, upper_stop },
};

static enum err run(const char *more, struct error *err)
{
    static struct option_report report;
    static struct config_args args;
    static char home[] = "HOME=/nowhere", free_disk[] = "--min-free-disk=0", on[] = "--swarm";
    static char *envp[] = { home, NULL };
    static char dir[330], batches[330], extra[330];
    snprintf(dir, sizeof(dir), "--data-dir=%s/node", unit_temp_dir());
    snprintf(batches, sizeof(batches), "--batches=%s", batches_path);
    snprintf(extra, sizeof(extra), "%s", more);
    static char *argv[] = { dir, free_disk, on, batches, extra, NULL };
    args = (struct config_args){ .argv = argv, .envp = envp, .all_options = true };
    check(config_load(&config, &args, &report), report.text);
    args = (struct config_args){ .argv = argv, .envp = envp, .all_options = true };
    const struct node_options options = {
        .config = &config, .args = &args, .parts = parts, .parts_count = ARRAY_SIZE(parts)
    };
    node = NULL;
    enum err rc = node_create(&node, &options, err);
    rc = rc ? rc : node_run(node, err);
    node_destroy(node);
    return rc;
}

TEST(batches_expire_with_the_file_and_the_node_stays_who_it_is)
{
    uint8_t first[OVERLAY_BYTES];
    struct error err = { ERR_OK, "" };
    snprintf(batches_path, sizeof(batches_path), "%s/batches.json", unit_temp_dir());
    batches_write(both);
    for (uint32_t i = 0; i < CHUNKS; i++)
        item_make(i);
    check(!run("--reserve-has-cache=true", &err), err.text);
    check(filled == 1, "it ran");
    memcpy(first, overlay, sizeof(first));
    only_second();
    check(!run("--reserve-has-cache=true", &err), err.text);
    check(!memcmp(first, overlay, sizeof(first)), "the same overlay");
    check(left_at_start == CHUNKS / 2, "what was kept is kept");

    check(run("--network-id=10", &err) == ERR_FOREIGN, "another overlay, and chunks in its bins");
    check(strstr(err.text, "verify --repair"), err.text);
    error_clear(&err);
    batches_write("[ {} ]");
    check(run("--reserve-has-cache=true", &err) == ERR_CONFIG, "a table that is none");
    check(strstr(err.text, "row 1"), err.text);
    error_clear(&err);
    unlink(batches_path);
    check(run("--reserve-has-cache=true", &err) == ERR_CONFIG, "no file");
}
