#include "node/admin.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <uv.h>

#include "base/list.h"
#include "base/mem.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/timer.h"
#include "node/admin_commands.h"

struct session {
    struct admin_session pub; /* what the command sees */
    struct admin *admin;
    struct list link;
    uv_pipe_t pipe;
    uv_write_t write;
    struct deferred gone;                /* tell_gone */
    struct timer deadline;               /* for the request; then for a reader that takes nothing */
    const struct admin_command *command; /* NULL until the request is whole */
    bool ended;                          /* the command has, or there was none */
    bool closing, closed;                /* the pipe */
    bool full;                           /* a print said false; on_space is due */
    uint32_t sending, out_used;          /* bytes of out: under way, and in all */
    uint32_t request_used;
    const char *words[LIMIT_ADMIN_REQUEST_WORDS];
    char request[ADMIN_HEADER_BYTES + LIMIT_ADMIN_REQUEST_BYTES + 1]; /* one to be too long by */
    char out[LIMIT_ADMIN_OUTPUT_BYTES];
};

struct admin {
    struct node *node;
    struct loop *loop;
    struct mem_owner *mem;
    const struct admin_command *commands;
    int dir_fd;
    uv_pipe_t listener;
    bool closing, closed; /* the listener */
    bool waiting;         /* somebody at the door, and no room */
    struct list sessions;
    uint32_t count;
    admin_idle *idle;
    void *idle_ctx;
};

/* The last frame always has its place. */
enum { EXIT_BYTES = ADMIN_HEADER_BYTES + 1, PRINT_BYTES = 4096 };

static struct session *session_of(struct admin_session *s)
{
    return container_of(s, struct session, pub);
}

static void session_begin(struct admin *a);

static void settle(struct admin *a)
{
    if (a->waiting && !a->closing)
        session_begin(a);
    if (a->count > 0 || !a->closed || !a->idle)
        return;
    admin_idle *idle = a->idle;
    a->idle = NULL;
    idle(a->idle_ctx);
}

static void session_free_if_over(struct session *s)
{
    if (!s->ended || !s->closed)
        return;
    struct admin *a = s->admin;
    timer_set(&s->deadline, 0);
    loop_defer_cancel(&s->gone);
    list_remove(&s->link);
    a->count--;
    mem_free(a->mem, s);
    settle(a);
}

static void on_pipe_closed(uv_handle_t *handle)
{
    struct session *s = container_of((uv_pipe_t *)handle, struct session, pipe);
    s->closed = true;
    session_free_if_over(s);
}

static void tell_gone(struct deferred *d)
{
    struct session *s = container_of(d, struct session, gone);
    if (s->pub.on_gone)
        s->pub.on_gone(&s->pub);
}

static void session_close(struct session *s)
{
    if (s->closing)
        return;
    s->closing = true;
    timer_set(&s->deadline, 0);
    uv_close((uv_handle_t *)&s->pipe, on_pipe_closed);
    if (!s->command)
        s->ended = true;
    else if (!s->ended)
        loop_defer(s->admin->loop, &s->gone, tell_gone); /* it may be printing right now */
}

static void send_more(struct session *s);

static void on_sent(uv_write_t *write, int status)
{
    struct session *s = container_of(write, struct session, write);
    loop_callback_begin(s->admin->loop, "admin on_sent");
    s->out_used -= s->sending;
    memmove(s->out, s->out + s->sending, s->out_used);
    s->sending = 0;
    if (status)
        session_close(s);
    else
        send_more(s);
    loop_callback_end(s->admin->loop);
}

static void send_more(struct session *s)
{
    if (s->sending || s->closing)
        return;
    timer_set(&s->deadline, 0);
    if (s->out_used > 0) {
        uv_buf_t buf = uv_buf_init(s->out, s->out_used);
        s->sending = s->out_used;
        if (uv_write(&s->write, (uv_stream_t *)&s->pipe, &buf, 1, on_sent)) {
            s->sending = 0;
            session_close(s);
            return;
        }
        timer_set(&s->deadline, LIMIT_ADMIN_STALL_MS);
    } else if (s->ended) {
        session_close(s);
    } else if (s->full) {
        s->full = false;
        if (s->pub.on_space)
            s->pub.on_space(&s->pub);
    }
}

static void put_frame(struct session *s, enum admin_frame type, const void *data, size_t size)
{
    struct writer w = writer_of(s->out + s->out_used, sizeof(s->out) - s->out_used);
    writer_u8(&w, (uint8_t)type);
    writer_be32(&w, (uint32_t)size);
    writer_put(&w, data, size);
    assert(!w.overflow);
    s->out_used += (uint32_t)writer_used(&w);
}

bool admin_write(struct admin_session *pub, enum admin_frame type, const void *data, size_t size)
{
    struct session *s = session_of(pub);
    assert(!s->ended && type != ADMIN_EXIT);
    if (s->closing)
        return true; /* into the void, as fast as it likes */
    if (size + ADMIN_HEADER_BYTES + EXIT_BYTES > sizeof(s->out) - s->out_used) {
        log_error("control socket: the answer to '%s' outgrew its buffer", s->command->name);
        session_close(s);
        return true;
    }
    put_frame(s, type, data, size);
    send_more(s);
    s->full = s->out_used > sizeof(s->out) / 2 - ADMIN_HEADER_BYTES - EXIT_BYTES;
    return !s->full;
}

bool admin_print(struct admin_session *pub, const char *fmt, ...)
{
    char text[PRINT_BYTES];
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    assert(size >= 0 && (size_t)size < sizeof(text)); /* longer ones go through admin_write */
    return admin_write(pub, ADMIN_OUT, text, (size_t)size);
}

bool admin_progress(struct admin_session *pub, const struct admin_progress *p)
{
    uint8_t body[ADMIN_PROGRESS_BYTES + ADMIN_PROGRESS_WHAT_BYTES];
    struct writer w = writer_of(body, sizeof(body));
    writer_u8(&w, p->bytes);
    writer_be64(&w, p->done);
    writer_be64(&w, p->total);
    writer_put(&w, p->what, strlen(p->what));
    assert(!w.overflow);
    return session_of(pub)->full || admin_write(pub, ADMIN_PROGRESS, body, writer_used(&w));
}

bool admin_gone(const struct admin_session *pub)
{
    return container_of(pub, const struct session, pub)->closing;
}

void admin_end(struct admin_session *pub, int exit_code)
{
    struct session *s = session_of(pub);
    const uint8_t code = (uint8_t)exit_code;
    assert(!s->ended);
    s->ended = true;
    loop_defer_cancel(&s->gone);
    if (s->closing) {
        session_free_if_over(s);
        return;
    }
    put_frame(s, ADMIN_EXIT, &code, 1);
    send_more(s);
}

void admin_fail(struct admin_session *pub, const struct error *err)
{
    char text[LIMIT_ERROR_TEXT_BYTES + 1];
    int size = snprintf(text, sizeof(text), "%s\n", err->text);
    admin_write(pub, ADMIN_ERR, text, (size_t)size);
    admin_end(pub, err_exit_code(err->code));
}

uint32_t admin_request_words(struct bytes body, const char **words, uint32_t words_max)
{
    uint32_t count = 0;
    if (body.size == 0 || body.data[body.size - 1] != '\0')
        return 0;
    for (size_t at = 0; at < body.size; at += strlen((const char *)body.data + at) + 1) {
        if (!LIMIT_CHECK(ADMIN_REQUEST_WORDS, count + 1) || count == words_max)
            return 0;
        words[count++] = (const char *)body.data + at;
    }
    return count;
}

static void run_command(struct session *s, uint32_t words)
{
    struct error err = { ERR_OK, "" };
    const struct admin_command *c = s->admin->commands;
    static const struct admin_command unknown = { "unknown", NULL, false };
    while (words > 0 && c->name && strcmp(c->name, s->words[0]))
        c++;
    s->command = words > 0 && c->name ? c : &unknown;
    s->pub.argc = words > 0 ? words - 1 : 0;
    s->pub.argv = s->words + 1;
    timer_set(&s->deadline, 0);
    if (s->command->start) {
        s->command->start(&s->pub);
        return;
    }
    error_set(&err, ERR_USAGE, "the running node does not know the command '%.60s'",
              words > 0 ? s->words[0] : "");
    admin_fail(&s->pub, &err);
}

/* Is the request whole? False: it is none at all. */
static bool take_request(struct session *s)
{
    struct reader r = reader_of(bytes_of(s->request, s->request_used));
    if (s->request_used < ADMIN_HEADER_BYTES)
        return true;
    uint8_t type = reader_u8(&r);
    uint32_t size = reader_be32(&r);
    if (type != ADMIN_REQUEST || !LIMIT_CHECK(ADMIN_REQUEST_BYTES, size) || reader_left(&r) > size)
        return false;
    if (reader_left(&r) == size)
        run_command(s, admin_request_words(reader_take(&r, size), s->words, ARRAY_SIZE(s->words)));
    return true;
}

static void on_alloc(uv_handle_t *handle, size_t suggested UNUSED, uv_buf_t *buf)
{
    struct session *s = container_of((uv_pipe_t *)handle, struct session, pipe);
    *buf =
        uv_buf_init(s->request + s->request_used, (unsigned)(sizeof(s->request) - s->request_used));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf UNUSED)
{
    struct session *s = container_of((uv_pipe_t *)stream, struct session, pipe);
    loop_callback_begin(s->admin->loop, "admin on_read");
    if (size > 0 && !s->command) {
        s->request_used += (uint32_t)size;
        if (!take_request(s))
            session_close(s);
    } else if (size != 0) {
        session_close(s); /* it has left, or speaks out of turn */
    }
    loop_callback_end(s->admin->loop);
}

static void on_deadline(struct timer *t)
{
    session_close(container_of(t, struct session, deadline));
}

/* The directory lets nobody else in; this holds when somebody opens it up. */
static bool peer_is_ours(uv_pipe_t *pipe)
{
    uv_os_fd_t fd;
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (uv_fileno((uv_handle_t *)pipe, &fd) ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
        return false;
    return peer.uid == geteuid() || peer.uid == 0;
}

static void session_begin(struct admin *a)
{
    struct session *s = NULL;
    if (a->count < LIMIT_ADMIN_SESSIONS)
        s = mem_try_zalloc(a->mem, sizeof(*s));
    a->waiting = !s; /* the connection stays with the listener, and the next end takes it up */
    if (!s)
        return;
    s->admin = a;
    s->pub.node = a->node;
    a->count++;
    list_append(&a->sessions, &s->link);
    timer_init(&s->deadline, a->loop, on_deadline, "admin on_deadline");
    uv_pipe_init(loop_uv(a->loop), &s->pipe, 0);
    if (uv_accept((uv_stream_t *)&a->listener, (uv_stream_t *)&s->pipe) ||
        !peer_is_ours(&s->pipe) || uv_read_start((uv_stream_t *)&s->pipe, on_alloc, on_read)) {
        session_close(s);
        return;
    }
    timer_set(&s->deadline, LIMIT_ADMIN_REQUEST_MS);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct admin *a = container_of((uv_pipe_t *)listener, struct admin, listener);
    loop_callback_begin(a->loop, "admin on_connection");
    if (status == 0)
        session_begin(a);
    loop_callback_end(a->loop);
}

void admin_socket_path(const char *dir, int dir_fd, char *out, size_t size)
{
    struct sockaddr_un address;
    snprintf(out, size, "%s/%s", dir, ADMIN_SOCKET);
    if (strlen(dir) + sizeof("/" ADMIN_SOCKET) > sizeof(address.sun_path))
        snprintf(out, size, "/proc/self/fd/%d/%s", dir_fd, ADMIN_SOCKET);
}

static enum err make_socket(const struct admin_options *o, int *out, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    admin_socket_path(o->dir, o->dir_fd, address.sun_path, sizeof(address.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_errno(err, ERR_SYSTEM, errno, "control socket");
    unlinkat(o->dir_fd, ADMIN_SOCKET, 0); /* of a node that was killed: we hold the lock */
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) ||
        fchmodat(o->dir_fd, ADMIN_SOCKET, 0600, 0)) {
        int failed = errno;
        close(fd);
        return error_errno(err, ERR_IO, failed, "control socket %s", address.sun_path);
    }
    *out = fd;
    return ERR_OK;
}

enum err admin_create(struct admin **out, const struct admin_options *o, struct error *err)
{
    int fd = -1;
    enum err rc = make_socket(o, &fd, err);
    if (rc)
        return rc;
    struct admin *a = mem_zalloc(o->mem, sizeof(*a));
    a->node = o->node;
    a->loop = o->loop;
    a->mem = o->mem;
    a->commands = o->commands ? o->commands : admin_commands;
    a->dir_fd = o->dir_fd;
    list_init(&a->sessions);
    *out = a; /* from here on the caller closes it */
    uv_pipe_init(loop_uv(a->loop), &a->listener, 0);
    int failed = uv_pipe_open(&a->listener, fd);
    if (failed)
        close(fd);
    else
        failed = uv_listen((uv_stream_t *)&a->listener, LIMIT_ADMIN_SESSIONS, on_connection);
    if (failed)
        return error_set(err, ERR_SYSTEM, "control socket: %s", uv_strerror(failed));
    return ERR_OK;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct admin *a = container_of((uv_pipe_t *)handle, struct admin, listener);
    a->closed = true;
    settle(a);
}

bool admin_close(struct admin *a, bool all, admin_idle *idle, void *ctx)
{
    if (!a->closing) {
        a->closing = true;
        unlinkat(a->dir_fd, ADMIN_SOCKET, 0);
        uv_close((uv_handle_t *)&a->listener, on_listener_closed);
    }
    struct list *next;
    for (struct list *at = a->sessions.next; at != &a->sessions; at = next) {
        struct session *s = container_of(at, struct session, link);
        next = at->next;
        if (all || !s->command || !s->command->finishes)
            session_close(s); /* frees nothing before the pipe's callback */
    }
    if (a->closed && a->count == 0)
        return false;
    a->idle = idle;
    a->idle_ctx = ctx;
    return true;
}

void admin_destroy(struct admin *a)
{
    if (!a)
        return;
    assert(a->closed && a->count == 0);
    mem_free(a->mem, a);
}
