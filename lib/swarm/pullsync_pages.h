/* lib/swarm/pullsync_pages.h
 *
 * Pages of the reserve for peers: the entries of one bin from a BinID on, up to 250, collected once
 * for all who ask for the same. As long as there is no entry at all a request is parked: it is a
 * link in a list of its bin and nothing else. After the first entry a page waits for more, at most
 * LIMIT_PULLSYNC_PAGE_MS after each, and not at all in a bin to which nothing has come for as long.
 * Owns:   pages; borrows the reserve. A user is a field of its caller's struct.
 * Thread: loop only; callbacks never come from inside pages_ask or pages_leave.
 * Memory: a page has room for 250 entries while it is collected (28 KB, waited for) and for what it
 *         holds afterwards. A failed read is tried again: nobody is told, everybody waits.
 */
#ifndef LARDER_SWARM_PULLSYNC_PAGES_H
#define LARDER_SWARM_PULLSYNC_PAGES_H

#include "core/governor.h"
#include "store/reserve.h"

struct pages;
struct page;

/* How many pages one peer may hold at once; its other requests wait. Zeroed, then page_quota_init.
 */
struct page_quota {
    uint32_t used;
    struct list waiting;
};

struct page_user;
typedef void page_ready_cb(struct page_user *u);
struct page_user {
    uint8_t bin;              /* in */
    uint64_t start;           /* in: 1 or more */
    page_ready_cb *cb;        /* in: page is there, with at least one entry; until pages_leave */
    struct page_quota *quota; /* in */
    struct page *page;        /* out */
    struct pages *pages_;
    struct list link_;
    enum { PAGE_USER_IDLE, PAGE_USER_PARKED, PAGE_USER_QUEUED, PAGE_USER_WAITS, PAGE_USER_HAS } at_;
};

/* governor: from its trigger on no page is begun, and who asks waits until it is left; NULL: none.
 */
enum err pages_create(struct pages **out, struct loop *loop, struct reserve *reserve,
                      struct mem_owner *mem, struct governor *governor, struct error *err);
/* Everybody has left. Reads under way are awaited: then done is called, once, not inside. */
void pages_stop(struct pages *p, void (*done)(void *ctx), void *ctx);
void pages_destroy(struct pages *p); /* NULL is fine; never used, or stopped and done */

void pages_ask(struct pages *p, struct page_user *u);
void pages_leave(struct page_user *u); /* no-op on one that asks for nothing */

const struct reserve_entry *page_entries(const struct page *page, uint32_t *count);
uint64_t page_removals(const struct page *page); /* of the reserve, before its entries were read */
uint64_t page_topmost(const struct page *page);

struct pages_status {
    uint32_t parked, collecting, held; /* users that wait for an entry; pages */
    uint64_t collected, shared; /* pages that were made; users that found theirs made already */
};
void pages_status(const struct pages *p, struct pages_status *out);

static inline void page_quota_init(struct page_quota *q)
{
    q->used = 0;
    list_init(&q->waiting);
}

#endif
