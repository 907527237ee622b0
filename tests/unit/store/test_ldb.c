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
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/ldb.h"
#include "store/ldb_log.h"
#include "store/ldb_table.h"

static const struct ldb_options small = {
    .name = "test",
    .cache_bytes = 64 * KiB,
    .write_buffer_bytes = 64 * KiB,
    .table_bytes = 1 * MiB,
    .block_bytes = 4 * KiB,
    .open_tables = 64,
    .filter_bits = 10,
};

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", unit_temp_dir(), name);
    return path;
}

/* LevelDB's threads allocate from an arena that comes with the first plan. */
static void plan_once(void)
{
    static const struct mem_row row = { "stores", "", MEM_FIXED, 16 * MiB, 16, 16, true };
    static struct mem_plan *plan;
    if (!plan)
        check(!mem_plan_create(&plan, 256 * MiB, &row, 1, NULL), "plan");
}

static struct ldb *open_store(const char *name, const struct ldb_options *options)
{
    struct ldb *db = NULL;
    struct error err = { ERR_OK, "" };
    plan_once();
    check(!ldb_open(&db, path_of(name), options, &err), err.text);
    return db;
}

static struct bytes text(const char *s)
{
    return bytes_of(s, strlen(s));
}

static void put(struct ldb *db, const char *key, const char *value)
{
    struct ldb_batch *b = ldb_batch_create(64 * KiB);
    struct error err = { ERR_OK, "" };
    check(!ldb_batch_put(b, text(key), text(value), &err), err.text);
    check(!ldb_write(db, b, true, &err), err.text);
    ldb_batch_destroy(b);
}

static enum err get(struct ldb *db, const struct ldb_view *view, const char *key, const char *want)
{
    char buf[64];
    struct writer w = writer_of(buf, sizeof(buf));
    enum err rc = ldb_get(db, view, text(key), &w, NULL);
    if (!rc && want)
        check(writer_used(&w) == strlen(want) && !memcmp(buf, want, strlen(want)), key);
    return rc;
}

/* Keys of 32 bytes: a kind, a number, padding that does not compress. */
static struct bytes nth_key(char kind, uint32_t i, uint8_t *buf)
{
    uint64_t x = i * UINT64_C(0x9e3779b97f4a7c15) + 1;
    buf[0] = (uint8_t)kind;
    be32_encode(buf + 1, i);
    for (int j = 5; j < 32; j++, x = x * UINT64_C(6364136223846793005) + 1442695040888963407u)
        buf[j] = (uint8_t)(x >> 56);
    return bytes_of(buf, 32);
}

static void fill(struct ldb *db, char kind, uint32_t from, uint32_t to)
{
    struct ldb_batch *b = ldb_batch_create(256 * KiB);
    uint8_t key[32], value[64] = { 1, 2, 3 };
    for (uint32_t i = from; i < to; i++) {
        memcpy(value + 8, nth_key('v', i, key).data, 32);
        check(!ldb_batch_put(b, nth_key(kind, i, key), bytes_of(value, 64), NULL), "put");
        if (i % 500 == 499 || i + 1 == to) {
            struct error err = { ERR_OK, "" };
            check(!ldb_write(db, b, false, &err), err.text);
            ldb_batch_clear(b);
        }
    }
    ldb_batch_destroy(b);
}

TEST(what_is_written_is_read_and_stays)
{
    struct ldb *db = open_store("basic", &small);
    put(db, "a", "1");
    put(db, "b", "22");
    check(!get(db, NULL, "b", "22"), "there");
    check(get(db, NULL, "c", NULL) == ERR_NOT_FOUND, "never written");
    char buf[1];
    struct writer w = writer_of(buf, sizeof(buf));
    check(ldb_get(db, NULL, text("b"), &w, NULL) == ERR_TOO_LARGE, "two bytes into one");
    check(writer_used(&w) == 0, "nothing is left behind");
    check(!ldb_get_fixed(db, text("a"), buf, 1, NULL) && buf[0] == '1', "one byte");
    check(ldb_get_fixed(db, text("b"), buf, 1, NULL) == ERR_CORRUPT, "a size that cannot be");
    ldb_close(db);
    db = open_store("basic", &small);
    check(!get(db, NULL, "a", "1"), "after a restart");
    ldb_close(db);
    struct error err;
    check(!ldb_destroy(path_of("basic"), &err), err.text);
    struct ldb_options must = small;
    must.must_exist = true;
    check(ldb_open(&db, path_of("basic"), &must, &err) == ERR_NOT_FOUND, "it is gone");
}

TEST(a_batch_is_one_change_and_bounded)
{
    struct ldb *db = open_store("batch", &small);
    struct ldb_batch *b = ldb_batch_create(128);
    char value[100] = "";
    put(db, "x", "old");
    check(!ldb_batch_delete(b, text("x"), NULL), "delete");
    check(!ldb_batch_put(b, text("y"), text("new"), NULL), "put");
    size_t before = ldb_batch_bytes(b);
    check(ldb_batch_put(b, text("z"), bytes_of(value, 100), NULL) == ERR_TOO_LARGE, "over 128");
    check(ldb_batch_bytes(b) == before, "as it was");
    check(!ldb_write(db, b, true, NULL), "write");
    check(get(db, NULL, "x", NULL) == ERR_NOT_FOUND && !get(db, NULL, "y", "new"), "both");
    ldb_batch_destroy(b);
    ldb_close(db);
}

TEST(a_view_does_not_move)
{
    struct ldb *db = open_store("view", &small);
    put(db, "a", "1");
    put(db, "c", "3");
    struct ldb_view *view = ldb_view_open(db);
    put(db, "a", "changed");
    put(db, "b", "2");
    check(!get(db, view, "a", "1"), "as it was");
    check(get(db, view, "b", NULL) == ERR_NOT_FOUND, "not yet there");
    struct ldb_iter *it = ldb_iter_open(db, view, false);
    char seen[8] = "";
    for (ldb_iter_seek(it, bytes_of(NULL, 0)); ldb_iter_valid(it); ldb_iter_next(it))
        strncat(seen, (const char *)ldb_iter_key(it).data, 1);
    check(!strcmp(seen, "ac") && !ldb_iter_status(it, NULL), seen);
    ldb_iter_seek(it, text("b"));
    check(ldb_iter_valid(it) && bytes_equal(ldb_iter_value(it), text("3")), "the next key");
    ldb_iter_close(it);
    ldb_view_close(db, view);
    ldb_close(db);
}

TEST(a_store_has_one_process)
{
    struct ldb *db = open_store("lock", &small), *second;
    struct error err;
    check(ldb_open(&second, path_of("lock"), &small, &err) == ERR_LOCKED, err.text);
    pid_t pid = fork();
    if (pid == 0)
        _exit(ldb_open(&second, path_of("lock"), &small, NULL) == ERR_LOCKED ? 0 : 1);
    int status;
    check(waitpid(pid, &status, 0) == pid && status == 0, "another process is refused too");
    ldb_close(db);
}

static void damage(const char *pattern, long at)
{
    glob_t g;
    char full[512];
    snprintf(full, sizeof(full), "%s/%s", unit_temp_dir(), pattern);
    check(!glob(full, 0, NULL, &g) && g.gl_pathc > 0, pattern);
    int fd = open(g.gl_pathv[0], O_RDWR);
    uint8_t byte = 0;
    check(pread(fd, &byte, 1, at) == 1, "read");
    byte ^= 0x55;
    check(pwrite(fd, &byte, 1, at) == 1, "write");
    close(fd);
    globfree(&g);
}

static const struct {
    const char *why, *name, *pattern;
    long at;
} damages[] = {
    { "the manifest", "bad-manifest", "bad-manifest/MANIFEST-*", 20 },
    { "the pointer to the manifest", "bad-current", "bad-current/CURRENT", 3 },
    { "a log", "bad-log", "bad-log/*.log", 20 },
};

TEST(damage_is_found_at_the_start_and_can_be_repaired)
{
    for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
        struct ldb *db = open_store(damages[i].name, &small);
        fill(db, 'k', 0, 5000);
        ldb_close(db);
        if (strcmp(damages[i].name, "bad-log")) { /* move all into tables */
            db = open_store(damages[i].name, &small);
            ldb_close(db);
        }
        damage(damages[i].pattern, damages[i].at);
        struct error err = { ERR_OK, "" };
        enum err rc = ldb_open(&db, path_of(damages[i].name), &small, &err);
        check(rc == ERR_CORRUPT, damages[i].why);
        check(strstr(err.text, "store test: ") == err.text, err.text);
        check(!ldb_repair(path_of(damages[i].name), &small, &err), err.text);
        db = open_store(damages[i].name, &small);
        uint8_t key[32], value[64];
        check(!ldb_get_fixed(db, nth_key('k', 1, key), value, 64, &err), err.text);
        ldb_close(db);
    }
}

TEST(damage_in_a_table_is_found_when_it_is_read)
{
    struct ldb *db = open_store("bad-table", &small);
    fill(db, 'k', 0, 5000);
    ldb_compact(db, bytes_of(NULL, 0), bytes_of(NULL, 0));
    ldb_close(db);
    damage("bad-table/*.ldb", 100);
    db = open_store("bad-table", &small);
    uint8_t key[32], value[64];
    struct error err = { ERR_OK, "" };
    check(ldb_get_fixed(db, nth_key('k', 0, key), value, 64, &err) == ERR_CORRUPT, err.text);
    struct ldb_iter *it = ldb_iter_open(db, NULL, false);
    ldb_iter_seek(it, bytes_of(NULL, 0));
    while (ldb_iter_valid(it))
        ldb_iter_next(it);
    check(ldb_iter_status(it, &err) == ERR_CORRUPT, "an iteration does not end in silence");
    ldb_iter_close(it);
    ldb_close(db);
}

/* A file size limit makes write() fail in the middle of a record, as a full disk does. */
TEST(after_a_failed_write_none_is_taken_until_reopened)
{
    struct ldb *db = open_store("fail", &small);
    struct error err = { ERR_OK, "" };
    struct ldb_batch *b = ldb_batch_create(64 * KiB);
    uint8_t key[32], value[8192] = { 0 };
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, limit;
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = 40000;
    setrlimit(RLIMIT_FSIZE, &limit);
    uint32_t good = 0;
    for (; good < 100; good++) {
        ldb_batch_clear(b);
        check(!ldb_batch_put(b, nth_key('k', good, key), bytes_of(value, 8192), NULL), "put");
        if (ldb_write(db, b, true, &err))
            break;
    }
    setrlimit(RLIMIT_FSIZE, &old);
    check(good > 0 && good < 10 && err.code == ERR_IO, err.text);
    check(ldb_failure(db) == ERR_IO, "it says so");
    check(ldb_write(db, b, true, &err) == ERR_IO && strstr(err.text, "takes no writes"), err.text);
    check(!ldb_get_fixed(db, nth_key('k', 0, key), value, 8192, &err), "reads go on");
    ldb_close(db);
    db = open_store("fail", &small);
    for (uint32_t i = 0; i < good; i++)
        check(!ldb_get_fixed(db, nth_key('k', i, key), value, 8192, &err), "acknowledged");
    check(!ldb_failure(db) && !ldb_write(db, b, true, &err), err.text);
    ldb_batch_destroy(b);
    ldb_close(db);
}

static uint64_t table_reads(struct ldb *db)
{
    struct ldb_stats s;
    ldb_stats_read(db, &s);
    return s.files[LDB_FILE_TABLE].reads;
}

TEST(a_filter_holds_the_kinds_that_are_looked_up)
{
    struct ldb_options o = small;
    o.filter_kinds = "CS";
    o.cache_bytes = 0;
    o.write_buffer_bytes = 8 * MiB; /* one table holds each gap, else no file is asked at all */
    struct ldb *db = open_store("filter", &o);
    fill(db, 'B', 0, 20000);
    fill(db, 'B', 40000, 40001);
    fill(db, 'C', 0, 20000);
    fill(db, 'C', 40000, 40001);
    ldb_compact(db, bytes_of(NULL, 0), bytes_of(NULL, 0));
    uint8_t key[32], value[64];
    check(!ldb_get_fixed(db, nth_key('C', 7, key), value, 64, NULL), "a kind in the filter");
    check(!ldb_get_fixed(db, nth_key('B', 7, key), value, 64, NULL), "a kind that is not");
    check(!ldb_get_fixed(db, nth_key('C', 19999, key), value, 64, NULL), "opens its table");
    uint64_t before = table_reads(db);
    for (uint32_t i = 20000; i < 20100; i++)
        check(ldb_get_fixed(db, nth_key('C', i, key), value, 64, NULL) == ERR_NOT_FOUND, "absent");
    uint64_t with = table_reads(db) - before;
    for (uint32_t i = 20000; i < 20100; i++)
        check(ldb_get_fixed(db, nth_key('B', i, key), value, 64, NULL) == ERR_NOT_FOUND, "absent");
    check(with < 10, "absent keys of a filtered kind need no read");
    check(table_reads(db) - before - with >= 100, "the others need one each");
    ldb_close(db);
}

TEST(iteration_reads_ahead_and_points_do_not)
{
    struct ldb_options o = small;
    o.cache_bytes = 0;
    struct ldb *db = open_store("ahead", &o);
    fill(db, 'k', 0, 20000);
    ldb_compact(db, bytes_of(NULL, 0), bytes_of(NULL, 0));
    ldb_close(db);
    db = open_store("ahead", &o);
    uint8_t key[32], value[64];
    struct ldb_stats s;
    for (uint32_t i = 0; i < 2000; i++)
        check(!ldb_get_fixed(db, nth_key('k', i * 7919 % 20000, key), value, 64, NULL), "get");
    ldb_stats_read(db, &s);
    check(s.readaheads == 0, "random reads");
    struct ldb_iter *it = ldb_iter_open(db, NULL, false);
    uint32_t n = 0;
    for (ldb_iter_seek(it, bytes_of(NULL, 0)); ldb_iter_valid(it); ldb_iter_next(it))
        n++;
    ldb_iter_close(it);
    ldb_stats_read(db, &s);
    check(n == 20000 && s.readaheads >= 2, "one per table or half MiB");
    ldb_close(db);
}

TEST(memory_of_open_tables_is_measured)
{
    struct ldb *db = open_store("tables", &small);
    fill(db, 'k', 0, 50000);
    ldb_compact(db, bytes_of(NULL, 0), bytes_of(NULL, 0));
    uint8_t key[32], value[64];
    for (uint32_t i = 0; i < 50000; i += 100)
        check(!ldb_get_fixed(db, nth_key('k', i, key), value, 64, NULL), "get");
    struct ldb_stats s;
    ldb_stats_read(db, &s);
    check(s.open_tables >= 3 && s.files[LDB_FILE_LOG].writes >= 100, "tables of 1 MiB");
    /* 10 bits a key, and an index entry for each block of 4 KiB */
    check(s.open_table_bytes > 50000 * 10 / 8 && s.open_table_bytes < 50000 * 3,
          "filter and index");
    ldb_close(db);
    uint64_t per_table = 0;
    check(!ldb_table_memory(path_of("tables"), &per_table, NULL), "from the footers");
    uint64_t sum = per_table * s.open_tables;
    check(sum > s.open_table_bytes * 9 / 10 && sum < s.open_table_bytes * 11 / 10, "the same");
    check(!ldb_table_memory(path_of("none"), &per_table, NULL) && per_table == 0, "no store");
}

static void PRINTF_LIKE(2, 3) log_line(struct ldb_log *log, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ldb_log_line(log, format, args);
    va_end(args);
}

TEST(diagnostics_are_bounded)
{
    struct ldb_log log;
    char path[512];
    struct stat st;
    snprintf(path, sizeof(path), "%s/LOG", unit_temp_dir());
    ldb_log_open(&log, path);
    for (int i = 0; i < 3 * (int)(LIMIT_LDB_LOG_BYTES / 50); i++)
        log_line(&log, "Compacting %d files, some of them large", i);
    ldb_log_close(&log);
    check(!stat(path, &st) && st.st_size > 0 && st.st_size <= (off_t)LIMIT_LDB_LOG_BYTES, "new");
    snprintf(path, sizeof(path), "%s/LOG.old", unit_temp_dir());
    check(!stat(path, &st) && st.st_size <= (off_t)LIMIT_LDB_LOG_BYTES, "the one before");
}

TEST(sizes_and_properties_can_be_asked)
{
    struct ldb *db = open_store("sizes", &small);
    fill(db, 'k', 0, 20000);
    ldb_compact(db, bytes_of(NULL, 0), bytes_of(NULL, 0));
    uint64_t all = ldb_approximate_bytes(db, text("a"), text("z"));
    check(all > 20000 * 64 && all < 20000 * 150, "about what was written");
    check(ldb_approximate_bytes(db, text("x"), text("z")) == 0, "nothing is there");
    char stats[64];
    check(ldb_property(db, "leveldb.stats", stats, sizeof(stats)), "LevelDB's own words");
    check(strlen(stats) == sizeof(stats) - 1, "cut, and ended");
    check(!ldb_property(db, "leveldb.nonsense", stats, sizeof(stats)), "no such property");
    ldb_close(db);
}
