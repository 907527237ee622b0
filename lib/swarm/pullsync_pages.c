#include "swarm/pullsync_pages.h"

#include "base/mem.h"
#include "core/timer.h"
#include "store/reserve_page.h"

enum { ENTRIES_BYTES = LIMIT_PULLSYNC_PAGE_CHUNKS * sizeof(struct reserve_entry) };

enum page_state {
    PAGE_ROOM,  /* waits for memory, or until the governor admits new work */
    PAGE_READS, /* a read is under way */
    PAGE_WAITS, /* for more entries, or to try again */
    PAGE_READY,
};

struct page {
    struct list link; /* of its bin */
    struct pages *pages;
    struct list users; /* that wait, or have it */
    uint64_t start;
    uint64_t removals;             /* of the reserve, before its first read */
    struct reserve_entry *entries; /* owned */
    uint32_t count, users_count;
    uint8_t bin;
    enum page_state state;
    bool woken;   /* there is more than the last read saw */
    bool due;     /* its time was up while a read was under way */
    bool waiting; /* for memory: the waiter is out */
    struct timer timer;
    struct mem_waiter room;
    struct reserve_list list;
    struct deferred later; /* tells the users */
};

struct bin {
    struct reserve_watch watch;
    struct pages *pages;
    struct list parked; /* of page_user */
    struct list pages_list;
    uint64_t stored_ms; /* when we last saw something come; 0: not since we are here */
    uint8_t number;
};

struct pages {
    struct loop *loop;
    struct reserve *reserve;
    struct mem_owner *mem;
    struct governor *governor; /* borrowed; NULL: none */
    struct governor_watch marks;
    struct bin bins[RESERVE_BINS];
    struct pages_status status;
    uint32_t alive; /* pages, also those that only await a callback */
    void (*done)(void *ctx);
    void *done_ctx;
    struct deferred done_later;
};

static void page_read(struct page *page);
static void user_join(struct page_user *u);
static void on_stored(struct reserve_watch *w);
static void on_level(struct governor_watch *w, enum governor_level level);

static void bin_watch(struct bin *b)
{
    reserve_watch(b->pages->reserve, &b->watch, b->number, on_stored);
}

enum err pages_create(struct pages **out, struct loop *loop, struct reserve *reserve,
                      struct mem_owner *mem, struct governor *governor, struct error *err UNUSED)
{
    struct pages *p = mem_zalloc(mem, sizeof(*p));
    p->loop = loop;
    p->reserve = reserve;
    p->mem = mem;
    p->governor = governor;
    p->marks.cb = on_level;
    if (governor)
        governor_watch_add(governor, &p->marks);
    for (uint8_t i = 0; i < RESERVE_BINS; i++) {
        p->bins[i].pages = p;
        p->bins[i].number = i;
        list_init(&p->bins[i].parked);
        list_init(&p->bins[i].pages_list);
        bin_watch(&p->bins[i]);
    }
    *out = p;
    return ERR_OK;
}

static void on_done(struct deferred *d)
{
    struct pages *p = container_of(d, struct pages, done_later);
    p->done(p->done_ctx);
}

static void stop_check(struct pages *p)
{
    if (p->done && p->alive == 0 && !deferred_pending(&p->done_later))
        loop_defer(p->loop, &p->done_later, on_done);
}

void pages_stop(struct pages *p, void (*done)(void *ctx), void *ctx)
{
    p->done = done;
    p->done_ctx = ctx;
    for (uint8_t i = 0; i < RESERVE_BINS; i++) {
        assert(list_empty(&p->bins[i].parked) && list_empty(&p->bins[i].pages_list));
        reserve_unwatch(&p->bins[i].watch);
    }
    stop_check(p);
}

void pages_destroy(struct pages *p)
{
    if (!p)
        return;
    assert(p->alive == 0 && !deferred_pending(&p->done_later));
    if (p->governor)
        governor_watch_remove(&p->marks);
    for (uint8_t i = 0; i < RESERVE_BINS; i++)
        reserve_unwatch(&p->bins[i].watch);
    mem_free(p->mem, p);
}

void pages_status(const struct pages *p, struct pages_status *out)
{
    *out = p->status;
}

const struct reserve_entry *page_entries(const struct page *page, uint32_t *count)
{
    *count = page->count;
    return page->entries;
}

uint64_t page_topmost(const struct page *page)
{
    return page->entries[page->count - 1].binid;
}

uint64_t page_removals(const struct page *page)
{
    return page->removals;
}

/* --- being woken ----------------------------------------------------------------------------- */

static uint64_t last_binid(struct pages *p, uint8_t bin)
{
    struct reserve_status status;
    reserve_status(p->reserve, &status);
    return status.last_binid[bin];
}

static void user_park(struct page_user *u)
{
    struct bin *b = &u->pages_->bins[u->bin];
    u->at_ = PAGE_USER_PARKED;
    list_append(&b->parked, &u->link_);
    u->pages_->status.parked++;
}

static void user_unpark(struct page_user *u)
{
    list_remove(&u->link_);
    u->pages_->status.parked--;
    u->at_ = PAGE_USER_IDLE;
}

/* Something was stored in the bin: pages that wait for more read on, and those who are parked ask
 * for theirs. */
static void on_stored(struct reserve_watch *w)
{
    struct bin *b = container_of(w, struct bin, watch);
    uint64_t last = last_binid(b->pages, b->number);
    b->stored_ms = loop_now_ms(b->pages->loop);
    bin_watch(b);
    list_each_safe (at, &b->pages_list) {
        struct page *page = container_of(at, struct page, link);
        if (page->state == PAGE_WAITS && page->count > 0)
            page_read(page);
        else if (page->state == PAGE_READS)
            page->woken = true;
    }
    struct list parked;
    list_init(&parked);
    list_move_all(&parked, &b->parked);
    for (struct list *at; (at = list_pop(&parked));) {
        struct page_user *u = container_of(at, struct page_user, link_);
        b->pages->status.parked--;
        u->at_ = PAGE_USER_IDLE;
        if (u->start <= last)
            user_join(u);
        else
            user_park(u);
    }
}

/* --- one page -------------------------------------------------------------------------------- */

/* Nobody is left, or nothing is in it. What is still out brings it to its end. */
static void page_free_when_idle(struct page *page)
{
    struct pages *p = page->pages;
    if (page->users_count > 0 || list_linked(&page->link) || page->state == PAGE_READS ||
        page->waiting)
        return;
    timer_set(&page->timer, 0);
    loop_defer_cancel(&page->later);
    mem_free(p->mem, page->entries);
    mem_free(p->mem, page);
    p->alive--;
    stop_check(p);
}

static void page_retire(struct page *page)
{
    if (list_linked(&page->link)) {
        list_remove(&page->link);
        *(page->state == PAGE_READY ? &page->pages->status.held
                                    : &page->pages->status.collecting) -= 1;
    }
    timer_set(&page->timer, 0);
    if (page->waiting)
        mem_wait_cancel(&page->room);
    if (page->state == PAGE_READS)
        reserve_list_cancel(&page->list);
    page_free_when_idle(page);
}

static void on_told(struct deferred *d)
{
    struct page *page = container_of(d, struct page, later);
    struct list waiting;
    list_init(&waiting);
    list_move_all(&waiting, &page->users);
    page->users_count++; /* it stays while they are told */
    for (struct list *at; (at = list_pop(&waiting));) {
        struct page_user *u = container_of(at, struct page_user, link_);
        list_append(&page->users, &u->link_);
        if (u->at_ != PAGE_USER_WAITS)
            continue;
        u->at_ = PAGE_USER_HAS;
        u->cb(u);
    }
    page->users_count--;
    if (page->users_count == 0)
        page_retire(page);
}

static void page_tell(struct page *page)
{
    if (!deferred_pending(&page->later))
        loop_defer(page->pages->loop, &page->later, on_told);
}

static void page_ready(struct page *page)
{
    struct reserve_entry *less =
        mem_try_realloc(page->pages->mem, page->entries, page->count * sizeof(*page->entries));
    if (less)
        page->entries = less;
    page->state = PAGE_READY;
    timer_set(&page->timer, 0);
    page->pages->status.collecting--;
    page->pages->status.held++;
    page->pages->status.collected++;
    page_tell(page);
}

/* There is no entry from start on after all: they were evicted. */
static void page_dissolve(struct page *page)
{
    while (!list_empty(&page->users)) {
        struct page_user *u = container_of(list_pop(&page->users), struct page_user, link_);
        page->users_count--;
        u->page = NULL;
        u->quota->used--;
        user_park(u);
    }
    page_retire(page);
}

/* The wait is for what comes together. Where nothing has come for as long, nothing is waited for.
 */
static bool is_quiet(const struct page *page)
{
    const struct bin *b = &page->pages->bins[page->bin];
    return loop_now_ms(page->pages->loop) - b->stored_ms >= LIMIT_PULLSYNC_PAGE_MS;
}

static void on_listed(struct reserve_list *list, const struct error *err)
{
    struct page *page = container_of(list, struct page, list);
    uint32_t fresh = err ? 0 : list->count;
    page->state = PAGE_WAITS;
    if (page->users_count == 0) {
        page_free_when_idle(page);
        return;
    }
    page->count += fresh;
    if (page->count == LIMIT_PULLSYNC_PAGE_CHUNKS || (page->due && page->count > 0)) {
        page_ready(page);
    } else if (err) {
        timer_set(&page->timer, LIMIT_PULLSYNC_RETRY_MS);
    } else if (page->woken) {
        page_read(page);
    } else if (page->count == 0) {
        page_dissolve(page);
    } else if (is_quiet(page)) {
        page_ready(page);
    } else if (fresh > 0) {
        timer_set(&page->timer, LIMIT_PULLSYNC_PAGE_MS);
    }
}

static void page_read(struct page *page)
{
    page->state = PAGE_READS;
    page->woken = false;
    page->list.bin = page->bin;
    page->list.from = page->count > 0 ? page_topmost(page) + 1 : page->start;
    page->list.entries = page->entries + page->count;
    page->list.room = LIMIT_PULLSYNC_PAGE_CHUNKS - page->count;
    page->list.cb = on_listed;
    reserve_list(page->pages->reserve, &page->list);
}

static void page_room(struct page *page);

static void on_time(struct timer *t)
{
    struct page *page = container_of(t, struct page, timer);
    if (page->state == PAGE_READS)
        page->due = true;
    else if (page->count > 0)
        page_ready(page);
    else if (page->entries)
        page_read(page); /* it failed before */
    else
        page_room(page);
}

static void on_room(struct mem_waiter *w, const struct error *err)
{
    struct page *page = container_of(w, struct page, room);
    struct mem_owner *mem = page->pages->mem;
    page->waiting = false;
    page->state = PAGE_WAITS;
    if (!err && page->users_count > 0)
        page->entries = mem_alloc_taken(mem, ENTRIES_BYTES);
    if (!err && !page->entries)
        mem_give(mem, w->bytes_);
    if (page->users_count == 0)
        page_free_when_idle(page);
    else if (page->entries)
        page_read(page);
    else
        timer_set(&page->timer, LIMIT_PULLSYNC_RETRY_MS);
}

static void page_room(struct page *page)
{
    struct mem_owner *mem = page->pages->mem;
    page->state = PAGE_ROOM;
    if (page->pages->governor && !governor_admits(page->pages->governor))
        return; /* until on_level */
    page->entries = mem_try_alloc(mem, ENTRIES_BYTES);
    if (page->entries) {
        page_read(page);
        return;
    }
    page->waiting = true;
    mem_wait(mem, &page->room, mem_charge_bytes(ENTRIES_BYTES), on_room);
}

/* New work is admitted again: pages that were not begun are. */
static void on_level(struct governor_watch *w, enum governor_level level UNUSED)
{
    struct pages *p = container_of(w, struct pages, marks);
    for (uint8_t i = 0; governor_admits(p->governor) && i < RESERVE_BINS; i++)
        list_each_safe (at, &p->bins[i].pages_list) {
            struct page *page = container_of(at, struct page, link);
            if (page->state == PAGE_ROOM && !page->waiting)
                page_room(page);
        }
}

static struct page *page_new(struct pages *p, uint8_t bin, uint64_t start)
{
    struct page *page = mem_zalloc(p->mem, sizeof(*page));
    page->pages = p;
    page->bin = bin;
    page->start = start;
    page->removals = reserve_removals(p->reserve);
    list_init(&page->users);
    timer_init(&page->timer, p->loop, on_time, "page of a bin");
    list_append(&p->bins[bin].pages_list, &page->link);
    p->alive++;
    p->status.collecting++;
    page_room(page);
    return page;
}

/* --- users ----------------------------------------------------------------------------------- */

static void user_join(struct page_user *u)
{
    struct pages *p = u->pages_;
    struct page *page = NULL;
    if (u->quota->used >= LIMIT_PULLSYNC_PEER_PAGES) {
        LIMIT_HIT(PULLSYNC_PEER_PAGES);
        u->at_ = PAGE_USER_QUEUED;
        list_append(&u->quota->waiting, &u->link_);
        return;
    }
    list_each (at, &p->bins[u->bin].pages_list) {
        struct page *other = container_of(at, struct page, link);
        if (other->start == u->start)
            page = other;
    }
    p->status.shared += page != NULL;
    page = page ? page : page_new(p, u->bin, u->start);
    u->quota->used++;
    u->page = page;
    u->at_ = PAGE_USER_WAITS;
    list_append(&page->users, &u->link_);
    page->users_count++;
    if (page->state == PAGE_READY)
        page_tell(page);
}

void pages_ask(struct pages *p, struct page_user *u)
{
    assert(u->cb && u->quota && u->bin < RESERVE_BINS && u->start > 0);
    assert(u->at_ == PAGE_USER_IDLE && !p->done);
    u->pages_ = p;
    u->page = NULL;
    if (u->start > last_binid(p, u->bin))
        user_park(u);
    else
        user_join(u);
}

/* The next request of that peer may have a page. */
static void quota_next(struct page_quota *q)
{
    struct list *at = q->used < LIMIT_PULLSYNC_PEER_PAGES ? list_pop(&q->waiting) : NULL;
    if (at) {
        struct page_user *u = container_of(at, struct page_user, link_);
        u->at_ = PAGE_USER_IDLE;
        user_join(u);
    }
}

void pages_leave(struct page_user *u)
{
    struct page *page = u->page;
    switch (u->at_) {
    case PAGE_USER_IDLE:
        return;
    case PAGE_USER_PARKED:
        user_unpark(u);
        return;
    case PAGE_USER_QUEUED:
        list_remove(&u->link_);
        u->at_ = PAGE_USER_IDLE;
        return;
    case PAGE_USER_WAITS:
    case PAGE_USER_HAS:
        break;
    }
    list_remove(&u->link_);
    u->at_ = PAGE_USER_IDLE;
    u->page = NULL;
    u->quota->used--;
    if (--page->users_count == 0)
        page_retire(page);
    quota_next(u->quota);
}
