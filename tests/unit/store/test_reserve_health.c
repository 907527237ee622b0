/* What the reserve says when its work fails, that it goes on where it can, and that it recovers. */
#include "reserve_world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/metrics.h"
#include "store/reserve_state.h"

enum { PAGE = 250 };

static struct world_page page;
static const struct reserve_item *const items = page.items;

/* How often the log has said so. */
static uint32_t log_lines(const char *said)
{
    uint32_t count = 0;
    for (const char *at = world_log_end(); (at = strstr(at, said)); at++)
        count++;
    return count;
}

/* Chunks of batch 1. False: they failed. */
static bool put_page(struct world *w, uint32_t from)
{
    world_page_run(&page, &(struct chunk_spec){ 1 + from, 1, from, 7, 0 }, PAGE);
    return !world_page_put(w, &page);
}

static void until_quiet(struct world *w)
{
    check(world_until(w, world_quiet), "the capacity is looked after");
}

static bool is_ready(const struct world *w)
{
    struct error why = { ERR_OK, "" };
    return reserve_ready(w->reserve, &why);
}

/* A second, unless the machine was so slow that a try fell in between. */
static void until_ready(struct world *w)
{
    (void)world_until(w, is_ready);
    until_quiet(w);
}

static int64_t failing(enum reserve_work work)
{
    struct metrics_page metrics;
    metrics_page_begin(&metrics);
    return metric_get_by(METRIC_reserve_failing, work);
}

static enum err code_of(const struct world *w, enum reserve_work work)
{
    const struct error *err = reserve_failure(w->reserve, work);
    return err ? err->code : ERR_OK;
}

static void edit(struct world *w, struct reserve_key key, struct bytes value)
{
    world_edit(w, key_bytes(&key), value);
}

/* The first of the page in bin 0, which goes for capacity before others do. */
static const struct reserve_item *victim(void)
{
    uint32_t i = 0;
    while (items[i].bin_ > 0)
        i++;
    return &items[i];
}

static void damage(struct world *w, const struct reserve_item *item, const char *what)
{
    static struct reserve_body other;
    static uint8_t raw[C_VALUE_BYTES_MAX];
    if (!strcmp(what, "no chunk"))
        edit(w, key_chunk(item->id.address), bytes_of(NULL, 0));
    else if (!strcmp(what, "a damaged chunk"))
        edit(w, key_chunk(item->id.address), bytes_of("damaged", 7));
    else if (!strcmp(what, "a damaged index"))
        edit(w, key_index(item->id.batch, item->stamp + STAMP_BATCH_BYTES), bytes_of("damaged", 7));
    else { /* a chunk that has another stamp */
        struct chunk_id id = item->id;
        id.stamp_hash[0] ^= 1;
        other = (struct reserve_body){ .ref = item->slot_, .size = 100 };
        body_add(&other, &id, item->stamp + STAMP_BATCH_BYTES);
        edit(w, key_chunk(item->id.address), c_value_encode(&other, raw));
    }
}

static const struct {
    const char *what;
    bool stays; /* nobody knows the bin of the entry */
} damages[] = {
    { "no chunk", false },
    { "a damaged chunk", false },
    { "another stamp", false },
    { "a damaged index", true },
};

/* One record that cannot be removed as others is no reason for the rest to stay for ever. */
TEST(a_damaged_record_does_not_end_the_eviction_for_capacity)
{
    for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
        struct world w;
        struct reserve_status s;
        char name[32];
        snprintf(name, sizeof(name), "damaged-%zu", i);
        world_start(&w, name);
        check(put_page(&w, 0), w.err.text);
        damage(&w, victim(), damages[i].what);
        world_log_begin();
        reserve_set_capacity(w.reserve, 200);
        for (uint32_t from = PAGE; from < 4 * PAGE; from += PAGE) {
            check(put_page(&w, from), w.err.text);
            until_quiet(&w);
        }
        check(log_lines("damaged records") == 1, "said once");
        reserve_status(w.reserve, &s);
        check(s.count <= 200, damages[i].what);
        check(s.radius >= 2 && s.in_bin[0] == damages[i].stays, "and none of bin 0 is left");
        check(s.evicted[RESERVE_EVICT_CAPACITY] == 4 * PAGE - s.count, "all are counted");
        check(s.damaged > 0 && (damages[i].stays || s.damaged == 1), "the damaged one apart");
        check(!reserve_failure(w.reserve, RESERVE_WORK_CAPACITY), "it goes well");
        check(world_check(&w) == s.count, "the rest is whole");
        failing(RESERVE_WORK_CAPACITY); /* collects */
        check(metric_get(METRIC_reserve_damaged_total) > 0, "and seen on /metrics");
        world_end(&w);
    }
}

/* With a count: the damaged one would be the first one each time. */
TEST(a_damaged_record_is_one_of_those_that_were_asked_for)
{
    struct world w;
    world_start(&w, "asked");
    check(put_page(&w, 0), w.err.text);
    for (uint32_t i = 0; i < PAGE; i += 2)
        if (items[i].bin_ == 0)
            damage(&w, &items[i], "no chunk");
    check(world_evict(&w, 1, RESERVE_BINS, 20) == 20, "as many as were asked for");
    check(world_evict(&w, 1, 1, UINT64_MAX) > 50, "and the rest of the bin");
    struct reserve_status s;
    reserve_status(w.reserve, &s);
    check(s.in_bin[0] == 0 && world_check(&w) == s.count, "is gone");
    world_end(&w);
}

static enum err fail_with;
static enum err fail_there(enum txn_moment moment, struct error *err)
{
    return moment == TXN_REMOVING ? error_set(err, fail_with, "a test wants this to fail") : ERR_OK;
}

static void fail_and_recover(const char *name, enum err code)
{
    struct world w;
    struct reserve_status s;
    struct error why = { ERR_OK, "" };
    world_start(&w, name);
    reserve_set_capacity(w.reserve, 200);
    fail_with = code;
    w.reserve->txn->probe = fail_there;
    world_log_begin();
    for (uint32_t from = 0; from < 4 * PAGE; from += PAGE) {
        check(put_page(&w, from), w.err.text);
        until_quiet(&w);
    }
    check(log_lines("over the capacity fails: a test wants") == 1, "said once");
    check(code_of(&w, RESERVE_WORK_CAPACITY) == code, "it is kept");
    check(failing(RESERVE_WORK_CAPACITY) == 1, "and seen on /metrics");
    check(!reserve_ready(w.reserve, &why) && strstr(why.text, "over the capacity fails"), why.text);
    reserve_status(w.reserve, &s);
    check(s.count == 4 * PAGE && s.radius == 1, "a failure is no reason for a higher radius");
    w.reserve->txn->probe = NULL;
    world_log_begin();
    until_ready(&w);
    check(log_lines("over the capacity goes well again") == 1, "said once, too");
    reserve_status(w.reserve, &s);
    check(s.count <= 200 && world_check(&w) == s.count, "without a put it is tried again");
    check(reserve_ready(w.reserve, &why) && failing(RESERVE_WORK_CAPACITY) == 0, "all is well");
    world_end(&w);
}

TEST(an_eviction_for_capacity_that_fails_is_shown_and_tried_again)
{
    fail_and_recover("capacity-io", ERR_IO);
}

TEST(a_batch_that_cannot_be_read_is_shown_and_tried_again)
{
    fail_and_recover("capacity-corrupt", ERR_CORRUPT);
}

/* As a slab does whose file may not grow. */
TEST(a_slab_that_cannot_be_written_is_shown_until_it_can)
{
    struct world w;
    struct error why = { ERR_OK, "" };
    struct reserve_status s;
    world_start(&w, "slab");
    int64_t commits = metric_get(METRIC_reserve_commit_chunks);
    check(put_page(&w, 0), w.err.text);
    int good = world_slab_break(&w);
    world_log_begin();
    for (uint32_t i = 0; i < 3; i++)
        check(!put_page(&w, PAGE) && w.err.code == ERR_IO, w.err.text);
    check(log_lines("storing chunks fails: ") == 1, "said once");
    check(code_of(&w, RESERVE_WORK_PUT) == ERR_IO && failing(RESERVE_WORK_PUT) == 1, "it is kept");
    check(!reserve_ready(w.reserve, &why) && strstr(why.text, "storing chunks fails"), why.text);
    world_slab_mend(&w, good);
    world_log_begin();
    until_ready(&w);
    check(log_lines("storing chunks goes well again") == 1, "it was tried without a put");
    check(reserve_ready(w.reserve, &why) && failing(RESERVE_WORK_PUT) == 0, "all is well");
    reserve_status(w.reserve, &s);
    check(s.slots_used == PAGE && world_check(&w) == PAGE, "and nothing was changed by it");
    check(s.put_groups == 1, "a group that failed is no commit");
    check(metric_get(METRIC_reserve_commit_chunks) == commits + 1, "nor has it a size");
    world_end(&w);
}

TEST(a_put_that_goes_well_ends_the_failure_at_once)
{
    struct world w;
    struct error why = { ERR_OK, "" };
    world_start(&w, "put");
    check(put_page(&w, 0), w.err.text);
    int good = world_slab_break(&w);
    check(!put_page(&w, PAGE) && !reserve_ready(w.reserve, &why), "fails");
    world_slab_mend(&w, good);
    check(put_page(&w, PAGE) && reserve_ready(w.reserve, &why), why.text);
    world_end(&w);
}

static bool has_scanned(const struct world *w)
{
    return !w->reserve->scan->kind && !w->reserve->scan->out;
}

static void open_again(struct world *w)
{
    world_close(w);
    unlink(w->image); /* the cache is built from the index */
    world_open(w, RESERVE_CACHE_ON);
    (void)world_until(w, has_scanned);
}

TEST(a_record_that_ends_a_scan_is_named_until_it_is_mended)
{
    static uint8_t raw[C_VALUE_BYTES_MAX], entry[B_VALUE_BYTES];
    static struct reserve_body body;
    struct world w;
    struct error why = { ERR_OK, "" };
    world_start(&w, "scans");
    check(put_page(&w, 0), w.err.text);
    struct reserve_item item = *victim();
    struct reserve_key key = key_entry(item.bin_, item.binid_);
    b_value_encode(entry, &item.id, item.kind);
    edit(&w, key, bytes_of("damaged", 7));
    world_log_begin();
    open_again(&w);
    check(log_lines("the has-cache from the index fails: an entry record is damaged") == 1, "once");
    check(code_of(&w, RESERVE_WORK_CACHE) == ERR_CORRUPT && failing(RESERVE_WORK_CACHE) == 1,
          "the cache is not built");
    check(!reserve_failure(w.reserve, RESERVE_WORK_SLOTS), "the slots are derived");
    edit(&w, key, bytes_of(entry, sizeof(entry)));
    damage(&w, &item, "a damaged chunk");
    open_again(&w);
    check(code_of(&w, RESERVE_WORK_SLOTS) == ERR_CORRUPT && failing(RESERVE_WORK_SLOTS) == 1,
          "no slot that was there before is used");
    check(!reserve_failure(w.reserve, RESERVE_WORK_CACHE), "the cache is built");
    body = (struct reserve_body){ .ref = item.slot_, .size = (uint16_t)item.data.size };
    body_add(&body, &item.id, item.stamp + STAMP_BATCH_BYTES);
    edit(&w, key_chunk(item.id.address), c_value_encode(&body, raw));
    reserve_radius_timer(&w.reserve->capacity.timer);
    world_settle(&w);
    check(reserve_ready(w.reserve, &why) && failing(RESERVE_WORK_SLOTS) == 0, why.text);
    world_end(&w);
}
