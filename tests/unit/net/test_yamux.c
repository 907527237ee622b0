#include "unit.h"
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/yamux.h"

enum { STREAMS = 600, WIRE_BYTES = 1 << 20 };

/* One end: streams of a fixed table, what came in, what is to be said. */
struct end;
struct test_stream {
    struct yamux_stream y;
    struct end *end;
    bool used, gone, fin, echo;
    enum yamux_end how;
    uint32_t code;
    uint64_t got, sent, to_send;
    uint8_t held[300 << 10]; /* what an echo still has to say, or nobody consumed */
    size_t held_size, held_at;
};
struct end {
    struct yamux y;
    struct test_stream *streams;
    uint32_t count, acked, pongs, go_aways;
    bool echo, hungry, refuse; /* echo what comes; consume what comes; open nothing */
    uint8_t wire[WIRE_BYTES];
    size_t wire_size;
};

static struct end *end_of(struct yamux *y)
{
    return container_of(y, struct end, y);
}
static struct test_stream *stream_of(struct yamux_stream *s)
{
    return container_of(s, struct test_stream, y);
}

static struct test_stream *stream_new(struct end *e)
{
    check(e->count < STREAMS, "room for streams");
    struct test_stream *t = &e->streams[e->count++];
    t->used = true;
    t->end = e;
    t->echo = e->echo;
    return t;
}
static struct yamux_stream *on_open(struct yamux *y, uint32_t *code)
{
    *code = 77;
    return end_of(y)->refuse ? NULL : &stream_new(end_of(y))->y;
}
static void on_acked(struct yamux *y, struct yamux_stream *s UNUSED)
{
    end_of(y)->acked++;
}
static void on_data(struct yamux *y, struct yamux_stream *s, struct bytes b)
{
    struct test_stream *t = stream_of(s);
    for (size_t i = 0; i < b.size; i++)
        check(b.data[i] == (uint8_t)((t->got + i) * 7), "the bytes come in order");
    t->got += b.size;
    if (t->echo) {
        check(t->held_size + b.size <= sizeof(t->held), "a window holds it");
        memcpy(t->held + t->held_size, b.data, b.size);
        t->held_size += b.size;
        yamux_want_write(s);
    } else if (end_of(y)->hungry) {
        yamux_consumed(s, (uint32_t)b.size);
    }
}
static void on_fin(struct yamux *y UNUSED, struct yamux_stream *s)
{
    struct test_stream *t = stream_of(s);
    t->fin = true;
    if (t->echo && t->held_size == 0)
        yamux_finish(s);
}
static size_t on_writable(struct yamux *y UNUSED, struct yamux_stream *s, uint8_t *buf, size_t room)
{
    struct test_stream *t = stream_of(s);
    if (t->echo) {
        size_t n = MIN(room, t->held_size);
        memcpy(buf, t->held, n);
        memmove(t->held, t->held + n, t->held_size - n);
        t->held_size -= n;
        yamux_consumed(s, (uint32_t)n);
        if (t->fin && t->held_size == 0)
            yamux_finish(s);
        return n;
    }
    size_t n = MIN(room, t->to_send - t->sent);
    for (size_t i = 0; i < n; i++)
        buf[i] = (uint8_t)((t->sent + i) * 7);
    t->sent += n;
    if (t->sent == t->to_send)
        yamux_finish(s);
    return n;
}
static void on_gone(struct yamux *y UNUSED, struct yamux_stream *s, enum yamux_end how,
                    uint32_t code)
{
    struct test_stream *t = stream_of(s);
    check(!t->gone, "gone once");
    t->gone = true;
    t->how = how;
    t->code = code;
}
static void on_pong(struct yamux *y)
{
    end_of(y)->pongs++;
}
static void on_go_away(struct yamux *y, uint32_t code UNUSED)
{
    end_of(y)->go_aways++;
}
static const struct yamux_ops ops = { on_open,     on_acked, on_data, on_fin,
                                      on_writable, on_gone,  on_pong, on_go_away };

static struct end *end_new(bool dialer)
{
    struct end *e = calloc(1, sizeof(*e));
    e->streams = calloc(STREAMS, sizeof(*e->streams));
    e->hungry = true;
    yamux_init(&e->y, dialer, &ops, 0);
    return e;
}
static void end_free(struct end *e)
{
    yamux_close(&e->y);
    for (uint32_t i = 0; i < e->count; i++)
        check(e->streams[i].gone, "every stream is gone at the end");
    check(e->y.streams_in == 0 && e->y.streams_out == 0 && e->y.unacked == 0, "counts are zero");
    free(e->streams);
    free(e);
}
static struct test_stream *open_stream(struct end *e, uint64_t to_send)
{
    struct test_stream *t = stream_new(e);
    t->echo = false;
    t->to_send = to_send;
    check(yamux_open(&e->y, &t->y), "opens");
    if (to_send > 0)
        yamux_want_write(&t->y);
    return t;
}

/* Moves what from has to say to to, in blocks and pieces of random size. */
static size_t carry(struct end *from, struct end *to, size_t piece)
{
    static uint8_t block[65519];
    struct writer w = writer_of(block, piece == 1 ? sizeof(block) : 2000 + (size_t)rand() % 63519);
    struct error err = { ERR_OK, "" };
    yamux_fill(&from->y, &w);
    size_t size = writer_used(&w);
    for (size_t at = 0; at < size;) {
        size_t most = piece ? piece : 1 + (size_t)rand() % 5000, n = MIN(size - at, most);
        check(!yamux_feed(&to->y, bytes_of(block + at, n), 0, &err), err.text);
        at += n;
    }
    return size;
}
static void carry_all(struct end *a, struct end *b, size_t piece)
{
    while (carry(a, b, piece) + carry(b, a, piece) > 0) {
    }
    check(!yamux_wants_fill(&a->y) && !yamux_wants_fill(&b->y), "quiet");
}

TEST(three_hundred_thousand_bytes_come_back)
{
    for (size_t piece = 0; piece <= 1; piece++) {
        struct end *d = end_new(true), *l = end_new(false);
        l->echo = true;
        struct test_stream *t = open_stream(d, 300000);
        carry_all(d, l, piece);
        check(t->got == 300000 && t->fin && t->gone && t->how == YAMUX_END_CLOSED, "echoed");
        check(l->streams[0].gone && d->acked == 1, "both are done");
        end_free(d);
        end_free(l);
    }
}

TEST(many_streams_both_ways)
{
    srand(1);
    struct end *d = end_new(true), *l = end_new(false);
    d->echo = l->echo = true;
    for (int i = 0; i < 40; i++) {
        open_stream(d, 1 + (uint64_t)rand() % 400000);
        open_stream(l, 1 + (uint64_t)rand() % 400000);
    }
    carry_all(d, l, 0);
    for (int i = 0; i < 80; i++) {
        struct test_stream *a = &d->streams[i], *b = &l->streams[i];
        check(a->gone && a->how == YAMUX_END_CLOSED && b->gone, "closed by FIN");
        check(a->to_send == 0 || a->got == a->to_send, "all of it");
    }
    end_free(d);
    end_free(l);
}

/* Frames by hand, to a listener. */
static enum err frame(struct end *e, uint8_t type, uint16_t flags, uint32_t id, uint32_t length)
{
    uint8_t h[12];
    struct writer w = writer_of(h, sizeof(h));
    writer_u8(&w, 0);
    writer_u8(&w, type);
    writer_be16(&w, flags);
    writer_be32(&w, id);
    writer_be32(&w, length);
    return yamux_feed(&e->y, bytes_of(h, sizeof(h)), 0, NULL);
}
static enum err body(struct end *e, uint64_t from, size_t size)
{
    uint8_t buf[4096];
    enum err rc = ERR_OK;
    for (size_t at = 0; at < size && !rc; at += sizeof(buf)) {
        size_t n = MIN(sizeof(buf), size - at);
        for (size_t i = 0; i < n; i++)
            buf[i] = (uint8_t)((from + at + i) * 7);
        rc = yamux_feed(&e->y, bytes_of(buf, n), 0, NULL);
    }
    return rc;
}
/* What it says next, as hex of whole headers; data bodies are left out. */
static const char *says(struct end *e)
{
    static char text[16384];
    uint8_t block[65519];
    struct writer w = writer_of(block, sizeof(block));
    yamux_fill(&e->y, &w);
    size_t n = 0;
    for (size_t at = 0; at < writer_used(&w); at += 12) {
        check(n + 26 < sizeof(text), "room");
        for (int i = 0; i < 12; i++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%02x", block[at + (size_t)i]);
        text[n++] = ' ';
        if (block[at + 1] == 0)
            at += be32_decode(block + at + 8);
    }
    text[n ? n - 1 : 0] = '\0';
    return text;
}

#define ACK1 "000100020000000100000000"
#define GO_AWAY1 "000300000000000000000001"
struct step {
    uint8_t type;
    uint16_t flags;
    uint32_t id, length;
    size_t body;
};
enum { DATA, WINDOW, PING, GONE };
enum { SYN = 1, ACK = 2, FIN = 4, RST = 8 };
static const struct {
    const char *why;
    struct step steps[4];
    enum err want; /* of the last step */
    uint32_t streams_after;
    const char *says; /* after a failure or at the end */
} table[] = {
    { "SYN", { { WINDOW, SYN, 1, 0, 0 } }, ERR_OK, 1, ACK1 },
    { "data with SYN and FIN", { { DATA, SYN | FIN, 1, 5, 5 } }, ERR_OK, 1, ACK1 },
    { "an unknown type", { { 4, 0, 0, 0, 0 } }, ERR_PROTOCOL, 0, GO_AWAY1 },
    { "wrong parity", { { WINDOW, SYN, 2, 0, 0 } }, ERR_PROTOCOL, 0, GO_AWAY1 },
    { "SYN for the session", { { WINDOW, SYN, 0, 0, 0 } }, ERR_PROTOCOL, 0, GO_AWAY1 },
    { "SYN for a live id",
      { { WINDOW, SYN, 1, 0, 0 }, { WINDOW, SYN, 1, 0, 0 } },
      ERR_PROTOCOL,
      1,
      GO_AWAY1 },
    { "a lower id than the last",
      { { WINDOW, SYN, 5, 0, 0 }, { WINDOW, SYN, 3, 0, 0 } },
      ERR_OK,
      2,
      "000100020000000500000000 000100020000000300000000" },
    { "the whole window", { { DATA, SYN, 1, 262144, 262144 } }, ERR_OK, 1, ACK1 },
    { "a byte beyond the window",
      { { DATA, SYN, 1, 262144, 262144 }, { DATA, 0, 1, 1, 0 } },
      ERR_PROTOCOL,
      1,
      GO_AWAY1 },
    { "a length beyond the window", { { DATA, SYN, 1, 262145, 0 } }, ERR_PROTOCOL, 1, GO_AWAY1 },
    { "credit saturates",
      { { WINDOW, SYN, 1, 0xffffffff, 0 }, { WINDOW, 0, 1, 0xffffffff, 0 } },
      ERR_OK,
      1,
      ACK1 },
    { "data after FIN",
      { { WINDOW, SYN | FIN, 1, 0, 0 }, { DATA, 0, 1, 1, 1 } },
      ERR_OK,
      1,
      "000100080000000100000000" },
    { "nothing after FIN, twice",
      { { WINDOW, SYN | FIN, 1, 0, 0 }, { DATA, FIN, 1, 0, 0 } },
      ERR_OK,
      1,
      ACK1 },
    { "reset", { { WINDOW, SYN, 1, 0, 0 }, { WINDOW, RST, 1, 42, 0 } }, ERR_OK, 0, "" },
    { "reset with data", { { WINDOW, SYN, 1, 0, 0 }, { DATA, RST, 1, 5, 5 } }, ERR_OK, 0, "" },
    { "data for an unknown id", { { DATA, 0, 9, 3, 3 } }, ERR_OK, 0, "" },
    { "data for the session", { { DATA, 0, 0, 3, 3 } }, ERR_OK, 0, "" },
    { "credit for an unknown id", { { WINDOW, 0, 9, 100, 0 } }, ERR_OK, 0, "" },
    { "FIN for an unknown id", { { WINDOW, FIN, 9, 0, 0 } }, ERR_OK, 0, "" },
    { "a ping", { { PING, SYN, 0, 0xdeadbeef, 0 } }, ERR_OK, 0, "0002000200000000deadbeef" },
    { "an answer nobody asked for", { { PING, ACK, 0, 99, 0 } }, ERR_OK, 0, "" },
    { "go away", { { GONE, 0, 0, 0x1005, 0 } }, ERR_OK, 0, "" },
};

TEST(frames_one_by_one)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct end *l = end_new(false);
        l->hungry = false;
        enum err rc = ERR_OK;
        for (size_t k = 0; k < 4 && !rc; k++) {
            const struct step *s = &table[i].steps[k];
            if (k > 0 && s->type == 0 && s->flags == 0 && s->length == 0)
                break;
            rc = frame(l, s->type, s->flags, s->id, s->length);
            if (!rc)
                rc = body(l, 0, s->body);
        }
        check(rc == table[i].want, table[i].why);
        check(l->y.streams_in == table[i].streams_after, table[i].why);
        check(!strcmp(says(l), table[i].says), table[i].why);
        check(!strcmp(says(l), ""), "and says it once");
        end_free(l);
    }
    struct end *l = end_new(false);
    check(yamux_feed(&l->y, bytes_of("\x01", 1), 0, NULL) == ERR_OK, "a version alone");
    check(yamux_feed(&l->y, bytes_of("12345678901", 11), 0, NULL) == ERR_PROTOCOL, "another one");
    end_free(l);
}

/* The vectors are what a go listener did. We do the same but where our table says otherwise. */
static bool we_differ(const char *name)
{
    static const char *const names[] = { "data after FIN", "1001 streams",
                                         "257 streams nobody accepts" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

TEST(what_a_go_listener_was_sent)
{
    yajl_val all =
        vector_get(vectors_load("libp2p-vectors.json"), "yamux_probe_of_go_yamux_server");
    for (size_t i = 0; i < vector_count(all); i++) {
        yajl_val v = vector_at(all, i);
        const char *name = vector_text(v, "name");
        struct end *l = end_new(false);
        yajl_val in = vector_get(v, "in");
        enum err rc = ERR_OK;
        l->hungry = false;
        for (size_t k = 0; k < vector_count(in) && !rc && !we_differ(name); k++) {
            yajl_val f = vector_at(in, k);
            uint8_t h[12];
            check(vector_hex(f, "header", h, sizeof(h)) == 12, name);
            rc = yamux_feed(&l->y, bytes_of(h, 12), 0, NULL);
            struct test_stream *t = &l->streams[0];
            t->got = 0;
            size_t size = h[1] == 0 ? be32_decode(h + 8) : 0;
            rc = rc ? rc : body(l, 0, size);
        }
        bool closed = vector_bool(v, "closed_by_server") && !strstr(name, "go away");
        check((rc == ERR_PROTOCOL) == (closed && !we_differ(name)), name);
        check(l->go_aways == (strstr(name, "go away") ? 1 : 0), name);
        end_free(l);
    }
}

TEST(credit_comes_back_in_halves_of_a_window)
{
    struct end *l = end_new(false);
    l->hungry = false;
    check(!frame(l, DATA, SYN, 1, 200000) && !body(l, 0, 200000), "data");
    check(!strcmp(says(l), ACK1), "nothing is consumed, no credit");
    yamux_consumed(&l->streams[0].y, 131071);
    check(!strcmp(says(l), ""), "a byte less than half");
    yamux_consumed(&l->streams[0].y, 1);
    check(!strcmp(says(l), "000100000000000100020000"), "half a window");
    check(!frame(l, DATA, 0, 1, 262144 - 200000 + 131072), "so much may follow");
    end_free(l);
}

TEST(a_writer_waits_for_credit)
{
    struct end *d = end_new(true);
    struct test_stream *t = open_stream(d, 1000000);
    for (int i = 0; i < 10; i++)
        says(d);
    check(t->sent == 262144 && !yamux_wants_fill(&d->y), "a window and no more");
    for (int i = 0; i < 1023; i++)
        check(!frame(d, WINDOW, ACK, 1, 1) && !yamux_wants_fill(&d->y), "credit by the byte waits");
    check(!frame(d, WINDOW, 0, 1, 1) && yamux_wants_fill(&d->y), "until it is a KiB");
    check(!strcmp(says(d), "000000000000000100000400"), "one frame for it");
    check(!frame(d, WINDOW, 0, 1, 0xffffffff) && !frame(d, WINDOW, 0, 1, 0xffffffff), "saturates");
    check(t->y.send_credit == UINT32_MAX, "at 2^32 - 1");
    end_free(d);
}

TEST(a_frame_and_its_header_fit_one_record)
{
    struct end *d = end_new(true);
    struct test_stream *one = open_stream(d, 1000000);
    uint8_t block[65519];
    struct writer w = writer_of(block, 12);
    yamux_fill(&d->y, &w); /* the SYN alone */
    w = writer_of(block, sizeof(block));
    yamux_fill(&d->y, &w);
    check(writer_used(&w) == sizeof(block) && one->sent == LIMIT_YAMUX_FRAME_BYTES, "alone");
    struct test_stream *two = open_stream(d, 1000000);
    w = writer_of(block, sizeof(block));
    uint64_t before = one->sent;
    yamux_fill(&d->y, &w);
    check(one->sent - before == 2 * 16384 && two->sent > 16384, "two take turns");
    end_free(d);
}

TEST(a_reset_before_the_first_word_is_not_sent)
{
    struct end *d = end_new(true);
    struct test_stream *t = open_stream(d, 0);
    yamux_reset(&t->y, 5);
    check(!t->gone && !strcmp(says(d), "") && t->gone && t->how == YAMUX_END_LOCAL,
          "never heard of");
    t = open_stream(d, 0);
    check(!strcmp(says(d), "000100010000000300000000"), "ids are not used again");
    yamux_reset(&t->y, 5);
    yamux_reset(&t->y, 6);
    check(!strcmp(says(d), "000100080000000300000005"), "the first code");
    end_free(d);
}

TEST(a_window_may_be_wider)
{
    struct end *d = end_new(true), *l = end_new(false);
    struct test_stream *t = stream_new(d);
    t->y.more = 3 * LIMIT_YAMUX_WINDOW_BYTES;
    check(yamux_open(&d->y, &t->y), "opens");
    check(!strcmp(says(d), "0001000100000001000c0000"), "told with the SYN");
    check(!frame(l, WINDOW, SYN, 1, 3 * LIMIT_YAMUX_WINDOW_BYTES), "heard");
    check(l->streams[0].y.send_credit == 4 * LIMIT_YAMUX_WINDOW_BYTES, "and used");
    l->streams[0].y.more = 0;
    check(!strcmp(says(l), ACK1), "the other direction is as it was");
    end_free(l);
    end_free(d);
}

TEST(a_small_answer_goes_at_once_or_not_at_all)
{
    struct end *d = end_new(true);
    struct test_stream *t = open_stream(d, 0);
    uint8_t block[64];
    struct writer w = writer_of(block, sizeof(block));
    check(yamux_write_now(&t->y, bytes_of("hello", 5), &w) == 5, "SYN, then data");
    check(writer_used(&w) == 12 + 12 + 5 && block[3] == 1 && !memcmp(block + 24, "hello", 5), "so");
    check(yamux_write_now(&t->y, bytes_of(block, 40), &w) == 0, "no room");
    yamux_finish(&t->y);
    w = writer_of(block, sizeof(block));
    check(yamux_write_now(&t->y, bytes_of("x", 1), &w) == 0, "after FIN");
    yamux_want_write(&t->y);
    check(!strcmp(says(d), "000100040000000100000000"), "FIN and no data");
    end_free(d);
}

TEST(streams_have_limits)
{
    struct end *l = end_new(false), *d = end_new(true);
    for (uint32_t i = 0; i < LIMIT_YAMUX_STREAMS_IN; i++)
        check(!frame(l, WINDOW, SYN, 1 + 2 * i, 0), "256 are taken");
    check(l->y.streams_in == 256, "all of them");
    for (int i = 0; i < 10; i++)
        says(l);
    check(!frame(l, WINDOW, SYN, 1001, 0) && l->y.refused == 1, "the next is refused");
    check(!strcmp(says(l), "00010008000003e900001002"), "with a code");
    l->y.tokens_ = 10;
    for (uint32_t i = 0; i < LIMIT_YAMUX_REFUSALS; i++)
        check(!frame(l, WINDOW, SYN, 1003 + 2 * i, 0), "so are some more");
    check(frame(l, WINDOW, SYN, 2001, 0) == ERR_PROTOCOL, "until nobody listens to refusals");
    for (int i = 0; i < LIMIT_YAMUX_STREAMS_UNACKED; i++)
        open_stream(d, 0);
    struct test_stream *t = stream_new(d);
    check(!yamux_open(&d->y, &t->y), "65 unacknowledged");
    says(d);
    check(!frame(d, WINDOW, ACK, 1, 0) && yamux_open(&d->y, &t->y), "one came back");
    end_free(l);
    end_free(d);
    l = end_new(false);
    l->refuse = true;
    check(!frame(l, WINDOW, SYN, 1, 0), "refused by its user");
    check(!strcmp(says(l), "00010008000000010000004d"), "with the user's code");
    end_free(l);
}

/* The same thing again and again, a second apart or all at once. */
static int until_closed(uint8_t type, uint16_t flags, int per_second, int seconds)
{
    struct end *l = end_new(false);
    uint32_t id = 1;
    enum err rc = ERR_OK;
    int passed = 0;
    for (; passed < seconds && !rc; passed++) {
        for (int k = 0; k < per_second && !rc; k++, id += 2) {
            uint8_t h[12] = {
                0, type, 0, (uint8_t)flags, 0, (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id
            };
            rc = yamux_feed(&l->y, bytes_of(h, 12), (uint64_t)passed * 1000, NULL);
            uint8_t block[256];
            struct writer w = writer_of(block, sizeof(block));
            yamux_fill(&l->y, &w);
        }
        l->count = 0; /* the table is used again: refused and gone ones are done with */
        yamux_close(&l->y);
        memset(l->streams, 0, STREAMS * sizeof(*l->streams));
    }
    free(l->streams);
    free(l);
    return rc ? passed : 0;
}

TEST(floods_end_the_session)
{
    check(until_closed(PING, SYN, 100, 20) == 0, "100 pings per second are answered");
    check(until_closed(PING, SYN, 101, 20) == 6, "101 for five seconds are not");
    check(until_closed(WINDOW, SYN, 1001, 20) == 6, "1001 streams per second");
    check(until_closed(PING, ACK, 33, 20) == 1, "answers nobody asked for");
}

TEST(rapid_reset)
{
    struct end *l = end_new(false);
    enum err rc = ERR_OK;
    uint64_t ms = 0;
    for (; ms < 20000 && !rc; ms += 1000) {
        for (int k = 0; k < 1001 && !rc; k++) { /* the bucket is set aside: resets alone count */
            l->y.tokens_ = 256;
            l->y.syns_.count = 0;
            l->count = 0;
            memset(l->streams, 0, sizeof(*l->streams));
            uint8_t h[24] = { 0, 1, 0, SYN, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, RST, 0, 0, 0, 1 };
            rc = yamux_feed(&l->y, bytes_of(h, 24), ms, NULL);
        }
    }
    check(rc == ERR_PROTOCOL && ms == 6000, "1001 resets per second for five seconds");
    end_free(l);
    l = end_new(false);
    for (int i = 0; i < 256; i++)
        check(!frame(l, WINDOW, SYN, 1 + 2 * (uint32_t)i, 0) &&
                  !frame(l, WINDOW, RST, 1 + 2 * (uint32_t)i, 0),
              "a burst of 256");
    check(!frame(l, WINDOW, SYN, 1001, 0) && l->y.refused == 1, "then the bucket is empty");
    end_free(l);
}

/* Somebody who asks much and ends each stream in order is no flood: his tokens come back, and his
 * streams count for nothing, however many there are in a second. */
TEST(orderly_streams_are_no_flood)
{
    struct end *l = end_new(false);
    enum err rc = ERR_OK;
    uint32_t id = 1;
    for (uint64_t ms = 0; ms < 8000 && !rc; ms += 1000) {
        for (int k = 0; k < 3 * LIMIT_YAMUX_SYNS_PER_SECOND && !rc; k++, id += 2) {
            l->count = 0;
            memset(l->streams, 0, sizeof(*l->streams));
            uint8_t h[12] = {
                0, 1, 0, SYN | FIN, 0, (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id
            };
            rc = yamux_feed(&l->y, bytes_of(h, 12), ms, NULL);
            yamux_finish(&l->streams[0].y);
            says(l);
            if (l->streams[0].how != YAMUX_END_CLOSED || l->y.streams_in > 0)
                rc = ERR_LIMIT;
        }
    }
    check(!rc, "3000 a second for eight seconds, each taken and ended in order");
    check(l->y.refused == 0 && l->y.tokens_ == LIMIT_YAMUX_OPEN_BURST, "the bucket is full");
    end_free(l);
}

TEST(data_for_nobody_has_a_budget)
{
    struct end *l = end_new(false);
    enum err rc = ERR_OK;
    uint64_t mib = 0;
    for (; mib < 20 && !rc; mib++) {
        rc = frame(l, DATA, 0, 99, 1 << 20);
        rc = rc ? rc : body(l, 0, 1 << 20);
    }
    check(rc == ERR_PROTOCOL && mib == 17, "16 MiB");
    end_free(l);
}

TEST(pings_and_go_away)
{
    struct end *d = end_new(true), *l = end_new(false);
    yamux_ping(&d->y);
    yamux_ping(&d->y);
    carry_all(d, l, 1);
    check(d->pongs == 1, "one at a time");
    yamux_ping(&d->y);
    carry_all(d, l, 1);
    check(d->pongs == 2, "and another");
    struct test_stream *t = open_stream(d, 100);
    carry_all(d, l, 1);
    yamux_send_go_away(&l->y, YAMUX_GO_AWAY_TRIMMED);
    carry_all(d, l, 1);
    check(d->go_aways == 1 && !t->gone, "streams go on");
    struct test_stream *u = stream_new(d);
    u->gone = true;
    check(!yamux_open(&d->y, &u->y), "new ones do not");
    for (uint32_t i = 0; i <= LIMIT_YAMUX_PONGS; i++)
        check(!frame(l, PING, SYN, 0, i), "more pings than are answered at once");
    check(strlen(says(l)) == LIMIT_YAMUX_PONGS * 25 - 1, "16 are");
    end_free(d);
    end_free(l);
}
