#include "unit.h"

#include <stdlib.h>

#include "base/varint.h"
#include "codec/pb.h"
#include "proto/swarm.pb-c.h"
#include "vectors.h"

enum { MESSAGE_MAX = 8192 };

static struct mem_plan *plan;
static struct arena arena;

static void begin(size_t bytes_max)
{
    static const struct mem_row row = { "swarm", "refused", MEM_ELASTIC, 1 * MiB, 1, 2, true };
    struct error err = { ERR_OK, "" };
    check(!mem_plan_create(&plan, 256 * MiB, &row, 1, &err), err.text);
    arena_init(&arena, mem_plan_find(plan, "swarm"), 1024, bytes_max);
}

static void end(void)
{
    arena_free(&arena);
    mem_plan_destroy(plan); /* asserts that all came back */
}

static const struct {
    const char *name;
    const ProtobufCMessageDescriptor *type;
} types[] = {
    { "Headers", &swarm__headers__descriptor },
    { "pullsync Syn", &swarm__pullsync_syn__descriptor },
    { "pullsync Ack", &swarm__pullsync_ack__descriptor },
    { "pullsync Get", &swarm__pullsync_get__descriptor },
    { "pullsync Offer", &swarm__pullsync_offer__descriptor },
    { "pullsync Want", &swarm__pullsync_want__descriptor },
    { "pullsync Delivery", &swarm__pullsync_delivery__descriptor },
    { "pricing AnnouncePaymentThreshold", &swarm__announce_payment_threshold__descriptor },
    { "hive Peers", &swarm__peers__descriptor },
    { "pingpong Ping", &swarm__ping__descriptor },
    { "pingpong Pong", &swarm__pong__descriptor },
    { "status Get", &swarm__status_get__descriptor },
    { "status Snapshot", &swarm__status_snapshot__descriptor },
};

static const ProtobufCMessageDescriptor *type_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (!strcmp(types[i].name, name))
            return types[i].type;
    return NULL;
}

/* Reads a framed message, writes it again, compares. */
static void round_trip(const ProtobufCMessageDescriptor *type, yajl_val v, const char *key)
{
    static uint8_t raw[MESSAGE_MAX], again[MESSAGE_MAX];
    struct error err = { ERR_OK, "" };
    ProtobufCMessage *m;
    size_t size = vector_hex(v, key, raw, sizeof(raw));
    struct reader r = reader_of(bytes_of(raw, size));
    uint64_t body = reader_uvarint(&r);
    check(body == reader_left(&r), "its length");
    check(!pb_unpack(type, reader_take(&r, body), &arena, &m, &err), err.text);
    struct writer w = writer_of(again, sizeof(again));
    pb_put_delimited(&w, m);
    check(pb_size_delimited(m) == size, key);
    check(bytes_equal(bytes_of(raw, size), bytes_of(again, writer_used(&w))), "the same bytes");
    arena_reset(&arena);
}

TEST(messages_are_those_of_bee)
{
    yajl_val list = vector_get(vectors_load("swarm-vectors.json"), "messages_delimited");
    begin(64 * KiB);
    size_t known = 0;
    for (size_t i = 0; i < vector_count(list); i++) {
        yajl_val v = vector_at(list, i);
        const ProtobufCMessageDescriptor *type = type_of(vector_text(v, "message"));
        check(type, vector_text(v, "message"));
        round_trip(type, v, "delimited");
        known++;
    }
    check(known > 10, "vectors");
    yajl_val records = vector_get(vectors_load("swarm-vectors.json"), "handshake");
    for (size_t i = 0; i < vector_count(records); i++) {
        yajl_val v = vector_at(records, i);
        round_trip(&swarm__handshake_syn__descriptor, v, "syn_delimited");
        round_trip(&swarm__handshake_ack__descriptor, v, "ack_delimited");
        round_trip(&swarm__handshake_syn_ack__descriptor, v, "synack_delimited");
    }
    end();
}

TEST(fields_are_read_in_any_order_and_repeated_numbers_unpacked)
{
    static const uint8_t raw[] = { 0x10, 0x07, 0x08, 0x05, 0x08, 0x06, 0x1a, 0x01, 0x00 };
    ProtobufCMessage *m;
    begin(4096);
    check(
        !pb_unpack(&swarm__pullsync_ack__descriptor, bytes_of(raw, sizeof(raw)), &arena, &m, NULL),
        "read");
    const Swarm__PullsyncAck *ack = (Swarm__PullsyncAck *)m;
    check(ack->epoch == 7 && ack->n_cursors == 2, "both fields");
    check(ack->cursors[0] == 5 && ack->cursors[1] == 6, "in order");
    end();
}

static const struct {
    const char *why;
    uint8_t raw[8];
    size_t size;
} broken[] = {
    { "bytes cut short", { 0x0a, 0x05, 1 }, 3 },
    { "a tag cut short", { 0x80 }, 1 },
    { "a group", { 0x0b, 0x0c }, 2 },
    { "a length of 2^63", { 0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80 }, 8 },
    { "a number where bytes are", { 0x08, 0x01 }, 2 },
};

TEST(what_is_malformed_is_refused_with_a_sentence)
{
    begin(4096);
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        struct error err = { ERR_OK, "" };
        ProtobufCMessage *m = NULL;
        enum err rc = pb_unpack(&swarm__pullsync_want__descriptor,
                                bytes_of(broken[i].raw, broken[i].size), &arena, &m, &err);
        check(rc == ERR_MALFORMED && !m && err.text[0], broken[i].why);
        arena_reset(&arena);
    }
    end();
}

TEST(the_arena_bounds_what_a_message_may_cost)
{
    /* 2,000 unknown fields of two bytes each, which protobuf-c keeps one by one. */
    uint8_t raw[4000];
    struct error err = { ERR_OK, "" };
    ProtobufCMessage *m = NULL;
    for (size_t i = 0; i < sizeof(raw); i += 2) {
        raw[i] = 0x78;
        raw[i + 1] = 1;
    }
    begin(16 * KiB);
    check(pb_unpack(&swarm__pullsync_want__descriptor, bytes_of(raw, sizeof(raw)), &arena, &m,
                    &err) == ERR_BUDGET,
          "more than the arena holds");
    check(!m && strstr(err.text, "'swarm'"), err.text);
    arena_reset(&arena);
    check(!pb_unpack(&swarm__pullsync_want__descriptor, bytes_of(raw, 40), &arena, &m, &err),
          "a few of them are kept");
    arena_reset(&arena);
    mem_fault_at(1);
    arena_free(&arena);
    check(pb_unpack(&swarm__pullsync_want__descriptor, bytes_of(raw, 40), &arena, &m, &err) ==
              ERR_BUDGET,
          "the owner refuses");
    mem_fault_at(0);
    end();
}

TEST(what_does_not_fit_fails_the_writer)
{
    uint8_t small[4];
    uint8_t bits[] = { 1, 2, 3 };
    Swarm__PullsyncWant want = SWARM__PULLSYNC_WANT__INIT;
    want.bit_vector = pb_data(bytes_of(bits, sizeof(bits)));
    struct writer w = writer_of(small, sizeof(small));
    pb_put(&w, &want.base);
    check(w.overflow, "five bytes into four");
    check(pb_bytes(want.bit_vector).size == 3, "borrowed");
}
