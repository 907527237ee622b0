/* lib/base/pages.h
 *
 * A pool of 4 KiB pages in one reserved range of addresses: the only mapping of anonymous memory.
 * The pool is dense: pages 0 .. count-1 are in use. Freeing a page moves the last one into the hole
 * and tells the owner of the pool, who keeps page numbers and not pointers. What lies behind goes
 * back to the kernel.
 *
 * Shape:  each page carries a 32-bit tag of its user, which comes back when the page moves.
 * Charge: a page in use is charged to the owner, and so are the tags. The kernel holds a little
 * more ahead of the last page in use: 256 KiB at most in the first 64 MiB, behind that two steps of
 * 2 MiB (huge pages). That is part of the slack of the plan. Thread: loop only; page_step_populate
 * may run in a worker. Errors: a refusal is false and an ordinary answer.
 */
#ifndef LARDER_BASE_PAGES_H
#define LARDER_BASE_PAGES_H

#include "base/base.h"

struct mem_owner;
struct page_pool;

enum { PAGE_BYTES = 4096 };

struct page_pool_options {
    struct mem_owner *mem; /* borrowed, outlives the pool */
    uint64_t pages_max;    /* hard limit; only addresses are reserved for it */
    /* The contents of page `from`, tagged `tag`, are now in page `to`. */
    void (*moved)(void *ctx, uint32_t tag, uint32_t from, uint32_t to);
    void *ctx;
};

/* NULL when the kernel has no addresses left or the owner no bytes for the struct. */
struct page_pool *page_pool_create(const struct page_pool_options *o);
void page_pool_destroy(struct page_pool *p); /* gives back every page; NULL is fine */

/* Contents are undefined. False: the owner or the limit refused. */
bool page_pool_take(struct page_pool *p, uint32_t tag, uint32_t *page) WARN_UNUSED;
void page_pool_free(struct page_pool *p, uint32_t page); /* may call moved() */
void page_pool_set_tag(struct page_pool *p, uint32_t page, uint32_t tag);
uint32_t page_pool_tag(const struct page_pool *p, uint32_t page);

uint8_t *page_pool_base(const struct page_pool *p); /* page n begins at base + n * PAGE_BYTES */
uint32_t page_pool_count(const struct page_pool *p);
uint64_t page_pool_bytes(const struct page_pool *p); /* charged */

/* Populating ahead: a huge page that the kernel must first zero costs milliseconds in whoever
 * touches it. When this says yes, hand the step to a worker; at most one is out at a time. */
struct page_step {
    uint8_t *at;
    uint64_t size;
};
bool page_pool_step_due(struct page_pool *p, struct page_step *out);
void page_step_populate(const struct page_step *s); /* any thread; blocks for milliseconds */
void page_pool_step_done(struct page_pool *p, const struct page_step *s);

#endif
