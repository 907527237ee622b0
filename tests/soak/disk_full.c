/* tests/soak/disk_full.c
 *
 * A disk of 40 MiB that is filled to the brim and freed again, under stores that go on being used:
 * no crash, errors that say so, reads throughout, and recovery without a restart. Once with LevelDB
 * meeting ENOSPC itself, once with min-free-disk keeping it from that.
 *
 *     disk_full DIR      DIR is the small disk, empty; tests/soak/disk_full.sh makes one
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/loop.h"
#include "store/stores.h"

enum { VALUE_BYTES = 32 * 1024, KEYS_MAX = 4096, PATIENCE_MS = 60000 };

static const struct store_row row = {
    .name = "state",
    .version = 1,
    .memory_floor_bytes = 4 * MiB,
    .block_bytes = 4 * KiB,
    .table_bytes = 1 * MiB,
    .filter_bits = 10,
    .sync = STORE_SYNC_EACH,
    .enabled = true,
};

static struct loop *loop;
static struct stores *stores;
static struct store_job job;
static struct error last;
static uint32_t number; /* of the key the job writes or reads */
static bool called;
static const char *disk;

static void __attribute__((noreturn)) fail(const char *what)
{
    fprintf(stderr, "disk_full: %s%s%s\n", what, last.code ? ": " : "", last.text);
    exit(1);
}

static void on_called(void *ctx UNUSED, const struct error *err)
{
    called = true;
    error_clear(&last);
    if (err)
        last = *err;
    loop_stop(loop);
}

static enum err await(void)
{
    while (!called)
        loop_run(loop);
    called = false;
    return last.code;
}

static void on_job(struct store_job *j UNUSED, const struct error *err)
{
    on_called(NULL, err);
}

static void value_fill(uint32_t n, uint8_t *value)
{
    uint64_t x = n + 1;
    for (int i = 0; i < VALUE_BYTES;
         i++, x = x * UINT64_C(6364136223846793005) + 1442695040888963407u)
        value[i] = (uint8_t)(x >> 56);
}

static enum err run_write(struct store_job *j, struct ldb *db UNUSED, struct error *err)
{
    uint8_t key[4], value[VALUE_BYTES];
    be32_encode(key, number);
    value_fill(number, value);
    struct ldb_batch *b = ldb_batch_create(64 * KiB);
    enum err rc = ldb_batch_put(b, bytes_of(key, 4), bytes_of(value, VALUE_BYTES), err);
    if (!rc)
        rc = store_commit(j, b, true, err);
    ldb_batch_destroy(b);
    return rc;
}

static enum err run_read(struct store_job *j UNUSED, struct ldb *db, struct error *err)
{
    uint8_t key[4], value[VALUE_BYTES], want[VALUE_BYTES];
    be32_encode(key, number);
    value_fill(number, want);
    enum err rc = ldb_get_fixed(db, bytes_of(key, 4), value, VALUE_BYTES, err);
    if (!rc && memcmp(value, want, VALUE_BYTES) != 0)
        rc = error_set(err, ERR_CORRUPT, "key %" PRIu32 " has another value", number);
    return rc;
}

static enum err write_key(uint32_t n)
{
    number = n;
    store_write(stores_find(stores, "state"), &job, run_write, on_job);
    return await();
}

static void read_keys(uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) {
        number = n;
        store_read(stores_find(stores, "state"), &job, run_read, on_job);
        if (await())
            fail("a read failed");
    }
}

/* All of the disk but a few KiB. */
static void ballast(void)
{
    char path[300];
    static const char zeros[4096];
    snprintf(path, sizeof(path), "%s/ballast", disk);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    while (write(fd, zeros, sizeof(zeros)) > 0)
        continue;
    if (errno != ENOSPC)
        fail("the disk was not filled");
    close(fd);
}

static void ballast_free(void)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/ballast", disk);
    unlink(path);
}

static uint32_t write_until_refused(uint32_t from)
{
    uint32_t n = from;
    while (n < KEYS_MAX && !write_key(n))
        n++;
    if (n == KEYS_MAX || last.code != ERR_DISK_FULL)
        fail("a full disk did not refuse with DISK_FULL");
    return n;
}

static void await_ready(void)
{
    for (int ms = 0; !stores_ready(stores, &last); ms += 20) {
        if (ms > PATIENCE_MS)
            fail("no recovery");
        usleep(20000);
        read_keys(1); /* turns the loop, and reads go on */
    }
    error_clear(&last);
}

static void scenario(const char *name, uint64_t min_free_bytes, struct work_pool *pool,
                     struct mem_owner *mem)
{
    char dir[256];
    snprintf(dir, sizeof(dir), "%s/%s", disk, name);
    struct stores_options o = { .data_dir = dir,
                                .loop = loop,
                                .work = pool,
                                .mem = mem,
                                .memory_bytes = 4 * MiB,
                                .min_free_bytes = min_free_bytes,
                                .rows = &row,
                                .count = 1 };
    if (mkdir(dir, 0700) || stores_create(&stores, &o, &last))
        fail("no stores");
    stores_open(stores, on_called, NULL);
    if (await())
        fail("not opened");
    uint32_t keys = 0;
    for (; keys < 100; keys++)
        if (write_key(keys))
            fail("an early write failed");
    ballast();
    keys = write_until_refused(keys);
    printf("%s: refused: %s\n", name, last.text);
    struct error why;
    if (stores_ready(stores, &why))
        fail("a full disk counts as ready");
    printf("%s: not ready: %s\n", name, why.text);
    read_keys(keys);
    if (write_key(keys) != ERR_DISK_FULL)
        fail("a second write was not refused");
    ballast_free();
    await_ready();
    for (uint32_t end = keys + 50; keys < end; keys++)
        if (write_key(keys))
            fail("a write after the recovery");
    read_keys(keys);
    struct store_status st;
    store_status(stores, 0, &st);
    printf("%s: %" PRIu32 " keys all there, opened again %" PRIu32 " times\n", name, keys,
           st.reopened);
    if ((min_free_bytes > 0) != (st.reopened == 0))
        fail("min-free-disk must spare LevelDB the failure, and only that");
    stores_close(stores, on_called, NULL);
    if (await())
        fail("not closed");
    stores_destroy(stores);
}

int main(int argc, char **argv)
{
    static const struct mem_row mem = { "stores", "", MEM_FIXED, 8 * MiB, 16, 16, true };
    const struct work_options work = { 2, 1, mem_arena_stores_enter };
    struct mem_plan *plan = NULL;
    struct work_pool *pool = NULL;
    if (argc != 2)
        fail("usage: disk_full DIR");
    disk = argv[1];
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (mem_plan_create(&plan, 256 * MiB, &mem, 1, &last) || loop_create(&loop, &last) ||
        work_pool_create(&pool, loop, &work, &last))
        fail("no machine");
    scenario("brim", 0, pool, mem_plan_find(plan, "stores"));
    scenario("spared", 8 * MiB, pool, mem_plan_find(plan, "stores"));
    work_pool_destroy(pool);
    loop_destroy(loop);
    mem_plan_destroy(plan);
    return 0;
}
