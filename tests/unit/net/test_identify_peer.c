/* What peers say of themselves over a connection: who they are not, too much, and changes; and one
 * that says nothing. */
#include "host_bed.h"

#include "codec/wire.h"
#include "core/loop.h"
#include "net/frame.h"
#include "net/host_state.h"
#include "net/ping.h"

static const struct host_options private = { .allow_private = true };

/* A peer that answers with a message of the test's. */
static uint8_t said[LIMIT_P2P_IDENTIFY_BYTES + 9];
static size_t said_size, told_size;

static void say(struct bytes message)
{
    size_t head = frame_header_put(said, message.size);
    memcpy(said + head, message.data, message.size);
    said_size = head + message.size;
}

static enum err say_open(struct stream *s, void *ctx UNUSED, void **user UNUSED)
{
    told_size = 0;
    stream_want_write(s);
    return ERR_OK;
}
static size_t say_data(struct stream *s UNUSED, void *user UNUSED, const uint8_t *b UNUSED,
                       size_t size)
{
    return size;
}
static size_t say_writable(struct stream *s, void *user UNUSED, uint8_t *buf, size_t room)
{
    size_t n = MIN(room, said_size - told_size);
    memcpy(buf, said + told_size, n);
    told_size += n;
    if (told_size == said_size)
        stream_finish(s);
    return n;
}
static const struct stream_ops say_ops = { say_open, say_data, say_writable, NULL };

static int identified, gone;
static void on_identified(void *ctx UNUSED, const struct peer_id *peer UNUSED)
{
    identified++;
}
static void on_gone(void *ctx UNUSED, const struct peer_id *peer UNUSED)
{
    gone++;
}

/* The second host connects to the first, which says what was laid down. */
static void connect_to_one_who_says(struct hosts *b, struct host_watch *w, uint8_t buf[64])
{
    static struct hosts_dial d;
    hosts_make(b, 2, &private);
    struct bytes at = hosts_listen(b, 0, "/ip4/127.0.0.1/tcp/0", buf);
    b->hosts[0]->served[PROTOCOL_identify].ops = &say_ops;
    *w = (struct host_watch){ .on_identified = on_identified, .on_gone = on_gone };
    identified = gone = 0;
    host_watch(b->hosts[1], w);
    check(hosts_dial(b, 1, &d, NULL, at) == ERR_OK, d.text);
}

/* A stream that stays open for a minute. */
static void on_held(struct stream_open *req UNUSED, struct stream *s UNUSED,
                    const struct error *err UNUSED)
{
}
static const struct stream_ops held_ops = { NULL, say_data, NULL, NULL };
static const struct protocol held = { .name = "/ipfs/ping/1.0.0", .ops = &held_ops };
static const struct protocol *const held_choices[] = { &held };

TEST(who_says_that_he_is_somebody_else_is_dropped)
{
    static struct hosts b;
    static struct stream_open req;
    struct host_watch w;
    struct peer_secret other;
    uint8_t buf[64], message[256], seed[32] = { 99 };
    struct writer out = writer_of(message, sizeof(message));
    peer_secret_from_seed(seed, &other);
    wire_put_bytes(&out, 1, bytes_of(other.public_message, other.public_size));
    say(bytes_of(message, writer_used(&out)));
    connect_to_one_who_says(&b, &w, buf);
    req = (struct stream_open){
        .to = b.ids[0].id, .choices = held_choices, .count = 1, .cb = on_held
    };
    stream_open(b.hosts[1], &req);
    hosts_wait(&b, 200);
    check(identified == 0, "nothing that he says is believed");
    check(gone == 1 && !host_connected(b.hosts[1], &b.ids[0].id), "whatever streams there are");
    host_unwatch(&w);
    hosts_end(&b);
}

TEST(a_long_list_is_read_so_far)
{
    static struct hosts b;
    struct host_watch w;
    uint8_t buf[64], address[64], message[LIMIT_P2P_IDENTIFY_BYTES];
    struct writer out = writer_of(message, sizeof(message));
    for (int i = 0; i < LIMIT_P2P_IDENTIFY_PROTOCOLS; i++)
        wire_put_bytes(&out, 3, bytes_of("/x", 2));
    wire_put_bytes(&out, 3, bytes_of("/ipfs/ping/1.0.0", 16));
    for (uint8_t i = 0; i <= LIMIT_P2P_IDENTIFY_ADDRESSES; i++) {
        struct writer a = writer_of(address, sizeof(address));
        multiaddr_put_tcp(&a, MULTIADDR_IP4, (const uint8_t[4]){ 192, 0, 2, i }, 4001);
        wire_put_bytes(&out, 2, bytes_of(address, writer_used(&a)));
    }
    wire_put_bytes(&out, 6, bytes_of("long/1", 6));
    check(!out.overflow, "fits");
    say(bytes_of(message, writer_used(&out)));
    uint64_t names = limit_hits(LIMIT_ID_P2P_IDENTIFY_PROTOCOLS);
    uint64_t addresses = limit_hits(LIMIT_ID_P2P_IDENTIFY_ADDRESSES);
    connect_to_one_who_says(&b, &w, buf);
    hosts_wait(&b, 100);
    const struct conn *c = host_conn_to(b.hosts[1], &b.ids[0].id);
    check(identified == 1 && c && !strcmp(c->agent, "long/1"), "the rest is read");
    check(!host_peer_serves(b.hosts[1], &b.ids[0].id, PROTOCOL_ping), "but not that many names");
    check(limit_hits(LIMIT_ID_P2P_IDENTIFY_PROTOCOLS) == names + 1, "counted");
    check(limit_hits(LIMIT_ID_P2P_IDENTIFY_ADDRESSES) == addresses + 1, "nor addresses");
    host_unwatch(&w);
    hosts_end(&b);
}

TEST(a_push_takes_the_place_of_what_was_said)
{
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64];
    hosts_make(&b, 2, &private);
    struct bytes at = hosts_listen(&b, 1, "/ip4/127.0.0.1/tcp/0", buf);
    check(hosts_dial(&b, 0, &d, NULL, at) == ERR_OK, d.text);
    hosts_wait(&b, 50); /* identified */
    check(host_peer_serves(b.hosts[0], &b.ids[1].id, PROTOCOL_ping), "it answers pings");
    b.hosts[1]->protocols_count--; /* and no more */
    check(b.hosts[1]->protocols[b.hosts[1]->protocols_count]->row == PROTOCOL_ping, "the last");
    identify_push(host_conn_to(b.hosts[1], &b.ids[0].id));
    hosts_wait(&b, 50);
    check(!host_peer_serves(b.hosts[0], &b.ids[1].id, PROTOCOL_ping), "heard");
    check(host_peer_serves(b.hosts[0], &b.ids[1].id, PROTOCOL_identify), "the others stay");
    hosts_end(&b);
}

static enum err pinged;
static void on_pinged(struct ping *p UNUSED, const struct error *err)
{
    pinged = err ? err->code : ERR_OK;
}

TEST(a_peer_that_ends_a_ping_without_an_answer)
{
    static struct hosts b;
    static struct hosts_dial d;
    static struct ping p;
    uint8_t buf[64];
    hosts_make(&b, 2, &private);
    struct bytes at = hosts_listen(&b, 0, "/ip4/127.0.0.1/tcp/0", buf);
    b.hosts[0]->served[PROTOCOL_ping].ops = &say_ops;
    said_size = 0;
    check(hosts_dial(&b, 1, &d, NULL, at) == ERR_OK, d.text);
    hosts_wait(&b, 50);
    pinged = ERR_COUNT;
    p = (struct ping){ .to = b.ids[0].id, .cb = on_pinged };
    ping(b.hosts[1], &p);
    for (int i = 0; i < 100 && pinged == ERR_COUNT; i++)
        hosts_wait(&b, 5);
    check(pinged == ERR_PROTOCOL, "is heard at once");
    hosts_end(&b);
}
