#include "store/hascache_segment.h"

enum { SEGMENT_EXPECTED_MAX = 9000 }; /* 22 pages: half way between two splits */

/* Depth of the first segments for so many expected entries. */
static uint8_t first_bits(uint64_t expected)
{
    uint8_t bits = DEPTH_MIN;
    while (bits < LIMIT_HASCACHE_DEPTH_MAX && expected >> bits > SEGMENT_EXPECTED_MAX)
        bits++;
    return bits;
}

static bool first_segments(struct hascache *h, uint64_t expected)
{
    uint32_t count = UINT32_C(1) << h->bits;
    uint64_t mean = (expected + count - 1) / count;
    uint32_t pages = (uint32_t)MIN(mean / PAGE_FILL_MAX + 1, SEGMENT_PAGES_MAX);
    for (; h->segment_count < count; h->segment_count++) {
        struct hascache_segment *s = &h->segments[h->segment_count];
        *s = (struct hascache_segment){ .depth = h->bits, .prefix = h->segment_count };
        for (uint32_t i = 0; i < pages; i++)
            if (!hascache_take_page(h, h->segment_count, &s->page[i]))
                return false;
        hascache_set_pages(s, pages);
        for (uint32_t i = 0; i < pages; i++)
            memset(segment_line(h, s, i * LINES_PER_PAGE), 0, PAGE_BYTES);
        h->directory[h->segment_count] = h->segment_count;
    }
    h->at_depth[h->bits] = count;
    return true;
}

static bool allocate(struct hascache *h)
{
    uint32_t count = UINT32_C(1) << h->bits;
    h->pool = page_pool_create(&(struct page_pool_options){
        h->mem, MAX(1u, MIN(h->bytes_max / PAGE_BYTES, UINT32_MAX)), hascache_moved, h });
    h->directory = mem_try_alloc(h->mem, count * sizeof(h->directory[0]));
    h->segment_room = count + count / 4;
    h->segments = mem_try_alloc(h->mem, h->segment_room * sizeof(h->segments[0]));
    h->scratch = mem_try_alloc(h->mem, sizeof(*h->scratch));
    if (!h->pool || !h->directory || !h->segments || !h->scratch)
        return false;
    h->base = page_pool_base(h->pool);
    return true;
}

enum err hascache_allocate(struct hascache **out, struct mem_owner *mem,
                           const struct hascache_options *o, uint8_t bits, struct error *err)
{
    struct hascache *h = mem_try_zalloc(mem, sizeof(*h));
    if (!h)
        return mem_refused(mem, sizeof(*h), err);
    h->mem = mem;
    h->bits = bits;
    h->bytes_max = o->bytes_max ? o->bytes_max : mem->ceiling_bytes;
    h->state = HASCACHE_BUILDING;
    h->key = siphash_key_of(o->key);
    h->prng = prng_of(h->key.k0 ^ h->key.k1);
    for (unsigned i = 0; !h->kernel; i++)
        h->kernel = hascache_kernel(i);
    if (!allocate(h)) {
        hascache_destroy(h);
        return mem_refused(mem, sizeof(*h->scratch), err);
    }
    *out = h;
    return ERR_OK;
}

enum err hascache_create(struct hascache **out, struct mem_owner *mem,
                         const struct hascache_options *o, struct error *err)
{
    struct hascache *h = NULL;
    enum err rc = hascache_allocate(&h, mem, o, first_bits(o->expected), err);
    if (rc)
        return rc;
    if (!first_segments(h, o->expected)) {
        hascache_destroy(h);
        return error_set(err, ERR_BUDGET, "has-cache for %" PRIu64 " entries: no room in '%s'",
                         o->expected, mem->row.name);
    }
    h->refused_page = false;
    *out = h;
    return ERR_OK;
}

void hascache_destroy(struct hascache *h)
{
    if (!h)
        return;
    page_pool_destroy(h->pool);
    mem_free(h->mem, h->directory);
    mem_free(h->mem, h->segments);
    mem_free(h->mem, h->scratch);
    mem_free(h->mem, h);
}

void hascache_key(const struct hascache *h, const struct chunk_id *id, struct hascache_hash *out)
{
    struct siphash_sum sum = siphash13_128(&h->key, bytes_of(id, sizeof(*id)));
    *out = hascache_hash_of(sum.first, (uint16_t)sum.second);
}

void hascache_prefetch(const struct hascache *h, const struct hascache_hash *k)
{
    const struct hascache_segment *s = segment_of(h, k);
    __builtin_prefetch(segment_line(h, s, first_line(s, k->lo, (uint8_t)k->hi)));
}

bool hascache_has(const struct hascache *h, const struct hascache_hash *k)
{
    return h->kernel->has(h, k);
}

void hascache_has_many(const struct hascache *h, const struct hascache_hash *k, uint32_t count,
                       uint8_t *have)
{
    h->kernel->has_many(h, k, count, have);
}

static enum hascache_put refused(struct hascache *h)
{
    h->stats.refused++;
    h->refused_page = true;
    if (h->state == HASCACHE_COMPLETE)
        h->state = HASCACHE_PARTIAL;
    return HASCACHE_REFUSED;
}

enum hascache_put hascache_add(struct hascache *h, const struct hascache_hash *k)
{
    struct hascache_member m = { k->lo, (uint8_t)k->hi };
    assert(m.lo != 0 || m.hi != 0);
    if (h->kernel->has(h, k))
        return HASCACHE_PRESENT;
    for (;;) { /* ends: a segment has at most 32 pages and LIMIT_HASCACHE_DEPTH_MAX bits */
        struct hascache_segment *s = segment_of(h, k);
        if (s->n < s->limit) {
            if (hascache_place(h, s, m)) {
                s->n++;
                h->count++;
                return HASCACHE_ADDED;
            }
            if (s->n <= s->lines * SLOTS_PER_LINE / 2)
                return refused(h); /* hashes this uneven are not helped by pages */
        }
        if (!hascache_grow(h, (uint32_t)(s - h->segments)))
            return refused(h);
    }
}

bool hascache_remove(struct hascache *h, const struct hascache_hash *k)
{
    struct hascache_segment *s = segment_of(h, k);
    if (!hascache_unplace(h, s, (struct hascache_member){ k->lo, (uint8_t)k->hi }))
        return false;
    s->n--;
    h->count--;
    if (s->n < s->shrink_at)
        hascache_shrink(h, (uint32_t)(s - h->segments));
    return true;
}

enum hascache_state hascache_state(const struct hascache *h)
{
    return h ? h->state : HASCACHE_OFF;
}

void hascache_built(struct hascache *h)
{
    assert(h->state == HASCACHE_BUILDING);
    h->state = h->refused_page ? HASCACHE_PARTIAL : HASCACHE_COMPLETE;
}

void hascache_hold(struct hascache *h, bool on)
{
    h->held = on;
}

bool hascache_rebuild(struct hascache *h)
{
    if (h->state != HASCACHE_PARTIAL || !h->refused_held || h->held)
        return false;
    h->state = HASCACHE_BUILDING;
    h->refused_page = h->refused_held = false;
    return true;
}

uint64_t hascache_count(const struct hascache *h)
{
    return h->count;
}

uint64_t hascache_bytes(const struct hascache *h)
{
    return page_pool_bytes(h->pool) + sizeof(*h) + sizeof(*h->scratch) +
           (sizeof(h->directory[0]) << h->bits) + h->segment_room * sizeof(h->segments[0]);
}

void hascache_stats(const struct hascache *h, struct hascache_stats *out)
{
    *out = h->stats;
}

void hascache_iterate(const struct hascache *h, hascache_each_cb *cb, void *ctx)
{
    for (uint32_t i = 0; i < h->segment_count; i++) {
        const struct hascache_segment *s = &h->segments[i];
        uint16_t implied = (uint16_t)(s->prefix >> (s->depth - 8) << 8);
        for (uint32_t line = 0; line < s->lines; line++) {
            const struct hascache_line *at = segment_line(h, s, line);
            for (uint32_t slot = 0; slot < SLOTS_PER_LINE; slot++) {
                struct hascache_hash k = { at->lo[slot], (uint16_t)(implied | at->hi[slot]) };
                if (at->lo[slot] || at->hi[slot])
                    cb(ctx, &k);
            }
        }
    }
}

bool hascache_step_due(struct hascache *h, struct page_step *out)
{
    return page_pool_step_due(h->pool, out);
}

void hascache_step_done(struct hascache *h, const struct page_step *s)
{
    page_pool_step_done(h->pool, s);
}
