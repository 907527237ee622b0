#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/loop.h"
#include "store/backup.h"
#include "store/restore.h"
#include "store/statestore.h"

enum { KEYS = 20000, VALUE_BYTES = 200 };

static const struct store_row two_rows[2] = {
    { .name = "state",
      .version = 1,
      .memory_floor_bytes = 2 * MiB,
      .block_bytes = 4 * KiB,
      .table_bytes = 1 * MiB,
      .sync = STORE_SYNC_EACH,
      .enabled = true },
    { .name = "second",
      .version = 1,
      .memory_floor_bytes = 2 * MiB,
      .block_bytes = 4 * KiB,
      .table_bytes = 1 * MiB,
      .sync = STORE_SYNC_ASKED,
      .enabled = true },
};

/* A node's stores, a job that goes on writing, and a backup. */
struct fixture {
    struct loop *loop;
    struct work_pool *pool;
    struct mem_plan *plan;
    struct mem_owner *mem;
    struct stores *stores;
    char data[400], copy[400], backup[400];
    struct store_job jobs[2];
    uint64_t written; /* number that both stores hold last */
    bool called, writing, stop_writing;
    struct error err;
    struct backup *b;
    uint64_t slices, peak_bytes;
};

static struct fixture f;

static void on_called(void *ctx UNUSED, const struct error *err)
{
    f.called = true;
    error_clear(&f.err);
    if (err)
        f.err = *err;
    loop_stop(f.loop);
}

static enum err await(void)
{
    while (!f.called)
        loop_run(f.loop);
    f.called = false;
    return f.err.code;
}

static struct bytes text(const char *s)
{
    return bytes_of(s, strlen(s));
}

static enum err fill_run(struct store_job *job, struct ldb *db UNUSED, struct error *err)
{
    struct ldb_batch *b = ldb_batch_create(8 * MiB);
    enum err rc = ERR_OK;
    for (uint64_t i = 0; !rc && i < KEYS; i++) {
        uint8_t key[9] = "k", value[VALUE_BYTES] = "";
        be64_encode(key + 1, i * UINT64_C(0x9e3779b97f4a7c15));
        be64_encode(value, i);
        rc = ldb_batch_put(b, bytes_of(key, 9), bytes_of(value, i % VALUE_BYTES), err);
    }
    rc = rc ? rc : store_commit(job, b, true, err);
    ldb_batch_destroy(b);
    return rc;
}

static void on_job(struct store_job *job UNUSED, const struct error *err)
{
    on_called(NULL, err);
}

static void setup(const char *name)
{
    static const struct mem_row mem = { "stores", "", MEM_FIXED, 16 * MiB, 50, 50, true };
    const struct work_options work = { 2, 1, mem_arena_stores_enter };
    memset(&f, 0, sizeof(f));
    snprintf(f.data, sizeof(f.data), "%s/%s-data", unit_temp_dir(), name);
    snprintf(f.copy, sizeof(f.copy), "%s/%s-copy", unit_temp_dir(), name);
    snprintf(f.backup, sizeof(f.backup), "%s/%s-backup", unit_temp_dir(), name);
    check(!mkdir(f.data, 0700) && !mkdir(f.copy, 0700), f.data);
    check(!mem_plan_create(&f.plan, 256 * MiB, &mem, 1, &f.err), f.err.text);
    f.mem = mem_plan_find(f.plan, "stores");
    check(!loop_create(&f.loop, &f.err), f.err.text);
    check(!work_pool_create(&f.pool, f.loop, &work, &f.err), f.err.text);
    const struct stores_options o = { .data_dir = f.data,
                                      .loop = f.loop,
                                      .work = f.pool,
                                      .mem = f.mem,
                                      .memory_bytes = 4 * MiB,
                                      .rows = two_rows,
                                      .count = 2 };
    check(!stores_create(&f.stores, &o, &f.err), f.err.text);
    stores_open(f.stores, on_called, NULL);
    check(await() == ERR_OK, f.err.text);
    for (int i = 0; i < 2; i++) {
        store_write(stores_find(f.stores, two_rows[i].name), &f.jobs[i], fill_run, on_job);
        check(await() == ERR_OK, f.err.text);
    }
}

static void teardown(void)
{
    stores_close(f.stores, on_called, NULL);
    check(await() == ERR_OK, f.err.text);
    stores_destroy(f.stores);
    check(f.mem->used_bytes == 0, "all is given back");
    work_pool_destroy(f.pool);
    loop_destroy(f.loop);
    mem_plan_destroy(f.plan);
}

/* The load: a number goes into the first store, then into the second, then the next number. So at
 * every moment the second is equal or one behind, and a view of both must be so too. */
static enum err load_run(struct store_job *job, struct ldb *db UNUSED, struct error *err)
{
    uint8_t value[8];
    be64_encode(value, f.written);
    struct ldb_batch *b = ldb_batch_create(1024);
    enum err rc = ldb_batch_put(b, text("number"), bytes_of(value, 8), err);
    rc = rc ? rc : store_commit(job, b, false, err);
    ldb_batch_destroy(b);
    return rc;
}

static void load_second_done(struct store_job *job, const struct error *err);

static void load_first_done(struct store_job *job UNUSED, const struct error *err)
{
    check(!err, "the load goes on");
    store_write(stores_find(f.stores, "second"), &f.jobs[1], load_run, load_second_done);
}

static void load_next(void)
{
    f.written++;
    store_write(stores_find(f.stores, "state"), &f.jobs[0], load_run, load_first_done);
}

static void load_second_done(struct store_job *job UNUSED, const struct error *err)
{
    check(!err, "the load goes on");
    f.writing = !f.stop_writing;
    if (f.writing)
        load_next();
    else
        on_called(NULL, NULL);
}

static void on_progress(void *ctx UNUSED, const struct backup_progress *now)
{
    f.slices++;
    check(now->bytes > 0, now->store);
    f.peak_bytes = MAX(f.peak_bytes, f.mem->used_bytes);
}

static void back_up(void)
{
    const struct backup_options o = { .stores = f.stores,
                                      .loop = f.loop,
                                      .work = f.pool,
                                      .mem = f.mem,
                                      .dir = f.backup,
                                      .progress = on_progress,
                                      .done = on_called };
    check(!backup_start(&f.b, &o, &f.err), f.err.text);
}

static void on_restored(void *ctx UNUSED, const char *store UNUSED, uint64_t records,
                        uint64_t bytes)
{
    check(records >= KEYS && bytes > records, "counted");
}

static enum err restore(const struct store_row *rows)
{
    const struct restore_options o = { .backup_dir = f.backup,
                                       .data_dir = f.copy,
                                       .rows = rows,
                                       .count = 2,
                                       .mem = f.mem,
                                       .wall_ns = 12345,
                                       .progress = on_restored };
    error_clear(&f.err);
    return restore_run(&o, &f.err);
}

static uint64_t number_of(struct ldb *db)
{
    uint8_t value[8];
    check(!ldb_get_fixed(db, text("number"), value, 8, NULL), "the number is there");
    return be64_decode(value);
}

static struct ldb *open_copy(int i)
{
    struct ldb *db = NULL;
    check(!store_open_row(&db, f.copy, &two_rows[i], 2 * MiB, &f.err), f.err.text);
    return db;
}

static void stop_soon(struct deferred *d UNUSED)
{
    loop_stop(f.loop);
}

static void loop_turn(void)
{
    static struct deferred d;
    loop_defer(f.loop, &d, stop_soon);
    loop_run(f.loop);
}

TEST(a_backup_under_load_restored_elsewhere_is_equal)
{
    setup("load");
    f.writing = true;
    load_next();
    while (f.written < 4)
        loop_turn();
    uint64_t before = f.written;
    back_up();
    check(await() == ERR_OK && f.written > before, "writes went on meanwhile");
    backup_destroy(f.b);
    f.stop_writing = true;
    check(await() == ERR_OK && f.written > 10, "and not just one or two");
    check(f.slices >= 4, "in slices");
    check(f.peak_bytes < 5 * MiB, "stores 4 MiB, and one buffer");
    check(restore(two_rows) == ERR_OK, f.err.text);
    struct ldb *first = open_copy(0), *second = open_copy(1);
    uint64_t a = number_of(first), b = number_of(second);
    check(a == b || a == b + 1, "the views are of one moment");
    check(a <= f.written, "a moment that was");
    struct ldb *both[2] = { first, second };
    for (int s = 0; s < 2; s++)
        for (uint64_t i = 0; i < KEYS; i++) {
            uint8_t key[9] = "k", value[VALUE_BYTES], want[VALUE_BYTES] = "";
            be64_encode(key + 1, i * UINT64_C(0x9e3779b97f4a7c15));
            be64_encode(want, i);
            check(!ldb_get_fixed(both[s], bytes_of(key, 9), value, i % VALUE_BYTES, &f.err),
                  f.err.text);
            check(!memcmp(value, want, i % VALUE_BYTES), "the same value");
        }
    uint8_t when[8];
    check(!ldb_get_fixed(first, text("nrestored"), when, 8, NULL) && be64_decode(when) == 12345,
          "the copy knows that it is one");
    ldb_close(first);
    ldb_close(second);
    check(restore(two_rows) == ERR_REFUSED, "not over stores that are there");
    teardown();
}

static void damage(const char *name, long at)
{
    char path[600];
    uint8_t byte = 0;
    snprintf(path, sizeof(path), "%s/%s", f.backup, name);
    int fd = open(path, O_RDWR);
    check(fd >= 0 && pread(fd, &byte, 1, at) == 1, path);
    byte ^= 1;
    check(pwrite(fd, &byte, 1, at) == 1, path);
    close(fd);
}

static const struct {
    const char *why, *file;
    long at;
    enum err want;
} damages[] = {
    { "a value", "second.records", 100000, ERR_CORRUPT },
    { "the size of a key", "second.records", 18, ERR_CORRUPT },
    { "the first line of a file", "state.records", 3, ERR_FOREIGN },
    { "the digest in the manifest", "manifest", 45, ERR_CORRUPT },
    { "the first line of the manifest", "manifest", 3, ERR_FOREIGN },
};

TEST(a_damaged_backup_leaves_nothing_behind)
{
    setup("damage");
    back_up();
    check(await() == ERR_OK, f.err.text);
    backup_destroy(f.b);
    for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
        char path[600];
        damage(damages[i].file, damages[i].at);
        check(restore(two_rows) == damages[i].want, f.err.text);
        for (int s = 0; s < 2; s++) {
            snprintf(path, sizeof(path), "%s/%s", f.copy, two_rows[s].name);
            check(access(path, F_OK) != 0, damages[i].why);
        }
        damage(damages[i].file, damages[i].at); /* undone */
    }
    struct store_row other[2] = { two_rows[0], two_rows[0] };
    check(restore(other) == ERR_FOREIGN && strstr(f.err.text, "'second'"), f.err.text);
    struct store_row newer[2] = { two_rows[0], two_rows[1] };
    newer[1].version = 2;
    check(restore(newer) == ERR_FOREIGN && strstr(f.err.text, "older"), f.err.text);
    check(restore(two_rows) == ERR_OK, f.err.text);
    teardown();
}

TEST(a_backup_can_be_refused_and_canceled)
{
    setup("cancel");
    back_up();
    struct backup *second = NULL;
    const struct backup_options o = { .stores = f.stores,
                                      .loop = f.loop,
                                      .work = f.pool,
                                      .mem = f.mem,
                                      .dir = f.backup,
                                      .progress = on_progress,
                                      .done = on_called };
    check(backup_start(&second, &o, &f.err) == ERR_LIMIT, "one at a time");
    backup_cancel(f.b);
    check(await() == ERR_CANCELED, f.err.text);
    backup_destroy(f.b);
    check(restore(two_rows) == ERR_FOREIGN && strstr(f.err.text, "no manifest"), f.err.text);
    back_up();
    check(await() == ERR_OK, f.err.text);
    backup_destroy(f.b);
    back_up();
    check(await() == ERR_REFUSED && strstr(f.err.text, "not empty"), f.err.text);
    backup_destroy(f.b);
    mem_fault_at(1);
    check(backup_start(&second, &o, &f.err) == ERR_BUDGET, f.err.text);
    mem_fault_at(0);
    teardown();
}

static enum err big_run(struct store_job *job, struct ldb *db UNUSED, struct error *err)
{
    static uint8_t big[LIMIT_BACKUP_RECORD_BYTES + 1];
    struct ldb_batch *b = ldb_batch_create(8 * MiB);
    bool key = job == &f.jobs[1];
    enum err rc = key ? ldb_batch_put(b, bytes_of(big, LIMIT_BACKUP_KEY_BYTES + 1), text("x"), err)
                      : ldb_batch_put(b, text("big"), bytes_of(big, sizeof(big)), err);
    rc = rc ? rc : store_commit(job, b, true, err);
    ldb_batch_destroy(b);
    return rc;
}

TEST(what_would_not_come_back_is_refused)
{
    static const char *const names[2] = { "value", "key" };
    for (int i = 0; i < 2; i++) {
        setup(names[i]);
        store_write(stores_find(f.stores, "state"), &f.jobs[i], big_run, on_job);
        check(await() == ERR_OK, f.err.text);
        back_up();
        check(await() == ERR_TOO_LARGE, f.err.text);
        backup_destroy(f.b);
        teardown();
    }
}
