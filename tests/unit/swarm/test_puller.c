/* The puller against our own server with another reserve: history and live, restarts, epochs,
 * several peers, radius, refused chunks. */
#include "pullsync_bed.h"

#include "base/mem.h"
#include "core/metrics.h"
#include "net/stream_mem.h"
#include "store/reserve_state.h"
#include "store/stores_state.h"
#include "swarm/puller_state.h"
#include "swarm/pullsync_cursors.h"
#include "swarm/pullsync_server.h"

static struct bed bed;
static struct pullsync_server *server;
static struct puller *puller;
static struct batches *batches;
static bool stopped, resets; /* resets: the peer resets every page */
static uint32_t opened;
static const uint8_t overlay[OVERLAY_BYTES] = { 0x80 };
static const struct peer_id peers[3] = { { 1, { 1 } }, { 1, { 2 } }, { 1, { 3 } } };

static void on_done(void *ctx UNUSED)
{
    stopped = true;
}
static void await(void)
{
    for (int i = 0; i < 1000 && !stopped; i++)
        bed_turn(&bed, 10);
    check(stopped, "it comes to its end");
    stopped = false;
}
static struct batches *the_batches(void *ctx UNUSED)
{
    return batches;
}

static enum err reset_open(struct stream *s UNUSED, void *ctx UNUSED, void **user UNUSED)
{
    return ERR_REFUSED;
}
static const struct stream_ops reset_ops = { .on_open = reset_open };
static const struct protocol reset_protocol = { .name = "reset", .ops = &reset_ops };

static struct stream *open_stream(void *ctx UNUSED, const struct peer_id *peer,
                                  const struct protocol *p, void *user)
{
    bool pages = p == pullsync_client_protocol();
    opened += pages;
    struct stream_mem_options o = { .loop = bed.loop,
                                    .mem = bed.streams,
                                    .protocol = p,
                                    .dialer_user = user,
                                    .dialer = *peer, /* so that each has its own rate there */
                                    .listener = *peer,
                                    .listener_protocol = pages && resets ? &reset_protocol
                                                         : pages
                                                             ? pullsync_server_pages(server)
                                                             : pullsync_server_cursors(server) };
    return stream_mem_open(&o);
}

static void puller_begin(void)
{
    struct error err = { ERR_OK, "" };
    struct puller_options o = { .loop = bed.loop,
                                .work = bed.w[1].pool,
                                .reserve = bed.w[1].reserve,
                                .state = bed.state,
                                .mem = bed.mem,
                                .governor = bed.governor,
                                .overlay = overlay,
                                .batches = the_batches,
                                .open = open_stream };
    check(!puller_create(&puller, &o, &err), err.text);
}

static void puller_finish(void)
{
    puller_stop(puller, on_done, NULL);
    await();
    puller_destroy(puller);
}

static void make(void)
{
    struct error err = { ERR_OK, "" };
    bed_make(&bed, 2, 256 * MiB);
    batches = bed.batches;
    resets = false;
    opened = 0;
    bed_state_open(&bed, 1);
    struct pullsync_server_options o = { .loop = bed.loop,
                                         .reserve = bed.w[0].reserve,
                                         .mem = bed.mem };
    check(!pullsync_server_create(&server, &o, &err), err.text);
    puller_begin();
}

static void end(void)
{
    puller_finish();
    bed_turn(&bed, LIMIT_PULLSYNC_CLOSE_MS + 100);
    pullsync_server_stop(server, on_done, NULL);
    await();
    pullsync_server_destroy(server);
    bed_state_close(&bed);
    bed_end(&bed);
}

static struct puller_status look(void)
{
    struct puller_status s;
    puller_status(puller, &s);
    return s;
}

static void up(uint32_t i)
{
    uint8_t theirs[OVERLAY_BYTES] = { 0x80 };
    theirs[31] = (uint8_t)i;
    puller_peer_up(puller, &peers[i], theirs, OVERLAY_BIN_MAX);
}

static uint64_t cursors[RESERVE_BINS], synced[RESERVE_BINS];
static bool on_bin(void *ctx UNUSED, const struct puller_bin_status *b)
{
    cursors[b->bin] = b->cursor;
    synced[b->bin] = b->synced;
    check(b->live == (b->missing == 0) && b->doing, "it says how far it is");
    return true;
}

TEST(history_and_then_what_comes)
{
    make();
    check(!look().synced, "nobody to ask");
    bed_put(&bed, 0, 0, 0, 600);
    bed_put(&bed, 0, 1, 0, 40);
    up(0);
    bed_turn(&bed, 5000);
    check(bed_contains(&bed, 1, 0) && bed_count(&bed, 1) == 640, "all of it");
    struct puller_status s = look();
    check(s.synced && s.missing == 0 && s.bins == RESERVE_BINS && s.bins_live == RESERVE_BINS,
          "and that is a fact");
    metrics_page_begin(&(struct metrics_page){ 0 });
    check(metric_get(METRIC_pullsync_synced) == 1 && metric_get(METRIC_pullsync_peers) == 1 &&
              metric_get(METRIC_pullsync_sessions) == RESERVE_BINS,
          "that is shown");
    check(s.parked == RESERVE_BINS && s.sessions == RESERVE_BINS, "one session waits in each bin");
    check(s.stored == 640 && s.delivered == 640, "nothing twice");
    puller_each(puller, on_bin, NULL);
    check(cursors[0] == 600 && synced[0] == 600 && synced[1] == 40 && cursors[5] == 0, "per bin");
    bed_put(&bed, 0, 1, 40, 7);
    bed_turn(&bed, 3000);
    check(bed_count(&bed, 1) == 647 && look().synced, "what comes is pulled as it comes");
    puller_each(puller, on_bin, NULL);
    check(synced[1] == 47, "and counted");
    end();
}

TEST(what_is_done_is_remembered_over_a_restart)
{
    make();
    bed_put(&bed, 0, 0, 0, 300);
    up(0);
    bed_turn(&bed, 4000);
    puller_finish();
    bed_put(&bed, 0, 0, 300, 20);
    puller_begin();
    up(0);
    bed_turn(&bed, 4000);
    struct puller_status s = look();
    check(s.offered == 20 && s.synced && bed_count(&bed, 1) == 320, "only the rest is offered");
    end();
}

TEST(another_epoch_of_the_peer_makes_us_ask_again)
{
    make();
    bed_put(&bed, 0, 0, 0, 300);
    up(0);
    bed_turn(&bed, 4000);
    puller_peer_down(puller, &peers[0]);
    bed_turn(&bed, 100);
    bed.w[0].reserve->epoch += 2;
    up(0);
    bed_turn(&bed, 4000);
    struct puller_status s = look();
    check(s.offered == 600 && s.wanted == 300 && s.synced, "everything is offered, nothing wanted");
    puller_finish();
    bed.w[1].reserve->epoch += 2; /* ours was restored */
    puller_begin();
    up(0);
    bed_turn(&bed, 4000);
    check(look().offered == 300 && look().wanted == 0, "the same when it is ours that changed");
    end();
}

TEST(two_peers_bring_each_chunk_once)
{
    make();
    bed_put(&bed, 0, 0, 0, 700);
    bed_put(&bed, 0, 1, 0, 300);
    up(0);
    up(1);
    bed_turn(&bed, 8000);
    struct puller_status s = look();
    check(s.peers == 2 && s.synced && bed_count(&bed, 1) == 1000, "all is there");
    check(s.delivered == 1000, "and came once");
    end();
}

TEST(a_peer_that_resets_does_not_make_us_spin)
{
    make();
    bed_put(&bed, 0, 0, 0, 10);
    resets = true;
    up(0);
    bed_turn(&bed, 600 * 1000);
    check(opened > RESERVE_BINS && opened < 20 * RESERVE_BINS, "it is asked less and less");
    check(look().failed >= opened - 2 * RESERVE_BINS, "each time is counted");
    metrics_page_begin(&(struct metrics_page){ 0 });
    check(metric_get(METRIC_pullsync_missing) == 10 && metric_get(METRIC_pullsync_synced) == 0,
          "and what is missing is shown");
    resets = false;
    bed_turn(&bed, LIMIT_PULLSYNC_BACKOFF_MS_MAX * 2);
    check(look().synced && bed_count(&bed, 1) == 10, "and in the end it works");
    end();
}

TEST(from_the_trigger_on_nothing_is_begun_and_afterwards_all_goes_on)
{
    make();
    bed_put(&bed, 0, 0, 0, 600);
    bed_hold(&bed, GOVERNOR_TRIGGER);
    up(0);
    bed_turn(&bed, 120 * 1000);
    check(look().asking == 1 && opened == 0 && look().failed == 0,
          "not even cursors are asked for");
    bed_hold(&bed, GOVERNOR_NORMAL);
    bed_turn(&bed, 5000);
    check(bed_count(&bed, 1) == 600 && look().synced, "then all of it comes");
    uint32_t before = opened;
    bed_hold(&bed, GOVERNOR_TRIGGER);
    bed_put(&bed, 0, 1, 0, 7);
    bed_turn(&bed, 60 * 1000);
    check(bed_count(&bed, 1) == 600 && puller->env.offers.waiting == 1, "an offer is not read");
    check(opened == before && look().failed == 0, "and it waits as it is");
    bed_hold(&bed, GOVERNOR_TARGET);
    bed_turn(&bed, 1000);
    check(bed_count(&bed, 1) == 607 && look().failed == 0, "until there is less");
    bed_hold(&bed, GOVERNOR_TRIGGER);
    bed_put(&bed, 0, 1, 7, 5);
    bed_turn(&bed, LIMIT_PULLSYNC_WANT_MS + 60 * 1000);
    check(look().failed == 1 && bed_count(&bed, 1) == 607, "a peer has its limit, too");
    bed_hold(&bed, GOVERNOR_NORMAL);
    bed_turn(&bed, LIMIT_PULLSYNC_BACKOFF_MS_MAX);
    check(bed_count(&bed, 1) == 612 && look().synced, "and is asked again");
    end();
}

TEST(above_its_share_what_is_on_its_way_is_let_in_first)
{
    make();
    bed_put(&bed, 0, 0, 0, 3000);
    pullsync_server_set_rate(server, 250);
    up(0);
    bed_turn(&bed, 1500);
    uint32_t before = opened;
    uint64_t hog = bed.mem->share_bytes;
    check(puller->env.inflight.count > 0 && mem_take(bed.mem, hog), "pages are on their way");
    bed_hold(&bed, GOVERNOR_TARGET);
    for (int i = 0; i < 100 && puller->env.inflight.count > 0; i++) {
        check(puller->held && opened == before, "and no more are asked for");
        bed_turn(&bed, 100);
    }
    check(puller->env.inflight.count == 0 && look().failed == 0, "those have come");
    bed_turn(&bed, LIMIT_PULLSYNC_LEAN_MS);
    check(opened > before, "with nothing to give it goes on");
    mem_give(bed.mem, hog);
    bed_turn(&bed, 30 * 1000);
    check(bed_count(&bed, 1) == 3000 && look().synced, "to the end");
    end();
}

TEST(who_does_not_hear_of_what_comes_is_not_synced)
{
    make();
    resets = true;
    up(0);
    bed_turn(&bed, 30 * 1000);
    check(look().missing == 0 && look().parked == 0 && !look().synced, "no session stays");
    resets = false;
    bed_turn(&bed, LIMIT_PULLSYNC_BACKOFF_MS_MAX * 2);
    check(look().parked == RESERVE_BINS && look().synced, "until one waits in each bin");
    end();
}

TEST(a_falling_radius_makes_us_ask_for_what_was_left_out)
{
    make();
    for (uint8_t bin = 0; bin < 4; bin++)
        bed_put(&bed, 0, bin, 0, 20);
    bed.w[1].reserve->capacity.radius = 2;
    up(0);
    bed_turn(&bed, 5000);
    check(bed_count(&bed, 1) == 40 && look().bins == RESERVE_BINS - 2, "two bins are wanted");
    check(look().synced, "and that is all");
    bed.w[1].reserve->capacity.radius = 1;
    bed_turn(&bed, LIMIT_PULLSYNC_RECHECK_MS + 5000);
    check(bed_count(&bed, 1) == 60, "the bin that came in reach");
    uint64_t offered = look().offered;
    bed.w[1].reserve->capacity.radius = 3;
    bed_turn(&bed, LIMIT_PULLSYNC_RECHECK_MS + 5000);
    check(look().bins == RESERVE_BINS - 3 && look().offered == offered, "fewer: nothing is asked");
    puller_finish();
    bed.w[1].reserve->capacity.radius = 0;
    puller_begin();
    up(0);
    bed_turn(&bed, 5000);
    check(bed_count(&bed, 1) == 80, "what a rise may have evicted is asked for again");
    check(look().offered == 60, "over a restart too; what no radius left out is not");
    end();
}

TEST(chunks_of_an_unknown_batch_come_when_it_is_known)
{
    make();
    bed_put(&bed, 0, 0, 0, 30);
    batches = NULL;
    up(0);
    bed_turn(&bed, 4000);
    struct puller_status s = look();
    check(s.refused[PULLSYNC_UNKNOWN_BATCH] == 30 && bed_count(&bed, 1) == 0, "refused");
    check(s.remembered == 1 && s.synced, "remembered; the interval is done");
    batches = bed.batches;
    puller_retry_refused(puller);
    bed_turn(&bed, 4000);
    check(bed_count(&bed, 1) == 30 && look().remembered == 0, "asked for again");
    end();
}

TEST(refused_chunks_are_asked_for_again_a_few_times)
{
    make();
    bed_put(&bed, 0, 0, 0, 5);
    batches = NULL;
    up(0);
    bed_turn(&bed, 4000);
    check(look().refused[PULLSYNC_UNKNOWN_BATCH] == 5, "refused");
    bed_turn(&bed, (uint64_t)LIMIT_PULLSYNC_REFUSED_MS * 20);
    check(look().refused[PULLSYNC_UNKNOWN_BATCH] == 5 * (1 + LIMIT_PULLSYNC_REFUSED_TRIES),
          "later, and not for ever");
    end();
}

static void begin_again(void)
{
    puller_finish();
    puller_begin();
    up(0);
    bed_turn(&bed, 4000);
}

/* A page of refused chunks counts as done, and is no hole in what a later start takes for done. */
TEST(refused_chunks_are_asked_for_again_after_a_restart)
{
    for (uint32_t given_up = 0; given_up < 2; given_up++) {
        make();
        bed_put(&bed, 0, 0, 0, 300);
        up(0);
        bed_turn(&bed, 4000);
        batches = NULL;
        bed_put(&bed, 0, 0, 300, 30);
        bed_put(&bed, 0, 1, 0, 7);
        bed_turn(&bed, 20000);
        if (given_up)
            bed_turn(&bed, (uint64_t)LIMIT_PULLSYNC_REFUSED_MS * 20);
        check(look().remembered >= 2 && look().synced && bed_count(&bed, 1) == 300, "refused");
        begin_again();
        check(look().offered == 37 && look().remembered >= 2, "offered again, nothing else is");
        bed_turn(&bed, LIMIT_PULLSYNC_REFUSED_MS / 2);
        check(look().offered == 37, "once");
        batches = bed.batches; /* the operator adds the batch, and starts anew */
        begin_again();
        check(bed_contains(&bed, 1, 0) && bed_count(&bed, 1) == 337, "now all of them came");
        check(look().offered == 37 && look().remembered == 0 && look().synced, "nothing is left");
        begin_again();
        check(look().offered == 0 && look().synced, "and that is recorded");
        end();
    }
}

TEST(who_goes_and_comes_is_not_asked_more_often_for_what_was_refused)
{
    make();
    bed_put(&bed, 0, 0, 0, 30);
    batches = NULL;
    up(0);
    for (uint32_t i = 0; i < 30; i++) {
        bed_turn(&bed, LIMIT_PULLSYNC_REFUSED_MS / 40);
        puller_peer_down(puller, &peers[0]);
        bed_turn(&bed, 100);
        up(0);
    }
    bed_turn(&bed, 1000);
    check(look().offered == 30 && look().synced && look().remembered == 1, "it is not due");
    puller_peer_down(puller, &peers[0]);
    bed_turn(&bed, 100);
    bed.w[0].reserve->epoch += 2;
    resets = true;
    up(0);
    bed_turn(&bed, 1000);
    check(look().missing == 30 && look().remembered == 0, "BinIDs of another epoch say nothing");
    resets = false;
    bed_turn(&bed, LIMIT_PULLSYNC_BACKOFF_MS_MAX);
    check(look().offered == 60 && look().remembered == 1, "they are asked for");
    resets = true;
    bed.w[1].reserve->capacity.radius = 3;
    bed_turn(&bed, LIMIT_PULLSYNC_RECHECK_MS + 1000);
    bed.w[1].reserve->capacity.radius = 0;
    bed_turn(&bed, LIMIT_PULLSYNC_RECHECK_MS + 1000);
    check(look().missing == 30 && look().remembered == 0, "nor those before an eviction");
    resets = false;
    bed_turn(&bed, LIMIT_PULLSYNC_BACKOFF_MS_MAX);
    check(look().offered == 90 && look().remembered == 1, "they are asked for too");
    batches = bed.batches;
    puller_peer_down(puller, &peers[0]);
    bed_turn(&bed, 100);
    puller_retry_refused(puller);
    up(0);
    bed_turn(&bed, LIMIT_PULLSYNC_RECHECK_MS + 4000);
    check(bed_count(&bed, 1) == 30 && look().remembered == 0, "when it is back and due");
    end();
}

/* All pages done of a bin that go on from what is done. */
static void pages_through(struct puller_bin *b, uint32_t n, uint32_t bad_each)
{
    for (uint32_t i = 0; i < n; i++) {
        struct pullsync_counts c = { .offered = 10 };
        uint64_t from = pull_intervals_next(&b->done, 1);
        c.refused[PULLSYNC_BAD_PROOF] = i % bad_each == 0;
        pull_intervals_add(&b->done, from, from + 9);
        pull_refused_page(b, from, from + 9, &c);
    }
}

/* However many there are: each page is either not done or left out of what is recorded. */
static void check_left_out(const struct puller_bin *b, uint32_t n, uint32_t bad_each)
{
    struct pull_intervals v = b->done;
    pull_refused_leave_out(b, &v);
    for (uint32_t i = 0; i < n; i += bad_each)
        for (uint64_t id = 10 * i + 1; id <= 10 * i + 10; id++)
            check(pull_intervals_next(&v, id) == id, "no page with refused chunks is done");
}

TEST(more_refused_pages_than_can_be_remembered_are_not_forgotten)
{
    enum { PAGES = 3 * LIMIT_PULLSYNC_REFUSED };
    make();
    for (uint32_t i = 0; i < 4; i++)
        bed.w[0].reserve->counters.last[i] = 10 * PAGES;
    resets = true;
    up(0);
    bed_turn(&bed, 1000);
    struct puller_peer *peer = container_of(puller->peers.next, struct puller_peer, link);
    struct puller_bin **bins = peer->bins;
    pages_through(bins[1], 3, 1);
    pages_through(bins[0], PAGES, 2);
    check(look().remembered == LIMIT_PULLSYNC_REFUSED, "the memory is full");
    check_left_out(bins[0], PAGES, 2);
    check_left_out(bins[1], 3, 1);
    check(bin_missing(bins[0]) == 0, "as pages were joined all of it is done");
    pages_through(bins[2], PAGES, 2); /* another bin makes room, as long as it has any */
    check_left_out(bins[0], PAGES, 2);
    check_left_out(bins[2], PAGES, 2);
    uint32_t held = look().remembered;
    check(held <= LIMIT_PULLSYNC_REFUSED && held > LIMIT_PULLSYNC_REFUSED / 2, "bounded");
    bed_turn(&bed, (uint64_t)LIMIT_PULLSYNC_REFUSED_MS + LIMIT_PULLSYNC_RECHECK_MS);
    check(bin_missing(bins[0]) > 0 && bin_missing(bins[2]) > 0, "and asked for when it is due");
    end();
}

TEST(refused_pages_that_cannot_be_joined_are_not_done)
{
    make();
    for (uint32_t i = 0; i < RESERVE_BINS; i++)
        bed.w[0].reserve->counters.last[i] = 1000;
    resets = true;
    struct puller_peer *them[ARRAY_SIZE(peers)];
    for (uint32_t i = 0; i < ARRAY_SIZE(peers); i++) {
        up(i);
        them[i] = container_of(puller->peers.prev, struct puller_peer, link);
    }
    bed_turn(&bed, 1000);
    struct puller_bin *first = them[0]->bins[0];
    struct pullsync_counts c = { .refused[PULLSYNC_MISSING] = 1 };
    for (uint32_t i = 0; i <= LIMIT_PULLSYNC_REFUSED; i++) {
        struct puller_bin *b = them[i % ARRAY_SIZE(peers)]->bins[i / 3 % RESERVE_BINS];
        uint64_t id = 1 + 2 * (i / 3 / RESERVE_BINS); /* every second: nothing between is done */
        check(pull_intervals_next(&first->done, 1) == (i ? 2 : 1), "they are remembered");
        timer_set(&first->history.timer, 0);
        pull_intervals_add(&b->done, id, id);
        pull_refused_page(b, id, id, &c);
    }
    check(look().remembered == LIMIT_PULLSYNC_REFUSED, "one had to go");
    check(pull_intervals_next(&first->done, 1) == 1, "and is asked for");
    check(timer_is_set(&first->history.timer), "not at once");
    end();
}

/* A chunk whose record is damaged here fails each time: the bin goes on without it, until a repair,
 * whose epoch makes us ask for all of it. */
TEST(a_damaged_record_of_ours_does_not_hold_up_its_bin)
{
    static struct bed_chunk c;
    struct ldb_batch *batch = ldb_batch_create(4 * KiB);
    make();
    bed_put(&bed, 0, 0, 0, 30);
    bed_chunk(&bed, &c, 0, 7);
    struct reserve_key key = key_chunk(c.id.address);
    check(!ldb_batch_put(batch, key_bytes(&key), bytes_of("garbage", 7), NULL) &&
              !ldb_write(bed.w[1].stores->stores[0].db, batch, true, NULL),
          "a record");
    ldb_batch_destroy(batch);
    up(0);
    bed_turn(&bed, 4000);
    struct puller_status s = look();
    check(s.refused[PULLSYNC_DAMAGED] == 1 && s.failed == 0, "nobody else is told to be at fault");
    check(s.stored == 29 && bed_count(&bed, 1) == 29, "the others of its page are stored");
    check(s.synced && s.remembered == 1, "and it is remembered");
    bed_put(&bed, 0, 0, 30, 5);
    bed_turn(&bed, 4000);
    check(bed_count(&bed, 1) == 34 && look().synced, "what comes later, too");
    end();
}

TEST(a_peer_that_has_nothing_good_is_asked_less_and_less)
{
    make();
    bed_put(&bed, 0, 0, 0, 5000);
    batches = NULL;
    up(0);
    bed_turn(&bed, 1000);
    uint64_t early = look().pages;
    check(early > 0 && early < 5, "a few pages at once");
    bed_turn(&bed, 10000);
    check(look().pages > early && look().pages < 20, "then some after a while");
    batches = bed.batches;
    puller_retry_refused(puller);
    bed_turn(&bed, 100000);
    check(bed_count(&bed, 1) == 5000, "all, once it is good");
    end();
}

/* Behind a cursor lies what comes: there is nothing behind the last number there is. */
TEST(a_cursor_without_a_successor_is_refused)
{
    make();
    bed_put(&bed, 0, 0, 0, 5);
    bed.w[0].reserve->counters.last[3] = UINT64_MAX;
    up(0);
    bed_turn(&bed, 2000);
    struct puller_status s = look();
    check(s.asking == 1 && s.failed == 1 && s.bins == 0, "and all with it");
    bed.w[0].reserve->counters.last[3] = UINT64_MAX - 1;
    bed_turn(&bed, LIMIT_PULLSYNC_BACKOFF_MS_MAX);
    s = look();
    check(s.asking == 0 && s.parked >= RESERVE_BINS - 1 && !s.synced, "the one before is in use");
    check(s.missing == UINT64_MAX - 1 && bed_count(&bed, 1) == 5, "like any other");
    end();
}

TEST(what_is_missing_of_many_large_cursors_does_not_add_up_to_nothing)
{
    make();
    for (uint32_t i = 0; i < RESERVE_BINS; i++)
        bed.w[0].reserve->counters.last[i] = (UINT64_MAX / RESERVE_BINS) + 1;
    resets = true;
    up(0);
    bed_turn(&bed, 2000);
    check(look().missing == UINT64_MAX && !look().synced, "it is as much as can be said");
    metrics_page_begin(&(struct metrics_page){ 0 });
    check(metric_get(METRIC_pullsync_missing) == INT64_MAX, "by the metric too");
    end();
}

static enum txn_moment fails_at;
static enum err fails_as;
static enum err fail_there(enum txn_moment moment, struct error *err)
{
    return moment == fails_at ? error_set(err, fails_as, "a test wants this to fail") : ERR_OK;
}

static const struct {
    const char *why;
    enum txn_moment at;
    enum err as;
} faults[] = {
    { "a slot cannot be written", TXN_SLOTS_WRITTEN, ERR_IO },
    { "the disk is full", TXN_SLOTS_WRITTEN, ERR_DISK_FULL },
    { "slots cannot be synced", TXN_SLOTS_SYNCED, ERR_IO },
    { "it is not known whether the index was written", TXN_BATCH_SYNCED, ERR_IO },
    { "there is no memory for the put", TXN_SLOTS_WRITTEN, ERR_BUDGET },
};

/* An interval says that chunks are stored: what our own disk or memory lost is asked for again,
 * of the same peer, without a restart and over one. */
TEST(what_was_lost_on_our_side_is_not_done)
{
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        make();
        bed_put(&bed, 0, 0, 0, 300);
        bed_put(&bed, 0, 1, 0, 20);
        fails_at = faults[i].at;
        fails_as = faults[i].as;
        bed.w[1].reserve->txn->probe = fail_there;
        up(0);
        bed_turn(&bed, 4000);
        struct puller_status s = look();
        bool there = fails_at == TXN_BATCH_SYNCED; /* it was, and is found when asked again */
        check(s.failed > 0 && (there || (s.missing == 320 && !s.synced)), faults[i].why);
        check(s.stored == 0 && s.refused[PULLSYNC_BAD_PROOF] == 0, "nobody is blamed");
        if (i % 2) {
            puller_finish();
            puller_begin();
            up(0);
            bed_turn(&bed, 4000);
            check(there || look().missing == 320, "nor after a restart");
        }
        bed.w[1].reserve->txn->probe = NULL;
        bed_turn(&bed, 120 * 1000);
        check(look().synced && bed_contains(&bed, 1, 0), "then it goes on by itself");
        check(bed_count(&bed, 1) == 320, "and nothing is there twice");
        end();
    }
}

TEST(each_refused_allocation_leaves_no_hole)
{
    make();
    up(0);
    bed_turn(&bed, 1000);
    for (uint32_t n = 1; n < 40; n++) {
        bed_put(&bed, 0, 0, 10 * n, 10);
        mem_fault_at(n);
        bed_turn(&bed, 3000);
        mem_fault_at(0);
        check(mem_take(bed.streams, 1), "who waits is served when something is given back");
        mem_give(bed.streams, 1);
        bed_turn(&bed, 10000);
        check(look().synced && bed_contains(&bed, 1, 0), "in the end all is there");
    }
    end();
}

struct goer {
    struct deferred d;
    uint32_t turns;
    bool gone;
};
static void on_turn(struct deferred *d)
{
    struct goer *g = container_of(d, struct goer, d);
    if (puller->env.inflight.count < 250 || g->turns-- > 0) { /* once one has asked for all */
        loop_defer(bed.loop, d, on_turn);
        return;
    }
    puller_peer_down(puller, &peers[0]);
    g->gone = true;
}

/* Whatever the first was asked for when it went, no interval of the second passes a hole. */
TEST(what_one_peer_took_and_did_not_bring_is_asked_of_the_other)
{
    for (uint32_t turns = 0; turns < 12; turns++) {
        make();
        bed_put(&bed, 0, 0, 0, 250);
        up(0);
        up(1);
        struct goer g = { .turns = turns };
        loop_defer(bed.loop, &g.d, on_turn);
        bed_turn(&bed, 20000);
        loop_defer_cancel(&g.d);
        check(look().peers == (g.gone ? 1 : 2), "it went, or was through before");
        check(look().synced && bed_count(&bed, 1) == 250, "all is there");
        end();
    }
}

static uint32_t bins_of(uint8_t proximity)
{
    uint8_t theirs[OVERLAY_BYTES] = { 0 };
    puller_peer_up(puller, &peers[0], theirs, proximity);
    bed_turn(&bed, 1000);
    uint32_t bins = look().bins;
    puller_peer_down(puller, &peers[0]);
    bed_turn(&bed, 100);
    return bins;
}

TEST(who_is_far_off_is_asked_for_little_or_nothing)
{
    make();
    bed.w[1].reserve->capacity.radius = 8;
    check(bins_of(8) == RESERVE_BINS - 8 && bins_of(20) == RESERVE_BINS - 8, "neighbours");
    check(bins_of(7) == 1 && bins_of(8 - LIMIT_PULLSYNC_FAR_BINS) == 1, "those next to us");
    check(bins_of(7 - LIMIT_PULLSYNC_FAR_BINS) == 0 && bins_of(0) == 0, "nobody else");
    end();
}

TEST(a_peer_may_go_at_any_time)
{
    make();
    bed_put(&bed, 0, 0, 0, 500);
    for (uint64_t ms = 0; ms < 60; ms += 1 + ms / 4) {
        up(0);
        bed_turn(&bed, ms);
        puller_peer_down(puller, &peers[0]);
        up(0); /* back before it is all gone */
        puller_peer_down(puller, &peers[0]);
        bed_turn(&bed, 100);
        check(look().peers == 0 && look().sessions == 0, "nothing of it is left");
    }
    up(0);
    bed_turn(&bed, 5000);
    check(look().synced && bed_count(&bed, 1) == 500, "it ends complete");
    end();
}
