/* The list of peers and bins in the status: it ends, and says what it left out. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "codec/json.h"
#include "node/status_page.h"
#include "node/swarm_pull_list.h"

enum { ROW_BYTES = 1 * MiB, OTHERS_BYTES = 20 * KiB, PEERS_MAX = 400 };

static const struct mem_row row = { "status", "refused", MEM_ELASTIC, ROW_BYTES, 50, 50, true };
static char text[2 * LIMIT_STATUS_BYTES];
static size_t used;
static struct mem_plan *plan;
static struct peer_id ids[PEERS_MAX];
static const uint8_t overlay[OVERLAY_BYTES] = { 0xff };

static void to_text(void *ctx UNUSED, const char *data, size_t size)
{
    check(size < sizeof(text) - used, "room");
    memcpy(text + used, data, size);
    used += size;
    text[used] = '\0';
}

/* Peers with something in the bins up to `bins`, as long as it can be said. */
static void list(uint32_t peers, uint8_t bins)
{
    struct mem_owner *owner;
    check(mem_plan_create(&plan, 64 * MiB, &row, 1, NULL) == ERR_OK, "a plan");
    owner = mem_plan_find(plan, "status");
    struct json_writer *w = json_writer_create(owner, JSON_INDENTED, to_text, NULL);
    struct swarm_pull_list l;
    used = 0;
    json_object_begin(w, NULL);
    json_object_begin(w, "pullsync");
    swarm_pull_list_begin(&l, w);
    for (uint32_t i = 0; i < peers; i++) {
        ids[i] = (struct peer_id){ 38, { 0, 36, 8, 1, 18, 32, (uint8_t)i } };
        for (uint8_t bin = 0; bin < RESERVE_BINS; bin++) {
            struct puller_bin_status b = { .peer = &ids[i],
                                           .overlay = overlay,
                                           .bin = bin,
                                           .proximity = 31,
                                           .cursor = bin < bins ? UINT64_MAX - 1 : 0,
                                           .synced = UINT64_MAX - 1,
                                           .missing = UINT64_MAX,
                                           .per_second = UINT64_MAX,
                                           .eta_s = UINT64_MAX - 1,
                                           .doing = "waiting for another session" };
            check(swarm_pull_list_bin(&l, &b), "all are looked at");
        }
    }
    swarm_pull_list_end(&l);
    json_object_end(w);
    json_object_end(w);
    json_writer_destroy(w);
    struct status_page *page = NULL;
    check(!status_page_parse(&page, owner, bytes_of(text, used), NULL), "it can be shown");
    status_page_destroy(page);
    mem_plan_destroy(plan);
}

static uint32_t times(const char *word)
{
    uint32_t n = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        n++;
    return n;
}

static bool says(const char *key, uint32_t n)
{
    char line[64];
    snprintf(line, sizeof(line), "\"%s\": %u", key, n);
    return strstr(text, line) != NULL;
}

TEST(bins_with_nothing_in_them_take_no_line)
{
    list(100, 1);
    check(times("\"overlay\"") == 100 && times("\"bin\"") == 100, "all of them");
    check(says("peers_left_out", 0) && says("bins_left_out", 0), "and that is said");
}

TEST(nine_neighbours_with_all_bins_are_listed)
{
    list(9, RESERVE_BINS);
    check(times("\"overlay\"") == 9 && times("\"bin\"") == 9 * RESERVE_BINS, "all of them");
    check(says("peers_left_out", 0) && says("bins_left_out", 0), "and that is said");
}

TEST(what_is_left_out_is_counted)
{
    list(20, RESERVE_BINS);
    uint32_t peers = times("\"overlay\""), bins = times("\"bin\"");
    check(peers + bins == LIMIT_STATUS_PULLED_LINES, "as many lines as there may be");
    check(says("peers_left_out", 20 - peers), "peers");
    check(says("bins_left_out", 20 * RESERVE_BINS - bins), "bins");
    check(used + OTHERS_BYTES < LIMIT_STATUS_BYTES, "the document has room for it and the rest");
    list(PEERS_MAX, 0);
    check(times("\"overlay\"") == LIMIT_STATUS_PULLED_LINES, "also peers that have nothing");
    check(says("peers_left_out", PEERS_MAX - LIMIT_STATUS_PULLED_LINES), "counted");
}
