/* Peers we have heard of, over restarts: which are stored, how often, and what a disk may hold. */
#include "pullsync_bed.h"
#include "swarm_bed.h"

#include "base/mem.h"
#include "swarm/known_store.h"

enum { NOW_S = 1700000000 };

static struct bed bed;
static struct known *known;
static struct known_store store;
static struct swarm_node node;
static uint32_t heard;
static bool stopped;
static const uint8_t own[OVERLAY_BYTES];

static void on_known(void *ctx UNUSED)
{
    heard++;
}
static void on_stopped(void *ctx UNUSED)
{
    stopped = true;
}

static void begin(uint64_t network_id)
{
    check(!known_create(&known, bed.mem, own, NULL), "known");
    heard = 0;
    store = (struct known_store){ .loop = bed.loop,
                                  .state = bed.state,
                                  .known = known,
                                  .network_id = network_id,
                                  .on_known = on_known };
    known_store_start(&store);
    bed_turn(&bed, 1000);
}

static void finish(void)
{
    stopped = false;
    known_store_stop(&store, on_stopped, NULL);
    check(!stopped, "not from inside");
    for (int i = 0; i < 1000 && !stopped; i++)
        bed_turn(&bed, 1);
    check(stopped, "it comes to its end");
    known_destroy(known);
}

static void make(void)
{
    bed_make(&bed, 1, 256 * MiB);
    bed_state_open(&bed, 0);
    swarm_node_make(&node, 5);
    begin(7357);
}

static void end(void)
{
    finish();
    bed_state_close(&bed);
    bed_end(&bed);
}

static void learn(uint8_t first, uint16_t n, int64_t at_s)
{
    uint8_t overlay[OVERLAY_BYTES] = { first, (uint8_t)(n >> 8), (uint8_t)n };
    const struct overlay_record rec = { .underlays = bytes_of(node.underlay, node.underlay_bytes),
                                        .overlay = bytes_of(overlay, OVERLAY_BYTES),
                                        .timestamp_s = at_s };
    check(known_learn(known, &rec) == KNOWN_KEPT, "heard of");
}

static int64_t time_of(uint8_t first, uint16_t n)
{
    uint8_t overlay[OVERLAY_BYTES] = { first, (uint8_t)(n >> 8), (uint8_t)n };
    return known_timestamp(known, overlay);
}

TEST(peers_are_known_after_a_restart)
{
    make();
    check(known_count(known) == 0 && heard == 0, "nobody at first");
    learn(0x40, 1, NOW_S - 10);
    learn(0x20, 2, NOW_S - 20);
    finish();
    begin(7357);
    check(known_count(known) == 2 && heard == 2, "both are known again");
    check(time_of(0x40, 1) == NOW_S - 10 && time_of(0x20, 2) == NOW_S - 20, "as they were");
    const struct known_peer *p = known_at(known, 0);
    check(bytes_equal(bytes_of(p->addresses, p->address_bytes),
                      bytes_of(node.underlay, node.underlay_bytes)) &&
              peer_id_equal(&p->id, &node.id) && p->proximity > 0,
          "with where they are and how near");
    end();
}

TEST(changes_are_stored_now_and_then)
{
    make();
    learn(0x40, 1, NOW_S - 10);
    learn(0x40, 2, NOW_S - 10);
    bed_turn(&bed, LIMIT_KNOWN_STORE_MS + 1000);
    learn(0x40, 1, NOW_S - 5);
    static const uint8_t gone[OVERLAY_BYTES] = { 0x40, 0, 2 };
    known_forget(known, gone);
    learn(0x10, 3, NOW_S - 1);
    bed_turn(&bed, LIMIT_KNOWN_STORE_MS + 1000);
    struct known *before = known; /* it falls over: nothing more is stored */
    timer_set(&store.timer_, 0);
    begin(7357);
    check(known_count(known) == 2 && time_of(0x40, 1) == NOW_S - 5, "the newer record");
    check(time_of(0x40, 2) == 0 && time_of(0x10, 3) == NOW_S - 1, "one went and one came");
    known_destroy(before);
    end();
}

TEST(the_nearest_are_kept)
{
    make();
    for (uint16_t i = 0; i < 2 * LIMIT_KNOWN_STORED; i++)
        learn(i % 2 ? 0x40 : 0x10, i, NOW_S - 10);
    bed_turn(&bed, LIMIT_KNOWN_STORE_MS + 1000);
    learn(0x01, 500, NOW_S - 10);
    finish();
    begin(7357);
    check(known_count(known) == LIMIT_KNOWN_STORED, "as many as there are places");
    check(time_of(0x01, 500) > 0, "the nearest, which came late");
    for (uint16_t i = 1; i < 2 * LIMIT_KNOWN_STORED; i += 2)
        check(time_of(0x40, i) == 0, "none of the far ones");
    end();
}

TEST(peers_of_another_network_are_dropped)
{
    make();
    learn(0x40, 1, NOW_S - 10);
    finish();
    begin(10);
    check(known_count(known) == 0, "it is of another network");
    learn(0x40, 2, NOW_S - 10);
    finish();
    begin(7357);
    check(known_count(known) == 0, "and its place is given to another");
    end();
}

TEST(a_stop_while_it_reads_loses_nothing)
{
    make();
    for (uint16_t i = 0; i < 10; i++)
        learn(0x40, i, NOW_S - 10);
    finish();
    for (uint32_t turns = 0; turns < 5; turns++) {
        check(!known_create(&known, bed.mem, own, NULL), "known");
        store = (struct known_store){
            .loop = bed.loop, .state = bed.state, .known = known, .network_id = 7357
        };
        known_store_start(&store);
        for (uint32_t i = 0; i < turns; i++)
            bed_turn(&bed, 0);
        finish();
    }
    begin(7357);
    check(known_count(known) == 10, "all are there");
    end();
}

static const struct {
    const char *why;
    uint64_t network, timestamp;
    size_t size; /* of the value; 0: all of it */
    enum err want;
} values[] = {
    { "as it was written", 7357, NOW_S, 0, ERR_OK },
    { "another network", 1, NOW_S, 0, ERR_REFUSED },
    { "no time", 7357, 0, 0, ERR_MALFORMED },
    { "a little ahead", 7357, NOW_S + LIMIT_RECORD_AHEAD_S, 0, ERR_OK },
    { "far in the future", 7357, NOW_S + LIMIT_RECORD_AHEAD_S + 1, 0, ERR_MALFORMED },
    { "a time above 2^63", 7357, UINT64_MAX, 0, ERR_MALFORMED },
    { "no address", 7357, NOW_S, 48, ERR_MALFORMED },
    { "half an overlay", 7357, NOW_S, 30, ERR_MALFORMED },
    { "nothing", 7357, NOW_S, 1, ERR_MALFORMED },
};

TEST(what_is_read_is_looked_at)
{
    struct known_peer p = { .address_bytes = 12 };
    uint8_t value[KNOWN_STORED_BYTES_MAX];
    memset(p.overlay, 7, sizeof(p.overlay));
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        struct overlay_record rec = { .timestamp_s = -1 };
        p.timestamp_s = (int64_t)values[i].timestamp;
        size_t size = known_stored_encode(&p, values[i].network, value);
        size = values[i].size ? values[i].size : size;
        enum err rc = known_stored_decode(&rec, bytes_of(value, size), 7357, NOW_S, NULL);
        check(rc == values[i].want, values[i].why);
        check(rc ? rec.timestamp_s == -1 : rec.underlays.size == 12, "untouched, or whole");
    }
}
