/* The reserve in a running node: what expiry costs, what ends it early and what is tried again; a
 * disk that fails. */
#include "node_bed.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/hex.h"
#include "node/node_state.h"
#include "node/node_stores.h"
#include "node/status.h"
#include "node/swarm.h"
#include "node/swarm_state.h"
#include "reserve_world.h"
#include "store/reserve_state.h"

enum {
    OLD = 1,   /* the batch that expires */
    OTHER = 2, /* and one that stays */
    NONE = 3,
    PAGES = 16,                                   /* of OLD; then one of OTHER */
    EXPIRING = PAGES * LIMIT_RESERVE_PAGE_CHUNKS, /* several steps of an eviction */
};

static struct node_bed bed;
static struct reserve_put put;
static struct chunk page[LIMIT_RESERVE_PAGE_CHUNKS];
static struct reserve_item items[LIMIT_RESERVE_PAGE_CHUNKS];
static char batches_path[300];
static uint32_t pages_put, steps;
static uint64_t file_max_bytes; /* no slab fits; 0: no limit */
static void (*script)(void);    /* every millisecond, once all is put */

/* From this one on; NONE is behind the last. */
static void batches_write(uint32_t first)
{
    FILE *f = fopen(batches_path, "w");
    check(f && fputs("[", f) >= 0, "the file of batches");
    for (uint32_t batch = first; batch <= OTHER; batch++) {
        static struct chunk c;
        char id[65];
        chunk_make(&c, &(struct chunk_spec){ .batch = batch });
        fprintf(f,
                "%s{\"id\":\"%s\",\"owner\":\"1111111111111111111111111111111111111111\","
                "\"depth\":20,\"bucket_depth\":4,\"immutable\":false}",
                batch > first ? "," : "", hex_encode(id, bytes_of(c.batch, 32)));
    }
    check(fputs("]", f) >= 0 && fclose(f) == 0, "is written");
}

static struct reserve *reserve(void)
{
    return node_reserve(bed.node);
}

static uint64_t entries(void)
{
    return node_bed_entries(&bed);
}

/* Of this process; the kernel's own word for "no further" is a signal that ends it. */
static void files_limit(uint64_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    check(!getrlimit(RLIMIT_FSIZE, &limit), "the limit");
    limit.rlim_cur = bytes ? bytes : limit.rlim_max;
    check(!setrlimit(RLIMIT_FSIZE, &limit), "is set");
}

static void put_page(void);
static void on_put(struct reserve_put *req UNUSED, const struct error *err)
{
    check(!err == !file_max_bytes, err ? err->text : "a slab has grown beyond the limit");
    if (++pages_put <= PAGES && !err)
        put_page();
    else
        timer_set(&bed.timer, 1);
}

static void put_page(void)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(items); i++) {
        uint32_t number = 1 + pages_put * LIMIT_RESERVE_PAGE_CHUNKS + i;
        chunk_make(&page[i],
                   &(struct chunk_spec){ number, pages_put < PAGES ? OLD : OTHER, number, 5, 0 });
        items[i] = page[i].item;
    }
    put = (struct reserve_put){ .items = items, .count = ARRAY_SIZE(items), .cb = on_put };
    reserve_put(reserve(), &put);
}

static void tick(struct timer *t)
{
    timer_set(t, 1);
    script();
}

static enum err upper_start(struct node *n, struct error *err UNUSED)
{
    if (file_max_bytes)
        files_limit(file_max_bytes);
    timer_init(&bed.timer, n->env.loop, tick, "tick");
    put_page();
    return ERR_OK;
}

static void run(const char *name, void (*what)(void))
{
    char batches[330];
    struct error err = { ERR_OK, "" };
    snprintf(batches_path, sizeof(batches_path), "%s/%s.json", unit_temp_dir(), name);
    snprintf(batches, sizeof(batches), "--batches=%s", batches_path);
    const char *const options[] = { "--swarm", batches, NULL };
    batches_write(OLD);
    node_bed_config(&bed, name, options);
    node_bed_parts(&bed, upper_start);
    script = what;
    pages_put = steps = 0;
    check(!node_bed_make(&bed, &err), err.text);
    check(!node_bed_run(&bed, &err), err.text);
}

/* Once all is put: the batch has expired. */
static void expire_before(uint32_t batch, txn_probe *probe)
{
    reserve()->txn->probe = probe;
    batches_write(batch);
    swarm_part_reload(bed.node);
}

static void expire(txn_probe *probe)
{
    expire_before(OTHER, probe);
}

static void until_all_is_evicted(void)
{
    if (steps++ == 0)
        expire(NULL);
    if (entries() > LIMIT_RESERVE_PAGE_CHUNKS || bed.node->swarm->expiry.out)
        return;
    check(entries() == LIMIT_RESERVE_PAGE_CHUNKS, "the other batch stays");
    check(reserve()->evict.walked <= 2 * EXPIRING, "one walk, however many entries go in a step");
    node_stop(bed.node);
}

TEST(expiry_walks_a_batch_once)
{
    run("once", until_all_is_evicted);
}

static uint64_t left_at_stop;
static enum err stop_there(enum txn_moment moment, struct error *err UNUSED)
{
    if (moment == TXN_SLOTS_FREED) {
        node_stop(bed.node);
        left_at_stop = entries();
    } else if (moment == TXN_REMOVING) {
        check(left_at_stop == 0, "no step begins after the stop");
    }
    return ERR_OK;
}

static void until_it_stops(void)
{
    if (steps++ == 0)
        expire(stop_there);
}

TEST(a_stop_waits_for_one_step_of_an_expiry)
{
    run("stop", until_it_stops);
    check(left_at_stop == EXPIRING + LIMIT_RESERVE_PAGE_CHUNKS - LIMIT_RESERVE_EVICT_CHUNKS,
          "the rest is there at the next start");
}

static void on_frozen(void *ctx UNUSED)
{
    batches_write(OLD);
    swarm_part_reload(bed.node);
}

/* No step goes on until the new table is there. */
static enum err renew_there(enum txn_moment moment, struct error *err UNUSED)
{
    if (moment == TXN_SLOTS_FREED) {
        reserve()->txn->probe = NULL;
        stores_freeze(node_stores(bed.node), on_frozen, NULL);
    }
    return ERR_OK;
}

static void until_it_is_known_again(void)
{
    static bool thawed;
    if (steps++ == 0)
        expire(renew_there);
    bool known = batches_count(node_batches(bed.node)) == 2;
    if (!thawed && known && entries() < EXPIRING) {
        stores_thaw(node_stores(bed.node));
        thawed = true;
    } else if (thawed && !bed.node->swarm->expiry.out) {
        check(entries() == EXPIRING + LIMIT_RESERVE_PAGE_CHUNKS - LIMIT_RESERVE_EVICT_CHUNKS,
              "one step and no more");
        node_stop(bed.node);
    }
}

TEST(a_renewed_batch_keeps_what_is_left_of_it)
{
    run("renewed", until_it_is_known_again);
}

static enum err fail_there(enum txn_moment moment, struct error *err)
{
    return moment == TXN_REMOVING ? error_set(err, ERR_IO, "a test wants this to fail") : ERR_OK;
}

static enum readiness ready(const char *why)
{
    static char text[1024];
    enum readiness is = status_readiness(node_status(bed.node), text, sizeof(text));
    check(is != READINESS_DEGRADED || strstr(text, why), text);
    check(steps++ < 60000, "in vain");
    return is;
}

static bool expiry_fails(void)
{
    return ready("degraded: reserve: evicting batches that have expired fails: a test wants") ==
           READINESS_DEGRADED;
}

static void until_it_is_tried_again(void)
{
    static bool seen;
    bool fails = expiry_fails();
    if (steps == 1)
        expire(fail_there);
    if (!seen && fails) {
        check(entries() == EXPIRING + LIMIT_RESERVE_PAGE_CHUNKS, "all is there");
        reserve()->txn->probe = NULL;
        seen = true;
    } else if (seen && !fails) {
        check(entries() == LIMIT_RESERVE_PAGE_CHUNKS, "all of the batch went, and no other");
        node_stop(bed.node);
    }
}

/* A second later, and without a reload. */
TEST(an_expiry_that_fails_is_shown_and_tried_again)
{
    run("again", until_it_is_tried_again);
}

static void until_it_fails(void)
{
    bool fails = expiry_fails();
    if (steps == 1)
        expire(fail_there);
    if (fails)
        node_stop(bed.node);
}

TEST(a_stop_does_not_wait_for_the_next_try)
{
    run("fails", until_it_fails); /* no loop ends with a timer that is set */
}

static void until_it_need_not(void)
{
    static bool renewed;
    bool fails = expiry_fails();
    if (steps == 1)
        expire(fail_there);
    if (fails && !renewed) {
        renewed = true;
        batches_write(OLD);
        swarm_part_reload(bed.node);
    } else if (renewed && !fails) {
        check(entries() == EXPIRING + LIMIT_RESERVE_PAGE_CHUNKS, "all is there");
        node_stop(bed.node);
    }
}

TEST(a_renewed_batch_ends_the_failure_of_its_expiry)
{
    run("need_not", until_it_need_not);
}

static enum err cannot_read_the_first(enum txn_moment moment, struct error *err)
{
    static bool met;
    if (moment != TXN_REMOVING || met)
        return ERR_OK;
    met = true;
    return error_set(err, ERR_CORRUPT, "a test wants this to be damaged");
}

static void until_the_others_are_gone(void)
{
    bool fails = ready("reserve: evicting batches that have expired fails: a test wants") ==
                 READINESS_DEGRADED;
    if (steps == 1)
        expire_before(NONE, cannot_read_the_first);
    if (fails) {
        check(entries() == EXPIRING || entries() == LIMIT_RESERVE_PAGE_CHUNKS, "one is left");
        node_stop(bed.node);
    }
}

TEST(a_batch_that_cannot_be_read_does_not_keep_others_that_expired)
{
    run("others", until_the_others_are_gone);
}

static void until_the_disk_is_well(void)
{
    char text[1024];
    enum readiness ready = status_readiness(node_status(bed.node), text, sizeof(text));
    if (ready == READINESS_WAITING)
        return; /* the node still starts */
    if (steps++ == 0) {
        check(strstr(text, "degraded: reserve: storing chunks fails: growing"), text);
        files_limit(0);
    } else if (ready == READINESS_OK) {
        check(entries() == 0, "no put was needed");
        node_stop(bed.node);
    }
    check(steps < 60000, "it recovers by itself");
}

TEST(a_slab_that_cannot_grow_degrades_the_node_until_it_can)
{
    file_max_bytes = 32 * MiB;
    run("grow", until_the_disk_is_well);
    file_max_bytes = 0;
}
