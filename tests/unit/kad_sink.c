#include "kad_sink.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/varint.h"
#include "codec/wire.h"

struct session {
    struct sink *sink;
    struct stream *stream;
    size_t out_size, out_at;
    uint32_t lost_records; /* since the last answer; lost_last: the place before them */
    uint64_t lost_sum, lost_last;
    uint32_t messages;
    bool told, stuck, over;
    struct deferred ending;
    uint32_t epoch, taken; /* taken: in this call */
    struct deferred again;
    struct timer answering;
    size_t part_size;
    uint8_t part[512]; /* a message of which more is to come */
    uint8_t out[8192]; /* an answer */
};

static void on_answering(struct timer *t)
{
    stream_want_write(container_of(t, struct session, answering)->stream);
}

static enum err on_open(struct stream *s, void *ctx, void **user)
{
    const struct sink *sink = ctx;
    if (sink->refuses)
        return ERR_REFUSED;
    struct session *x = calloc(1, sizeof(*x));
    x->sink = ctx;
    x->stream = s;
    x->epoch = x->sink->all->epoch;
    timer_init(&x->answering, x->sink->all->loop, on_answering, "sink");
    *user = x;
    return ERR_OK;
}

static const uint8_t *sort_target;
static int by_distance(const void *a, const void *b)
{
    const struct sink *x = *(struct sink *const *)a, *y = *(struct sink *const *)b;
    return kad_compare(sort_target, x->peer.kad, y->peer.kad);
}

static void put_peer(struct writer *w, uint32_t field, const struct kad_peer *peer)
{
    uint8_t buf[512];
    struct writer p = writer_of(buf, sizeof(buf));
    uint32_t at = 0;
    wire_put_bytes(&p, 1, peer_id_bytes(&peer->id));
    for (struct bytes a; (a = kad_peer_address(peer, &at)).size > 0;)
        wire_put_bytes(&p, 2, a);
    wire_put_bytes(w, field, bytes_of(buf, writer_used(&p)));
}

static void answer(struct session *x, uint64_t type, struct bytes key)
{
    static struct sink *order[SINKS_MAX];
    static uint8_t body[8000];
    struct sinks *all = x->sink->all;
    struct writer w = writer_of(body, sizeof(body)), out = writer_of(x->out, sizeof(x->out));
    uint8_t target[KAD_BYTES];
    struct kad_peer asker;
    kad_of(key, target);
    for (uint32_t i = 0; i < all->count; i++)
        order[i] = &all->sink[i];
    sort_target = target;
    qsort(order, all->count, sizeof(order[0]), by_distance);
    wire_put_varint(&w, 1, type);
    wire_put_bytes(&w, 2, key);
    for (uint32_t i = 0; i < MIN(all->count, (uint32_t)KAD_K); i++)
        put_peer(&w, 8, &order[i]->peer);
    if (type == KAD_GET_PROVIDERS) {
        kad_peer_init(&asker, stream_peer(x->stream));
        put_peer(&w, 9, &asker);
    }
    check(!w.overflow && x->out_at == x->out_size, "one answer at a time");
    x->lost_records = 0;
    x->lost_sum = 0;
    writer_uvarint(&out, writer_used(&w));
    writer_put(&out, body, writer_used(&w));
    check(!out.overflow, "an answer fits");
    x->out_size = writer_used(&out);
    x->out_at = 0;
    if (all->answer_ms > 0)
        timer_set(&x->answering, all->answer_ms);
    else
        stream_want_write(x->stream);
}

static void cut(struct session *x)
{
    struct sink *s = x->sink;
    s->cut += x->lost_records > 0;
    s->records -= x->lost_records;
    s->sum -= x->lost_sum;
    s->all->records -= x->lost_records;
    s->last = x->lost_records > 0 ? x->lost_last : s->last;
    x->lost_records = 0;
    x->lost_sum = 0;
    if (!x->over || !s->finishes)
        stream_reset(x->stream, 0);
    else
        stream_finish(x->stream);
}

static void on_ending(struct deferred *d)
{
    cut(container_of(d, struct session, ending));
}

/* False: the stream is no more. */
static bool record(struct session *x, struct bytes key)
{
    struct sink *s = x->sink;
    uint64_t kad = key_kad(key);
    if (s->resets) {
        stream_reset(x->stream, 0);
        return false;
    }
    if (s->cuts > 0 && x->lost_records == s->cut_after) {
        s->cuts--;
        cut(x);
        return false;
    }
    s->streams += !x->told;
    x->told = true;
    if (x->lost_records++ == 0)
        x->lost_last = s->last;
    x->lost_sum += kad;
    s->descents += kad < s->last;
    s->last = kad;
    s->records++;
    s->sum += kad;
    s->all->records++;
    x->taken++;
    if (s->all->on_record)
        s->all->on_record(s->all->ctx, s, kad);
    return true;
}

static bool handle(struct session *x, struct bytes in)
{
    struct reader r = reader_of(in);
    struct wire_field f;
    uint64_t type = KAD_PUT_VALUE;
    struct bytes key = { NULL, 0 };
    while (wire_next(&r, &f)) {
        if (f.number == 1)
            type = f.value;
        if (f.number == 2)
            key = f.bytes;
    }
    check(!r.failed && key.size > 0, "a whole message");
    x->sink->opened += x->messages == 0;
    if (type == KAD_ADD_PROVIDER && x->sink->stalls)
        x->stuck = true;
    else if (type == KAD_ADD_PROVIDER)
        return record(x, key);
    x->sink->pings += type == KAD_FIND_NODE && bytes_equal(key, peer_id_bytes(&x->sink->secret.id));
    x->stuck |= x->sink->mute;
    if (x->stuck)
        return true;
    x->sink->questions++;
    answer(x, type, key);
    return true;
}

static bool message(struct session *x, struct bytes in)
{
    if (!handle(x, in))
        return false;
    x->over = ++x->messages == x->sink->takes;
    if (x->over && x->out_at == x->out_size)
        cut(x); /* else when its answer has gone */
    return !x->over;
}

/* The first message in b: its size with its length in front, 0 when it is not whole. */
static size_t whole(struct bytes b, struct bytes *body)
{
    uint64_t length = 0;
    int n = uvarint_peek(b, &length);
    if (n <= 0 || length > b.size - (size_t)n)
        return 0;
    *body = bytes_of(b.data + n, length);
    return (size_t)n + length;
}

/* Takes one message or what there is of it, since what is left comes back cut elsewhere. *open: is
 * the stream still there? */
static size_t take(struct session *x, struct bytes in, bool *open)
{
    struct bytes body;
    size_t used = x->part_size == 0 ? whole(in, &body) : 0;
    if (used > 0) {
        *open = message(x, body);
        return used;
    }
    while (used < in.size) {
        check(x->part_size < sizeof(x->part), "a short message");
        x->part[x->part_size++] = in.data[used++];
        if (whole(bytes_of(x->part, x->part_size), &body) > 0) {
            x->part_size = 0;
            *open = message(x, body);
            return used;
        }
    }
    return used;
}

static void on_again(struct deferred *d)
{
    stream_resume(container_of(d, struct session, again)->stream);
}

static size_t on_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct session *x = user;
    struct sinks *all = x->sink->all;
    size_t at = 0;
    bool open = true;
    if (size == 0) {
        stream_finish(s);
        return 0;
    }
    if (x->epoch != all->epoch || x->over)
        return size;
    if (all->away) {
        stream_reset(s, 0);
        return size;
    }
    x->taken = 0;
    while (open && at < size && x->out_at == x->out_size && !x->stuck &&
           (all->slow == 0 || x->taken < all->slow))
        at += take(x, bytes_of(bytes + at, size - at), &open);
    if (open && at < size && all->slow > 0 && !deferred_pending(&x->again))
        loop_defer(all->loop, &x->again, on_again);
    if (all->on_records)
        all->on_records(all->ctx);
    return at;
}

static size_t on_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct session *x = user;
    if (timer_is_set(&x->answering))
        return 0;
    size_t n = MIN(room, x->out_size - x->out_at);
    memcpy(buf, x->out + x->out_at, n);
    x->out_at += n;
    if (x->out_at == x->out_size && x->over && n > 0)
        loop_defer(x->sink->all->loop, &x->ending, on_ending);
    else if (x->out_at == x->out_size)
        stream_resume(s);
    return n;
}

static void on_close(struct stream *s UNUSED, void *user, const struct error *err UNUSED,
                     uint32_t code UNUSED)
{
    struct session *x = user;
    loop_defer_cancel(&x->again);
    loop_defer_cancel(&x->ending);
    timer_set(&x->answering, 0);
    free(x);
}

static const struct stream_ops ops = { on_open, on_data, on_writable, on_close };

/* Ids are tried until one lies where it should. */
static void make_identity(struct sink *k, uint32_t i, bool any, bool second_half)
{
    uint8_t seed[32] = { (uint8_t)i, 7 };
    do {
        peer_secret_from_seed(seed, &k->secret);
        kad_peer_init(&k->peer, &k->secret.id);
        seed[2]++;
    } while (!any && k->peer.kad[0] >> 7 != second_half);
}

void sinks_make(struct sinks *s, struct loop *loop, struct mem_owner *mem, uint32_t count,
                uint32_t few)
{
    static const char any[] = "/ip4/127.0.0.1/tcp/0";
    struct error err;
    check(count <= SINKS_MAX, "that many sinks");
    *s = (struct sinks){ .loop = loop, .mem = mem, .count = count };
    for (uint32_t i = 0; i < count; i++) {
        struct sink *k = &s->sink[i];
        uint8_t address[64];
        struct writer w = writer_of(address, sizeof(address));
        make_identity(k, i, few == 0, i >= few);
        k->all = s;
        const struct host_options options = {
            .loop = loop, .mem = mem, .identity = &k->secret, .agent = "sink", .allow_private = true
        };
        check(!host_create(&k->host, &options, &err), err.text);
        s->protocol[i] = (struct protocol){
            .name = "/ipfs/kad/1.0.0", .ops = &ops, .ctx = k, .in_per_peer_max = 64, .in_max = 1000
        };
        check(!host_register(k->host, &s->protocol[i], &err), err.text);
        check(!multiaddr_from_text(any, strlen(any), &w, &err), err.text);
        check(!host_listen(k->host, bytes_of(address, writer_used(&w)), &err), err.text);
        w = writer_of(address, sizeof(address));
        check(host_address(k->host, 0, &w), "an address");
        check(kad_peer_add_address(&k->peer, bytes_of(address, writer_used(&w)), true), "of ours");
    }
}

void sinks_address(struct sinks *s, uint32_t i, char *out, size_t size)
{
    uint8_t buf[128];
    uint32_t at = 0;
    struct writer w = writer_of(buf, sizeof(buf));
    struct bytes a = kad_peer_address(&s->sink[i].peer, &at);
    writer_put(&w, a.data, a.size);
    multiaddr_put_peer(&w, &s->sink[i].peer.id);
    check(!multiaddr_to_text(bytes_of(buf, writer_used(&w)), out, size, NULL), "text");
}

struct closing {
    void (*done)(void *ctx);
    void *ctx;
    struct sinks *s;
};
static struct closing closing_;

static void on_closed(void *ctx UNUSED)
{
    if (--closing_.s->closing == 0)
        closing_.done(closing_.ctx);
}

void sinks_close(struct sinks *s, void (*done)(void *ctx), void *ctx)
{
    closing_ = (struct closing){ done, ctx, s };
    s->closing = s->count;
    for (uint32_t i = 0; i < s->count; i++)
        host_close(s->sink[i].host, 100, on_closed, NULL);
}

void sinks_free(struct sinks *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        host_destroy(s->sink[i].host);
}
