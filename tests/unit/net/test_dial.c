/* Dialing: names, back-off, order, the address book, two sides that dial at once; and what becomes
 * of idle connections. */
#include "host_bed.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/loop.h"
#include "net/host_state.h"
#include "net/ping.h"

static const struct host_options private = { .allow_private = true };

static struct bytes with_port(char *text, size_t size, const char *format, struct bytes listened,
                              uint8_t buf[128])
{
    struct multiaddr_target t;
    check(multiaddr_target(listened, &t), "target");
    snprintf(text, size, format, t.port);
    return hosts_multiaddr(text, buf, 128);
}

TEST(a_name_is_dialed_by_all_its_addresses)
{
    static const struct hosts_record zone[] = {
        { "six.test", 28, "::1" }, /* nobody listens there */
        { "six.test", 1, "127.0.0.1" },
    };
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64], named[128];
    char text[64];
    hosts_dns(&b, zone, ARRAY_SIZE(zone));
    hosts_make(&b, 2, &private);
    struct bytes at = hosts_listen(&b, 1, "/ip4/127.0.0.1/tcp/0", buf);
    struct bytes name = with_port(text, sizeof(text), "/dns/six.test/tcp/%u", at, named);
    check(hosts_dial(&b, 0, &d, &b.ids[1].id, name) == ERR_OK, d.text);
    hosts_end(&b);
}

TEST(a_name_that_leads_into_a_private_range_is_not_dialed)
{
    static const struct hosts_record zone[] = { { "inside.test", 1, "127.0.0.1" },
                                                { "inside.test", 28, "::1" } };
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64], named[128];
    char text[64];
    hosts_dns(&b, zone, ARRAY_SIZE(zone));
    hosts_make(&b, 2, &(struct host_options){ .allow_private = false });
    struct bytes at = hosts_listen(&b, 1, "/ip4/127.0.0.1/tcp/0", buf);
    struct bytes name = with_port(text, sizeof(text), "/dns/inside.test/tcp/%u", at, named);
    check(hosts_dial(&b, 0, &d, &b.ids[1].id, name) == ERR_UNREACHABLE, d.text);
    check(b.questions == 2, "it was looked up");
    check(hosts_dial(&b, 0, &d, &b.ids[1].id, at) == ERR_UNREACHABLE, "nor is the address itself");
    check(host_connections(b.hosts[1]) == 0, "nobody came");
    hosts_end(&b);
}

TEST(a_name_that_leads_nowhere_says_so)
{
    static const struct hosts_record zone[] = { { "x.test", 16, "nothing" } };
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t named[128];
    hosts_dns(&b, zone, ARRAY_SIZE(zone));
    hosts_make(&b, 1, &private);
    struct bytes name = hosts_multiaddr("/dns4/nobody.test/tcp/1", named, sizeof(named));
    check(hosts_dial(&b, 0, &d, NULL, name) == ERR_NOT_FOUND && strstr(d.text, "name"), d.text);
    hosts_end(&b);
}

TEST(an_address_that_failed_is_left_alone_for_a_while)
{
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64];
    hosts_make(&b, 2, &private);
    struct bytes at = hosts_listen(&b, 1, "/ip4/127.0.0.1/tcp/0", buf);
    struct peer_id wrong = b.ids[0].id;
    wrong.bytes[20] ^= 1;
    check(hosts_dial(&b, 0, &d, &wrong, at) == ERR_BAD_PROOF, d.text);
    check(hosts_dial(&b, 0, &d, &wrong, at) == ERR_UNREACHABLE && strstr(d.text, "ago"), d.text);
    d = (struct hosts_dial){ .req = {
                                 .peer = wrong, .addresses = &at, .count = 1, .urgent = true } };
    hosts_dial_start(&b, 0, &d);
    while (!d.done)
        hosts_run(&b, "an answer");
    check(d.rc == ERR_BAD_PROOF, "somebody waits for it");
    hosts_clock(&b, (LIMIT_P2P_BACK_OFF_MS + 1000) / 2);
    check(hosts_dial(&b, 0, &d, &wrong, at) == ERR_UNREACHABLE, "not yet");
    hosts_clock(&b, (LIMIT_P2P_BACK_OFF_MS + 4000) * 5 / 4);
    check(hosts_dial(&b, 0, &d, &wrong, at) == ERR_BAD_PROOF, "again");
    check(hosts_dial(&b, 0, &d, &b.ids[1].id, at) == ERR_OK, "another peer there is not concerned");
    hosts_end(&b);
}

TEST(who_joins_a_dial_brings_addresses)
{
    static struct hosts b;
    static struct hosts_dial first, second;
    struct sockaddr_in sa = { .sin_family = AF_INET };
    socklen_t size = sizeof(sa);
    uint8_t buf[64], mute[128];
    char text[64];
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* the kernel connects, and nobody answers */
    check(fd >= 0 && !bind(fd, (struct sockaddr *)&sa, size) && !listen(fd, 8) &&
              !getsockname(fd, (struct sockaddr *)&sa, &size),
          "a port");
    hosts_make(&b, 2, &private);
    struct bytes at = hosts_listen(&b, 1, "/ip4/127.0.0.1/tcp/0", buf);
    snprintf(text, sizeof(text), "/ip4/127.0.0.1/tcp/%u", ntohs(sa.sin_port));
    struct bytes nobody = hosts_multiaddr(text, mute, sizeof(mute));
    first = (struct hosts_dial){ .req.peer = b.ids[1].id };
    first.req.addresses = &nobody;
    first.req.count = 1;
    hosts_dial_start(&b, 0, &first);
    hosts_wait(&b, 20);
    check(hosts_dial(&b, 0, &second, &b.ids[1].id, at) == ERR_OK, second.text);
    hosts_wait(&b, 5);
    check(first.done && first.rc == ERR_OK, "both have it");
    close(fd);
    hosts_end(&b);
}

TEST(an_address_no_way_leads_to_is_a_failed_one)
{
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[128];
    hosts_make(&b, 2, &private);
    /* Nobody can connect to a group: the kernel says so at once, as it does of another network. */
    struct bytes group = hosts_multiaddr("/ip4/224.0.0.1/tcp/4001", buf, sizeof(buf));
    check(hosts_dial(&b, 0, &d, &b.ids[1].id, group) == ERR_UNREACHABLE, d.text);
    check(strstr(d.text, "dialing"), d.text);
    check(hosts_dial(&b, 0, &d, &b.ids[1].id, group) == ERR_UNREACHABLE, d.text);
    check(strstr(d.text, "a short while ago"), d.text);
    hosts_end(&b);
}

TEST(what_is_dialed_has_bounds)
{
    static struct hosts b;
    static struct hosts_dial many[LIMIT_P2P_DIALS + 1];
    static uint8_t bufs[LIMIT_P2P_DIAL_ADDRESSES + 1][32], names[LIMIT_P2P_DIAL_NAMES + 1][32];
    struct bytes list[LIMIT_P2P_DIAL_ADDRESSES + 1], named[LIMIT_P2P_DIAL_NAMES + 1];
    char text[64];
    static const struct hosts_record zone[] = { { "x.test", 16, "nothing" } };
    hosts_dns(&b, zone, ARRAY_SIZE(zone));
    hosts_make(&b, 1, &private);
    for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
        snprintf(text, sizeof(text), "/ip4/127.0.0.%zu/tcp/1", i + 1); /* nobody is there */
        list[i] = hosts_multiaddr(text, bufs[i], sizeof(bufs[i]));
    }
    for (size_t i = 0; i < ARRAY_SIZE(named); i++) {
        snprintf(text, sizeof(text), "/dns4/n%zu.test/tcp/1", i);
        named[i] = hosts_multiaddr(text, names[i], sizeof(names[i]));
    }
    uint64_t hits = limit_hits(LIMIT_ID_P2P_DIALS);
    for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
        many[i] = (struct hosts_dial){ .req = { .addresses = &list[i], .count = 1 } };
        hosts_dial_start(&b, 0, &many[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        while (!many[i].done)
            hosts_run(&b, "each is answered");
    check(limit_hits(LIMIT_ID_P2P_DIALS) > hits, "64 connects in flight");
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        check(many[i].rc == ERR_UNREACHABLE, "and those that waited too");
    hits = limit_hits(LIMIT_ID_P2P_DIAL_ADDRESSES);
    many[0] = (struct hosts_dial){
        .req = { .addresses = list, .count = ARRAY_SIZE(list), .urgent = true }
    };
    hosts_dial_start(&b, 0, &many[0]);
    check(limit_hits(LIMIT_ID_P2P_DIAL_ADDRESSES) == hits + 1, "100 addresses");
    host_dial_cancel(&many[0].req);
    while (!many[0].done)
        hosts_run(&b, "canceled");
    hits = limit_hits(LIMIT_ID_P2P_DIAL_NAMES);
    many[0] = (struct hosts_dial){ .req = { .addresses = named, .count = ARRAY_SIZE(named) } };
    hosts_dial_start(&b, 0, &many[0]);
    check(limit_hits(LIMIT_ID_P2P_DIAL_NAMES) == hits + 1, "16 names");
    while (!many[0].done)
        hosts_run(&b, "answered");
    check(many[0].rc == ERR_NOT_FOUND, many[0].text);
    hosts_end(&b);
}

TEST(what_identify_told_is_dialed_later)
{
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64];
    hosts_make(&b, 2, &private);
    struct bytes at = hosts_listen(&b, 1, "/ip6/::1/tcp/0", buf);
    check(hosts_dial(&b, 0, &d, NULL, at) == ERR_OK, d.text);
    while (addrbook_count(b.hosts[0]->book) == 0)
        hosts_wait(&b, 5);
    host_disconnect(b.hosts[0], &b.ids[1].id);
    hosts_clock(&b, 1);
    while (host_connected(b.hosts[0], &b.ids[1].id) || host_connections(b.hosts[1]) > 0)
        hosts_wait(&b, 5);
    check(hosts_dial(&b, 0, &d, &b.ids[1].id, bytes_of("", 0)) == ERR_OK, d.text);
    hosts_end(&b);
}

struct opened {
    struct stream_open req;
    struct hosts *bed;
    enum err rc;
    bool done;
};
static void on_opened(struct stream_open *req, struct stream *s, const struct error *err)
{
    struct opened *o = container_of(req, struct opened, req);
    o->done = true;
    o->rc = err ? err->code : ERR_OK;
    if (s)
        stream_reset(s, 0);
    loop_stop(o->bed->loop);
}
static const struct stream_ops no_ops = { 0 };
static struct protocol ping_row;
static const struct protocol *const choices[] = { &ping_row };

static void open_start(struct hosts *b, struct opened *o, bool dial)
{
    protocol_init(&ping_row, PROTOCOL_ping, &no_ops, NULL);
    *o = (struct opened){ .bed = b };
    o->req = (struct stream_open){
        .to = b->ids[1].id, .choices = choices, .count = 1, .dial = dial, .cb = on_opened
    };
    stream_open(b->hosts[0], &o->req);
}

TEST(opening_a_stream_connects_first)
{
    static struct hosts b;
    static struct opened o;
    uint8_t buf[64];
    hosts_make(&b, 2, &private);
    struct bytes at = hosts_listen(&b, 1, "/ip4/127.0.0.1/tcp/0", buf);
    open_start(&b, &o, true);
    while (!o.done)
        hosts_run(&b, "an answer");
    check(o.rc == ERR_UNREACHABLE, "no address is known");
    host_learn(b.hosts[0], &b.ids[1].id, &at, 1, HOST_TOLD);
    open_start(&b, &o, false);
    while (!o.done)
        hosts_run(&b, "an answer");
    check(o.rc == ERR_UNREACHABLE, "only when asked to");
    open_start(&b, &o, true);
    stream_open_cancel(&o.req);
    check(!o.done, "not inside");
    while (!o.done)
        hosts_run(&b, "an answer");
    check(o.rc == ERR_CANCELED, "canceled");
    open_start(&b, &o, true);
    while (!o.done)
        hosts_run(&b, "an answer");
    check(o.rc == ERR_OK, "connected");
    hosts_end(&b);
}

TEST(the_book_takes_what_can_be_dialed_from_here)
{
    static struct hosts b;
    uint8_t buf[5][128];
    static const char *const texts[] = { "/ip4/10.0.0.1/tcp/1", "/ip4/192.0.2.1/udp/1/quic-v1",
                                         "/ip4/192.0.2.1/tcp/1", "/dns4/x.test/tcp/1" };
    struct bytes list[4];
    hosts_make(&b, 2, &(struct host_options){ .allow_private = false });
    for (size_t i = 0; i < 4; i++)
        list[i] = hosts_multiaddr(texts[i], buf[i], sizeof(buf[i]));
    struct host *h = b.hosts[0];
    host_learn(h, &b.ids[1].id, list, 2, HOST_TOLD);
    check(addrbook_count(h->book) == 0, "private, UDP");
    host_learn(h, &b.ids[0].id, list + 2, 2, HOST_TOLD);
    check(addrbook_count(h->book) == 0, "ourselves");
    struct writer w = writer_of(buf[4], sizeof(buf[4]));
    writer_put(&w, list[2].data, list[2].size);
    multiaddr_put_peer(&w, &b.ids[0].id);
    struct bytes other = bytes_of(buf[4], writer_used(&w));
    host_learn(h, &b.ids[1].id, &other, 1, HOST_TOLD);
    check(addrbook_count(h->book) == 0, "somebody else's");
    host_learn(h, &b.ids[1].id, list + 2, 2, HOST_TOLD);
    check(addrbook_count(h->book) == 1, "what is left");
    hosts_end(&b);
}

TEST(both_sides_dial_at_once)
{
    static struct hosts b;
    static struct hosts_dial d[2];
    uint8_t buf[2][64];
    struct bytes at[2];
    hosts_make(&b, 2, &private);
    for (int i = 0; i < 2; i++)
        at[i] = hosts_listen(&b, i, "/ip4/127.0.0.1/tcp/0", buf[i]);
    for (int i = 0; i < 2; i++) {
        d[i] = (struct hosts_dial){ 0 };
        d[i].req =
            (struct host_dial){ .peer = b.ids[1 - i].id, .addresses = &at[1 - i], .count = 1 };
        hosts_dial_start(&b, i, &d[i]);
    }
    while (!d[0].done || !d[1].done)
        hosts_run(&b, "both are answered");
    check(d[0].rc == ERR_OK && d[1].rc == ERR_OK, "both connect");
    hosts_wait(&b, 50);
    check(host_connections(b.hosts[0]) == 2 && host_connections(b.hosts[1]) == 2, "both stay");
    for (int i = 0; i < 7; i++) { /* keepalives too; neither is ended for silence */
        hosts_clock(&b, LIMIT_P2P_TRIM_MS);
        hosts_wait(&b, 20);
    }
    check(host_connections(b.hosts[0]) == 1 && host_connections(b.hosts[1]) == 1,
          "one without streams goes after a minute, and the same one on both sides");
    hosts_end(&b);
}

TEST(idle_connections_are_trimmed_and_wanted_ones_are_not)
{
    enum { HOSTS = 4 };
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64];
    struct host_options o = private;
    o.connections_max = 3; /* high water 2, low water 2 */
    hosts_make(&b, HOSTS, &o);
    struct bytes at = hosts_listen(&b, 0, "/ip4/127.0.0.1/tcp/0", buf);
    for (int i = 1; i < HOSTS; i++) {
        check(hosts_dial(&b, i, &d, &b.ids[0].id, at) == ERR_OK, d.text);
        hosts_wait(&b, 20);
        hosts_clock(&b, 1); /* the first was used longest ago */
    }
    check(host_protect(b.hosts[0], &b.ids[1].id, HOST_TAG_SWARM, true), "wanted");
    hosts_clock(&b, LIMIT_P2P_TRIM_MS);
    hosts_wait(&b, 20);
    check(host_connections(b.hosts[0]) == 3, "all are younger than 20 s");
    hosts_clock(&b, LIMIT_P2P_TRIM_MS);
    hosts_wait(&b, 20);
    hosts_clock(&b, LIMIT_P2P_TRIM_MS);
    hosts_wait(&b, 20);
    check(host_connections(b.hosts[0]) == 2, "one is too many");
    check(host_connected(b.hosts[0], &b.ids[1].id), "the wanted one stays");
    check(!host_connected(b.hosts[0], &b.ids[2].id), "the next oldest goes");
    host_shrink(b.hosts[0], 5); /* memory is short */
    hosts_wait(&b, 20);
    check(host_connections(b.hosts[0]) == 1, "all that are idle");
    check(host_connected(b.hosts[0], &b.ids[1].id), "but the wanted one");
    hosts_end(&b);
}

/* Which of its addresses a peer was told to have, as the other one's book has them. */
struct heard {
    uint16_t port;
    bool loopback, second;
};

static void hear(void *ctx, struct bytes multiaddr)
{
    struct heard *heard = ctx;
    struct multiaddr_target t;
    check(multiaddr_target(multiaddr, &t) && t.host == MULTIADDR_IP4 && t.port == heard->port, "");
    heard->loopback |= !memcmp(t.value.data, "\x7f\0\0\1", 4);
    heard->second |= !memcmp(t.value.data, "\xc0\0\2\x4d", 4);
}

/* In steps, so that the connection is not silent for too long. */
static void until_reached_is_looked_at(struct hosts *b)
{
    for (uint32_t ms = 0; ms < LIMIT_P2P_REACHED_MS; ms += LIMIT_P2P_TRIM_MS) {
        hosts_clock(b, LIMIT_P2P_TRIM_MS);
        hosts_wait(b, 20);
    }
}

TEST(a_wildcard_is_told_as_the_addresses_of_the_machine_as_they_change)
{
    static struct hosts b;
    static struct hosts_dial d;
    static const struct host_address list[] = { { .ip = { 127, 0, 0, 1 } },
                                                { .ip = { 192, 0, 2, 77 } } };
    struct host_interfaces machine = { list, 1 };
    uint8_t buf[64];
    hosts_make(&b, 2, &(struct host_options){ .allow_private = true, .machine = &machine });
    struct bytes at = hosts_listen(&b, 1, "/ip4/0.0.0.0/tcp/0", buf);
    struct heard heard = { .port = b.hosts[1]->reached.list[0].port };
    check(heard.port > 0, "the one that was bound");
    check(hosts_dial(&b, 0, &d, &b.ids[1].id, at) == ERR_OK, d.text);
    hosts_wait(&b, 50); /* identified */
    addrbook_each(b.hosts[0]->book, &b.ids[1].id, hear, &heard);
    check(heard.loopback && !heard.second, "what identify says");
    machine.count = 2; /* another interface comes up */
    uint32_t before = b.hosts[1]->version;
    hosts_clock(&b, LIMIT_P2P_TRIM_MS);
    hosts_wait(&b, 20);
    check(b.hosts[1]->version == before, "not looked at with every tick");
    until_reached_is_looked_at(&b);
    addrbook_each(b.hosts[0]->book, &b.ids[1].id, hear, &heard);
    check(b.hosts[1]->version == before + 1 && heard.second, "pushed");
    machine.list = NULL;
    until_reached_is_looked_at(&b);
    check(b.hosts[1]->version == before + 1, "interfaces that cannot be read take nothing back");
    machine.list = list;
    struct error err = { ERR_OK, "" };
    struct bytes mine = hosts_multiaddr("/ip4/192.0.2.7/tcp/4001", buf, sizeof(buf));
    check(!host_announce(b.hosts[1], mine, &err), err.text);
    machine.count = 1;
    before = b.hosts[1]->version;
    until_reached_is_looked_at(&b);
    check(b.hosts[1]->version == before, "what is announced does not follow interfaces");
    hosts_end(&b);
}

TEST(a_change_is_pushed_to_peers)
{
    static struct hosts b;
    static struct hosts_dial d;
    uint8_t buf[64], announced[64];
    hosts_make(&b, 2, &private);
    struct bytes at = hosts_listen(&b, 1, "/ip4/127.0.0.1/tcp/0", buf);
    check(hosts_dial(&b, 0, &d, NULL, at) == ERR_OK, d.text);
    hosts_wait(&b, 50); /* identified */
    struct error err = { ERR_OK, "" };
    struct bytes fresh = hosts_multiaddr("/ip4/192.0.2.77/tcp/4001", announced, sizeof(announced));
    check(!host_announce(b.hosts[1], fresh, &err), err.text);
    uint32_t told = b.hosts[1]->version;
    hosts_clock(&b, LIMIT_P2P_TRIM_MS);
    hosts_wait(&b, 50);
    struct conn *c = host_conn_to(b.hosts[1], &b.ids[0].id);
    check(c && c->told_version == told, "told");
    struct conn *back = host_conn_to(b.hosts[0], &b.ids[1].id);
    check(back && back->pushed_ms > 0, "heard");
    uint64_t hits = limit_hits(LIMIT_ID_P2P_PUSH_MS);
    identify_push(c); /* at once, again */
    hosts_wait(&b, 50);
    check(limit_hits(LIMIT_ID_P2P_PUSH_MS) == hits + 1, "not more often than every 10 s");
    check(host_connected(b.hosts[0], &b.ids[1].id), "which ends the stream alone");
    hosts_end(&b);
}
