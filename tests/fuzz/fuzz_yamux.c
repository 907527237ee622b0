/* A session against a stranger. The input is a list of orders: a frame with chosen fields, raw
 * bytes, or something our own side does; the same bytes are fed in one piece and byte by byte to
 * two sessions, which must end in the same state. */
#include <stdlib.h>

#include "net/yamux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAMS = 64 };

struct side {
    struct yamux y;
    struct yamux_stream streams[STREAMS];
    bool used[STREAMS];
    uint32_t held[STREAMS]; /* not consumed */
    uint64_t events;        /* a sum over all that happened */
};

static struct side *side_of(struct yamux *y)
{
    return container_of(y, struct side, y);
}
static size_t index_of(struct yamux *y, struct yamux_stream *s)
{
    return (size_t)(s - side_of(y)->streams);
}
static void note(struct yamux *y, uint64_t what)
{
    side_of(y)->events = side_of(y)->events * 31 + what;
}
static struct yamux_stream *fresh(struct side *e)
{
    for (size_t i = 0; i < STREAMS; i++)
        if (!e->used[i]) {
            e->used[i] = true;
            e->held[i] = 0;
            e->streams[i] = (struct yamux_stream){ 0 };
            return &e->streams[i];
        }
    return NULL;
}
static struct yamux_stream *on_open(struct yamux *y, uint32_t *code)
{
    *code = 3;
    note(y, 1);
    return fresh(side_of(y));
}
static void on_acked(struct yamux *y, struct yamux_stream *s)
{
    note(y, 2 + index_of(y, s));
}
static void on_data(struct yamux *y, struct yamux_stream *s, struct bytes b)
{
    size_t i = index_of(y, s);
    side_of(y)->held[i] += (uint32_t)b.size;
    assert(side_of(y)->held[i] <= LIMIT_YAMUX_WINDOW_BYTES);
}
static void on_fin(struct yamux *y, struct yamux_stream *s)
{
    note(y, 100 + index_of(y, s));
    if (index_of(y, s) % 3 == 0)
        yamux_finish(s);
    if (index_of(y, s) % 7 == 1)
        yamux_reset(s, 9);
}
static size_t on_writable(struct yamux *y, struct yamux_stream *s, uint8_t *buf, size_t room)
{
    size_t n = index_of(y, s) % 2 ? room : MIN(room, 100);
    memset(buf, 0x5a, n);
    if (n < room)
        yamux_finish(s);
    return n;
}
static void on_gone(struct yamux *y, struct yamux_stream *s, enum yamux_end end, uint32_t code)
{
    note(y, 200 + end + code);
    assert(side_of(y)->used[index_of(y, s)]);
    side_of(y)->used[index_of(y, s)] = false;
}
static void on_pong(struct yamux *y)
{
    note(y, 300);
}
static void on_go_away(struct yamux *y, uint32_t code)
{
    note(y, 400 + code);
}
static const struct yamux_ops ops = { on_open,     on_acked, on_data, on_fin,
                                      on_writable, on_gone,  on_pong, on_go_away };

static enum err feed(struct side *e, struct bytes in, bool single, uint64_t now)
{
    enum err rc = ERR_OK;
    if (!single)
        return yamux_feed(&e->y, in, now, NULL);
    for (size_t i = 0; i < in.size && !rc; i++)
        rc = yamux_feed(&e->y, bytes_of(in.data + i, 1), now, NULL);
    return rc;
}

static void ours(struct side *e, uint8_t what, uint8_t which)
{
    struct yamux_stream *s = &e->streams[which % STREAMS];
    switch (what % 8) {
    case 0:
        s = fresh(e);
        if (s && !yamux_open(&e->y, s))
            e->used[s - e->streams] = false;
        break;
    case 1:
        yamux_want_write(s);
        break;
    case 2:
        yamux_consumed(s, e->held[which % STREAMS]);
        e->held[which % STREAMS] = 0;
        break;
    case 3:
        yamux_finish(s);
        break;
    case 4:
        yamux_reset(s, which);
        break;
    case 5:
        yamux_ping(&e->y);
        break;
    case 6:
        yamux_send_go_away(&e->y, which);
        break;
    default: {
        static uint8_t block[65519];
        struct writer w = writer_of(block, which % 2 ? sizeof(block) : 64);
        bool wants = yamux_wants_fill(&e->y);
        if (which & 64)
            note(&e->y, yamux_write_now(s, bytes_of((const uint8_t *)"word", 4), &w));
        yamux_fill(&e->y, &w);
        assert(wants || writer_used(&w) == 0 || (which & 64));
        note(&e->y, writer_used(&w));
    }
    }
}

/* One order; false at the end of the session. */
static bool order(struct side *e, struct reader *r, bool single, uint64_t *now)
{
    uint8_t kind = reader_u8(r), a = reader_u8(r), b = reader_u8(r);
    uint8_t frame[12] = { 0, a % 5, 0, b & 15 };
    static const uint8_t zeros[300];
    switch (kind % 4) {
    case 0:
        be32_encode(frame + 4, reader_u8(r));
        be32_encode(frame + 8, a & 64 ? reader_be32(r) : reader_u8(r));
        return !feed(e, bytes_of(frame, 12), single, *now);
    case 1:
        *now += a * 4;
        return !feed(e, reader_take(r, MIN(b, reader_left(r))), single, *now);
    case 2:
        return !feed(e, bytes_of(zeros, a), single, *now);
    default:
        ours(e, a, b);
        return true;
    }
}

static uint64_t run(struct bytes in, bool single)
{
    struct side *e = calloc(1, sizeof(*e));
    struct reader r = reader_of(in);
    uint64_t now = 0;
    yamux_init(&e->y, reader_u8(&r) & 1, &ops, 0);
    while (reader_left(&r) > 0 && order(e, &r, single, &now)) {
    }
    ours(e, 7, 1);
    note(&e->y, e->y.streams_in * 1000 + e->y.streams_out);
    yamux_close(&e->y);
    for (size_t i = 0; i < STREAMS; i++)
        assert(!e->used[i]);
    assert(e->y.streams_in == 0 && e->y.streams_out == 0 && e->y.unacked == 0);
    uint64_t events = e->events;
    free(e);
    return events;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    uint64_t whole = run(in, false), single = run(in, true);
    assert(whole == single);
    return 0;
}
