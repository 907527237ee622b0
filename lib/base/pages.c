#include "base/pages.h"

#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"

enum {
    TAGS_PER_PAGE = PAGE_BYTES / sizeof(uint32_t),
    SMALL_BYTES = 64 * 1024 * 1024, /* without huge pages: a small pool stays as small as it is */
    SMALL_KEEP_BYTES = 256 * 1024,  /* freed pages kept before they go back */
    STEP_BYTES = 2 * 1024 * 1024,
};

struct page_pool {
    struct mem_owner *mem; /* borrowed */
    struct page_pool_options options;
    uint8_t *range; /* owned: the whole mapping, tags behind the pages */
    uint64_t range_bytes;
    uint8_t *base; /* first page, on a border of STEP_BYTES */
    uint32_t *tags;
    uint32_t count;
    uint32_t tag_pages;     /* charged for tags */
    uint64_t touched_bytes; /* what the kernel may hold from base on */
    bool step_out;
};

static uint64_t round_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

struct page_pool *page_pool_create(const struct page_pool_options *o)
{
    assert(o->mem && o->moved && o->pages_max > 0 && o->pages_max <= UINT32_MAX);
    struct page_pool *p = mem_try_zalloc(o->mem, sizeof(*p));
    if (!p)
        return NULL;
    p->mem = o->mem;
    p->options = *o;
    uint64_t pages_bytes = round_up(o->pages_max * PAGE_BYTES, STEP_BYTES);
    uint64_t tags_bytes = round_up(o->pages_max * sizeof(uint32_t), PAGE_BYTES);
    p->range_bytes = STEP_BYTES + pages_bytes + tags_bytes;
    void *range = mmap(NULL, p->range_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) {
        mem_free(o->mem, p);
        return NULL;
    }
    p->range = range;
    p->base = (uint8_t *)round_up((uintptr_t)range, STEP_BYTES);
    p->tags = (uint32_t *)(p->base + pages_bytes);
    /* Refused by kernels without huge pages: then these pages are small ones, too. */
    if (pages_bytes > SMALL_BYTES)
        (void)madvise(p->base + SMALL_BYTES, pages_bytes - SMALL_BYTES, MADV_HUGEPAGE);
    return p;
}

void page_pool_destroy(struct page_pool *p)
{
    if (!p)
        return;
    assert(!p->step_out);
    munmap(p->range, p->range_bytes);
    mem_give(p->mem, page_pool_bytes(p));
    mem_free(p->mem, p);
}

bool page_pool_take(struct page_pool *p, uint32_t tag, uint32_t *page)
{
    bool wants_tags = p->count == p->tag_pages * TAGS_PER_PAGE;
    if (p->count >= p->options.pages_max ||
        !mem_take(p->mem, wants_tags ? 2 * PAGE_BYTES : PAGE_BYTES))
        return false;
    p->tag_pages += wants_tags;
    *page = p->count++;
    p->tags[*page] = tag;
    uint64_t used = (uint64_t)p->count * PAGE_BYTES;
    p->touched_bytes =
        MAX(p->touched_bytes, used > SMALL_BYTES ? round_up(used, STEP_BYTES) : used);
    return true;
}

/* Gives the kernel what lies behind the pages in use, in pieces large enough to be worth a call. */
static void trim(struct page_pool *p)
{
    uint64_t used = (uint64_t)p->count * PAGE_BYTES;
    uint64_t end = used > SMALL_BYTES ? round_up(used, STEP_BYTES) : used;
    uint64_t keep = used > SMALL_BYTES ? STEP_BYTES : SMALL_KEEP_BYTES;
    if (p->step_out || p->touched_bytes <= end + keep)
        return;
    (void)madvise(p->base + end, p->touched_bytes - end, MADV_DONTNEED);
    p->touched_bytes = end;
}

void page_pool_free(struct page_pool *p, uint32_t page)
{
    assert(page < p->count);
    uint32_t last = p->count - 1;
    if (page != last) {
        memcpy(p->base + (uint64_t)page * PAGE_BYTES, p->base + (uint64_t)last * PAGE_BYTES,
               PAGE_BYTES);
        p->tags[page] = p->tags[last];
        p->options.moved(p->options.ctx, p->tags[page], last, page);
    }
    p->count--;
    mem_give(p->mem, PAGE_BYTES);
    /* One page of tags is kept in hand, so that a pool at its border does not go to and fro. */
    if (p->tag_pages > 0 && p->count + 2 * TAGS_PER_PAGE <= p->tag_pages * TAGS_PER_PAGE) {
        p->tag_pages--;
        (void)madvise((uint8_t *)p->tags + (uint64_t)p->tag_pages * PAGE_BYTES, PAGE_BYTES,
                      MADV_DONTNEED);
        mem_give(p->mem, PAGE_BYTES);
    }
    trim(p);
}

void page_pool_set_tag(struct page_pool *p, uint32_t page, uint32_t tag)
{
    assert(page < p->count);
    p->tags[page] = tag;
}

uint32_t page_pool_tag(const struct page_pool *p, uint32_t page)
{
    assert(page < p->count);
    return p->tags[page];
}

uint8_t *page_pool_base(const struct page_pool *p)
{
    return p->base;
}

uint32_t page_pool_count(const struct page_pool *p)
{
    return p->count;
}

uint64_t page_pool_bytes(const struct page_pool *p)
{
    return ((uint64_t)p->count + p->tag_pages) * PAGE_BYTES;
}

bool page_pool_step_due(struct page_pool *p, struct page_step *out)
{
    uint64_t used = (uint64_t)p->count * PAGE_BYTES;
    uint64_t limit = p->options.pages_max * PAGE_BYTES;
    /* Half a step before the end of what is touched the next one is asked for. */
    if (p->step_out || used + STEP_BYTES / 2 < MAX(p->touched_bytes, SMALL_BYTES) ||
        p->touched_bytes >= limit)
        return false;
    uint64_t from = MAX(round_up(p->touched_bytes, STEP_BYTES), SMALL_BYTES);
    *out = (struct page_step){ p->base + from, STEP_BYTES };
    p->step_out = true;
    return true;
}

void page_step_populate(const struct page_step *s)
{
    /* An older kernel refuses; then the first touch pays. */
    (void)madvise(s->at, s->size, MADV_POPULATE_WRITE);
}

void page_pool_step_done(struct page_pool *p, const struct page_step *s)
{
    assert(p->step_out);
    p->step_out = false;
    p->touched_bytes = MAX(p->touched_bytes, (uint64_t)(s->at - p->base) + s->size);
}
