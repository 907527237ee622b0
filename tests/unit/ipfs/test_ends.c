/* Each request of the DHT client ends once, gives back what it took and leaves the gauge where it
 * was: canceled at each turn of the loop, with each allocation refused in turn. */
#include "provider_bed.h"

#include <string.h>

#include "base/mem.h"
#include "ipfs/explore.h"
#include "ipfs/lab.h"
#include "ipfs/lookup.h"
#include "net/host_state.h"

enum { SERVERS = 24, KEYS = 400, REFUSALS = 50, AWAY = 3 };

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
    bool holds; /* no dial is free for passes, and a server is away */
    struct region_part part;
    struct deferred turn;
    uint32_t turns; /* until it is canceled; UINT32_MAX: never */
    const struct op *op;
} x;

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
    x.u.explore = (struct explore){ .preimages = pbed_preimages(), .cb = on_explored };
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
    if (first && x.holds) {
        host_disconnect(x.b.host, &x.b.sinks.sink[AWAY].peer.id);
        x.b.host->dials += LIMIT_P2P_DIALS;
    }
    x.asked = true;
    return first;
}
static void on_ongoing(void *ctx UNUSED, int64_t keys)
{
    x.ongoing += keys;
}
static void on_part_done(void *ctx UNUSED, const struct region_part *part)
{
    x.part = *part;
}
static void on_region(void *ctx UNUSED, const struct error *err)
{
    x.region = NULL;
    ended(err);
}
static enum err region_begin_at(struct kad_prefix prefix, bool pending_only, struct error *err)
{
    struct region_options options = pbed_region(&x.b, x.dht, &x.record);
    options.prefix = prefix;
    options.pending_only = pending_only;
    options.lookups = &x.lookups;
    options.chunk_keys = 64;
    options.events = (struct region_events){
        .want = on_want, .ongoing = on_ongoing, .part_done = on_part_done, .done = on_region
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
    pbed_meet(&x.b, x.dht);
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
    memset(&x, 0, sizeof(x));
    pbed_make(&x.b, SERVERS);
    pbed_keys(&x.b, 0, KEYS);
    (void)pbed_preimages(); /* not in the midst of a test */
    pbed_record(&x.b, &x.record);
    x.dht = pbed_dht(&x.b);
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

/* ---- no dial is free ---- */

static struct dht_query query;
static void on_query(struct dht_query *q UNUSED, const struct error *err)
{
    ended(err);
}

static void query_begin(struct kad_peer *to)
{
    query = (struct dht_query){
        .to = to, .type = KAD_FIND_NODE, .key = peer_id_bytes(&to->id), .cb = on_query
    };
    x.ends = 0;
    dht_query(x.dht, &query);
}

/* The clock is turned while all that is out waits for a dial. */
static void turn_until_ended(const struct lookup *l)
{
    for (int i = 0; x.ends == 0 && i < 20000; i++) {
        bool held = true;
        for (uint32_t j = 0; l && j < KAD_K; j++)
            if (l->queries_[j].query.out_)
                held &= dht_open_is_held(&l->queries_[j].query.open_);
        if (held && (!l || l->waiting_ > 0))
            pbed_clock(&x.b, 1000, 1000);
        pbed_wait(&x.b, 1);
    }
    check(x.ends == 1, "its end is told once");
    x.b.called = false;
}

TEST(a_server_that_no_dial_was_free_for_is_not_blamed)
{
    world_up();
    struct kad_peer *live = &x.b.sinks.sink[AWAY].peer;
    dht_table_add(x.dht, live);
    pbed_clock(&x.b, 1, 1);
    x.b.host->dials += LIMIT_P2P_DIALS;
    query_begin(live);
    turn_until_ended(NULL);
    check(x.end.code == ERR_LIMIT && query.unasked, "it is we who did not ask");
    check(!dht_is_bad(x.dht, live) && dht_table_size(x.dht) == 1, "it is as good as before");
    /* One that gets a dial late has as much time as others. */
    query_begin(live);
    for (uint32_t ms = 0; ms < LIMIT_KAD_HELD_MS - 1000; ms += 1000) {
        pbed_clock(&x.b, 1000, 1000);
        pbed_wait(&x.b, 1);
    }
    check(x.ends == 0, "it waits");
    x.b.host->dials -= LIMIT_P2P_DIALS;
    turn_until_ended(NULL);
    check(!x.end.code && !query.unasked, "it has answered");
    /* What is the peer's own fault still is. */
    struct kad_peer dead = *live;
    uint8_t seed[32] = { 77 };
    struct peer_secret other;
    peer_secret_from_seed(seed, &other);
    dead.id = other.id;
    kad_of(peer_id_bytes(&dead.id), dead.kad);
    query_begin(&dead);
    pbed_await(&x.b, "somebody else is there");
    check(x.end.code && !query.unasked && dht_is_bad(x.dht, &dead), "and it is passed over");
    world_down();
}

TEST(who_could_not_be_asked_is_not_left_out)
{
    static const struct {
        const struct op *op;
        const struct lookup *lookup;
        enum err want;
    } cases[] = {
        { &ops[0], &x.u.lookup, ERR_OK },
        { &ops[1], &x.u.explore.lookup_, ERR_TIMEOUT },
        { &ops[2], &x.u.provide.lookup_, ERR_OK },
    };
    struct error err;
    world_up();
    pbed_clock(&x.b, 1, 1);
    run(&ops[1], UINT32_MAX, 0);
    check(!x.end.code && x.u.explore.count == SERVERS, "all are there, and connected");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        host_disconnect(x.b.host, &x.b.sinks.sink[AWAY].peer.id);
        pbed_wait(&x.b, 2);
        x.b.host->dials += LIMIT_P2P_DIALS;
        x.ends = 0;
        check(!cases[i].op->begin(&err), "begun");
        turn_until_ended(cases[i].lookup);
        check(x.end.code == cases[i].want, x.end.text);
        check(cases[i].lookup->unasked == 1 && (i < 2 || x.u.provide.unasked == 1), "told apart");
        check(!dht_is_bad(x.dht, &x.b.sinks.sink[AWAY].peer), "and not blamed");
        x.b.host->dials -= LIMIT_P2P_DIALS;
        run(cases[i].op, UINT32_MAX, 0);
        check(!x.end.code && cases[i].lookup->unasked == 0, "it is asked the next time");
    }
    world_down();
}

/* In the middle of a part: it is asked again, and who had records keeps them. */
TEST(a_pass_is_repeated_with_who_could_not_be_asked)
{
    struct error err;
    world_up();
    pbed_meet(&x.b, x.dht);
    pbed_clock(&x.b, 1, 1);
    x.holds = true;
    check(!region_begin(&err), "begun");
    while (!x.asked)
        pbed_wait(&x.b, 1);
    for (uint32_t ms = 0; ms < LIMIT_KAD_HELD_MS + 3000; ms += 1000) {
        pbed_wait(&x.b, 20);
        pbed_clock(&x.b, 1000, 1000);
    }
    check(x.ends == 0 && x.b.sinks.sink[AWAY].records == 0, "it waits for that one");
    x.b.host->dials -= LIMIT_P2P_DIALS;
    turn_until_ended(NULL);
    check(!x.end.code, x.end.text);
    check(x.part.sent == KEYS * KAD_K && x.part.reached == SERVERS, "each key on twenty");
    pbed_exact(&x.b, KEYS);
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
