#include "net/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_FILE_MODE = 0600 };

/* Reads all of it; a file with more than a key's bytes holds no key. */
static enum err key_read(int fd, const char *name, struct peer_secret *out, struct error *err)
{
    uint8_t buf[LIMIT_IDENTITY_FILE_BYTES + 1];
    size_t size = 0;
    ssize_t n;
    while (size < sizeof(buf) && (n = read(fd, buf + size, sizeof(buf) - size)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ERR_IO, errno, "reading the key %s", name);
        size += (size_t)n;
    }
    enum err rc = ERR_OK;
    if (!LIMIT_CHECK(IDENTITY_FILE_BYTES, size))
        rc = error_set(err, ERR_CORRUPT, "%s is too long to be a key", name);
    else
        rc = peer_secret_decode(bytes_of(buf, size), out, err);
    secret_wipe(buf, sizeof(buf));
    if (rc && rc != ERR_UNSUPPORTED)
        return error_wrap(err, ERR_CORRUPT, "the key %s", name);
    return rc ? error_wrap(err, rc, "the key %s", name) : ERR_OK;
}

enum err identity_read(const char *path, struct peer_secret *out, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                           "opening the key %s", path);
    enum err rc = key_read(fd, path, out, err);
    close(fd);
    return rc;
}

static enum err existing_read(int fd, const char *name, struct peer_secret *out, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st))
        return error_errno(err, ERR_IO, errno, "looking at the key %s", name);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077))
        return error_set(err, ERR_CONFIG,
                         "the key %s may be read by others (mode %o): chmod 600 it, or remove it "
                         "when it may have leaked",
                         name, (unsigned)(st.st_mode & 07777));
    return key_read(fd, name, out, err);
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

/* Under another name first, so that a crash leaves a whole key or none. */
static enum err key_write(int dir_fd, const char *name, struct bytes message, struct error *err)
{
    char fresh[256];
    int n = snprintf(fresh, sizeof(fresh), "%s.new", name);
    assert(n > 0 && (size_t)n < sizeof(fresh));
    int fd =
        openat(dir_fd, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, KEY_FILE_MODE);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "making the key %s", name);
    bool ok = fchmod(fd, KEY_FILE_MODE) == 0 && write_all(fd, message.data, message.size) &&
              fsync(fd) == 0;
    int why = errno;
    close(fd);
    if (ok && renameat(dir_fd, fresh, dir_fd, name) == 0 && fsync(dir_fd) == 0)
        return ERR_OK;
    why = ok ? errno : why;
    unlinkat(dir_fd, fresh, 0);
    return error_errno(err, ERR_IO, why, "making the key %s", name);
}

static enum err key_make(int dir_fd, const char *name, struct peer_secret *out, struct error *err)
{
    uint8_t seed[ED25519_SEED_BYTES], message[LIMIT_IDENTITY_FILE_BYTES];
    struct writer w = writer_of(message, sizeof(message));
    secret_random(seed, sizeof(seed));
    peer_secret_from_seed(seed, out);
    peer_secret_put(&w, out);
    enum err rc = key_write(dir_fd, name, bytes_of(message, writer_used(&w)), err);
    secret_wipe(seed, sizeof(seed));
    secret_wipe(message, sizeof(message));
    return rc;
}

enum err identity_open(int dir_fd, const char *name, struct peer_secret *out, struct error *err)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return key_make(dir_fd, name, out, err);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "opening the key %s", name);
    enum err rc = existing_read(fd, name, out, err);
    close(fd);
    return rc;
}
