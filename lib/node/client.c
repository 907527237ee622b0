#include "node/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/admin.h"
#include "node/progress.h"

static enum err connect_to(const char *data_dir, int *out, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int dir = open(data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, ERR_UNREACHABLE, errno, "no larder runs on %s", data_dir);
    admin_socket_path(data_dir, dir, address.sun_path, sizeof(address.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = fd < 0 ? errno : 0;
    if (!failed && connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
        failed = errno;
        close(fd);
    }
    close(dir);
    if (failed == ENOENT || failed == ECONNREFUSED)
        return error_set(err, ERR_UNREACHABLE, "no larder runs on %s", data_dir);
    if (failed)
        return error_errno(err, ERR_UNREACHABLE, failed, "the larder on %s", data_dir);
    *out = fd;
    return ERR_OK;
}

static enum err send_all(int fd, const void *data, size_t size, struct error *err)
{
    for (const char *at = data; size > 0;) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return error_errno(err, ERR_CLOSED, errno, "asking the node");
        at += sent;
        size -= (size_t)sent;
    }
    return ERR_OK;
}

static enum err receive_all(int fd, void *data, size_t size, struct error *err)
{
    for (char *at = data; size > 0;) {
        ssize_t got = recv(fd, at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, ERR_CLOSED, errno, "hearing from the node");
        if (got == 0)
            return error_set(err, ERR_CLOSED, "the node has left in the middle of its answer");
        at += got;
        size -= (size_t)got;
    }
    return ERR_OK;
}

static enum err send_request(int fd, const char *const *words, struct error *err)
{
    char body[LIMIT_ADMIN_REQUEST_BYTES], header[ADMIN_HEADER_BYTES];
    struct writer w = writer_of(body, sizeof(body)), h = writer_of(header, sizeof(header));
    for (; *words; words++)
        writer_put(&w, *words, strlen(*words) + 1);
    if (w.overflow)
        return error_set(err, ERR_USAGE, "the command line is longer than %d bytes",
                         LIMIT_ADMIN_REQUEST_BYTES);
    writer_u8(&h, ADMIN_REQUEST);
    writer_be32(&h, (uint32_t)writer_used(&w));
    enum err rc = send_all(fd, header, sizeof(header), err);
    return rc ? rc : send_all(fd, body, writer_used(&w), err);
}

static enum err write_out(void *ctx UNUSED, bool to_stderr, const char *data, size_t size,
                          struct error *err)
{
    FILE *f = to_stderr ? stderr : stdout;
    if (fwrite(data, 1, size, f) != size || fflush(f))
        return error_errno(err, ERR_IO, errno, "writing the answer");
    return ERR_OK;
}

static void take_progress(struct progress *p, struct bytes body)
{
    struct reader r = reader_of(body);
    char what[ADMIN_PROGRESS_WHAT_BYTES + 1] = "";
    struct progress_amount a = { .what = what, .bytes = reader_u8(&r) != 0 };
    a.done = reader_be64(&r);
    a.total = reader_be64(&r);
    size_t size = MIN(reader_left(&r), sizeof(what) - 1);
    memcpy(what, r.at, size);
    progress_show(p, &a);
}

/* What the answer comes to. */
struct answer {
    const struct client_output *output;
    struct progress progress;
    int exit_code;
    bool over;
};

/* One frame; over is set by the last. */
static enum err receive_frame(int fd, struct answer *a, struct error *err)
{
    char body[LIMIT_ADMIN_OUTPUT_BYTES];
    uint8_t header[ADMIN_HEADER_BYTES];
    enum err rc = receive_all(fd, header, sizeof(header), err);
    if (rc)
        return rc;
    uint32_t size = be32_decode(header + 1);
    if (size > sizeof(body) || (header[0] == ADMIN_EXIT && size != 1))
        return error_set(err, ERR_PROTOCOL, "the node speaks another version of this protocol");
    rc = receive_all(fd, body, size, err);
    if (rc)
        return rc;
    if (header[0] == ADMIN_PROGRESS) {
        take_progress(&a->progress, bytes_of(body, size));
        return ERR_OK;
    }
    progress_hide(&a->progress);
    if (header[0] == ADMIN_OUT || header[0] == ADMIN_ERR)
        return a->output->write(a->output->ctx, header[0] == ADMIN_ERR, body, size, err);
    if (header[0] != ADMIN_EXIT)
        return error_set(err, ERR_PROTOCOL, "the node speaks another version of this protocol");
    a->exit_code = (uint8_t)body[0];
    a->over = true;
    return ERR_OK;
}

enum err client_run(const char *data_dir, const char *const *words,
                    const struct client_output *output, int *exit_code, struct error *err)
{
    static const struct client_output own = { write_out, NULL };
    struct answer a = { .output = output ? output : &own };
    int fd = -1;
    enum err rc = connect_to(data_dir, &fd, err);
    if (rc)
        return rc;
    rc = send_request(fd, words, err);
    while (!rc && !a.over)
        rc = receive_frame(fd, &a, err);
    progress_hide(&a.progress);
    *exit_code = a.exit_code;
    close(fd);
    return rc;
}
