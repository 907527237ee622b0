/* A node with the Swarm part: it opens, keeps who it is, reloads its batches and evicts those that
 * vanished; a part above it does what the others will. */
#include "node_bed.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "codec/chunk.h"
#include "node/node_state.h"
#include "node/status.h"
#include "node/swarm.h"
#include "store/batches.h"
#include "store/reserve.h"
#include "swarm/identity.h"

enum { CHUNKS = 40 };

static struct node_bed bed;
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
    check(node_bed_entries(&bed) == CHUNKS, "all are there");
    filled++;
    only_second();
    raise(SIGHUP);
    timer_set(&bed.timer, 5);
}

/* Half of them go with their batch; then a table that is none changes nothing. */
static void look(struct timer *t)
{
    static bool broken;
    if (filled == 0) {
        put = (struct reserve_put){ .items = items, .count = CHUNKS, .cb = on_put };
        reserve_put(node_reserve(bed.node), &put);
        return;
    }
    if (node_bed_entries(&bed) == CHUNKS / 2 && !broken) {
        broken = true;
        batches_write("[ { \"id\": 7 } ]");
        raise(SIGHUP);
        timer_set(t, 300);
    } else if (broken) {
        struct reserve_status st;
        uint8_t second[STAMP_BATCH_BYTES];
        memset(second, 2, sizeof(second));
        reserve_status(node_reserve(bed.node), &st);
        check(st.count == CHUNKS / 2 && st.evicted[RESERVE_EVICT_EXPIRED] == CHUNKS / 2, "expired");
        check(batches_find(node_batches(bed.node), second), "the old table stays");
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
    check(batches_count(node_batches(n)) == 2 || node_bed_entries(&bed) > 0,
          "the table is read before");
    memcpy(overlay, node_swarm_identity(n)->overlay, sizeof(overlay));
    left_at_start = node_bed_entries(&bed);
    check(!status_write(node_status(n), document, sizeof(document), &used, NULL), "status");
    check(memmem(document, used, "\"has_cache_state\"", 17), "the reserve has its section");
    timer_init(&bed.timer, n->env.loop, look, "look");
    if (filled == 0)
        timer_set(&bed.timer, 1);
    else
        raise(SIGTERM);
    return ERR_OK;
}

static enum err run(const char *more, struct error *err)
{
    char batches[330];
    snprintf(batches, sizeof(batches), "--batches=%s", batches_path);
    const char *const options[] = { "--swarm", batches, more, NULL };
    node_bed_config(&bed, "node", options);
    node_bed_parts(&bed, upper_start);
    enum err rc = node_bed_make(&bed, err);
    return rc ? rc : node_bed_run(&bed, err);
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
