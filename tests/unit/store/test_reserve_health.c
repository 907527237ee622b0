/* What the reserve says when its work fails, that it goes on where it can, and that it recovers. */
#include "reserve_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/metrics.h"
#include "store/reserve_state.h"

enum { PAGE = 250 };

static struct chunk page[PAGE];
static struct reserve_item items[PAGE];
static int log_ends[2];

static void start(struct world *w, const char *name)
{
    static char dir[256];
    snprintf(dir, sizeof(dir), "%s/%s", unit_temp_dir(), name);
    world_setup(w, dir);
    world_open(w, RESERVE_CACHE_AUTO);
    world_settle(w);
}

static void end(struct world *w)
{
    world_close(w);
    world_teardown(w);
}

/* From here on the log goes where log_lines reads it. */
static void log_begin(void)
{
    check(!pipe2(log_ends, O_NONBLOCK), "a pipe");
    log_setup_fd(log_ends[1]);
}

/* How often the log has said so. */
static uint32_t log_lines(const char *said)
{
    static char text[64 * KiB];
    uint32_t count = 0;
    log_setup_fd(2);
    close(log_ends[1]);
    ssize_t size = read(log_ends[0], text, sizeof(text) - 1);
    close(log_ends[0]);
    text[MAX(size, 0)] = '\0';
    for (const char *at = text; (at = strstr(at, said)); at++)
        count++;
    return count;
}

/* Chunks of batch 1. False: they failed. */
static bool put_page(struct world *w, uint32_t from)
{
    static struct world_put put;
    for (uint32_t i = 0; i < PAGE; i++) {
        chunk_make(&page[i], &(struct chunk_spec){ 1 + from + i, 1, from + i, 7, 0 });
        items[i] = page[i].item;
    }
    put = (struct world_put){ { .items = items, .count = PAGE, .cb = world_put_cb }, w };
    w->waits = 1;
    reserve_put(w->reserve, &put.put);
    return !world_await(w);
}

static void until_quiet(struct world *w)
{
    for (int i = 0; w->reserve->capacity.busy && i < 2000; i++)
        world_pause(w, 1);
    check(!w->reserve->capacity.busy, "the capacity is looked after");
}

/* A second, unless the machine was so slow that a try fell in between. */
static void until_ready(struct world *w)
{
    struct error why = { ERR_OK, "" };
    for (int i = 0; !reserve_ready(w->reserve, &why) && i < 20000; i++)
        world_pause(w, 1);
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

/* A record of the index as no put writes it; no value: it goes. */
struct edit {
    struct store_job job;
    struct world *world;
    struct reserve_key key;
    struct bytes value;
};
static enum err edit_run(struct store_job *job, struct ldb *db UNUSED, struct error *err)
{
    struct edit *e = container_of(job, struct edit, job);
    struct ldb_batch *batch = ldb_batch_create(1024);
    enum err rc = e->value.data ? ldb_batch_put(batch, key_bytes(&e->key), e->value, err)
                                : ldb_batch_delete(batch, key_bytes(&e->key), err);
    rc = rc ? rc : store_commit(job, batch, true, err);
    ldb_batch_destroy(batch);
    return rc;
}
static void edit_done(struct store_job *job, const struct error *err)
{
    world_cb(container_of(job, struct edit, job)->world, err);
}
static void edit(struct world *w, struct reserve_key key, struct bytes value)
{
    static struct edit e;
    e = (struct edit){ .world = w, .key = key, .value = value };
    w->waits = 1;
    store_write(w->options.store, &e.job, edit_run, edit_done);
    check(!world_await(w), w->err.text);
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
        start(&w, name);
        check(put_page(&w, 0), w.err.text);
        damage(&w, victim(), damages[i].what);
        log_begin();
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
        end(&w);
    }
}

/* With a count: the damaged one would be the first one each time. */
TEST(a_damaged_record_is_one_of_those_that_were_asked_for)
{
    struct world w;
    start(&w, "asked");
    check(put_page(&w, 0), w.err.text);
    for (uint32_t i = 0; i < PAGE; i += 2)
        if (items[i].bin_ == 0)
            damage(&w, &items[i], "no chunk");
    check(world_evict(&w, 1, RESERVE_BINS, 20) == 20, "as many as were asked for");
    check(world_evict(&w, 1, 1, UINT64_MAX) > 50, "and the rest of the bin");
    struct reserve_status s;
    reserve_status(w.reserve, &s);
    check(s.in_bin[0] == 0 && world_check(&w) == s.count, "is gone");
    end(&w);
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
    start(&w, name);
    reserve_set_capacity(w.reserve, 200);
    fail_with = code;
    w.reserve->txn->probe = fail_there;
    log_begin();
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
    log_begin();
    until_ready(&w);
    check(log_lines("over the capacity goes well again") == 1, "said once, too");
    reserve_status(w.reserve, &s);
    check(s.count <= 200 && world_check(&w) == s.count, "without a put it is tried again");
    check(reserve_ready(w.reserve, &why) && failing(RESERVE_WORK_CAPACITY) == 0, "all is well");
    end(&w);
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
    start(&w, "slab");
    int64_t commits = metric_get(METRIC_reserve_commit_chunks);
    check(put_page(&w, 0), w.err.text);
    int good = w.reserve->files.fd[0], bad = open("/dev/null", O_RDONLY);
    w.reserve->files.fd[0] = bad;
    log_begin();
    for (uint32_t i = 0; i < 3; i++)
        check(!put_page(&w, PAGE) && w.err.code == ERR_IO, w.err.text);
    check(log_lines("storing chunks fails: ") == 1, "said once");
    check(code_of(&w, RESERVE_WORK_PUT) == ERR_IO && failing(RESERVE_WORK_PUT) == 1, "it is kept");
    check(!reserve_ready(w.reserve, &why) && strstr(why.text, "storing chunks fails"), why.text);
    w.reserve->files.fd[0] = good;
    close(bad);
    log_begin();
    until_ready(&w);
    check(log_lines("storing chunks goes well again") == 1, "it was tried without a put");
    check(reserve_ready(w.reserve, &why) && failing(RESERVE_WORK_PUT) == 0, "all is well");
    reserve_status(w.reserve, &s);
    check(s.slots_used == PAGE && world_check(&w) == PAGE, "and nothing was changed by it");
    check(s.put_groups == 1, "a group that failed is no commit");
    check(metric_get(METRIC_reserve_commit_chunks) == commits + 1, "nor has it a size");
    end(&w);
}

TEST(a_put_that_goes_well_ends_the_failure_at_once)
{
    struct world w;
    struct error why = { ERR_OK, "" };
    start(&w, "put");
    check(put_page(&w, 0), w.err.text);
    int good = w.reserve->files.fd[0], bad = open("/dev/null", O_RDONLY);
    w.reserve->files.fd[0] = bad;
    check(!put_page(&w, PAGE) && !reserve_ready(w.reserve, &why), "fails");
    w.reserve->files.fd[0] = good;
    close(bad);
    check(put_page(&w, PAGE) && reserve_ready(w.reserve, &why), why.text);
    end(&w);
}

static void open_again(struct world *w)
{
    world_close(w);
    unlink(w->image); /* the cache is built from the index */
    world_open(w, RESERVE_CACHE_ON);
    for (int i = 0; (w->reserve->scan->kind || w->reserve->scan->out) && i < 2000; i++)
        world_pause(w, 1);
}

TEST(a_record_that_ends_a_scan_is_named_until_it_is_mended)
{
    static uint8_t raw[C_VALUE_BYTES_MAX], entry[B_VALUE_BYTES];
    static struct reserve_body body;
    struct world w;
    struct error why = { ERR_OK, "" };
    start(&w, "scans");
    check(put_page(&w, 0), w.err.text);
    struct reserve_item item = *victim();
    struct reserve_key key = key_entry(item.bin_, item.binid_);
    b_value_encode(entry, &item.id, item.kind);
    edit(&w, key, bytes_of("damaged", 7));
    log_begin();
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
    end(&w);
}
