#include "store/backup.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "store/backup_bodies.h"
#include "store/backup_identity.h"
#include "store/durable.h"
#include "store/reserve.h"
#include "store/stores_state.h"

struct backup {
    struct backup_options options;
    char dir[LIMIT_BACKUP_PATH_BYTES];
    char slab_dir[LIMIT_PATH_BYTES]; /* empty: none */
    struct backup_manifest manifest; /* filled as stores are finished */
    struct ldb_view *views[BACKUP_ENTRIES_MAX];
    uint32_t pinned; /* stores, from the front */
    uint32_t at;     /* store being read; behind the last one: the bodies */
    uint32_t index;  /* the store that names the bodies; at the count of stores: none */
    bool holds_slots;
    unsigned slots_ticket;
    bool at_end; /* of it */
    bool canceled;
    struct error failure;
    struct work work;
    struct backup_file file;
    uint8_t last_key[LIMIT_BACKUP_KEY_BYTES + 1]; /* of the slice before, and a zero byte */
    uint32_t last_key_bytes;                      /* 0: from the first */
    struct backup_bodies bodies;
};

static struct backup *backup_of(struct work *w)
{
    return container_of(w, struct backup, work);
}

/* A macro, so that the log of slow callbacks has the name of each. */
#define next(b, run, done) work_submit((b)->options.work, &(b)->work, WORK_READ, run, done)

/* ---- the end, which every path comes to ---- */

static enum err release_run(struct work *w, struct error *err UNUSED)
{
    struct backup *b = backup_of(w);
    for (uint32_t i = 0; i < b->pinned; i++)
        ldb_view_close(b->options.stores->stores[i].db, b->views[i]);
    backup_file_close(&b->file);
    backup_bodies_close(&b->bodies);
    return ERR_OK;
}

static void release_done(struct work *w, const struct error *err UNUSED)
{
    struct backup *b = backup_of(w);
    struct stores *s = b->options.stores;
    while (b->pinned > 0)
        store_unpin(&s->stores[--b->pinned]);
    if (b->holds_slots)
        reserve_slots_leave(b->options.reserve, b->slots_ticket);
    b->holds_slots = false;
    s->backup_runs = false;
    b->options.done(b->options.ctx, b->failure.code ? &b->failure : NULL);
}

static void finish(struct backup *b, const struct error *err)
{
    if (err && !b->failure.code)
        b->failure = *err;
    next(b, release_run, release_done);
}

static bool ends_here(struct backup *b, const struct error *err)
{
    if (b->canceled && !b->failure.code)
        error_set(&b->failure, ERR_CANCELED, "the backup was canceled");
    if (!err && !b->failure.code)
        return false;
    finish(b, err);
    return true;
}

/* ---- a folder, the views ---- */

static enum err check_empty(const char *dir, struct error *err)
{
    DIR *d = opendir(dir);
    if (!d)
        return error_errno(err, ERR_IO, errno, "opening %s", dir);
    bool empty = true;
    for (struct dirent *e; empty && (e = readdir(d));)
        empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    closedir(d);
    if (!empty)
        return error_set(err, ERR_REFUSED, "%s is not empty", dir);
    return ERR_OK;
}

static enum err folder_run(struct work *w, struct error *err)
{
    struct backup *b = backup_of(w);
    enum err rc = durable_mkdir(b->dir, err);
    return rc ? rc : check_empty(b->dir, err);
}

static enum err views_run(struct work *w, struct error *err)
{
    struct backup *b = backup_of(w);
    for (uint32_t i = 0; i < b->pinned; i++)
        if (!b->options.stores->stores[i].db)
            return error_set(err, ERR_IO, "store '%s' is closed",
                             b->options.stores->stores[i].row->name);
    for (uint32_t i = 0; i < b->pinned; i++)
        b->views[i] = ldb_view_open(b->options.stores->stores[i].db);
    return ERR_OK;
}

static void store_begin(struct backup *b);

static void views_done(struct work *w, const struct error *err)
{
    struct backup *b = backup_of(w);
    stores_thaw(b->options.stores);
    if (!ends_here(b, err))
        store_begin(b);
}

static void on_frozen(void *ctx)
{
    struct backup *b = ctx;
    struct stores *s = b->options.stores;
    for (; b->pinned < s->count; b->pinned++)
        store_pin(&s->stores[b->pinned]);
    if (b->index < s->count && b->options.reserve) {
        b->slots_ticket = reserve_slots_enter(b->options.reserve);
        b->holds_slots = true;
    }
    next(b, views_run, views_done);
}

static void folder_done(struct work *w, const struct error *err)
{
    struct backup *b = backup_of(w);
    if (!ends_here(b, err))
        stores_freeze(b->options.stores, on_frozen, b);
}

/* ---- one store after the other, in slices ---- */

static enum err manifest_run(struct work *w, struct error *err)
{
    struct backup *b = backup_of(w);
    return backup_manifest_write(&b->manifest, b->dir, err);
}

static void manifest_done(struct work *w, const struct error *err)
{
    finish(backup_of(w), err);
}

static enum err identity_run(struct work *w, struct error *err)
{
    struct backup *b = backup_of(w);
    return backup_identity_write(&b->file, b->dir, b->options.data_dir, b->options.identity,
                                 &b->manifest.entries[b->manifest.count], err);
}

static void identity_done(struct work *w, const struct error *err)
{
    struct backup *b = backup_of(w);
    const struct backup_entry *e = &b->manifest.entries[b->manifest.count];
    const struct backup_progress now = { BACKUP_IDENTITY, e->records, e->bytes, true };
    if (ends_here(b, err))
        return;
    if (e->records > 0) {
        b->manifest.count++;
        b->options.progress(b->options.ctx, &now);
    }
    next(b, manifest_run, manifest_done);
}

static bool at_bodies(const struct backup *b)
{
    return b->at == b->options.stores->count;
}

static const char *name_now(const struct backup *b)
{
    return at_bodies(b) ? BACKUP_BODIES : b->options.stores->stores[b->at].row->name;
}

static enum err file_run(struct work *w, struct error *err)
{
    struct backup *b = backup_of(w);
    char path[PATH_MAX];
    backup_file_path(path, sizeof(path), b->dir, name_now(b));
    b->last_key_bytes = 0;
    b->at_end = false;
    enum err rc = at_bodies(b) ? backup_bodies_begin(&b->bodies, b->slab_dir, err) : ERR_OK;
    return rc ? rc : backup_file_create(&b->file, path, err);
}

static void remember_key(struct backup *b, struct bytes key)
{
    assert(key.size <= LIMIT_BACKUP_KEY_BYTES); /* backup_file_put has refused longer ones */
    memcpy(b->last_key, key.data, key.size);
    b->last_key[key.size] = 0; /* the smallest key after it */
    b->last_key_bytes = (uint32_t)key.size + 1;
}

/* Iterators do not cross a callback, so each slice seeks again. */
static enum err records_slice(struct backup *b, struct error *err)
{
    uint64_t end = b->file.bytes + LIMIT_BACKUP_SLICE_BYTES;
    enum err rc = ERR_OK;
    struct ldb_iter *it =
        ldb_iter_open(b->options.stores->stores[b->at].db, b->views[b->at], false);
    ldb_iter_seek(it, bytes_of(b->last_key, b->last_key_bytes));
    for (; !rc && ldb_iter_valid(it) && b->file.bytes < end; ldb_iter_next(it)) {
        rc = backup_file_put(&b->file, ldb_iter_key(it), ldb_iter_value(it), err);
        if (!rc && b->file.bytes >= end)
            remember_key(b, ldb_iter_key(it));
    }
    b->at_end = !ldb_iter_valid(it);
    if (!rc && b->at_end)
        rc = ldb_iter_status(it, err);
    ldb_iter_close(it);
    return rc;
}

static enum err bodies_slice(struct backup *b, struct error *err)
{
    struct ldb *db = b->options.stores->stores[b->index].db;
    enum err rc = backup_bodies_slice(&b->bodies, db, b->views[b->index], &b->file, err);
    b->at_end = b->bodies.end;
    return rc;
}

static enum err slice_run(struct work *w, struct error *err)
{
    struct backup *b = backup_of(w);
    enum err rc = at_bodies(b) ? bodies_slice(b, err) : records_slice(b, err);
    if (rc || !b->at_end)
        return rc;
    struct backup_entry *e = &b->manifest.entries[b->at];
    snprintf(e->store, sizeof(e->store), "%s", name_now(b));
    e->records = b->file.records;
    rc = backup_file_finish(&b->file, e->digest, err);
    e->bytes = b->file.bytes;
    return rc;
}

static void slice_done(struct work *w, const struct error *err)
{
    struct backup *b = backup_of(w);
    const struct backup_progress now = { name_now(b), b->file.records, b->file.bytes, b->at_end };
    if (ends_here(b, err))
        return;
    b->options.progress(b->options.ctx, &now);
    if (!b->at_end) {
        next(b, slice_run, slice_done);
        return;
    }
    b->at++;
    b->manifest.count++;
    store_begin(b);
}

static void file_done(struct work *w, const struct error *err)
{
    struct backup *b = backup_of(w);
    if (!ends_here(b, err))
        next(b, slice_run, slice_done);
}

static void store_begin(struct backup *b)
{
    const uint32_t stores = b->options.stores->count;
    if (b->at < stores || (b->at == stores && b->index < stores))
        next(b, file_run, file_done);
    else if (b->options.identity)
        next(b, identity_run, identity_done);
    else
        next(b, manifest_run, manifest_done);
}

enum err backup_start(struct backup **out, const struct backup_options *options, struct error *err)
{
    assert(options->stores->count + 1 < BACKUP_ENTRIES_MAX && options->done && options->progress);
    if (options->stores->backup_runs)
        return error_set(err, ERR_LIMIT, "a backup is running already");
    if (strlen(options->dir) >= LIMIT_BACKUP_PATH_BYTES ||
        (options->slab_dir && strlen(options->slab_dir) >= LIMIT_PATH_BYTES))
        return error_set(err, ERR_USAGE, "the folder's path is too long");
    struct backup *b = mem_try_zalloc(options->mem, sizeof(*b));
    if (!b)
        return mem_refused(options->mem, sizeof(*b), err);
    b->options = *options;
    b->file.fd = -1;
    snprintf(b->dir, sizeof(b->dir), "%s", options->dir);
    if (options->slab_dir)
        snprintf(b->slab_dir, sizeof(b->slab_dir), "%s", options->slab_dir);
    b->index = options->stores->count;
    for (uint32_t i = 0; options->slab_dir && i < options->stores->count; i++)
        if (!strcmp(options->stores->stores[i].row->name, BACKUP_BODIES_OF))
            b->index = i;
    options->stores->backup_runs = true;
    next(b, folder_run, folder_done);
    *out = b;
    return ERR_OK;
}

void backup_cancel(struct backup *b)
{
    b->canceled = true;
}

void backup_destroy(struct backup *b)
{
    if (!b)
        return;
    assert(!work_pending(&b->work) && b->pinned == 0);
    mem_free(b->options.mem, b);
}
