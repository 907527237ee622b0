#include "node/offline.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/units.h"
#include "core/config.h"
#include "core/loop.h"
#include "node/datadir.h"
#include "node/keys.h"
#include "node/node_state.h"
#include "node/plan.h"
#include "store/backup.h"
#include "store/keystore.h"
#include "store/restore.h"
#include "store/slab.h"
#include "store/stores_rows.h"

struct offline {
    const struct config *config;
    struct datadir datadir;
    struct mem_plan *plan;
    struct mem_owner *mem; /* the row "stores": nothing else holds memory here */
    struct store_row rows[STORES_MAX];
    uint32_t count;
    char slab_dir[LIMIT_PATH_BYTES];
};

static enum err offline_open(struct offline *o, const struct config *c, struct error *err)
{
    struct mem_row rows[PLAN_OWNERS_MAX];
    machine_log_setup_command(c);
    *o = (struct offline){ .config = c, .datadir = DATADIR_NONE };
    o->count = stores_rows(c, o->rows);
    snprintf(o->slab_dir, sizeof(o->slab_dir), "%s/" SLAB_DIR_NAME, c->data_dir);
    enum err rc = mem_plan_create(&o->plan, c->memory, rows, plan_memory_rows(c, rows), err);
    if (!rc)
        rc = mem_plan_check(o->plan, err);
    if (!rc)
        rc = datadir_open(&o->datadir, c->data_dir, err);
    if (rc)
        return rc;
    o->mem = mem_plan_find(o->plan, "stores");
    mem_arena_stores_enter();
    return ERR_OK;
}

static void offline_close(struct offline *o)
{
    datadir_close(&o->datadir);
    mem_plan_destroy(o->plan);
}

/* ---- restore, repair ---- */

static void print_restored(void *ctx UNUSED, const char *store, uint64_t records, uint64_t bytes)
{
    printf("%s: %" PRIu64 " records, %s, done\n", store, records, units_size_about(bytes).text);
}

static uint64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

enum err offline_restore(const struct config *c, const char *dir, struct error *err)
{
    struct offline o;
    enum err rc = offline_open(&o, c, err);
    if (!rc) {
        const struct restore_options options = {
            .backup_dir = dir,
            .data_dir = c->data_dir,
            .slab_dir = o.slab_dir,
            .identity = datadir_identity,
            .rows = o.rows,
            .count = o.count,
            .mem = o.mem,
            .wall_ns = wall_ns(),
            .progress = print_restored,
        };
        rc = restore_run(&options, err);
        if (!rc) /* of a reserve that is no longer there; the first start makes it anew */
            unlinkat(o.datadir.fd, DATADIR_CLAIM, 0);
    }
    offline_close(&o);
    return rc;
}

static bool is_named(const char *name, char *const *names)
{
    for (; *names; names++)
        if (!strcmp(*names, name))
            return true;
    return false;
}

static enum err check_names(const struct offline *o, char *const *names, struct error *err)
{
    for (; *names; names++) {
        bool known = false;
        for (uint32_t i = 0; i < o->count; i++)
            known |= !strcmp(o->rows[i].name, *names);
        if (!known)
            return error_set(err, ERR_USAGE, "there is no store '%.60s'", *names);
    }
    return ERR_OK;
}

static enum err repair_all(struct offline *o, char *const *names, struct error *err)
{
    enum err rc = check_names(o, names, err);
    for (uint32_t i = 0; !rc && i < o->count; i++) {
        char path[PATH_MAX];
        const struct store_row *row = &o->rows[i];
        snprintf(path, sizeof(path), "%s/%s", o->config->data_dir, row->name);
        if ((names[0] && !is_named(row->name, names)) || access(path, F_OK))
            continue;
        rc = store_repair_row(o->config->data_dir, row, err);
        if (!rc)
            printf("%s: repaired; what could be read is there, and what was deleted lately may be "
                   "back\n",
                   row->name);
    }
    return rc;
}

enum err offline_repair(const struct config *c, char *const *names, struct error *err)
{
    struct offline o;
    enum err rc = offline_open(&o, c, err);
    if (!rc)
        rc = repair_all(&o, names, err);
    offline_close(&o);
    return rc;
}

/* ---- backup: the same as in a node, on a loop of its own ---- */

struct offline_stores {
    struct loop *loop;
    struct work_pool *work;
    struct stores *stores;
    struct backup *backup;
    struct error failure;
};

static void on_step(void *ctx, const struct error *err)
{
    struct offline_stores *s = ctx;
    if (err && !s->failure.code)
        s->failure = *err;
    loop_stop(s->loop);
}

static void print_progress(void *ctx UNUSED, const struct backup_progress *now)
{
    if (now->finished)
        print_restored(NULL, now->store, now->records, now->bytes);
}

/* What is there is backed up, whatever the configuration at hand turns on. */
static void enable_found(struct offline *o)
{
    char path[PATH_MAX];
    for (uint32_t i = 0; i < o->count; i++) {
        snprintf(path, sizeof(path), "%s/%s", o->config->data_dir, o->rows[i].name);
        o->rows[i].enabled |= !access(path, F_OK);
    }
}

static enum err stores_start(struct offline_stores *s, struct offline *o, struct error *err)
{
    const struct work_options work = { 2, 1, mem_arena_stores_enter };
    const struct stores_options stores = {
        .data_dir = o->config->data_dir,
        .mem = o->mem,
        .memory_bytes = o->mem->share_bytes / 2,
        .rows = o->rows,
        .count = o->count,
    };
    enable_found(o);
    enum err rc = loop_create(&s->loop, err);
    if (!rc)
        rc = work_pool_create(&s->work, s->loop, &work, err);
    if (rc)
        return rc;
    struct stores_options options = stores;
    options.loop = s->loop;
    options.work = s->work;
    rc = stores_create(&s->stores, &options, err);
    if (rc)
        return rc;
    stores_open(s->stores, on_step, s);
    loop_run(s->loop);
    if (!s->failure.code)
        return ERR_OK;
    stores_destroy(s->stores);
    s->stores = NULL;
    return error_set(err, s->failure.code, "%s", s->failure.text);
}

static enum err stores_back_up(struct offline_stores *s, struct offline *o, const char *dir,
                               struct error *err)
{
    const struct backup_options options = {
        .stores = s->stores,
        .loop = s->loop,
        .work = s->work,
        .mem = o->mem,
        .dir = dir,
        .slab_dir = stores_find(s->stores, "reserve") ? o->slab_dir : NULL,
        .data_dir = o->config->data_dir,
        .identity = datadir_identity,
        .progress = print_progress,
        .done = on_step,
        .ctx = s,
    };
    enum err rc = backup_start(&s->backup, &options, err);
    if (rc)
        return rc;
    loop_run(s->loop);
    backup_destroy(s->backup);
    if (s->failure.code)
        return error_set(err, s->failure.code, "%s", s->failure.text);
    return ERR_OK;
}

static void stores_stop(struct offline_stores *s)
{
    if (s->stores) {
        stores_close(s->stores, on_step, s);
        loop_run(s->loop);
    }
    stores_destroy(s->stores);
    work_pool_destroy(s->work);
    loop_destroy(s->loop);
}

/* ---- keys: the same as in a node ---- */

struct offline_keys {
    struct offline_stores s; /* its loop stops at each step */
    struct keystore *keystore;
    int *exit_code;
};

static void on_keystore(void *ctx, const struct error *err)
{
    on_step(&((struct offline_keys *)ctx)->s, err);
}

static bool keys_print(void *ctx UNUSED, bool to_stderr, const char *text)
{
    fputs(text, to_stderr ? stderr : stdout);
    return true;
}

static void keys_done(void *ctx, int exit_code, const struct error *err)
{
    struct offline_keys *k = ctx;
    *k->exit_code = exit_code;
    on_step(&k->s, err);
}

static void keys_stopped(void *ctx)
{
    on_step(&((struct offline_keys *)ctx)->s, NULL);
}

static enum err keys_run(struct offline_keys *k, struct offline *o, const char *const *words,
                         struct error *err)
{
    struct keys_command *command = NULL;
    struct mem_owner *mem = mem_plan_find(o->plan, "reprovide");
    const struct keys_io io = { keys_print, keys_done, k };
    uint32_t argc = 0;
    while (words[argc])
        argc++;
    enum err rc =
        keystore_create(&k->keystore, stores_find(k->s.stores, "keystore"), k->s.loop, mem, err);
    if (rc)
        return rc;
    keystore_open(k->keystore, on_keystore, k);
    loop_run(k->s.loop);
    const struct keys_place place = { k->keystore, k->s.loop, k->s.work, mem };
    if (!k->s.failure.code)
        rc = keys_start(&command, &place, argc, words, &io, err);
    if (!rc && !k->s.failure.code)
        loop_run(k->s.loop);
    if (!rc && k->s.failure.code)
        rc = error_set(err, k->s.failure.code, "%s", k->s.failure.text);
    keystore_stop(k->keystore, keys_stopped, k);
    loop_run(k->s.loop);
    keystore_destroy(k->keystore);
    return rc;
}

enum err offline_keys(const struct config *c, const char *const *words, int *exit_code,
                      struct error *err)
{
    struct offline o;
    struct offline_keys k = { .s = { .failure = { ERR_OK, "" } }, .exit_code = exit_code };
    enum err rc = offline_open(&o, c, err);
    if (!rc)
        rc = stores_start(&k.s, &o, err);
    if (!rc)
        rc = keys_run(&k, &o, words, err);
    stores_stop(&k.s);
    offline_close(&o);
    return rc;
}

enum err offline_backup(const struct config *c, const char *dir, struct error *err)
{
    struct offline o;
    struct offline_stores s = { .failure = { ERR_OK, "" } };
    enum err rc = offline_open(&o, c, err);
    if (!rc)
        rc = stores_start(&s, &o, err);
    if (!rc)
        rc = stores_back_up(&s, &o, dir, err);
    stores_stop(&s);
    offline_close(&o);
    return rc;
}
