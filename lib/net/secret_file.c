#include "net/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/curve.h"

enum { SECRET_FILE_MODE = 0600 };

void secret_file_wipe(struct secret_file *f)
{
    secret_wipe(f, sizeof(*f));
}

static enum err read_all(int fd, const char *name, struct secret_file *out, struct error *err)
{
    ssize_t n;
    out->size = 0;
    while (out->size < sizeof(out->data) &&
           (n = read(fd, out->data + out->size, sizeof(out->data) - out->size)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ERR_IO, errno, "reading the key %s", name);
        out->size += (size_t)n;
    }
    if (!LIMIT_CHECK(IDENTITY_FILE_BYTES, out->size))
        return error_set(err, ERR_CORRUPT, "%s is too long to be a key", name);
    return ERR_OK;
}

enum err secret_file_read(const char *path, struct secret_file *out, struct error *err)
{
    out->size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                           "opening the key %s", path);
    enum err rc = read_all(fd, path, out, err);
    close(fd);
    return rc;
}

static enum err read_private(int fd, const char *name, struct secret_file *out, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st))
        return error_errno(err, ERR_IO, errno, "looking at the key %s", name);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077))
        return error_set(err, ERR_CONFIG,
                         "the key %s may be read by others (mode %o): chmod 600 it, or remove it "
                         "when it may have leaked",
                         name, (unsigned)(st.st_mode & 07777));
    return read_all(fd, name, out, err);
}

enum err secret_file_open(int dir_fd, const char *name, struct secret_file *out, struct error *err)
{
    out->size = 0;
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                           "opening the key %s", name);
    enum err rc = read_private(fd, name, out, err);
    close(fd);
    return rc;
}

static bool write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

enum err secret_file_make(int dir_fd, const char *name, struct bytes content, struct error *err)
{
    char fresh[256];
    int n = snprintf(fresh, sizeof(fresh), "%s.new", name);
    assert(n > 0 && (size_t)n < sizeof(fresh));
    int fd = openat(dir_fd, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                    SECRET_FILE_MODE);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "making the key %s", name);
    bool ok = fchmod(fd, SECRET_FILE_MODE) == 0 && write_all(fd, content.data, content.size) &&
              fsync(fd) == 0;
    int why = errno;
    close(fd);
    if (ok && renameat(dir_fd, fresh, dir_fd, name) == 0 && fsync(dir_fd) == 0)
        return ERR_OK;
    why = ok ? errno : why;
    unlinkat(dir_fd, fresh, 0);
    return error_errno(err, ERR_IO, why, "making the key %s", name);
}
