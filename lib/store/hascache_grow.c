/* How segments get pages, lose them, split and merge. Each step lays out one segment (a merge: two)
 * anew in a fraction of a millisecond; a step that cannot be done leaves everything as it was. */
#include <time.h>

#include "core/metrics.h"
#include "store/hascache_segment.h"

bool hascache_take_page(struct hascache *h, uint32_t segment, uint32_t *page)
{
    if (hascache_bytes(h) + PAGE_BYTES <= h->bytes_max && page_pool_take(h->pool, segment, page))
        return true;
    h->refused_page = true;
    return false;
}

void hascache_moved(void *ctx, uint32_t tag, uint32_t from, uint32_t to)
{
    struct hascache *h = ctx;
    assert(tag < h->segment_count);
    struct hascache_segment *s = &h->segments[tag];
    uint32_t i = 0;
    while (i < s->pages && s->page[i] != from)
        i++;
    assert(i < s->pages);
    s->page[i] = to;
}

static void scratch_begin(struct hascache *h)
{
    h->scratch->count = 0;
    h->scratch->undo_pages = 0;
}

/* Puts the pages of s back as hascache_gather found them, beginning with page `from` of the undo.
 */
static void restore(struct hascache *h, const struct hascache_segment *s, uint32_t from)
{
    for (uint32_t p = 0; p < s->pages; p++)
        memcpy(segment_line(h, s, p * LINES_PER_PAGE),
               h->scratch->undo + (uint64_t)(from + p) * PAGE_BYTES, PAGE_BYTES);
}

/* Points the directory entries of a prefix at a segment. */
static void directory_set(struct hascache *h, uint32_t prefix, uint8_t depth, uint32_t segment)
{
    uint32_t each = UINT32_C(1) << (h->bits - depth);
    for (uint32_t i = 0; i < each; i++)
        h->directory[prefix * each + i] = segment;
}

static bool directory_double(struct hascache *h)
{
    size_t entries = (size_t)1 << h->bits;
    uint32_t *wide = mem_try_alloc(h->mem, 2 * entries * sizeof(*wide));
    if (!wide)
        return false;
    for (size_t i = 0; i < 2 * entries; i++)
        wide[i] = h->directory[i / 2];
    mem_free(h->mem, h->directory);
    h->directory = wide;
    h->bits++;
    return true;
}

static void directory_halve(struct hascache *h)
{
    size_t entries = (size_t)1 << (h->bits - 1);
    for (size_t i = 0; i < entries; i++)
        h->directory[i] = h->directory[2 * i];
    h->bits--;
    uint32_t *narrow = mem_try_realloc(h->mem, h->directory, entries * sizeof(*narrow));
    if (narrow)
        h->directory = narrow;
}

static bool segments_have_room(struct hascache *h)
{
    if (h->segment_count < h->segment_room)
        return true;
    uint32_t room = h->segment_room + h->segment_room / 4;
    struct hascache_segment *more =
        mem_try_realloc(h->mem, h->segments, room * sizeof(h->segments[0]));
    if (!more)
        return false;
    h->segments = more;
    h->segment_room = room;
    return true;
}

static bool add_page(struct hascache *h, uint32_t segment)
{
    struct hascache_segment *s = &h->segments[segment];
    struct hascache_segment before = *s;
    uint32_t page;
    if (!hascache_take_page(h, segment, &page))
        return false;
    scratch_begin(h);
    hascache_gather(h, s);
    s->page[s->pages] = page;
    hascache_set_pages(s, s->pages + 1u);
    if (hascache_lay_out(h, s, 0, h->scratch->count))
        return true;
    *s = before;
    restore(h, s, 0);
    page_pool_free(h->pool, page); /* the last one taken: nothing moves */
    return false;
}

/* Orders the scratch: members with a zero below the prefix first. Returns how many those are. */
static uint32_t partition(struct hascache_scratch *x, uint8_t depth)
{
    uint32_t zeros = 0;
    for (uint32_t i = 0; i < x->count; i++) {
        if (hash_top(x->lo[i], x->hi[i]) << depth >> 63)
            continue;
        uint64_t lo = x->lo[zeros];
        uint8_t hi = x->hi[zeros];
        x->lo[zeros] = x->lo[i];
        x->hi[zeros++] = x->hi[i];
        x->lo[i] = lo;
        x->hi[i] = hi;
    }
    return zeros;
}

static uint32_t pages_for(uint32_t n)
{
    return MAX(1u, MIN((n + PAGE_FILL_MAX - 1) / PAGE_FILL_MAX, SEGMENT_PAGES_MAX));
}

/* Everything a split needs and may be refused. extra[] are the last pages of the pool. */
static bool split_take(struct hascache *h, uint32_t segment, uint32_t extra[], uint32_t count)
{
    const struct hascache_segment *s = &h->segments[segment];
    if (s->depth >= LIMIT_HASCACHE_DEPTH_MAX || !segments_have_room(h) ||
        (s->depth == h->bits && !directory_double(h))) {
        h->refused_page = true;
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!hascache_take_page(h, h->segment_count, &extra[i])) {
            while (i-- > 0)
                page_pool_free(h->pool, extra[i]); /* backwards: nothing moves */
            return false;
        }
    }
    return true;
}

static void half_of(struct hascache_segment *half, const struct hascache_segment *s, uint32_t bit,
                    const uint32_t page[], uint32_t pages)
{
    half->depth = (uint8_t)(s->depth + 1);
    half->prefix = s->prefix << 1 | bit;
    half->n = 0;
    memcpy(half->page, page, pages * sizeof(page[0]));
    hascache_set_pages(half, pages);
}

static bool split(struct hascache *h, uint32_t segment)
{
    uint32_t page[2 * SEGMENT_PAGES_MAX];
    scratch_begin(h);
    hascache_gather(h, &h->segments[segment]);
    uint32_t all = h->scratch->count;
    uint32_t zeros = partition(h->scratch, h->segments[segment].depth);
    uint32_t pages0 = pages_for(zeros), pages1 = pages_for(all - zeros);
    uint32_t own = h->segments[segment].pages;
    uint32_t total = MAX(pages0 + pages1, own); /* what would be over goes to the second half */
    if (!split_take(h, segment, page + own, total - own))
        return false;
    struct hascache_segment *s = &h->segments[segment], *t = &h->segments[h->segment_count];
    struct hascache_segment before = *s;
    memcpy(page, before.page, own * sizeof(page[0]));
    half_of(s, &before, 0, page, pages0);
    half_of(t, &before, 1, page + pages0, total - pages0);
    if (!hascache_lay_out(h, s, 0, zeros) || !hascache_lay_out(h, t, zeros, all)) {
        *s = before;
        restore(h, s, 0);
        for (uint32_t i = total; i-- > own;)
            page_pool_free(h->pool, page[i]);
        return false;
    }
    uint32_t other = h->segment_count++;
    for (uint32_t i = 0; i < t->pages; i++)
        page_pool_set_tag(h->pool, t->page[i], other);
    directory_set(h, t->prefix, t->depth, other);
    h->at_depth[before.depth]--;
    h->at_depth[t->depth] += 2;
    h->stats.splits++;
    return true;
}

/* What one step costs the loop, for the metric. */
struct stopwatch {
    uint64_t began_ns, relayouts;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct stopwatch stopwatch_start(const struct hascache *h)
{
    return (struct stopwatch){ now_ns(), h->stats.relayouts };
}

/* A page that is refused at once is no relayout. */
static void stopwatch_end(const struct stopwatch *s, const struct hascache *h)
{
    if (h->stats.relayouts > s->relayouts)
        metric_observe(METRIC_hascache_relayout_seconds, now_ns() - s->began_ns);
}

bool hascache_grow(struct hascache *h, uint32_t segment)
{
    assert(segment < h->segment_count);
    h->refused_held |= h->held;
    if (h->held)
        return false;
    struct stopwatch watch = stopwatch_start(h);
    bool grown =
        h->segments[segment].pages < SEGMENT_PAGES_MAX ? add_page(h, segment) : split(h, segment);
    stopwatch_end(&watch, h);
    return grown;
}

/* Largest number first: then the last page of the pool is never one that is about to be freed. */
static void free_pages(struct hascache *h, uint32_t page[], uint32_t count)
{
    while (count > 0) {
        uint32_t at = 0;
        for (uint32_t i = 1; i < count; i++)
            at = page[i] > page[at] ? i : at;
        page_pool_free(h->pool, page[at]);
        page[at] = page[--count];
    }
}

/* The last segment takes the number of one that is gone. */
static void drop_segment(struct hascache *h, uint32_t segment)
{
    uint32_t last = --h->segment_count;
    if (segment == last)
        return;
    struct hascache_segment *s = &h->segments[segment];
    *s = h->segments[last];
    for (uint32_t i = 0; i < s->pages; i++)
        page_pool_set_tag(h->pool, s->page[i], segment);
    directory_set(h, s->prefix, s->depth, segment);
}

/* Both halves of one prefix, the zero half first; false when they are not a pair that fits. */
static bool find_pair(const struct hascache *h, uint32_t segment, uint32_t pair[2])
{
    const struct hascache_segment *s = &h->segments[segment];
    if (s->depth <= DEPTH_MIN)
        return false;
    uint32_t other = h->directory[(s->prefix ^ 1) << (h->bits - s->depth)];
    const struct hascache_segment *t = &h->segments[other];
    if (t->depth != s->depth || s->n + t->n > 24 * SLOTS_PER_PAGE * 80 / 100 ||
        s->pages + t->pages > SEGMENT_PAGES_MAX)
        return false;
    pair[s->prefix & 1] = segment;
    pair[!(s->prefix & 1)] = other;
    return true;
}

static bool merge(struct hascache *h, const uint32_t pair[2])
{
    struct hascache_segment *s = &h->segments[pair[0]], *t = &h->segments[pair[1]];
    struct hascache_segment before = *s;
    uint32_t own = s->pages + t->pages, n = s->n + t->n;
    uint32_t wanted = MAX(1u, (n * 10 + 8 * SLOTS_PER_PAGE - 1) / (8 * SLOTS_PER_PAGE));
    if (wanted > own)
        return false;
    scratch_begin(h);
    hascache_gather(h, s);
    hascache_gather(h, t);
    uint32_t page[SEGMENT_PAGES_MAX];
    memcpy(page, s->page, s->pages * sizeof(page[0]));
    memcpy(page + s->pages, t->page, t->pages * sizeof(page[0]));
    s->depth--;
    s->prefix >>= 1;
    memcpy(s->page, page, wanted * sizeof(page[0]));
    hascache_set_pages(s, wanted);
    if (!hascache_lay_out(h, s, 0, n)) {
        *s = before;
        restore(h, s, 0);
        restore(h, t, s->pages);
        return false;
    }
    for (uint32_t i = 0; i < wanted; i++)
        page_pool_set_tag(h->pool, s->page[i], pair[0]);
    directory_set(h, s->prefix, s->depth, pair[0]);
    h->at_depth[before.depth] -= 2;
    h->at_depth[s->depth]++;
    free_pages(h, page + wanted, own - wanted);
    drop_segment(h, pair[1]);
    while (h->bits > DEPTH_MIN && h->at_depth[h->bits] == 0)
        directory_halve(h);
    h->stats.merges++;
    return true;
}

static bool drop_page(struct hascache *h, uint32_t segment)
{
    struct hascache_segment *s = &h->segments[segment];
    struct hascache_segment before = *s;
    uint32_t page = s->page[s->pages - 1];
    scratch_begin(h);
    hascache_gather(h, s);
    hascache_set_pages(s, s->pages - 1u);
    if (!hascache_lay_out(h, s, 0, h->scratch->count)) {
        *s = before;
        restore(h, s, 0);
        return false;
    }
    page_pool_free(h->pool, page);
    return true;
}

static void shrink(struct hascache *h, uint32_t segment)
{
    uint32_t pair[2];
    if (h->segments[segment].pages > 1 && drop_page(h, segment)) {
        if (find_pair(h, segment, pair))
            (void)merge(h, pair);
        return;
    }
    if (find_pair(h, segment, pair) && merge(h, pair))
        return;
    /* Not now: ask again when it is half as full, not at every delete. */
    h->segments[segment].shrink_at = h->segments[segment].n / 2;
}

void hascache_shrink(struct hascache *h, uint32_t segment)
{
    struct stopwatch watch = stopwatch_start(h);
    shrink(h, segment);
    stopwatch_end(&watch, h);
}
