#include "ipfs/dht.h"

#include <stdio.h>

#include "base/mem.h"

enum { BAD_SLOTS = 1024, CONN_SLOTS = 256, BUCKETS = 257 };

struct bad {
    uint64_t kad, until_ms;
};
struct link {
    struct peer_id peer; /* len 0: free */
    uint32_t users;
    uint64_t used_ms;
};

struct known { /* of the routing table */
    struct kad_peer peer;
    uint64_t heard_ms; /* or asked */
};

struct dht {
    struct dht_options options;
    char name[LIMIT_KAD_PROTOCOL_BYTES];
    uint8_t self[KAD_BYTES];
    struct protocol protocols[LIMIT_KAD_USERS];
    struct host_watch watch;
    struct known *table; /* owned */
    uint32_t table_count;
    uint8_t bucket[BUCKETS];
    struct bad bad[BAD_SLOTS];
    uint32_t bad_count;
    struct link links[CONN_SLOTS];
    uint32_t links_count, out;
};

static const struct stream_ops query_ops;

/* ---- connections ---- */

static struct link *link_of(struct dht *d, const struct peer_id *peer)
{
    for (uint32_t i = 0; i < CONN_SLOTS; i++)
        if (d->links[i].peer.len > 0 && peer_id_equal(&d->links[i].peer, peer))
            return &d->links[i];
    return NULL;
}

static struct link *link_oldest(struct dht *d)
{
    struct link *oldest = NULL;
    for (uint32_t i = 0; i < CONN_SLOTS; i++) {
        struct link *l = &d->links[i];
        if (l->peer.len > 0 && l->users == 0 && (!oldest || l->used_ms < oldest->used_ms))
            oldest = l;
    }
    return oldest;
}

static void link_drop(struct dht *d, struct link *l)
{
    host_disconnect(d->options.host, &l->peer);
    *l = (struct link){ 0 };
    d->links_count--;
}

static struct link *link_new(struct dht *d, const struct peer_id *peer)
{
    struct link *oldest;
    if (d->links_count >= MIN(d->options.connections_max, (uint32_t)CONN_SLOTS) &&
        (oldest = link_oldest(d)) != NULL)
        link_drop(d, oldest);
    for (uint32_t i = 0; i < CONN_SLOTS; i++)
        if (d->links[i].peer.len == 0) {
            d->links[i].peer = *peer;
            d->links_count++;
            return &d->links[i];
        }
    return NULL; /* all are in use: it is not ours to close then */
}

void dht_conn_use(struct dht *d, const struct peer_id *peer)
{
    struct link *l = link_of(d, peer);
    if (!l && !host_connected(d->options.host, peer))
        l = link_new(d, peer);
    if (!l)
        return;
    l->users++;
    l->used_ms = loop_now_ms(d->options.loop);
}

void dht_conn_release(struct dht *d, const struct peer_id *peer)
{
    struct link *l = link_of(d, peer);
    if (!l || l->users == 0)
        return;
    l->used_ms = loop_now_ms(d->options.loop);
    if (--l->users == 0 && d->links_count > d->options.connections_max)
        link_drop(d, l);
}

uint32_t dht_conn_count(const struct dht *d)
{
    return d->links_count;
}

static void on_gone(void *ctx, const struct peer_id *peer)
{
    struct dht *d = ctx;
    struct link *l = link_of(d, peer);
    if (l && l->users == 0 && !host_connected(d->options.host, peer)) {
        *l = (struct link){ 0 };
        d->links_count--;
    }
}

/* ---- making ---- */

enum err dht_create(struct dht **out, const struct dht_options *options, struct error *err)
{
    struct dht *d = mem_try_zalloc(options->mem, sizeof(*d));
    if (!d)
        return mem_refused(options->mem, sizeof(*d), err);
    d->options = *options;
    if (!d->options.answer_ms)
        d->options.answer_ms = LIMIT_KAD_ANSWER_MS;
    d->table = mem_try_alloc(options->mem, LIMIT_KAD_TABLE * sizeof(*d->table));
    int n = snprintf(d->name, sizeof(d->name), "%s/kad/1.0.0", options->prefix);
    enum err rc = ERR_OK;
    if (!d->table)
        rc = mem_refused(options->mem, LIMIT_KAD_TABLE * sizeof(*d->table), err);
    else if (n < 0 || (size_t)n >= sizeof(d->name) || options->prefix[0] != '/')
        rc = error_set(err, ERR_CONFIG, "a protocol prefix is short and begins with /");
    if (rc) {
        mem_free(options->mem, d->table);
        mem_free(options->mem, d);
        return rc;
    }
    kad_of(peer_id_bytes(host_id(options->host)), d->self);
    d->watch.on_gone = on_gone;
    d->watch.ctx = d;
    host_watch(options->host, &d->watch);
    *out = d;
    return ERR_OK;
}

void dht_destroy(struct dht *d)
{
    if (!d)
        return;
    assert(d->out == 0);
    host_unwatch(&d->watch);
    mem_free(d->options.mem, d->table);
    mem_free(d->options.mem, d);
}

const struct dht_options *dht_options(const struct dht *d)
{
    return &d->options;
}

const uint8_t *dht_self(const struct dht *d)
{
    return d->self;
}

const struct protocol *dht_protocol(struct dht *d, const struct stream_ops *ops)
{
    uint32_t i = 0;
    while (i < LIMIT_KAD_USERS && d->protocols[i].ops && d->protocols[i].ops != ops)
        i++;
    assert(i < LIMIT_KAD_USERS);
    d->protocols[i] = (struct protocol){ .name = d->name, .ops = ops };
    return &d->protocols[i];
}

/* ---- the routing table: buckets by common bits, oldest kept ---- */

uint32_t dht_table_size(const struct dht *d)
{
    return d->table_count;
}

static uint32_t table_find(const struct dht *d, const struct kad_peer *peer)
{
    uint32_t i = 0;
    while (i < d->table_count && !peer_id_equal(&d->table[i].peer.id, &peer->id))
        i++;
    return i;
}

void dht_table_add(struct dht *d, const struct kad_peer *peer)
{
    uint32_t common = kad_common(d->self, peer->kad);
    if (table_find(d, peer) < d->table_count || common == KAD_BYTES * 8)
        return;
    if (d->bucket[common] >= KAD_K || !LIMIT_CHECK(KAD_TABLE, d->table_count + 1))
        return;
    d->bucket[common]++;
    d->table[d->table_count++] = (struct known){ *peer, loop_now_ms(d->options.loop) };
}

/* It has answered. */
static void table_heard(struct dht *d, const struct kad_peer *peer)
{
    dht_table_add(d, peer);
    uint32_t i = table_find(d, peer);
    if (i < d->table_count)
        d->table[i].heard_ms = loop_now_ms(d->options.loop);
}

bool dht_table_silent(struct dht *d, uint64_t for_ms, struct kad_peer *out)
{
    struct known *oldest = d->table;
    uint64_t now = loop_now_ms(d->options.loop);
    for (uint32_t i = 1; i < d->table_count; i++)
        if (d->table[i].heard_ms < oldest->heard_ms)
            oldest = &d->table[i];
    if (d->table_count == 0 || now - oldest->heard_ms < for_ms)
        return false;
    oldest->heard_ms = now;
    *out = oldest->peer;
    return true;
}

static void table_remove(struct dht *d, const struct kad_peer *peer)
{
    uint32_t i = table_find(d, peer);
    if (i == d->table_count)
        return;
    d->bucket[kad_common(d->self, peer->kad)]--;
    memmove(d->table + i, d->table + i + 1, (--d->table_count - i) * sizeof(*d->table));
}

uint32_t dht_nearest(const struct dht *d, const uint8_t target[KAD_BYTES], struct kad_peer *out,
                     uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->table_count; i++) {
        uint32_t at = n;
        while (at > 0 && kad_compare(target, d->table[i].peer.kad, out[at - 1].kad) < 0)
            at--;
        if (at == max)
            continue;
        n = MIN(n + 1, max);
        memmove(out + at + 1, out + at, (n - 1 - at) * sizeof(*out));
        out[at] = d->table[i].peer;
    }
    return n;
}

/* ---- bad peers ---- */

/* The count of them: it is not there. */
static uint32_t bad_index(const struct dht *d, uint64_t kad)
{
    uint32_t i = 0;
    while (i < d->bad_count && d->bad[i].kad != kad)
        i++;
    return i;
}

/* Of one that is good again, or a new one; when there is none, of who is good again first. */
static struct bad *bad_place(struct dht *d)
{
    struct bad *first = &d->bad[0];
    for (uint32_t i = 1; i < d->bad_count; i++)
        if (d->bad[i].until_ms < first->until_ms)
            first = &d->bad[i];
    bool over = d->bad_count > 0 && first->until_ms <= loop_now_ms(d->options.loop);
    return over || d->bad_count == BAD_SLOTS ? first : &d->bad[d->bad_count++];
}

bool dht_is_bad(const struct dht *d, const struct kad_peer *peer)
{
    uint32_t i = bad_index(d, kad_first(peer->kad));
    return i < d->bad_count && d->bad[i].until_ms > loop_now_ms(d->options.loop);
}

/* One bad peer never takes the place of another while there is room: a region whose servers fail is
 * explored anew without them, and two that displaced each other would be met for ever. */
void dht_mark_bad(struct dht *d, const struct kad_peer *peer, uint32_t for_ms)
{
    uint32_t i = bad_index(d, kad_first(peer->kad));
    struct bad *b = i < d->bad_count ? &d->bad[i] : bad_place(d);
    *b = (struct bad){ kad_first(peer->kad), loop_now_ms(d->options.loop) + for_ms };
    table_remove(d, peer);
}

uint32_t dht_bad_count(const struct dht *d)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->bad_count; i++)
        n += d->bad[i].until_ms > loop_now_ms(d->options.loop);
    return n;
}

void dht_forgive(struct dht *d)
{
    d->bad_count = 0;
}

/* ---- a stream to a server ---- */

bool dht_open_is_held(const struct dht_open *o)
{
    return o->state_ == DHT_OPEN_DIAL && !deferred_pending(&o->later_) && o->dial_.begun_ms == 0;
}

/* A connection that takes no more streams (ERR_LIMIT) is none of it: there are that many because
 * the peer does not acknowledge them, and who could keep us from asking would keep us from
 * providing. */
static bool is_ours(const struct dht_open *o, const struct error *err)
{
    if (o->state_ == DHT_OPEN_STREAM)
        return err->code == ERR_BUDGET;
    return err->code == ERR_BUDGET || err->code == ERR_LIMIT || err->code == ERR_SYSTEM ||
           (err->code == ERR_CANCELED && dht_open_is_held(o));
}

static void open_end(struct dht_open *o, struct stream *s, const struct error *err)
{
    static const struct error late = { ERR_TIMEOUT, "no connection in time" };
    static const struct error held = { ERR_LIMIT, "no dial was free to ask it in time" };
    static const struct error canceled = { ERR_CANCELED, "canceled" };
    struct dht *d = o->dht_;
    timer_set(&o->timer_, 0);
    o->unasked = !s && is_ours(o, err);
    o->state_ = DHT_OPEN_IDLE;
    if (!s) {
        dht_conn_release(d, &o->to->id);
        err = o->canceled_ ? &canceled : !o->late_ ? err : o->unasked ? &held : &late;
        if (err->code != ERR_CANCELED && !o->unasked)
            dht_mark_bad(d, o->to, o->late_ ? LIMIT_KAD_BAD_MS : LIMIT_KAD_REFUSED_MS);
    }
    o->cb(o, s, err);
}

static void open_dial(struct dht_open *o);

/* A connection that was there may have been about to close: then it is made anew, once. */
static void on_opened(struct stream_open *req, struct stream *s, const struct error *err)
{
    struct dht_open *o = container_of(req, struct dht_open, open_);
    if (!s && o->reused_ && o->addresses_count_ > 0 && !o->late_ && !o->canceled_ &&
        err->code != ERR_NO_PROTOCOL && err->code != ERR_TIMEOUT)
        open_dial(o);
    else
        open_end(o, s, err);
}

static void open_stream(struct dht_open *o)
{
    o->state_ = DHT_OPEN_STREAM;
    o->open_ = (struct stream_open){
        .to = o->to->id, .choices = &o->speaks, .count = 1, .user = o->user, .cb = on_opened
    };
    stream_open(o->dht_->options.host, &o->open_);
}

static void on_dialed(struct host_dial *req, const struct error *err)
{
    struct dht_open *o = container_of(req, struct dht_open, dial_);
    if (err || o->canceled_ || o->late_)
        open_end(o, NULL, err ? err : &(struct error){ ERR_CANCELED, "canceled" });
    else
        open_stream(o);
}

static void open_dial(struct dht_open *o)
{
    o->reused_ = false;
    o->state_ = DHT_OPEN_DIAL;
    o->dial_ = (struct host_dial){
        .peer = o->to->id, .addresses = o->addresses_, .count = o->addresses_count_, .cb = on_dialed
    };
    host_dial(o->dht_->options.host, &o->dial_);
}

static void on_late(struct timer *t)
{
    struct dht_open *o = container_of(t, struct dht_open, timer_);
    uint64_t now = loop_now_ms(o->dht_->options.loop);
    bool dialed = !o->reused_ && o->dial_.begun_ms > 0;
    uint64_t end = dialed                ? o->dial_.begun_ms + LIMIT_KAD_DIAL_MS
                   : dht_open_is_held(o) ? o->since_ms_ + LIMIT_KAD_HELD_MS
                                         : now;
    if (now < end) { /* it has its time from when it could be dialed */
        timer_set(t, end - now);
        return;
    }
    o->late_ = true;
    if (o->state_ == DHT_OPEN_DIAL)
        host_dial_cancel(&o->dial_);
    else
        stream_open_cancel(&o->open_);
}

static void open_refused(struct deferred *d)
{
    struct dht_open *o = container_of(d, struct dht_open, later_);
    static const struct error bad = { ERR_UNREACHABLE, "the peer is known to be bad, or has no "
                                                       "address we can dial" };
    o->state_ = DHT_OPEN_IDLE;
    o->cb(o, NULL, &bad);
}

void dht_open(struct dht *d, struct dht_open *o)
{
    uint32_t at = 0;
    size_t n = 0;
    o->dht_ = d;
    o->late_ = o->canceled_ = o->unasked = false;
    o->state_ = DHT_OPEN_DIAL;
    o->since_ms_ = loop_now_ms(d->options.loop);
    timer_init(&o->timer_, d->options.loop, on_late, "DHT dial");
    bool connected = host_connected(d->options.host, &o->to->id);
    for (struct bytes a; n < DHT_DIAL_ADDRESSES && (a = kad_peer_address(o->to, &at)).size > 0;)
        o->addresses_[n++] = a;
    if (dht_is_bad(d, o->to) || (n == 0 && !connected)) {
        loop_defer(d->options.loop, &o->later_, open_refused);
        return;
    }
    dht_conn_use(d, &o->to->id);
    timer_set(&o->timer_, LIMIT_KAD_DIAL_MS);
    o->addresses_count_ = (uint32_t)n;
    o->reused_ = connected;
    if (connected)
        open_stream(o);
    else
        open_dial(o);
}

void dht_open_cancel(struct dht_open *o)
{
    o->canceled_ = true;
    if (o->state_ == DHT_OPEN_STREAM)
        stream_open_cancel(&o->open_);
    else if (o->state_ == DHT_OPEN_DIAL && !deferred_pending(&o->later_))
        host_dial_cancel(&o->dial_);
}

/* ---- one request ---- */

static void query_end(struct dht_query *q, const struct error *err)
{
    struct dht *d = q->dht_;
    q->out_ = false;
    d->out--;
    if (err && q->unasked)
        ; /* nothing was heard of it */
    else if (err && (err->code == ERR_TIMEOUT || err_session_of(err->code) == ERR_SESSION_PEER))
        dht_mark_bad(d, q->to, LIMIT_KAD_BAD_MS);
    else if (err && err->code != ERR_CANCELED)
        table_remove(d, q->to);
    else if (!err)
        table_heard(d, q->to);
    q->cb(q, err);
}

static void decoded_peer(struct kad_decoder *dec, const struct kad_peer *peer, bool provider)
{
    struct dht_query *q = container_of(dec, struct dht_query, decoder_);
    if (q->on_peer)
        q->on_peer(q, peer, provider);
}

static size_t query_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct dht_query *q = user;
    size_t taken = 0;
    if (size == 0)
        return size;
    if (kad_decode(&q->decoder_, bytes_of(bytes, size), &taken, &q->failure_)) {
        stream_reset(s, 0);
    } else if (q->decoder_.done) {
        q->stream_ = NULL;
        stream_leave(s, LIMIT_KAD_LINGER_MS);
        dht_conn_release(q->dht_, &q->to->id);
        query_end(q, NULL);
    }
    return taken;
}

static size_t query_writable(struct stream *s UNUSED, void *user, uint8_t *buf, size_t room)
{
    struct dht_query *q = user;
    size_t record = q->record ? kad_record_size(q->record, q->key.size) : 0;
    if (q->sent_ || room < record + 128)
        return 0;
    q->sent_ = true;
    if (record > 0)
        kad_record_put(q->record, buf, q->key);
    return record + kad_request_put(buf + record, q->type, q->key);
}

static void query_close(struct stream *s UNUSED, void *user, const struct error *err,
                        uint32_t code UNUSED)
{
    static const struct error early = { ERR_CLOSED, "the server closed the stream unanswered" };
    struct dht_query *q = user;
    q->stream_ = NULL;
    q->unasked = !q->failure_.code && err && err->code == ERR_BUDGET;
    dht_conn_release(q->dht_, &q->to->id);
    query_end(q, q->failure_.code ? &q->failure_ : err ? err : &early);
}

static const struct stream_ops query_ops = { NULL, query_data, query_writable, query_close };

static void query_opened(struct dht_open *o, struct stream *s, const struct error *err)
{
    struct dht_query *q = container_of(o, struct dht_query, open_);
    q->unasked = o->unasked;
    if (!s) {
        query_end(q, err);
        return;
    }
    q->stream_ = s;
    stream_deadline(s, q->answer_ms ? q->answer_ms : q->dht_->options.answer_ms);
    stream_want_write(s);
}

void dht_query(struct dht *d, struct dht_query *q)
{
    assert(!q->out_ && q->cb);
    q->dht_ = d;
    q->out_ = true;
    q->sent_ = q->unasked = false;
    q->stream_ = NULL;
    error_clear(&q->failure_);
    q->decoder_ =
        (struct kad_decoder){ .on_peer = decoded_peer, .allow_private = d->options.allow_private };
    d->out++;
    q->open_.to = q->to;
    q->open_.speaks = dht_protocol(d, &query_ops);
    q->open_.user = q;
    q->open_.cb = query_opened;
    dht_open(d, &q->open_);
}

void dht_query_cancel(struct dht_query *q)
{
    if (!q->out_)
        return;
    error_set(&q->failure_, ERR_CANCELED, "canceled");
    if (q->stream_)
        stream_reset(q->stream_, 0);
    else
        dht_open_cancel(&q->open_);
}
