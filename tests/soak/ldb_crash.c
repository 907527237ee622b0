/* tests/soak/ldb_crash.c
 *
 * kill -9 at a random moment of a writing process, then the files are cut to what was synced (every
 * second round: left as they are), then the store must open and hold exactly the state after some
 * write, which is not before the last acknowledged one. A last run lies about syncing and must be
 * caught; else the test proves nothing.
 *
 *     ldb_crash ROUNDS [SEED]
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/durable.h"
#include "store/ldb.h"

enum {
    SLOTS = 500,
    COPIES = 3,
    VALUE_BYTES = 200,
    KILL_US_MAX = 60000,
    WRITES_MAX = 300,
    PATIENCE_MS = 60000,
    LYING_ROUNDS = 30 /* until one is caught: of a kill that comes early nothing is to be seen */
};

/* Shared with the writing process, survives its end. */
struct shared {
    _Atomic uint64_t acknowledged; /* number of the last write that was synced */
    _Atomic uint64_t attempted;
    _Atomic uint64_t flushes; /* tables written, so that a run without any shows */
};

static struct shared *shared;
static struct durable_record *record;
static char dir[256], path[300];

static const struct ldb_options options = {
    .name = "crash",
    .cache_bytes = 256 * KiB,
    .write_buffer_bytes = 64 * KiB, /* a table every few milliseconds */
    .table_bytes = 1 * MiB,
    .block_bytes = 4 * KiB,
    .open_tables = 64,
    .filter_bits = 10,
};

static void __attribute__((noreturn)) die(const char *what, const struct error *err)
{
    fprintf(stderr, "ldb_crash: %s%s%s\n", what, err ? ": " : "", err ? err->text : "");
    exit(3);
}

static void *map_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        die("no shared memory", NULL);
    return p;
}

static void plan_create(void)
{
    static const struct mem_row row = { "stores", "", MEM_FIXED, 16 * MiB, 16, 16, true };
    struct mem_plan *plan;
    if (mem_plan_create(&plan, 256 * MiB, &row, 1, NULL))
        die("plan", NULL);
}

/* Write n replaces the copies of slot n % SLOTS; it is there as a whole or not at all. */
static struct bytes key_of(uint64_t slot, int copy, uint8_t buf[9])
{
    buf[0] = (uint8_t)('a' + copy);
    be64_encode(buf + 1, slot * UINT64_C(0x9e3779b97f4a7c15)); /* spread: compactions overlap */
    return bytes_of(buf, 9);
}

static void value_fill(uint64_t n, uint8_t value[VALUE_BYTES])
{
    for (int i = 0; i < VALUE_BYTES; i += 8)
        be64_encode(value + i, i ? n * UINT64_C(6364136223846793005) + (uint64_t)i : n);
}

static void write_one(struct ldb *db, struct ldb_batch *batch, uint64_t n, bool sync)
{
    uint8_t key[9], value[VALUE_BYTES];
    struct error err = { ERR_OK, "" };
    value_fill(n, value);
    ldb_batch_clear(batch);
    for (int c = 0; c < COPIES; c++)
        if (ldb_batch_put(batch, key_of(n % SLOTS, c, key), bytes_of(value, VALUE_BYTES), &err))
            die("put", &err);
    atomic_store(&shared->attempted, n);
    if (ldb_write(db, batch, sync, &err))
        die("write", &err);
    if (sync)
        atomic_store(&shared->acknowledged, n);
}

/* The process that is killed. Four of five writes are synced; the others are made so by the next.
 */
static void writer(uint64_t from, bool lie)
{
    struct ldb *db = NULL;
    struct error err = { ERR_OK, "" };
    plan_create();
    durable_record_start(record, lie);
    if (ldb_open(&db, path, &options, &err))
        die("the writer cannot open the store", &err);
    struct ldb_batch *batch = ldb_batch_create(64 * KiB);
    for (uint64_t n = from;; n++) {
        write_one(db, batch, n, n % 5 != 0);
        struct ldb_stats stats;
        ldb_stats_read(db, &stats);
        atomic_store(&shared->flushes, stats.files[LDB_FILE_TABLE].syncs);
    }
}

static uint64_t slot_number(struct ldb *db, uint64_t slot, int copy)
{
    uint8_t key[9], value[VALUE_BYTES], want[VALUE_BYTES];
    struct error err = { ERR_OK, "" };
    enum err rc = ldb_get_fixed(db, key_of(slot, copy, key), value, VALUE_BYTES, &err);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc)
        die("reading", &err);
    uint64_t n = be64_decode(value);
    value_fill(n, want);
    return memcmp(value, want, VALUE_BYTES) ? UINT64_MAX : n;
}

/* In a process of its own: exit code 0 all is well, 1 something is lost or torn. */
static void verifier(void)
{
    struct ldb *db = NULL;
    struct error err = { ERR_OK, "" };
    uint64_t newest = 0, acknowledged = atomic_load(&shared->acknowledged);
    plan_create();
    if (ldb_open(&db, path, &options, &err)) {
        fprintf(stderr, "  does not open: %s\n", err.text);
        exit(1);
    }
    for (uint64_t s = 0; s < SLOTS; s++)
        newest = MAX(newest, slot_number(db, s, 0));
    if (newest < acknowledged || newest > atomic_load(&shared->attempted)) {
        fprintf(stderr, "  holds %" PRIu64 " writes, acknowledged are %" PRIu64 "\n", newest,
                acknowledged);
        exit(1);
    }
    for (uint64_t s = 0; s < SLOTS; s++) {
        uint64_t back = (newest + SLOTS - s) % SLOTS; /* writes since the last of this slot */
        uint64_t want = back < newest ? newest - back : 0;
        for (int c = 0; c < COPIES; c++)
            if (slot_number(db, s, c) != want) {
                fprintf(stderr, "  slot %" PRIu64 " copy %d is not of write %" PRIu64 "\n", s, c,
                        want);
                exit(1);
            }
    }
    atomic_store(&shared->attempted, newest);
    ldb_close(db);
    exit(0);
}

static int wait_for(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid)
        die("waitpid", NULL);
    return status;
}

/* One kill of four comes while the store is opened or soon after; the others after some writes,
 * since on a busy machine no time would be long enough for these. */
static void wait_at_random(uint64_t from)
{
    uint64_t until = from + (uint64_t)(rand() % WRITES_MAX);
    bool early = rand() % 4 == 0;
    useconds_t more = (useconds_t)(rand() % (early ? KILL_US_MAX : KILL_US_MAX / 10));
    for (int ms = 0; !early && ms < PATIENCE_MS && atomic_load(&shared->attempted) < until; ms++)
        usleep(1000);
    usleep(more);
}

static bool round_run(bool lie, bool cut)
{
    uint64_t from = atomic_load(&shared->attempted) + 1;
    pid_t pid = fork();
    if (pid == 0)
        writer(from, lie);
    wait_at_random(from);
    kill(pid, SIGKILL);
    if (!WIFSIGNALED(wait_for(pid)))
        die("the writer ended by itself", NULL);
    struct error err = { ERR_OK, "" };
    if (cut && durable_cut(record, dir, &err))
        die("cutting", &err);
    pid = fork();
    if (pid == 0) { /* its tables and renames count as well */
        durable_record_start(record, false);
        verifier();
    }
    int status = wait_for(pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
        die("the verifier broke", NULL);
    return WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 20, good = 0, caught = 0;
    unsigned seed = argc > 2 ? (unsigned)atoi(argv[2]) : (unsigned)time(NULL);
    srand(seed);
    setvbuf(stdout, NULL, _IOLBF, 0); /* so that no child has our lines in its buffer */
    snprintf(dir, sizeof(dir), "%s/ldb-crash-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(dir))
        die("no temporary folder", NULL);
    snprintf(path, sizeof(path), "%s/store", dir);
    shared = map_shared(sizeof(*shared));
    record = map_shared(DURABLE_RECORD_BYTES);
    uint64_t flushes = 0;
    for (int i = 0; i < rounds; i++) {
        good += round_run(false, i % 2 == 0);
        flushes += atomic_exchange(&shared->flushes, 0);
        if (good != i + 1)
            break;
    }
    printf("%d of %d kills: opened, nothing acknowledged lost (%" PRIu64 " writes, %" PRIu64
           " tables, seed %u)\n",
           good, rounds, atomic_load(&shared->acknowledged), flushes, seed);
    for (int i = 0; good == rounds && i < LYING_ROUNDS && !caught; i++)
        caught = !round_run(true, true);
    printf("a disk that lies about syncing is %s\n", caught ? "caught" : "NOT caught");
    char command[400];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command) || good != rounds || !caught || (rounds >= 20 && flushes == 0);
}
