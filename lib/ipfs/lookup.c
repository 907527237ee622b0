#include "ipfs/lookup.h"

static void step(struct lookup *l);

const struct lookup_peer *lookup_heard(const struct lookup *l, uint32_t i)
{
    return i < l->count_ ? &l->peers_[l->order_[i]] : NULL;
}

const struct kad_peer *lookup_found(const struct lookup *l, uint32_t i)
{
    for (uint32_t at = 0; at < l->count_; at++)
        if (l->peers_[l->order_[at]].state == LOOKUP_ANSWERED && i-- == 0)
            return &l->peers_[l->order_[at]].peer;
    return NULL;
}

/* ---- candidates, sorted by distance ---- */

static void learn_addresses(struct kad_peer *known, const struct kad_peer *heard)
{
    if (known->addresses_used == 0) {
        memcpy(known->addresses, heard->addresses, sizeof(known->addresses));
        known->addresses_used = heard->addresses_used;
    }
}

static void hear(struct lookup *l, const struct kad_peer *peer)
{
    uint32_t at = 0, slot = l->count_;
    if (!memcmp(peer->kad, dht_self(l->dht_), KAD_BYTES))
        return;
    int c = 1;
    for (; at < l->count_; at++) {
        c = kad_compare(l->target, peer->kad, l->peers_[l->order_[at]].peer.kad);
        if (c <= 0)
            break;
    }
    if (c == 0) {
        learn_addresses(&l->peers_[l->order_[at]].peer, peer);
        return;
    }
    if (!LIMIT_CHECK(LOOKUP_PEERS, l->count_ + 1)) {
        slot = l->order_[l->count_ - 1]; /* the farthest makes room, unless it is being asked */
        if (at == l->count_ || l->peers_[slot].state == LOOKUP_WAITING)
            return;
        l->count_--;
    }
    memmove(l->order_ + at + 1, l->order_ + at, (l->count_ - at) * sizeof(l->order_[0]));
    l->order_[at] = (uint16_t)slot;
    l->peers_[slot] = (struct lookup_peer){ .peer = *peer };
    l->count_++;
    if (dht_is_bad(l->dht_, peer) ||
        (peer->addresses_used == 0 && !host_connected(dht_options(l->dht_)->host, &peer->id)))
        l->peers_[slot].state = LOOKUP_UNREACHABLE;
}

/* A query of the lookup, with the candidate it asks. */
static struct lookup *lookup_of(struct dht_query *q)
{
    struct lookup_query *lq = container_of(q, struct lookup_query, query);
    return lq->lookup;
}

static void on_peer(struct dht_query *q, const struct kad_peer *peer, bool provider)
{
    struct lookup *l = lookup_of(q);
    if (!provider)
        hear(l, peer);
    else if (l->on_provider)
        l->on_provider(l, peer);
}

static uint32_t count_unasked(const struct lookup *l)
{
    uint32_t unasked = 0, living = 0;
    for (uint32_t i = 0; i < l->count_ && living < KAD_K; i++) {
        enum lookup_state state = l->peers_[l->order_[i]].state;
        unasked += state == LOOKUP_UNASKED;
        living += state != LOOKUP_UNREACHABLE;
    }
    return unasked;
}

static void finish(struct lookup *l)
{
    static const struct error canceled = { ERR_CANCELED, "canceled" };
    static const struct error empty = { ERR_UNREACHABLE, "no server of the DHT is known" };
    timer_set(&l->timer_, 0);
    loop_defer_cancel(&l->later_);
    l->unasked = count_unasked(l);
    l->running_ = false;
    l->cb(l, l->canceled_ ? &canceled : l->count_ == 0 ? &empty : NULL);
}

static void on_answer(struct dht_query *q, const struct error *err)
{
    struct lookup *l = lookup_of(q);
    struct lookup_peer *p = &l->peers_[container_of(q, struct lookup_query, query)->slot];
    p->state = !err ? LOOKUP_ANSWERED : q->unasked ? LOOKUP_UNASKED : LOOKUP_UNREACHABLE;
    l->waiting_--;
    step(l);
}

static void ask(struct lookup *l, uint32_t slot)
{
    struct lookup_query *lq = l->queries_;
    while (lq->query.out_)
        lq++;
    assert(lq < l->queries_ + KAD_K);
    lq->lookup = l;
    lq->slot = slot;
    struct dht_query *q = &lq->query;
    q->to = &l->peers_[slot].peer;
    q->type = l->type;
    q->key = bytes_of(l->key, l->key_size);
    q->answer_ms = LIMIT_KAD_FOLLOW_MS;
    q->on_peer = on_peer;
    q->cb = on_answer;
    l->peers_[slot].state = LOOKUP_WAITING;
    l->waiting_++;
    l->requests++;
    dht_query(l->dht_, q);
}

/* Have the nearest KAD_BETA that are not unreachable answered? */
static bool is_settled(const struct lookup *l)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < l->count_ && seen < KAD_BETA; i++) {
        enum lookup_state state = l->peers_[l->order_[i]].state;
        if (state == LOOKUP_HEARD || state == LOOKUP_WAITING)
            return false;
        seen += state == LOOKUP_ANSWERED;
    }
    return true;
}

/* Of the nearest `among` that are not unreachable, asks those not yet asked; up to `most` wait. */
static void ask_nearest(struct lookup *l, uint32_t among, uint32_t most)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < l->count_ && seen < among && l->waiting_ < most; i++) {
        uint32_t slot = l->order_[i];
        if (l->peers_[slot].state == LOOKUP_HEARD)
            ask(l, slot);
        seen += l->peers_[slot].state != LOOKUP_UNREACHABLE;
    }
}

static void step(struct lookup *l)
{
    if (l->canceled_) {
        if (l->waiting_ == 0)
            finish(l);
        return;
    }
    if (!l->following_ && !is_settled(l))
        ask_nearest(l, LIMIT_LOOKUP_PEERS, KAD_ALPHA);
    if (!l->following_ && (is_settled(l) || l->waiting_ == 0))
        l->following_ = true;
    if (l->following_)
        ask_nearest(l, KAD_K, KAD_K);
    if (l->waiting_ == 0)
        finish(l);
}

static void on_first(struct deferred *d)
{
    step(container_of(d, struct lookup, later_));
}

/* What is out comes back, canceled, as unreachable; as unasked, if it waited for us. */
static void stop_asking(struct lookup *l)
{
    for (uint32_t i = 0; i < KAD_K; i++)
        dht_query_cancel(&l->queries_[i].query);
}

/* Were we short of dials? Then whose turn did not come is not to blame for it. */
static bool is_held(const struct lookup *l)
{
    bool held = false;
    for (uint32_t i = 0; i < KAD_K; i++)
        held |= l->queries_[i].query.out_ && dht_open_is_held(&l->queries_[i].query.open_);
    return held;
}

static void on_deadline(struct timer *t)
{
    struct lookup *l = container_of(t, struct lookup, timer_);
    bool held = is_held(l);
    l->following_ = true;
    for (uint32_t i = 0; i < l->count_; i++)
        if (l->peers_[i].state == LOOKUP_HEARD)
            l->peers_[i].state = held ? LOOKUP_UNASKED : LOOKUP_UNREACHABLE;
    stop_asking(l);
}

void lookup_start(struct dht *d, struct lookup *l)
{
    struct kad_peer seeds[KAD_K];
    assert(!l->running_ && l->cb && l->key_size > 0);
    l->dht_ = d;
    l->count_ = l->waiting_ = l->requests = l->unasked = 0;
    l->following_ = l->canceled_ = false;
    l->running_ = true;
    memset(l->queries_, 0, sizeof(l->queries_));
    kad_of(bytes_of(l->key, l->key_size), l->target);
    timer_init(&l->timer_, dht_options(d)->loop, on_deadline, "DHT look-up");
    timer_set(&l->timer_, LIMIT_LOOKUP_MS);
    uint32_t n = dht_nearest(d, l->target, seeds, KAD_K);
    for (uint32_t i = 0; i < n; i++)
        hear(l, &seeds[i]);
    loop_defer(dht_options(d)->loop, &l->later_, on_first);
}

void lookup_cancel(struct lookup *l)
{
    if (!l->running_ || l->canceled_)
        return;
    l->canceled_ = true;
    stop_asking(l);
    if (l->waiting_ == 0 && !deferred_pending(&l->later_))
        loop_defer(dht_options(l->dht_)->loop, &l->later_, on_first);
}
