#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/loop.h"
#include "store/statestore.h"
#include "store/stores.h"

static const struct store_row state_row = {
    .name = "state",
    .version = 1,
    .memory_floor_bytes = 2 * MiB,
    .block_bytes = 4 * KiB,
    .table_bytes = 1 * MiB,
    .filter_bits = 10,
    .sync = STORE_SYNC_EACH,
    .enabled = true,
};

struct fixture {
    struct loop *loop;
    struct work_pool *pool;
    struct mem_plan *plan;
    struct mem_owner *mem;
    struct stores *stores;
    struct store_row rows[3];
    struct stores_options options;
    struct error err; /* of the last callback */
    bool called;
    char dir[512];
};

static void setup(struct fixture *f, const char *name)
{
    static const struct mem_row mem = { "stores", "", MEM_FIXED, 2 * MiB, 16, 16, true };
    const struct work_options work = { 2, 1, mem_arena_stores_enter };
    struct error err = { ERR_OK, "" };
    memset(f, 0, sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "%s/%s", unit_temp_dir(), name);
    check(!mkdir(f->dir, 0700), f->dir);
    check(!mem_plan_create(&f->plan, 256 * MiB, &mem, 1, &err), err.text);
    f->mem = mem_plan_find(f->plan, "stores");
    check(!loop_create(&f->loop, &err), err.text);
    check(!work_pool_create(&f->pool, f->loop, &work, &err), err.text);
    f->rows[0] = state_row;
    f->options = (struct stores_options){
        .data_dir = f->dir,
        .loop = f->loop,
        .work = f->pool,
        .mem = f->mem,
        .memory_bytes = 32 * MiB,
        .rows = f->rows,
        .count = 1,
    };
}

static void on_stores(void *ctx, const struct error *err)
{
    struct fixture *f = ctx;
    f->called = true;
    if (err)
        f->err = *err;
    loop_stop(f->loop);
}

static void await(struct fixture *f)
{
    for (int turns = 0; !f->called && turns < 100000; turns++)
        loop_run(f->loop);
    check(f->called, "the callback came");
    f->called = false;
}

static enum err start(struct fixture *f)
{
    struct error err = { ERR_OK, "" };
    error_clear(&f->err);
    check(!stores_create(&f->stores, &f->options, &err), err.text);
    stores_open(f->stores, on_stores, f);
    await(f);
    if (f->err.code) {
        stores_destroy(f->stores);
        f->stores = NULL;
    }
    return f->err.code;
}

static void stop(struct fixture *f)
{
    stores_close(f->stores, on_stores, f);
    await(f);
    stores_destroy(f->stores);
    f->stores = NULL;
}

static void teardown(struct fixture *f)
{
    check(f->mem->used_bytes == 0, "all is given back");
    work_pool_destroy(f->pool);
    loop_destroy(f->loop);
    mem_plan_destroy(f->plan);
}

/* A job that puts or gets one key. */
struct job {
    struct store_job job;
    struct fixture *f;
    const char *key, *value;
    uint32_t repeat;
    enum err rc;
    char text[256];
};

static struct bytes text(const char *s)
{
    return bytes_of(s, strlen(s));
}

static enum err run_put(struct store_job *j, struct ldb *db UNUSED, struct error *err)
{
    struct job *job = container_of(j, struct job, job);
    static const char filler[32 * 1024];
    struct ldb_batch *b = ldb_batch_create(64 * KiB);
    enum err rc = ERR_OK;
    for (uint32_t i = 0; !rc && i < job->repeat; i++) {
        ldb_batch_clear(b);
        rc = ldb_batch_put(b, text("filler"), bytes_of(filler, sizeof(filler)), err);
        if (!rc)
            rc = store_commit(j, b, false, err);
    }
    ldb_batch_clear(b);
    if (!rc)
        rc = ldb_batch_put(b, text(job->key), text(job->value), err);
    if (!rc)
        rc = store_commit(j, b, false, err);
    ldb_batch_destroy(b);
    return rc;
}

static enum err run_get(struct store_job *j, struct ldb *db, struct error *err)
{
    struct job *job = container_of(j, struct job, job);
    struct writer w = writer_of(job->text, sizeof(job->text) - 1);
    enum err rc = ldb_get(db, NULL, text(job->key), &w, err);
    if (!rc)
        *w.at = '\0';
    return rc;
}

static void on_job(struct store_job *j, const struct error *err)
{
    struct job *job = container_of(j, struct job, job);
    job->rc = err ? err->code : ERR_OK;
    on_stores(job->f, err);
}

static enum err put(struct fixture *f, const char *key, const char *value, uint32_t repeat)
{
    struct job job = { .f = f, .key = key, .value = value, .repeat = repeat };
    store_write(stores_find(f->stores, "state"), &job.job, run_put, on_job);
    await(f);
    return job.rc;
}

static enum err get(struct fixture *f, const char *key, const char *want)
{
    struct job job = { .f = f, .key = key };
    store_read(stores_find(f->stores, "state"), &job.job, run_get, on_job);
    await(f);
    if (!job.rc)
        check(!strcmp(job.text, want), job.text);
    return job.rc;
}

static enum err to_two(struct ldb *db, uint32_t from, struct error *err)
{
    check(from >= 1 && from <= 2, "one version at a time");
    struct ldb_batch *b = ldb_batch_create(1024);
    enum err rc = ldb_batch_put(b, text(from == 1 ? "second" : "third"), text("made"), err);
    if (!rc)
        rc = ldb_write(db, b, false, err);
    ldb_batch_destroy(b);
    return rc;
}

TEST(a_format_is_kept_refused_or_migrated)
{
    struct fixture f;
    setup(&f, "format");
    check(start(&f) == ERR_OK, f.err.text);
    check(put(&f, "key", "value", 0) == ERR_OK, f.err.text);
    stop(&f);
    f.rows[0].version = 3;
    check(start(&f) == ERR_FOREIGN && strstr(f.err.text, "older"), f.err.text);
    f.rows[0].migrate = to_two;
    check(start(&f) == ERR_OK, f.err.text);
    check(!get(&f, "key", "value") && !get(&f, "second", "made") && !get(&f, "third", "made"),
          "each step ran");
    stop(&f);
    check(start(&f) == ERR_OK, "a second start migrates nothing");
    stop(&f);
    f.rows[0].version = 2;
    check(start(&f) == ERR_FOREIGN && strstr(f.err.text, "version 3"), f.err.text);
    check(err_exit_code(f.err.code) == 4, "exit code of a foreign store");
    teardown(&f);
}

static void plain_store(struct fixture *f, const char *folder)
{
    char path[600];
    struct ldb *db = NULL;
    const struct ldb_options o = { .name = "x",
                                   .write_buffer_bytes = 1 * MiB,
                                   .open_tables = 64,
                                   .table_bytes = 1 * MiB,
                                   .block_bytes = 4096 };
    snprintf(path, sizeof(path), "%s/%s", f->dir, folder);
    check(!ldb_open(&db, path, &o, NULL), "open");
    struct ldb_batch *b = ldb_batch_create(1024);
    check(!ldb_batch_put(b, text("key"), text("value"), NULL), "put");
    check(!ldb_write(db, b, true, NULL), "write");
    ldb_batch_destroy(b);
    ldb_close(db);
}

TEST(what_another_program_wrote_is_left_alone)
{
    struct fixture f;
    setup(&f, "foreign");
    plain_store(&f, "state");
    check(start(&f) == ERR_FOREIGN && strstr(f.err.text, "not written by larder"), f.err.text);
    f.rows[0].name = "other";
    check(start(&f) == ERR_OK, f.err.text);
    stop(&f);
    char from[600], to[600];
    snprintf(from, sizeof(from), "%s/other", f.dir);
    snprintf(to, sizeof(to), "%s/third", f.dir);
    check(!rename(from, to), "an operator mixes up the folders");
    f.rows[0].name = "third";
    check(start(&f) == ERR_FOREIGN && strstr(f.err.text, "another store"), f.err.text);
    teardown(&f);
}

TEST(damage_names_the_command_that_repairs)
{
    struct fixture f;
    setup(&f, "damage");
    check(start(&f) == ERR_OK && !put(&f, "key", "value", 0), f.err.text);
    stop(&f);
    char path[600];
    glob_t g;
    snprintf(path, sizeof(path), "%s/state/MANIFEST-*", f.dir);
    check(!glob(path, 0, NULL, &g), path);
    check(!truncate(g.gl_pathv[0], 7), "a damaged manifest");
    globfree(&g);
    check(start(&f) == ERR_CORRUPT && strstr(f.err.text, "'larder repair state'"), f.err.text);
    check(err_exit_code(f.err.code) == 4, "exit code");
    struct error err = { ERR_OK, "" };
    check(!store_repair_row(f.dir, &f.rows[0], &err), err.text);
    check(start(&f) == ERR_OK && !get(&f, "key", "value"), f.err.text);
    stop(&f);
    teardown(&f);
}

TEST(memory_is_divided_and_charged)
{
    struct fixture f;
    setup(&f, "memory");
    f.rows[1] = f.rows[2] = f.rows[0];
    f.rows[0].enabled = false;
    f.rows[0].memory_weight = 1000;
    f.rows[1].name = "one";
    f.rows[1].memory_weight = 1;
    f.rows[2].name = "two";
    f.rows[2].memory_weight = 3;
    f.options.count = 3;
    f.options.memory_bytes = 20 * MiB;
    check(start(&f) == ERR_OK, f.err.text);
    struct store_status st;
    check(store_status(f.stores, 0, &st) && st.memory_bytes == 6 * MiB, "2 + 16 / 4");
    check(store_status(f.stores, 1, &st) && st.memory_bytes == 14 * MiB, "2 + 16 * 3 / 4");
    check(!store_status(f.stores, 2, &st), "a row that is off has no store");
    check(f.mem->used_bytes >= 20 * MiB && f.mem->used_bytes < 21 * MiB, "charged");
    stop(&f);
    f.options.memory_bytes = 64 * MiB;
    struct error err;
    check(stores_create(&f.stores, &f.options, &err) == ERR_BUDGET, err.text);
    teardown(&f);
}

TEST(a_failed_write_ends_writes_until_the_disk_is_well)
{
    struct fixture f;
    setup(&f, "fail");
    f.options.min_free_bytes = 1;
    check(start(&f) == ERR_OK && !put(&f, "key", "value", 0), f.err.text);
    struct rlimit old, limit;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = 100 * KiB;
    setrlimit(RLIMIT_FSIZE, &limit);
    check(put(&f, "key", "lost", 20) == ERR_IO, f.err.text);
    check(!stores_ready(f.stores, &f.err) && strstr(f.err.text, "read-only"), f.err.text);
    check(put(&f, "other", "x", 0) == ERR_IO && strstr(f.err.text, "takes no writes"), f.err.text);
    check(stores_free_bytes(f.stores) > 0, "a write that was refused says nothing of the disk");
    check(get(&f, "key", "value") == ERR_OK, "reads go on");
    struct store_status st;
    for (int i = 0; i < 30; i++) { /* a probe or two fail */
        usleep(50000);
        check(get(&f, "key", "value") == ERR_OK, "reads go on");
    }
    check(store_status(f.stores, 0, &st) && st.state == STORE_READ_ONLY, "still");
    setrlimit(RLIMIT_FSIZE, &old);
    for (int i = 0; i < 100 && !stores_ready(f.stores, &f.err); i++) {
        usleep(50000);
        check(get(&f, "key", "value") == ERR_OK, "reads never fail");
    }
    check(store_status(f.stores, 0, &st) && st.reopened == 1, "opened again, by itself");
    check(put(&f, "other", "x", 0) == ERR_OK, f.err.text);
    check(get(&f, "other", "x") == ERR_OK && get(&f, "key", "value") == ERR_OK, "all there");
    stop(&f);
    teardown(&f);
}

TEST(writes_are_refused_before_the_disk_is_full)
{
    struct fixture f;
    setup(&f, "full");
    check(start(&f) == ERR_OK && !put(&f, "key", "value", 0), f.err.text);
    check(stores_ready(f.stores, &f.err) && stores_free_bytes(f.stores) > 0, f.err.text);
    stop(&f);
    f.options.min_free_bytes = UINT64_MAX / 2;
    check(start(&f) == ERR_OK, "a full disk does not keep the node from starting");
    check(put(&f, "key", "new", 0) == ERR_DISK_FULL, "refused");
    check(strstr(f.err.text, "min-free-disk") != NULL, f.err.text);
    check(!stores_ready(f.stores, &f.err) && f.err.code == ERR_DISK_FULL, f.err.text);
    struct store_status st;
    check(store_status(f.stores, 0, &st) && st.state == STORE_OPEN, "LevelDB has not failed");
    check(get(&f, "key", "value") == ERR_OK, "reads go on");
    stop(&f);
    teardown(&f);
}

static bool frozen;

static void on_frozen(void *ctx)
{
    frozen = true;
    on_stores(ctx, NULL);
}

static void freeze(struct fixture *f)
{
    frozen = false;
    stores_freeze(f->stores, on_frozen, f);
}

static void await_frozen(struct fixture *f)
{
    while (!frozen)
        await(f);
    f->called = false;
}

TEST(frozen_stores_read_and_write_later)
{
    struct fixture f;
    setup(&f, "freeze");
    check(start(&f) == ERR_OK && !put(&f, "key", "old", 0), f.err.text);
    struct store *store = stores_find(f.stores, "state");
    struct job first = { .f = &f, .key = "key", .value = "first", .rc = ERR_COUNT };
    struct job second = { .f = &f, .key = "key", .value = "second", .rc = ERR_COUNT };
    struct job third = { .f = &f, .key = "key", .value = "third", .rc = ERR_COUNT };
    store_write(store, &first.job, run_put, on_job);
    freeze(&f);
    store_write(store, &second.job, run_put, on_job);
    store_write(store, &third.job, run_put, on_job);
    await_frozen(&f);
    check(first.rc == ERR_OK && second.rc == ERR_COUNT, "one was under way, one waits");
    store_job_cancel(&third.job);
    await(&f);
    check(third.rc == ERR_CANCELED, "what waits can be canceled");
    stores_thaw(f.stores);
    await(&f);
    check(second.rc == ERR_OK && !get(&f, "key", "second"), "after the thaw");
    stop(&f);
    teardown(&f);
}

struct fact {
    struct state_put put;
    struct state_get get;
    struct fixture *f;
    char value[64];
    enum err rc;
};

static void on_put(struct state_put *req, const struct error *err)
{
    struct fact *fact = container_of(req, struct fact, put);
    fact->rc = err ? err->code : ERR_OK;
    on_stores(fact->f, err);
}

static void on_get(struct state_get *req, const struct error *err)
{
    struct fact *fact = container_of(req, struct fact, get);
    fact->rc = err ? err->code : ERR_OK;
    on_stores(fact->f, err);
}

static enum err fact_get(struct statestore *ss, struct fact *fact, const char *want)
{
    fact->get = (struct state_get){
        .key = fact->put.key,
        .value = writer_of(fact->value, sizeof(fact->value)),
        .cb = on_get,
    };
    state_get(ss, &fact->get);
    await(fact->f);
    if (!fact->rc)
        check(writer_used(&fact->get.value) == strlen(want) &&
                  !memcmp(fact->value, want, strlen(want)),
              want);
    return fact->rc;
}

TEST(facts_outlive_a_restart)
{
    enum { FACTS = 200 };
    static struct fact facts[FACTS];
    static char names[FACTS][24];
    struct fixture f;
    struct statestore *ss;
    setup(&f, "facts");
    check(start(&f) == ERR_OK, f.err.text);
    check(!statestore_create(&ss, stores_find(f.stores, "state"), f.mem, &f.err), f.err.text);
    uint64_t syncs_before, syncs_after;
    struct store_status st;
    check(store_status(f.stores, 0, &st), "status");
    syncs_before = st.stats.files[LDB_FILE_LOG].syncs;
    for (int i = 0; i < FACTS; i++) {
        snprintf(names[i], sizeof(names[i]), "fact %d", i);
        facts[i].f = &f;
        facts[i].rc = ERR_COUNT;
        facts[i].put = (struct state_put){ .key = { STATE_NODE, text(names[i]) },
                                           .value = text(names[i]),
                                           .cb = on_put };
        state_put(ss, &facts[i].put);
    }
    while (facts[FACTS - 1].rc == ERR_COUNT)
        await(&f);
    for (int i = 0; i < FACTS; i++)
        check(facts[i].rc == ERR_OK, names[i]);
    check(store_status(f.stores, 0, &st), "status");
    syncs_after = st.stats.files[LDB_FILE_LOG].syncs;
    check(syncs_after - syncs_before <= 5, "groups of 56, the first alone");
    facts[7].put.value = bytes_of(NULL, 0);
    state_put(ss, &facts[7].put);
    await(&f);
    statestore_destroy(ss);
    stop(&f);
    check(start(&f) == ERR_OK, f.err.text);
    check(!statestore_create(&ss, stores_find(f.stores, "state"), f.mem, &f.err), f.err.text);
    check(!fact_get(ss, &facts[0], "fact 0") && !fact_get(ss, &facts[199], "fact 199"), "there");
    check(fact_get(ss, &facts[7], "") == ERR_NOT_FOUND, "deleted");
    freeze(&f);
    await_frozen(&f);
    facts[1].get = (struct state_get){ .key = facts[1].put.key, .cb = on_get };
    state_get(ss, &facts[1].get);
    state_get_cancel(&facts[1].get);
    await(&f);
    check(facts[1].rc == ERR_CANCELED || facts[1].rc == ERR_TOO_LARGE, "called once either way");
    stores_thaw(f.stores);
    statestore_destroy(ss);
    stop(&f);
    teardown(&f);
}

/* Each release's data directory is kept; this program must open every one. */
TEST(the_data_directory_of_release_0_1_opens)
{
    struct fixture f;
    struct statestore *ss;
    char command[2048];
    setup(&f, "release");
    snprintf(command, sizeof(command), "cp -r '%s/datadir-0.1/state' '%s/'", unit_data_dir(),
             f.dir);
    check(!system(command), command);
    f.rows[0].compress = true;
    check(start(&f) == ERR_OK, f.err.text);
    check(!statestore_create(&ss, stores_find(f.stores, "state"), f.mem, &f.err), f.err.text);
    for (int i = 0; i < 200; i++) {
        char name[24], want[48];
        snprintf(name, sizeof(name), "fixture %d", i);
        snprintf(want, sizeof(want), "fact %d of larder 0.1", i);
        struct fact fact = { .put.key = { STATE_NODE, text(name) }, .f = &f };
        check(fact_get(ss, &fact, want) == ERR_OK, name);
    }
    statestore_destroy(ss);
    stop(&f);
    teardown(&f);
}
