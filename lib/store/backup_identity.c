#include "store/backup_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/durable.h"

static void path_of(char out[PATH_MAX], const char *data_dir, const char *name)
{
    snprintf(out, PATH_MAX, "%s/%s", data_dir, name);
}

/* *size 0: it is not there. */
static enum err read_small(const char *path, uint8_t out[LIMIT_IDENTITY_FILE_BYTES + 1],
                           size_t *size, struct error *err)
{
    ssize_t n = 0;
    *size = 0;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? ERR_OK : error_errno(err, ERR_IO, errno, "opening %s", path);
    while (*size <= LIMIT_IDENTITY_FILE_BYTES &&
           (n = read(fd, out + *size, LIMIT_IDENTITY_FILE_BYTES + 1 - *size)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        *size += (size_t)n;
    }
    int why = errno;
    close(fd);
    if (n < 0)
        return error_errno(err, ERR_IO, why, "reading %s", path);
    if (!LIMIT_CHECK(IDENTITY_FILE_BYTES, *size))
        return error_set(err, ERR_TOO_LARGE, "%s is too long to be a key", path);
    return ERR_OK;
}

static enum err put_all(struct backup_file *f, const char *data_dir, const char *const *files,
                        struct error *err)
{
    uint8_t content[LIMIT_IDENTITY_FILE_BYTES + 1];
    enum err rc = ERR_OK;
    for (; !rc && *files; files++) {
        char path[PATH_MAX];
        size_t size;
        path_of(path, data_dir, *files);
        rc = read_small(path, content, &size, err);
        if (!rc && size > 0)
            rc = backup_file_put(f, bytes_of(*files, strlen(*files)), bytes_of(content, size), err);
    }
    explicit_bzero(content, sizeof(content));
    return rc;
}

static bool any_there(const char *data_dir, const char *const *files)
{
    char path[PATH_MAX];
    for (; *files; files++) {
        path_of(path, data_dir, *files);
        if (!access(path, F_OK))
            return true;
    }
    return false;
}

enum err backup_identity_write(struct backup_file *f, const char *dir, const char *data_dir,
                               const char *const *files, struct backup_entry *e, struct error *err)
{
    char path[PATH_MAX];
    *e = (struct backup_entry){ .store = BACKUP_IDENTITY };
    if (!any_there(data_dir, files))
        return ERR_OK;
    backup_file_path(path, sizeof(path), dir, BACKUP_IDENTITY);
    enum err rc = backup_file_create(f, path, err);
    rc = rc ? rc : put_all(f, data_dir, files, err);
    e->records = f->records;
    rc = rc ? rc : backup_file_finish(f, e->digest, err);
    e->bytes = f->bytes;
    explicit_bzero(f->buf, sizeof(f->buf));
    return rc;
}

enum err backup_identity_check(const char *data_dir, const char *const *files, struct error *err)
{
    if (any_there(data_dir, files))
        return error_set(err, ERR_REFUSED, "%s has keys already; restore into an empty folder",
                         data_dir);
    return ERR_OK;
}

static enum err write_small(const char *path, struct bytes content, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "making %s", path);
    size_t done = 0;
    enum err rc = ERR_OK;
    while (!rc && done < content.size) {
        ssize_t n = write(fd, content.data + done, content.size - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            rc = error_errno(err, errno == ENOSPC ? ERR_DISK_FULL : ERR_IO, errno, "writing %s",
                             path);
    }
    rc = rc ? rc : durable_sync_new(fd, path, err);
    close(fd);
    return rc;
}

enum err backup_identity_put(const char *data_dir, const char *const *files, struct bytes key,
                             struct bytes value, struct error *err)
{
    char path[PATH_MAX];
    while (*files && !bytes_equal(bytes_of(*files, strlen(*files)), key))
        files++;
    if (!*files)
        return error_set(err, ERR_CORRUPT, "the backup has a key file of a name we do not know");
    if (!LIMIT_CHECK(IDENTITY_FILE_BYTES, value.size))
        return error_set(err, ERR_CORRUPT, "%s is too long to be a key", *files);
    path_of(path, data_dir, *files);
    return write_small(path, value, err);
}

void backup_identity_remove(const char *data_dir, const char *const *files)
{
    char path[PATH_MAX];
    for (; *files; files++) {
        path_of(path, data_dir, *files);
        unlink(path);
    }
}
