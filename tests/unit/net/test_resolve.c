/* Names in addresses, asked of a small DNS server in this process. */
#include "host_bed.h"

#include <stdio.h>

#include "core/loop.h"
#include "net/resolve.h"

#define A "12D3KooWF4o7GTKnJCRkQ5xCS8qW211bfKTQWxVGjxhSKUDmsuRL"
#define B "12D3KooWBSdjYxrUnEV534YCgNMFqpzsfX2jfjN3HXwWoBEw6o83"

static const struct hosts_record zone[] = {
    { "two.test", 1, "192.0.2.1" },
    { "two.test", 1, "192.0.2.2" },
    { "both.test", 1, "192.0.2.3" },
    { "both.test", 28, "2001:db8::3" },
    { "_dnsaddr.boot.test", 16, "dnsaddr=/ip4/192.0.2.9/tcp/4001/p2p/" A },
    { "_dnsaddr.boot.test", 16, "dnsaddr=/ip4/192.0.2.9/udp/4001/quic-v1/p2p/" A },
    { "_dnsaddr.boot.test", 16, "dnsaddr=/ip4/192.0.2.8/tcp/4001/p2p/" B },
    { "_dnsaddr.boot.test", 16, "dnsaddr=/dns4/two.test/tcp/7/p2p/" A },
    { "_dnsaddr.boot.test", 16, "dnsaddr=/dnsaddr/more.test/p2p/" A },
    { "_dnsaddr.boot.test", 16, "dnsaddr=/ip4/192.0.2.7/tcp/4001" },
    { "_dnsaddr.boot.test", 16, "v=spf1 -all" },
    { "_dnsaddr.boot.test", 16, "dnsaddr=nonsense" },
    { "_dnsaddr.more.test", 16, "dnsaddr=/ip6/2001:db8::5/tcp/4001/p2p/" A },
    { "_dnsaddr.round.test", 16, "dnsaddr=/dnsaddr/round.test" },
    { "silent.test", 1, NULL },
    { "no-tcp.test", 16, "none" },
    { "_dnsaddr.long.test", 16,
      "dnsaddr=/ip4/192.0.2.1/tcp/4001/p2p/" A "/p2p-circuit/ip4/192.0.2.2/tcp/4002/ws/p2p/" B
      "/p2p-circuit/ip4/192.0.2.2/tcp/4002/ws/p2p/" B "/p2p-circuit/p2p/" A },
};

struct asked {
    struct host_resolve req;
    struct hosts *bed;
    bool done;
    enum err rc;
    char text[256];
    char found[4096]; /* sorted by nothing: in the order of arrival, a line each */
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
};

static void on_address(struct host_resolve *req, struct bytes multiaddr)
{
    struct asked *a = container_of(req, struct asked, req);
    size_t used = strlen(a->found);
    char text[512];
    check(!multiaddr_to_text(multiaddr, text, sizeof(text), NULL), "text");
    snprintf(a->found + used, sizeof(a->found) - used, "%s\n", text);
}

static void on_resolved(struct host_resolve *req, const struct error *err)
{
    struct asked *a = container_of(req, struct asked, req);
    a->done = true;
    a->rc = err ? err->code : ERR_OK;
    snprintf(a->text, sizeof(a->text), "%s", err ? err->text : "");
    loop_stop(a->bed->loop);
}

static void ask_start(struct hosts *b, struct asked *a, const char *text)
{
    *a = (struct asked){ .bed = b };
    a->req.multiaddr = hosts_multiaddr(text, a->buf, sizeof(a->buf));
    a->req.on_address = on_address;
    a->req.cb = on_resolved;
    host_resolve(b->hosts[0], &a->req);
    check(!a->done && a->req.count == 0, "never inside the call");
}

static enum err ask(struct hosts *b, struct asked *a, const char *text)
{
    ask_start(b, a, text);
    while (!a->done)
        hosts_run(b, "an answer");
    return a->rc;
}

static void make(struct hosts *b)
{
    hosts_dns(b, zone, ARRAY_SIZE(zone));
    hosts_make(b, 1, &(struct host_options){ .allow_private = true });
}

static const struct {
    const char *why, *asked;
    enum err want;
    const char *found[6]; /* each must be there */
    uint32_t count;
} cases[] = {
    { "A records",
      "/dns4/two.test/tcp/4001",
      ERR_OK,
      { "/ip4/192.0.2.1/tcp/4001\n", "/ip4/192.0.2.2/tcp/4001\n" },
      2 },
    { "the peer id goes with each",
      "/dns4/two.test/tcp/1/p2p/" A,
      ERR_OK,
      { "/ip4/192.0.2.1/tcp/1/p2p/" A "\n" },
      2 },
    { "both families",
      "/dns/both.test/tcp/5",
      ERR_OK,
      { "/ip4/192.0.2.3/tcp/5\n", "/ip6/2001:db8::3/tcp/5\n" },
      2 },
    { "IPv6 alone", "/dns6/both.test/tcp/5", ERR_OK, { "/ip6/2001:db8::3/tcp/5\n" }, 1 },
    { "IPv4 alone", "/dns4/both.test/tcp/5", ERR_OK, { "/ip4/192.0.2.3/tcp/5\n" }, 1 },
    { "a name without AAAA", "/dns6/two.test/tcp/5", ERR_NOT_FOUND, { NULL }, 0 },
    { "an unknown name", "/dns4/nobody.test/tcp/5", ERR_NOT_FOUND, { NULL }, 0 },
    { "dnsaddr: what ends in the same peer",
      "/dnsaddr/boot.test/p2p/" A,
      ERR_OK,
      { "/ip4/192.0.2.9/tcp/4001/p2p/" A "\n", "/ip4/192.0.2.1/tcp/7/p2p/" A "\n",
        "/ip4/192.0.2.2/tcp/7/p2p/" A "\n", "/ip6/2001:db8::5/tcp/4001/p2p/" A "\n" },
      4 },
    { "dnsaddr: everybody",
      "/dnsaddr/boot.test",
      ERR_OK,
      { "/ip4/192.0.2.8/tcp/4001/p2p/" B "\n", "/ip4/192.0.2.7/tcp/4001\n" },
      6 },
    { "a relayed address in several strings is nothing for us",
      "/dnsaddr/long.test",
      ERR_NOT_FOUND,
      { NULL },
      0 },
    { "no such TXT record", "/dnsaddr/two.test", ERR_NOT_FOUND, { NULL }, 0 },
    { "UDP is no name of ours", "/dns4/two.test/udp/5", ERR_MALFORMED, { NULL }, 0 },
    { "an address as it is", "/ip4/192.0.2.1/tcp/5", ERR_OK, { "/ip4/192.0.2.1/tcp/5\n" }, 1 },
};

TEST(names_lead_to_addresses)
{
    static struct hosts b;
    static struct asked a;
    make(&b);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        check(ask(&b, &a, cases[i].asked) == cases[i].want, cases[i].why);
        check(a.req.count == cases[i].count, cases[i].why);
        for (size_t f = 0; f < ARRAY_SIZE(cases[i].found) && cases[i].found[f]; f++)
            check(strstr(a.found, cases[i].found[f]) != NULL, cases[i].why);
    }
    hosts_end(&b);
}

TEST(a_name_that_leads_to_itself_ends)
{
    static struct hosts b;
    static struct asked a;
    make(&b);
    uint64_t hits = limit_hits(LIMIT_ID_RESOLVE_DEPTH);
    check(ask(&b, &a, "/dnsaddr/round.test") == ERR_NOT_FOUND, a.text);
    check(limit_hits(LIMIT_ID_RESOLVE_DEPTH) == hits + 1, "by its depth");
    check(b.questions == LIMIT_RESOLVE_DEPTH, "a question per level");
    hosts_end(&b);
}

TEST(a_name_that_leads_to_too_much_is_cut)
{
    static struct hosts b;
    static struct asked a;
    static struct hosts_record many[122], names[33];
    static char texts[120][32], lines[33][64];
    for (int i = 0; i < 120; i++) { /* two names, since one answer has room for 70 */
        snprintf(texts[i], sizeof(texts[i]), "192.0.2.%d", i);
        many[i] = (struct hosts_record){ i < 60 ? "one.test" : "two.test", 1, texts[i] };
    }
    many[120] = (struct hosts_record){ "_dnsaddr.many.test", 16, "dnsaddr=/dns4/one.test/tcp/1" };
    many[121] = (struct hosts_record){ "_dnsaddr.many.test", 16, "dnsaddr=/dns4/two.test/tcp/1" };
    hosts_dns(&b, many, ARRAY_SIZE(many));
    hosts_make(&b, 1, &(struct host_options){ .allow_private = true });
    check(ask(&b, &a, "/dnsaddr/many.test") == ERR_OK, a.text);
    check(a.req.count == LIMIT_RESOLVE_ADDRESSES, "100 and no more");
    hosts_end(&b);
    for (int i = 0; i < 33; i++) {
        snprintf(lines[i], sizeof(lines[i]), "dnsaddr=/dns4/n%d/tcp/1", i);
        names[i] = (struct hosts_record){ "_dnsaddr.fan.test", 16, lines[i] };
    }
    hosts_dns(&b, names, ARRAY_SIZE(names));
    hosts_make(&b, 1, &(struct host_options){ .allow_private = true });
    check(ask(&b, &a, "/dnsaddr/fan.test") == ERR_NOT_FOUND, a.text);
    check(b.questions == LIMIT_RESOLVE_QUERIES, "32 questions and no more");
    hosts_end(&b);
}

TEST(a_server_that_says_nothing)
{
    static struct hosts b;
    static struct asked a;
    make(&b);
    ask_start(&b, &a, "/dns4/silent.test/tcp/1");
    while (b.questions == 0)
        hosts_wait(&b, 5);
    hosts_clock(&b, LIMIT_RESOLVE_MS);
    while (!a.done)
        hosts_run(&b, "the end");
    check(a.rc == ERR_TIMEOUT, a.text);
    hosts_end(&b); /* while c-ares still waits */
}

TEST(a_look_up_is_canceled)
{
    static struct hosts b;
    static struct asked a;
    make(&b);
    for (uint32_t ms = 0; ms < 3; ms++) {
        ask_start(&b, &a, "/dns4/silent.test/tcp/1");
        if (ms > 0)
            hosts_wait(&b, ms * 10);
        host_resolve_cancel(&a.req);
        check(!a.done, "not inside");
        while (!a.done)
            hosts_run(&b, "the end");
        check(a.rc == ERR_CANCELED, a.text);
    }
    ask_start(&b, &a, "/dns4/silent.test/tcp/1");
    hosts_end(&b);
    check(a.done && a.rc == ERR_CANCELED, "by the host's end");
}

TEST(look_ups_have_a_bound)
{
    static struct hosts b;
    static struct asked a[LIMIT_RESOLVE_LOOKUPS + 1];
    make(&b);
    for (size_t i = 0; i < ARRAY_SIZE(a); i++)
        ask_start(&b, &a[i], "/dns4/silent.test/tcp/1");
    hosts_wait(&b, 1);
    check(a[ARRAY_SIZE(a) - 1].rc == ERR_LIMIT, "the 65th");
    check(!a[0].done, "the others wait");
    hosts_end(&b);
}

TEST(without_memory_a_name_leads_nowhere)
{
    static struct hosts b;
    static struct asked a;
    make(&b);
    for (uint64_t n = 1; n < 6; n++) {
        mem_fault_at(n);
        err_ignore(ask(&b, &a, "/dns4/two.test/tcp/4001"));
        mem_fault_at(0);
        check(a.rc == ERR_OK || a.rc == ERR_BUDGET, a.text);
    }
    check(ask(&b, &a, "/dns4/two.test/tcp/4001") == ERR_OK, a.text);
    hosts_end(&b);
}

static const struct {
    const char *why, *txt;
    bool want;
} texts[] = {
    { "an address", "dnsaddr=/ip4/192.0.2.1/tcp/1", true },
    { "another record", "v=spf1", false },
    { "in capitals", "DNSADDR=/ip4/192.0.2.1/tcp/1", false },
    { "with nothing in it", "dnsaddr=", false },
    { "with space", "dnsaddr= /ip4/192.0.2.1/tcp/1", false },
    { "with something behind", "dnsaddr=/ip4/192.0.2.1/tcp/1 x", false },
};

TEST(the_text_of_a_record)
{
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct writer w = writer_of(buf, sizeof(buf));
        check(dnsaddr_parse(bytes_of(texts[i].txt, strlen(texts[i].txt)), &w) == texts[i].want,
              texts[i].why);
    }
}
