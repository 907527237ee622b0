/* tests/soak/p2p_churn.c
 *
 * What long use leaves behind: nothing. Two kinds of hosts on one loop, each with an owner of its
 * own: CONNECTS times connected, identified, pinged and disconnected, then STREAMS streams of 64
 * bytes over 32 connections; afterwards every owner is back where it was. Then a target in a
 * process of its own, with 100 idle connections: how much of a processor it uses.
 *
 *     p2p_churn [CONNECTS STREAMS IDLE_SECONDS [/ip6/::1]]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/ping.h"
#include "p2p_target.h"

enum {
    CALLERS = 32,
    IDLE_CALLERS = 100,
    BYTES = 64,
    SETTLE_MS = 3000,
    PATIENCE_MS = 60000, /* what must come to an end has, on a machine that is busy */
    /* 0.5 % of a processor, in nanoseconds a second. */
    IDLE_NS_MAX = 5000000,
};

static const struct mem_row rows[] = {
    { "p2p", "refused", MEM_ELASTIC, 64 * MiB, 50, 90, true },
    { "callers", "refused", MEM_ELASTIC, 64 * MiB, 30, 90, true },
};

struct caller {
    struct host *host;
    struct peer_secret identity;
    struct host_dial dialing;
    struct ping pinging;
    struct stream_open opening;
    struct host_watch watch;
    uint64_t left, sent, got;
};

static struct run {
    struct loop *loop;
    struct mem_plan *plan;
    struct mem_owner *ours, *theirs;
    struct host *host;
    struct peer_secret identity;
    struct caller callers[IDLE_CALLERS];
    uint8_t address[LIMIT_MULTIADDR_BYTES];
    struct bytes target;
    uint32_t running;
    uint64_t done, failed;
    char why[LIMIT_ERROR_TEXT_BYTES];
    struct timer end;
} run;

static int bad;

static void check(bool good, const char *what)
{
    bad += !good;
    printf("%sok - %s\n", good ? "" : "not ", what);
    fflush(stdout);
}

static void caller_done(struct caller *c, const struct error *err)
{
    if (err) {
        run.failed++;
        snprintf(run.why, sizeof(run.why), "%s", err->text);
        c->left = 0;
    }
    if (c->left == 0 && --run.running == 0)
        loop_stop(run.loop);
}

/* An echo that holds what it got: the streams are short. */
struct held {
    bool fin;
    size_t size;
    uint8_t bytes[BYTES];
};

static enum err echo_open(struct stream *s UNUSED, void *ctx UNUSED, void **user)
{
    *user = mem_try_zalloc(run.ours, sizeof(struct held));
    return *user ? ERR_OK : ERR_BUDGET;
}

static size_t echo_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct held *h = user;
    size_t n = MIN(size, sizeof(h->bytes) - h->size);
    memcpy(h->bytes + h->size, bytes, n);
    h->size += n;
    h->fin = size == 0;
    if (h->fin)
        stream_want_write(s);
    return n;
}

static size_t echo_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct held *h = user;
    if (!h->fin)
        return 0;
    size_t n = MIN(room, h->size);
    memcpy(buf, h->bytes, n);
    stream_finish(s);
    return n;
}

static void echo_close(struct stream *s UNUSED, void *user, const struct error *err UNUSED,
                       uint32_t code UNUSED)
{
    mem_free(run.ours, user);
}

static const struct stream_ops echo_ops = { echo_open, echo_data, echo_writable, echo_close };
static const struct protocol echo = { .name = ECHO_NAME, .ops = &echo_ops };

/* Streams, one after another on each connection. */

static void next_stream(struct caller *c);

static size_t asked_data(struct stream *s UNUSED, void *user, const uint8_t *b UNUSED, size_t size)
{
    struct caller *c = user;
    c->got += size;
    return size;
}

static size_t asked_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct caller *c = user;
    size_t n = MIN(room, BYTES - c->sent);
    memset(buf, 0x61, n);
    c->sent += n;
    if (c->sent == BYTES)
        stream_finish(s);
    return n;
}

static void asked_close(struct stream *s UNUSED, void *user, const struct error *err,
                        uint32_t code UNUSED)
{
    struct caller *c = user;
    struct error wrong;
    if (!err && c->got != BYTES) {
        error_set(&wrong, ERR_PROTOCOL, "%" PRIu64 " bytes came back", c->got);
        err = &wrong;
    }
    run.done += !err;
    if (!err && --c->left > 0)
        next_stream(c);
    else
        caller_done(c, err);
}

static const struct stream_ops asked_ops = { NULL, asked_data, asked_writable, asked_close };
static const struct protocol ask = { .name = ECHO_NAME, .ops = &asked_ops };
static const struct protocol *const asks[] = { &ask };

static void on_opened(struct stream_open *req, struct stream *s, const struct error *err)
{
    if (s)
        stream_want_write(s);
    else
        caller_done(container_of(req, struct caller, opening), err);
}

static void next_stream(struct caller *c)
{
    c->sent = c->got = 0;
    c->opening = (struct stream_open){
        .to = c->dialing.peer, .choices = asks, .count = 1, .user = c, .cb = on_opened
    };
    stream_open(c->host, &c->opening);
}

/* Connections, one after another of each caller. */

static void next_connection(struct caller *c);

static void on_gone(void *ctx, const struct peer_id *peer UNUSED)
{
    struct caller *c = ctx;
    if (c->left == 0)
        return; /* not of the connects */
    run.done++;
    c->left--;
    if (c->left > 0)
        next_connection(c);
    else
        caller_done(c, NULL);
}

static void on_pinged(struct ping *p, const struct error *err)
{
    struct caller *c = container_of(p, struct caller, pinging);
    if (err)
        caller_done(c, err);
    else
        host_disconnect(c->host, &c->dialing.peer);
}

static void on_connected(struct host_dial *req, const struct error *err)
{
    struct caller *c = container_of(req, struct caller, dialing);
    c->pinging = (struct ping){ .to = req->peer, .cb = on_pinged };
    if (err)
        caller_done(c, err);
    else
        ping(c->host, &c->pinging);
}

static void dial(struct caller *c, host_dial_cb *cb)
{
    c->dialing = (struct host_dial){ .addresses = &run.target, .count = 1, .cb = cb };
    host_dial(c->host, &c->dialing);
}

static void next_connection(struct caller *c)
{
    dial(c, on_connected);
}

static void on_ready(struct host_dial *req, const struct error *err)
{
    struct caller *c = container_of(req, struct caller, dialing);
    if (err)
        caller_done(c, err);
    else if (c->left > 0)
        next_stream(c);
    else
        caller_done(c, NULL);
}

/* The course of things. */

static void on_end(struct timer *t UNUSED)
{
    loop_stop(run.loop);
}

static void go_on(uint64_t ms)
{
    timer_set(&run.end, ms);
    loop_run(run.loop);
    timer_set(&run.end, 0);
}

static enum err host_make(struct host **out, struct mem_owner *mem, struct peer_secret *identity,
                          struct error *err)
{
    uint8_t seed[32];
    secret_random(seed, sizeof(seed));
    peer_secret_from_seed(seed, identity);
    const struct host_options o = { .loop = run.loop,
                                    .mem = mem,
                                    .identity = identity,
                                    .agent = "larder/soak",
                                    .allow_private = true };
    return host_create(out, &o, err);
}

static enum err caller_make(struct caller *c, struct error *err)
{
    enum err rc = host_make(&c->host, run.theirs, &c->identity, err);
    c->watch = (struct host_watch){ .on_gone = on_gone, .ctx = c };
    if (!rc)
        host_watch(c->host, &c->watch);
    return rc;
}

static enum err open_all(const char *where, struct error *err)
{
    char text[128];
    enum err rc = loop_create(&run.loop, err);
    rc = rc ? rc : mem_plan_create(&run.plan, 2 * GiB, rows, ARRAY_SIZE(rows), err);
    if (rc)
        return rc;
    timer_init(&run.end, run.loop, on_end, "end");
    run.ours = mem_plan_find(run.plan, "p2p");
    run.theirs = mem_plan_find(run.plan, "callers");
    rc = host_make(&run.host, run.ours, &run.identity, err);
    rc = rc ? rc : host_register(run.host, &echo, err);
    snprintf(text, sizeof(text), "%s/tcp/0", where);
    struct writer w = writer_of(run.address, sizeof(run.address));
    rc = rc ? rc : multiaddr_from_text(text, strlen(text), &w, err);
    rc = rc ? rc : host_listen(run.host, bytes_of(run.address, writer_used(&w)), err);
    w = writer_of(run.address, sizeof(run.address));
    if (!rc && host_address(run.host, 0, &w))
        multiaddr_put_peer(&w, host_id(run.host));
    run.target = bytes_of(run.address, writer_used(&w));
    for (int i = 0; i < CALLERS && !rc; i++)
        rc = caller_make(&run.callers[i], err);
    return rc;
}

static void each_caller(int count, uint64_t left, host_dial_cb *cb)
{
    run.done = run.failed = 0;
    run.running = (uint32_t)count;
    for (int i = 0; i < count; i++) {
        run.callers[i].left = left;
        dial(&run.callers[i], cb);
    }
    loop_run(run.loop);
}

/* Until neither owner's bytes have moved for a while. */
static void settle(void)
{
    uint64_t ours, theirs, waited = 0;
    do {
        ours = run.ours->used_bytes;
        theirs = run.theirs->used_bytes;
        go_on(SETTLE_MS);
        waited += SETTLE_MS;
    } while ((run.ours->used_bytes != ours || run.theirs->used_bytes != theirs) &&
             waited < PATIENCE_MS);
}

/* Both owners, once what is under way has come to its end. */
static void check_floors(uint64_t ours, uint64_t theirs, const char *what)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += SETTLE_MS) {
        go_on(SETTLE_MS);
        if (run.ours->used_bytes == ours && run.theirs->used_bytes == theirs)
            break;
    }
    printf("# ours %" PRIu64 " before, %" PRIu64 " after, peak %" PRIu64 "; theirs %" PRIu64
           ", %" PRIu64 "; failed %" PRIu64 " %s\n",
           ours, run.ours->used_bytes, run.ours->peak_bytes, theirs, run.theirs->used_bytes,
           run.failed, run.why);
    check(run.ours->used_bytes == ours && run.theirs->used_bytes == theirs, what);
}

static void connects(uint64_t count)
{
    each_caller(CALLERS, 1, on_connected); /* what is learned of a peer is kept */
    settle();
    uint64_t ours = run.ours->used_bytes, theirs = run.theirs->used_bytes;
    each_caller(CALLERS, count / CALLERS, on_connected);
    printf("# %" PRIu64 " connections\n", run.done);
    check(run.done == count / CALLERS * CALLERS && run.failed == 0, "each connects and goes");
    check_floors(ours, theirs, "every owner is back after the connections");
}

static void streams(uint64_t count)
{
    each_caller(CALLERS, 0, on_ready); /* connections that stay */
    settle();
    uint64_t ours = run.ours->used_bytes, theirs = run.theirs->used_bytes;
    each_caller(CALLERS, count / CALLERS, on_ready);
    printf("# %" PRIu64 " streams\n", run.done);
    check(run.done == count / CALLERS * CALLERS && run.failed == 0, "each stream is answered");
    check_floors(ours, theirs, "every owner is back after the streams");
}

/* Of a processor, in nanoseconds a second. What their beginning left to do may take longer than
 * SETTLE_MS: the first such time that is quiet counts, if there is one. */
static double idle_cost(const struct target_report *r, int seconds)
{
    double ns;
    int waited = 0;
    do {
        uint64_t cpu = r->cpu_ns;
        go_on((uint64_t)seconds * 1000);
        ns = (double)(r->cpu_ns - cpu) / seconds;
        waited += seconds * 1000;
    } while (ns >= IDLE_NS_MAX && waited < PATIENCE_MS);
    return ns;
}

static void idle(int seconds, const char *where)
{
    struct target_report *r = target_report_new();
    pid_t pid = target_start(r, 1 * GiB, where);
    struct writer w = writer_of(run.address, sizeof(run.address));
    if (!pid || multiaddr_from_text(r->address, strlen(r->address), &w, NULL))
        exit(3);
    run.target = bytes_of(run.address, writer_used(&w));
    for (int i = CALLERS; i < IDLE_CALLERS; i++)
        if (caller_make(&run.callers[i], NULL))
            exit(3);
    each_caller(IDLE_CALLERS, 0, on_ready);
    r->calm = true; /* it looks at itself once a second from here on */
    go_on(SETTLE_MS);
    for (int waited = 0; waited < PATIENCE_MS && r->connections < IDLE_CALLERS; waited += 100)
        go_on(100);
    uint32_t connections = r->connections;
    double ns = idle_cost(r, seconds);
    printf("# %u idle connections: %.3f %% of a processor, %.1f KiB each\n", connections, ns / 1e7,
           (double)r->used_bytes / KiB / connections);
    check(connections == IDLE_CALLERS && r->connections == IDLE_CALLERS, "100 stay connected");
    check(ns < IDLE_NS_MAX, "and take less than 0.5 % of a processor");
    check(target_end(r, pid), "the target ends with nothing left");
}

static void on_closed(void *ctx UNUSED)
{
    if (--run.running == 0)
        loop_stop(run.loop);
}

static void close_all(void)
{
    run.running = 1 + IDLE_CALLERS;
    host_close(run.host, 500, on_closed, NULL);
    for (int i = 0; i < IDLE_CALLERS; i++) {
        host_unwatch(&run.callers[i].watch);
        host_close(run.callers[i].host, 500, on_closed, NULL);
    }
    loop_run(run.loop);
    for (int i = 0; i < IDLE_CALLERS; i++)
        host_destroy(run.callers[i].host);
    host_destroy(run.host);
    check(run.ours->used_bytes == 0 && run.theirs->used_bytes == 0,
          "at the end owners hold nothing");
    mem_plan_destroy(run.plan);
}

int main(int argc, char **argv)
{
    struct error err = { ERR_OK, "" };
    const char *where = argc > 4 ? argv[4] : "/ip4/127.0.0.1";
    signal(SIGPIPE, SIG_IGN);
    if (open_all(where, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 3;
    }
    connects(argc > 1 ? strtoull(argv[1], NULL, 10) : 1000);
    streams(argc > 2 ? strtoull(argv[2], NULL, 10) : 100000);
    idle(argc > 3 ? atoi(argv[3]) : 10, where);
    close_all();
    printf("%d passed, %d failed\n", 8 - bad, bad);
    return bad > 0;
}
