/* Regions with more servers than a network has by itself: ids that somebody makes up. */
#include "ipfs/explore.h"
#include "ipfs/pass.h"
#include "provider_bed.h"

enum { SERVERS = 140, FEW = 10, KEYS = 500 };

/* Half of the key space has 10 servers, so that all 140 are one region: each of the 130 others is
 * among the nearest of some keys. */
TEST(a_key_of_a_crowded_region_reaches_its_twenty_nearest)
{
    static struct provider_bed b;
    struct provider_status st;
    uint64_t hits = limit_hits(LIMIT_ID_PASS_SERVERS);
    pbed_make_lopsided(&b, SERVERS, FEW);
    pbed_keys(&b, 0, KEYS);
    b.workers = 1;
    pbed_provider_up(&b);
    pbed_cycle(&b, "a cycle");
    provider_status(b.provider, &st);
    check(st.totals.sent == KEYS * KAD_K && st.totals.confirmed == st.totals.sent, "on twenty");
    pbed_exact(&b, KEYS);
    check(limit_hits(LIMIT_ID_PASS_SERVERS) > hits, "and it is counted");
    pbed_provider_down(&b);
    pbed_end(&b);
}

TEST(more_servers_take_shorter_key_chunks)
{
    check(pass_chunk_keys(LIMIT_PASS_SERVERS, 2048) == 2048, "as planned");
    for (uint32_t n = LIMIT_PASS_SERVERS; n <= LIMIT_EXPLORE_SERVERS; n += 17) {
        uint32_t keys = pass_chunk_keys(n, 2048);
        check(keys > 0 && keys * n <= 2048 * LIMIT_PASS_SERVERS, "bitmaps do not grow");
        check(pass_chunk_keys(n, 64) >= 8, "some keys at least");
    }
    /* kad-reprovide.md 4.9: 28 MiB, of which the store has 14, table and book 2, and exploring 2.
     */
    check(4 * pass_bytes(LIMIT_EXPLORE_SERVERS, 2048) <= 10 * MiB, "four workers fit the plan");
}

/* Of a part of 4 bits: how many are there, in the half beside it, and far from both? */
static void explore_crowd(struct explore *e, uint8_t len, uint32_t in, uint32_t beside,
                          uint32_t far)
{
    struct kad_peer peer = { .addresses_used = 0 };
    *e = (struct explore){ .wanted_ = { UINT64_C(0xa) << 60, len } };
    for (uint32_t i = 0; i < in + beside + far; i++) {
        uint64_t top = i < far ? 0 : i < far + beside ? 0xb : 0xa; /* the farthest come first */
        be64_encode(peer.kad, top << 60 | (uint64_t)i << 40);
        check(explore_add(e, &peer), "a new one");
        check(e->dropped > 0 || !explore_add(e, &peer), "once");
    }
}

TEST(when_there_is_no_room_the_farthest_give_way)
{
    static struct explore e;
    explore_crowd(&e, 4, 10, 100, 100);
    check(e.count == 210 && e.dropped == 0 && explore_is_exact(&e), "all fit");
    explore_crowd(&e, 4, 10, 300, 600);
    uint32_t near = 0;
    for (uint32_t i = 0; i < e.count; i++)
        near += e.servers[i].kad[0] >> 5 == 5;
    check(e.count == LIMIT_EXPLORE_SERVERS && near == 310, "none that a key here needs");
    check(e.dropped == 910 - LIMIT_EXPLORE_SERVERS && explore_is_exact(&e), "and it is known");
    explore_crowd(&e, 4, 10, 600, 0);
    check(!explore_is_exact(&e), "all of the 600 beside may be needed");
    explore_crowd(&e, 4, 20, 600, 0);
    check(explore_is_exact(&e), "but not when there are twenty here");
    explore_crowd(&e, 0, 20, 600, 0);
    check(!explore_is_exact(&e), "that is no part at all");
}
