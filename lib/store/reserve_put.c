/* Group commit: puts wait up to LIMIT_RESERVE_GROUP_MS for company, then one write job stores all
 * of them. What comes in meanwhile is the next group. */
#include "base/mem.h"
#include "core/log.h"
#include "store/reserve_state.h"

static enum err group_run(struct store_job *job, struct ldb *db, struct error *err);
static store_done group_done;

static const struct slab_ref no_slot = { UINT32_MAX, UINT32_MAX };

/* The items bin by bin, each bin's in the order they were given. A page of a peer's bin holds
 * chunks of several of ours, and what is listed together is to lie together: it is read so. */
static void order(struct reserve_put *req)
{
    uint16_t at[RESERVE_BINS + 1] = { 0 };
    for (uint32_t i = 0; i < req->count; i++)
        at[req->items[i].bin_ + 1]++;
    for (uint32_t bin = 0; bin < RESERVE_BINS; bin++)
        at[bin + 1] = (uint16_t)(at[bin + 1] + at[bin]);
    for (uint32_t i = 0; i < req->count; i++)
        req->items[at[req->items[i].bin_]++].nth_ = (uint16_t)i;
}

static struct reserve_item *nth(struct reserve_put *req, uint32_t i)
{
    return &req->items[req->items[i].nth_];
}

void reserve_put(struct reserve *r, struct reserve_put *req)
{
    assert(r->phase == RESERVE_OPEN && req->cb);
    assert(req->count > 0 && req->count <= LIMIT_RESERVE_PAGE_CHUNKS);
    r->requests++;
    error_clear(&req->own_);
    for (uint32_t i = 0; i < req->count; i++) {
        struct reserve_item *item = &req->items[i];
        assert(item->data.size <= SLAB_DATA_BYTES_MAX);
        item->outcome = RESERVE_FAILED;
        item->code = ERR_OK;
        item->bin_ = (uint8_t)overlay_proximity(r->overlay, item->id.address);
        item->committed_ = item->slot_used_ = item->replaces_ = item->frees_replaced_ = false;
        item->mends_ = item->loses_ = false;
        item->freed_count_ = 0;
        item->slot_ = item->adopt ? item->adopt_slot : no_slot;
    }
    order(req);
    list_append(&r->puts, &req->link_);
    r->waiting_items += req->count;
    if (r->waiting_items >= LIMIT_RESERVE_PAGE_CHUNKS)
        reserve_put_start(r);
    else if (!timer_is_set(&r->group_timer))
        timer_set(&r->group_timer, LIMIT_RESERVE_GROUP_MS);
}

/* A slot for each item, before the worker needs it. Some will not be used and come back. */
static bool take_slots(struct reserve *r, struct reserve_put *req)
{
    for (uint32_t i = 0; i < req->count; i++) {
        if (nth(req, i)->adopt || slab_map_take(r->map, &nth(req, i)->slot_))
            continue;
        while (i-- > 0) {
            slab_map_untake(r->map, nth(req, i)->slot_);
            nth(req, i)->slot_ = no_slot; /* alone in a group it fails with this */
        }
        return false;
    }
    return true;
}

void reserve_put_start(struct reserve *r)
{
    if (r->txn_out || list_empty(&r->puts))
        return;
    uint32_t items = 0;
    timer_set(&r->group_timer, 0);
    while (!list_empty(&r->puts)) {
        struct reserve_put *req = container_of(list_first(&r->puts), struct reserve_put, link_);
        bool fits = items == 0 || items + req->count <= LIMIT_RESERVE_PAGE_CHUNKS;
        if (!fits || (!take_slots(r, req) && items > 0))
            break;
        list_remove(&req->link_);
        list_append(&r->group, &req->link_);
        r->waiting_items -= req->count;
        items += req->count;
    }
    r->group_out = r->txn_out = true;
    r->txn->refuse = r->suspect;
    store_write(r->options.store, &r->group_job, group_run, group_done);
}

static void mark_committed(struct reserve *r)
{
    for (struct list *at = r->group.next; at != &r->group; at = at->next) {
        struct reserve_put *req = container_of(at, struct reserve_put, link_);
        for (uint32_t i = 0; i < req->count; i++)
            req->items[i].committed_ |= req->items[i].outcome != RESERVE_FAILED;
    }
}

/* Worker. What concerns the item alone is its own error. */
static enum err put_item(struct reserve *r, struct reserve_put *req, struct reserve_item *item,
                         struct error *err)
{
    struct error own = { ERR_OK, "" };
    enum err rc = ERR_OK;
    if (txn_is_full(r->txn)) {
        rc = txn_commit(r->txn, err);
        if (!rc)
            mark_committed(r);
    }
    if (item->slot_.slab == UINT32_MAX)
        rc = error_set(err, ERR_BUDGET, "no slot for a chunk is to be had");
    rc = rc ? rc : txn_put(r->txn, item, &own, err);
    item->code = own.code;
    if (own.code && !req->own_.code)
        req->own_ = own;
    return rc;
}

/* Worker. The group's requests, the txn and the files are its own; counters are read. */
static enum err group_run(struct store_job *job, struct ldb *db, struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, group_job);
    if (r->txn->refuse)
        return error_set(err, ERR_IO, "the reserve is read again after a failed write");
    txn_begin(r->txn, job, db, &r->counters);
    for (struct list *at = r->group.next; at != &r->group; at = at->next) {
        struct reserve_put *req = container_of(at, struct reserve_put, link_);
        for (uint32_t i = 0; i < req->count; i++) {
            enum err rc = put_item(r, req, nth(req, i), err);
            if (rc)
                return rc;
        }
    }
    enum err rc = txn_commit(r->txn, err);
    if (!rc)
        mark_committed(r);
    return rc;
}

/* The index may or may not name its slot, and those that it was to free. */
static void doubt_item(struct reserve *r, const struct reserve_item *item)
{
    for (uint8_t i = 0; i < item->freed_count_; i++) {
        bool of_replaced = i == 0 && item->frees_replaced_;
        reserve_doubt(r, of_replaced ? item->replaced_.address : item->id.address, item->freed_[i]);
    }
    if (item->slot_used_)
        reserve_doubt(r, item->id.address, item->slot_);
    else
        slab_map_untake(r->map, item->slot_);
}

/* The slot that it left was damaged. */
static void settle_mended(struct reserve *r, const struct reserve_item *item)
{
    const struct slab_ref *ref = &item->freed_[item->freed_count_ - 1];
    log_warning("slot %u of slab %u was damaged: its chunk is replaced by what came with another "
                "stamp%s",
                ref->slot, ref->slab, item->loses_ ? ", and the stamp that lay there is lost" : "");
    if (!item->loses_)
        return;
    reserve_cache_remove(r, &item->lost_);
    reserve_evict_replaced(r, &item->lost_);
}

/* The loop's part of one item, in the order of the puts. Is it stored? */
static bool settle_item(struct reserve *r, struct reserve_item *item, bool commit_failed,
                        uint32_t *bins)
{
    bool stored = item->committed_ && item->outcome == RESERVE_STORED;
    bool doubtful = !item->committed_ && item->outcome == RESERVE_STORED && commit_failed;
    if (!item->committed_)
        item->outcome = RESERVE_FAILED;
    r->stats.put_outcomes[item->outcome]++;
    if (doubtful)
        doubt_item(r, item);
    else if (!stored)
        slab_map_untake(r->map, item->slot_);
    if (!stored)
        return false;
    if (item->replaces_) {
        reserve_cache_remove(r, &item->replaced_);
        reserve_evict_replaced(r, &item->replaced_);
    }
    if (item->mends_)
        settle_mended(r, item);
    reserve_cache_add(r, &item->id);
    if (!item->slot_used_)
        slab_map_untake(r->map, item->slot_);
    reserve_free_slots(r, item->freed_, item->freed_count_);
    *bins |= UINT32_C(1) << item->bin_;
    return true;
}

static void wake(struct reserve *r, uint32_t bins)
{
    for (uint8_t bin = 0; bin < RESERVE_BINS; bin++) {
        struct list woken;
        list_init(&woken);
        if (bins >> bin & 1)
            list_move_all(&woken, &r->watches[bin]);
        while (!list_empty(&woken)) {
            struct reserve_watch *w = container_of(list_first(&woken), struct reserve_watch, link_);
            list_remove(&w->link_);
            w->cb_(w);
        }
    }
}

/* A group that changed nothing was no commit, and shows nothing of the disk. */
static void count_group(struct reserve *r, uint32_t stored, const struct error *err)
{
    if (stored > 0) {
        r->stats.put_groups++;
        metric_observe(METRIC_reserve_commit_chunks, stored);
    }
    if (err && !r->txn->refuse) /* else it tells of a failure that is known */
        reserve_failed(r, RESERVE_WORK_PUT, err);
    else if (stored > 0)
        reserve_went_well(r, RESERVE_WORK_PUT);
}

static void group_done(struct store_job *job, const struct error *err)
{
    struct reserve *r = container_of(job, struct reserve, group_job);
    struct list group;
    uint32_t bins = 0, stored = 0;
    list_init(&group);
    list_move_all(&group, &r->group);
    bool ran = r->txn->job == job; /* the store may have refused before */
    bool commit_failed = ran && r->txn->commit_failed;
    r->txn->job = NULL;
    if (ran)
        r->counters = r->txn->committed;
    for (struct list *at = group.next; at != &group; at = at->next) {
        struct reserve_put *req = container_of(at, struct reserve_put, link_);
        for (uint32_t i = 0; i < req->count; i++)
            stored += settle_item(r, nth(req, i), commit_failed, &bins);
    }
    err_ignore(txn_reach(r->txn, TXN_CACHE_TOLD, NULL));
    count_group(r, stored, err);
    r->group_out = r->txn_out = false;
    if (commit_failed)
        reserve_suspect(r);
    if (r->evict.waits)
        reserve_evict_delete(r);
    else
        reserve_put_start(r);
    while (!list_empty(&group)) {
        struct reserve_put *req = container_of(list_first(&group), struct reserve_put, link_);
        list_remove(&req->link_);
        r->requests--;
        if (req->own_.code)
            log_warning("a chunk was not stored: %s: 'larder reserve verify --repair' may help",
                        req->own_.text);
        req->cb(req, err ? err : req->own_.code ? &req->own_ : NULL);
    }
    err_ignore(txn_reach(r->txn, TXN_ANSWERED, NULL));
    wake(r, bins);
    reserve_capacity_check(r);
}

void reserve_watch(struct reserve *r, struct reserve_watch *w, uint8_t bin, reserve_watch_cb *cb)
{
    assert(bin < RESERVE_BINS && !list_linked(&w->link_));
    w->cb_ = cb;
    list_append(&r->watches[bin], &w->link_);
}

void reserve_unwatch(struct reserve_watch *w)
{
    if (list_linked(&w->link_))
        list_remove(&w->link_);
}
