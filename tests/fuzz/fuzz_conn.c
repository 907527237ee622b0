/* A whole connection against a stranger: socket, upgrade, records, streams, and the protocols on
 * them. The input is the stranger's side of a session as a list of orders; the seeds are what go,
 * js and rust hosts do. Keys and records are made here, so that what is inside them can be fuzzed.
 * After each session the host holds as much as before.
 *
 *     first byte: 1: the host dials us. 2: we name no muxer in the handshake
 *     0 n BYTES    raw bytes            1 n TEXT     a token of multistream
 *     2            the next step of the handshake as it should be
 *     3 f t i LLLL a frame header       4 f i n BYTES  a data frame; both wait for 6
 *     5 p i        a stream is opened and asked for protocol p
 *     6 n          what waits is sealed and sent, in pieces of n bytes
 *     7 n          the loop turns n % 64 times, and what it says is read if n < 128
 *     8 n          the clock turns by n * 256 ms
 *     9            the host hangs up
 *     10 p         the host opens a stream: one of two protocols, one that nobody has, one that
 *                  identify may have named (lazily then, with a word), or that one to leave it
 *     11 i n       a data frame of n * 32 zeros
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/frame.h"
#include "net/host_state.h"

#include <uv.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAME_MAX = 4096, PLAIN_MAX = 9000, TURNS_MAX = 300, SETTLE_MS = 70000 };

static const struct mem_row rows[] = { { "p2p", "refused", MEM_ELASTIC, 4 * MiB, 50, 60, true } };
static const char *const muxers[] = { "/yamux/1.0.0", NULL };
static const char *const names[] = { "/ipfs/id/1.0.0",      "/ipfs/ping/1.0.0",
                                     "/ipfs/id/push/1.0.0", "/test/frames/1.0.0",
                                     "/test/parked/1.0.0",  "/test/endless/1.0.0",
                                     "/test/nobody/1.0.0",  "" };

static struct loop *loop;
static struct mem_plan *plan;
static struct mem_owner *mem;
static struct host *host;
static struct peer_secret ids[2];
static int listener; /* ours, for when the host dials */
static struct sockaddr_in host_at, our_at;
static uint64_t floor_bytes;

static struct stranger {
    int fd;
    bool dials, late, over;
    struct noise_static st;
    struct noise noise;
    struct noise_records records;
    bool sealed;
    uint8_t plain[NOISE_LENGTH_BYTES + PLAIN_MAX + AEAD_TAG_BYTES];
    size_t plain_size;
    struct host_dial dialing;
    struct stream_open openings[4];
    size_t openings_count;
    bool leaves; /* the host leaves the stream it opened last as soon as it is there */
    uint32_t linger_ms;
} it;

/* Services: messages of up to 4 KiB; one that takes nothing; one that never ends. */

static enum err on_frame(struct frame_reader *fr UNUSED, struct bytes message)
{
    return message.size > 0 && message.data[0] == 0xee ? ERR_MALFORMED : ERR_OK;
}

static enum err frames_open(struct stream *s, void *ctx UNUSED, void **user)
{
    struct frame_reader *fr = mem_try_zalloc(mem, sizeof(*fr));
    if (!fr)
        return ERR_BUDGET;
    fr->stream = s;
    fr->owner = mem;
    fr->max_bytes = FRAME_MAX;
    fr->on_frame = on_frame;
    *user = fr;
    return ERR_OK;
}

static size_t frames_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    if (size > 0)
        return frame_feed(user, bytes, size);
    stream_finish(s);
    return 0;
}

static void frames_close(struct stream *s UNUSED, void *user, const struct error *err UNUSED,
                         uint32_t code UNUSED)
{
    if (user)
        frame_close(user);
    mem_free(mem, user);
}

static size_t parked_data(struct stream *s, void *user UNUSED, const uint8_t *bytes UNUSED,
                          size_t size)
{
    if (size == 0)
        stream_finish(s);
    return 0;
}

/* Takes a little at a time, and says a word at once. */
static size_t endless_data(struct stream *s, void *user UNUSED, const uint8_t *bytes, size_t size)
{
    if (size > 0 && bytes[0] == 'p') {
        stream_pause(s);
        stream_deadline(s, 3000);
    }
    if (!stream_try_write(s, "word", 4))
        stream_want_write(s);
    return MIN(size, 100);
}

static size_t endless_writable(struct stream *s UNUSED, void *user UNUSED, uint8_t *buf,
                               size_t room)
{
    memset(buf, 0, room);
    return room;
}

static const struct stream_ops frames_ops = { frames_open, frames_data, NULL, frames_close };
static const struct stream_ops parked_ops = { NULL, parked_data, NULL, NULL };
static const struct stream_ops endless_ops = { NULL, endless_data, endless_writable, NULL };
static const struct protocol served[] = {
    { .name = "/test/frames/1.0.0", .ops = &frames_ops, .in_per_peer_max = 3, .idle_ms = 60000 },
    { .name = "/test/parked/1.0.0", .ops = &parked_ops, .rx_queue_bytes_max = 100000 },
    { .name = "/test/endless/1.0.0", .ops = &endless_ops, .in_max = 2 },
};
/* What the host asks us for. */
static const struct protocol asked[] = {
    { .name = "/test/parked/1.0.0", .ops = &endless_ops },
    { .name = "/test/nobody/1.0.0", .ops = &parked_ops },
    { .name = "/ipfs/ping/1.0.0", .ops = &endless_ops, .row = PROTOCOL_ping },
};
static const struct protocol *const all_asked[] = { &asked[0], &asked[1], &asked[2] };
/* Of them, by the lowest two bits of the order. */
static const struct asking {
    uint8_t first, count;
    bool leaves;
} askings[] = { { 0, 2, false }, { 1, 1, false }, { 2, 1, false }, { 2, 1, true } };

static int listen_here(struct sockaddr_in *at)
{
    socklen_t size = sizeof(*at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (bind(fd, (struct sockaddr *)at, size) || listen(fd, 8) ||
        getsockname(fd, (struct sockaddr *)at, &size))
        abort();
    return fd;
}

static void begin_once(void)
{
    uint8_t seed[32] = { 1 }, buf[64];
    struct writer w = writer_of(buf, sizeof(buf));
    signal(SIGPIPE, SIG_IGN);
    listener = listen_here(&our_at);
    if (loop_create(&loop, NULL) || mem_plan_create(&plan, 128 * MiB, rows, 1, NULL))
        abort();
    loop_clock_set(loop, 1000000, 1);
    loop_random_seed(loop, 1);
    mem = mem_plan_find(plan, "p2p");
    peer_secret_from_seed(seed, &ids[0]);
    seed[0] = 2;
    peer_secret_from_seed(seed, &ids[1]);
    const struct host_options o = { .loop = loop,
                                    .mem = mem,
                                    .identity = &ids[0],
                                    .agent = "larder/fuzz",
                                    .allow_private = true,
                                    .rx_bytes_max = 256 * KiB };
    if (host_create(&host, &o, NULL))
        abort();
    for (size_t i = 0; i < ARRAY_SIZE(served); i++)
        if (host_register(host, &served[i], NULL))
            abort();
    uint8_t ip[4] = { 127, 0, 0, 1 };
    multiaddr_put_tcp(&w, MULTIADDR_IP4, ip, 0);
    if (host_listen(host, bytes_of(buf, writer_used(&w)), NULL))
        abort();
    host_at = our_at;
    host_at.sin_port = htons(listener_address(host->listeners[0])->port);
}

static void turns(int n)
{
    while (n-- > 0)
        uv_run(loop_uv(loop), UV_RUN_NOWAIT);
}

/* In steps, so that what is due earlier comes earlier. */
static void pass(uint64_t ms)
{
    for (uint64_t step = MAX(ms / 8, 1); ms > 0; ms -= MIN(step, ms)) {
        loop_clock_set(loop, loop_now_ms(loop) + MIN(step, ms), loop_wall_ns(loop));
        turns(2);
    }
}

/* Waits for want bytes of the host while its loop turns. False: they do not come. */
static bool receive(uint8_t *out, size_t want)
{
    size_t have = 0;
    for (int i = 0; i < TURNS_MAX && have < want; i++) {
        ssize_t n = recv(it.fd, out + have, want - have, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return false;
        have += n > 0 ? (size_t)n : 0;
        turns(1);
    }
    return have == want;
}

static void say(const uint8_t *data, size_t size, size_t piece)
{
    for (size_t at = 0; at < size && !it.over; at += piece) {
        ssize_t n = send(it.fd, data + at, MIN(piece, size - at), MSG_DONTWAIT | MSG_NOSIGNAL);
        it.over = n <= 0;
        if (piece < size)
            turns(1);
    }
}

static void on_dialed(struct host_dial *req UNUSED, const struct error *err UNUSED)
{
    it.dialing.cb = NULL;
}

static bool meet(void)
{
    static uint8_t buf[64];
    static struct bytes address;
    struct linger hard = { 1, 0 }; /* no TIME_WAIT: there are thousands of sessions */
    int one = 1;
    if (!it.dials) {
        it.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(it.fd, (struct sockaddr *)&host_at, sizeof(host_at)))
            return false;
    } else {
        uint8_t ip[4] = { 127, 0, 0, 1 };
        struct writer w = writer_of(buf, sizeof(buf));
        multiaddr_put_tcp(&w, MULTIADDR_IP4, ip, ntohs(our_at.sin_port));
        address = bytes_of(buf, writer_used(&w));
        it.dialing = (struct host_dial){
            .addresses = &address, .count = 1, .urgent = true, .cb = on_dialed
        };
        host_dial(host, &it.dialing);
        turns(3);
        pass(1);
        turns(3);
        it.fd = accept(listener, NULL, NULL);
    }
    setsockopt(it.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    setsockopt(it.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    turns(3);
    return it.fd >= 0;
}

static void drain(void)
{
    static uint8_t scratch[65536];
    for (int i = 0; i < 64 && recv(it.fd, scratch, sizeof(scratch), MSG_DONTWAIT) > 0; i++) {
    }
}

/* The handshake. */

static bool noise_message_in(void)
{
    uint8_t in[NOISE_MESSAGE_MAX];
    if (!receive(in, NOISE_LENGTH_BYTES))
        return false;
    size_t n = be16_decode(in);
    return n <= sizeof(in) && receive(in, n) && !noise_read(&it.noise, in, n, NULL);
}

static void noise_message_out(void)
{
    uint8_t out[NOISE_MESSAGE_MAX];
    struct writer w = writer_of(out, sizeof(out));
    if (!noise_write(&it.noise, &w, NULL))
        say(out, writer_used(&w), sizeof(out));
}

/* A host that dials has sent its two tokens; one that listens has answered ours somehow. */
static void handshake_step(void)
{
    uint8_t tokens[28]; /* the header and /noise */
    switch (it.noise.step) {
    case NOISE_WRITE_1:
        turns(3);
        drain();
        noise_message_out();
        break;
    case NOISE_READ_1:
        if (receive(tokens, sizeof(tokens)) && noise_message_in())
            noise_message_out();
        break;
    case NOISE_READ_2:
        if (noise_message_in())
            noise_message_out();
        break;
    case NOISE_READ_3:
        (void)noise_message_in();
        break;
    case NOISE_WRITE_2:
    case NOISE_WRITE_3:
    case NOISE_DONE:
    case NOISE_BROKEN:
        break;
    }
    if (it.noise.step == NOISE_DONE && !it.sealed)
        it.sealed = !noise_split(&it.noise, &it.records, NULL);
}

/* What is inside records. */

static struct writer plain_writer(void)
{
    return writer_of(it.plain + NOISE_LENGTH_BYTES + it.plain_size, PLAIN_MAX - it.plain_size);
}

static void frame_put(uint8_t type, uint8_t flags, uint32_t id, uint32_t length, struct bytes body)
{
    struct writer w = plain_writer();
    writer_u8(&w, 0);
    writer_u8(&w, type);
    writer_be16(&w, flags);
    writer_be32(&w, id);
    writer_be32(&w, length);
    writer_put(&w, body.data, body.size);
    if (!w.overflow)
        it.plain_size += writer_used(&w);
}

static void token_put(struct writer *w, struct bytes text)
{
    writer_u8(w, (uint8_t)(text.size + 1));
    writer_put(w, text.data, text.size);
    writer_u8(w, '\n');
}

static struct bytes text_of(const char *text)
{
    return bytes_of(text, strlen(text));
}

static void stream_ask(uint8_t which, uint32_t id)
{
    uint8_t buf[256];
    struct writer w = writer_of(buf, sizeof(buf));
    token_put(&w, text_of(MULTISTREAM_HEADER));
    token_put(&w, text_of(names[which % ARRAY_SIZE(names)]));
    frame_put(0, 1, id, (uint32_t)writer_used(&w), bytes_of(buf, writer_used(&w)));
}

static void flush(size_t piece)
{
    static uint8_t sealed[sizeof(it.plain)];
    size_t n = it.plain_size;
    if (it.sealed) {
        memcpy(sealed, it.plain, NOISE_LENGTH_BYTES + n);
        n = noise_seal(&it.records, sealed, n);
        say(sealed, n, piece);
    }
    it.plain_size = 0;
    turns(2);
}

static void on_opened(struct stream_open *req, struct stream *s, const struct error *e UNUSED)
{
    if (!s)
        return;
    assert(peer_id_equal(stream_peer(s), &ids[1].id));
    assert(stream_protocol(s) == req->choices[req->chosen]);
    stream_set_user(s, NULL);
    if (stream_protocol(s) == &asked[2])
        stream_try_write(s, "word", 4);
    if (it.leaves)
        stream_leave(s, it.linger_ms);
    else
        stream_want_write(s);
}

static void host_opens(uint8_t which)
{
    if (it.openings_count == ARRAY_SIZE(it.openings) || !host_connected(host, &ids[1].id))
        return;
    struct stream_open *req = &it.openings[it.openings_count++];
    const struct asking *how = &askings[which % ARRAY_SIZE(askings)];
    it.leaves = how->leaves;
    it.linger_ms = which & ARRAY_SIZE(askings) ? 0 : 1000;
    *req = (struct stream_open){
        .to = ids[1].id, .choices = &all_asked[how->first], .count = how->count, .cb = on_opened
    };
    stream_open(host, req);
    turns(2);
}

static void order(struct reader *r)
{
    uint8_t buf[256], kind = reader_u8(r), a = reader_u8(r);
    struct writer w = writer_of(buf, sizeof(buf));
    switch (kind % 12) {
    case 0: {
        struct bytes b = reader_take(r, MIN(a, reader_left(r)));
        say(b.data, b.size, 256);
        break;
    }
    case 1:
        token_put(&w, reader_take(r, MIN(a, MIN(reader_left(r), 127))));
        if (it.sealed) {
            struct writer p = plain_writer();
            writer_put(&p, buf, writer_used(&w));
            it.plain_size += p.overflow ? 0 : writer_used(&p);
        } else {
            say(buf, writer_used(&w), sizeof(buf));
        }
        break;
    case 2:
        handshake_step();
        break;
    case 3: {
        uint8_t type = reader_u8(r), id = reader_u8(r);
        frame_put(type, a, id, reader_be32(r), bytes_of("", 0));
        break;
    }
    case 4: {
        uint8_t id = reader_u8(r), n = reader_u8(r);
        struct bytes b = reader_take(r, MIN(n, reader_left(r)));
        frame_put(0, a, id, (uint32_t)b.size, b);
        break;
    }
    case 5:
        stream_ask(a, reader_u8(r));
        break;
    case 6:
        flush(a ? a : sizeof(it.plain));
        break;
    case 7:
        turns(a % 64);
        if (a < 128)
            drain();
        break;
    case 8:
        pass((uint64_t)a * 256);
        break;
    case 9:
        host_disconnect(host, &ids[1].id);
        break;
    case 10:
        host_opens(a);
        break;
    default: {
        static const uint8_t zeros[255 * 32];
        size_t n = 32U * reader_u8(r);
        frame_put(0, 0, a, (uint32_t)n, bytes_of(zeros, n));
    }
    }
}

static void play(struct bytes in)
{
    struct reader r = reader_of(in);
    uint8_t how = reader_u8(&r);
    it = (struct stranger){ .fd = -1, .dials = how & 1, .late = how & 2 };
    struct noise_options o = { .dialer = !it.dials, .st = &it.st, .muxer = muxers[0] };
    uint8_t secret[X25519_BYTES] = { 7 };
    o.ephemeral[0] = 9;
    if (noise_static_init(&it.st, &ids[1], secret, it.late ? &muxers[1] : muxers, NULL))
        abort();
    noise_init(&it.noise, &o);
    if (meet())
        while (reader_left(&r) > 0 && !it.over)
            order(&r);
}

/* The stranger is gone, and time passes: nothing may be left. */
static void part(void)
{
    turns(3);
    if (it.fd >= 0)
        close(it.fd);
    noise_records_close(&it.records);
    for (int i = 0; i < 40 && (host_connections(host) > 0 || i < 4); i++) {
        pass(SETTLE_MS / 20);
    }
    assert(host_connections(host) == 0);
    assert(host->queued_bytes == 0 && host->rx_pool_used == 0 && host->tx_pool_used == 0);
    assert(host->streams_in == 0 && host->half_open == 0);
    if (floor_bytes == 0)
        floor_bytes = mem->used_bytes;
    assert(mem->used_bytes <= floor_bytes + 64 * KiB); /* an address book may have grown */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!loop)
        begin_once();
    if (size == 0)
        return 0;
    play(bytes_of(data, size));
    part();
    return 0;
}
