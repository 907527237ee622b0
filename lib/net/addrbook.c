#include "net/addrbook.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/siphash.h"
#include "core/loop.h"

enum { BUCKETS = 512 };

struct address {
    struct address *next; /* the surer first, then the fresher */
    uint64_t until_ms;
    enum host_source source;
    uint32_t size;
    uint8_t bytes[];
};

struct peer {
    struct list used; /* in the book's order of use, and in its bucket */
    struct peer *hash_next;
    struct peer_id id;
    uint32_t tags, count, bytes; /* of addresses */
    struct address *first;
};

struct addrbook {
    struct loop *loop;
    struct mem_owner *mem;
    struct siphash_key hash;
    struct list used; /* the longest ago first */
    uint32_t count;
    struct peer *buckets[BUCKETS];
};

enum err addrbook_create(struct addrbook **out, struct loop *loop, struct mem_owner *mem,
                         struct error *err)
{
    struct addrbook *b = mem_try_zalloc(mem, sizeof(*b));
    uint8_t key[16];
    if (!b)
        return mem_refused(mem, sizeof(*b), err);
    loop_random(loop, key, sizeof(key));
    b->loop = loop;
    b->mem = mem;
    b->hash = siphash_key_of(key);
    list_init(&b->used);
    *out = b;
    return ERR_OK;
}

static struct peer **bucket_of(struct addrbook *b, const struct peer_id *id)
{
    return &b->buckets[siphash13_128(&b->hash, peer_id_bytes(id)).first % BUCKETS];
}

static struct peer *peer_find(const struct addrbook *b, const struct peer_id *id)
{
    struct peer *p = *bucket_of((struct addrbook *)(uintptr_t)b, id);
    while (p && !peer_id_equal(&p->id, id))
        p = p->hash_next;
    return p;
}

static void address_free(struct addrbook *b, struct peer *p, struct address **at)
{
    struct address *a = *at;
    *at = a->next;
    p->count--;
    p->bytes -= a->size;
    mem_free(b->mem, a);
}

static void peer_free(struct addrbook *b, struct peer *p)
{
    struct peer **at = bucket_of(b, &p->id);
    while (*at != p)
        at = &(*at)->hash_next;
    *at = p->hash_next;
    while (p->first)
        address_free(b, p, &p->first);
    list_remove(&p->used);
    b->count--;
    mem_free(b->mem, p);
}

void addrbook_destroy(struct addrbook *b)
{
    if (!b)
        return;
    while (!list_empty(&b->used))
        peer_free(b, container_of(list_first(&b->used), struct peer, used));
    mem_free(b->mem, b);
}

/* Somebody must go: who is not wanted and was used longest ago. */
static bool make_room(struct addrbook *b)
{
    for (struct list *at = b->used.next; at != &b->used; at = at->next) {
        struct peer *p = container_of(at, struct peer, used);
        if (p->tags == 0) {
            peer_free(b, p);
            return true;
        }
    }
    return false;
}

static struct peer *peer_get(struct addrbook *b, const struct peer_id *id)
{
    struct peer *p = peer_find(b, id);
    if (p) {
        list_remove(&p->used);
        list_append(&b->used, &p->used);
        return p;
    }
    if (!LIMIT_CHECK(P2P_BOOK_PEERS, b->count + 1) && !make_room(b))
        return NULL;
    p = mem_try_zalloc(b->mem, sizeof(*p));
    if (!p)
        return NULL;
    p->id = *id;
    struct peer **bucket = bucket_of(b, id);
    p->hash_next = *bucket;
    *bucket = p;
    list_append(&b->used, &p->used);
    b->count++;
    return p;
}

static uint64_t until_ms(const struct addrbook *b, enum host_source source)
{
    switch (source) {
    case HOST_TOLD:
        return loop_now_ms(b->loop) + LIMIT_P2P_BOOK_TOLD_MS;
    case HOST_IDENTIFIED:
        return loop_now_ms(b->loop) + LIMIT_P2P_BOOK_IDENTIFIED_MS;
    case HOST_CONFIGURED:
        break;
    }
    return UINT64_MAX;
}

/* The last one, unless it is surer than what wants its place. */
static bool address_make_room(struct addrbook *b, struct peer *p, enum host_source source)
{
    struct address **at = &p->first;
    while (*at && (*at)->next)
        at = &(*at)->next;
    if (!*at || (*at)->source > source)
        return false;
    address_free(b, p, at);
    return true;
}

/* Takes the address out when it is there; its source never gets weaker. */
static enum host_source address_take(struct addrbook *b, struct peer *p, struct bytes multiaddr,
                                     enum host_source source)
{
    for (struct address **at = &p->first; *at;) {
        if ((*at)->until_ms <= loop_now_ms(b->loop)) {
            address_free(b, p, at);
        } else if (bytes_equal(bytes_of((*at)->bytes, (*at)->size), multiaddr)) {
            source = MAX(source, (*at)->source);
            address_free(b, p, at);
        } else {
            at = &(*at)->next;
        }
    }
    return source;
}

void addrbook_learn(struct addrbook *b, const struct peer_id *peer, struct bytes multiaddr,
                    enum host_source source)
{
    struct peer *p = multiaddr.size <= LIMIT_P2P_BOOK_PEER_BYTES ? peer_get(b, peer) : NULL;
    if (!p)
        return;
    source = address_take(b, p, multiaddr, source);
    while (!LIMIT_CHECK(P2P_BOOK_ADDRESSES, p->count + 1) ||
           !LIMIT_CHECK(P2P_BOOK_PEER_BYTES, p->bytes + multiaddr.size))
        if (!address_make_room(b, p, source))
            return;
    struct address *a = mem_try_alloc(b->mem, sizeof(*a) + multiaddr.size);
    if (!a)
        return;
    a->until_ms = until_ms(b, source);
    a->source = source;
    a->size = (uint32_t)multiaddr.size;
    memcpy(a->bytes, multiaddr.data, multiaddr.size);
    struct address **at = &p->first;
    while (*at && (*at)->source > source)
        at = &(*at)->next;
    a->next = *at;
    *at = a;
    p->count++;
    p->bytes += a->size;
}

void addrbook_seen(struct addrbook *b, const struct peer_id *peer)
{
    struct peer *p = peer_find(b, peer);
    for (struct address *a = p ? p->first : NULL; a; a = a->next)
        if (a->source == HOST_IDENTIFIED)
            a->until_ms = until_ms(b, a->source);
}

void addrbook_each(struct addrbook *b, const struct peer_id *peer,
                   void (*each)(void *ctx, struct bytes multiaddr), void *ctx)
{
    struct peer *p = peer_find(b, peer);
    uint64_t now = loop_now_ms(b->loop);
    for (struct address *a = p ? p->first : NULL; a; a = a->next)
        if (a->until_ms > now)
            each(ctx, bytes_of(a->bytes, a->size));
}

bool addrbook_tag(struct addrbook *b, const struct peer_id *peer, uint32_t bits, bool on)
{
    struct peer *p = on ? peer_get(b, peer) : peer_find(b, peer);
    if (!p)
        return !on;
    p->tags = on ? p->tags | bits : p->tags & ~bits;
    return true;
}

uint32_t addrbook_tags(const struct addrbook *b, const struct peer_id *peer)
{
    const struct peer *p = peer_find(b, peer);
    return p ? p->tags : 0;
}

uint32_t addrbook_count(const struct addrbook *b)
{
    return b->count;
}
