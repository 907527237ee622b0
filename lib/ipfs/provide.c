#include "ipfs/provide.h"

static void finish(struct provide *p, const struct error *err)
{
    static const struct error canceled = { ERR_CANCELED, "canceled" };
    static const struct error none = { ERR_UNREACHABLE, "no server took the record" };
    p->cb(p, p->canceled_ ? &canceled : err ? err : p->sent == 0 ? &none : NULL);
}

static void on_peer(struct dht_query *q, const struct kad_peer *peer, bool provider)
{
    struct provide_query *pq = container_of(q, struct provide_query, query);
    if (provider && !memcmp(peer->kad, dht_self(pq->provide->dht_), KAD_BYTES))
        pq->holder->confirmed = true;
}

static void on_answer(struct dht_query *q, const struct error *err)
{
    struct provide_query *pq = container_of(q, struct provide_query, query);
    struct provide *p = pq->provide;
    pq->holder->sent = !err;
    p->sent += !err;
    p->unasked += q->unasked;
    p->confirmed += !err && pq->holder->confirmed;
    if (--p->waiting_ == 0)
        finish(p, NULL);
}

static void on_found(struct lookup *l, const struct error *err)
{
    struct provide *p = container_of(l, struct provide, lookup_);
    const struct kad_peer *peer;
    p->unasked = l->unasked;
    if (err || p->canceled_ || !lookup_found(l, 0)) {
        finish(p, err);
        return;
    }
    for (; p->servers < KAD_K && (peer = lookup_found(l, p->servers)) != NULL; p->servers++) {
        struct provide_query *pq = &p->queries_[p->servers];
        p->holders[p->servers] = (struct provide_holder){ .id = peer->id };
        *pq = (struct provide_query){ .provide = p, .holder = &p->holders[p->servers] };
        pq->query.to = peer;
        pq->query.type = KAD_GET_PROVIDERS;
        pq->query.key = bytes_of(p->key, p->key_size);
        pq->query.record = p->record;
        pq->query.on_peer = on_peer;
        pq->query.cb = on_answer;
        p->waiting_++;
        dht_query(p->dht_, &pq->query);
    }
}

void provide_start(struct dht *d, struct provide *p)
{
    assert(p->cb && p->key_size > 0);
    p->dht_ = d;
    p->servers = p->sent = p->confirmed = p->unasked = p->waiting_ = 0;
    p->canceled_ = false;
    p->lookup_.type = KAD_FIND_NODE;
    memcpy(p->lookup_.key, p->key, p->key_size);
    p->lookup_.key_size = p->key_size;
    p->lookup_.cb = on_found;
    lookup_start(d, &p->lookup_);
}

void provide_cancel(struct provide *p)
{
    p->canceled_ = true;
    lookup_cancel(&p->lookup_);
    for (uint32_t i = 0; i < KAD_K; i++)
        dht_query_cancel(&p->queries_[i].query);
}
