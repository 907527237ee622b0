/* tests/bench/bench_ldb.c: a store with the share of a reserve at 1 GiB, and LevelDB as it comes,
 * each in a process of its own: keys of 97 bytes are written and read at random, then walked in
 * order. What the process holds is the highest of all samples, less what it held before it opened
 * anything. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <leveldb/c.h>

#include "base/mem.h"
#include "store/stores.h"

enum { KEY_BYTES = 97, VALUE_BYTES = 9, BATCH_KEYS = 1000, READS_MAX = 1000000, SAMPLE_EVERY = 20 };

#define SHARE_BYTES (60 * MiB) /* of core.md's table: the reserve's part of 1 GiB */

struct result { /* shared with the child */
    double write_per_s, read_per_s, walk_per_s;
    uint64_t anon_bytes, file_bytes, disk_bytes;
    bool done;
};

struct database {
    struct ldb *ours;
    leveldb_t *plain;
    char path[200];
};

static const struct store_row row = {
    .name = "index",
    .version = 1,
    .memory_floor_bytes = SHARE_BYTES,
    .block_bytes = 16 * KiB,
    .table_bytes = 8 * MiB,
    .filter_bits = 10,
    .enabled = true,
};

static void sample(struct result *r, const struct result *before)
{
    r->anon_bytes = MAX(r->anon_bytes, bench_status_bytes("RssAnon") - before->anon_bytes);
    r->file_bytes = MAX(r->file_bytes, bench_status_bytes("RssFile"));
}

static void key_fill(uint64_t i, uint8_t key[KEY_BYTES + 7])
{
    for (int j = 0; j < KEY_BYTES; j += 8) {
        uint64_t z = i * 13 + (uint64_t)j / 8 + UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        z ^= z >> 31;
        memcpy(key + j, &z, 8);
    }
}

static bool write_batch(struct database *db, uint64_t from, uint64_t to)
{
    uint8_t key[KEY_BYTES + 7];
    char *problem = NULL;
    struct ldb_batch *ours = db->ours ? ldb_batch_create(1 * MiB) : NULL;
    leveldb_writebatch_t *plain = db->plain ? leveldb_writebatch_create() : NULL;
    enum err rc = ERR_OK;
    for (uint64_t i = from; i < to; i++) {
        key_fill(i, key);
        if (ours)
            rc = ldb_batch_put(ours, bytes_of(key, KEY_BYTES), bytes_of(key, VALUE_BYTES), NULL);
        else
            leveldb_writebatch_put(plain, (char *)key, KEY_BYTES, (char *)key, VALUE_BYTES);
    }
    if (ours) {
        rc = rc ? rc : ldb_write(db->ours, ours, false, NULL);
        ldb_batch_destroy(ours);
        return !rc;
    }
    leveldb_writeoptions_t *o = leveldb_writeoptions_create();
    leveldb_write(db->plain, o, plain, &problem);
    leveldb_writeoptions_destroy(o);
    leveldb_writebatch_destroy(plain);
    return !problem;
}

static bool read_key(struct database *db, uint64_t i)
{
    uint8_t key[KEY_BYTES + 7], value[VALUE_BYTES];
    key_fill(i, key);
    if (db->ours)
        return !ldb_get_fixed(db->ours, bytes_of(key, KEY_BYTES), value, VALUE_BYTES, NULL);
    char *problem = NULL;
    size_t size = 0;
    static leveldb_readoptions_t *o;
    if (!o)
        o = leveldb_readoptions_create();
    char *found = leveldb_get(db->plain, o, (char *)key, KEY_BYTES, &size, &problem);
    leveldb_free(found);
    return found && size == VALUE_BYTES;
}

static uint64_t walk(struct database *db)
{
    uint64_t n = 0;
    if (db->ours) {
        struct ldb_iter *it = ldb_iter_open(db->ours, NULL, false);
        for (ldb_iter_seek(it, bytes_of(NULL, 0)); ldb_iter_valid(it); ldb_iter_next(it))
            n++;
        ldb_iter_close(it);
        return n - 1; /* the record of the format */
    }
    leveldb_readoptions_t *o = leveldb_readoptions_create();
    leveldb_iterator_t *it = leveldb_create_iterator(db->plain, o);
    for (leveldb_iter_seek_to_first(it); leveldb_iter_valid(it); leveldb_iter_next(it))
        n++;
    leveldb_iter_destroy(it);
    leveldb_readoptions_destroy(o);
    return n;
}

static bool open_either(struct database *db, bool ours)
{
    struct error err = { ERR_OK, "" };
    char *problem = NULL;
    if (ours) {
        static const struct mem_row mem = { "stores", "", MEM_FIXED, SHARE_BYTES, 16, 16, true };
        struct mem_plan *plan;
        if (mem_plan_create(&plan, 1 * GiB, &mem, 1, &err))
            return false;
        mem_arena_stores_enter();
        return !store_open_row(&db->ours, db->path, &row, SHARE_BYTES, &err);
    }
    leveldb_options_t *o = leveldb_options_create();
    leveldb_options_set_create_if_missing(o, 1);
    snprintf(db->path + strlen(db->path), 16, "/plain");
    db->plain = leveldb_open(o, db->path, &problem);
    return db->plain != NULL;
}

static double per_second(uint64_t count, uint64_t start_ns)
{
    return (double)count * 1e9 / (double)MAX(bench_wall_ns() - start_ns, 1);
}

/* The child. Exit code 0: r is filled in. */
static int measure(struct result *r, const char *dir, bool ours, uint64_t entries)
{
    struct database db = { .ours = NULL };
    const struct result before = { .anon_bytes = bench_status_bytes("RssAnon") };
    snprintf(db.path, sizeof(db.path) - 16, "%s", dir);
    if (!open_either(&db, ours))
        return 1;
    uint64_t start = bench_wall_ns(), reads = MIN(entries, READS_MAX);
    for (uint64_t i = 0; i < entries; i += BATCH_KEYS) {
        if (!write_batch(&db, i, MIN(i + BATCH_KEYS, entries)))
            return 2;
        if (i / BATCH_KEYS % SAMPLE_EVERY == 0)
            sample(r, &before);
    }
    r->write_per_s = per_second(entries, start);
    start = bench_wall_ns();
    for (uint64_t i = 0; i < reads; i++) {
        if (!read_key(&db, i * UINT64_C(2654435761) % entries))
            return 3;
        if (i % (SAMPLE_EVERY * BATCH_KEYS) == 0)
            sample(r, &before);
    }
    r->read_per_s = per_second(reads, start);
    sample(r, &before);
    start = bench_wall_ns();
    if (walk(&db) != entries)
        return 4;
    r->walk_per_s = per_second(entries, start);
    sample(r, &before);
    return 0;
}

static uint64_t disk_bytes(const char *dir)
{
    char command[300];
    unsigned long long kib = 0;
    snprintf(command, sizeof(command), "du -sk '%s'", dir);
    FILE *f = popen(command, "r");
    if (f && fscanf(f, "%llu", &kib) != 1)
        kib = 0;
    if (f)
        pclose(f);
    return kib * KiB;
}

static void measure_apart(struct bench *bench, struct result *r, bool ours, uint64_t entries)
{
    char dir[100], command[200];
    snprintf(dir, sizeof(dir), "%s/larder-bench-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(dir))
        bench_fail(bench, "no temporary folder");
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(measure(r, dir, ours, entries));
    bool good = pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
    r->disk_bytes = disk_bytes(dir);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    if (system(command) || !good)
        bench_fail(bench, "%s: the run failed", ours ? "ours" : "default LevelDB");
}

/* One figure of both runs, and that of the defaults as core.md 2.1 and 2.3 have it for 10 M keys.
 */
struct pair {
    const char *figure, *unit;
    double ours, plain, known;
};

static void report(struct bench *bench, const struct pair *p, uint64_t entries)
{
    bench_report(bench, &(struct bench_figure){ .figure = p->figure,
                                                .unit = p->unit,
                                                .value = p->ours,
                                                .beside = "LevelDB's defaults",
                                                .beside_value = p->plain,
                                                .expect_beside =
                                                    bench_expect(entries, 10000000, p->known) });
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (double)MiB;
}

BENCH(ldb, "A store with the reserve's share of 1 GiB, and LevelDB as it comes: keys of 97 bytes.")
{
    uint64_t entries = bench_entries(bench, 1000000);
    struct result *r =
        mmap(NULL, 2 * sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED)
        bench_fail(bench, "no shared memory");
    measure_apart(bench, &r[0], true, entries);
    measure_apart(bench, &r[1], false, entries);
    /* The heap of the defaults was measured at rest, ours is the highest while writing too. */
    const struct pair pairs[] = {
        { "write, batches of 1000, no sync", "keys/s", r[0].write_per_s, r[1].write_per_s, 111e3 },
        { "read at random", "keys/s", r[0].read_per_s, r[1].read_per_s, 210e3 },
        { "walk in order", "keys/s", r[0].walk_per_s, r[1].walk_per_s, 6e6 },
        { "mapped, highest RssFile", "MiB", mib(r[0].file_bytes), mib(r[1].file_bytes), 843 },
        { "anonymous, highest RssAnon", "MiB", mib(r[0].anon_bytes), mib(r[1].anon_bytes), 0 },
        { "anonymous of the share", "ratio", (double)r[0].anon_bytes / (double)SHARE_BYTES,
          (double)r[1].anon_bytes / (double)SHARE_BYTES, 0 },
        { "database on disk", "MiB", mib(r[0].disk_bytes), mib(r[1].disk_bytes), 887 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
        report(bench, &pairs[i], entries);
    munmap(r, 2 * sizeof(*r));
}
