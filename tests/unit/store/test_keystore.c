/* The keystore against brute force, across restarts, and killed at any moment. */
#include "unit.h"

#include <glob.h>
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
#include "store/keystore_stage.h"
#include "vectors.h"

static const struct store_row row = {
    .name = "keystore",
    .version = 1,
    .memory_floor_bytes = 8 * MiB,
    .block_bytes = 4 * KiB,
    .table_bytes = 2 * MiB,
    .filter_bits = 10,
    .filter_kinds = "kK",
    .sync = STORE_SYNC_ASKED,
    .enabled = true,
};

static const struct mem_row memory[] = {
    { "stores", "", MEM_FIXED, 8 * MiB, 16, 16, true },
    { "reprovide", "", MEM_ELASTIC, 4 * MiB, 10, 20, true },
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
static void on_stopped(void *ctx)
{
    arrived(ctx, NULL);
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
    const struct work_options work = { 2, 1, mem_arena_stores_enter };
    struct error err = { ERR_OK, "" };
    memset(w, 0, sizeof(*w));
    snprintf(w->dir, sizeof(w->dir), "%s", dir);
    mkdir(dir, 0700);
    check(!mem_plan_create(&w->plan, 256 * MiB, memory, 2, &err), err.text);
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
    keystore_stop(w->ks, on_stopped, w);
    await(w);
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

/* ---- stages ---- */

struct stage_call {
    struct keystore_stage req;
    struct world *world;
};
static void on_stage(struct keystore_stage *req)
{
    arrived(container_of(req, struct stage_call, req)->world, NULL);
}
static void stage(struct world *w, struct stage_call *s)
{
    *s = (struct stage_call){ { .cb = on_stage }, w };
    keystore_stage(w->ks, &s->req);
    await(w);
}
static void switch_over(struct world *w)
{
    struct write_call c = { { .op = KEYSTORE_SWITCH, .sync = true, .cb = on_write }, w };
    keystore_write(w->ks, &c.req);
    await(w);
}

struct tidy_wait {
    struct world *world;
    struct timer timer;
};
static void on_tidy_look(struct timer *t)
{
    struct world *w = container_of(t, struct tidy_wait, timer)->world;
    struct keystore_status st;
    keystore_status(w->ks, &st);
    if (st.left == 0 && !st.compacting)
        arrived(w, NULL);
    else
        timer_set(t, 50);
}
/* Until nothing is left to be swept or compacted. */
static void tidied(struct world *w)
{
    struct tidy_wait t = { .world = w };
    timer_init(&t.timer, w->loop, on_tidy_look, "test");
    timer_set(&t.timer, 100); /* longer than the pause before a step */
    await(w);
}

enum { MANY = 6000 };

/* ---- killed at any moment: the first test, since its children play it ---- */

struct shared {
    volatile uint32_t rounds, running;
    volatile uint64_t switched;
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

/* Which keys generation g has; what killed processes leave must be one of them whole. */
static bool is_of(uint64_t g, uint64_t i)
{
    struct prng p = prng_of(g * 1000003 + i);
    return i % 3 == 0 || prng_below(&p, 2);
}

static void stage_some(struct world *w, struct keyset *keys, uint64_t g, uint32_t from, uint32_t to)
{
    uint8_t hash[34];
    for (uint32_t i = from; i < to;) {
        keyset_clear(keys);
        for (; i < to && keys->count < 900; i++)
            if (is_of(g, i))
                check(keyset_add(keys, key_of(i, hash)), "room");
        (void)change(w, KEYSTORE_STAGE, keys);
    }
}

/* Generation after generation, some given up, with keys provided meanwhile. */
static void role_replacer(const char *dir)
{
    static struct world w;
    struct shared *s = map_shared(dir, false);
    struct prng p = prng_of(++s->seed);
    struct keyset keys;
    struct keystore_status st;
    uint8_t hash[34];
    durable_record_start((struct durable_record *)s->record, false);
    world_open(&w, dir);
    check(keyset_init(&keys, w.mem, 1024), "a set");
    for (s->running = 1;; s->rounds++) {
        struct stage_call at;
        stage(&w, &at);
        keystore_status(w.ks, &st);
        stage_some(&w, &keys, st.generation + 1, 0, MANY / 2);
        keyset_clear(&keys);
        for (uint32_t j = 0; j < 300; j++)
            check(keyset_add(&keys, key_of(prng_below(&p, MANY), hash)), "room");
        (void)change(&w, KEYSTORE_PROVIDED, &keys);
        if (prng_below(&p, 3) > 0) {
            stage_some(&w, &keys, st.generation + 1, MANY / 2, MANY);
            switch_over(&w);
            s->switched = st.generation + 1;
        }
        keystore_stage_end(&at.req);
    }
}

static uint64_t generation_of(struct ldb *db)
{
    uint8_t value[8];
    struct error err = { ERR_OK, "" };
    enum err rc = ldb_get_fixed(db, bytes_of("mgeneration", 11), value, 8, &err);
    return rc ? 0 : be64_decode(value);
}

static void verify_generation(struct ldb *db, uint64_t keys, uint64_t at_least)
{
    uint64_t g = generation_of(db), want = 0;
    uint8_t hash[34], at[64], none[1];
    for (uint64_t i = 0; g > 0 && i < MANY; i++) {
        struct bytes key = key_of(i, hash);
        struct writer w = writer_of(none, 1);
        at[0] = g & 1 ? 'K' : 'k';
        be64_encode(at + 1, key_kad(key));
        memcpy(at + 9, key.data, key.size);
        bool there = !ldb_get(db, NULL, bytes_of(at, 9 + key.size), &w, NULL);
        check(there == is_of(g, i), "the keys of one generation, and no others");
        want += there;
    }
    check(keys == want, "which are all");
    check(g >= at_least, "a switch that was answered has happened");
}

static void role_verifier(const char *dir, bool generations)
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
                                   .filter_kinds = "kK" };
    struct shared *s = map_shared(dir, false);
    durable_record_start((struct durable_record *)s->record, false);
    snprintf(path, sizeof(path), "%s/keystore", dir);
    struct mem_plan *plan = NULL; /* LevelDB may begin to compact, in an arena of its own */
    check(!mem_plan_create(&plan, 256 * MiB, memory, 2, &err), err.text);
    check(!ldb_open(&db, path, &o, &err), err.text);
    check(!keystore_verify(db, &keys, &err), err.text);
    if (generations)
        verify_generation(db, keys, s->switched);
    ldb_close(db);
    mem_plan_destroy(plan);
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

/* Plays the writer, kills it at any moment, drops what was not synced, and looks. */
static struct shared *kill_and_look(const char *name, const char *writer, const char *verifier)
{
    char dir[300];
    struct prng p = prng_of(99);
    struct error err = { ERR_OK, "" };
    int status = 0;
    snprintf(dir, sizeof(dir), "%s/%s", unit_temp_dir(), name);
    mkdir(dir, 0700);
    struct shared *s = map_shared(dir, true);
    for (int round = 0; round < 12; round++) {
        uint32_t wait_for = s->rounds + prng_below(&p, strcmp(writer, "writer") ? 4 : 30);
        s->running = 0;
        pid_t pid = spawn(writer, dir);
        for (int i = 0; (!s->running || s->rounds < wait_for) && i < 20000; i++)
            usleep(1000);
        usleep(prng_below(&p, 30000));
        kill(pid, SIGKILL);
        check(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "it ran until it was killed");
        check(!durable_cut((struct durable_record *)s->record, dir, &err), err.text);
        pid = spawn(verifier, dir);
        check(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0,
              "what is left is whole");
    }
    check(s->rounds > 12, "something was written");
    return s;
}

TEST(counters_equal_a_scan_after_a_kill_at_any_moment)
{
    const char *role = getenv("LARDER_CRASH_ROLE"), *of = getenv("LARDER_CRASH_DIR");
    if (role) {
        if (!strcmp(role, "writer"))
            role_writer(of);
        if (!strcmp(role, "replacer"))
            role_replacer(of);
        role_verifier(of, !strcmp(role, "generations"));
        exit(0);
    }
    (void)kill_and_look("crash", "writer", "verifier");
}

TEST(a_killed_replacement_has_happened_or_not)
{
    static struct world w;
    char dir[300];
    struct keystore_status st;
    struct shared *s = kill_and_look("replaced", "replacer", "generations");
    check(s->switched > 3, "there were generations");
    snprintf(dir, sizeof(dir), "%s/replaced", unit_temp_dir());
    world_open(&w, dir); /* what is left of the last one goes, whoever left it */
    tidied(&w);
    keystore_status(w.ks, &st);
    check(st.left == 0 && st.generation >= s->switched, "all is swept");
    world_close(&w);
    role_verifier(dir, true);
}

/* Counters equal a scan, of both generations. */
static void role_verifier_of(const char *dir)
{
    map_shared(dir, true);
    role_verifier(dir, false);
}

static uint64_t table_bytes(const char *path)
{
    uint64_t sum = 0;
    struct stat st;
    glob_t found;
    char pattern[500];
    snprintf(pattern, sizeof(pattern), "%s/*.ldb", path);
    if (glob(pattern, 0, NULL, &found))
        return 0;
    for (size_t i = 0; i < found.gl_pathc; i++)
        sum += stat(found.gl_pathv[i], &st) ? 0 : (uint64_t)st.st_size;
    globfree(&found);
    return sum;
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

struct has_call {
    struct keystore_has req;
    struct world *world;
};
static void on_has(struct keystore_has *req, const struct error *err)
{
    arrived(container_of(req, struct has_call, req)->world, err);
}

/* Every key, one by one, by count and by stream. */
static void check_model(struct world *w, const struct model *m, struct keyset *keys)
{
    static uint8_t have[128], pending[128];
    uint8_t hash[34];
    for (int i = 0; i < MANY;) {
        struct has_call h = { { .keys = keys, .have = have, .pending = pending, .cb = on_has }, w };
        int first = i;
        keyset_clear(keys);
        for (; i < MANY && keys->count < 1000; i++)
            check(keyset_add(keys, key_of((uint64_t)i, hash)), "room");
        keystore_has(w->ks, &h.req);
        await(w);
        for (int j = first; j < i; j++) {
            int bit = j - first;
            check((have[bit / 8] >> (bit % 8) & 1) == m->there[j], "has");
            check((pending[bit / 8] >> (bit % 8) & 1) == m->pending[j], "and whether pending");
        }
    }
    uint64_t total = model_count(m, (struct kad_prefix){ 0, 0 }), waits = 0, got[2] = { 0, 0 };
    for (int i = 0; i < MANY; i++)
        waits += m->pending[i];
    check(keystore_total(w->ks) == total && keystore_pending(w->ks) == waits, "counted");
    for (int k = 0; k < 2; k++) {
        struct read_call r = {
            { .kind = k ? KEYSTORE_PENDING : KEYSTORE_KEYS, .keys = keys, .cb = on_read }, w
        };
        do {
            keystore_read(w->ks, &r.req);
            await(w);
            got[k] += keys->count;
        } while (!r.req.end);
    }
    check(got[0] == total && got[1] == waits, "and streamed");
}

/* The next set: the model it makes, staged in pieces between which the keystore changes. */
static void replace_some(struct world *w, struct model *m, struct prng *p, struct keyset *keys,
                         bool end)
{
    static struct model next;
    struct stage_call at;
    uint8_t hash[34];
    stage(w, &at);
    memset(next.there, 0, sizeof(next.there));
    memset(next.pending, 0, sizeof(next.pending));
    for (int piece = 0; piece < 6; piece++) {
        uint32_t new = 0, known = 0;
        keyset_clear(keys);
        for (int j = 0; j < 700; j++) {
            uint32_t i = prng_below(p, MANY);
            check(keyset_add(keys, key_of(i, hash)), "room");
            new += !next.there[i];
            known += !next.there[i] && m->there[i];
            if (!next.there[i])
                next.pending[i] = m->there[i] ? m->pending[i] : true;
            next.there[i] = true;
        }
        struct write_call c = { { .op = KEYSTORE_STAGE, .keys = keys, .cb = on_write }, w };
        keystore_write(w->ks, &c.req);
        await(w);
        check(c.req.changed == new &&c.req.known == known, "new ones, and those that were there");
        /* What is done meanwhile is done to both. */
        enum keystore_op op = (enum keystore_op)prng_below(p, 3);
        keyset_clear(keys);
        for (int j = 0; j < 300; j++) {
            uint32_t i = prng_below(p, MANY);
            check(keyset_add(keys, key_of(i, hash)), "room");
            if (op == KEYSTORE_ADD) {
                bool waits = m->there[i] ? m->pending[i] : true;
                next.pending[i] = next.there[i] ? next.pending[i] : waits;
                m->pending[i] = waits;
                m->there[i] = next.there[i] = true;
                continue;
            }
            m->pending[i] = next.pending[i] = false;
            if (op == KEYSTORE_REMOVE)
                m->there[i] = next.there[i] = false;
        }
        (void)change(w, op, keys);
        check(keystore_total(w->ks) == model_count(m, (struct kad_prefix){ 0, 0 }), "unseen yet");
    }
    if (end) {
        switch_over(w);
        memcpy(m->there, next.there, sizeof(m->there));
        memcpy(m->pending, next.pending, sizeof(m->pending));
    }
    keystore_stage_end(&at.req);
}

TEST(a_replaced_set_equals_brute_force_while_keys_come_and_go)
{
    static struct world w;
    static struct model m;
    char dir[300];
    uint8_t hash[34];
    struct prng p = prng_of(12);
    struct keyset keys;
    struct keystore_status st;
    snprintf(dir, sizeof(dir), "%s/generations", unit_temp_dir());
    world_open(&w, dir);
    check(keyset_init(&keys, w.mem, 1024), "a set");
    for (uint64_t i = 0; i < MANY; i++)
        m.kad[i] = key_kad(key_of(i, hash));
    for (int round = 0; round < 12; round++) {
        change_some(&w, &m, &p, &keys);
        replace_some(&w, &m, &p, &keys, round % 4 != 2);
        change_some(&w, &m, &p, &keys); /* while the sweep runs */
        check_model(&w, &m, &keys);
        if (round % 3 == 2) { /* in the middle of it */
            keyset_free(&keys);
            world_close(&w);
            world_open(&w, dir);
            check(keyset_init(&keys, w.mem, 1024), "a set");
        }
    }
    tidied(&w);
    check_model(&w, &m, &keys);
    keystore_status(w.ks, &st);
    check(st.generation == 9 && st.left == 0 && !st.staging, "nine switches, three given up");
    keyset_free(&keys);
    world_close(&w);
    role_verifier_of(dir);
}

TEST(a_stage_waits_for_the_one_before_it)
{
    static struct world w;
    char dir[300];
    struct stage_call first, second, third;
    struct keystore_status st;
    snprintf(dir, sizeof(dir), "%s/stages", unit_temp_dir());
    world_open(&w, dir);
    stage(&w, &first);
    second = third = (struct stage_call){ { .cb = on_stage }, &w };
    keystore_stage(w.ks, &second.req);
    keystore_stage(w.ks, &third.req);
    keystore_stage_end(&second.req); /* gives up waiting */
    tidied(&w);
    check(!w.called, "not yet");
    keystore_stage_end(&first.req);
    await(&w);
    keystore_status(w.ks, &st);
    check(st.staging && st.generation == 0, "the third is open");
    keystore_stage_end(&third.req);
    world_close(&w);
}

/* Whose last step has a full batch, so that it is the next one that finds nothing. */
TEST(a_sweep_that_ends_with_a_full_step_forgets_where_it_was)
{
    static struct world w;
    char dir[300];
    uint8_t hash[63] = { 0 }; /* the longest of which a full set has room for */
    struct keyset keys;
    struct keystore_status st;
    snprintf(dir, sizeof(dir), "%s/even", unit_temp_dir());
    world_open(&w, dir);
    check(keyset_init(&keys, w.mem, 4096), "a set");
    const uint8_t odd[9 + KEY_BYTES_MAX] = "K"; /* in a damaged store: longer than a key */
    struct keystore_row bad = { bytes_of(odd, sizeof(odd)), bytes_of("", 0) };
    for (int round = 0; round < 3; round++) {
        struct stage_call at;
        stage(&w, &at);
        keyset_clear(&keys);
        for (uint64_t i = 0; i < (round == 0 ? 4096 : 3); i++)
            check(keyset_add(&keys, bytes_of(hash, key_of(i, hash).size + 29)), "room");
        struct write_call c = { { .op = round ? KEYSTORE_STAGE : KEYSTORE_ADD, .keys = &keys },
                                &w };
        c.req.cb = on_write, c.req.rows = &bad, c.req.rows_count = round == 2;
        keystore_write(w.ks, &c.req);
        await(&w);
        keystore_status(w.ks, &st);
        check(st.staged == (round == 0 ? 4096 : 3), "what is staged is counted");
        keystore_stage_end(&at.req); /* given up */
        keystore_status(w.ks, &st);
        check(st.left > 0 && !st.staging, "and what is left of it");
        tidied(&w);
        keystore_status(w.ks, &st);
        check(st.left == 0 && st.generation == 0 && keystore_total(w.ks) == 4096, "all is swept");
    }
    keyset_free(&keys);
    world_close(&w);
    role_verifier_of(dir);
}

TEST(deleted_rows_are_compacted_away)
{
    static struct world w;
    char dir[300], path[400];
    uint8_t hash[34];
    struct keyset keys;
    struct keystore_status st;
    enum { KEYS = 40000 };
    uint64_t bytes[3];
    snprintf(dir, sizeof(dir), "%s/compact", unit_temp_dir());
    snprintf(path, sizeof(path), "%s/keystore", dir);
    world_open(&w, dir);
    check(keyset_init(&keys, w.mem, 4096), "a set");
    for (int op = 0; op < 3; op++) {
        static const enum keystore_op ops[] = { KEYSTORE_ADD, KEYSTORE_PROVIDED, KEYSTORE_REMOVE };
        for (uint64_t i = 0; i < KEYS;) {
            keyset_clear(&keys);
            for (; i < KEYS && keys.count < 4096; i++)
                check(keyset_add(&keys, key_of(i, hash)), "room");
            (void)change(&w, ops[op], &keys);
        }
        tidied(&w);
        bytes[op] = table_bytes(path);
    }
    check(bytes[0] > 50 * KEYS, "there were keys and marks");
    check(bytes[1] < 70 * KEYS, "but few of the marks");
    check(bytes[2] < 200 * 1000, "and no keys: counters");
    keystore_status(w.ks, &st);
    check(st.generation == 0 && keystore_total(w.ks) == 0, "none");
    keyset_free(&keys);
    world_close(&w);
    role_verifier_of(dir);
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
