/* The keystore against brute force, across restarts, and killed at any moment. */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/prng.h"
#include "codec/crypto.h"
#include "core/loop.h"
#include "store/durable.h"
#include "store/keystore.h"
#include "vectors.h"

static const struct store_row row = {
    .name = "keystore",
    .version = 1,
    .memory_floor_bytes = 8 * MiB,
    .block_bytes = 4 * KiB,
    .table_bytes = 2 * MiB,
    .filter_bits = 10,
    .filter_kinds = "k",
    .sync = STORE_SYNC_ASKED,
    .enabled = true,
};

struct world {
    struct loop *loop;
    struct work_pool *pool;
    struct mem_plan *plan;
    struct mem_owner *mem;
    struct stores *stores;
    struct keystore *ks;
    struct error err;
    bool called;
    char dir[400];
};

static void arrived(struct world *w, const struct error *err)
{
    error_clear(&w->err);
    if (err)
        w->err = *err;
    w->called = true;
    loop_stop(w->loop);
}
static void on_stores(void *ctx, const struct error *err)
{
    arrived(ctx, err);
}
static void await(struct world *w)
{
    for (int turns = 0; !w->called && turns < 1000000; turns++)
        loop_run(w->loop);
    check(w->called, "the callback came");
    w->called = false;
    check(w->err.code == ERR_OK, w->err.text);
}

static void world_open(struct world *w, const char *dir)
{
    static const struct mem_row rows[] = {
        { "stores", "", MEM_FIXED, 8 * MiB, 16, 16, true },
        { "reprovide", "", MEM_ELASTIC, 4 * MiB, 10, 20, true },
    };
    const struct work_options work = { 2, 1, mem_arena_stores_enter };
    struct error err = { ERR_OK, "" };
    memset(w, 0, sizeof(*w));
    snprintf(w->dir, sizeof(w->dir), "%s", dir);
    mkdir(dir, 0700);
    check(!mem_plan_create(&w->plan, 256 * MiB, rows, 2, &err), err.text);
    check(!loop_create(&w->loop, &err), err.text);
    check(!work_pool_create(&w->pool, w->loop, &work, &err), err.text);
    const struct stores_options stores = { .data_dir = w->dir,
                                           .loop = w->loop,
                                           .work = w->pool,
                                           .mem = mem_plan_find(w->plan, "stores"),
                                           .memory_bytes = 14 * MiB,
                                           .rows = &row,
                                           .count = 1 };
    check(!stores_create(&w->stores, &stores, &err), err.text);
    stores_open(w->stores, on_stores, w);
    await(w);
    w->mem = mem_plan_find(w->plan, "reprovide");
    check(!keystore_create(&w->ks, stores_find(w->stores, "keystore"), w->loop, w->mem, &err),
          err.text);
    keystore_open(w->ks, on_stores, w);
    await(w);
}

static void world_close(struct world *w)
{
    keystore_destroy(w->ks);
    check(w->mem->used_bytes == 0, "all is given back");
    stores_close(w->stores, on_stores, w);
    await(w);
    stores_destroy(w->stores);
    work_pool_destroy(w->pool);
    loop_destroy(w->loop);
    mem_plan_destroy(w->plan);
}

/* Key i: the rule of kad-vectors.json, list "larder". */
static struct bytes key_of(uint64_t i, uint8_t out[34])
{
    uint8_t in[15] = "larder:";
    be64_encode(in + 7, i);
    out[0] = 0x12;
    out[1] = 0x20;
    sha256_of(in, sizeof(in), out + 2);
    return bytes_of(out, 34);
}

struct write_call {
    struct keystore_write req;
    struct world *world;
};
static void on_write(struct keystore_write *req, const struct error *err)
{
    arrived(container_of(req, struct write_call, req)->world, err);
}
static uint32_t change(struct world *w, enum keystore_op op, struct keyset *keys)
{
    struct write_call c = { { .op = op, .keys = keys, .cb = on_write }, w };
    keystore_write(w->ks, &c.req);
    await(w);
    return c.req.changed;
}

enum { MANY = 6000 };

/* ---- killed at any moment: the first test, since its children play it ---- */

struct shared {
    volatile uint32_t rounds, running;
    uint64_t seed;
    _Alignas(4096) uint8_t record[DURABLE_RECORD_BYTES];
};

static struct shared *map_shared(const char *dir, bool make)
{
    char path[320];
    snprintf(path, sizeof(path), "%s.shared", dir);
    FILE *f = fopen(path, make ? "w+" : "r+");
    check(f && !ftruncate(fileno(f), sizeof(struct shared)), path);
    void *at = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
    check(at != MAP_FAILED, "shared memory");
    fclose(f);
    return at;
}

static void role_writer(const char *dir)
{
    static struct world w;
    struct shared *s = map_shared(dir, false);
    struct prng p = prng_of(++s->seed);
    struct keyset keys;
    uint8_t hash[34];
    durable_record_start((struct durable_record *)s->record, false);
    world_open(&w, dir);
    check(keyset_init(&keys, w.mem, 1024), "a set");
    for (s->running = 1;; s->rounds++) {
        uint32_t n = 1 + prng_below(&p, 900);
        keyset_clear(&keys);
        for (uint32_t j = 0; j < n; j++)
            check(keyset_add(&keys, key_of(prng_below(&p, MANY), hash)), "room");
        (void)change(&w, (enum keystore_op)prng_below(&p, 3), &keys);
    }
}

static void role_verifier(const char *dir)
{
    char path[320];
    struct ldb *db = NULL;
    struct error err = { ERR_OK, "" };
    uint64_t keys = 0;
    const struct ldb_options o = { .name = "verify",
                                   .cache_bytes = 1 * MiB,
                                   .write_buffer_bytes = 1 * MiB,
                                   .table_bytes = 2 * MiB,
                                   .block_bytes = 4 * KiB,
                                   .filter_bits = 10,
                                   .filter_kinds = "k" };
    durable_record_start((struct durable_record *)map_shared(dir, false)->record, false);
    snprintf(path, sizeof(path), "%s/keystore", dir);
    check(!ldb_open(&db, path, &o, &err), err.text);
    check(!keystore_verify(db, &keys, &err), err.text);
    ldb_close(db);
}

static pid_t spawn(const char *role, const char *dir)
{
    pid_t pid = fork();
    check(pid >= 0, "fork");
    if (pid == 0) {
        setenv("LARDER_CRASH_ROLE", role, 1);
        setenv("LARDER_CRASH_DIR", dir, 1);
        check(freopen("/dev/null", "w", stdout) != NULL, "silent");
        execl("/proc/self/exe", "crash", (char *)NULL);
        _exit(127);
    }
    return pid;
}

TEST(counters_equal_a_scan_after_a_kill_at_any_moment)
{
    const char *role = getenv("LARDER_CRASH_ROLE"), *of = getenv("LARDER_CRASH_DIR");
    char dir[300];
    struct prng p = prng_of(99);
    struct error err = { ERR_OK, "" };
    int status = 0;
    if (role) {
        if (!strcmp(role, "writer"))
            role_writer(of);
        role_verifier(of);
        exit(0);
    }
    snprintf(dir, sizeof(dir), "%s/crash", unit_temp_dir());
    mkdir(dir, 0700);
    struct shared *s = map_shared(dir, true);
    for (int round = 0; round < 12; round++) {
        uint32_t wait_for = s->rounds + prng_below(&p, 30);
        s->running = 0;
        pid_t pid = spawn("writer", dir);
        for (int i = 0; (!s->running || s->rounds < wait_for) && i < 20000; i++)
            usleep(1000);
        kill(pid, SIGKILL);
        check(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "it ran until it was killed");
        check(!durable_cut((struct durable_record *)s->record, dir, &err), err.text);
        pid = spawn("verifier", dir);
        check(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0,
              "counters equal a scan");
    }
    check(s->rounds > 12, "something was written");
}

/* ---- against brute force ---- */

struct count_call {
    struct keystore_count req;
    struct world *world;
};
static void on_count(struct keystore_count *req, const struct error *err)
{
    arrived(container_of(req, struct count_call, req)->world, err);
}
static uint64_t count(struct world *w, struct kad_prefix p, uint64_t limit)
{
    struct count_call c = { { .prefix = p, .limit = limit, .cb = on_count }, w };
    keystore_count(w->ks, &c.req);
    await(w);
    return c.req.count;
}

struct read_call {
    struct keystore_read req;
    struct world *world;
};
static void on_read(struct keystore_read *req, const struct error *err)
{
    arrived(container_of(req, struct read_call, req)->world, err);
}

/* What should be there. */
struct model {
    uint64_t kad[MANY];
    bool there[MANY], pending[MANY];
};
static uint64_t model_count(const struct model *m, struct kad_prefix p)
{
    uint64_t n = 0;
    for (int i = 0; i < MANY; i++)
        n += m->there[i] && kad_prefix_has(p, m->kad[i]);
    return n;
}

static void change_some(struct world *w, struct model *m, struct prng *p, struct keyset *keys)
{
    enum keystore_op op = (enum keystore_op)prng_below(p, 3);
    uint32_t n = 1 + prng_below(p, 900), want = 0;
    uint8_t hash[34];
    keyset_clear(keys);
    for (uint32_t j = 0; j < n; j++) {
        uint32_t i = prng_below(p, MANY);
        check(keyset_add(keys, key_of(i, hash)), "room");
        bool before = op == KEYSTORE_PROVIDED ? m->pending[i] : m->there[i];
        want += op == KEYSTORE_ADD ? !before : before;
        m->pending[i] = op == KEYSTORE_ADD && (!m->there[i] || m->pending[i]);
        if (op != KEYSTORE_PROVIDED)
            m->there[i] = op == KEYSTORE_ADD;
    }
    check(change(w, op, keys) == want, "each change is counted once");
}

TEST(counts_equal_brute_force_while_keys_come_and_go)
{
    static struct world w;
    static struct model m;
    char dir[300];
    uint8_t hash[34];
    struct prng p = prng_of(8);
    struct keyset keys;
    snprintf(dir, sizeof(dir), "%s/counts", unit_temp_dir());
    world_open(&w, dir);
    check(keyset_init(&keys, w.mem, 1024), "a set");
    for (uint64_t i = 0; i < MANY; i++)
        m.kad[i] = key_kad(key_of(i, hash));
    for (int round = 0; round < 50; round++) {
        change_some(&w, &m, &p, &keys);
        for (int i = 0; i < 200; i++) { /* 10,000 prefixes in all */
            uint8_t len = (uint8_t)prng_below(&p, 33);
            uint64_t limit = prng_below(&p, 4) ? 0 : 1 + prng_below(&p, 3);
            struct kad_prefix at = kad_prefix_of(m.kad[prng_below(&p, MANY)], len);
            uint64_t want = model_count(&m, at);
            check(count(&w, at, limit) == (limit ? MIN(want, limit) : want), "exact");
        }
        if (round % 10 == 9) { /* and they come back */
            keyset_free(&keys);
            world_close(&w);
            world_open(&w, dir);
            check(keyset_init(&keys, w.mem, 1024), "a set");
        }
    }
    uint64_t pending = 0;
    for (int i = 0; i < MANY; i++)
        pending += m.pending[i];
    check(keystore_pending(w.ks) == pending, "what is pending is counted");
    keyset_free(&keys);
    world_close(&w);
}

TEST(a_prefix_is_streamed_in_order_once)
{
    static struct world w;
    char dir[300];
    uint8_t hash[34];
    struct keyset keys, chunk;
    snprintf(dir, sizeof(dir), "%s/stream", unit_temp_dir());
    world_open(&w, dir);
    check(keyset_init(&keys, w.mem, 4000) && keyset_init(&chunk, w.mem, 100), "sets");
    for (uint64_t i = 0; i < 4000; i++)
        check(keyset_add(&keys, key_of(i, hash)), "room");
    check(change(&w, KEYSTORE_ADD, &keys) == 4000, "all new");
    for (uint8_t len = 0; len < 14; len++) {
        struct kad_prefix p = kad_prefix_of(UINT64_C(0x5a5a5a5a5a5a5a5a), len);
        struct read_call r = {
            { .kind = KEYSTORE_KEYS, .prefix = p, .keys = &chunk, .cb = on_read }, &w
        };
        uint64_t got = 0, last = 0;
        do {
            keystore_read(w.ks, &r.req);
            await(&w);
            for (uint32_t i = 0; i < chunk.count; i++) {
                check(keyset_kad(&chunk, i) >= last && kad_prefix_has(p, keyset_kad(&chunk, i)),
                      "in order and of the prefix");
                check(keyset_kad(&chunk, i) == key_kad(keyset_hash(&chunk, i)), "and whole");
                last = keyset_kad(&chunk, i);
            }
            check(r.req.end || chunk.count == 100, "short only at the end");
            got += chunk.count;
        } while (!r.req.end);
        check(got == count(&w, p, 0), "all of them");
    }
    keyset_free(&keys);
    keyset_free(&chunk);
    world_close(&w);
}

TEST(kad_keys_are_those_of_the_reference)
{
    yajl_val list = vector_get(vectors_load("kad-vectors.json"), "kad_keys");
    for (size_t i = 0; i < vector_count(list); i++) {
        uint8_t hash[128], kad[32];
        size_t n = vector_hex(vector_at(list, i), "multihash", hash, sizeof(hash));
        check(vector_hex(vector_at(list, i), "kad", kad, sizeof(kad)) == 32, "32 bytes");
        check(key_kad(bytes_of(hash, n)) == be64_decode(kad), "the first 64 bits");
    }
}
