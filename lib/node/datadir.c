#include "node/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/restore.h"

const char *const datadir_identity[] = { DATADIR_P2P_KEY, DATADIR_SWARM_KEY, DATADIR_SWARM_NONCE,
                                         NULL };

/* Parents are made as any program would; the directory itself is ours alone. */
static enum err make_directories(const char *path, struct error *err)
{
    char part[LIMIT_PATH_BYTES];
    if (strlen(path) >= LIMIT_PATH_BYTES)
        return error_set(err, ERR_CONFIG, "data-dir: a path is at most %d bytes long",
                         LIMIT_PATH_BYTES - 1);
    snprintf(part, sizeof(part), "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) && errno != EEXIST)
            return error_errno(err, ERR_IO, errno, "making the directory %s", part);
        *slash = '/';
    }
    if (mkdir(path, 0700) && errno != EEXIST)
        return error_errno(err, ERR_IO, errno, "making the data directory %s", path);
    return ERR_OK;
}

static enum err make_private(int fd, const char *path, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st))
        return error_errno(err, ERR_IO, errno, "data directory %s", path);
    if (st.st_uid != geteuid())
        return error_set(err, ERR_CONFIG, "data directory %s belongs to user %u, not to us (%u)",
                         path, st.st_uid, geteuid());
    if ((st.st_mode & 07777) != 0700 && fchmod(fd, 0700))
        return error_errno(err, ERR_IO, errno, "making the data directory %s private", path);
    return ERR_OK;
}

/* The holder's number, for the sentence; it may have gone in between. */
static enum err locked_by(int fd, const char *path, struct error *err)
{
    char pid[16] = "";
    ssize_t size = pread(fd, pid, sizeof(pid) - 1, 0);
    pid[size > 0 ? size : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    return error_set(err, ERR_LOCKED, "data directory %s is in use by process %s", path,
                     pid[0] ? pid : "(unknown)");
}

static enum err lock(struct datadir *d, const char *path, struct error *err)
{
    d->lock_fd_ = openat(d->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (d->lock_fd_ < 0)
        return error_errno(err, ERR_IO, errno, "lock of the data directory %s", path);
    if (flock(d->lock_fd_, LOCK_EX | LOCK_NB)) {
        if (errno == EWOULDBLOCK)
            return locked_by(d->lock_fd_, path, err);
        return error_errno(err, ERR_IO, errno, "locking the data directory %s", path);
    }
    char pid[16];
    int size = snprintf(pid, sizeof(pid), "%d\n", getpid());
    if (ftruncate(d->lock_fd_, 0) || pwrite(d->lock_fd_, pid, (size_t)size, 0) != size)
        return error_errno(err, ERR_IO, errno, "lock of the data directory %s", path);
    return ERR_OK;
}

enum err datadir_open(struct datadir *d, const char *path, struct error *err)
{
    *d = (struct datadir)DATADIR_NONE;
    enum err rc = make_directories(path, err);
    if (rc)
        return rc;
    d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0)
        return error_errno(err, ERR_IO, errno, "data directory %s", path);
    rc = make_private(d->fd, path, err);
    if (!rc)
        rc = lock(d, path, err);
    if (!rc)
        rc = restore_check_ended(path, err);
    if (rc)
        datadir_close(d);
    return rc;
}

void datadir_close(struct datadir *d)
{
    if (d->lock_fd_ >= 0)
        close(d->lock_fd_);
    if (d->fd >= 0)
        close(d->fd);
    *d = (struct datadir)DATADIR_NONE;
}

enum err datadir_write_file(const struct datadir *d, const char *name, const char *text,
                            size_t size, struct error *err)
{
    char draft[64];
    snprintf(draft, sizeof(draft), "%s.new", name);
    int fd = openat(d->fd, draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "writing %s", name);
    ssize_t written = write(fd, text, size);
    int failed = written == (ssize_t)size ? 0 : written < 0 ? errno : ENOSPC;
    if (close(fd) && !failed)
        failed = errno;
    if (!failed && renameat(d->fd, draft, d->fd, name))
        failed = errno;
    if (!failed)
        return ERR_OK;
    unlinkat(d->fd, draft, 0);
    return error_errno(err, ERR_IO, failed, "writing %s", name);
}
