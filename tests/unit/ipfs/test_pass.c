/* A pass has no more servers open than it may, counting those whose last answer is awaited, and
 * still brings every key to its servers: whatever the bound, and whoever fails. */
#include "ipfs/pass_state.h"
#include "provider_bed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ipfs/lab.h"

enum { SERVERS = 60, KEYS = 1000, FEW_KEYS = 300, CHUNK = 16, ANSWER_MS = 20 };

static struct world {
    struct provider_bed b;
    struct dht *dht;
    struct kad_record record;
    struct pass_server servers[SERVERS];
    struct pass *pass;
    uv_prepare_t turn;
    uint32_t most; /* open at once */
    uint32_t keys, expect;
    struct error end;
} x;

static bool is_open(const struct sender *s)
{
    return s->stream || s->state == SENDER_OPENING;
}

/* At every turn of the loop. */
static void on_turn(uv_prepare_t *turn UNUSED)
{
    uint32_t open = 0;
    for (uint32_t i = 0; x.pass && i < SERVERS; i++)
        open += is_open(&x.pass->senders[i]);
    x.most = MAX(x.most, open);
}

static void on_progress(void *ctx UNUSED, struct pass_progress *p)
{
    x.keys += p->keys;
}

static void on_end(void *ctx UNUSED, const struct error *err)
{
    x.pass = NULL;
    x.end = err ? *err : (struct error){ ERR_OK, "" };
    pbed_wake(&x.b);
}

static int by_place(const void *a, const void *b)
{
    uint64_t left = kad_first(((const struct pass_server *)a)->peer.kad);
    uint64_t right = kad_first(((const struct pass_server *)b)->peer.kad);
    return (left > right) - (left < right);
}

static void world_up(void)
{
    memset(&x, 0, sizeof(x));
    pbed_make(&x.b, SERVERS);
    x.b.sinks.answer_ms = ANSWER_MS;
    uv_prepare_init(loop_uv(x.b.loop), &x.turn);
    uv_prepare_start(&x.turn, on_turn);
    pbed_record(&x.b, &x.record);
    x.dht = pbed_dht(&x.b);
    for (uint32_t i = 0; i < SERVERS; i++)
        x.servers[i].peer = x.b.sinks.sink[i].peer;
    qsort(x.servers, SERVERS, sizeof(x.servers[0]), by_place);
}

static void world_with(uint32_t keys)
{
    world_up();
    pbed_keys(&x.b, 0, keys);
    x.expect = keys;
}

static void world_with_keys(void)
{
    world_with(KEYS);
}

static void world_down(void)
{
    pbed_wait(&x.b, 50); /* the servers' ends of the streams */
    uv_close((uv_handle_t *)&x.turn, NULL);
    dht_destroy(x.dht);
    pbed_end(&x.b);
}

static void run(uint32_t connections, const char *why)
{
    struct error err;
    const struct pass_options options = {
        .dht = x.dht,
        .keystore = x.b.ks,
        .work = x.b.pool,
        .mem = x.b.mem,
        .record = &x.record,
        .kind = KEYSTORE_KEYS,
        .servers = x.servers,
        .servers_count = SERVERS,
        .chunk_keys = CHUNK,
        .connections_max = connections,
        .stall_ms = x.b.stall_ms,
        .progress = on_progress,
        .cb = on_end,
    };
    x.most = x.keys = 0;
    check(!pass_start(&x.pass, &options, &err), err.text);
    pbed_await(&x.b, why);
    check(!x.end.code, x.end.text);
    check(x.keys == x.expect, "all keys");
}

static void check_all_there(void)
{
    uint64_t sent = 0, confirmed = 0;
    pbed_exact(&x.b, x.expect);
    for (uint32_t i = 0; i < SERVERS; i++) {
        sent += x.servers[i].sent;
        confirmed += x.servers[i].confirmed;
        check(x.b.sinks.sink[i].descents == 0, "in the order of the key space");
    }
    check(sent == x.expect * KAD_K && confirmed == sent, "each record once, and confirmed");
}

static const struct sink *sink_of(const struct pass_server *server)
{
    const struct sink *s = x.b.sinks.sink;
    while (!peer_id_equal(&s->peer.id, &server->peer.id))
        s++;
    return s;
}

static uint32_t streams(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < SERVERS; i++)
        n += x.b.sinks.sink[i].streams;
    return n;
}

static void forget(void)
{
    for (uint32_t i = 0; i < SERVERS; i++) {
        struct sink *s = &x.b.sinks.sink[i];
        s->records = s->sum = s->last = 0;
        s->streams = s->descents = 0;
        x.servers[i].sent = x.servers[i].confirmed = 0;
    }
}

TEST(no_more_servers_are_open_than_may_be)
{
    static const uint32_t bounds[] = { 20, 1, 2, 7, 21, 25, 30, 45 };
    world_with_keys();
    for (uint32_t i = 0; i < ARRAY_SIZE(bounds); i++) {
        run(bounds[i], "a pass ends");
        printf("# at most %u: %u open, %u streams\n", bounds[i], x.most, streams());
        check(x.most == bounds[i], "all places are used, and no more");
        check(bounds[i] < KAD_K || streams() < 4 * SERVERS, "kept while nobody needs the place");
        check_all_there();
        forget();
        x.b.sinks.answer_ms = 1; /* it was 20 */
    }
    world_down();
}

TEST(where_there_is_room_each_server_keeps_its_stream)
{
    world_with_keys();
    run(SERVERS, "a pass ends");
    check(x.most > 20 && x.most <= SERVERS && streams() <= SERVERS, "one to each");
    check_all_there();
    world_down();
}

static void check_outcome(void)
{
    for (uint32_t i = 0; i < SERVERS; i++) {
        const struct sink *s = sink_of(&x.servers[i]);
        bool bad = s->resets || s->stalls || s->mute;
        check(x.servers[i].failed == bad, "who is bad has failed, and nobody else");
        check(bad || s->records == x.servers[i].confirmed, "the others have what is theirs");
        check(bad || s->records > 0, "which is something");
    }
}

TEST(who_fails_leaves_its_place_to_the_next)
{
    world_with_keys();
    x.b.sinks.answer_ms = 1;
    for (uint32_t i = 0; i < SERVERS; i += 3)
        x.b.sinks.sink[i].resets = true;
    run(1, "nobody else would make room");
    check(x.most == 1, "one");
    check_outcome();
    world_down();
}

TEST(who_stands_still_keeps_its_place_no_longer_than_it_may)
{
    world_with_keys();
    x.b.sinks.answer_ms = 1;
    x.b.stall_ms = 2000;
    x.b.sinks.sink[10].stalls = true; /* reads no record */
    x.b.sinks.sink[40].mute = true;   /* reads them and answers nothing */
    run(1, "nobody else would make room");
    check(x.most == 1, "one");
    check_outcome();
    world_down();
}

/* So many keys there. */
static void add_keys(struct kad_prefix where, uint32_t count)
{
    uint8_t hash[34];
    for (uint64_t i = 0; count > 0; i++)
        if (kad_prefix_has(where, key_kad(lab_key(i, hash)))) {
            pbed_keys(&x.b, i, i + 1);
            x.expect++;
            count--;
        }
}

/* Who had keys of the first chunk only rests while the ring is full of others' keys, and makes room
 * for the servers of the last chunk: it is not waited for then. */
TEST(who_rests_when_the_last_chunk_comes_is_through)
{
    world_up();
    add_keys(lab_prefix("000000"), CHUNK);
    add_keys(lab_prefix("010000"), (LIMIT_PASS_RING - 1) * CHUNK);
    add_keys(lab_prefix("11"), CHUNK / 2);
    run(40, "a pass ends");
    check(x.most == 40 && streams() > 40, "some had to make room");
    check(streams() <= SERVERS, "none of them was opened again");
    world_down();
}

/* Servers end streams for reasons of their own: what is not proven goes over a new one. */
TEST(a_stream_that_is_closed_is_opened_again_twice)
{
    world_with_keys();
    x.b.sinks.answer_ms = 1;
    for (uint32_t i = 0; i < SERVERS; i += 4) {
        x.b.sinks.sink[i].cuts = 1 + i % 8 / 4; /* once or twice */
        x.b.sinks.sink[i].cut_after = i % 3;
    }
    run(20, "a pass ends");
    for (uint32_t i = 0; i < SERVERS; i++)
        check(!x.servers[i].failed && x.b.sinks.sink[i].cuts == 0, "nobody has failed");
    check_all_there();
    forget();
    x.b.sinks.sink[8].cuts = 3;
    x.b.sinks.sink[8].cut_after = 0; /* who reads more is served with less to a stream */
    x.b.sinks.sink[9].refuses = true;
    run(20, "a pass ends");
    for (uint32_t i = 0; i < SERVERS; i++)
        check(x.servers[i].failed == (sink_of(&x.servers[i]) == &x.b.sinks.sink[8] ||
                                      sink_of(&x.servers[i]) == &x.b.sinks.sink[9]),
              "but thrice");
    for (uint32_t i = 8; i <= 9; i++)
        check(dht_is_bad(x.dht, &x.b.sinks.sink[i].peer), "is too often");
    world_down();
}

/* ---- servers that take so many messages of a stream ---- */

/* Every fourth, by a reset or FIN. */
static void limit_streams(uint32_t takes)
{
    for (uint32_t i = 0; i < SERVERS; i += 4) {
        x.b.sinks.sink[i].takes = takes;
        x.b.sinks.sink[i].finishes = i % 8 == 0;
        x.b.sinks.sink[i].opened = x.b.sinks.sink[i].cut = 0;
    }
}

/* known: of each server, before the pass. */
static void check_streams(uint32_t takes, const bool known[SERVERS])
{
    for (uint32_t i = 0; i < SERVERS; i++) {
        const struct sink *s = sink_of(&x.servers[i]);
        uint32_t cut_max = s->takes == 0 || known[i] ? 0 : LIMIT_PASS_REOPENS;
        /* At least half of what it takes goes over each, but for the last of a chunk. */
        uint64_t most = s->records / MAX(takes / 4, 1U) + 3 + cut_max;
        check(s->cut <= cut_max, "what it takes is known then");
        check(s->opened <= most, "no more streams than that needs");
    }
}

TEST(a_server_gets_no_more_of_a_stream_than_it_reads)
{
    static const uint32_t takes[] = { 2, 3, 7, 50, 200 };
    for (uint32_t i = 0; i < ARRAY_SIZE(takes); i++) {
        world_with(FEW_KEYS);
        x.b.sinks.answer_ms = 0;
        limit_streams(takes[i]);
        for (uint32_t repeated = 0; repeated < 2; repeated++) {
            bool known[SERVERS];
            for (uint32_t j = 0; j < SERVERS; j++)
                known[j] = x.servers[j].messages_max > 0;
            run(SERVERS, "a pass ends");
            for (uint32_t j = 0; j < SERVERS; j++)
                check(!x.servers[j].failed, "nobody has failed");
            check_all_there();
            check_streams(takes[i], known);
            forget();
            limit_streams(takes[i]); /* counts anew; what it takes is remembered */
        }
        world_down();
    }
}

/* Not one record can be proven of who ends a stream at the first message, and of who takes few
 * others would wait too long. */
TEST(a_server_that_takes_too_little_of_a_stream_fails)
{
    static const struct {
        uint32_t takes, streams;
    } cases[] = { { 1, LIMIT_PASS_REOPENS + 1 },
                  { 2, LIMIT_PASS_REOPENS + LIMIT_PASS_SHORT_STREAMS + 1 } };
    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        world_with_keys();
        x.b.sinks.answer_ms = 0;
        x.b.sinks.sink[0].takes = x.b.sinks.sink[1].takes = cases[i].takes;
        x.b.sinks.sink[0].finishes = true;
        run(20, "a pass ends");
        for (uint32_t j = 0; j < SERVERS; j++) {
            const struct sink *s = sink_of(&x.servers[j]);
            bool bad = s == &x.b.sinks.sink[0] || s == &x.b.sinks.sink[1];
            check(x.servers[j].failed == bad, "it has failed, and nobody else");
            check(bad || s->records == x.servers[j].confirmed, "the others have what is theirs");
            check(!bad || s->opened <= cases[i].streams, "after so many streams");
        }
        world_down();
    }
}
