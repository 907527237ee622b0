/* Each request of the DHT client ends once, gives back what it took and leaves the gauge where it
 * was: canceled at each turn of the loop, with each allocation refused in turn. */
#include "provider_bed.h"

#include <string.h>

#include "base/mem.h"
#include "ipfs/explore.h"
#include "ipfs/lab.h"
#include "ipfs/lookup.h"
#include "ipfs/region.h"

enum { SERVERS = 24, KEYS = 400, REFUSALS = 50 };

static struct world {
    struct provider_bed b;
    struct dht *dht;
    struct kad_record record;
    uint64_t base_bytes;
    int64_t ongoing;
    uint64_t keys, lookups;
    uint32_t ends;
    struct error end;
    union {
        struct lookup lookup;
        struct explore explore;
        struct provide provide;
    } u;
    struct region *region;
    bool asked;
    struct deferred turn;
    uint32_t turns; /* until it is canceled; UINT32_MAX: never */
    const struct op *op;
} x;
static uint32_t preimages[KAD_PREIMAGES];

static void ended(const struct error *err)
{
    x.ends++;
    x.end = err ? *err : (struct error){ ERR_OK, "" };
    pbed_wake(&x.b);
}

/* ---- the requests ---- */

static void on_lookup(struct lookup *l UNUSED, const struct error *err)
{
    ended(err);
}
static enum err lookup_begin(struct error *err UNUSED)
{
    x.u.lookup = (struct lookup){ .type = KAD_FIND_NODE, .key_size = 34, .cb = on_lookup };
    (void)lab_key(7, x.u.lookup.key);
    lookup_start(x.dht, &x.u.lookup);
    return ERR_OK;
}
static void lookup_end(void)
{
    lookup_cancel(&x.u.lookup);
}

static void on_explored(struct explore *e UNUSED, const struct error *err)
{
    ended(err);
}
static enum err explore_begin(struct error *err UNUSED)
{
    x.u.explore = (struct explore){ .preimages = preimages, .cb = on_explored };
    explore_start(x.dht, &x.u.explore);
    return ERR_OK;
}
static void explore_end(void)
{
    explore_cancel(&x.u.explore);
}

static void on_provided(struct provide *p UNUSED, const struct error *err)
{
    ended(err);
}
static enum err provide_begin(struct error *err UNUSED)
{
    x.u.provide = (struct provide){ .key_size = 34, .record = &x.record, .cb = on_provided };
    (void)lab_key(3, x.u.provide.key);
    provide_start(x.dht, &x.u.provide);
    return ERR_OK;
}
static void provide_end(void)
{
    provide_cancel(&x.u.provide);
}

static bool on_want(void *ctx UNUSED, struct kad_prefix region UNUSED,
                    struct kad_prefix *part UNUSED)
{
    bool first = !x.asked;
    x.asked = true;
    return first;
}
static void on_ongoing(void *ctx UNUSED, int64_t keys)
{
    x.ongoing += keys;
}
static void on_region(void *ctx UNUSED, const struct error *err)
{
    x.region = NULL;
    ended(err);
}
static enum err region_begin_at(struct kad_prefix prefix, bool pending_only, struct error *err)
{
    const struct region_options options = {
        .dht = x.dht,
        .keystore = x.b.ks,
        .work = x.b.pool,
        .mem = x.b.mem,
        .record = &x.record,
        .preimages = preimages,
        .prefix = prefix,
        .pending_only = pending_only,
        .lookups = &x.lookups,
        .chunk_keys = 64,
        .connections = 20,
        .stall_ms = 1000,
        .events = { .want = on_want, .ongoing = on_ongoing, .done = on_region },
    };
    x.asked = false;
    return region_start(&x.region, &options, err);
}
static enum err region_begin(struct error *err)
{
    return region_begin_at((struct kad_prefix){ 0, 0 }, false, err);
}
static enum err pending_begin(struct error *err)
{
    return region_begin_at((struct kad_prefix){ 0, 0 }, true, err);
}
static enum err few_begin(struct error *err)
{
    uint8_t hash[34];
    return region_begin_at(kad_prefix_of(key_kad(lab_key(0, hash)), 12), false, err);
}
static void region_end(void)
{
    if (x.region)
        region_cancel(x.region);
}

static const struct op {
    const char *name;
    enum err (*begin)(struct error *err);
    void (*cancel)(void);
} ops[] = {
    { "a look-up", lookup_begin, lookup_end },
    { "an exploration", explore_begin, explore_end },
    { "a single provide", provide_begin, provide_end },
    { "a region of one or two keys", few_begin, region_end },
    { "new keys of a region", pending_begin, region_end },
    { "a region", region_begin, region_end },
};

/* ---- the bed ---- */

static void on_turn(struct deferred *d)
{
    if (x.turns-- == 0)
        x.op->cancel();
    else
        loop_defer(x.b.loop, d, on_turn);
}

static void run(const struct op *op, uint32_t cancel_at, uint64_t refuse)
{
    struct error err = { ERR_OK, "" };
    dht_forgive(x.dht);
    for (uint32_t i = 0; i < SERVERS; i++)
        dht_table_add(x.dht, &x.b.sinks.sink[i].peer);
    if (op->begin == pending_begin) {
        pbed_keys(&x.b, x.keys, x.keys + 5);
        x.keys += 5;
    }
    x.op = op;
    x.ends = 0;
    x.turns = cancel_at;
    x.end = (struct error){ ERR_OK, "" };
    if (cancel_at < UINT32_MAX)
        loop_defer(x.b.loop, &x.turn, on_turn);
    mem_fault_at(refuse);
    if (op->begin(&err))
        x.end = err; /* refused at once: nothing has begun */
    else
        pbed_await(&x.b, op->name);
    mem_fault_at(0);
    loop_defer_cancel(&x.turn);
    pbed_wait(&x.b, 1);
    check(x.ends == (err.code == ERR_OK), "its end is told once");
    check(x.ongoing == 0, "the gauge is balanced");
    check(x.b.mem->used_bytes == x.base_bytes, "what it took is given back");
}

static void world_up(void)
{
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
    struct error err;
    struct writer w = writer_of(buf, sizeof(buf));
    memset(&x, 0, sizeof(x));
    pbed_make(&x.b, SERVERS);
    pbed_keys(&x.b, 0, KEYS);
    if (preimages[0] == preimages[1])
        kad_preimages_build(preimages);
    kad_record_init(&x.record, host_id(x.b.host));
    check(host_address(x.b.host, 0, &w), "an address");
    check(kad_record_add_address(&x.record, bytes_of(buf, writer_used(&w))), "of ours");
    const struct dht_options options = { .loop = x.b.loop,
                                         .host = x.b.host,
                                         .mem = x.b.mem,
                                         .prefix = "/ipfs",
                                         .allow_private = true,
                                         .connections_max = 40,
                                         .answer_ms = 1000 };
    check(!dht_create(&x.dht, &options, &err), err.text);
    x.base_bytes = x.b.mem->used_bytes;
    x.keys = KEYS;
}

static void world_down(void)
{
    dht_destroy(x.dht);
    pbed_end(&x.b);
}

static void bad_peer(uint32_t i, struct kad_peer *out)
{
    lab_peer(0, out);
    be64_encode(out->kad, (uint64_t)(i + 1) << 32); /* alike in all the low bits */
}

/* Two that did were met for ever: each pass failed for one, was explored anew, and failed for the
 * other. */
TEST(bad_servers_do_not_displace_each_other)
{
    enum { MOST = 1024 };
    struct kad_peer peer;
    uint32_t bad = 0;
    world_up();
    for (uint32_t i = 0; i < MOST; i++) {
        bad_peer(i, &peer);
        dht_mark_bad(x.dht, &peer, 60000 + i);
        dht_mark_bad(x.dht, &peer, 60000 + i);
    }
    for (uint32_t i = 0; i < MOST; i++) {
        bad_peer(i, &peer);
        bad += dht_is_bad(x.dht, &peer);
    }
    check(bad == MOST, "all of them");
    bad_peer(MOST, &peer);
    dht_mark_bad(x.dht, &peer, 90000);
    check(dht_is_bad(x.dht, &peer), "and one more");
    bad_peer(0, &peer);
    check(!dht_is_bad(x.dht, &peer), "instead of who would have been good first");
    bad_peer(1, &peer);
    check(dht_is_bad(x.dht, &peer), "and of nobody else");
    dht_forgive(x.dht);
    check(!dht_is_bad(x.dht, &peer), "all are forgiven");
    world_down();
}

TEST(canceled_at_each_turn)
{
    world_up();
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        uint32_t canceled = 0;
        bool whole = false;
        for (uint32_t at = 0; !whole && at < UINT32_MAX / 2; at += 1 + at / 2) {
            run(&ops[i], at, 0);
            check(x.end.code == ERR_OK || x.end.code == ERR_CANCELED, x.end.text);
            canceled += x.end.code == ERR_CANCELED;
            whole = x.end.code == ERR_OK && at > 0;
        }
        check(canceled > 2 && whole, "canceled on the way, and not when it was over");
    }
    world_down();
}

TEST(refused_each_allocation)
{
    world_up();
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        uint32_t refused = 0;
        for (uint64_t n = 1; n <= REFUSALS; n++) {
            run(&ops[i], UINT32_MAX, n);
            refused += x.end.code == ERR_BUDGET;
        }
        check(i < 3 || refused > 0, "it was refused what it asked for");
        run(&ops[i], UINT32_MAX, 0);
        check(!x.end.code, "and it goes when there is memory");
    }
    world_down();
}

TEST(a_provider_is_refused_each_allocation)
{
    static struct provider_bed b;
    uint32_t refused = 0;
    pbed_make(&b, SERVERS);
    pbed_keys(&b, 0, KEYS);
    uint64_t base = b.mem->used_bytes;
    for (uint64_t n = 1; n <= 24; n++) {
        mem_fault_at(n);
        bool made = pbed_provider_try(&b);
        refused += !made;
        if (made) {
            pbed_wait(&b, 1 + 30 * (uint32_t)(n % 8));
            mem_fault_at(0);
            pbed_provider_down(&b);
            provider_destroy(b.provider);
            b.provider = NULL;
        }
        mem_fault_at(0);
        check(b.mem->used_bytes == base, "all is given back");
    }
    check(refused > 5, "it was refused");
    pbed_provider_up(&b);
    pbed_cycle(&b, "it goes when there is memory");
    pbed_provider_down(&b);
    pbed_end(&b);
}
