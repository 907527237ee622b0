#include "net_side.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "bench.h"
#include "net/host_state.h"

#include <uv.h>

/* What is measured is the work, not the policy: room for everything. */
static const struct mem_row rows[] = {
    { "p2p", "refused", MEM_ELASTIC, 64 * MiB, 90, 95, true },
};

enum { ECHO_BYTES = 64, LINE_BYTES = 512, CONNECTIONS_MAX = 4096 };

static struct side {
    struct loop *loop;
    struct mem_plan *plan;
    struct host *host, *holders[CONNECTIONS_MAX];
    struct peer_secret identity;
    uv_pipe_t in;
    char line[LINE_BYTES], name[16];
    size_t line_have;
    uint64_t left, held, wall_ns, cpu_ns;
    uint8_t address[LIMIT_MULTIADDR_BYTES];
    struct bytes target;
    struct host_dial dialing;
    struct stream_open opening;
    struct ping pinging;
    uint64_t up, down, sent, got; /* of the stream that runs */
    bool echo;
} side;

/* /test/echo/1.0.0 returns up to 64 bytes; /perf/1.0.0 is told in 8 bytes how much is wanted back,
 * takes data until FIN, and sends that much. */
struct service {
    bool perf, fin;
    uint8_t head[ECHO_BYTES];
    uint64_t got, back, told;
};

static enum err service_open(struct stream *s UNUSED, void *ctx, void **user)
{
    struct service *v = calloc(1, sizeof(*v));
    v->perf = ctx != NULL;
    *user = v;
    return v ? ERR_OK : ERR_BUDGET;
}

static size_t service_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct service *v = user;
    if (size == 0) {
        v->fin = true;
        v->back = v->perf ? be64_decode(v->head) : MIN(v->got, ECHO_BYTES);
        stream_want_write(s);
        if (v->back == 0)
            stream_finish(s);
        return 0;
    }
    for (size_t i = 0; i < size && v->got + i < sizeof(v->head); i++)
        v->head[v->got + i] = bytes[i];
    v->got += size;
    return size;
}

/* The bytes of a bulk transfer are whatever lies in the buffer. */
static size_t service_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct service *v = user;
    if (!v->fin)
        return 0;
    size_t n = MIN(room, v->back - v->told);
    if (!v->perf)
        memcpy(buf, v->head + v->told, n);
    v->told += n;
    if (v->told == v->back)
        stream_finish(s);
    return n;
}

static void service_close(struct stream *s UNUSED, void *user, const struct error *err UNUSED,
                          uint32_t code UNUSED)
{
    free(user);
}

static const struct stream_ops service_ops = { service_open, service_data, service_writable,
                                               service_close };
static const struct protocol echo = { .name = "/test/echo/1.0.0", .ops = &service_ops };
static const struct protocol perf = { .name = "/perf/1.0.0", .ops = &service_ops, .ctx = &side };

static void say(const char *text)
{
    printf("%s\n", text);
    fflush(stdout);
}

static void say_failed(const struct error *err)
{
    char text[LIMIT_ERROR_TEXT_BYTES + 16];
    snprintf(text, sizeof(text), "failed %s", err->text);
    say(text);
}

static void say_figures(void)
{
    char text[64];
    snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, bench_wall_ns() - side.wall_ns,
             bench_process_cpu_ns() - side.cpu_ns);
    say(text);
}

/* Closes the connection of the order. */
static void hang_up(void)
{
    struct conn *c = host_conn_to(side.host, &side.dialing.peer);
    if (c)
        conn_drain(c, YAMUX_GO_AWAY_NORMAL);
}

static void finish(const struct error *err)
{
    hang_up();
    if (err)
        say_failed(err);
    else
        say_figures();
}

/* Streams of an order. */

static void next_stream(void);

static size_t client_data(struct stream *s UNUSED, void *user UNUSED, const uint8_t *b UNUSED,
                          size_t size)
{
    side.got += size;
    return size;
}

static size_t client_writable(struct stream *s, void *user UNUSED, uint8_t *buf, size_t room)
{
    size_t n = MIN(room, side.up - side.sent);
    if (side.sent == 0 && !side.echo && n >= 8)
        be64_encode(buf, side.down);
    side.sent += n;
    if (side.sent == side.up)
        stream_finish(s);
    return n;
}

static void client_close(struct stream *s UNUSED, void *user UNUSED, const struct error *err,
                         uint32_t code UNUSED)
{
    struct error wrong;
    if (!err && side.got != side.down)
        error_set(&wrong, ERR_PROTOCOL, "%" PRIu64 " bytes instead of %" PRIu64, side.got,
                  side.down);
    if (err || side.got != side.down)
        finish(err ? err : &wrong);
    else if (--side.left > 0)
        next_stream();
    else
        finish(NULL);
}

static const struct stream_ops client_ops = { NULL, client_data, client_writable, client_close };
static const struct protocol ask_echo = { .name = "/test/echo/1.0.0", .ops = &client_ops };
static const struct protocol ask_perf = { .name = "/perf/1.0.0", .ops = &client_ops };
static const struct protocol *const ask_echo_list[] = { &ask_echo };
static const struct protocol *const ask_perf_list[] = { &ask_perf };

static void on_opened(struct stream_open *req UNUSED, struct stream *s, const struct error *err)
{
    if (s)
        stream_want_write(s);
    else
        finish(err);
}

static void next_stream(void)
{
    side.sent = side.got = 0;
    side.opening = (struct stream_open){ .to = side.dialing.peer,
                                         .choices = side.echo ? ask_echo_list : ask_perf_list,
                                         .count = 1,
                                         .cb = on_opened };
    stream_open(side.host, &side.opening);
}

static void exchange(uint64_t times, bool is_echo, uint64_t up, uint64_t down)
{
    side.left = times;
    side.echo = is_echo;
    side.up = up;
    side.down = down;
    next_stream();
}

/* Connections of an order. */

static void dial(struct host *h, host_dial_cb *cb)
{
    side.dialing = (struct host_dial){ .addresses = &side.target, .count = 1, .cb = cb };
    host_dial(h, &side.dialing);
}

static void on_connected(struct host_dial *req UNUSED, const struct error *err);

/* A ping is asked after identify, so it is answered after it: no more work than a peer that waits
 * for identify has, but one stream more. */
static void on_pinged(struct ping *p UNUSED, const struct error *err)
{
    if (err || --side.left == 0) {
        finish(err);
        return;
    }
    hang_up();
    dial(side.host, on_connected);
}

static void on_connected(struct host_dial *req, const struct error *err)
{
    side.pinging = (struct ping){ .to = req->peer, .cb = on_pinged };
    if (err)
        finish(err);
    else
        ping(side.host, &side.pinging);
}

static void on_dialed(struct host_dial *req UNUSED, const struct error *err)
{
    uint64_t n = side.left;
    side.wall_ns = bench_wall_ns();
    side.cpu_ns = bench_process_cpu_ns();
    if (err)
        finish(err);
    else if (!strcmp(side.name, "send"))
        exchange(1, false, 8 + n, 0);
    else if (!strcmp(side.name, "receive"))
        exchange(1, false, 8, n);
    else
        exchange(n, true, ECHO_BYTES, ECHO_BYTES);
}

static enum err make_host(struct host **out, struct peer_secret *identity, struct error *err)
{
    uint8_t seed[32];
    secret_random(seed, sizeof(seed));
    peer_secret_from_seed(seed, identity);
    const struct host_options o = { .loop = side.loop,
                                    .mem = mem_plan_find(side.plan, "p2p"),
                                    .identity = identity,
                                    .agent = "larder/bench",
                                    .allow_private = true,
                                    .connections_max = CONNECTIONS_MAX };
    return host_create(out, &o, err);
}

static void on_holding(struct host_dial *req, const struct error *err);

static void hold_another(void)
{
    struct error err;
    struct peer_secret *identity = calloc(1, sizeof(*identity));
    if (make_host(&side.holders[side.held], identity, &err))
        say_failed(&err);
    else
        dial(side.holders[side.held++], on_holding);
}

static void on_holding(struct host_dial *req UNUSED, const struct error *err)
{
    if (err)
        say_failed(err);
    else if (--side.left == 0)
        say("held");
    else
        hold_another();
}

static void say_holding(void)
{
    char text[32];
    uint64_t holding = 0;
    for (uint64_t i = 0; i < side.held; i++)
        holding += host_conn_to(side.holders[i], &side.dialing.peer) != NULL;
    snprintf(text, sizeof(text), "%" PRIu64, holding);
    say(text);
}

static void on_order(char *line)
{
    char address[LINE_BYTES] = "", text[64];
    struct error err = { ERR_OK, "" };
    sscanf(line, "%15s %500s %" SCNu64, side.name, address, &side.left);
    if (!strcmp(side.name, "usage")) {
        snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, bench_process_cpu_ns(),
                 bench_status_bytes("RssAnon"));
        say(text);
        return;
    }
    if (!strcmp(side.name, "holding")) {
        say_holding();
        return;
    }
    struct writer w = writer_of(side.address, sizeof(side.address));
    if (multiaddr_from_text(address, strlen(address), &w, &err)) {
        say_failed(&err);
        return;
    }
    side.target = bytes_of(side.address, writer_used(&w));
    side.wall_ns = bench_wall_ns();
    side.cpu_ns = bench_process_cpu_ns();
    if (!strcmp(side.name, "hold"))
        hold_another();
    else
        dial(side.host, !strcmp(side.name, "connects") ? on_connected : on_dialed);
}

static void on_alloc(uv_handle_t *handle UNUSED, size_t size UNUSED, uv_buf_t *buf)
{
    *buf = uv_buf_init(side.line + side.line_have, (unsigned)(LINE_BYTES - 1 - side.line_have));
}

static void on_input(uv_stream_t *stream UNUSED, ssize_t n, const uv_buf_t *buf UNUSED)
{
    if (n < 0)
        exit(0); /* the driver is through */
    side.line_have += (size_t)n;
    side.line[side.line_have] = '\0';
    if (!strchr(side.line, '\n'))
        return;
    side.line_have = 0; /* one order at a time */
    on_order(side.line);
}

static enum err start(const char *where, struct error *err)
{
    uint8_t buf[128];
    char text[256];
    struct writer w = writer_of(buf, sizeof(buf));
    enum err rc = loop_create(&side.loop, err);
    rc = rc ? rc : mem_plan_create(&side.plan, 4 * GiB, rows, ARRAY_SIZE(rows), err);
    rc = rc ? rc : make_host(&side.host, &side.identity, err);
    rc = rc ? rc : host_register(side.host, &echo, err);
    rc = rc ? rc : host_register(side.host, &perf, err);
    snprintf(text, sizeof(text), "%s/tcp/0", where);
    rc = rc ? rc : multiaddr_from_text(text, strlen(text), &w, err);
    rc = rc ? rc : host_listen(side.host, bytes_of(buf, writer_used(&w)), err);
    if (rc)
        return rc;
    w = writer_of(buf, sizeof(buf));
    host_address(side.host, 0, &w);
    multiaddr_put_peer(&w, host_id(side.host));
    rc = multiaddr_to_text(bytes_of(buf, writer_used(&w)), text, sizeof(text), err);
    say(text);
    return rc;
}

int net_side_main(const char *where)
{
    struct error err = { ERR_OK, "" };
    if (start(where, &err)) {
        say_failed(&err);
        return 3;
    }
    uv_pipe_init(loop_uv(side.loop), &side.in, 0);
    uv_pipe_open(&side.in, 0);
    uv_read_start((uv_stream_t *)&side.in, on_alloc, on_input);
    loop_run(side.loop);
    return 0;
}
