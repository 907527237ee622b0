/* Which of our addresses mean something to a peer. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "codec/multiaddr.h"
#include "net/reached.h"

/* "/ip4/192.0.2.1/tcp/4001" */
static struct host_address address(const char *text)
{
    uint8_t buf[64];
    struct writer w = writer_of(buf, sizeof(buf));
    struct multiaddr_target t;
    check(!multiaddr_from_text(text, strlen(text), &w, NULL), text);
    check(multiaddr_target(bytes_of(buf, writer_used(&w)), &t), text);
    struct host_address a = { .ip6 = t.host == MULTIADDR_IP6, .port = t.port };
    memcpy(a.ip, t.value.data, t.value.size);
    return a;
}

TEST(what_is_no_address_of_one_machine_in_the_public_network)
{
    static const struct {
        const char *why, *text;
        bool private;
    } cases[] = {
        { "this network", "/ip4/0.1.2.3/tcp/1", true },
        { "RFC 1918", "/ip4/10.0.0.1/tcp/1", true },
        { "RFC 1918", "/ip4/172.31.0.1/tcp/1", true },
        { "beside it", "/ip4/172.32.0.1/tcp/1", false },
        { "RFC 1918", "/ip4/192.168.0.1/tcp/1", true },
        { "of carriers", "/ip4/100.64.0.1/tcp/1", true },
        { "loopback", "/ip4/127.8.0.1/tcp/1", true },
        { "link local", "/ip4/169.254.0.1/tcp/1", true },
        { "the last one", "/ip4/223.255.255.254/tcp/1", false },
        { "a group", "/ip4/224.0.0.1/tcp/1", true },
        { "reserved", "/ip4/240.0.0.1/tcp/1", true },
        { "broadcast", "/ip4/255.255.255.255/tcp/1", true },
        { "loopback", "/ip6/::1/tcp/1", true },
        { "IPv4 in IPv6", "/ip6/::ffff:8.8.8.8/tcp/1", true },
        { "IPv4 translated", "/ip6/64:ff9b::a00:1/tcp/1", true },
        { "the first one", "/ip6/2000::1/tcp/1", false },
        { "the last one", "/ip6/3fff:ffff::1/tcp/1", false },
        { "not given out", "/ip6/4000::1/tcp/1", true },
        { "unique local", "/ip6/fd00::1/tcp/1", true },
        { "link local", "/ip6/fe80::1/tcp/1", true },
        { "site local", "/ip6/fec0::1/tcp/1", true },
        { "a group", "/ip6/ff02::1/tcp/1", true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct host_address a = address(cases[i].text);
        char what[128];
        snprintf(what, sizeof(what), "%s: %s", cases[i].why, cases[i].text);
        check(address_is_private(&a) == cases[i].private, what);
    }
}

/* Lists end at NULL; machine: ports are not looked at. */
static const struct {
    const char *why;
    bool allow_private;
    const char *bound[4], *machine[6], *want[7];
} cases[] = {
    { "what is bound one by one stays, whatever the machine has",
      false,
      { "/ip4/10.0.0.7/tcp/1634" },
      { "/ip4/192.0.2.1/tcp/1" },
      { "/ip4/10.0.0.7/tcp/1634" } },
    { "a wildcard is every address of its kind, with its port",
      false,
      { "/ip4/0.0.0.0/tcp/1634" },
      { "/ip4/192.0.2.1/tcp/1", "/ip6/2001:db8::1/tcp/1", "/ip4/198.51.100.1/tcp/1" },
      { "/ip4/192.0.2.1/tcp/1634", "/ip4/198.51.100.1/tcp/1634" } },
    { "in IPv6 too",
      false,
      { "/ip6/::/tcp/1634" },
      { "/ip4/192.0.2.1/tcp/1", "/ip6/2001:db8::1/tcp/1" },
      { "/ip6/2001:db8::1/tcp/1634" } },
    { "private ones are left out",
      false,
      { "/ip4/0.0.0.0/tcp/1634" },
      { "/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.7/tcp/1", "/ip4/192.0.2.1/tcp/1" },
      { "/ip4/192.0.2.1/tcp/1634" } },
    { "unless they are wanted: then they come behind",
      true,
      { "/ip4/0.0.0.0/tcp/1634" },
      { "/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.7/tcp/1", "/ip4/192.0.2.1/tcp/1" },
      { "/ip4/192.0.2.1/tcp/1634", "/ip4/10.0.0.7/tcp/1634", "/ip4/127.0.0.1/tcp/1634" } },
    { "link-local ones never",
      true,
      { "/ip4/0.0.0.0/tcp/1634", "/ip6/::/tcp/1634" },
      { "/ip4/169.254.1.1/tcp/1", "/ip6/fe80::1/tcp/1", "/ip6/::1/tcp/1" },
      { "/ip6/::1/tcp/1634", "/ip4/0.0.0.0/tcp/1634" } },
    { "a wildcard that stands for nothing is shown as it is",
      false,
      { "/ip4/0.0.0.0/tcp/1634" },
      { "/ip4/10.0.0.7/tcp/1" },
      { "/ip4/0.0.0.0/tcp/1634" } },
    { "two of one kind have a port each",
      false,
      { "/ip4/0.0.0.0/tcp/1", "/ip4/192.0.2.1/tcp/3", "/ip4/0.0.0.0/tcp/2" },
      { "/ip4/192.0.2.1/tcp/9" },
      { "/ip4/192.0.2.1/tcp/3", "/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/2" } },
    { "one address on two interfaces is one",
      false,
      { "/ip4/0.0.0.0/tcp/1" },
      { "/ip4/192.0.2.1/tcp/9", "/ip4/192.0.2.1/tcp/9" },
      { "/ip4/192.0.2.1/tcp/1" } },
};

static uint32_t addresses(struct host_address *out, const char *const *texts, size_t max)
{
    uint32_t n = 0;
    for (; n < max && texts[n]; n++)
        out[n] = address(texts[n]);
    return n;
}

TEST(a_wildcard_stands_for_the_addresses_of_the_machine)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct host_address bound[4], machine[6], want[7];
        struct host_interfaces all = { machine, addresses(machine, cases[i].machine, 6) };
        struct reached_from from = { bound, addresses(bound, cases[i].bound, 4),
                                     cases[i].allow_private, &all };
        struct reached got, wanted = { .count = addresses(want, cases[i].want, 7) };
        memcpy(wanted.list, want, wanted.count * sizeof(want[0]));
        check(reached_make(&got, &from), "read");
        check(reached_equal(&got, &wanted), cases[i].why);
    }
}

TEST(the_list_has_room_for_the_most_useful_ones)
{
    static struct host_address machine[40];
    struct host_address bound[] = { address("/ip4/0.0.0.0/tcp/1634"), address("/ip6/::/tcp/1634") };
    for (size_t i = 0; i < ARRAY_SIZE(machine); i++) {
        machine[i] = address("/ip4/172.17.0.1/tcp/1");
        machine[i].ip[3] = (uint8_t)i;
    }
    machine[38] = address("/ip4/192.0.2.1/tcp/1");
    machine[39] = address("/ip6/2001:db8::1/tcp/1");
    const struct host_interfaces all = { machine, ARRAY_SIZE(machine) };
    const struct reached_from from = { bound, 2, true, &all };
    struct reached got;
    check(reached_make(&got, &from), "read");
    check(got.count == LIMIT_P2P_LISTENERS, "full");
    check(!memcmp(got.list[0].ip, machine[38].ip, 4), "the public one first");
    check(got.list[1].ip6 && !memcmp(got.list[1].ip, machine[39].ip, 16), "in IPv6 too");
    check(got.list[2].ip[0] == 172, "then as many private ones as fit");
}

TEST(the_machine_of_the_test_has_a_loopback)
{
    const struct host_address bound = address("/ip4/0.0.0.0/tcp/1634");
    const struct host_address want = address("/ip4/127.0.0.1/tcp/1634");
    const struct reached_from from = { &bound, 1, true, NULL };
    struct reached got;
    bool found = false;
    check(reached_make(&got, &from), "read");
    for (uint32_t i = 0; i < got.count; i++)
        found |= !memcmp(got.list[i].ip, want.ip, sizeof(want.ip)) && got.list[i].port == 1634;
    check(found || got.count == LIMIT_P2P_LISTENERS, "which is found");
}
