#include "net/http_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/list.h"
#include "base/mem.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/metrics.h"
#include "core/timer.h"
#include "net/listen.h"

enum cut { CUT_LIMIT, CUT_REQUEST_DEADLINE, CUT_ANSWER_DEADLINE, CUT_REASONS };
static_assert((int)METRIC_LABELS_http_cut == (int)CUT_REASONS, "metrics.def names each reason");
static_assert(LIMIT_HTTP_PIECE_BYTES >= LIMIT_METRICS_PIECE_BYTES, "a page of metrics is a source");

struct http_request {
    struct MHD_Connection *mhd;
    const char *method, *path;
    uint64_t body_bytes; /* dropped so far */
    uint64_t whole_ns;   /* when it was; 0 before */
    struct MHD_Response *response;
    unsigned status;
    unsigned headers_count;
    struct {
        const char *name;
        char text[128];
    } headers[LIMIT_HTTP_ANSWER_HEADERS];
    void (*gone)(void *ctx);
    void *gone_ctx;
};

/* What a connection waits for. */
enum conn_state {
    CONN_WAITING,  /* for its request; in server->waiting */
    CONN_QUEUED,   /* for a turn of the handler; suspended, in server->queued */
    CONN_HANDLED,  /* for the handler's answer; suspended */
    CONN_ANSWERED, /* for the client to take it */
    CONN_CUT,      /* for libmicrohttpd to see that its socket is shut down */
};

struct conn {
    struct http_server *server;
    enum conn_state state;
    struct list link; /* in waiting or queued */
    struct list all;
    struct timer deadline;
    struct http_request req; /* one at a time: libmicrohttpd reads the next one afterwards */
};

/* libuv's handles live until it has closed them, which may be after the server. */
struct watch {
    uv_poll_t listen, epoll;
    unsigned open;
};

struct http_server {
    struct http_server_options options;
    struct MHD_Daemon *mhd;
    struct watch *watch;
    struct list all;     /* connections */
    struct list waiting; /* for their requests, longest first */
    struct list queued;  /* for the handler, in order */
    unsigned connections;
    uint64_t started; /* connections, since the start */
    bool listening;   /* false: full, with nobody to cut: until one ends, or the retry */
    struct timer retry;
    struct deferred turn;
    struct timer again; /* libmicrohttpd asks to be run */
    struct listen listen;
};

static void server_run(struct http_server *s);
static void server_listen(struct http_server *s, bool on);

static uint64_t now_ns(void)
{
    return uv_hrtime();
}

static struct conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* ---- connections ---- */

static void conn_wait(struct conn *c)
{
    c->state = CONN_WAITING;
    list_append(&c->server->waiting, &c->link);
    timer_set(&c->deadline, LIMIT_HTTP_REQUEST_MS);
}

static void request_gone(struct http_request *req)
{
    void (*gone)(void *ctx) = req->gone;
    req->gone = NULL;
    if (gone)
        gone(req->gone_ctx);
}

/* The socket is shut down; libmicrohttpd finds out in its next run and ends the connection. */
static void conn_shut(struct conn *c)
{
    enum conn_state was = c->state;
    if (was == CONN_CUT)
        return;
    c->state = CONN_CUT;
    if (list_linked(&c->link))
        list_remove(&c->link);
    timer_set(&c->deadline, 0);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->req.mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    shutdown(info->connect_fd, SHUT_RDWR);
    if (was == CONN_HANDLED)
        request_gone(&c->req);
    if (was == CONN_QUEUED || was == CONN_HANDLED)
        MHD_resume_connection(c->req.mhd);
}

static void conn_cut(struct conn *c, enum cut why)
{
    metric_add_by(METRIC_http_cut_total, why, 1);
    conn_shut(c);
}

static void conn_overdue(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, deadline);
    if (c->state == CONN_WAITING) {
        LIMIT_HIT(HTTP_REQUEST_MS);
        conn_cut(c, CUT_REQUEST_DEADLINE);
    } else {
        LIMIT_HIT(HTTP_ANSWER_MS);
        conn_cut(c, CUT_ANSWER_DEADLINE);
    }
    server_run(c->server);
}

static void on_connection(void *ctx, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *s = ctx;
    struct conn *c = *socket_context;
    switch (code) {
    case MHD_CONNECTION_NOTIFY_STARTED:
        c = mem_zalloc(s->options.owner, sizeof(*c));
        c->server = s;
        c->req.mhd = mhd;
        timer_init(&c->deadline, s->options.loop, conn_overdue, "http deadline");
        list_append(&s->all, &c->all);
        s->connections++;
        s->started++;
        conn_wait(c);
        *socket_context = c;
        metric_add(METRIC_http_accepted_total, 1);
        break;
    case MHD_CONNECTION_NOTIFY_CLOSED:
        timer_set(&c->deadline, 0);
        if (list_linked(&c->link))
            list_remove(&c->link);
        list_remove(&c->all);
        s->connections--;
        mem_free(s->options.owner, c);
        mem_give(s->options.owner, LIMIT_HTTP_CONNECTION_BYTES);
        server_listen(s, true);
        break;
    }
    metric_set(METRIC_http_connections, s->connections);
}

static bool server_take_room(struct http_server *s)
{
    return LIMIT_CHECK(HTTP_CONNECTIONS, s->connections + 1) &&
           mem_take(s->options.owner, LIMIT_HTTP_CONNECTION_BYTES);
}

/* Room for one more, by cutting the one that has waited longest. */
static bool server_make_room(struct http_server *s)
{
    struct list *longest = list_first(&s->waiting);
    if (!longest)
        return false;
    conn_cut(container_of(longest, struct conn, link), CUT_LIMIT);
    MHD_run(s->mhd); /* sees it and ends it */
    return server_take_room(s);
}

static bool somebody_knocks(const struct http_server *s)
{
    struct pollfd p = { .fd = s->listen.fd, .events = POLLIN };
    return poll(&p, 1, 0) == 1;
}

static bool server_accept(struct http_server *s)
{
    struct sockaddr_storage from;
    socklen_t size = sizeof(from);
    if (!server_take_room(s)) {
        if (!somebody_knocks(s)) /* nobody is cut for nobody */
            return false;
        if (!server_make_room(s)) {
            server_listen(s, false);
            return false;
        }
    }
    int fd = accept4(s->listen.fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        mem_give(s->options.owner, LIMIT_HTTP_CONNECTION_BYTES);
        int why = errno;
        if (why == EMFILE || why == ENFILE || why == ENOBUFS || why == ENOMEM)
            server_listen(s, false); /* else the socket stays readable and the loop spins */
        return why == ECONNABORTED;
    }
    uint64_t before = s->started;
    if (MHD_add_connection(s->mhd, fd, (struct sockaddr *)&from, size) != MHD_YES &&
        s->started == before) /* it has closed fd, and not even begun */
        mem_give(s->options.owner, LIMIT_HTTP_CONNECTION_BYTES);
    return true;
}

static void on_listen(uv_poll_t *poll, int status UNUSED, int events UNUSED)
{
    struct http_server *s = poll->data;
    loop_callback_begin(s->options.loop, "http listen");
    for (unsigned i = 0; i < LIMIT_HTTP_ACCEPTS_PER_TURN && server_accept(s); i++)
        ;
    server_run(s);
    loop_callback_end(s->options.loop);
}

static void on_retry(struct timer *t)
{
    server_listen(container_of(t, struct http_server, retry), true);
}

static void server_listen(struct http_server *s, bool on)
{
    if (s->listening == on || !s->watch)
        return;
    s->listening = on;
    timer_set(&s->retry, on ? 0 : LIMIT_HTTP_RETRY_MS);
    if (on)
        uv_poll_start(&s->watch->listen, UV_READABLE, on_listen);
    else
        uv_poll_stop(&s->watch->listen);
}

/* ---- requests ---- */

static void request_reset(struct http_request *req)
{
    struct MHD_Connection *mhd = req->mhd;
    if (req->response)
        MHD_destroy_response(req->response);
    memset(req, 0, sizeof(*req));
    req->mhd = mhd;
}

static enum MHD_Result answer_send(struct conn *c)
{
    struct http_request *req = &c->req;
    assert(req->status >= 100 && req->status < 600);
    metric_add_by(METRIC_http_answers_total, req->status / 100 - 1, 1);
    enum MHD_Result ok = MHD_queue_response(req->mhd, req->status, req->response);
    MHD_destroy_response(req->response); /* the connection holds it now */
    req->response = NULL;
    return ok;
}

static const char *const too_large = "The body is larger than anything this server reads.\n";

/* The first call, when the headers are there. An answer now would end the connection, which suits a
 * body that we will not read. */
static enum MHD_Result request_begin(struct conn *c, const char *method, const char *path)
{
    struct http_request *req = &c->req;
    req->method = method;
    req->path = path;
    const char *length = http_request_header(req, "Content-Length");
    if (!length || LIMIT_CHECK(HTTP_BODY_BYTES, strtoull(length, NULL, 10)))
        return MHD_YES;
    http_answer_text(req, 413, "text/plain", too_large, strlen(too_large));
    return answer_send(c);
}

static enum MHD_Result request_drop_body(struct conn *c, size_t *upload_size)
{
    c->req.body_bytes += *upload_size;
    *upload_size = 0;
    return LIMIT_CHECK(HTTP_BODY_BYTES, c->req.body_bytes) ? MHD_YES : MHD_NO;
}

/* The second call, when the request is whole: it waits for a turn of the handler. */
static void request_queue(struct conn *c)
{
    struct http_server *s = c->server;
    list_remove(&c->link);
    c->state = CONN_QUEUED;
    c->req.whole_ns = now_ns();
    list_append(&s->queued, &c->link);
    timer_set(&c->deadline, LIMIT_HTTP_ANSWER_MS);
    MHD_suspend_connection(c->req.mhd);
}

static enum MHD_Result on_access(void *ctx UNUSED, struct MHD_Connection *mhd, const char *url,
                                 const char *method, const char *version UNUSED,
                                 const char *upload UNUSED, size_t *upload_size, void **began)
{
    struct conn *c = conn_of(mhd);
    if (!c || c->state == CONN_CUT)
        return MHD_NO;
    if (!*began) {
        *began = c;
        return request_begin(c, method, url);
    }
    if (*upload_size > 0)
        return request_drop_body(c, upload_size);
    if (c->state == CONN_ANSWERED)
        return answer_send(c);
    if (c->state == CONN_WAITING)
        request_queue(c);
    return MHD_YES;
}

static void on_completed(void *ctx UNUSED, struct MHD_Connection *mhd, void **began UNUSED,
                         enum MHD_RequestTerminationCode why)
{
    struct conn *c = conn_of(mhd);
    if (!c)
        return;
    if (c->req.whole_ns && why == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        metric_observe(METRIC_http_answer_seconds, now_ns() - c->req.whole_ns);
    request_gone(&c->req);
    request_reset(&c->req);
    if (c->state == CONN_CUT)
        return;
    if (list_linked(&c->link))
        list_remove(&c->link);
    conn_wait(c);
}

static void server_turn(struct deferred *d)
{
    struct http_server *s = container_of(d, struct http_server, turn);
    for (unsigned i = 0; i < LIMIT_HTTP_HANDLED_PER_TURN; i++) {
        struct list *next = list_pop(&s->queued);
        if (!next)
            break;
        struct conn *c = container_of(next, struct conn, link);
        c->state = CONN_HANDLED;
        s->options.handler(s->options.ctx, &c->req);
    }
    server_run(s);
}

/* ---- answers ---- */

struct answer {
    struct mem_owner *owner;
    struct http_source source;
    size_t used, at; /* of piece */
    char piece[LIMIT_HTTP_PIECE_BYTES];
};

static ssize_t answer_next(void *ctx, uint64_t pos UNUSED, char *buf, size_t size)
{
    struct answer *a = ctx;
    if (a->at == a->used) {
        a->used = a->source.next(a->source.ctx, a->piece, sizeof(a->piece));
        a->at = 0;
        if (a->used == 0)
            return MHD_CONTENT_READER_END_OF_STREAM;
    }
    size_t n = MIN(size, a->used - a->at);
    memcpy(buf, a->piece + a->at, n);
    a->at += n;
    return (ssize_t)n;
}

static void answer_end(void *ctx)
{
    struct answer *a = ctx;
    if (a->source.end)
        a->source.end(a->source.ctx);
    mem_free(a->owner, a);
}

static struct conn *conn_of_request(struct http_request *req)
{
    return container_of(req, struct conn, req);
}

/* Gives the answer to libmicrohttpd: in the handler's next call, which follows the resume. */
static void answer_give(struct http_request *req, unsigned status, const char *content_type,
                        struct MHD_Response *response)
{
    struct conn *c = conn_of_request(req);
    req->response = response;
    req->status = status;
    req->gone = NULL;
    MHD_add_response_header(response, "Content-Type", content_type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    for (unsigned i = 0; i < req->headers_count; i++)
        MHD_add_response_header(response, req->headers[i].name, req->headers[i].text);
    if (c->state != CONN_HANDLED)
        return; /* refused at its headers */
    c->state = CONN_ANSWERED;
    MHD_resume_connection(req->mhd);
    if (!deferred_pending(&c->server->turn)) /* a resumed connection waits for a run */
        loop_defer(c->server->options.loop, &c->server->turn, server_turn);
}

static void answer_no_memory(struct http_request *req)
{
    static char text[] = "No memory left for an answer; try again.\n";
    answer_give(req, 503, "text/plain",
                MHD_create_response_from_buffer(sizeof(text) - 1, text, MHD_RESPMEM_PERSISTENT));
}

void http_answer_header(struct http_request *req, const char *name, const char *text)
{
    assert(req->headers_count < LIMIT_HTTP_ANSWER_HEADERS);
    req->headers[req->headers_count].name = name;
    snprintf(req->headers[req->headers_count].text, sizeof(req->headers[0].text), "%s", text);
    req->headers_count++;
}

void http_answer_source(struct http_request *req, unsigned status, const char *content_type,
                        const struct http_source *source)
{
    struct mem_owner *owner = conn_of_request(req)->server->options.owner;
    struct answer *a = mem_try_zalloc(owner, sizeof(*a));
    struct MHD_Response *response = NULL;
    if (a) {
        a->owner = owner;
        a->source = *source;
        response =
            MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1024, answer_next, a, answer_end);
    }
    if (response) {
        answer_give(req, status, content_type, response);
        return;
    }
    mem_free(owner, a);
    if (source->end)
        source->end(source->ctx);
    answer_no_memory(req);
}

struct text {
    struct mem_owner *owner;
    char data[];
};

static void text_free(void *ctx)
{
    struct text *t = container_of(ctx, struct text, data);
    mem_free(t->owner, t);
}

void http_answer_text(struct http_request *req, unsigned status, const char *content_type,
                      const char *text, size_t size)
{
    struct mem_owner *owner = conn_of_request(req)->server->options.owner;
    struct text *t = mem_try_alloc(owner, sizeof(*t) + size);
    struct MHD_Response *response = NULL;
    if (t) {
        t->owner = owner;
        memcpy(t->data, text, size);
        response = MHD_create_response_from_buffer_with_free_callback(size, t->data, text_free);
    }
    if (response) {
        answer_give(req, status, content_type, response);
        return;
    }
    mem_free(owner, t);
    answer_no_memory(req);
}

/* ---- what was asked ---- */

const char *http_request_method(const struct http_request *req)
{
    return req->method;
}

const char *http_request_path(const struct http_request *req)
{
    return req->path;
}

const char *http_request_header(const struct http_request *req, const char *name)
{
    return MHD_lookup_connection_value(req->mhd, MHD_HEADER_KIND, name);
}

bool http_request_is_local(const struct http_request *req)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info && sockaddr_is_loopback(info->client_addr);
}

void http_request_on_gone(struct http_request *req, void (*gone)(void *ctx), void *ctx)
{
    req->gone = gone;
    req->gone_ctx = ctx;
}

/* ---- the server ---- */

/* Lets libmicrohttpd work, and arranges for what it leaves behind. */
static void server_run(struct http_server *s)
{
    MHD_UNSIGNED_LONG_LONG left_ms;
    MHD_run(s->mhd);
    if (!list_empty(&s->queued) && !deferred_pending(&s->turn))
        loop_defer(s->options.loop, &s->turn, server_turn);
    timer_set(&s->again, 0);
    if (MHD_get_timeout(s->mhd, &left_ms) == MHD_YES) {
        if (left_ms > 0)
            timer_set(&s->again, left_ms);
        else if (!deferred_pending(&s->turn))
            loop_defer(s->options.loop, &s->turn, server_turn);
    }
}

static void on_again(struct timer *t)
{
    server_run(container_of(t, struct http_server, again));
}

static void on_epoll(uv_poll_t *poll, int status UNUSED, int events UNUSED)
{
    struct http_server *s = poll->data;
    loop_callback_begin(s->options.loop, "http");
    server_run(s);
    loop_callback_end(s->options.loop);
}

static void on_mhd_log(void *ctx UNUSED, const char *fmt, va_list ap)
{
    char text[256];
    vsnprintf(text, sizeof(text), fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    log_debug("http: %s", text);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;
    if (--w->open == 0)
        mem_machine_free(w);
}

static enum err server_start(struct http_server *s, struct error *err)
{
    /* A spare handful above our own limit: what is cut counts until it is closed. */
    s->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
                                  MHD_USE_ERROR_LOG,
                              0, NULL, NULL, on_access, s, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log,
                              NULL, MHD_OPTION_CONNECTION_LIMIT, LIMIT_HTTP_CONNECTIONS + 16u,
                              MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)LIMIT_HTTP_POOL_BYTES,
                              MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                              MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
                              MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        s->mhd ? MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info)
        return error_set(err, ERR_SYSTEM, "the HTTP server did not start");
    s->watch = mem_machine_zalloc(sizeof(*s->watch));
    uv_loop_t *uv = loop_uv(s->options.loop);
    uv_poll_t *polls[] = { &s->watch->epoll, &s->watch->listen };
    int fds[] = { info->epoll_fd, s->listen.fd };
    for (size_t i = 0; i < ARRAY_SIZE(polls); i++) {
        int rc = uv_poll_init(uv, polls[i], fds[i]);
        if (rc)
            return error_set(err, ERR_SYSTEM, "the loop cannot watch HTTP: %s", uv_strerror(rc));
        polls[i]->data = s;
        s->watch->open++;
    }
    uv_poll_start(&s->watch->epoll, UV_READABLE, on_epoll);
    server_listen(s, true);
    return ERR_OK;
}

enum err http_server_create(struct http_server **out, const struct http_server_options *options,
                            struct error *err)
{
    assert(options->handler && options->loop && options->owner);
    struct http_server *s = mem_zalloc(options->owner, sizeof(*s));
    s->options = *options;
    s->listen.fd = -1;
    list_init(&s->all);
    list_init(&s->waiting);
    list_init(&s->queued);
    timer_init(&s->again, options->loop, on_again, "http again");
    timer_init(&s->retry, options->loop, on_retry, "http retry");
    enum err rc = listen_open(&s->listen, options->address, LIMIT_HTTP_BACKLOG, err);
    if (rc)
        error_wrap(err, rc, "http-addr");
    if (!rc)
        rc = server_start(s, err);
    if (rc) {
        http_server_destroy(s);
        return rc;
    }
    *out = s;
    return ERR_OK;
}

static void watch_close(struct watch *w)
{
    if (!w)
        return;
    if (w->open == 0) { /* the loop refused the first */
        mem_machine_free(w);
        return;
    }
    uv_poll_t *polls[] = { &w->epoll, &w->listen };
    for (unsigned i = 0, open = w->open; i < open; i++) {
        polls[i]->data = w;
        uv_close((uv_handle_t *)polls[i], on_watch_closed);
    }
}

void http_server_destroy(struct http_server *s)
{
    if (!s)
        return;
    timer_set(&s->again, 0);
    timer_set(&s->retry, 0);
    watch_close(s->watch);
    s->watch = NULL;
    listen_close(&s->listen);
    list_each (at, &s->all)
        conn_shut(container_of(at, struct conn, all));
    if (s->mhd) {
        MHD_run(s->mhd); /* it refuses to stop with suspended connections */
        MHD_stop_daemon(s->mhd);
    }
    loop_defer_cancel(&s->turn);
    assert(s->connections == 0);
    mem_free(s->options.owner, s);
}

const char *http_server_address(const struct http_server *s)
{
    return s->listen.address;
}

bool http_server_is_loopback(const struct http_server *s)
{
    return s->listen.loopback;
}

unsigned http_server_connections(const struct http_server *s)
{
    return s->connections;
}
