#include "swarm/inflight.h"

void inflight_init(struct inflight *f, struct loop *loop)
{
    uint8_t key[16];
    memset(f, 0, sizeof(*f));
    loop_random(loop, key, sizeof(key));
    f->key = siphash_key_of(key);
}

static size_t bucket_of(const struct inflight *f, const struct chunk_id *id)
{
    return siphash13_128(&f->key, bytes_of(id, sizeof(*id))).first % INFLIGHT_BUCKETS;
}

void *inflight_by(const struct inflight *f, const struct chunk_id *id)
{
    for (const struct claim *c = f->buckets[bucket_of(f, id)]; c; c = c->next)
        if (!memcmp(c->id, id, sizeof(*id)))
            return c->by;
    return NULL;
}

void inflight_claim(struct inflight *f, struct claim *c, const struct chunk_id *id, void *by)
{
    size_t at = bucket_of(f, id);
    assert(by);
    *c = (struct claim){ .next = f->buckets[at], .id = id, .by = by };
    f->buckets[at] = c;
    f->count++;
}

void inflight_drop(struct inflight *f, struct claim *c)
{
    if (!c->by)
        return;
    struct claim **at = &f->buckets[bucket_of(f, c->id)];
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->by = NULL;
    f->count--;
}
