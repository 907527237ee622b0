#include "swarm/download_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/durable.h"

#define PART_SUFFIX ".part"

enum err download_files_init(struct download_files *f, const char *path, struct error *err)
{
    f->root = f->fd = -1;
    if (snprintf(f->path, sizeof(f->path), "%s", path) >=
        (int)(sizeof(f->path) - sizeof(PART_SUFFIX)))
        return error_set(err, ERR_USAGE, "%s: the path is too long", path);
    return ERR_OK;
}

static const char *part_path(const struct download_files *f, char out[LIMIT_PATH_BYTES])
{
    snprintf(out, LIMIT_PATH_BYTES, "%.*s" PART_SUFFIX, LIMIT_PATH_BYTES - 8, f->path);
    return out;
}

void download_files_close(struct download_files *f)
{
    char part[LIMIT_PATH_BYTES];
    if (f->fd >= 0 && !f->folder)
        unlink(part_path(f, part));
    if (f->fd >= 0)
        close(f->fd);
    if (f->root >= 0)
        close(f->root);
    f->fd = f->root = -1;
}

static enum err check_empty(const struct download_files *f, struct error *err)
{
    int fd = dup(f->root);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    bool empty = true;
    if (!d) {
        int failed = errno;
        if (fd >= 0)
            close(fd);
        return error_errno(err, ERR_IO, failed, "reading %s", f->path);
    }
    for (struct dirent *e; empty && (e = readdir(d));)
        empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    closedir(d);
    return empty ? ERR_OK : (enum err)error_set(err, ERR_REFUSED, "%s is not empty", f->path);
}

static enum err open_root(struct download_files *f, struct error *err)
{
    if (mkdir(f->path, 0777) && errno != EEXIST)
        return error_errno(err, ERR_IO, errno, "making %s", f->path);
    f->root = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->root < 0)
        return error_errno(err, ERR_IO, errno, "opening %s", f->path);
    return check_empty(f, err);
}

/* The folders that name's file lies in. The path was checked: it stays below the root. */
static enum err make_parents(struct download_files *f, struct error *err)
{
    for (char *slash = strchr(f->name, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int failed = mkdirat(f->root, f->name, 0777) && errno != EEXIST ? errno : 0;
        *slash = '/';
        if (failed)
            return error_errno(err, ERR_IO, failed, "making the folder of %s", f->name);
    }
    return ERR_OK;
}

static enum err open_file(struct download_files *f, struct error *err)
{
    char part[LIMIT_PATH_BYTES];
    enum err rc = ERR_OK;
    if (!f->folder) {
        f->fd =
            open(part_path(f, part), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
        return f->fd >= 0 ? ERR_OK : (enum err)error_errno(err, ERR_IO, errno, "making %s", part);
    }
    if (f->root < 0)
        rc = open_root(f, err);
    rc = rc ? rc : make_parents(f, err);
    if (rc)
        return rc;
    f->fd = openat(f->root, f->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    return f->fd >= 0 ? ERR_OK : (enum err)error_errno(err, ERR_IO, errno, "making %s", f->name);
}

enum err download_files_write(struct download_files *f, struct bytes piece, struct error *err)
{
    enum err rc = f->fd < 0 ? open_file(f, err) : ERR_OK;
    while (!rc && piece.size > 0) {
        ssize_t n = write(f->fd, piece.data, piece.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ERR_IO, errno, "writing %s", f->folder ? f->name : f->path);
        piece = bytes_of(piece.data + n, piece.size - (size_t)n);
    }
    return rc;
}

enum err download_files_end(struct download_files *f, struct error *err)
{
    char part[LIMIT_PATH_BYTES];
    enum err rc = f->fd < 0 ? open_file(f, err) : ERR_OK; /* an empty one */
    if (rc)
        return rc;
    if (!f->folder)
        rc = durable_sync_new(f->fd, part_path(f, part), err);
    if (rc)
        return rc;
    if (close(f->fd)) {
        f->fd = -1;
        return error_errno(err, ERR_IO, errno, "closing %s", f->folder ? f->name : f->path);
    }
    f->fd = -1;
    return f->folder ? ERR_OK : durable_rename(part, f->path, err);
}
