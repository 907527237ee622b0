#include "ipfs/explore.h"

#include <stdlib.h>

enum { LONG_LEN = 14 }; /* a part is not halved for this any more: inexact is better than never */

static void step(struct explore *e);

static bool known(const struct explore *e, const struct kad_peer *p)
{
    for (uint32_t i = 0; i < e->count; i++)
        if (!memcmp(e->servers[i].kad, p->kad, KAD_BYTES))
            return true;
    return false;
}

static uint32_t living_under(const struct explore *e)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->count; i++)
        n += kad_prefix_has(e->prefix, kad_first(e->servers[i].kad));
    return n;
}

static int compare_places(const void *a, const void *b)
{
    return memcmp(((const struct kad_peer *)a)->kad, ((const struct kad_peer *)b)->kad, KAD_BYTES);
}

static void finish(struct explore *e, const struct error *err)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < e->count; i++)
        if (kad_prefix_has(e->prefix, kad_first(e->servers[i].kad)))
            e->servers[kept++] = e->servers[i];
    e->count = kept;
    qsort(e->servers, kept, sizeof(e->servers[0]), compare_places);
    e->cb(e, err);
}

/* From all keys of the wanted prefix alike. */
static uint64_t distance(const struct explore *e, const struct kad_peer *p)
{
    return (kad_first(p->kad) ^ e->wanted_.bits) & kad_prefix_mask(e->wanted_.len);
}

static bool is_farther(const struct explore *e, const struct kad_peer *a, const struct kad_peer *b)
{
    return (kad_first(a->kad) ^ e->wanted_.bits) > (kad_first(b->kad) ^ e->wanted_.bits);
}

/* The farthest gives way, so that ids without end that somebody makes up leave the nearest. */
static void add_instead(struct explore *e, const struct kad_peer *found)
{
    uint32_t far = 0;
    for (uint32_t i = 1; i < e->count; i++)
        if (is_farther(e, &e->servers[i], &e->servers[far]))
            far = i;
    bool is_out = is_farther(e, found, &e->servers[far]);
    uint64_t gone = distance(e, is_out ? found : &e->servers[far]);
    e->dropped_near_ = e->dropped++ ? MIN(e->dropped_near_, gone) : gone;
    if (!is_out)
        e->servers[far] = *found;
}

bool explore_add(struct explore *e, const struct kad_peer *found)
{
    if (known(e, found))
        return false;
    if (LIMIT_CHECK(EXPLORE_SERVERS, e->count + 1))
        e->servers[e->count++] = *found;
    else
        add_instead(e, found);
    return true;
}

bool explore_is_exact(const struct explore *e)
{
    uint32_t nearer = 0;
    for (uint32_t i = 0; i < e->count; i++)
        nearer += distance(e, &e->servers[i]) < e->dropped_near_;
    return e->dropped == 0 || nearer >= KAD_K;
}

/* What the answer says: who lives, and which part is known whole now. */
static void take_answer(struct explore *e)
{
    uint64_t nearest[KAD_K];
    const struct lookup_peer *p;
    const struct kad_peer *found;
    uint32_t n = 0, fresh = 0;
    for (; n < KAD_K && (p = lookup_heard(&e->lookup_, n)) != NULL; n++)
        nearest[n] = kad_first(p->peer.kad);
    for (uint32_t i = 0; (found = lookup_found(&e->lookup_, i)) != NULL; i++)
        fresh += explore_add(e, found);
    if (e->lookup_.unasked > 0) /* it may have missed some of them: the place is looked up again */
        return;
    e->in_vain_ = fresh ? 0 : e->in_vain_ + 1;
    cover_reason(&e->cover_, kad_first(e->lookup_.target), nearest, n);
}

static void on_found(struct lookup *l, const struct error *err)
{
    struct explore *e = container_of(l, struct explore, lookup_);
    e->requests += l->requests;
    if (err) {
        finish(e, err);
        return;
    }
    e->lookups++;
    take_answer(e);
    e->unasked_ += l->unasked > 0;
    if (e->unasked_ > LIMIT_EXPLORE_UNASKED) {
        struct error held;
        error_set(&held, ERR_TIMEOUT,
                  "%u of the nearest servers could not be asked in time: no "
                  "dial was free, or no memory",
                  l->unasked);
        finish(e, &held);
        return;
    }
    step(e);
}

/* A place in the gap: its bits, then those of our own. */
static void look_into(struct explore *e, struct kad_prefix gap)
{
    uint64_t own = kad_first(dht_self(e->dht_));
    uint64_t place = gap.bits | (own & ~kad_prefix_mask(gap.len));
    struct lookup *l = &e->lookup_;
    l->type = KAD_FIND_NODE;
    l->key_size = KAD_PREIMAGE_BYTES;
    l->cb = on_found;
    kad_preimage(e->preimages[place >> (64 - KAD_PREIMAGE_BITS)], l->key);
    lookup_start(e->dht_, l);
}

static void step(struct explore *e)
{
    struct kad_prefix gap;
    struct error err = { ERR_OK, "" };
    while (!cover_gap(&e->cover_, e->prefix, kad_first(dht_self(e->dht_)), &gap)) {
        if (e->prefix.len == 0 || living_under(e) >= KAD_K) {
            if (e->count == 0)
                error_set(&err, ERR_UNREACHABLE, "no server of the DHT answered");
            else if (!explore_is_exact(e) && e->wanted_.len < LONG_LEN)
                error_set(&err, ERR_LIMIT, "more servers are near a part than fit");
            finish(e, err.code ? &err : NULL);
            return;
        }
        e->prefix = kad_prefix_of(e->prefix.bits, e->prefix.len - 1);
    }
    if (!LIMIT_CHECK(EXPLORE_LOOKUPS, e->lookups + 1) || gap.len > KAD_PREIMAGE_BITS ||
        e->in_vain_ >= LIMIT_EXPLORE_IN_VAIN) {
        error_set(&err, ERR_LIMIT, "part of the key space could not be explored");
        finish(e, &err);
        return;
    }
    look_into(e, gap);
}

void explore_start(struct dht *d, struct explore *e)
{
    assert(e->cb && e->preimages);
    e->dht_ = d;
    e->wanted_ = e->prefix;
    e->lookups = e->requests = e->count = e->dropped = e->in_vain_ = e->unasked_ = 0;
    e->cover_.count = 0;
    struct kad_prefix first = e->prefix;
    look_into(e, first);
}

void explore_cancel(struct explore *e)
{
    lookup_cancel(&e->lookup_);
}
