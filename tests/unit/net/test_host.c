/* Hosts in one process over loopback sockets. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/loop.h"
#include "core/metrics.h"
#include "net/host.h"
#include "net/host_state.h"
#include "net/ping.h"

static const struct mem_row rows[] = {
    { "p2p", "refused", MEM_ELASTIC, 16 * MiB, 10, 50, true },
};

enum { HOSTS = 2, WAIT_MS = 8000 };

struct bed {
    struct loop *loop;
    struct mem_plan *plan;
    struct mem_owner *mem;
    struct peer_secret ids[HOSTS];
    struct host *hosts[HOSTS];
    uint8_t address[64];
    size_t address_size;
    struct timer deadline;
    bool timed_out;
    int closing;
};

/* What a session counted. */
struct side {
    struct stream *s;
    uint64_t to_send, sent, got;
    bool echo, fin, closed;
    uint8_t held[64 << 10];
    size_t held_size;
    enum err end;
    struct bed *bed;
};
static struct side last_listener;

static enum err side_open(struct stream *s, void *ctx, void **user)
{
    struct side *side = &last_listener;
    *side = (struct side){ .s = s, .bed = ctx, .echo = true };
    *user = side;
    return ERR_OK;
}
static size_t side_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct side *side = user;
    if (size == 0) {
        side->fin = true;
        if (side->held_size == 0)
            stream_finish(s);
        return 0;
    }
    size_t n = size;
    if (side->echo) {
        n = MIN(size, sizeof(side->held) - side->held_size);
        memcpy(side->held + side->held_size, bytes, n);
        side->held_size += n;
        stream_want_write(s);
    } else {
        for (size_t i = 0; i < n; i++)
            check(bytes[i] == (uint8_t)((side->got + i) * 11), "in order");
    }
    side->got += n;
    return n;
}
static size_t side_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct side *side = user;
    if (side->echo) {
        size_t n = MIN(room, side->held_size);
        memcpy(buf, side->held, n);
        memmove(side->held, side->held + n, side->held_size - n);
        side->held_size -= n;
        stream_resume(s);
        if (side->fin && side->held_size == 0)
            stream_finish(s);
        return n;
    }
    size_t n = MIN(room, side->to_send - side->sent);
    for (size_t i = 0; i < n; i++)
        buf[i] = (uint8_t)((side->sent + i) * 11);
    side->sent += n;
    if (side->sent == side->to_send)
        stream_finish(s);
    return n;
}
static void side_close(struct stream *s UNUSED, void *user, const struct error *err,
                       uint32_t code UNUSED)
{
    struct side *side = user;
    side->closed = true;
    side->end = err ? err->code : ERR_OK;
    if (side->bed)
        loop_stop(side->bed->loop);
}
static const struct stream_ops ops = { side_open, side_data, side_writable, side_close };
static struct protocol echo = { .name = "/test/echo/1.0.0", .ops = &ops };
static const struct protocol other = { .name = "/test/other/1.0.0", .ops = &ops };

static void on_deadline(struct timer *t)
{
    struct bed *b = container_of(t, struct bed, deadline);
    b->timed_out = true;
    loop_stop(b->loop);
}

/* Runs until somebody stops the loop. */
static void run(struct bed *b, const char *why)
{
    b->timed_out = false;
    timer_set(&b->deadline, WAIT_MS);
    loop_run(b->loop);
    timer_set(&b->deadline, 0);
    check(!b->timed_out, why);
}

static void bed_make_with(struct bed *b, const char *listen, bool late_muxer)
{
    *b = (struct bed){ 0 };
    check(!loop_create(&b->loop, NULL), "loop");
    timer_init(&b->deadline, b->loop, on_deadline, "test");
    check(!mem_plan_create(&b->plan, 1 * GiB, rows, ARRAY_SIZE(rows), NULL), "plan");
    b->mem = mem_plan_find(b->plan, "p2p");
    for (uint8_t i = 0; i < HOSTS; i++) {
        uint8_t seed[32] = { i };
        struct error err = { ERR_OK, "" };
        peer_secret_from_seed(seed, &b->ids[i]);
        struct host_options o = { .loop = b->loop,
                                  .mem = b->mem,
                                  .identity = &b->ids[i],
                                  .agent = "larder/test",
                                  .allow_private = true,
                                  .late_muxer = late_muxer && i == 0 };
        check(!host_create(&b->hosts[i], &o, &err), err.text);
        echo.ctx = b;
        check(!host_register(b->hosts[i], &echo, &err), err.text);
    }
    struct writer w = writer_of(b->address, sizeof(b->address));
    struct error err = { ERR_OK, "" };
    check(!multiaddr_from_text(listen, strlen(listen), &w, &err), err.text);
    check(!host_listen(b->hosts[1], bytes_of(b->address, writer_used(&w)), &err), err.text);
    w = writer_of(b->address, sizeof(b->address));
    check(host_address(b->hosts[1], 0, &w), "an address");
    b->address_size = writer_used(&w);
}

static void bed_make(struct bed *b, const char *listen)
{
    bed_make_with(b, listen, false);
}

static void on_closed(void *ctx)
{
    struct bed *b = ctx;
    if (--b->closing == 0)
        loop_stop(b->loop);
}

static void bed_end(struct bed *b)
{
    b->closing = HOSTS;
    for (int i = 0; i < HOSTS; i++)
        host_close(b->hosts[i], 100, on_closed, b);
    run(b, "closes");
    for (int i = 0; i < HOSTS; i++)
        host_destroy(b->hosts[i]);
    check(b->mem->used_bytes == 0, "all is given back");
    loop_destroy(b->loop);
    mem_plan_destroy(b->plan);
}

struct dialed {
    struct host_dial req;
    struct bed *bed;
    enum err rc;
    char text[256];
};
static void on_dialed(struct host_dial *req, const struct error *err)
{
    struct dialed *d = container_of(req, struct dialed, req);
    d->rc = err ? err->code : ERR_OK;
    snprintf(d->text, sizeof(d->text), "%s", err ? err->text : "");
    loop_stop(d->bed->loop);
}
static enum err dial(struct bed *b, const struct peer_id *expected, struct dialed *d)
{
    struct bytes a = bytes_of(b->address, b->address_size);
    *d = (struct dialed){ .bed = b };
    d->req = (struct host_dial){ .addresses = &a, .count = 1, .cb = on_dialed };
    if (expected)
        d->req.peer = *expected;
    host_dial(b->hosts[0], &d->req);
    run(b, "an answer to a dial");
    return d->rc;
}

struct opened {
    struct stream_open req;
    struct bed *bed;
    struct stream *s;
    enum err rc;
};
static void on_opened(struct stream_open *req, struct stream *s, const struct error *err)
{
    struct opened *o = container_of(req, struct opened, req);
    o->s = s;
    o->rc = err ? err->code : ERR_OK;
    loop_stop(o->bed->loop);
}
static enum err open_stream(struct bed *b, const struct protocol *const *choices, uint8_t count,
                            struct side *side, struct opened *o)
{
    *o = (struct opened){ .bed = b };
    o->req = (struct stream_open){
        .to = b->ids[1].id, .choices = choices, .count = count, .user = side, .cb = on_opened
    };
    stream_open(b->hosts[0], &o->req);
    run(b, "an answer to opening");
    return o->rc;
}

static void exchange(struct bed *b, uint64_t bytes)
{
    static struct side side;
    static const struct protocol *const choices[] = { &other, &echo };
    struct opened o;
    side = (struct side){ .to_send = bytes, .bed = b };
    check(open_stream(b, choices, 2, &side, &o) == ERR_OK && o.req.chosen == 1, "second choice");
    stream_want_write(o.s);
    while (!side.closed)
        run(b, "the exchange");
    check(side.got == bytes && side.end == ERR_OK, "all came back");
}

static void on_pinged(struct ping *p, const struct error *err)
{
    check(!err && p->rtt_ns > 0, "a round trip");
    p->to.len = 0;
}

static void whole_life(const char *listen)
{
    static struct bed b;
    struct dialed d;
    bed_make(&b, listen);
    check(dial(&b, &b.ids[1].id, &d) == ERR_OK, d.text);
    check(dial(&b, &b.ids[1].id, &d) == ERR_OK, "the connection that is there");
    exchange(&b, 300000);
    exchange(&b, 8 << 20);
    for (int i = 0; i < 10; i++) {
        struct ping p = { .to = b.ids[1].id, .cb = on_pinged };
        ping(b.hosts[0], &p);
        while (p.to.len > 0) {
            timer_set(&b.deadline, 20);
            loop_run(b.loop);
        }
        timer_set(&b.deadline, 50); /* the stream's last FIN */
        loop_run(b.loop);
    }
    struct host_peer peers[4];
    check(host_peers(b.hosts[0], peers, 4) == 1 && !peers[0].inbound, "one connection");
    check(!strcmp(peers[0].agent, "larder/test"), "identified");
    check(host_peers(b.hosts[1], peers, 4) == 1 && peers[0].inbound && peers[0].streams == 0,
          "too");
    bed_end(&b);
}

TEST(two_hosts_over_ipv4)
{
    whole_life("/ip4/127.0.0.1/tcp/0");
}

TEST(two_hosts_over_ipv6)
{
    whole_life("/ip6/::1/tcp/0");
}

TEST(dials_that_fail)
{
    static struct bed b;
    struct dialed d;
    bed_make(&b, "/ip4/127.0.0.1/tcp/0");
    struct peer_id wrong = b.ids[0].id;
    wrong.bytes[20] ^= 1;
    int64_t noise = metric_get_by(METRIC_p2p_handshakes_total, CONN_NOISE);
    int64_t failed = metric_get_by(METRIC_p2p_handshakes_failed_total, ERR_BAD_PROOF);
    check(dial(&b, &wrong, &d) == ERR_BAD_PROOF && strstr(d.text, "expected peer"), d.text);
    check(metric_get_by(METRIC_p2p_handshakes_total, CONN_NOISE) > noise, "counted by where");
    check(metric_get_by(METRIC_p2p_handshakes_failed_total, ERR_BAD_PROOF) == failed + 1,
          "and why");
    check(dial(&b, NULL, &d) == ERR_OK && peer_id_equal(&d.req.peer, &b.ids[1].id),
          "whoever it is");
    struct opened o;
    struct side side = { .bed = &b };
    static const struct protocol *const choices[] = { &other };
    check(open_stream(&b, choices, 1, &side, &o) == ERR_NO_PROTOCOL, "not spoken");
    b.address[6] ^= 0x7f; /* another port */
    struct peer_id nobody = wrong;
    check(dial(&b, &nobody, &d) == ERR_UNREACHABLE, d.text);
    b.address_size = 3;
    nobody.bytes[21] ^= 1;
    check(dial(&b, &nobody, &d) == ERR_UNREACHABLE, "no address at all");
    bed_end(&b);
}

TEST(a_muxer_agreed_on_after_the_handshake)
{
    static struct bed b;
    struct dialed d;
    bed_make_with(&b, "/ip4/127.0.0.1/tcp/0", true);
    check(dial(&b, &b.ids[1].id, &d) == ERR_OK, d.text);
    exchange(&b, 300000);
    bed_end(&b);
}

struct watched {
    struct host_watch watch;
    struct bed *bed;
    int opened, gone, identified;
};
static void on_watched_open(void *ctx, const struct peer_id *peer UNUSED, bool inbound)
{
    struct watched *w = ctx;
    check(!inbound, "the dialer's side");
    w->opened++;
}
static void on_watched_gone(void *ctx, const struct peer_id *peer UNUSED)
{
    struct watched *w = ctx;
    w->gone++;
    host_unwatch(&w->watch); /* itself, from inside */
    loop_stop(w->bed->loop);
}
static void on_watched_identified(void *ctx, const struct peer_id *peer)
{
    struct watched *w = ctx;
    w->identified++;
    check(host_peer_serves(w->bed->hosts[0], peer, PROTOCOL_ping), "says what it serves");
    check(!host_peer_serves(w->bed->hosts[0], peer, PROTOCOL_OTHER), "and nothing else");
    loop_stop(w->bed->loop);
}

TEST(several_watch_the_connections)
{
    static struct bed b;
    struct dialed d;
    struct watched w[3] = { 0 };
    bed_make(&b, "/ip4/127.0.0.1/tcp/0");
    for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
        w[i].bed = &b;
        w[i].watch = (struct host_watch){ .on_open = on_watched_open,
                                          .on_gone = on_watched_gone,
                                          .on_identified = on_watched_identified,
                                          .ctx = &w[i] };
        host_watch(b.hosts[0], &w[i].watch);
    }
    host_unwatch(&w[1].watch);
    check(dial(&b, &b.ids[1].id, &d) == ERR_OK, d.text);
    check(host_connected(b.hosts[0], &b.ids[1].id), "connected");
    while (w[2].identified == 0)
        run(&b, "is identified");
    host_disconnect(b.hosts[0], &b.ids[1].id);
    run(&b, "is gone");
    check(!host_connected(b.hosts[0], &b.ids[1].id), "no more");
    for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
        int want = i == 1 ? 0 : 1;
        check(w[i].opened == want && w[i].identified == want && w[i].gone == want, "each once");
    }
    bed_end(&b);
}

/* A stranger on a bare socket. Returns the descriptor. */
static int stranger(struct bed *b)
{
    struct multiaddr_target t;
    check(multiaddr_target(bytes_of(b->address, b->address_size), &t), "target");
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(t.port) };
    memcpy(&sa.sin_addr, t.value.data, 4);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    check(fd >= 0, "socket");
    int rc = connect(fd, (struct sockaddr *)&sa, sizeof(sa));
    check(rc == 0 || errno == EINPROGRESS, "connects");
    return fd;
}

static void turns(struct bed *b, uint32_t ms)
{
    timer_set(&b->deadline, ms);
    loop_run(b->loop);
}

/* What a stranger gets for some bytes: is the connection ended? */
static bool ended(struct bed *b, const void *bytes, size_t size)
{
    uint8_t buf[256];
    int fd = stranger(b);
    turns(b, 20);
    check(write(fd, bytes, size) == (ssize_t)size, "writes");
    turns(b, 50);
    ssize_t n;
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
    }
    bool over = n == 0 || errno == ECONNRESET;
    close(fd);
    turns(b, 20);
    return over;
}

TEST(strangers_at_each_stage)
{
    static struct bed b;
    static const char select[] = "\x13/multistream/1.0.0\n\x07/noise\n";
    bed_make(&b, "/ip4/127.0.0.1/tcp/0");
    char http[100] = "GET / HTTP/1.1\r\n"; /* 'G' is a length of 71 */
    check(ended(&b, http, sizeof(http)), "another protocol");
    check(!ended(&b, "\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n", 32), "TLS gets na and may go on");
    check(!ended(&b, select, sizeof(select) - 1), "waits for the handshake");
    uint8_t big[sizeof(select) + 1];
    memcpy(big, select, sizeof(select) - 1);
    be16_encode(big + sizeof(select) - 1, LIMIT_NOISE_HANDSHAKE_BYTES + 1);
    check(ended(&b, big, sizeof(big)), "a handshake message that is too long");
    uint8_t junk[sizeof(select) + 1 + 31] = { 0 };
    memcpy(junk, big, sizeof(big));
    be16_encode(junk + sizeof(select) - 1, 31);
    check(ended(&b, junk, sizeof(junk)), "a short first message");
    struct dialed d;
    check(dial(&b, &b.ids[1].id, &d) == ERR_OK, "an honest peer is served all the same");
    bed_end(&b);
}

TEST(half_open_connections_have_a_bound)
{
    static struct bed b;
    int fds[LIMIT_P2P_HALF_OPEN + 8];
    bed_make(&b, "/ip4/127.0.0.1/tcp/0");
    uint64_t before = b.mem->used_bytes, hits = limit_hits(LIMIT_ID_P2P_HALF_OPEN);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = stranger(&b);
    turns(&b, 200);
    check(limit_hits(LIMIT_ID_P2P_HALF_OPEN) > hits, "the limit is hit");
    check(host_connections(b.hosts[1]) == LIMIT_P2P_HALF_OPEN, "64 and no more");
    check(b.mem->used_bytes - before < LIMIT_P2P_HALF_OPEN * 16 * KiB, "which take little");
    struct dialed d;
    check(dial(&b, &b.ids[1].id, &d) == ERR_OK, "an honest peer waits for its turn");

    host_disconnect(b.hosts[0], &b.ids[1].id);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    turns(&b, 200);
    check(b.mem->used_bytes - before < 2 * KiB, "and leave nothing behind but where a peer was");
    bed_end(&b);
}

TEST(without_memory_strangers_are_turned_away)
{
    static struct bed b;
    struct dialed d;
    bed_make(&b, "/ip4/127.0.0.1/tcp/0");
    uint64_t rest = b.mem->ceiling_bytes - b.mem->used_bytes;
    check(mem_take(b.mem, rest), "nothing is left");
    int fd = stranger(&b);
    turns(&b, 50);
    char byte;
    check(read(fd, &byte, 1) == 0, "closed at once");
    close(fd);
    mem_give(b.mem, rest);
    check(dial(&b, &b.ids[1].id, &d) == ERR_OK, "the listener goes on");
    bed_end(&b);
}

TEST(connections_per_peer_have_a_bound)
{
    static struct bed b;
    struct dialed d;
    bed_make(&b, "/ip4/127.0.0.1/tcp/0");
    for (int i = 0; i < LIMIT_P2P_PER_PEER; i++)
        check(dial(&b, NULL, &d) == ERR_OK, d.text);
    check(dial(&b, NULL, &d) == ERR_LIMIT, "the fifth");
    bed_end(&b);
}

TEST(what_means_nothing_to_a_peer_is_not_announced)
{
    static const struct {
        const char *why, *address;
        bool allow_private, want;
    } cases[] = {
        { "a public address", "/ip4/192.0.2.1/tcp/4001", false, true },
        { "a name is the operator's own words", "/dns4/example.org/tcp/4001", false, true },
        { "a private range", "/ip4/10.1.2.3/tcp/4001", false, false },
        { "a private range where that is wanted", "/ip4/10.1.2.3/tcp/4001", true, true },
        { "loopback", "/ip6/::1/tcp/4001", false, false },
        { "every address of ours is none to a peer", "/ip4/0.0.0.0/tcp/4001", true, false },
        { "in IPv6 too", "/ip6/::/tcp/4001", true, false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct host h = { .options = { .allow_private = cases[i].allow_private } };
        uint8_t buf[64];
        struct writer w = writer_of(buf, sizeof(buf));
        check(!multiaddr_from_text(cases[i].address, strlen(cases[i].address), &w, NULL), "text");
        check(host_announces(&h, bytes_of(buf, writer_used(&w))) == cases[i].want, cases[i].why);
    }
}
