#include "net/stream_mem.h"

#include "base/mem.h"

struct pair;
struct half {
    struct stream s;
    struct pair *pair;
    struct half *other;
    uint32_t send_credit;
    bool wants, fin_sent, fin_pending, released;
};
struct pair {
    struct half halves[2]; /* the dialer first */
    struct loop *loop;
    struct mem_owner *mem;
    const struct protocol *listener_protocol;
    size_t piece_bytes;
    bool opened;
    struct deferred turn;
};

static void on_turn(struct deferred *d);

static struct half *half_of(struct stream *s)
{
    return container_of(s, struct half, s);
}

static void wake(struct pair *p)
{
    if (!deferred_pending(&p->turn))
        loop_defer_named(p->loop, &p->turn, on_turn, "stream pair");
}

static void mem_credit(struct stream *s, uint32_t bytes)
{
    half_of(s)->other->send_credit += bytes;
    wake(half_of(s)->pair);
}

static void mem_want_write(struct stream *s)
{
    half_of(s)->wants = true;
    wake(half_of(s)->pair);
}

static void deliver(struct half *from, struct bytes data)
{
    from->send_credit -= (uint32_t)data.size;
    if (!from->other->s.ending_)
        stream_take_data(&from->other->s, data);
}

/* Never: on_data of the other side would come from inside. The caller goes on by on_writable. */
static size_t mem_try_write(struct stream *s UNUSED, struct bytes data UNUSED)
{
    return 0;
}

static void mem_finish(struct stream *s)
{
    half_of(s)->fin_pending = true;
    wake(half_of(s)->pair);
}

static void mem_reset(struct stream *s, uint32_t code)
{
    struct half *h = half_of(s);
    s->gone_ = true;
    if (!h->other->s.gone_)
        stream_below_gone(&h->other->s, ERR_CLOSED, code);
}

static void mem_release(struct stream *s)
{
    struct half *h = half_of(s);
    struct pair *p = h->pair;
    h->released = true;
    if (!h->other->released)
        return;
    loop_defer_cancel(&p->turn);
    mem_free(p->mem, p);
}

static const struct stream_backend backend = { mem_credit, mem_want_write, mem_try_write,
                                               mem_finish, mem_reset,      mem_release };

/* One piece from h to its other half. */
static void half_turn(struct half *h)
{
    static uint8_t buf[LIMIT_YAMUX_SLICE_BYTES]; /* one loop, one turn at a time */
    size_t piece = h->pair->piece_bytes ? h->pair->piece_bytes : sizeof(buf);
    size_t room = MIN(MIN(piece, sizeof(buf)), h->send_credit);
    if (h->wants && room > 0 && !h->s.ending_) {
        size_t n = stream_take_writable(&h->s, buf, room);
        h->wants = n > 0 && !h->fin_pending;
        if (n > 0)
            deliver(h, bytes_of(buf, n));
        if (h->wants)
            wake(h->pair);
    }
    if (h->fin_pending && !h->fin_sent && !h->s.ending_) {
        h->fin_sent = true;
        if (!h->other->s.ending_)
            stream_take_fin(&h->other->s);
    }
}

static void listener_start(struct pair *p)
{
    struct stream *s = &p->halves[1].s;
    void *user = NULL;
    p->opened = true;
    const struct stream_ops *ops = p->listener_protocol->ops;
    if (ops->on_open && ops->on_open(s, p->listener_protocol->ctx, &user))
        stream_fail(s, ERR_CANCELED, 0);
    else
        stream_start(s, p->listener_protocol, user);
}

static void on_turn(struct deferred *d)
{
    struct pair *p = container_of(d, struct pair, turn);
    struct half *a = &p->halves[0], *b = &p->halves[1];
    if (!p->opened)
        listener_start(p);
    half_turn(a);
    half_turn(b);
    if (a->fin_sent && b->fin_sent && !a->s.gone_ && !b->s.gone_) {
        stream_below_gone(&a->s, ERR_OK, 0);
        stream_below_gone(&b->s, ERR_OK, 0);
    }
}

struct stream *stream_mem_open(const struct stream_mem_options *options)
{
    struct pair *p = mem_zalloc(options->mem, sizeof(*p));
    p->loop = options->loop;
    p->mem = options->mem;
    p->piece_bytes = options->piece_bytes;
    p->listener_protocol =
        options->listener_protocol ? options->listener_protocol : options->protocol;
    for (int i = 0; i < 2; i++) {
        struct half *h = &p->halves[i];
        h->pair = p;
        h->other = &p->halves[1 - i];
        h->send_credit = LIMIT_YAMUX_WINDOW_BYTES;
        h->s.backend_ = &backend;
        h->s.loop_ = options->loop;
        h->s.mem_ = options->mem;
        h->s.peer_ = i == 0 ? options->listener : options->dialer;
        stream_init(&h->s);
    }
    stream_start(&p->halves[0].s, options->protocol, options->dialer_user);
    wake(p);
    return &p->halves[0].s;
}
