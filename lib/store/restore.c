#include "store/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/backup_bodies.h"
#include "store/backup_identity.h"
#include "store/durable.h"
#include "store/statestore.h"

struct restore {
    const struct restore_options *o;
    struct backup_manifest manifest;
    struct backup_file file;
    struct slab_files slabs;
    uint8_t record[LIMIT_BACKUP_RECORD_BYTES];
};

static void mark_path(char out[PATH_MAX], const char *data_dir)
{
    snprintf(out, PATH_MAX, "%s/" RESTORE_MARK, data_dir);
}

enum err restore_check_ended(const char *data_dir, struct error *err)
{
    char path[PATH_MAX];
    mark_path(path, data_dir);
    if (access(path, F_OK) && errno == ENOENT)
        return ERR_OK;
    return error_set(err, ERR_CORRUPT,
                     "a restore into %s was begun and has not ended: run 'larder restore' again, "
                     "into an empty directory",
                     data_dir);
}

/* Durable before the first store is: what stands beside it may lack anything. */
static enum err mark_set(const char *data_dir, struct error *err)
{
    char path[PATH_MAX];
    mark_path(path, data_dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "making %s", path);
    enum err rc = durable_sync_new(fd, path, err);
    close(fd);
    return rc;
}

/* The folders of stores and slabs have their names before it goes. */
static enum err mark_clear(const char *data_dir, struct error *err)
{
    char path[PATH_MAX];
    mark_path(path, data_dir);
    enum err rc = durable_sync_dir(data_dir, err);
    if (!rc && unlink(path))
        rc = error_errno(err, ERR_IO, errno, "removing %s", path);
    if (rc)
        return rc;
    durable_forget(path);
    return durable_sync_dir(data_dir, err);
}

static const struct store_row *row_of(const struct restore_options *o, const char *name)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (!strcmp(o->rows[i].name, name))
            return &o->rows[i];
    return NULL;
}

/* What a copy of a node must not share with its original. A later reserve gets a new epoch here, so
 * that peers do not take the copy's bins for those they know. */
static enum err adjust(const struct restore_options *o, const struct store_row *row, struct ldb *db,
                       struct error *err)
{
    static const char name[] = STATE_NODE_RESTORED;
    uint8_t value[8];
    if (strcmp(row->name, "state") != 0)
        return ERR_OK;
    be64_encode(value, o->wall_ns);
    const struct state_key key = { STATE_NODE, bytes_of(name, sizeof(name) - 1) };
    return state_put_now(db, key, bytes_of(value, sizeof(value)), err);
}

static bool is_bodies(const struct backup_entry *e)
{
    return !strcmp(e->store, BACKUP_BODIES);
}

static bool is_identity(const struct backup_entry *e)
{
    return !strcmp(e->store, BACKUP_IDENTITY);
}

/* Has it a place here? */
static enum err check_known(const struct restore *r, const struct backup_entry *e,
                            struct error *err)
{
    if (r->o->identity && is_identity(e))
        return backup_identity_check(r->o->data_dir, r->o->identity, err);
    if (row_of(r->o, e->store) || (r->o->slab_dir && is_bodies(e)))
        return ERR_OK;
    return error_set(err, ERR_FOREIGN, "the backup has a store '%s' that this program lacks",
                     e->store);
}

static enum err check_empty(const struct restore *r, struct error *err)
{
    char path[PATH_MAX];
    for (uint32_t i = 0; i < r->o->count; i++) {
        snprintf(path, sizeof(path), "%s/%s", r->o->data_dir, r->o->rows[i].name);
        if (!access(path, F_OK))
            return error_set(err, ERR_REFUSED,
                             "%s has stores already; restore into an empty folder", r->o->data_dir);
    }
    if (r->o->slab_dir && slab_dir_is_used(r->o->slab_dir))
        return error_set(err, ERR_REFUSED, "%s has slabs already; restore into an empty folder",
                         r->o->data_dir);
    return ERR_OK;
}

static enum err check_target(const struct restore *r, struct error *err)
{
    enum err rc = check_empty(r, err);
    for (uint32_t i = 0; !rc && i < r->manifest.count; i++)
        rc = check_known(r, &r->manifest.entries[i], err);
    return rc;
}

static enum err open_entry(struct restore *r, const struct backup_entry *e, struct error *err)
{
    char path[PATH_MAX];
    backup_file_path(path, sizeof(path), r->o->backup_dir, e->store);
    return backup_file_open(&r->file, path, err);
}

static enum err check_entry(struct restore *r, const struct backup_entry *e, struct error *err)
{
    struct bytes key, value;
    uint8_t digest[SHA256_BYTES];
    bool more = true;
    enum err rc = open_entry(r, e, err);
    while (!rc && more)
        rc = backup_file_next(&r->file, r->record, &key, &value, &more, err);
    if (!rc) {
        backup_file_digest(&r->file, digest);
        if (memcmp(digest, e->digest, SHA256_BYTES) != 0 || r->file.bytes != e->bytes ||
            r->file.records != e->records)
            rc = error_set(err, ERR_CORRUPT, "it is not what the manifest says");
    }
    backup_file_close(&r->file);
    if (rc)
        return error_wrap(err, rc, "%s.records", e->store);
    return ERR_OK;
}

static enum err batch_flush(struct ldb *db, struct ldb_batch *batch, bool sync, struct error *err)
{
    enum err rc = ldb_write(db, batch, sync, err);
    ldb_batch_clear(batch);
    return rc;
}

static enum err copy_records(struct restore *r, struct ldb *db, struct ldb_batch *batch,
                             struct error *err)
{
    struct bytes key, value;
    bool more = true;
    enum err rc = ERR_OK;
    while (!rc) {
        rc = backup_file_next(&r->file, r->record, &key, &value, &more, err);
        if (rc || !more)
            break;
        rc = ldb_batch_put(batch, key, value, err);
        if (!rc && ldb_batch_bytes(batch) >= LIMIT_BACKUP_SLICE_BYTES)
            rc = batch_flush(db, batch, false, err);
    }
    return rc ? rc : batch_flush(db, batch, true, err);
}

/* The store is opened twice: its format record comes with the backup, and may be of an older
 * version, which the second opening migrates. */
static enum err load_entry(struct restore *r, const struct backup_entry *e, struct error *err)
{
    const struct store_row *row = row_of(r->o, e->store);
    struct ldb *db = NULL;
    struct ldb_batch *batch =
        ldb_batch_create(LIMIT_BACKUP_SLICE_BYTES + LIMIT_BACKUP_RECORD_BYTES + 64);
    enum err rc = store_open_row(&db, r->o->data_dir, row, row->memory_floor_bytes, err);
    if (!rc)
        rc = open_entry(r, e, err);
    if (!rc)
        rc = copy_records(r, db, batch, err);
    backup_file_close(&r->file);
    ldb_batch_destroy(batch);
    ldb_close(db);
    db = NULL;
    if (!rc)
        rc = store_open_row(&db, r->o->data_dir, row, row->memory_floor_bytes, err);
    if (!rc)
        rc = adjust(r->o, row, db, err);
    ldb_close(db);
    return rc;
}

static enum err load_bodies(struct restore *r, const struct backup_entry *e, struct error *err)
{
    struct bytes key, value;
    bool more = true;
    uint64_t synced = 0;
    enum err rc = slab_files_open(&r->slabs, r->o->slab_dir, err);
    rc = rc ? rc : open_entry(r, e, err);
    while (!rc) {
        rc = backup_file_next(&r->file, r->record, &key, &value, &more, err);
        if (rc || !more)
            break;
        rc = backup_bodies_put(&r->slabs, key, value, err);
        if (!rc && r->file.bytes - synced >= LIMIT_BACKUP_SYNC_BYTES) {
            rc = slab_files_sync(&r->slabs, err); /* the disk goes along, not at the end */
            synced = r->file.bytes;
        }
    }
    rc = rc ? rc : slab_files_sync(&r->slabs, err);
    slab_files_close(&r->slabs);
    backup_file_close(&r->file);
    return rc;
}

static enum err load_identity(struct restore *r, const struct backup_entry *e, struct error *err)
{
    struct bytes key, value;
    bool more = true;
    enum err rc = open_entry(r, e, err);
    while (!rc) {
        rc = backup_file_next(&r->file, r->record, &key, &value, &more, err);
        if (rc || !more)
            break;
        rc = backup_identity_put(r->o->data_dir, r->o->identity, key, value, err);
    }
    backup_file_close(&r->file);
    return rc;
}

static void remove_entries(const struct restore *r, uint32_t count)
{
    char path[PATH_MAX];
    for (uint32_t i = 0; i < count; i++) {
        if (is_bodies(&r->manifest.entries[i])) {
            slab_dir_remove(r->o->slab_dir);
            continue;
        }
        if (is_identity(&r->manifest.entries[i])) {
            backup_identity_remove(r->o->data_dir, r->o->identity);
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", r->o->data_dir, r->manifest.entries[i].store);
        err_ignore(ldb_destroy(path, NULL));
        rmdir(path);
    }
}

static enum err load_all(struct restore *r, struct error *err)
{
    enum err rc = ERR_OK;
    for (uint32_t i = 0; !rc && i < r->manifest.count; i++) {
        const struct backup_entry *e = &r->manifest.entries[i];
        rc = is_bodies(e)     ? load_bodies(r, e, err)
             : is_identity(e) ? load_identity(r, e, err)
                              : load_entry(r, e, err);
        if (rc)
            remove_entries(r, i + 1);
        else
            r->o->progress(r->o->ctx, e->store, e->records, e->bytes);
    }
    return rc;
}

static enum err run(struct restore *r, struct error *err)
{
    const struct restore_options *o = r->o;
    enum err rc = restore_check_ended(o->data_dir, err);
    rc = rc ? rc : backup_manifest_read(&r->manifest, o->backup_dir, err);
    rc = rc ? rc : check_target(r, err);
    for (uint32_t i = 0; !rc && i < r->manifest.count; i++)
        rc = check_entry(r, &r->manifest.entries[i], err);
    rc = rc ? rc : mark_set(o->data_dir, err);
    if (rc)
        return rc;
    rc = load_all(r, err);
    if (!rc)
        return mark_clear(o->data_dir, err);
    if (!check_target(r, NULL)) /* it is as empty as it was */
        err_ignore(mark_clear(o->data_dir, NULL));
    return rc;
}

enum err restore_run(const struct restore_options *options, struct error *err)
{
    struct restore *r = mem_try_zalloc(options->mem, sizeof(*r));
    if (!r)
        return mem_refused(options->mem, sizeof(*r), err);
    r->o = options;
    r->file.fd = -1;
    enum err rc = run(r, err);
    explicit_bzero(r, sizeof(*r)); /* keys went through its buffers */
    mem_free(options->mem, r);
    return rc;
}
