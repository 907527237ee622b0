#include "node/keys_import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/keytext.h"

enum { TELL_LINES = 20 };

enum err keys_import_open(struct keys_import *in, const char *path, struct error *err)
{
    struct stat st;
    in->fd_ = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (in->fd_ < 0 || fstat(in->fd_, &st))
        return error_errno(err, ERR_IO, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_USAGE, "%s is no file", path);
    in->size_bytes = (uint64_t)st.st_size;
    posix_fadvise(in->fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
    return ERR_OK;
}

void keys_import_close(struct keys_import *in)
{
    if (in->fd_ >= 0)
        close(in->fd_);
    in->fd_ = -1;
}

static void tell(struct keys_import *in, const char *why)
{
    in->bad++;
    if (in->told_ >= TELL_LINES)
        return;
    in->told_++;
    int n = snprintf(in->text + in->text_used, sizeof(in->text) - in->text_used,
                     "line %" PRIu64 ": %s\n", in->line, why);
    in->text_used = MIN(in->text_used + (size_t)MAX(n, 0), sizeof(in->text) - 1);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* False: the set is full, and the line is to be read again. */
static bool take_line(struct keys_import *in, const char *line, size_t size, struct keyset *keys)
{
    uint8_t buf[CID_BYTES_MAX];
    struct bytes hash;
    struct error err;
    while (size > 0 && is_blank(line[size - 1]))
        size--;
    while (size > 0 && is_blank(line[0])) {
        line++;
        size--;
    }
    if (size == 0 || line[0] == '#') {
        in->line++;
        return true;
    }
    if (key_from_text(line, size, buf, &hash, &err)) {
        in->line++;
        tell(in, err.text);
        return true;
    }
    if (!keyset_add(keys, hash))
        return false;
    in->line++;
    in->keys++;
    return true;
}

static enum err fill(struct keys_import *in, struct error *err)
{
    memmove(in->buffer_, in->buffer_ + in->at_, in->have_ - in->at_);
    in->have_ -= in->at_;
    in->at_ = 0;
    ssize_t n;
    do
        n = read(in->fd_, in->buffer_ + in->have_, sizeof(in->buffer_) - in->have_);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_errno(err, ERR_IO, errno, "reading keys");
    in->end = n == 0;
    posix_fadvise(in->fd_, (off_t)in->read_bytes, n, POSIX_FADV_DONTNEED);
    in->have_ += (uint32_t)n;
    in->read_bytes += (uint64_t)n;
    return ERR_OK;
}

/* What is left is no whole line and fills the buffer: nobody's key. */
static void skip_long(struct keys_import *in)
{
    if (!in->long_line_) {
        in->line++;
        tell(in, "too long for a key");
    }
    in->long_line_ = true;
    in->at_ = in->have_;
}

enum err keys_import_slice(struct keys_import *in, struct keyset *keys, struct error *err)
{
    keyset_clear(keys);
    in->text_used = 0;
    for (;;) {
        const char *line = in->buffer_ + in->at_;
        uint32_t left = in->have_ - in->at_;
        const char *stop = memchr(line, '\n', left);
        if (!stop && !in->end) {
            if (left == sizeof(in->buffer_))
                skip_long(in);
            if (fill(in, err))
                return err->code;
            continue;
        }
        if (!stop && left == 0)
            return ERR_OK;
        uint32_t size = stop ? (uint32_t)(stop - line) : left;
        if (!in->long_line_ && !take_line(in, line, size, keys)) {
            in->end = false; /* of the file maybe, but not of its lines */
            return ERR_OK;
        }
        in->long_line_ = false;
        in->at_ += size + (stop ? 1 : 0);
    }
}
