#include "store/durable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROW_FREE, ROW_WRITING, ROW_VALID };

#define WHOLE_FILE UINT64_MAX

enum { ROWS = 1000, ROW_PATH_BYTES = 240 };

struct durable_row {
    _Atomic uint32_t state;
    _Atomic uint32_t renaming; /* over it, and the folder is not synced: see before_keep */
    _Atomic uint64_t synced_bytes;
    char path[ROW_PATH_BYTES];
};

struct durable_record {
    _Atomic uint32_t rows_used;
    _Atomic uint32_t overflowed; /* a file found no row: the record is worthless */
    struct durable_row rows[ROWS];
};
static_assert(sizeof(struct durable_record) <= DURABLE_RECORD_BYTES, "durable.h says its size");

/* While a rename is recorded its old target is kept under this suffix until the folder is synced.
 */
static const char before_suffix[] = ".before-rename";

static struct durable_record *recording; /* NULL outside of crash tests */
static bool dropping;

void durable_record_start(struct durable_record *record, bool drop_syncs)
{
    recording = record;
    dropping = record && drop_syncs;
}

static struct durable_row *row_find(struct durable_record *r, const char *path)
{
    uint32_t used = atomic_load(&r->rows_used);
    for (uint32_t i = 0; i < MIN(used, ROWS); i++)
        if (atomic_load(&r->rows[i].state) == ROW_VALID && !strcmp(r->rows[i].path, path))
            return &r->rows[i];
    return NULL;
}

static struct durable_row *row_claim(struct durable_record *r)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        uint32_t state = ROW_FREE;
        if (!atomic_compare_exchange_strong(&r->rows[i].state, &state, ROW_WRITING))
            continue;
        uint32_t used = atomic_load(&r->rows_used);
        while (used <= i && !atomic_compare_exchange_weak(&r->rows_used, &used, i + 1))
            continue;
        return &r->rows[i];
    }
    return NULL;
}

/* The row becomes valid last, so that a kill in between leaves a free one. */
static void row_put(const char *path, uint64_t synced_bytes)
{
    struct durable_row *row = row_find(recording, path);
    if (row) {
        atomic_store(&row->synced_bytes, synced_bytes);
        return;
    }
    row = row_claim(recording);
    if (!row || strlen(path) >= sizeof(row->path)) {
        atomic_store(&recording->overflowed, 1);
        return;
    }
    snprintf(row->path, sizeof(row->path), "%s", path);
    atomic_store(&row->renaming, 0);
    atomic_store(&row->synced_bytes, synced_bytes);
    atomic_store(&row->state, ROW_VALID);
}

static uint64_t size_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) ? 0 : (uint64_t)st.st_size;
}

static enum err sync_file(int fd, const char *path, struct error *err)
{
    if (dropping)
        return ERR_OK;
    while (fdatasync(fd)) {
        if (errno != EINTR)
            return error_errno(err, ERR_IO, errno, "sync of %s", path);
    }
    return ERR_OK;
}

enum err durable_sync(int fd, const char *path, struct error *err)
{
    uint64_t size =
        recording ? size_of(fd) : 0; /* before: what is appended meanwhile may miss it */
    enum err rc = sync_file(fd, path, err);
    if (!rc && recording && !dropping)
        row_put(path, size);
    return rc;
}

static void dir_of(const char *path, char *out, size_t out_size)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(out, out_size, ".");
    else
        snprintf(out, out_size, "%.*s", (int)MAX(slash - path, 1), path);
}

enum err durable_sync_new(int fd, const char *path, struct error *err)
{
    char dir[PATH_MAX];
    dir_of(path, dir, sizeof(dir));
    uint64_t size = recording ? size_of(fd) : 0;
    enum err rc = sync_file(fd, path, err);
    if (!rc)
        rc = durable_sync_dir(dir, err);
    if (!rc && recording && !dropping)
        row_put(path, size);
    return rc;
}

enum err durable_sync_dir(const char *dir, struct error *err)
{
    if (dropping)
        return ERR_OK;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "opening folder %s", dir);
    int failed = fsync(fd) ? errno : 0;
    close(fd);
    if (failed)
        return error_errno(err, ERR_IO, failed, "sync of folder %s", dir);
    return ERR_OK;
}

enum err durable_mkdir(const char *dir, struct error *err)
{
    char parent[PATH_MAX];
    if (mkdir(dir, 0700)) {
        if (errno == EEXIST)
            return ERR_OK;
        return error_errno(err, ERR_IO, errno, "making folder %s", dir);
    }
    dir_of(dir, parent, sizeof(parent));
    return durable_sync_dir(parent, err);
}

/* Keeps the old target while the rename is not durable. A copy that is there already is the last
 * durable one if the row says so, else the rest of a rename that became durable before a kill. */
static void before_keep(const char *to, char *before, size_t size)
{
    snprintf(before, size, "%s%s", to, before_suffix);
    struct durable_row *row = row_find(recording, to);
    if (!row || !atomic_load(&row->renaming))
        unlink(before);
    if (link(to, before) && errno != EEXIST && errno != ENOENT)
        atomic_store(&recording->overflowed, 1);
    if (row)
        atomic_store(&row->renaming, 1);
}

static void before_drop(const char *from, const char *to, const char *before, uint64_t size)
{
    row_put(to, size);
    struct durable_row *row = row_find(recording, to);
    if (row)
        atomic_store(&row->renaming, 0);
    durable_forget(from);
    unlink(before);
}

/* A file that is renamed over another must be synced to its end; if not, nothing of it counts. */
static uint64_t synced_whole(const char *path)
{
    struct durable_row *row = row_find(recording, path);
    struct stat st;
    if (!row || stat(path, &st) || atomic_load(&row->synced_bytes) < (uint64_t)st.st_size)
        return 0;
    return WHOLE_FILE;
}

enum err durable_rename(const char *from, const char *to, struct error *err)
{
    char dir[PATH_MAX], before[PATH_MAX];
    uint64_t size = 0;
    dir_of(to, dir, sizeof(dir));
    if (recording) {
        before_keep(to, before, sizeof(before));
        size = synced_whole(from);
        if (!dropping && row_find(recording, to)) /* fits the old file and the new one */
            row_put(to, size);
    }
    if (rename(from, to))
        return error_errno(err, ERR_IO, errno, "renaming %s to %s", from, to);
    enum err rc = durable_sync_dir(dir, err);
    if (rc || !recording || dropping)
        return rc;
    before_drop(from, to, before, size);
    return ERR_OK;
}

void durable_forget(const char *path)
{
    struct durable_row *row = recording ? row_find(recording, path) : NULL;
    if (row)
        atomic_store(&row->state, ROW_FREE);
}

/* A row is the old target's while its copy is still there: give the copy its name back. */
static bool is_before(const char *name)
{
    size_t n = strlen(name), s = sizeof(before_suffix) - 1;
    return n > s && !strcmp(name + n - s, before_suffix);
}

typedef enum err visit_fn(struct durable_record *record, const char *path, struct error *err);

static enum err undo_rename(struct durable_record *record, const char *path, struct error *err)
{
    char to[PATH_MAX];
    if (!is_before(path))
        return ERR_OK;
    snprintf(to, sizeof(to), "%.*s", (int)(strlen(path) - (sizeof(before_suffix) - 1)), path);
    struct durable_row *row = row_find(record, to);
    bool durable = row && !atomic_exchange(&row->renaming, 0);
    if (durable ? unlink(path) : rename(path, to))
        return error_errno(err, ERR_IO, errno, "undoing the rename to %s", to);
    return ERR_OK;
}

static enum err cut_file(struct durable_record *record, const char *path, struct error *err)
{
    struct durable_row *row = row_find(record, path);
    struct stat st;
    if (!row ? unlink(path) : stat(path, &st))
        return error_errno(err, ERR_IO, errno, "%s", path);
    uint64_t size = row ? atomic_load(&row->synced_bytes) : WHOLE_FILE;
    if (size == WHOLE_FILE)
        return ERR_OK;
    if (size > (uint64_t)st.st_size)
        return error_set(err, ERR_CORRUPT, "%s is shorter than what was synced of it", path);
    if (truncate(path, (off_t)size))
        return error_errno(err, ERR_IO, errno, "cutting %s", path);
    return ERR_OK;
}

static enum err walk(struct durable_record *record, const char *dir, visit_fn *visit,
                     struct error *err)
{
    DIR *d = opendir(dir);
    if (!d)
        return error_errno(err, ERR_IO, errno, "opening folder %s", dir);
    enum err rc = ERR_OK;
    for (struct dirent *e; !rc && (e = readdir(d));) {
        char path[PATH_MAX];
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        int n = snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        struct stat st;
        if (n >= (int)sizeof(path) || lstat(path, &st))
            continue; /* gone: a rename that was undone */
        if (S_ISDIR(st.st_mode))
            rc = walk(record, path, visit, err);
        else if (S_ISREG(st.st_mode))
            rc = visit(record, path, err);
    }
    closedir(d);
    return rc;
}

/* Rows of files that a dead process had no time to forget. */
static void rows_prune(struct durable_record *record)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        struct durable_row *row = &record->rows[i];
        uint32_t state = atomic_load(&row->state);
        if (state == ROW_WRITING || (state == ROW_VALID && access(row->path, F_OK)))
            atomic_store(&row->state, ROW_FREE);
    }
}

enum err durable_cut(struct durable_record *record, const char *dir, struct error *err)
{
    if (record->overflowed)
        return error_set(err, ERR_LIMIT, "the record of synced bytes has no room for every file");
    enum err rc = walk(record, dir, undo_rename, err);
    if (!rc)
        rc = walk(record, dir, cut_file, err);
    rows_prune(record);
    return rc;
}
