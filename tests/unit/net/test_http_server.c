/* A server on a loop, and clients on a thread of their own that speak plain sockets. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"
#include "core/loop.h"
#include "core/metrics.h"
#include "net/http_server.h"

enum { STREAM_BYTES = 300000, BODY_BYTES = 400 * 1024 };

static struct loop *loop;
static struct mem_plan *plan;
static struct mem_owner *owner;
static struct http_server *server;
static uint16_t port;
static unsigned ended, gone, handled;

/* ---- the handler ---- */

static size_t stream_left;
static size_t stream_next(void *ctx UNUSED, char *buf, size_t size)
{
    size_t n = MIN(size, stream_left);
    memset(buf, 'x', n);
    stream_left -= n;
    return n;
}
static void stream_end(void *ctx UNUSED)
{
    ended++;
}

static struct deferred later;
static struct http_request *late;
static void answer_late(struct deferred *d UNUSED)
{
    http_answer_text(late, 200, "text/plain", "late", 4);
}
static void on_gone(void *ctx UNUSED)
{
    gone++;
    late = NULL;
}

static void handle(void *ctx UNUSED, struct http_request *req)
{
    handled++;
    const char *path = http_request_path(req);
    if (strcmp(path, "/stream") == 0) {
        stream_left = STREAM_BYTES;
        http_answer_source(req, 200, "text/plain",
                           &(struct http_source){ stream_next, stream_end, NULL });
    } else if (strcmp(path, "/late") == 0) {
        late = req;
        loop_defer(loop, &later, answer_late);
    } else if (strcmp(path, "/never") == 0) {
        __atomic_store_n(&late, req, __ATOMIC_RELEASE); /* a client waits for it */
        http_request_on_gone(req, on_gone, NULL);
    } else if (strcmp(path, "/big") == 0) {
        static char big[BODY_BYTES];
        memset(big, 'b', sizeof(big));
        http_answer_text(req, 200, "text/plain", big, sizeof(big));
    } else {
        char text[256];
        const char *agent = http_request_header(req, "user-agent");
        int n = snprintf(text, sizeof(text), "%s %s %s %d", http_request_method(req), path,
                         agent ? agent : "-", http_request_is_local(req));
        http_answer_header(req, "X-Larder", "yes");
        http_answer_text(req, strcmp(path, "/") == 0 ? 200 : 404, "text/plain", text, (size_t)n);
    }
}

/* ---- both sides ---- */

static uv_async_t done;
static void on_done(uv_async_t *handle UNUSED)
{
    loop_stop(loop);
}

static void server_begin(uint64_t ceiling_percent)
{
    struct mem_row row = { "http", "refused", MEM_ELASTIC, MiB / 4, 1, (uint8_t)ceiling_percent,
                           true };
    check(mem_plan_create(&plan, 256 * MiB, &row, 1, NULL) == ERR_OK, "a plan");
    owner = mem_plan_find(plan, "http");
    check(loop_create(&loop, NULL) == ERR_OK, "a loop");
    uv_async_init(loop_uv(loop), &done, on_done);
    struct error err = { 0 };
    struct http_server_options o = { loop, owner, "127.0.0.1:0", handle, NULL };
    check(http_server_create(&server, &o, &err) == ERR_OK, err.text);
    check(http_server_is_loopback(server), "127.0.0.1 is");
    port = (uint16_t)atoi(strrchr(http_server_address(server), ':') + 1);
    check(port > 0, "port 0 became a real one");
    ended = gone = handled = 0;
}

static void server_end(void)
{
    http_server_destroy(server);
    uv_close((uv_handle_t *)&done, NULL);
    loop_destroy(loop);
    check(owner->used_bytes == 0, "everything was given back");
    mem_plan_destroy(plan);
}

static char failure[512];
static void *run_clients(void *ctx)
{
    ((void (*)(void))(uintptr_t)ctx)();
    uv_async_send(&done);
    return NULL;
}

/* Runs the loop while clients() runs on another thread, whose first failure ends the test. */
static void with_clients(void (*clients)(void))
{
    pthread_t thread;
    failure[0] = '\0';
    check(pthread_create(&thread, NULL, run_clients, (void *)(uintptr_t)clients) == 0, "a thread");
    loop_run(loop);
    pthread_join(thread, NULL);
    check(failure[0] == '\0', failure);
}

static bool expect(bool ok, const char *why)
{
    if (!ok && !failure[0])
        snprintf(failure, sizeof(failure), "%s", why);
    return ok;
}

static int client_open(void)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval wait = { .tv_sec = 20 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    expect(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0, "connect");
    return fd;
}

static void client_send(int fd, const char *text)
{
    expect(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text), "send");
}

static char answer[STREAM_BYTES + BODY_BYTES];
/* Reads till end is there, or till the connection ends when end is NULL. Returns what came. */
static size_t client_read(int fd, const char *end)
{
    size_t used = 0;
    ssize_t n;
    answer[0] = '\0';
    while (used < sizeof(answer) - 1 && !(end && strstr(answer, end)) &&
           (n = recv(fd, answer + used, sizeof(answer) - 1 - used, 0)) > 0) {
        used += (size_t)n;
        answer[used] = '\0';
    }
    return used;
}

static const char *client_ask(const char *request)
{
    int fd = client_open();
    client_send(fd, request);
    client_read(fd, NULL);
    close(fd);
    return answer;
}

#define CLOSE "Host: x\r\nConnection: close\r\n\r\n"

/* ---- the tests ---- */

static const struct {
    const char *why, *request, *want;
} exchanges[] = {
    { "an answer", "GET / HTTP/1.1\r\nUser-Agent: me\r\n" CLOSE, "HTTP/1.1 200 OK\r\n" },
    { "its body", "GET / HTTP/1.1\r\nUser-Agent: me\r\n" CLOSE, "\r\n\r\nGET / me 1" },
    { "its own header", "GET / HTTP/1.1\r\n" CLOSE, "X-Larder: yes\r\n" },
    { "it is not kept", "GET / HTTP/1.1\r\n" CLOSE, "Cache-Control: no-store\r\n" },
    { "a query is no part of the path", "GET /?a=b HTTP/1.1\r\n" CLOSE, "\r\n\r\nGET / - 1" },
    { "not found", "GET /nowhere HTTP/1.1\r\n" CLOSE, "HTTP/1.1 404 Not Found\r\n" },
    { "HEAD has no body", "HEAD / HTTP/1.1\r\n" CLOSE, "Content-Length: 10\r\n" },
    { "a body is dropped", "POST / HTTP/1.1\r\nContent-Length: 5\r\n" CLOSE "hello",
      "\r\n\r\nPOST / - 1" },
    { "a huge body is refused", "POST / HTTP/1.1\r\nContent-Length: 65537\r\n" CLOSE,
      "HTTP/1.1 413 " },
    { "an answer may come later", "GET /late HTTP/1.1\r\n" CLOSE, "\r\n\r\nlate" },
    { "no Host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "HTTP/1.1 400 " },
    { "not HTTP", "hello\r\n\r\n", "" },
};

static void clients_exchange(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(exchanges); i++)
        expect(strstr(client_ask(exchanges[i].request), exchanges[i].want) != NULL,
               exchanges[i].why);
    expect(!strstr(client_ask("HEAD / HTTP/1.1\r\n" CLOSE), "\r\n\r\nHEAD"), "no body, really");

    int fd = client_open(); /* three on one connection, one of them in two parts */
    client_send(fd, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(client_read(fd, "GET /1") > 0, "the first");
    client_send(fd, "GET /2 HTTP/1.1\r\nHo");
    usleep(20000);
    client_send(fd, "st: x\r\n\r\nGET /3 HTTP/1.1\r\n" CLOSE);
    client_read(fd, NULL);
    expect(strstr(answer, "GET /2") && strstr(answer, "GET /3"), "the second and the third");
    close(fd);
}

TEST(requests_are_answered)
{
    server_begin(50);
    with_clients(clients_exchange);
    check(metric_get_by(METRIC_http_answers_total, 1) > 5, "answers are counted");
    check(metric_get(METRIC_http_answer_seconds) > 5, "and timed");
    server_end();
}

static void clients_stream(void)
{
    client_ask("GET /stream HTTP/1.1\r\n" CLOSE);
    size_t count = 0;
    for (const char *p = strstr(answer, "\r\n\r\n"); p && *p; p++)
        count += *p == 'x';
    expect(count == STREAM_BYTES, "every byte of the stream");
    expect(strstr(answer, "chunked") && strcmp(answer + strlen(answer) - 5, "0\r\n\r\n") == 0,
           "with its end");
    int fd = client_open(); /* goes away in the middle */
    client_send(fd, "GET /stream HTTP/1.1\r\n" CLOSE);
    expect(recv(fd, answer, 10, 0) == 10, "a beginning");
    close(fd);
    expect(strlen(strstr(client_ask("GET /big HTTP/1.0\r\n\r\n"), "\r\n\r\n") + 4) == BODY_BYTES,
           "a large body as a whole");
}

TEST(a_body_in_pieces)
{
    server_begin(50);
    with_clients(clients_stream);
    http_server_destroy(server);
    server = NULL;
    check(ended == 2, "the end is called once for each");
    server_end();
}

static void clients_overdo(void)
{
    static char request[70000];
    int n = snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nX-Long: ");
    memset(request + n, 'h', 30000);
    snprintf(request + n + 30000, sizeof(request) - (size_t)n - 30000, "\r\n" CLOSE);
    int fd = client_open();
    expect(send(fd, request, strlen(request), MSG_NOSIGNAL) > 0, "send");
    client_read(fd, NULL);
    expect(strstr(answer, "HTTP/1.1 431 ") != NULL, "a header above the pool");
    close(fd);

    fd = client_open(); /* says no length */
    client_send(fd, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" CLOSE);
    memset(request, 'c', sizeof(request));
    memcpy(request, "11000\r\n", 7);
    for (int i = 0; i < 3; i++)
        if (send(fd, request, sizeof(request), MSG_NOSIGNAL) < 0)
            break;
    client_read(fd, NULL);
    expect(!strstr(answer, "200 OK"), "a body above the limit ends the connection");
    close(fd);
}

TEST(too_much_is_refused)
{
    server_begin(50);
    uint64_t hits = limit_hits(LIMIT_ID_HTTP_BODY_BYTES);
    with_clients(clients_overdo);
    check(handled == 0, "and the handler never hears of it");
    check(limit_hits(LIMIT_ID_HTTP_BODY_BYTES) == hits + 1, "by the limit");
    server_end();
}

/* Opens count connections that never finish a request, asks, and returns how many were cut; all of
 * them must be the first ones. */
static unsigned crowd(unsigned count)
{
    int *fds = calloc(count, sizeof(*fds));
    unsigned cut = 0;
    for (unsigned i = 0; i < count; i++) {
        fds[i] = client_open();
        if (i % 2)
            client_send(fds[i], "GET / HT");
    }
    expect(strstr(client_ask("GET / HTTP/1.1\r\n" CLOSE), "200 OK") != NULL,
           "a scrape gets through a crowd");
    for (unsigned i = 0; i < count; i++) {
        struct pollfd p = { fds[i], POLLIN, 0 };
        bool is_cut = poll(&p, 1, 0) == 1;
        expect(!is_cut || cut == i, "those that waited longest are cut first");
        cut += is_cut;
        close(fds[i]);
    }
    free(fds);
    return cut;
}

static void clients_crowd(void)
{
    expect(crowd(LIMIT_HTTP_CONNECTIONS + 100) == 101, "as many as needed");
}

TEST(at_the_limit_the_longest_waiting_is_cut)
{
    server_begin(50);
    int64_t cut = metric_get_by(METRIC_http_cut_total, 0);
    uint64_t hits = limit_hits(LIMIT_ID_HTTP_CONNECTIONS);
    with_clients(clients_crowd);
    check(metric_get_by(METRIC_http_cut_total, 0) == cut + 101, "and counted");
    check(limit_hits(LIMIT_ID_HTTP_CONNECTIONS) > hits, "by the limit");
    server_end();
}

static void clients_poor(void)
{
    unsigned cut = crowd(200);
    expect(cut > 50 && cut < 150, "memory is the limit now");
}

TEST(without_memory_the_same)
{
    server_begin(1); /* 2.56 MiB: about 120 connections */
    with_clients(clients_poor);
    check(owner->peak_bytes <= owner->ceiling_bytes + 200 * KiB, "no more than the owner has");
    server_end();
}

static int slow, stuck;
static void clients_begin(void)
{
    slow = client_open();
    client_send(slow, "GET / HTTP/1.1\r\nHost");
    stuck = client_open();
    client_send(stuck, "GET /never HTTP/1.1\r\n" CLOSE);
    while (!__atomic_load_n(&late, __ATOMIC_ACQUIRE))
        usleep(1000);
}
static void clients_drip(void)
{
    client_send(slow, ":"); /* not silent, and yet */
    expect(client_read(slow, NULL) == 0, "the one without a whole request is cut");
}
static void clients_gone(void)
{
    expect(client_read(stuck, NULL) == 0, "so is the one without an answer");
}

TEST(deadlines_are_total)
{
    server_begin(50);
    with_clients(clients_begin);
    check(http_server_connections(server) == 2, "two");
    loop_clock_set(loop, loop_now_ms(loop) + LIMIT_HTTP_REQUEST_MS, 0);
    with_clients(clients_drip);
    check(http_server_connections(server) == 1 && gone == 0, "one is left");
    loop_clock_set(loop, loop_now_ms(loop) + LIMIT_HTTP_ANSWER_MS, 0);
    with_clients(clients_gone);
    check(http_server_connections(server) == 0 && gone == 1, "the handler heard of it");
    close(slow);
    close(stuck);
    server_end();
}

static void clients_leave_open(void)
{
    clients_begin();
    client_open();
}

TEST(a_server_ends_with_requests_under_way)
{
    server_begin(50);
    with_clients(clients_leave_open);
    http_server_destroy(server);
    server = NULL;
    check(gone == 1, "the handler heard of it");
    server_end();
    close(slow);
    close(stuck);
}

/* Whatever is refused, the client gets an answer or an end, and the next one is served. */
static void clients_short(void)
{
    client_ask("GET /stream HTTP/1.1\r\n" CLOSE);
    expect(!answer[0] || strstr(answer, "503 ") || strstr(answer, "200 OK"), "an end");
    expect(strstr(client_ask("GET / HTTP/1.1\r\n" CLOSE), "200 OK") != NULL, "the next");
}

TEST(answers_without_memory_are_refused)
{
    for (unsigned at = 1; at <= 4; at++) {
        server_begin(50);
        mem_fault_at(at);
        with_clients(clients_short);
        mem_fault_at(0);
        server_end();
    }
}

static const char *const bad_addresses[] = {
    "",         "127.0.0.1", "127.0.0.1:",   "127.0.0.1:65536", "127.0.0.1:-1", "example:80",
    "::1:80",   "[::1]",     "[::1:80",      "[127.0.0.1]:80",  ":80",          "127.0.0.1:80x",
    "1.2.3:80", "[]:1",      "127.0.0.1: 1",
};

TEST(addresses_that_make_no_sense)
{
    server_begin(50);
    for (size_t i = 0; i < ARRAY_SIZE(bad_addresses); i++) {
        struct http_server *other = NULL;
        struct http_server_options o = { loop, owner, bad_addresses[i], handle, NULL };
        check(http_server_create(&other, &o, NULL) == ERR_CONFIG, bad_addresses[i]);
    }
    struct http_server *other = NULL;
    struct http_server_options o = { loop, owner, http_server_address(server), handle, NULL };
    struct error err = { 0 };
    check(http_server_create(&other, &o, &err) == ERR_SYSTEM, "one that is taken");
    check(strstr(err.text, "Address already in use") != NULL, err.text);
    o.address = "localhost:0";
    check(http_server_create(&other, &o, &err) == ERR_OK, "a name that needs no resolver");
    check(strncmp(http_server_address(other), "127.0.0.1:", 10) == 0, "is an address");
    http_server_destroy(other);
    o.address = "0.0.0.0:0";
    check(http_server_create(&other, &o, &err) == ERR_OK, "any address");
    check(!http_server_is_loopback(other), "is not loopback");
    http_server_destroy(other);
    server_end();
}

/* In place of the C library's: the kernel that has no room for one more watch. */
static int full_epoll = -1, adds_left;
int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    if (epoll == full_epoll && op == EPOLL_CTL_ADD && adds_left-- == 0) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}

TEST(a_loop_that_can_watch_no_more)
{
    for (int at = 0; at < 2; at++) {
        server_begin(50);
        struct http_server *other = NULL;
        struct http_server_options o = { loop, owner, "127.0.0.1:0", handle, NULL };
        struct error err = { 0 };
        full_epoll = uv_backend_fd(loop_uv(loop));
        adds_left = at;
        check(http_server_create(&other, &o, &err) == ERR_SYSTEM, "refused");
        check(strstr(err.text, "no space left") != NULL, err.text);
        full_epoll = -1;
        server_end();
    }
}
