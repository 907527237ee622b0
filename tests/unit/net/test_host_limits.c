/* The limits of the host that a peer can meet: each is met here, and what it costs is looked at. */
#include "host_bed.h"

#include <stdio.h>

#include "core/governor.h"
#include "core/loop.h"
#include "core/metrics.h"
#include "net/frame.h"
#include "net/host_room.h"
#include "net/host_state.h"

#include <errno.h>

#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* A protocol that takes nothing of what it is sent. */
static enum err mute_open(struct stream *s UNUSED, void *ctx UNUSED, void **user UNUSED)
{
    return ERR_OK;
}
static size_t mute_data(struct stream *s UNUSED, void *user UNUSED, const uint8_t *b UNUSED,
                        size_t size UNUSED)
{
    return 0;
}
static const struct stream_ops mute_ops = { mute_open, mute_data, NULL, NULL };
static const struct protocol mute = { .name = "/test/mute/1.0.0", .ops = &mute_ops };

static void make(struct hosts *b, int count, const struct host_options *o, uint8_t buf[64],
                 struct bytes *at)
{
    struct error err = { ERR_OK, "" };
    hosts_make(b, count, o);
    check(!host_register(b->hosts[0], &mute, &err), err.text);
    *at = hosts_listen(b, 0, "/ip4/127.0.0.1/tcp/0", buf);
}

static int stranger(struct bytes at)
{
    struct multiaddr_target t;
    check(multiaddr_target(at, &t), "target");
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(t.port) };
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    check(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0, "connects");
    return fd;
}

TEST(connections_in_all)
{
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64];
    struct bytes at;
    make(&b, HOSTS_MAX, &(struct host_options){ .allow_private = true, .connections_max = 2 }, buf,
         &at);
    uint64_t hits = limit_hits(LIMIT_ID_P2P_CONNECTIONS);
    check(hosts_dial(&b, 1, &d, NULL, at) == ERR_OK, d.text);
    check(hosts_dial(&b, 2, &d, NULL, at) == ERR_OK, d.text);
    check(hosts_dial(&b, 3, &d, NULL, at) == ERR_CLOSED, "closed before a byte is read");
    check(limit_hits(LIMIT_ID_P2P_CONNECTIONS) == hits + 1, "counted");
    check(host_connections(b.hosts[0]) == 2, "the others stay");
    b.hosts[4]->conns_count += 2; /* as if two had called */
    check(hosts_dial(&b, 4, &d, NULL, at) == ERR_CLOSED, "whoever calls, we call too");
    b.hosts[4]->conns_count -= 2;
    b.hosts[5]->conns_count += LIMIT_P2P_DIALS + 2;
    check(hosts_dial(&b, 5, &d, NULL, at) == ERR_LIMIT, d.text);
    b.hosts[5]->conns_count -= LIMIT_P2P_DIALS + 2;
    hosts_end(&b);
}

/* Without a word of how many: two have room beside all that they and others may hold. */
TEST(connections_that_memory_has_room_for)
{
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64];
    struct bytes at;
    const uint64_t ceiling = GiB / 100 * 50; /* of the bed */
    struct host_options o = { .allow_private = true,
                              .connection_rx_bytes_max = 64 * MiB,
                              .rx_bytes_max = ceiling - host_room_bytes(2, 2 * MiB),
                              .rx_pool_bytes = MiB,
                              .tx_pool_bytes = MiB };
    struct host_stats st;
    make(&b, 4, &o, buf, &at);
    check(b.mem->ceiling_bytes == ceiling, "the ceiling");
    host_stats(b.hosts[0], &st);
    check(st.connections_max == 2 && st.bound_bytes == ceiling, "the bound is what there is");
    check(hosts_dial(&b, 1, &d, NULL, at) == ERR_OK, d.text);
    check(hosts_dial(&b, 2, &d, NULL, at) == ERR_OK, d.text);
    check(hosts_dial(&b, 3, &d, NULL, at) == ERR_CLOSED, "no third one");
    hosts_end(&b);
}

TEST(a_pool_that_connections_cannot_fill_costs_none_of_them)
{
    struct mem_owner mem = { .share_bytes = 80 * MiB, .ceiling_bytes = 160 * MiB };
    struct host_options o = { .mem = &mem, .rx_pool_bytes = GiB, .tx_pool_bytes = GiB };
    host_options_fill(&o);
    check(o.connections_max == LIMIT_P2P_CONNECTIONS, "all");
    uint64_t held_bytes = host_room_held(&o);
    mem.ceiling_bytes = host_room_bytes(300, held_bytes);
    o.connections_max = 0;
    host_options_fill(&o);
    check(o.connections_max == 300, "as many as have room");
    mem.ceiling_bytes = host_room_bytes(0, held_bytes) - 1;
    o.connections_max = 0;
    host_options_fill(&o);
    check(o.connections_max == 1, "one at least");
}

static void held(void *ctx, struct process_memory *out)
{
    *out = (struct process_memory){ .anon_bytes = *(uint64_t *)ctx };
}

TEST(connections_from_the_trigger_on)
{
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64];
    struct bytes at;
    make(&b, 5, &(struct host_options){ .allow_private = true }, buf, &at);
    uint64_t held_bytes = 0;
    struct governor *g = NULL;
    struct governor_options o = { .plan = b.plan, .process_memory = held, .ctx = &held_bytes };
    check(!governor_create(&g, b.loop, &o, NULL), "governor");
    b.hosts[0]->options.governor = g;
    check(hosts_dial(&b, 1, &d, NULL, at) == ERR_OK, d.text);
    held_bytes = b.plan->setting_bytes - b.plan->slack_bytes / 2;
    governor_look(g);
    check(hosts_dial(&b, 2, &d, NULL, at) == ERR_OK, "at the target nobody is refused");
    int64_t refused = metric_get_by(METRIC_p2p_refused_total, REFUSED_MARK);
    held_bytes = b.plan->setting_bytes - b.plan->slack_bytes / 4;
    governor_look(g);
    check(hosts_dial(&b, 3, &d, NULL, at) == ERR_CLOSED, "at the trigger whoever calls is");
    check(metric_get_by(METRIC_p2p_refused_total, REFUSED_MARK) == refused + 1, "and counted");
    check(host_connections(b.hosts[0]) == 2, "the others stay");
    held_bytes = 0;
    for (int i = 0; i < LIMIT_GOVERNOR_CALM_LOOKS; i++)
        governor_look(g);
    check(hosts_dial(&b, 4, &d, NULL, at) == ERR_OK, d.text);
    b.hosts[0]->options.governor = NULL;
    governor_destroy(g);
    hosts_end(&b);
}

static const struct host_options counted = { .allow_private = true, .count_loopback = true };

TEST(half_open_ones_of_one_address)
{
    static struct hosts b;
    int fds[LIMIT_P2P_HALF_OPEN_ADDRESS + 1];
    uint8_t buf[64];
    struct bytes at;
    make(&b, 1, &counted, buf, &at);
    uint64_t hits = limit_hits(LIMIT_ID_P2P_HALF_OPEN_ADDRESS);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = stranger(at);
        hosts_wait(&b, 20);
    }
    check(limit_hits(LIMIT_ID_P2P_HALF_OPEN_ADDRESS) == hits + 1, "the fifth");
    check(host_connections(b.hosts[0]) == LIMIT_P2P_HALF_OPEN_ADDRESS, "four are there");
    host_metrics(b.hosts[0]);
    check(metric_get(METRIC_p2p_half_open) == LIMIT_P2P_HALF_OPEN_ADDRESS, "and shown");
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    hosts_end(&b);
}

TEST(connections_and_calls_of_one_address)
{
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64];
    struct bytes at;
    make(&b, HOSTS_MAX, &counted, buf, &at);
    uint64_t hits = limit_hits(LIMIT_ID_P2P_PER_ADDRESS), n = 0;
    for (int from = 1; from < HOSTS_MAX; from++)
        for (int i = 0; i < LIMIT_P2P_PER_PEER && n < LIMIT_P2P_PER_ADDRESS; i++, n++)
            check(hosts_dial(&b, from, &d, NULL, at) == ERR_OK, d.text);
    check(n == LIMIT_P2P_PER_ADDRESS, "sixteen");
    check(hosts_dial(&b, HOSTS_MAX - 1, &d, NULL, at) == ERR_CLOSED, "one more");
    check(limit_hits(LIMIT_ID_P2P_PER_ADDRESS) == hits + 1, "counted");
    for (int from = 1; from < HOSTS_MAX; from++)
        host_disconnect(b.hosts[from], &b.ids[0].id);
    hosts_clock(&b, 1);
    while (host_connections(b.hosts[0]) > 0)
        hosts_wait(&b, 5);
    hits = limit_hits(LIMIT_ID_P2P_CALLS_BURST);
    int fds[LIMIT_P2P_CALLS_BURST];
    for (size_t i = 0; i < ARRAY_SIZE(fds) && limit_hits(LIMIT_ID_P2P_CALLS_BURST) == hits; i++) {
        int fd = stranger(at);
        hosts_wait(&b, 2);
        close(fd);
        hosts_wait(&b, 2);
    }
    check(limit_hits(LIMIT_ID_P2P_CALLS_BURST) == hits + 1, "too many calls in a row");
    hosts_clock(&b, 1000);
    check(hosts_dial(&b, 1, &d, NULL, at) == ERR_OK, "a second later it may call again");
    hosts_end(&b);
}

TEST(streams_in_all)
{
    enum { DIALERS = 5, CONNS = DIALERS * LIMIT_P2P_PER_PEER };
    static struct hosts b;
    static struct hosts_dial d;
    static struct hosts_sender x[DIALERS][LIMIT_P2P_PER_PEER * LIMIT_YAMUX_STREAMS_IN];
    uint8_t buf[64];
    struct bytes at;
    make(&b, DIALERS + 1, &(struct host_options){ .allow_private = true }, buf, &at);
    uint64_t hits = limit_hits(LIMIT_ID_P2P_STREAMS_IN), opened = 0;
    static_assert(CONNS * LIMIT_YAMUX_STREAMS_IN > LIMIT_P2P_STREAMS_IN, "enough for all");
    for (int from = 1; from <= DIALERS && limit_hits(LIMIT_ID_P2P_STREAMS_IN) == hits; from++) {
        for (int i = 0; i < LIMIT_P2P_PER_PEER; i++)
            check(hosts_dial(&b, from, &d, NULL, at) == ERR_OK, d.text);
        hosts_wait(&b, 50); /* identify has come and gone */
        struct list *at_conn = b.hosts[from]->conns.next;
        for (uint32_t n = 0; n < ARRAY_SIZE(x[0]); n++) {
            struct conn *c = container_of(at_conn, struct conn, link_);
            struct hosts_sender *one = &x[from - 1][n];
            hosts_sender_open(&b, from, c, one);
            while (!one->done)
                hosts_run(&b, "an answer");
            opened += one->s != NULL;
            if (!one->s && limit_hits(LIMIT_ID_P2P_STREAMS_IN) > hits)
                break;
            if ((n + 1) % (LIMIT_YAMUX_STREAMS_IN - 16) == 0) { /* some room for its own limit */
                at_conn = at_conn->next;
                if (at_conn == &b.hosts[from]->conns)
                    break;
            }
        }
    }
    check(limit_hits(LIMIT_ID_P2P_STREAMS_IN) > hits, "met");
    check(opened == LIMIT_P2P_STREAMS_IN, "4096 are there");
    check(b.hosts[0]->streams_in == LIMIT_P2P_STREAMS_IN, "and counted");
    hosts_end(&b);
}

static void leave_untaken(const struct host_options *o, uint64_t most)
{
    enum { STREAMS = 8 };
    static struct hosts b;
    static struct hosts_dial d;
    static struct hosts_sender x[STREAMS];
    uint8_t buf[64];
    struct bytes at;
    make(&b, 2, o, buf, &at);
    check(hosts_dial(&b, 1, &d, NULL, at) == ERR_OK, d.text);
    uint64_t hits = limit_hits(LIMIT_ID_P2P_CONNECTION_RX_BYTES);
    struct conn *c = host_conn_to(b.hosts[1], &b.ids[0].id);
    for (int i = 0; i < STREAMS; i++) {
        hosts_sender_open(&b, 1, c, &x[i]);
        while (!x[i].done)
            hosts_run(&b, "an answer");
        stream_want_write(x[i].s);
    }
    hosts_wait(&b, 300);
    int reset = 0;
    for (int i = 0; i < STREAMS; i++)
        reset += x[i].closed;
    check(limit_hits(LIMIT_ID_P2P_CONNECTION_RX_BYTES) > hits && reset > 0,
          "the longest are reset");
    check(b.hosts[0]->queued_bytes <= most, "no more is held");
    host_metrics(b.hosts[0]);
    check(metric_get(METRIC_p2p_queued_bytes) == (int64_t)b.hosts[0]->queued_bytes, "shown");
    check(host_connected(b.hosts[0], &b.ids[1].id), "the connection stays");
    hosts_end(&b);
}

TEST(bytes_that_one_connection_leaves_untaken)
{
    leave_untaken(&(struct host_options){ .allow_private = true }, LIMIT_P2P_CONNECTION_RX_BYTES);
    leave_untaken(
        &(struct host_options){ .allow_private = true, .connection_rx_bytes_max = 300 * KiB },
        300 * KiB);
}

TEST(buffers_of_the_kernel)
{
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64];
    struct bytes at;
    make(&b, 2, &(struct host_options){ .allow_private = true, .socket_buffer_bytes = 48 * KiB },
         buf, &at);
    check(hosts_dial(&b, 1, &d, NULL, at) == ERR_OK, d.text);
    for (int i = 0; i < 2; i++) {
        struct conn *c = host_conn_to(b.hosts[i], &b.ids[1 - i].id);
        int out = 0, in = 0;
        uv_send_buffer_size((uv_handle_t *)c->socket_, &out);
        uv_recv_buffer_size((uv_handle_t *)c->socket_, &in);
        check(out == 2 * 48 * KiB && in == 2 * 48 * KiB, "Linux counts its own part too");
    }
    hosts_end(&b);
}

TEST(a_stream_has_the_window_of_the_configuration)
{
    static const struct {
        const char *why;
        uint32_t window, got;
        bool poor;
    } windows[] = {
        { "256 KiB without a word", 0, 256 * KiB, false },
        { "wider", 1 * MiB, 1 * MiB, false },
        { "but not out of nothing", 1 * MiB, 256 * KiB, true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
        static struct hosts b;
        static struct hosts_dial d;
        static struct hosts_sender x;
        uint8_t buf[64];
        struct bytes at;
        struct host_options o = { .allow_private = true };
        o.stream_window_bytes = windows[i].window;
        make(&b, 2, &o, buf, &at);
        check(hosts_dial(&b, 1, &d, NULL, at) == ERR_OK, d.text);
        hosts_wait(&b, 30); /* identify has come and gone */
        uint64_t rest = b.mem->ceiling_bytes - b.mem->used_bytes - 700 * KiB;
        if (windows[i].poor)
            check(mem_take(b.mem, rest), "little is left");
        hosts_sender_open(&b, 1, NULL, &x);
        while (!x.done)
            hosts_run(&b, "an answer");
        check(x.s != NULL, "opened");
        stream_want_write(x.s);
        hosts_wait(&b, 200);
        check(x.sent == windows[i].got, windows[i].why);
        if (windows[i].poor)
            mem_give(b.mem, rest);
        hosts_end(&b);
    }
}

/* A peer whose identify is not what it should be. */
struct odd {
    uint32_t messages, size; /* of each */
    uint32_t sent;
    bool head;
};
static struct odd odd;
static enum err odd_open(struct stream *s, void *ctx UNUSED, void **user UNUSED)
{
    odd.sent = 0;
    odd.head = false;
    stream_want_write(s);
    return ERR_OK;
}
static size_t odd_writable(struct stream *s, void *user UNUSED, uint8_t *buf, size_t room)
{
    if (odd.sent == odd.messages) {
        stream_finish(s);
        return 0;
    }
    size_t head = frame_header_put(buf, odd.size);
    size_t n = MIN(odd.size, 600u); /* one message fits; a giant one only begins */
    if (room < head + n)
        return 0;
    buf[head] = 0x32; /* agent: as many bytes as there are */
    buf[head + 1] = (uint8_t)(((n - 3) & 0x7f) | 0x80);
    buf[head + 2] = (uint8_t)((n - 3) >> 7);
    memset(buf + head + 3, 'x', n - 3);
    odd.sent++;
    stream_want_write(s);
    return head + n;
}
static size_t odd_data(struct stream *s UNUSED, void *user UNUSED, const uint8_t *b UNUSED,
                       size_t size)
{
    return size;
}
static const struct stream_ops odd_ops = { odd_open, odd_data, odd_writable, NULL };

static void identify_of_an_odd_peer(uint32_t messages, uint32_t size, enum limit_id limit)
{
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64];
    struct bytes at;
    odd = (struct odd){ .messages = messages, .size = size };
    make(&b, 2, &(struct host_options){ .allow_private = true }, buf, &at);
    b.hosts[0]->served[PROTOCOL_identify].ops = &odd_ops;
    uint64_t hits = limit_hits(limit);
    check(hosts_dial(&b, 1, &d, NULL, at) == ERR_OK, d.text);
    for (int i = 0; i < 400 && limit_hits(limit) == hits; i++)
        hosts_wait(&b, 5);
    check(limit_hits(limit) == hits + 1, "met");
    hosts_wait(&b, 20);
    check(host_connected(b.hosts[1], &b.ids[0].id), "costs the stream and not the connection");
    hosts_end(&b);
}

TEST(an_identify_message_that_is_too_long)
{
    identify_of_an_odd_peer(1, LIMIT_P2P_IDENTIFY_BYTES + 1, LIMIT_ID_P2P_IDENTIFY_BYTES);
}

TEST(an_identify_in_too_many_messages)
{
    identify_of_an_odd_peer(LIMIT_P2P_IDENTIFY_MESSAGES + 1, 500, LIMIT_ID_P2P_IDENTIFY_MESSAGES);
}

static void descriptors_max(rlim_t most)
{
    struct rlimit now;
    check(getrlimit(RLIMIT_NOFILE, &now) == 0, "getrlimit");
    now.rlim_cur = MIN(most, now.rlim_max);
    check(setrlimit(RLIMIT_NOFILE, &now) == 0, "setrlimit");
}

static rlim_t descriptors_now(void)
{
    struct rlimit now;
    check(getrlimit(RLIMIT_NOFILE, &now) == 0, "getrlimit");
    return now.rlim_cur;
}

/* Calls on a socket that was made while there were descriptors; true: it was turned away. */
static bool turned_away(struct hosts *b, struct bytes at, int fd)
{
    struct multiaddr_target t;
    check(multiaddr_target(at, &t), "target");
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(t.port) };
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0, "connects");
    hosts_wait(b, 50);
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
    close(fd);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* A descriptor is kept to turn away who calls. When it is gone too, the listener closes for a while
 * and is there again. */
TEST(without_descriptors)
{
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64];
    struct bytes at;
    make(&b, 3, &(struct host_options){ .allow_private = true }, buf, &at);
    int64_t refused = metric_get_by(METRIC_p2p_refused_total, REFUSED_DESCRIPTORS);
    rlim_t before = descriptors_now();
    int first = socket(AF_INET, SOCK_STREAM, 0), second = socket(AF_INET, SOCK_STREAM, 0);
    int next = dup(first);
    close(next);
    descriptors_max((rlim_t)next);
    check(turned_away(&b, at, first), "by the spare one");
    check(metric_get_by(METRIC_p2p_refused_total, REFUSED_DESCRIPTORS) == refused, "which is left");
    descriptors_max(0);
    check(turned_away(&b, at, second), "with the listener");
    check(metric_get_by(METRIC_p2p_refused_total, REFUSED_DESCRIPTORS) == refused + 1, "once");
    hosts_clock(&b, LIMIT_P2P_DEAF_MS);
    hosts_wait(&b, 50);
    descriptors_max(before);
    check(hosts_dial(&b, 1, &d, NULL, at) == ERR_UNREACHABLE, "it could not be bound yet");
    hosts_clock(&b, LIMIT_P2P_DEAF_MS);
    hosts_wait(&b, 50);
    check(hosts_dial(&b, 2, &d, NULL, at) == ERR_OK, d.text);
    hosts_end(&b);
}

TEST(closed_while_it_is_without_descriptors)
{
    static struct hosts b;
    uint8_t buf[64];
    struct bytes at;
    for (uint32_t ms = 0; ms <= 50; ms += 50) {
        make(&b, 1, &(struct host_options){ .allow_private = true }, buf, &at);
        rlim_t before = descriptors_now();
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        descriptors_max(0);
        check(turned_away(&b, at, fd), "with the listener");
        if (ms > 0) { /* in the middle of another try */
            hosts_clock(&b, LIMIT_P2P_DEAF_MS);
            hosts_wait(&b, ms);
        }
        descriptors_max(before);
        hosts_end(&b);
    }
}

/* Each has said all that it can before the host answers, and wants a handshake. */
TEST(handshakes_in_one_turn)
{
    enum { STRANGERS = 3 * LIMIT_P2P_HANDSHAKES_PER_TURN };
    static const uint8_t said[] = "\x13/multistream/1.0.0\n\x07/noise\n\0\x20"
                                  "any thirty-two bytes are a point";
    static struct hosts b;
    uint8_t buf[64], answer[512];
    struct bytes at;
    int fds[STRANGERS];
    make(&b, 1, &(struct host_options){ .allow_private = true }, buf, &at);
    uint64_t hits = limit_hits(LIMIT_ID_P2P_HANDSHAKES_PER_TURN);
    for (size_t i = 0; i < STRANGERS; i++) {
        fds[i] = stranger(at);
        check(write(fds[i], said, sizeof(said) - 1) == (ssize_t)sizeof(said) - 1, "says it all");
    }
    hosts_wait(&b, 100);
    check(limit_hits(LIMIT_ID_P2P_HANDSHAKES_PER_TURN) > hits, "some had to wait");
    for (size_t i = 0; i < STRANGERS; i++) {
        ssize_t n = recv(fds[i], answer, sizeof(answer), MSG_DONTWAIT);
        check(n > 28 + 2 + 32 + 48, "and all have been answered");
        close(fds[i]);
    }
    hosts_end(&b);
}

/* Credit for a stream that is not there, in a record each. */
static size_t small_records(struct conn *c, uint8_t *out, size_t size)
{
    static const uint8_t credit[12] = { 0, 1, 0, 0, 0, 0, 0x7f, 1, 0, 0, 0, 1 };
    enum { EACH = NOISE_LENGTH_BYTES + sizeof(credit) + AEAD_TAG_BYTES };
    size_t n = 0;
    for (; n + EACH <= size; n += EACH) {
        memcpy(out + n + NOISE_LENGTH_BYTES, credit, sizeof(credit));
        check(noise_seal(&c->records, out + n, sizeof(credit)) == EACH, "sealed");
    }
    return n;
}

TEST(small_records_are_read_by_less_at_a_time)
{
    static struct hosts b;
    static struct hosts_dial d;
    static struct hosts_sender x;
    static uint8_t records[64 * KiB];
    uint8_t buf[64];
    struct bytes at;
    int fd;
    make(&b, 2, &(struct host_options){ .allow_private = true }, buf, &at);
    check(hosts_dial(&b, 1, &d, NULL, at) == ERR_OK, d.text);
    hosts_wait(&b, 50);
    struct conn *ours = host_conn_to(b.hosts[1], &b.ids[0].id);
    struct conn *theirs = host_conn_to(b.hosts[0], &b.ids[1].id);
    check(!theirs->small_records_, "not by itself");
    check(uv_fileno((uv_handle_t *)ours->socket_, &fd) == 0, "socket");
    size_t n = small_records(ours, records, sizeof(records));
    check(send(fd, records, n, 0) == (ssize_t)n, "sent");
    hosts_wait(&b, 50);
    check(theirs->small_records_, "noticed");
    check(theirs->state == CONN_OPEN, "and no offence");
    hosts_sender_open(&b, 1, ours, &x);
    while (!x.done)
        hosts_run(&b, "an answer");
    stream_want_write(x.s);
    hosts_wait(&b, 50);
    check(!theirs->small_records_, "large ones are read at once again");
    hosts_end(&b);
}
