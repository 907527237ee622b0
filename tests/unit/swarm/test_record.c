#include "unit.h"

#include "swarm/record.h"
#include "swarm_bed.h"

static struct swarm_node keys;
static struct record_identity identity;

static void make(struct own_record *r, int64_t now_s, struct bytes stored, uint32_t addresses,
                 bool want_change)
{
    struct error err = { ERR_OK, "" };
    bool changed;
    const struct overlay_underlays u = { { bytes_of(keys.underlay, keys.underlay_bytes),
                                           bytes_of(keys.underlay, keys.underlay_bytes) },
                                         addresses };
    const struct record_wish wish = { &u, stored, now_s };
    check(!own_record_make(r, &identity, &wish, &changed, &err), err.text);
    check(changed == want_change, want_change ? "a new one" : "the old one");
}

static void identity_make(void)
{
    swarm_node_make(&keys, 3);
    identity = (struct record_identity){ .swarm = &keys.swarm, .welcome = "", .peer = keys.id };
}

TEST(a_record_is_made_once_and_its_time_never_goes_back)
{
    struct own_record r;
    uint8_t stored[RECORD_STORED_BYTES];
    struct bytes kept = bytes_of(stored, sizeof(stored));
    identity_make();
    make(&r, BED_WALL_S, bytes_of(NULL, 0), 1, true);
    check(r.timestamp_s == BED_WALL_S, "now");
    own_record_stored(&r, stored);
    make(&r, BED_WALL_S + 1000, kept, 1, false);
    check(r.timestamp_s == BED_WALL_S, "a restart shows the same record");
    make(&r, BED_WALL_S + 1000, kept, 2, true);
    check(r.timestamp_s == BED_WALL_S + 1000, "another address, another record");
    make(&r, BED_WALL_S - 50, kept, 2, true);
    check(r.timestamp_s == BED_WALL_S + 1, "a clock that was set back does not take it along");
    keys.swarm.network_id = 1;
    make(&r, BED_WALL_S, kept, 1, true);
}

TEST(what_is_told_is_signed)
{
    struct own_record r;
    struct overlay_record rec;
    uint8_t sig[SIG_BYTES];
    struct error err = { ERR_OK, "" };
    const struct overlay_check c = { .network_id = 7357, .now_s = BED_WALL_S };
    struct bytes seen_as = bytes_of(keys.underlay, keys.underlay_bytes);
    identity_make();
    make(&r, BED_WALL_S, bytes_of(NULL, 0), 2, true);
    own_record_fill(&r, seen_as, sig, &rec);
    check(rec.underlays.size == 1 + 2 * (1 + keys.underlay_bytes), "our addresses");
    check(!overlay_record_check(&rec, &c, &err), err.text);
    make(&r, BED_WALL_S, bytes_of(NULL, 0), 0, true);
    own_record_fill(&r, seen_as, sig, &rec);
    check(bytes_equal(rec.underlays, seen_as), "we tell none: as the peer sees us");
    check(!overlay_record_check(&rec, &c, &err), err.text);
}

TEST(a_stored_fact_of_another_size_is_refused)
{
    struct own_record r;
    bool changed;
    uint8_t stored[RECORD_STORED_BYTES - 1] = { 0 };
    struct overlay_underlays u = { .count = 0 };
    identity_make();
    struct record_wish wish = { &u, bytes_of(stored, sizeof(stored)), BED_WALL_S };
    check(own_record_make(&r, &identity, &wish, &changed, NULL) == ERR_CORRUPT, "39 bytes");
    static uint8_t large[LIMIT_UNDERLAYS_BYTES];
    u = (struct overlay_underlays){ { bytes_of(large, 1500), bytes_of(large, 1500) }, 2 };
    wish.stored = bytes_of(NULL, 0);
    check(own_record_make(&r, &identity, &wish, &changed, NULL) == ERR_LIMIT, "3,000 bytes");
}
