/* What connections share: room for records under way and for bytes that nobody has taken. Whoever
 * holds it must give it back, and whoever waits for it must hear of it. */
#include "host_bed.h"

#include "core/loop.h"
#include "net/host_state.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DIALERS = 4, STREAMS = LIMIT_P2P_STREAMS_SURE, RX_BYTES = 128 * 1024 };

/* A protocol that takes nothing of what it is sent, and looks at how much is kept. */
static struct host *watched;
static struct stream *newest;
static uint64_t peak_bytes;

static enum err mute_open(struct stream *s, void *ctx UNUSED, void **user UNUSED)
{
    newest = s;
    return ERR_OK;
}

static size_t mute_data(struct stream *s UNUSED, void *user UNUSED, const uint8_t *b UNUSED,
                        size_t size UNUSED)
{
    peak_bytes = MAX(peak_bytes, watched->queued_bytes);
    return 0;
}
static const struct stream_ops mute_ops = { mute_open, mute_data, NULL, NULL };
static const struct protocol mute = { .name = "/test/mute/1.0.0", .ops = &mute_ops };

static void open_one(struct hosts *b, int from, struct conn *c, struct hosts_sender *x)
{
    hosts_sender_open(b, from, c, x);
    while (!x->done)
        hosts_run(b, "an answer");
    check(x->s != NULL, "opened");
}

static struct bytes make(struct hosts *b, int count, const struct host_options *o, uint8_t buf[64])
{
    struct error err = { ERR_OK, "" };
    hosts_make(b, count, o);
    check(!host_register(b->hosts[0], &mute, &err), err.text);
    watched = b->hosts[0];
    peak_bytes = 0;
    return hosts_listen(b, 0, "/ip4/127.0.0.1/tcp/0", buf);
}

TEST(many_short_queues_together_stay_within_the_bound)
{
    static struct hosts b;
    static struct hosts_dial d;
    static struct hosts_sender x[DIALERS][STREAMS];
    uint8_t buf[64];
    struct host_options o = { .allow_private = true, .rx_bytes_max = RX_BYTES };
    struct bytes at = make(&b, DIALERS + 1, &o, buf);
    for (int from = 1; from <= DIALERS; from++) {
        check(hosts_dial(&b, from, &d, NULL, at) == ERR_OK, d.text);
        hosts_wait(&b, 20); /* identify has come and gone */
        for (int i = 0; i < STREAMS; i++)
            open_one(&b, from, NULL, &x[from - 1][i]);
    }
    for (int i = 0; i < STREAMS; i++)
        for (int from = 0; from < DIALERS; from++)
            stream_want_write(x[from][i].s);
    hosts_wait(&b, 300);
    check(peak_bytes > RX_BYTES / 2, "they filled it");
    check(peak_bytes <= RX_BYTES + NOISE_PLAIN_MAX, "never more than a record above it");
    check(watched->queued_bytes <= RX_BYTES, "and below it in the end");
    hosts_end(&b);
}

/* A stranger who proves who he is and then sends the beginning of a record, at the stage at which
 * the muxer is agreed on. */
static void send_all(int fd, const void *data, size_t size)
{
    check(send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size, "sent");
}

static void noise_send(int fd, struct noise *n)
{
    uint8_t out[NOISE_MESSAGE_MAX];
    struct writer w = writer_of(out, sizeof(out));
    check(!noise_write(n, &w, NULL), "a message");
    send_all(fd, out, writer_used(&w));
}

/* What has come, once it is at least so much. */
static size_t receive(struct hosts *b, int fd, uint8_t *buf, size_t size, size_t least)
{
    size_t have = 0;
    for (int i = 0; i < 400 && have < least; i++) {
        hosts_wait(b, 5);
        ssize_t n = recv(fd, buf + have, size - have, MSG_DONTWAIT);
        have += n > 0 ? (size_t)n : 0;
    }
    check(have >= least, "an answer");
    return have;
}

static int half_a_record(struct hosts *b, struct bytes at)
{
    static const char hello[] = "\x13/multistream/1.0.0\n\x07/noise\n";
    static const char *const none[] = { NULL };
    static uint8_t part[NOISE_LENGTH_BYTES + NOISE_RECORD_MAX / 3] = { 0xff, 0xff };
    uint8_t secret[X25519_BYTES] = { 9 }, in[2048];
    struct multiaddr_target t;
    struct noise_static st;
    struct noise n;
    struct noise_options o = { .dialer = true, .st = &st, .muxer = "", .ephemeral = { 5 } };
    check(multiaddr_target(at, &t), "target");
    check(!noise_static_init(&st, &b->ids[1], secret, none, NULL), "static");
    noise_init(&n, &o);
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(t.port) };
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    check(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0, "connects");
    send_all(fd, hello, sizeof(hello) - 1);
    receive(b, fd, in, sizeof(in), sizeof(hello) - 1);
    noise_send(fd, &n);
    size_t size = receive(b, fd, in, sizeof(in), 100);
    check(noise_frame_size(bytes_of(in, size)) == size, "one message");
    check(!noise_read(&n, in + NOISE_LENGTH_BYTES, size - NOISE_LENGTH_BYTES, NULL), "of Noise");
    noise_send(fd, &n);
    send_all(fd, part, sizeof(part));
    hosts_wait(b, 20);
    return fd;
}

TEST(half_a_record_of_one_that_is_half_open_makes_room_for_others)
{
    static struct hosts b;
    static struct hosts_dial d;
    int fds[2];
    uint8_t buf[64];
    /* The least: two records. */
    struct host_options o = { .allow_private = true, .rx_pool_bytes = 1 };
    struct bytes at = make(&b, 2, &o, buf);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        fds[i] = half_a_record(&b, at);
    check(conn_read_room(b.hosts[0]) == 0, "all is held");
    hosts_clock(&b, LIMIT_P2P_BLOCK_HELD_MS);
    check(hosts_dial(&b, 1, &d, NULL, at) == ERR_OK, d.text);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    hosts_end(&b);
}

/* Of the only dialer, in the order of dialing, each with a stream; the other ends of these. */
static struct stream *theirs[3];
static void three_connections(struct hosts *b, struct bytes at, struct conn *c[3],
                              struct hosts_sender x[3])
{
    static struct hosts_dial d;
    for (int i = 0; i < 3; i++)
        check(hosts_dial(b, 1, &d, NULL, at) == ERR_OK, d.text);
    hosts_wait(b, 20);
    struct list *link = b->hosts[1]->conns.next;
    for (int i = 0; i < 3; i++, link = link->next) {
        c[i] = container_of(link, struct conn, link_);
        open_one(b, 1, c[i], &x[i]);
        theirs[i] = newest;
    }
}

TEST(who_waits_for_a_block_and_has_nothing_to_say_any_more_passes_it_on)
{
    static struct hosts b;
    static struct hosts_sender x[3];
    struct conn *c[3];
    uint8_t buf[64];
    struct host_options o = { .allow_private = true };
    struct bytes at = make(&b, 2, &o, buf);
    for (int gone = 0; gone < 2; gone++) {
        three_connections(&b, at, c, x);
        struct host *h = b.hosts[1];
        uint64_t others = h->options.tx_pool_bytes - h->tx_pool_used - 4 * KiB;
        h->tx_pool_used += others; /* as if many wrote */
        check(conn_block_get(c[2]), "the last block");
        stream_want_write(x[0].s);
        stream_want_write(x[1].s);
        hosts_wait(&b, 10);
        check(list_first(&h->starved) == &c[0]->starved_ && list_linked(&c[1]->starved_), "wait");
        if (gone == 0) { /* by a reset from the other side */
            stream_reset(theirs[0], 0);
            hosts_wait(&b, 20);
            check(x[0].s == NULL, "its stream is gone");
            conn_block_free(c[2]);
        } else { /* by the end of its connection */
            conn_block_free(c[2]);
            conn_close(c[0], ERR_CANCELED, "the test closes");
        }
        hosts_wait(&b, 20);
        check(x[1].sent > 0, "the next one has its turn");
        h->tx_pool_used -= others;
        host_disconnect(h, &b.ids[0].id);
        while (host_connections(b.hosts[0]) > 0 || host_connections(h) > 0)
            hosts_wait(&b, 5);
    }
    hosts_end(&b);
}

TEST(who_waits_for_memory_tries_again)
{
    static struct hosts b;
    static struct hosts_sender x[3];
    struct conn *c[3];
    uint8_t buf[64];
    struct host_options o = { .allow_private = true };
    struct bytes at = make(&b, 2, &o, buf);
    three_connections(&b, at, c, x);
    uint64_t rest = b.mem->ceiling_bytes - b.mem->used_bytes;
    check(mem_take(b.mem, rest), "nothing is left");
    stream_want_write(x[0].s);
    hosts_wait(&b, 10);
    check(list_linked(&c[0]->starved_) && x[0].sent == 0, "waits");
    mem_give(b.mem, rest);
    hosts_clock(&b, LIMIT_P2P_TICK_MS);
    hosts_wait(&b, 20);
    check(x[0].sent > 0, "it has its turn");
    hosts_end(&b);
}
