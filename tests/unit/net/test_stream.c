#include "unit.h"

#include "base/mem.h"
#include "core/governor.h"
#include "core/loop.h"
#include "net/frame.h"
#include "net/stream_mem.h"

static const struct mem_row rows[] = {
    { "p2p", "refused", MEM_ELASTIC, 4 * MiB, 10, 30, true },
    { "small", "refused", MEM_ELASTIC, 64 * KiB, 0, 0, true },
};

struct bed {
    struct loop *loop;
    struct mem_plan *plan;
    struct governor *governor;
    struct mem_owner *mem;
    uint64_t base_bytes; /* of the governor */
};

static struct process_memory quiet;
static void no_memory(void *ctx UNUSED, struct process_memory *out)
{
    *out = quiet;
}

static void bed_make(struct bed *b)
{
    check(!loop_create(&b->loop, NULL), "loop");
    loop_clock_set(b->loop, 1000, 0);
    check(!mem_plan_create(&b->plan, 256 * MiB, rows, ARRAY_SIZE(rows), NULL), "plan");
    struct governor_options o = { .plan = b->plan, .process_memory = no_memory };
    check(!governor_create(&b->governor, b->loop, &o, NULL), "governor");
    b->mem = mem_plan_find(b->plan, "p2p");
    b->base_bytes = b->mem->used_bytes;
}

static void bed_end(struct bed *b)
{
    governor_destroy(b->governor);
    loop_clock_turn(b->loop, 1);
    check(b->mem->used_bytes == 0, "all is given back");
    loop_destroy(b->loop);
    mem_plan_destroy(b->plan);
}

/* A side: sends count bytes in frames or plain, remembers what it saw. */
struct side {
    struct stream *s;
    struct frame_reader frames;
    uint64_t to_send, sent, got;
    size_t take_max; /* takes at most so many of what it is offered; 0: all */
    bool fin, echo_fin, closed;
    enum err end;
    uint32_t code, frames_got, frame_bytes;
};

static enum err side_open(struct stream *s, void *ctx, void **user)
{
    struct side *side = ctx;
    side->s = s;
    *user = side;
    return ERR_OK;
}
static size_t side_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct side *side = user;
    if (size == 0) {
        side->fin = true;
        if (side->echo_fin)
            stream_finish(s);
        return 0;
    }
    if (side->take_max == SIZE_MAX)
        return 0;
    size_t n = side->take_max ? MIN(side->take_max, size) : size;
    for (size_t i = 0; i < n; i++)
        check(bytes[i] == (uint8_t)((side->got + i) * 13), "in order");
    side->got += n;
    return n;
}
static size_t side_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct side *side = user;
    size_t n = MIN(room, side->to_send - side->sent);
    for (size_t i = 0; i < n; i++)
        buf[i] = (uint8_t)((side->sent + i) * 13);
    side->sent += n;
    if (side->sent == side->to_send)
        stream_finish(s);
    return n;
}
static void side_close(struct stream *s UNUSED, void *user, const struct error *err, uint32_t code)
{
    struct side *side = user;
    check(!side->closed, "closed once");
    side->closed = true;
    side->end = err ? err->code : ERR_OK;
    side->code = code;
    frame_close(&side->frames);
}
static const struct stream_ops plain_ops = { side_open, side_data, side_writable, side_close };

static void pair_open(struct bed *b, struct side *a, struct side *l, struct protocol *p,
                      size_t piece)
{
    p->ctx = l;
    struct stream_mem_options o = {
        .loop = b->loop, .mem = b->mem, .protocol = p, .dialer_user = a, .piece_bytes = piece
    };
    a->s = stream_mem_open(&o);
}

TEST(bytes_go_through_and_both_ends_close)
{
    struct bed b;
    bed_make(&b);
    for (size_t piece = 0; piece < 3; piece++) {
        struct protocol p = { .name = "/test", .ops = &plain_ops };
        struct side a = { .to_send = 300000 }, l = { .to_send = 5000, .take_max = piece * 100 };
        pair_open(&b, &a, &l, &p, piece * 777);
        stream_want_write(a.s);
        loop_clock_turn(b.loop, 1);
        check(!a.closed, "half open");
        for (int i = 0; i < 3000 && l.got < 300000; i++) {
            stream_resume(l.s); /* a handler that took a part asks for more */
            loop_clock_turn(b.loop, 1);
        }
        check(l.got == 300000 && l.fin, "all of it");
        stream_want_write(l.s);
        loop_clock_turn(b.loop, 1);
        check(a.got == 5000 && a.fin && a.closed && l.closed, "and back");
        check(a.end == ERR_OK && l.end == ERR_OK, "in order");
    }
    bed_end(&b);
}

TEST(a_stream_that_was_left_calls_nobody)
{
    struct bed b;
    bed_make(&b);
    for (uint32_t linger_ms = 0; linger_ms <= 5000; linger_ms += 5000) {
        struct protocol p = { .name = "/test", .ops = &plain_ops };
        struct side a = { .to_send = 1000 }, l = { .to_send = 5000 };
        pair_open(&b, &a, &l, &p, 0);
        stream_pause(a.s); /* what has come by then is dropped too */
        loop_clock_turn(b.loop, 1);
        stream_leave(a.s, linger_ms);
        loop_clock_turn(b.loop, 1);
        check(l.fin == (linger_ms > 0), "the peer hears of it");
        if (!l.closed)
            stream_want_write(l.s);
        loop_clock_turn(b.loop, 1);
        check(l.closed && (l.end == ERR_OK) == (linger_ms > 0), "and comes to an end");
        check(!a.closed && !a.fin && a.got == 0, "nobody is told");
    }
    struct protocol p = { .name = "/test", .ops = &plain_ops };
    struct side a = { 0 }, l = { .take_max = SIZE_MAX };
    pair_open(&b, &a, &l, &p, 0);
    loop_clock_turn(b.loop, 1);
    stream_leave(a.s, 5000);
    loop_clock_turn(b.loop, 4900);
    check(!l.closed, "a peer that does not end it");
    loop_clock_turn(b.loop, 200);
    check(l.closed && l.end != ERR_OK && !a.closed, "is not waited for");
    bed_end(&b);
}

TEST(a_handler_that_takes_nothing_stops_its_peer)
{
    struct bed b;
    bed_make(&b);
    struct protocol p = { .name = "/test", .ops = &plain_ops };
    struct side a = { .to_send = 1000000 }, l = { .take_max = SIZE_MAX };
    pair_open(&b, &a, &l, &p, 0);
    stream_want_write(a.s);
    loop_clock_turn(b.loop, 1000);
    check(a.sent == LIMIT_YAMUX_WINDOW_BYTES, "a window");
    uint64_t held = b.mem->used_bytes - b.base_bytes;
    check(held >= 262144 && held < 262144 + 8192, "which the owner pays");
    l.take_max = 0;
    stream_resume(l.s);
    loop_clock_turn(b.loop, 1000);
    check(l.got == 1000000 && b.mem->used_bytes - b.base_bytes < 1024,
          "it goes on, and the queue is empty");
    stream_reset(l.s, 9);
    loop_clock_turn(b.loop, 1);
    check(a.closed && l.closed && a.end == ERR_CLOSED && a.code == 9 && l.end == ERR_CANCELED,
          "reset");
    p.rx_queue_bytes_max = 1000;
    a = (struct side){ .to_send = 5000 };
    l = (struct side){ .take_max = SIZE_MAX };
    pair_open(&b, &a, &l, &p, 0);
    stream_want_write(a.s);
    loop_clock_turn(b.loop, 1);
    check(l.closed && l.end == ERR_BUDGET && a.end == ERR_CLOSED, "a protocol's own limit");
    bed_end(&b);
}

TEST(deadlines_and_idle_limits)
{
    struct bed b;
    bed_make(&b);
    struct protocol p = { .name = "/test", .ops = &plain_ops };
    struct side a = { 0 }, l = { 0 };
    pair_open(&b, &a, &l, &p, 0);
    loop_clock_turn(b.loop, 3600 * 1000);
    check(!a.closed, "parked for hours");
    stream_deadline(a.s, 500);
    loop_clock_turn(b.loop, 499);
    check(!a.closed, "not yet");
    loop_clock_turn(b.loop, 2);
    check(a.closed && a.end == ERR_TIMEOUT && l.end == ERR_CLOSED, "timed out");
    p.idle_ms = 1000;
    a = (struct side){ .to_send = 10 };
    l = (struct side){ 0 };
    pair_open(&b, &a, &l, &p, 0);
    loop_clock_turn(b.loop, 900);
    stream_want_write(a.s);
    loop_clock_turn(b.loop, 900);
    check(l.got == 10 && !l.closed && !a.closed, "a byte keeps it");
    loop_clock_turn(b.loop, 200);
    check(l.closed && a.closed, "idle");
    bed_end(&b);
}

static enum err on_frame(struct frame_reader *fr, struct bytes m)
{
    struct side *side = container_of(fr, struct side, frames);
    side->frames_got++;
    side->frame_bytes += (uint32_t)m.size;
    for (size_t i = 0; i < m.size; i++)
        check(m.data[i] == 0x5a, "its bytes");
    return ERR_OK;
}
static size_t frame_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct side *side = user;
    side->frames.stream = s;
    side->frames.on_frame = on_frame;
    return size ? frame_feed(&side->frames, bytes, size) : 0;
}
/* Three messages: empty, small, and of to_send bytes. */
static size_t frame_writable(struct stream *s UNUSED, void *user, uint8_t *buf, size_t room)
{
    struct side *side = user;
    uint8_t head[32] = { 0, 1, 0x5a };
    size_t n = 3 + frame_header_put(head + 3, side->to_send), total = n + side->to_send, k = 0;
    for (; k < room && side->sent < total; k++, side->sent++)
        buf[k] = side->sent < n ? head[side->sent] : 0x5a;
    return k;
}
static const struct stream_ops frame_ops = { side_open, frame_data, frame_writable, side_close };

TEST(messages_with_their_length_in_front)
{
    struct bed b;
    bed_make(&b);
    static const size_t pieces[] = { 1, 2, 1000, 0 };
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        struct protocol p = { .name = "/test", .ops = &frame_ops };
        struct side a = { .to_send = 20000 };
        struct side l = { .frames = { .owner = b.mem, .max_bytes = 20000 } };
        pair_open(&b, &a, &l, &p, pieces[i]);
        stream_want_write(a.s);
        loop_clock_turn(b.loop, 1);
        check(l.frames_got == 3 && l.frame_bytes == 20001 && !frame_partial(&l.frames), "three");
        stream_reset(a.s, 0);
        loop_clock_turn(b.loop, 1);
    }
    bed_end(&b);
}

TEST(a_length_is_refused_before_memory_is_asked_for)
{
    struct bed b;
    bed_make(&b);
    struct protocol p = { .name = "/test", .ops = &frame_ops };
    struct side a = { .to_send = 20001 };
    struct side l = { .frames = { .owner = b.mem, .max_bytes = 20000 } };
    pair_open(&b, &a, &l, &p, 100);
    stream_want_write(a.s);
    loop_clock_turn(b.loop, 1);
    check(l.closed && l.end == ERR_TOO_LARGE && l.frames_got == 2, "a byte too many");
    bed_end(&b);
}

TEST(a_message_waits_for_memory_and_its_peer_with_it)
{
    struct bed b;
    bed_make(&b);
    struct mem_owner *small = mem_plan_find(b.plan, "small");
    for (int cancel = 0; cancel < 2; cancel++) {
        struct protocol p = { .name = "/test", .ops = &frame_ops };
        struct side a = { .to_send = 40000 };
        struct side l = { .frames = { .owner = small, .max_bytes = 50000 } };
        check(mem_take(small, 40000), "somebody holds most of it");
        pair_open(&b, &a, &l, &p, 1000);
        stream_want_write(a.s);
        loop_clock_turn(b.loop, 1);
        check(l.frames_got == 2 && !l.closed, "it waits");
        if (cancel) {
            stream_reset(l.s, 0);
            loop_clock_turn(b.loop, 1);
            check(l.closed, "and may be given up meanwhile");
        }
        mem_give(small, 40000);
        loop_clock_turn(b.loop, 1);
        check(cancel || (l.frames_got == 3 && l.frame_bytes == 40001), "then it comes");
        if (!cancel)
            stream_reset(a.s, 0);
        loop_clock_turn(b.loop, 1);
        check(small->used_bytes == 0, "and all is given back");
    }
    struct protocol p = { .name = "/test", .ops = &frame_ops };
    struct side a = { .to_send = 100000 };
    struct side l = { .frames = { .owner = small, .max_bytes = 200000 } };
    pair_open(&b, &a, &l, &p, 1000);
    stream_want_write(a.s);
    loop_clock_turn(b.loop, 1);
    check(l.closed && l.end == ERR_BUDGET, "more than its owner can ever have");
    bed_end(&b);
}
