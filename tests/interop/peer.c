/* Our host for the interoperation test, with the same two services and the same checks as the
 * peers on other libraries: it listens and prints its address until its input ends, or dials a
 * listener and prints one line per check.
 *
 *     peer KEY listen /ip4/127.0.0.1/tcp/0       KEY: ed25519, secp256k1 or ecdsa
 *     peer KEY dial /ip4/…/tcp/…/p2p/…
 *
 * With LATE_MUXER in the environment the muxer is agreed on after the handshake. With HOLD_MS the
 * listener has no services of ours: what every libp2p host has is checked, and the connection is
 * then held that long and must still be there.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "codec/wire.h"
#include "core/loop.h"
#include "net/host.h"
#include "net/ping.h"

#include <uv.h>

static const struct mem_row rows[] = {
    { "p2p", "refused", MEM_ELASTIC, 16 * MiB, 10, 50, true },
};

enum {
    ECHO_BYTES = 300000,
    PERF_BYTES = 8 << 20,
    HELD_BYTES = 64 << 10,
    PINGS = 10,
    HELD_STEP = 4,
    IDENTIFY_MS = 100,
    IDENTIFY_TRIES = 600,
};

static struct loop *loop;
static struct mem_plan *plan;
static struct host *host;
static struct peer_secret identity;
static bool failed;

/* /test/echo/1.0.0 returns what it is sent; /perf/1.0.0 is told in 8 bytes how much is wanted back,
 * takes data until FIN, and sends that much. */
struct service {
    bool perf, fin;
    uint8_t head[8];
    uint64_t got, back;
    uint8_t held[HELD_BYTES];
    size_t held_size;
};

static enum err service_open(struct stream *s UNUSED, void *ctx, void **user)
{
    struct service *v = calloc(1, sizeof(*v));
    v->perf = ctx != NULL;
    *user = v;
    return ERR_OK;
}

static void service_done(struct stream *s, struct service *v)
{
    if (v->fin && v->held_size == 0 && v->back == 0)
        stream_finish(s);
}

static size_t service_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct service *v = user;
    if (size == 0) {
        v->fin = true;
        v->back = v->perf && v->got >= 8 ? be64_decode(v->head) : 0;
        stream_want_write(s);
        service_done(s, v);
        return 0;
    }
    if (v->perf) {
        for (size_t i = 0; i < size && v->got + i < 8; i++)
            v->head[v->got + i] = bytes[i];
        v->got += size;
        return size;
    }
    size_t n = MIN(size, sizeof(v->held) - v->held_size);
    memcpy(v->held + v->held_size, bytes, n);
    v->held_size += n;
    stream_want_write(s);
    return n;
}

static size_t service_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct service *v = user;
    size_t n = MIN(room, v->perf ? v->back : v->held_size);
    if (v->perf) {
        memset(buf, 0, n);
        v->back -= n;
    } else {
        memcpy(buf, v->held, n);
        memmove(v->held, v->held + n, v->held_size - n);
        v->held_size -= n;
        stream_resume(s);
    }
    if (n > 0)
        service_done(s, v);
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
static const struct protocol perf = { .name = "/perf/1.0.0", .ops = &service_ops, .ctx = &failed };

/* The checks. */

static struct client {
    const char *name;
    bool echo;
    uint64_t up, down, sent, got;
    bool wrong;
} client;
static struct host_dial dialing;
static struct stream_open opening;
static struct ping pinging;
static int step, pings;
static struct timer holding, identifying;
static int identify_tries;
static uint32_t hold_ms;

static void next_check(void);

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 31 + (at >> 8));
}

static void report(const char *name, const char *why)
{
    failed = failed || why;
    printf("%sok - %s%s%s\n", why ? "not " : "", name, why ? ": " : "", why ? why : "");
    fflush(stdout);
}

static size_t client_data(struct stream *s UNUSED, void *user UNUSED, const uint8_t *bytes,
                          size_t size)
{
    for (size_t i = 0; client.echo && i < size; i++)
        client.wrong = client.wrong || bytes[i] != pattern(client.got + i);
    client.got += size;
    return size;
}

static size_t client_writable(struct stream *s, void *user UNUSED, uint8_t *buf, size_t room)
{
    uint64_t head = client.echo ? 0 : 8, total = client.up + head;
    size_t n = 0;
    for (; n < room && client.sent < total; n++, client.sent++)
        buf[n] = client.echo       ? pattern(client.sent)
                 : client.sent < 8 ? (uint8_t)(client.down >> (56 - 8 * client.sent))
                                   : 0;
    if (client.sent == total)
        stream_finish(s);
    return n;
}

static void client_close(struct stream *s UNUSED, void *user UNUSED, const struct error *err,
                         uint32_t code UNUSED)
{
    const char *why = err ? err->text : client.wrong ? "other bytes came back" : NULL;
    if (!why && client.got != (client.echo ? client.up : client.down))
        why = "another number of bytes came back";
    report(client.name, why);
    next_check();
}

static const struct stream_ops client_ops = { NULL, client_data, client_writable, client_close };
static const struct protocol ask_echo = { .name = "/test/echo/1.0.0", .ops = &client_ops };
static const struct protocol ask_perf = { .name = "/perf/1.0.0", .ops = &client_ops };
static const struct protocol *const ask_echo_list[] = { &ask_echo };
static const struct protocol *const ask_perf_list[] = { &ask_perf };

static void on_opened(struct stream_open *req UNUSED, struct stream *s, const struct error *err)
{
    if (s) {
        stream_want_write(s);
        return;
    }
    report(client.name, err->text);
    next_check();
}

static void exchange(const char *name, bool is_echo, uint64_t up, uint64_t down)
{
    client = (struct client){ .name = name, .echo = is_echo, .up = up, .down = down };
    opening = (struct stream_open){ .to = dialing.peer,
                                    .choices = is_echo ? ask_echo_list : ask_perf_list,
                                    .count = 1,
                                    .cb = on_opened };
    stream_open(host, &opening);
}

static void on_pinged(struct ping *p, const struct error *err)
{
    if (!err && ++pings < PINGS) {
        ping(host, p);
        return;
    }
    report("ten pings", err ? err->text : NULL);
    next_check();
}

static void on_closed(void *ctx UNUSED)
{
    loop_stop(loop);
}

static void identify_ask(struct timer *t UNUSED)
{
    next_check(); /* still at its end */
}

/* Identify goes on by itself; a busy peer may answer it after the others. False: not yet. */
static bool identify_check(void)
{
    struct host_peer peers[4];
    size_t n = host_peers(host, peers, 4);
    bool known = n > 0 && peers[0].agent[0];
    if (!known && n > 0 && identify_tries++ < IDENTIFY_TRIES) {
        timer_init(&identifying, loop, identify_ask, "identify");
        timer_set(&identifying, IDENTIFY_MS);
        return false;
    }
    if (known)
        printf("# agent %s\n", peers[0].agent);
    report("identify", known ? NULL : "the peer's agent is not known");
    return true;
}

static void on_held(struct timer *t UNUSED)
{
    report("the peer keeps us", host_connections(host) > 0 ? NULL : "it has closed");
    host_close(host, 2000, on_closed, NULL);
}

static void next_check(void)
{
    switch (step++) {
    case 0:
        pinging = (struct ping){ .to = dialing.peer, .cb = on_pinged };
        ping(host, &pinging);
        step = hold_ms ? HELD_STEP : step;
        break;
    case 1:
        exchange("300,000 bytes echoed", true, ECHO_BYTES, 0);
        break;
    case 2:
        exchange("8 MiB up", false, PERF_BYTES, 0);
        break;
    case 3:
        exchange("8 MiB down", false, 0, PERF_BYTES);
        break;
    default:
        if (!identify_check())
            return;
        if (hold_ms)
            timer_set(&holding, hold_ms);
        else
            host_close(host, 2000, on_closed, NULL);
    }
}

static void on_dialed(struct host_dial *req UNUSED, const struct error *err)
{
    report("connect", err ? err->text : NULL);
    if (err)
        host_close(host, 100, on_closed, NULL);
    else
        next_check();
}

/* The end of our input is the order to stop. */
static uv_pipe_t input;
static void on_alloc(uv_handle_t *handle UNUSED, size_t size UNUSED, uv_buf_t *buf)
{
    static char byte[64];
    *buf = uv_buf_init(byte, sizeof(byte));
}
static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf UNUSED)
{
    if (n >= 0)
        return;
    uv_close((uv_handle_t *)stream, NULL);
    host_close(host, 500, on_closed, NULL);
}

static enum err identity_make(const char *kind, struct error *err)
{
    uint8_t seed[32], msg[160];
    secret_random(seed, sizeof(seed));
    if (!strcmp(kind, "ed25519")) {
        peer_secret_from_seed(seed, &identity);
        return ERR_OK;
    }
    struct writer w = writer_of(msg, sizeof(msg));
    if (!strcmp(kind, "secp256k1")) {
        wire_put_varint(&w, 1, PEER_KEY_SECP256K1);
        wire_put_bytes(&w, 2, bytes_of(seed, sizeof(seed)));
        return peer_secret_decode(bytes_of(msg, writer_used(&w)), &identity, err);
    }
    static const uint8_t head[] = { 0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20 };
    static const uint8_t curve[] = { 0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
                                     0x03, 0x01, 0x07, 0xa1, 0x44, 0x03, 0x42, 0x00 };
    uint8_t spki[P256_SPKI_BYTES];
    enum err rc = p256_public(seed, spki, err);
    if (rc)
        return rc;
    wire_put_varint(&w, 1, PEER_KEY_ECDSA);
    wire_put_header(&w, 2, sizeof(head) + sizeof(seed) + sizeof(curve) + 65);
    writer_put(&w, head, sizeof(head));
    writer_put(&w, seed, sizeof(seed));
    writer_put(&w, curve, sizeof(curve));
    writer_put(&w, spki + P256_SPKI_BYTES - 65, 65);
    return peer_secret_decode(bytes_of(msg, writer_used(&w)), &identity, err);
}

static enum err listen_on(struct bytes address, struct error *err)
{
    uint8_t buf[128];
    char text[256];
    enum err rc = host_listen(host, address, err);
    if (rc)
        return rc;
    struct writer w = writer_of(buf, sizeof(buf));
    host_address(host, 0, &w);
    multiaddr_put_peer(&w, host_id(host));
    rc = multiaddr_to_text(bytes_of(buf, writer_used(&w)), text, sizeof(text), err);
    printf("%s\n", text);
    fflush(stdout);
    uv_pipe_init(loop_uv(loop), &input, 0);
    uv_pipe_open(&input, 0);
    uv_read_start((uv_stream_t *)&input, on_alloc, on_input);
    return rc;
}

static enum err start(char **argv, struct error *err)
{
    static uint8_t buf[LIMIT_MULTIADDR_BYTES];
    static struct bytes address;
    struct writer w = writer_of(buf, sizeof(buf));
    enum err rc = multiaddr_from_text(argv[3], strlen(argv[3]), &w, err);
    struct host_options o = { .loop = loop,
                              .mem = mem_plan_find(plan, "p2p"),
                              .identity = &identity,
                              .agent = "larder/interop",
                              .allow_private = true,
                              .late_muxer = getenv("LATE_MUXER") != NULL };
    rc = rc ? rc : identity_make(argv[1], err);
    rc = rc ? rc : host_create(&host, &o, err);
    rc = rc ? rc : host_register(host, &echo, err);
    rc = rc ? rc : host_register(host, &perf, err);
    if (rc)
        return rc;
    address = bytes_of(buf, writer_used(&w));
    if (!strcmp(argv[2], "listen"))
        return listen_on(address, err);
    hold_ms = (uint32_t)atoi(getenv("HOLD_MS") ? getenv("HOLD_MS") : "0");
    timer_init(&holding, loop, on_held, "hold");
    dialing = (struct host_dial){ .addresses = &address, .count = 1, .cb = on_dialed };
    host_dial(host, &dialing);
    return ERR_OK;
}

int main(int argc, char **argv)
{
    struct error err = { ERR_OK, "" };
    if (argc != 4) {
        fprintf(stderr, "usage: peer KEY listen|dial MULTIADDR\n");
        return 2;
    }
    err_ignore(loop_create(&loop, &err));
    err_ignore(mem_plan_create(&plan, 1 * GiB, rows, ARRAY_SIZE(rows), &err));
    if (err.code || start(argv, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 3;
    }
    loop_run(loop);
    host_destroy(host);
    loop_run(loop); /* close callbacks */
    return failed ? 1 : 0;
}
