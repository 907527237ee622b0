/* Whole sessions of the pulling side: against our own server with another reserve, and against a
 * scripted one that misbehaves. */
#include "pullsync_bed.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/varint.h"
#include "core/work.h"
#include "net/stream_mem.h"
#include "swarm/pullsync_client.h"
#include "swarm/pullsync_server.h"

static struct bed bed;
static struct pullsync_server *server;
static struct pullsync_env env;
static uint8_t radius;
static bool stopped;
static const uint8_t overlay[OVERLAY_BYTES] = { 0x80 };

struct pull {
    struct pullsync_client c;
    bool done;
    struct error err;
};

static struct batches *the_batches(void *ctx UNUSED)
{
    return bed.batches;
}
static uint8_t the_radius(struct pullsync_client *c UNUSED)
{
    return radius;
}
static void on_stopped(void *ctx UNUSED)
{
    stopped = true;
}
static void on_pulled(struct pullsync_client *c, const struct error *err)
{
    struct pull *p = container_of(c, struct pull, c);
    check(!p->done, "called back once");
    p->done = true;
    if (err)
        p->err = *err;
}

static void make(void)
{
    struct error err = { ERR_OK, "" };
    bed_make(&bed, 2, 256 * MiB);
    radius = 0;
    struct pullsync_server_options o = { .loop = bed.loop,
                                         .reserve = bed.w[0].reserve,
                                         .mem = bed.mem };
    check(!pullsync_server_create(&server, &o, &err), err.text);
    env = (struct pullsync_env){ .loop = bed.loop,
                                 .work = bed.w[1].pool,
                                 .reserve = bed.w[1].reserve,
                                 .mem = bed.mem,
                                 .overlay = overlay,
                                 .batches = the_batches,
                                 .radius = the_radius };
    pullsync_env_init(&env, 0);
}

static void end(void)
{
    bed_turn(&bed, LIMIT_PULLSYNC_CLOSE_MS + 10);
    pullsync_env_end(&env);
    stopped = false;
    pullsync_server_stop(server, on_stopped, NULL);
    bed_turn(&bed, 100);
    check(stopped, "it stops");
    pullsync_server_destroy(server);
    bed_end(&bed);
}

static void pull_start(struct pull *p, uint8_t bin, uint64_t start, const struct protocol *peer)
{
    memset(p, 0, sizeof(*p));
    p->c.env = &env;
    p->c.bin = bin;
    p->c.start = start;
    p->c.cb = on_pulled;
    pullsync_client_start(&p->c);
    struct stream_mem_options o = { .loop = bed.loop,
                                    .mem = bed.streams,
                                    .protocol = pullsync_client_protocol(),
                                    .dialer_user = &p->c,
                                    .dialer = { 1, { 1 } },
                                    .listener = { 1, { 2 } },
                                    .listener_protocol =
                                        peer ? peer : pullsync_server_pages(server) };
    pullsync_client_opened(&p->c, stream_mem_open(&o));
}

TEST(a_page_is_pulled_and_the_next_pass_wants_nothing)
{
    static struct pull p;
    make();
    bed_put(&bed, 0, 0, 0, 60);
    uint64_t heard = 0;
    pull_start(&p, 0, 1, NULL);
    p.c.heard_ms = &heard;
    bed_turn(&bed, 2000);
    check(p.done && !p.err.code, p.err.text);
    check(heard > 0 && heard <= loop_now_ms(bed.loop), "its other sessions know that it lives");
    check(p.c.topmost == 60 && !p.c.again, "up to the last");
    check(p.c.counts.offered == 60 && p.c.counts.wanted == 60, "all were wanted");
    check(p.c.counts.delivered == 60 && p.c.counts.stored == 60, "and stored");
    check(bed_contains(&bed, 1, 0), "the other reserve has all of it");
    pull_start(&p, 0, 1, NULL);
    bed_turn(&bed, 2000);
    check(p.done && !p.err.code && p.c.topmost == 60, "the next pass");
    check(p.c.counts.present == 60 && p.c.counts.wanted == 0, "wants nothing");
    end();
}

TEST(a_parked_session_gets_what_is_stored_later)
{
    static struct pull p;
    make();
    bed_put(&bed, 0, 1, 0, 5);
    pull_start(&p, 1, 6, NULL);
    bed_turn(&bed, 3600 * 1000);
    check(!p.done && !pullsync_client_busy(&p.c), "it is parked");
    bed_put(&bed, 0, 1, 5, 2);
    bed_turn(&bed, 2000);
    check(p.done && p.c.topmost == 7 && p.c.counts.stored == 2, "then it has them");
    end();
}

TEST(chunks_below_the_radius_are_not_wanted)
{
    static struct pull p;
    make();
    bed_put(&bed, 0, 2, 0, 20);
    radius = 3;
    pull_start(&p, 2, 1, NULL);
    bed_turn(&bed, 2000);
    check(p.done && !p.err.code && p.c.topmost == 20, "the page is done");
    check(p.c.counts.wanted == 0, "and nothing of it wanted");
    end();
}

TEST(what_two_peers_offer_at_once_is_fetched_once)
{
    static struct pull p, q;
    make();
    bed_put(&bed, 0, 0, 0, 250);
    pull_start(&p, 0, 1, NULL);
    pull_start(&q, 0, 1, NULL);
    bed_turn(&bed, 2000);
    check(p.done && !p.err.code && q.done && !q.err.code, "both are done");
    check(p.c.counts.delivered + q.c.counts.delivered == 250, "each chunk came once");
    check(!p.c.again && !q.c.again, "and both may move on");
    check(bed_count(&bed, 1) == 250, "with all of it");
    end();
}

/* --- a scripted server ----------------------------------------------------------------------- */

struct script {
    struct stream *s;
    uint8_t in[4096], *out;
    size_t got, out_size, sent;
    uint32_t frames;
    struct bytes offer, deliveries;
    bool fin, silent, hold; /* after the deliveries; no answer to Want; wait for script_go */
};
static struct script script;
static uint8_t offer_bytes[64 << 10], delivery_bytes[2 << 20];

static void script_write(struct script *t, struct bytes b)
{
    t->out = (uint8_t *)b.data;
    t->out_size = b.size;
    t->sent = 0;
    stream_want_write(t->s);
}
static enum err script_open(struct stream *s, void *ctx, void **user)
{
    struct script *t = ctx;
    t->s = s;
    *user = t;
    return ERR_OK;
}
static size_t script_data(struct stream *s UNUSED, void *user, const uint8_t *bytes, size_t size)
{
    struct script *t = user;
    if (size == 0)
        return 0;
    check(t->got + size <= sizeof(t->in), "room");
    memcpy(t->in + t->got, bytes, size);
    t->got += size;
    for (size_t at = 0;;) {
        uint64_t n = 0;
        int head = uvarint_peek(bytes_of(t->in + at, t->got - at), &n);
        if (head <= 0 || t->got - at - (size_t)head < n) {
            memmove(t->in, t->in + at, t->got - at);
            t->got -= at;
            break;
        }
        at += (size_t)head + n;
        t->frames++;
    }
    if (t->frames == 1)
        script_write(t, bytes_of("\0", 1));
    else if (t->frames == 2 && !t->hold)
        script_write(t, t->offer);
    else if (t->frames == 3 && !t->silent)
        script_write(t, t->deliveries);
    return size;
}
static size_t script_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct script *t = user;
    size_t n = MIN(room, t->out_size - t->sent);
    memcpy(buf, t->out + t->sent, n);
    t->sent += n;
    if (t->frames == 3 && !t->silent && t->fin && t->sent == t->out_size)
        stream_finish(s);
    return n;
}
static void script_close(struct stream *s UNUSED, void *user, const struct error *err UNUSED,
                         uint32_t code UNUSED)
{
    ((struct script *)user)->s = NULL;
}
static const struct stream_ops script_ops = { script_open, script_data, script_writable,
                                              script_close };
static const struct protocol script_protocol = { .name = "script",
                                                 .ops = &script_ops,
                                                 .ctx = &script };

enum spoil {
    SPOIL_NONE,
    SPOIL_DATA,
    SPOIL_STAMP,
    SPOIL_SHORT,
    SPOIL_MISSING,
    SPOIL_UNASKED,
    SPOIL_TWICE,
    SPOIL_BATCH,
    SPOIL_NO_STAMP,
    SPOIL_OTHER
};

/* Offers chunks first.. of bin 0; the one at `at` is spoiled. */
static void script_prepare(uint32_t first, uint32_t count, uint32_t at, enum spoil spoil)
{
    static struct bed_chunk c;
    struct writer o = writer_of(offer_bytes, sizeof(offer_bytes));
    struct writer d = writer_of(delivery_bytes, sizeof(delivery_bytes));
    script = (struct script){ .fin = true };
    pullsync_offer_begin(&o, count, count);
    for (uint32_t i = 0; i < count; i++) {
        bed_chunk(&bed, &c, 0, first + i);
        if (i == at && spoil == SPOIL_BATCH) {
            memset(c.stamp, 0xee, 32);
            memset(c.id.batch, 0xee, 32);
            stamp_hash(c.id.stamp_hash, c.stamp);
        }
        if (i == at && spoil == SPOIL_OTHER)
            c.id.stamp_hash[0] ^= 1;
        pullsync_offer_entry(writer_reserve(&o, PULLSYNC_ENTRY_BYTES), &c.id);
        if (i == at && spoil == SPOIL_DATA)
            c.data[20] ^= 1;
        if (i == at && spoil == SPOIL_STAMP)
            c.stamp[60] ^= 1;
        if (i == at && spoil == SPOIL_UNASKED)
            bed_chunk(&bed, &c, 0, first + count + 1);
        if (i == at && spoil == SPOIL_TWICE)
            bed_chunk(&bed, &c, 0, first + i - 1);
        struct pullsync_delivery out = { bytes_of(c.id.address, 32), bytes_of(c.data, c.size),
                                         bytes_of(c.stamp, STAMP_BYTES) };
        if (i == at && spoil == SPOIL_SHORT)
            out.data.size = 5;
        if (i == at && spoil == SPOIL_NO_STAMP)
            out.stamp.size = 7;
        if (i == at && spoil == SPOIL_MISSING)
            out.address.size = 0;
        pullsync_delivery_encode(&d, &out);
    }
    check(!o.overflow && !d.overflow, "room");
    script.offer = bytes_of(offer_bytes, writer_used(&o));
    script.deliveries = bytes_of(delivery_bytes, writer_used(&d));
}

static const struct {
    const char *why;
    enum spoil spoil;
    enum pullsync_refusal want, also;
} spoils[] = {
    { "changed data", SPOIL_DATA, PULLSYNC_BAD_PROOF, PULLSYNC_REFUSALS },
    { "a changed stamp", SPOIL_STAMP, PULLSYNC_BAD_PROOF, PULLSYNC_REFUSALS },
    { "data too short", SPOIL_SHORT, PULLSYNC_MALFORMED, PULLSYNC_REFUSALS },
    { "a stamp too short", SPOIL_NO_STAMP, PULLSYNC_MALFORMED, PULLSYNC_REFUSALS },
    { "another stamp than was offered", SPOIL_OTHER, PULLSYNC_OTHER_STAMP, PULLSYNC_REFUSALS },
    { "an empty delivery", SPOIL_MISSING, PULLSYNC_MISSING, PULLSYNC_REFUSALS },
    { "a chunk nobody asked for", SPOIL_UNASKED, PULLSYNC_UNASKED, PULLSYNC_MISSING },
    { "a chunk that has come before", SPOIL_TWICE, PULLSYNC_UNASKED, PULLSYNC_MISSING },
    { "a batch nobody knows", SPOIL_BATCH, PULLSYNC_UNKNOWN_BATCH, PULLSYNC_REFUSALS },
};

TEST(one_bad_chunk_spoils_no_other)
{
    static struct pull p;
    make();
    for (uint32_t i = 0; i < ARRAY_SIZE(spoils); i++) {
        uint64_t before = bed_count(&bed, 1);
        script_prepare(100 * i, 10, 7, spoils[i].spoil);
        pull_start(&p, 0, 1, &script_protocol);
        bed_turn(&bed, 2000);
        check(p.done && !p.err.code, spoils[i].why);
        check(!p.c.again && p.c.topmost == 10, "the page is done");
        check(p.c.counts.refused[spoils[i].want] == 1, spoils[i].why);
        if (spoils[i].also < PULLSYNC_REFUSALS)
            check(p.c.counts.refused[spoils[i].also] == 1, spoils[i].why);
        check(bed_count(&bed, 1) == before + p.c.counts.stored, "the others are stored");
        check(p.c.counts.stored == p.c.counts.wanted - 1, "all of them");
        bed_turn(&bed, LIMIT_PULLSYNC_CLOSE_MS + 10);
    }
    end();
}

static const struct {
    const char *why, *offer;
    size_t size;
} offers[] = {
    { "topmost 2^64 - 1", "\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12 },
    { "an address of 31 bytes", "\x25\x08\x05\x12\x21\x0a\x1f...............................", 38 },
    { "nothing at all", "\0", 1 },
    { "a topmost and no chunk", "\2\x08\x05", 3 },
    { "no protobuf", "\3\xff\xff\xff", 4 },
    { "a length above 128 KiB", "\x81\x80\x08", 3 },
};

TEST(a_bad_offer_ends_the_session)
{
    static struct pull p;
    uint64_t hits = limit_hits(LIMIT_ID_PULLSYNC_MESSAGE_BYTES);
    make();
    for (uint32_t i = 0; i < ARRAY_SIZE(offers); i++) {
        script = (struct script){ .offer = bytes_of(offers[i].offer, offers[i].size) };
        pull_start(&p, 0, 1, &script_protocol);
        bed_turn(&bed, 100);
        check(p.done && p.err.code, offers[i].why);
    }
    check(limit_hits(LIMIT_ID_PULLSYNC_MESSAGE_BYTES) == hits + 1, "the long one is counted");
    struct writer o = writer_of(offer_bytes, sizeof(offer_bytes));
    pullsync_offer_begin(&o, 300, LIMIT_PULLSYNC_PAGE_CHUNKS + 1);
    for (uint32_t i = 0; i <= LIMIT_PULLSYNC_PAGE_CHUNKS; i++) {
        struct chunk_id id;
        memset(&id, (int)i + 1, sizeof(id));
        pullsync_offer_entry(writer_reserve(&o, PULLSYNC_ENTRY_BYTES), &id);
    }
    script = (struct script){ .offer = bytes_of(offer_bytes, writer_used(&o)) };
    pull_start(&p, 0, 1, &script_protocol);
    bed_turn(&bed, 100);
    check(p.done && p.err.code == ERR_LIMIT, "more than a page");
    end();
}

TEST(a_peer_that_stops_in_the_middle_loses_us_nothing)
{
    static struct pull p;
    make();
    script_prepare(0, 10, 0, SPOIL_NONE);
    script.deliveries.size = script.deliveries.size / 2; /* and FIN */
    pull_start(&p, 0, 1, &script_protocol);
    bed_turn(&bed, 2000);
    check(p.done && p.err.code == ERR_CLOSED, "it failed");
    check(p.c.counts.stored > 0 && bed_count(&bed, 1) == p.c.counts.stored,
          "what came before is kept");
    script_prepare(0, 10, 0, SPOIL_NONE);
    script.deliveries.size = 0;
    script.fin = false;
    pull_start(&p, 0, 1, &script_protocol);
    bed_turn(&bed, LIMIT_PULLSYNC_STALL_MS - 1000);
    check(!p.done && env.inflight.count > 0, "silence is borne for a minute");
    bed_turn(&bed, 2000);
    check(p.done && p.err.code == ERR_TIMEOUT, "and has an end");
    check(env.inflight.count == 0 && !p.c.page_, "it holds nothing any more");
    end();
}

TEST(a_peer_that_brings_chunks_elsewhere_has_time)
{
    static struct pull p;
    uint64_t heard = 0;
    make();
    script_prepare(0, 10, 0, SPOIL_NONE);
    script.silent = true;
    pull_start(&p, 0, 1, &script_protocol);
    p.c.heard_ms = &heard;
    for (uint64_t ms = 0; ms + 30000 < LIMIT_PULLSYNC_DELIVERY_MS; ms += 30000) {
        bed_turn(&bed, 30000);
        heard = loop_now_ms(bed.loop); /* another session */
        check(!p.done, "it holds us to its rate");
    }
    bed_turn(&bed, 31000);
    check(p.done && p.err.code == ERR_TIMEOUT, "but not for ever");
    end();
}

TEST(a_page_may_not_trickle_for_ever)
{
    static struct pull p;
    make();
    script_prepare(0, 200, 0, SPOIL_NONE);
    size_t whole = script.deliveries.size;
    script.fin = false;
    script.deliveries.size = whole / 20;
    pull_start(&p, 0, 1, &script_protocol);
    bed_turn(&bed, 10);
    for (uint32_t i = 0; i < 12 && script.s; i++) {
        bed_turn(&bed, LIMIT_PULLSYNC_STALL_MS - 10000);
        script.out_size += whole / 20;
        if (script.s)
            stream_want_write(script.s);
        bed_turn(&bed, 10);
    }
    bed_turn(&bed, 1000);
    check(p.done && p.err.code == ERR_TIMEOUT, "ten minutes are enough for a page");
    check(p.c.counts.stored > 100 && bed_count(&bed, 1) == p.c.counts.stored,
          "what came in time is kept");
    end();
}

TEST(an_offer_that_does_not_end_gives_its_place_back)
{
    static struct pull p[LIMIT_PULLSYNC_OFFERS_MIN + 1], q;
    make();
    bed_put(&bed, 0, 0, 0, 20);
    env.offers.limit = LIMIT_PULLSYNC_OFFERS_MIN;
    script_prepare(0, 10, 0, SPOIL_NONE);
    script.offer.size /= 2;
    for (uint32_t i = 0; i < LIMIT_PULLSYNC_OFFERS_MIN; i++) {
        script = (struct script){ .offer = script.offer };
        pull_start(&p[i], 0, 1, &script_protocol);
        bed_turn(&bed, 10);
    }
    pull_start(&q, 0, 1, NULL);
    bed_turn(&bed, 2000);
    check(!q.done, "all places are taken");
    bed_turn(&bed, LIMIT_PULLSYNC_OFFER_MS);
    for (uint32_t i = 0; i < LIMIT_PULLSYNC_OFFERS_MIN; i++)
        check(p[i].done && p[i].err.code == ERR_TIMEOUT, "who does not end goes");
    check(q.done && !q.err.code && q.c.counts.stored == 20, "and the honest one has its turn");
    end();
}

TEST(what_the_first_peer_fails_to_bring_is_asked_of_the_second)
{
    static struct pull p, q;
    make();
    bed_put(&bed, 0, 0, 0, 250);
    script_prepare(0, 250, 0, SPOIL_NONE);
    script.silent = true;
    pull_start(&p, 0, 1, &script_protocol);
    bed_turn(&bed, 10);
    check(!p.done && p.c.counts.wanted == 250, "the first has promised all");
    pull_start(&q, 0, 1, NULL);
    bed_turn(&bed, 10);
    check(!q.done && q.c.counts.wanted == 0, "so the second waits");
    pullsync_client_cancel(&p.c);
    bed_turn(&bed, 10);
    check(p.done && p.err.code == ERR_CANCELED, "the first fails");
    check(q.done && !q.err.code && q.c.again, "and the second asks again");
    check(bed_count(&bed, 1) == 0, "no interval passed a hole");
    pull_start(&q, 0, 1, NULL);
    bed_turn(&bed, 100);
    check(q.done && !q.err.code && !q.c.again && bed_count(&bed, 1) == 250, "its own peer");
    end();
}

TEST(wants_wait_for_memory)
{
    static struct pull p;
    make();
    bed_put(&bed, 0, 0, 0, 250);
    uint64_t left = 800000, hog = bed.mem->ceiling_bytes - bed.mem->used_bytes - left;
    check(mem_take(bed.mem, hog), "nearly all is taken");
    pull_start(&p, 0, 1, NULL);
    bed_turn(&bed, 1000);
    check(!p.done && !strcmp(pullsync_client_step(&p.c), "waiting for memory"), "it waits");
    check(bed_count(&bed, 1) == 0, "and has not asked for a chunk");
    mem_give(bed.mem, hog);
    bed_turn(&bed, 1000);
    check(p.done && !p.err.code && p.c.counts.stored == 250, "until there is room");
    end();
}

TEST(the_rate_is_one_for_all)
{
    static struct pull p, q;
    make();
    pull_rate_set(&env.rate, 100);
    bed_put(&bed, 0, 0, 0, 100);
    bed_put(&bed, 0, 1, 0, 100);
    pull_start(&p, 0, 1, NULL);
    pull_start(&q, 1, 1, NULL);
    bed_turn(&bed, 1100);
    check(p.done != q.done, "a second's worth at once, for whoever was first");
    bed_turn(&bed, 1000);
    check(p.done && !p.err.code && q.done && !q.err.code, "the rest a second later");
    end();
}

TEST(what_was_paid_for_nothing_is_given_back)
{
    static struct pull p, q;
    make();
    pull_rate_set(&env.rate, 100);
    bed_put(&bed, 0, 0, 0, 100);
    bed_put(&bed, 0, 1, 0, 100);
    pull_start(&p, 0, 1, NULL);
    pull_start(&q, 1, 1, NULL);
    for (int i = 0; i < 150 && !p.done && !q.done; i++)
        bed_turn(&bed, 10);
    struct pull *first = p.done ? &p : &q, *second = p.done ? &q : &p;
    check(first->done && !second->done && first->c.paid_.paid == 100,
          "the first has paid for all there was");
    pull_rate_refund(&env.rate, 100);
    check(second->c.paid_.paid == 0, "nobody is called inside");
    bed_turn(&bed, 10);
    check(second->c.paid_.paid == 100, "and the next one need not wait a second");
    bed_turn(&bed, 1100);
    check(second->done && !second->err.code, "it ends");
    end();
}

/* --- canceled at each step, refused each allocation ------------------------------------------- */

struct canceler {
    struct deferred d;
    struct pullsync_client *c;
    uint32_t turns;
};
static void on_turn(struct deferred *d)
{
    struct canceler *k = container_of(d, struct canceler, d);
    if (k->turns-- == 0)
        pullsync_client_cancel(k->c);
    else
        loop_defer(bed.loop, d, on_turn);
}

TEST(it_can_be_canceled_at_each_step)
{
    static struct pull p;
    uint32_t canceled = 0, bin = 0;
    make();
    bed_put(&bed, 0, 0, 0, 250);
    for (uint32_t turns = 0; turns < 30000; turns += 1 + turns / 6) {
        pull_start(&p, (uint8_t)bin, 1, NULL);
        struct canceler k = { .c = &p.c, .turns = turns };
        loop_defer(bed.loop, &k.d, on_turn);
        bed_turn(&bed, 20);
        check(p.done, "it ends");
        check(!p.err.code || p.err.code == ERR_CANCELED, p.err.text);
        check(env.inflight.count == 0, "and claims nothing");
        canceled += p.err.code == ERR_CANCELED;
    }
    check(canceled > 5, "some were canceled");
    pull_start(&p, 0, 1, NULL);
    bed_turn(&bed, 100);
    check(p.done && !p.err.code && bed_count(&bed, 1) == 250, "the last one completes");
    end();
}

TEST(each_refused_allocation_is_survived)
{
    static struct pull p;
    make();
    bed_put(&bed, 0, 0, 0, 250);
    for (uint32_t n = 1; n < 120; n++) {
        mem_fault_at(n);
        pull_start(&p, 0, 1 + n, NULL);
        bed_turn(&bed, 3000);
        mem_fault_at(0);
        check(mem_take(bed.streams, 1), "who waits is served when something is given back");
        mem_give(bed.streams, 1);
        bed_turn(&bed, 3000);
        check(p.done, "it ends or waits its turn");
        check(env.inflight.count == 0, "and claims nothing");
    }
    pull_start(&p, 0, 1, NULL);
    bed_turn(&bed, 2000);
    check(p.done && !p.err.code && bed_count(&bed, 1) == 250, "all is there at last");
    end();
}
