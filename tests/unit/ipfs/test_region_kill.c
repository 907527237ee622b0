/* A region pass that is cut off: at every step, with servers that lose what they have not read.
 * What is no longer pending, and what lies before the position that was kept, is with all its
 * servers at that moment; after a restart all of it is, and at most the ring is sent again. */
#include "provider_bed.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ipfs/allot.h"
#include "ipfs/lab.h"
#include "ipfs/schedule.h"

enum { SERVERS = 24, KEYS = 480, CHUNK = 16, RING_RECORDS = LIMIT_PASS_RING * CHUNK * KAD_K };

/* The model: keys in order, who is to hold each, who does. */
static struct {
    uint64_t kad[KEYS];
    bool wanted[KEYS][SERVERS], held[KEYS][SERVERS];
    uint64_t again; /* records that were there already */
} model;

static struct run {
    struct provider_bed b;
    struct dht *dht;
    struct region *region;
    struct kad_record record;
    bool asked, done, parted;
    uint32_t steps, kill_at, spoil_at, spoilt;
    struct keystore_write *late; /* begun when the server is spoilt */
    struct schedule_progress at; /* of a process that was killed; last_size 0: none */
    struct error failure;
    uint64_t keys;
} x;

static int by_number(const void *a, const void *b)
{
    uint64_t x_ = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x_ > y) - (x_ < y);
}

static void model_make(void)
{
    uint8_t hash[34];
    for (uint32_t i = 0; i < KEYS; i++)
        model.kad[i] = key_kad(lab_key(i, hash));
    qsort(model.kad, KEYS, sizeof(model.kad[0]), by_number);
}

static uint32_t model_key(uint64_t kad)
{
    const uint64_t *at = bsearch(&kad, model.kad, KEYS, sizeof(kad), by_number);
    check(at != NULL, "a key of ours");
    return (uint32_t)(at - model.kad);
}

/* Who lives holds what is among its nearest. */
static void model_want(void)
{
    uint64_t places[SERVERS];
    uint32_t who[SERVERS], n = 0;
    struct allot a;
    memset(model.wanted, 0, sizeof(model.wanted));
    for (uint32_t i = 0; i < SERVERS; i++)
        if (!x.b.sinks.sink[i].resets)
            places[n++] = kad_first(x.b.sinks.sink[i].peer.kad);
    qsort(places, n, sizeof(places[0]), by_number);
    for (uint32_t j = 0; j < n; j++)
        for (uint32_t i = 0; i < SERVERS; i++)
            if (kad_first(x.b.sinks.sink[i].peer.kad) == places[j])
                who[j] = i;
    allot_init(&a, places, n);
    for (uint32_t k = 0; k < KEYS; k++) {
        allot_key(&a, model.kad[k]);
        for (uint32_t j = 0; j < a.set_count; j++)
            model.wanted[k][who[a.set[j]]] = true;
    }
}

static bool model_whole(uint32_t key)
{
    for (uint32_t i = 0; i < SERVERS; i++)
        if (model.wanted[key][i] && !model.held[key][i])
            return false;
    return true;
}

static void on_record(void *ctx UNUSED, const struct sink *s, uint64_t kad)
{
    uint32_t key = model_key(kad), i = (uint32_t)(s - x.b.sinks.sink);
    model.again += model.held[key][i];
    model.held[key][i] = true;
}

/* A step: some server has read something. */
static void on_records(void *ctx UNUSED)
{
    x.steps++;
    if (x.steps == x.spoil_at)
        x.b.sinks.sink[x.spoilt].resets = true;
    if (x.late && x.steps == x.spoil_at)
        keystore_write(x.b.ks, x.late);
    if (x.steps == x.kill_at && x.region) {
        x.b.sinks.epoch++; /* nothing more of what it has sent is read */
        region_cancel(x.region);
    }
}

static bool on_want(void *ctx UNUSED, struct kad_prefix region UNUSED,
                    struct kad_prefix *part UNUSED)
{
    bool first = !x.asked;
    x.asked = true;
    return first;
}
static bool on_resume(void *ctx UNUSED, struct kad_prefix part, struct schedule_progress *at)
{
    check(part.len == 0, "one region");
    *at = x.at;
    return x.at.last_size > 0;
}
static void on_part_done(void *ctx UNUSED, const struct region_part *part)
{
    x.parted = true;
    x.keys = part->keys + part->keys_before;
}
static void on_done(void *ctx UNUSED, const struct error *err)
{
    x.done = true;
    x.region = NULL;
    x.failure = err ? *err : (struct error){ ERR_OK, "" };
    pbed_wake(&x.b);
}

/* Runs one process until its region is done, or killed at step kill_at. */
static void run(uint32_t kill_at, bool pending_only)
{
    struct error err;
    uint64_t lookups = 0;
    x.dht = pbed_dht(&x.b);
    pbed_meet(&x.b, x.dht);
    struct region_options options = pbed_region(&x.b, x.dht, &x.record);
    options.pending_only = pending_only;
    options.chunk_keys = CHUNK;
    options.lookups = &lookups;
    options.events = (struct region_events){
        .want = on_want, .resume = on_resume, .part_done = on_part_done, .done = on_done
    };
    x.kill_at = kill_at;
    x.steps = 0;
    x.asked = x.done = x.parted = false;
    check(!region_start(&x.region, &options, &err), err.text);
    pbed_await(&x.b, "a region ends");
    check(x.done && x.parted == (x.failure.code == ERR_OK), "one end on every path");
    pbed_wait(&x.b, 2); /* streams that were reset are gone */
    dht_destroy(x.dht);
}

/* ---- what a process leaves behind ---- */

static uint8_t rows_bytes[8192];
static void on_rows(struct keystore_rows *req, const struct error *err)
{
    check(!err && req->end, "rows");
    pbed_wake(&x.b);
}

static void read_position(void)
{
    static struct keystore_rows rows;
    rows = (struct keystore_rows){ .kind = 'p',
                                   .out = writer_of(rows_bytes, sizeof(rows_bytes)),
                                   .cb = on_rows };
    x.at.last_size = 0;
    keystore_rows(x.b.ks, &rows);
    pbed_await(&x.b, "the position");
    struct reader r = reader_of(bytes_of(rows_bytes, writer_used(&rows.out)));
    while (reader_left(&r) > 0) {
        struct bytes key = reader_take(&r, reader_u8(&r));
        struct bytes value = reader_take(&r, reader_be16(&r));
        check(x.at.last_size == 0, "one position");
        check(schedule_progress_decode(key, value, UINT64_MAX, &x.at), "it can be read");
    }
}

static void on_read(struct keystore_read *req UNUSED, const struct error *err)
{
    check(!err, "read");
    pbed_wake(&x.b);
}

/* What is pending, or all of it, in one set. */
static void read_keys(enum keystore_kind kind, struct keyset *keys)
{
    static struct keystore_read read;
    read = (struct keystore_read){ .kind = kind, .keys = keys, .cb = on_read };
    keystore_read(x.b.ks, &read);
    pbed_await(&x.b, "keys");
}

static void check_left_behind(void)
{
    struct keyset keys;
    static bool pending[KEYS];
    memset(pending, 0, sizeof(pending));
    check(keyset_init(&keys, x.b.mem, KEYS + 1), "room");
    read_keys(KEYSTORE_PENDING, &keys);
    for (uint32_t i = 0; i < keys.count; i++)
        pending[model_key(keyset_kad(&keys, i))] = true;
    keyset_free(&keys);
    uint64_t last = x.at.last_size > 0 ? be64_decode(x.at.last) : 0;
    for (uint32_t k = 0; k < KEYS; k++) {
        check(pending[k] || model_whole(k), "what is not pending is with all its servers");
        check(last < model.kad[k] || model_whole(k), "what was passed is with all its servers");
    }
}

/* ---- each test begins with new keys ---- */

static void on_written(struct keystore_write *req UNUSED, const struct error *err)
{
    check(!err, "written");
    pbed_wake(&x.b);
}
static void write_keys(enum keystore_op op, struct keyset *keys)
{
    static struct keystore_write write;
    write = (struct keystore_write){ .op = op, .keys = keys, .cb = on_written };
    keystore_write(x.b.ks, &write);
    pbed_await(&x.b, "a write");
}

static void begin_anew(void)
{
    struct keyset keys;
    uint8_t key[SCHEDULE_KEY_BYTES];
    schedule_row_key('p', (struct kad_prefix){ 0, 0 }, key);
    const struct keystore_row row = { .key = bytes_of(key, sizeof(key)) };
    pbed_rows(&x.b, &row, 1);
    check(keyset_init(&keys, x.b.mem, KEYS + 1), "room");
    read_keys(KEYSTORE_KEYS, &keys);
    write_keys(KEYSTORE_REMOVE, &keys);
    keyset_free(&keys);
    pbed_keys(&x.b, 0, KEYS);
    check(keystore_pending(x.b.ks) == KEYS, "all are new");
    memset(model.held, 0, sizeof(model.held));
    model.again = 0;
    x.at.last_size = 0;
    x.spoil_at = 0;
    x.b.sinks.sink[x.spoilt].resets = false;
    x.b.sinks.epoch++;
}

static void bed_up(void)
{
    memset(&x, 0, sizeof(x));
    pbed_make(&x.b, SERVERS);
    pbed_record(&x.b, &x.record);
    x.b.sinks.on_records = on_records;
    x.b.sinks.on_record = on_record;
    model_make();
    model_want();
}

static void check_all_whole(const char *why)
{
    for (uint32_t k = 0; k < KEYS; k++)
        check(model_whole(k), why);
    check(keystore_pending(x.b.ks) == 0, "and nothing is pending");
}

/* Killed at every stride-th step of a run, then run to its end. */
static void kill_everywhere(uint32_t slow, bool pending_only, uint32_t runs)
{
    x.b.sinks.slow = slow;
    begin_anew();
    run(0, pending_only);
    check(!x.failure.code && x.keys == KEYS && model.again == 0, "a run that nobody disturbs");
    check_all_whole("all is where it belongs");
    uint32_t stride = MAX(x.steps / runs, 1U), steps = x.steps, resumed = 0;
    check(steps > runs / 2, "there are steps to kill at");
    for (uint32_t at = 1; at < steps; at += stride) {
        begin_anew();
        run(at, pending_only);
        if (!x.failure.code)
            continue; /* it was through */
        check(x.failure.code == ERR_CANCELED, "it was killed");
        read_position();
        check_left_behind();
        check(!pending_only || x.at.last_size == 0, "what is pending says where it was");
        resumed += pending_only ? keystore_pending(x.b.ks) < KEYS : x.at.last_size > 0;
        run(0, pending_only);
        check(!x.failure.code && (pending_only || x.keys == KEYS), "the rest");
        check_all_whole("all is where it belongs, after a kill");
        check(model.again <= RING_RECORDS, "and at most the ring was sent again");
    }
    check(resumed > runs / 4, "most of them went on in the middle");
}

TEST(killed_at_every_step_all_keys_arrive_and_a_ring_at_most_is_sent_again)
{
    bed_up();
    kill_everywhere(0, false, 60);
    pbed_end(&x.b);
}

TEST(the_same_with_servers_that_have_not_read_what_was_sent)
{
    bed_up();
    kill_everywhere(1, false, 60);
    pbed_end(&x.b);
}

TEST(new_keys_of_a_fresh_part_stay_pending_until_they_were_read)
{
    bed_up();
    kill_everywhere(1, true, 40);
    pbed_end(&x.b);
}

TEST(a_server_that_fails_before_the_kill_is_replaced_after_it)
{
    uint32_t steps;
    bed_up();
    x.b.sinks.slow = 1;
    begin_anew();
    run(0, false);
    steps = x.steps;
    for (uint32_t spoil = steps / 8; spoil < steps; spoil += steps / 4)
        for (uint32_t kill = spoil + 1; kill < steps; kill += steps / 6) {
            begin_anew();
            x.spoilt = kill % SERVERS;
            x.spoil_at = spoil;
            run(kill, false);
            model_want();
            x.spoil_at = 0;
            read_position();
            run(0, false);
            check(!x.failure.code, "it goes on without the server");
            x.at.last_size = 0;
            run(0, true); /* what the second process could not say of the first one's */
            check_all_whole("all is with those that live");
            x.b.sinks.sink[x.spoilt].resets = false;
            model_want();
        }
    pbed_end(&x.b);
}

TEST(a_kill_in_a_repetition_leaves_each_key_counted_once)
{
    uint32_t steps, resumed = 0;
    bed_up();
    x.b.sinks.slow = 1;
    begin_anew();
    run(0, false);
    steps = x.steps;
    for (uint32_t kill = steps * 3 / 4; kill < 2 * steps; kill += steps / 48 + 1) {
        begin_anew();
        x.spoilt = 0;
        x.spoil_at = steps / 8;
        run(kill, false);
        if (!x.failure.code)
            break; /* it was through */
        x.spoil_at = 0;
        read_position();
        resumed += x.at.last_size > 0;
        run(0, false);
        check(!x.failure.code && x.keys == KEYS, "each key once");
    }
    check(resumed > 0, "some went on in the middle");
    pbed_end(&x.b);
}

static void on_late(struct keystore_write *req UNUSED, const struct error *err)
{
    check(!err, "written");
}

TEST(keys_that_come_behind_a_pass_stay_pending_when_it_is_repeated)
{
    uint32_t steps;
    bed_up();
    x.b.sinks.slow = 1;
    begin_anew();
    run(0, false);
    steps = x.steps;
    begin_anew();
    /* Half of the keys are there; the others come when the pass is in its middle and a server has
     * just failed. */
    struct keyset half;
    uint8_t hash[34];
    check(keyset_init(&half, x.b.mem, KEYS), "room");
    for (uint32_t i = KEYS / 2; i < KEYS; i++)
        check(keyset_add(&half, lab_key(i, hash)), "room");
    write_keys(KEYSTORE_REMOVE, &half);
    static struct keystore_write late;
    late = (struct keystore_write){ .op = KEYSTORE_ADD, .keys = &half, .cb = on_late };
    x.spoil_at = steps / 4;
    x.late = &late;
    run(0, false);
    check(!x.failure.code, "it ends");
    model_want();
    check(late.changed == KEYS - KEYS / 2, "they came");
    check_left_behind();
    keyset_free(&half);
    pbed_end(&x.b);
}
