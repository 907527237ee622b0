#include "store/backup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "store/durable.h"

static const char file_magic[] = "larder-records 1\n";
static const char manifest_magic[] = "larder-backup 1\n";
enum { FILE_MAGIC_BYTES = sizeof(file_magic) - 1, RECORD_HEADER_BYTES = 8 };
#define END_MARK UINT32_C(0xffffffff)

void backup_file_path(char *out, size_t size, const char *dir, const char *store)
{
    snprintf(out, size, "%s/%s.records", dir, store);
}

/* ---- writing ---- */

static enum err write_out(struct backup_file *f, struct error *err)
{
    for (uint32_t at = 0; at < f->used;) {
        ssize_t n = write(f->fd, f->buf + at, f->used - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ERR_IO, errno, "writing the backup");
        at += (uint32_t)n;
    }
    f->used = 0;
    return ERR_OK;
}

static enum err put_bytes(struct backup_file *f, const void *data, size_t size, struct error *err)
{
    const uint8_t *at = data;
    sha256_update(&f->sha, data, size);
    f->bytes += size;
    while (size > 0) {
        size_t n = MIN(size, sizeof(f->buf) - f->used);
        memcpy(f->buf + f->used, at, n);
        f->used += (uint32_t)n;
        at += n;
        size -= n;
        enum err rc = f->used == sizeof(f->buf) ? write_out(f, err) : ERR_OK;
        if (rc)
            return rc;
    }
    return ERR_OK;
}

static void begin(struct backup_file *f, int fd, bool writing)
{
    f->fd = fd;
    f->writing = writing;
    f->records = f->bytes = 0;
    f->used = f->at = 0;
    sha256_init(&f->sha);
}

enum err backup_file_create(struct backup_file *f, const char *path, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "making %s", path);
    begin(f, fd, true);
    return put_bytes(f, file_magic, FILE_MAGIC_BYTES, err);
}

enum err backup_file_put(struct backup_file *f, struct bytes key, struct bytes value,
                         struct error *err)
{
    uint8_t header[RECORD_HEADER_BYTES];
    if (!LIMIT_CHECK(BACKUP_KEY_BYTES, key.size) ||
        !LIMIT_CHECK(BACKUP_RECORD_BYTES, key.size + value.size))
        return error_set(err, ERR_TOO_LARGE, "a record of %zu bytes cannot be backed up",
                         key.size + value.size);
    be32_encode(header, (uint32_t)key.size);
    be32_encode(header + 4, (uint32_t)value.size);
    enum err rc = put_bytes(f, header, sizeof(header), err);
    if (!rc)
        rc = put_bytes(f, key.data, key.size, err);
    if (!rc)
        rc = put_bytes(f, value.data, value.size, err);
    f->records++;
    return rc;
}

enum err backup_file_finish(struct backup_file *f, uint8_t digest[SHA256_BYTES], struct error *err)
{
    uint8_t end[12];
    be32_encode(end, END_MARK);
    be64_encode(end + 4, f->records);
    enum err rc = put_bytes(f, end, sizeof(end), err);
    if (!rc)
        rc = write_out(f, err);
    if (!rc)
        rc = durable_sync_new(f->fd, "a file of the backup", err);
    if (!rc)
        posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
    if (!rc)
        sha256_final(&f->sha, digest);
    backup_file_close(f);
    return rc;
}

void backup_file_close(struct backup_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

/* ---- reading ---- */

static enum err get_bytes(struct backup_file *f, void *out, size_t size, struct error *err)
{
    uint8_t *at = out;
    f->bytes += size;
    for (size_t left = size; left > 0;) {
        if (f->at == f->used) {
            ssize_t n = read(f->fd, f->buf, sizeof(f->buf));
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return error_errno(err, ERR_IO, errno, "reading the backup");
            if (n == 0)
                return error_set(err, ERR_CORRUPT, "the backup is cut short");
            f->used = (uint32_t)n;
            f->at = 0;
        }
        size_t n = MIN(left, f->used - f->at);
        memcpy(at, f->buf + f->at, n);
        f->at += (uint32_t)n;
        at += n;
        left -= n;
    }
    sha256_update(&f->sha, out, size);
    return ERR_OK;
}

enum err backup_file_open(struct backup_file *f, const char *path, struct error *err)
{
    char magic[FILE_MAGIC_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "opening %s", path);
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    begin(f, fd, false);
    enum err rc = get_bytes(f, magic, sizeof(magic), err);
    if (!rc && memcmp(magic, file_magic, sizeof(magic)) != 0)
        rc = error_set(err, ERR_FOREIGN, "%s is no file of a backup", path);
    if (rc)
        backup_file_close(f);
    return rc;
}

static enum err read_end(struct backup_file *f, const uint8_t *rest, struct error *err)
{
    uint8_t count[8], extra;
    memcpy(count, rest, 4);
    enum err rc = get_bytes(f, count + 4, 4, err);
    if (rc)
        return rc;
    if (be64_decode(count) != f->records || f->at != f->used || read(f->fd, &extra, 1) != 0)
        return error_set(err, ERR_CORRUPT, "the backup does not end where it should");
    return ERR_OK;
}

enum err backup_file_next(struct backup_file *f, uint8_t *record, struct bytes *key,
                          struct bytes *value, bool *more, struct error *err)
{
    uint8_t header[RECORD_HEADER_BYTES];
    enum err rc = get_bytes(f, header, sizeof(header), err);
    if (rc)
        return rc;
    uint64_t key_size = be32_decode(header), value_size = be32_decode(header + 4);
    if (key_size == END_MARK) {
        *more = false;
        return read_end(f, header + 4, err);
    }
    if (!LIMIT_CHECK(BACKUP_KEY_BYTES, key_size) ||
        !LIMIT_CHECK(BACKUP_RECORD_BYTES, key_size + value_size))
        return error_set(err, ERR_CORRUPT, "a record of the backup is too large");
    rc = get_bytes(f, record, key_size + value_size, err);
    if (rc)
        return rc;
    *key = bytes_of(record, key_size);
    *value = bytes_of(record + key_size, value_size);
    *more = true;
    f->records++;
    return ERR_OK;
}

void backup_file_digest(struct backup_file *f, uint8_t digest[SHA256_BYTES])
{
    sha256_final(&f->sha, digest);
}

/* ---- the manifest ---- */

static int entry_print(const struct backup_entry *e, char *out, size_t size)
{
    char digest[2 * SHA256_BYTES + 1];
    hex_encode(digest, bytes_of(e->digest, SHA256_BYTES));
    return snprintf(out, size, "store %s %" PRIu64 " %" PRIu64 " %s\n", e->store, e->records,
                    e->bytes, digest);
}

static enum err write_text(int fd, const char *path, const char *text, size_t size,
                           struct error *err)
{
    ssize_t n = write(fd, text, size);
    if (n < 0)
        return error_errno(err, ERR_IO, errno, "writing %s", path);
    if ((size_t)n != size)
        return error_set(err, ERR_DISK_FULL, "writing %s: not all of it", path);
    return durable_sync_new(fd, path, err);
}

enum err backup_manifest_write(const struct backup_manifest *m, const char *dir, struct error *err)
{
    char path[PATH_MAX], temp[PATH_MAX], text[LIMIT_BACKUP_MANIFEST_BYTES];
    int used = snprintf(text, sizeof(text), "%s", manifest_magic);
    for (uint32_t i = 0; i < m->count; i++)
        used += entry_print(&m->entries[i], text + used, sizeof(text) - (size_t)used);
    used += snprintf(text + used, sizeof(text) - (size_t)used, "end\n");
    assert((size_t)used < sizeof(text)); /* the limit fits BACKUP_ENTRIES_MAX lines */
    snprintf(path, sizeof(path), "%s/manifest", dir);
    snprintf(temp, sizeof(temp), "%s/manifest.new", dir);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "making %s", temp);
    enum err rc = write_text(fd, temp, text, (size_t)used, err);
    close(fd);
    return rc ? rc : durable_rename(temp, path, err);
}

static bool entry_parse(const char *line, struct backup_entry *e)
{
    char digest[2 * SHA256_BYTES + 1], end = 0;
    size_t size = 0;
    if (sscanf(line, "store %31[a-z0-9-] %" SCNu64 " %" SCNu64 " %64[0-9a-f]%c", e->store,
               &e->records, &e->bytes, digest, &end) != 5 ||
        end != '\n')
        return false;
    return !hex_decode(digest, strlen(digest), e->digest, SHA256_BYTES, &size, NULL) &&
           size == SHA256_BYTES;
}

static enum err manifest_parse(struct backup_manifest *m, FILE *f, struct error *err)
{
    char line[256];
    if (!fgets(line, sizeof(line), f) || strcmp(line, manifest_magic) != 0)
        return error_set(err, ERR_FOREIGN, "the manifest is not of a backup this program can read");
    for (m->count = 0; fgets(line, sizeof(line), f) && strcmp(line, "end\n") != 0; m->count++) {
        if (m->count == BACKUP_ENTRIES_MAX || !entry_parse(line, &m->entries[m->count]))
            return error_set(err, ERR_CORRUPT, "the manifest is damaged in line %" PRIu32,
                             m->count + 2);
    }
    if (strcmp(line, "end\n") != 0 || fgetc(f) != EOF)
        return error_set(err, ERR_CORRUPT, "the manifest does not end where it should");
    return ERR_OK;
}

enum err backup_manifest_read(struct backup_manifest *m, const char *dir, struct error *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/manifest", dir);
    FILE *f = fopen(path, "re");
    if (!f && errno == ENOENT)
        return error_set(err, ERR_FOREIGN,
                         "%s has no manifest, so it is no backup, or one that was "
                         "not finished",
                         dir);
    if (!f)
        return error_errno(err, ERR_IO, errno, "opening %s", path);
    enum err rc = manifest_parse(m, f, err);
    fclose(f);
    return rc;
}
