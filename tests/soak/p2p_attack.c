#include "p2p_attack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <netinet/in.h>

#include "codec/multiaddr.h"
#include "net/multistream.h"
#include "net/noise.h"
#include "net/yamux_frame.h"
#include "p2p_target.h"

const char *const attack_names[ATTACK_KINDS] = {
    "silent",       "drip",          "stops in noise", "bad security", "giant token",
    "bad noise",    "bad proof",     "bad record",     "bad yamux",    "bad stream",
    "fill windows", "slow reader",   "open flood",     "rapid reset",  "giant frame",
    "giant answer", "holds answers", "half record",    "pings",        "credit by byte"
};

enum {
    RECORD_ROOM = NOISE_LENGTH_BYTES + NOISE_RECORD_MAX,
    CHUNK_BYTES = 32 * KiB,
    STREAMS_FILLED = 200,
    STREAMS_ASKED = 60,
    BACK_MS = 200, /* a peer that was cut comes back after this */
    DRIP_MS = 700,
    CUT_PEERS = 96,
    ANSWER_MS = 3000, /* the target is busy: an upgrade may take this long */
};

struct attacker {
    enum attack_kind kind;
    int fd; /* -1: comes back at back_ms */
    uint64_t back_ms, drip_ms, turn;
    uint32_t next_id;
    struct noise_records records;
    uint8_t *out; /* RECORD_ROOM */
    size_t out_size, out_at;
};

static struct sockaddr_storage peer_address;
static socklen_t peer_address_size;

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool address_set(const char *text)
{
    uint8_t buf[256];
    struct multiaddr_target t;
    struct writer w = writer_of(buf, sizeof(buf));
    if (multiaddr_from_text(text, strlen(text), &w, NULL) ||
        !multiaddr_target(bytes_of(buf, writer_used(&w)), &t))
        return false;
    bool ip6 = t.host == MULTIADDR_IP6;
    if (ip6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&peer_address;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(t.port);
        memcpy(&in6->sin6_addr, t.value.data, 16);
    } else {
        struct sockaddr_in *in4 = (struct sockaddr_in *)&peer_address;
        in4->sin_family = AF_INET;
        in4->sin_port = htons(t.port);
        memcpy(&in4->sin_addr, t.value.data, 4);
    }
    peer_address_size = ip6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    return true;
}

/* The upgrade, on a blocking socket with a time limit. */

static bool send_all(int fd, const void *data, size_t size)
{
    return send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool receive_all(int fd, void *data, size_t size)
{
    for (size_t have = 0; have < size;) {
        ssize_t n = recv(fd, (uint8_t *)data + have, size - have, 0);
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

/* The header and a proposal, and their answers: as long as what was sent. */
static bool select_noise(int fd)
{
    uint8_t out[128], in[128];
    struct writer w = writer_of(out, sizeof(out));
    multistream_put(&w, MULTISTREAM_HEADER);
    multistream_put(&w, "/noise");
    return send_all(fd, out, writer_used(&w)) && receive_all(fd, in, writer_used(&w));
}

static bool noise_frame_send(int fd, struct noise *n)
{
    uint8_t out[NOISE_MESSAGE_MAX];
    struct writer w = writer_of(out, sizeof(out));
    return !noise_write(n, &w, NULL) && send_all(fd, out, writer_used(&w));
}

static bool noise_frame_receive(int fd, struct noise *n)
{
    uint8_t in[NOISE_MESSAGE_MAX];
    if (!receive_all(fd, in, NOISE_LENGTH_BYTES))
        return false;
    size_t size = be16_decode(in);
    return size <= sizeof(in) && receive_all(fd, in, size) && !noise_read(n, in, size, NULL);
}

static bool handshake(struct attacker *a)
{
    static const char *const muxers[] = { "/yamux/1.0.0", NULL };
    static struct noise_static st;
    uint8_t seed[32];
    struct peer_secret id;
    struct noise n;
    struct noise_options o = { .dialer = true, .st = &st, .muxer = muxers[0] };
    secret_random(seed, sizeof(seed));
    peer_secret_from_seed(seed, &id);
    secret_random(o.ephemeral, sizeof(o.ephemeral));
    if (noise_static_init(&st, &id, seed, muxers, NULL))
        return false;
    noise_init(&n, &o);
    if (!noise_frame_send(a->fd, &n))
        return false;
    if (a->kind == ATTACK_STOP_NOISE)
        return true;
    if (!noise_frame_receive(a->fd, &n))
        return false;
    if (a->kind == ATTACK_BAD_PROOF)
        return true;
    return noise_frame_send(a->fd, &n) && !noise_split(&n, &a->records, NULL);
}

static bool begin(struct attacker *a)
{
    struct timeval limit = { ANSWER_MS / 1000, 0 };
    a->fd = socket(peer_address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (a->fd < 0)
        return false;
    setsockopt(a->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(a->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(a->fd, (struct sockaddr *)&peer_address, peer_address_size))
        return false;
    bool noise = a->kind != ATTACK_SILENT && a->kind != ATTACK_DRIP &&
                 a->kind != ATTACK_BAD_SECURITY && a->kind != ATTACK_GIANT_TOKEN;
    if (noise && !select_noise(a->fd))
        return false;
    if (noise && a->kind != ATTACK_BAD_NOISE && !handshake(a))
        return false;
    fcntl(a->fd, F_SETFL, fcntl(a->fd, F_GETFL) | O_NONBLOCK);
    return true;
}

static void end(struct attacker *a)
{
    noise_records_close(&a->records);
    if (a->fd >= 0)
        close(a->fd);
    *a = (struct attacker){
        .kind = a->kind, .fd = -1, .back_ms = now_ms() + BACK_MS, .next_id = 1, .out = a->out
    };
}

/* What is said next. */

static struct writer plain_writer(struct attacker *a)
{
    return writer_of(a->out + NOISE_LENGTH_BYTES, NOISE_PLAIN_MAX);
}

static void seal(struct attacker *a, const struct writer *w)
{
    a->out_size = noise_seal(&a->records, a->out, writer_used(w));
    a->out_at = 0;
}

static void frame(struct writer *w, uint8_t type, uint16_t flags, uint32_t id, uint32_t length)
{
    writer_u8(w, 0);
    writer_u8(w, type);
    writer_be16(w, flags);
    writer_be32(w, id);
    writer_be32(w, length);
}

/* Opens a stream and says which protocol is meant, all at once. */
static void open_lazily(struct attacker *a, struct writer *w, const char *name)
{
    uint8_t text[256];
    struct writer t = writer_of(text, sizeof(text));
    multistream_put(&t, MULTISTREAM_HEADER);
    multistream_put(&t, name);
    frame(w, FRAME_WINDOW, FLAG_SYN, a->next_id, 0);
    frame(w, FRAME_DATA, 0, a->next_id, (uint32_t)writer_used(&t));
    writer_put(w, text, writer_used(&t));
    a->next_id += 2;
}

static void garbage(struct attacker *a, size_t size)
{
    secret_random(a->out, size);
    a->out_size = size;
    a->out_at = 0;
}

/* Answers of all kinds into a socket that is full: endless bytes first. */
static void hold_answers(struct attacker *a)
{
    struct writer w = plain_writer(a);
    if (a->turn > 4)
        return;
    if (a->turn == 0) {
        open_lazily(a, &w, ENDLESS_NAME);
        frame(&w, FRAME_DATA, 0, a->next_id - 2, 1);
        writer_u8(&w, 1);
        frame(&w, FRAME_WINDOW, 0, a->next_id - 2, 1 << 30);
    } else {
        open_lazily(a, &w, a->turn % 2 ? "/ipfs/id/1.0.0" : "/ipfs/ping/1.0.0");
        frame(&w, FRAME_DATA, 0, a->next_id - 2, CHUNK_BYTES);
        memset(writer_reserve(&w, CHUNK_BYTES), 0x46, CHUNK_BYTES);
    }
    seal(a, &w);
}

/* A stream, then its window in two records; then the next stream. */
static void fill_windows(struct attacker *a)
{
    struct writer w = plain_writer(a);
    uint64_t part = a->turn % 8;
    if (part == 0) {
        if (a->next_id > 2 * STREAMS_FILLED)
            return;
        open_lazily(a, &w, PARKED_NAME);
    }
    size_t size = part == 7 ? CHUNK_BYTES - 64 : CHUNK_BYTES; /* what was said counts too */
    frame(&w, FRAME_DATA, 0, a->next_id - 2, (uint32_t)size);
    memset(writer_reserve(&w, size), 0x41, size);
    seal(a, &w);
}

static void ask_endlessly(struct attacker *a, uint32_t credit)
{
    struct writer w = plain_writer(a);
    if (a->next_id < 2 * STREAMS_ASKED) {
        open_lazily(a, &w, ENDLESS_NAME);
        frame(&w, FRAME_DATA, 0, a->next_id - 2, 1);
        writer_u8(&w, 1);
    }
    uint32_t some = (uint32_t)(a->turn % STREAMS_ASKED) * 2 + 1;
    if (some < a->next_id)
        frame(&w, FRAME_WINDOW, 0, some, credit);
    seal(a, &w);
}

static void many_frames(struct attacker *a)
{
    struct writer w = plain_writer(a);
    for (int i = 0; i < 50; i++) {
        switch (a->kind) {
        case ATTACK_OPEN_FLOOD:
            frame(&w, FRAME_WINDOW, FLAG_SYN, a->next_id, 0);
            a->next_id += 2;
            break;
        case ATTACK_RAPID_RESET:
            frame(&w, FRAME_WINDOW, FLAG_SYN, a->next_id, 0);
            frame(&w, FRAME_WINDOW, FLAG_RST, a->next_id, 0);
            a->next_id += 2;
            break;
        default:
            frame(&w, FRAME_PING, i % 40 ? FLAG_SYN : FLAG_ACK, 0, (uint32_t)i);
        }
    }
    seal(a, &w);
}

static void giant(struct attacker *a)
{
    struct writer w = plain_writer(a);
    if (a->kind == ATTACK_GIANT_ANSWER) { /* the target asks on its first stream, which has id 2 */
        static const char head[] =
            "\x13/multistream/1.0.0\n\x0f/ipfs/id/1.0.0\n\xff\xff\xff\xff\x0f";
        uint32_t size = a->turn ? 1024 : sizeof(head) - 1;
        frame(&w, FRAME_DATA, a->turn ? 0 : FLAG_ACK, 2, size);
        if (a->turn == 0)
            writer_put(&w, head, size);
        else
            memset(writer_reserve(&w, size), 0x42, size);
    } else if (a->turn % 2 == 0) {
        open_lazily(a, &w, ECHO_NAME);
        frame(&w, FRAME_DATA, 0, a->next_id - 2, UINT32_MAX);
    } else {
        frame(&w, FRAME_DATA, 0, 12345, UINT32_MAX); /* of a stream that is not there */
        memset(writer_reserve(&w, CHUNK_BYTES), 0x43, CHUNK_BYTES);
    }
    seal(a, &w);
}

static void drip(struct attacker *a)
{
    static const char header[] = "\x13/multistream/1.0.0\n";
    uint64_t now = now_ms();
    if (now < a->drip_ms)
        return;
    a->drip_ms = now + DRIP_MS;
    if (a->kind == ATTACK_HALF_RECORD && a->turn == 0) {
        garbage(a, 1024);
        be16_encode(a->out, UINT16_MAX);
        return;
    }
    a->out[0] = a->kind == ATTACK_DRIP ? (uint8_t)header[a->turn % (sizeof(header) - 1)] : 0x44;
    a->out_size = 1;
    a->out_at = 0;
}

static void garbage_in_records(struct attacker *a)
{
    struct writer w = plain_writer(a);
    if (a->kind == ATTACK_BAD_STREAM) {
        frame(&w, FRAME_DATA, FLAG_SYN, a->next_id, 300);
        a->next_id += 2;
    }
    secret_random(writer_reserve(&w, 300), 300);
    seal(a, &w);
}

static void next_words(struct attacker *a)
{
    switch (a->kind) {
    case ATTACK_SILENT:
    case ATTACK_STOP_NOISE:
        return;
    case ATTACK_DRIP:
    case ATTACK_HALF_RECORD:
        drip(a);
        break;
    case ATTACK_BAD_SECURITY:
        garbage(a, 512);
        break;
    case ATTACK_GIANT_TOKEN:
        garbage(a, 32 * KiB);
        a->out[0] = a->out[1] = 0xff;
        a->out[2] = 0x7f;
        break;
    case ATTACK_BAD_NOISE:
    case ATTACK_BAD_PROOF:
    case ATTACK_BAD_RECORD:
        garbage(a, RECORD_ROOM);
        be16_encode(a->out, a->kind == ATTACK_BAD_PROOF ? 300 : UINT16_MAX);
        break;
    case ATTACK_BAD_YAMUX:
    case ATTACK_BAD_STREAM:
        garbage_in_records(a);
        break;
    case ATTACK_FILL_WINDOWS:
        fill_windows(a);
        break;
    case ATTACK_HOLD_ANSWERS:
        hold_answers(a);
        break;
    case ATTACK_SLOW_READER:
        ask_endlessly(a, 1 * MiB);
        break;
    case ATTACK_TINY_CREDIT:
        ask_endlessly(a, 1);
        break;
    case ATTACK_OPEN_FLOOD:
    case ATTACK_RAPID_RESET:
    case ATTACK_PINGS:
        many_frames(a);
        break;
    case ATTACK_GIANT_FRAME:
    case ATTACK_GIANT_ANSWER:
        giant(a);
        break;
    case ATTACK_KINDS:
        abort();
    }
    a->turn += a->out_size > 0;
}

/* One that neither reads nor writes hears of its end this way. */
static bool is_cut(const struct attacker *a)
{
    struct pollfd p = { .fd = a->fd, .events = POLLRDHUP };
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* What the other side says is thrown away, but by those who do not read. False: it was cut. */
static bool listen_to(struct attacker *a)
{
    static uint8_t scratch[64 * KiB];
    if (a->kind == ATTACK_SLOW_READER || (a->kind == ATTACK_HOLD_ANSWERS && !is_cut(a)))
        return true;
    ssize_t n = recv(a->fd, scratch, sizeof(scratch), 0);
    return n > 0 || (n < 0 && errno == EAGAIN);
}

/* True when it moved. */
static bool step(struct attacker *a)
{
    if (a->fd < 0) {
        if (now_ms() < a->back_ms)
            return false;
        if (!begin(a))
            end(a);
        return true;
    }
    if (!listen_to(a)) {
        end(a);
        return true;
    }
    if (a->out_size == 0)
        next_words(a);
    if (a->out_size == 0)
        return false;
    ssize_t n = send(a->fd, a->out + a->out_at, a->out_size - a->out_at, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        end(a);
        return true;
    }
    a->out_at += (size_t)n;
    if (a->out_at == a->out_size)
        a->out_size = 0;
    return true;
}

/* A few of those who are cut at once; the others are of the kinds that stay. */
static enum attack_kind kind_of(int i, int half_open_max)
{
    static const enum attack_kind staying[] = { ATTACK_FILL_WINDOWS, ATTACK_SLOW_READER,
                                                ATTACK_TINY_CREDIT,  ATTACK_HALF_RECORD,
                                                ATTACK_GIANT_ANSWER, ATTACK_HOLD_ANSWERS };
    if (i < half_open_max)
        return (enum attack_kind)(i % (ATTACK_STOP_NOISE + 1));
    if (i < half_open_max + CUT_PEERS)
        return (enum attack_kind)(ATTACK_BAD_SECURITY + i % (ATTACK_KINDS - ATTACK_BAD_SECURITY));
    return staying[(size_t)i % ARRAY_SIZE(staying)];
}

void attack_run(const char *address, int count, int half_open_max)
{
    struct attacker *all = calloc((size_t)count, sizeof(*all));
    if (!all || !address_set(address))
        _exit(3);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < count; i++) {
        all[i].kind = kind_of(i, half_open_max);
        all[i].out = malloc(RECORD_ROOM);
        all[i].next_id = 1;
        all[i].fd = -1;
    }
    while (getppid() > 1) {
        bool moved = false;
        for (int i = 0; i < count; i++)
            moved |= step(&all[i]);
        if (!moved)
            usleep(1000);
    }
    _exit(0);
}
