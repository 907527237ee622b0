/* Where peers see us: by networks, not by peers, and never more than the table holds. */
#include "host_bed.h"

#include "core/loop.h"
#include "core/metrics.h"
#include "net/host_state.h"

static struct host_address ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    return (struct host_address){ .ip = { a, b, c, d }, .port = (uint16_t)(1000 + d) };
}

static struct host_address ip6(uint8_t second, uint8_t fifth)
{
    return (struct host_address){ .ip6 = true, .ip = { 0x20, 0x01, 0, second, fifth } };
}

static const struct host_address us = { .ip = { 203, 0, 113, 7 }, .port = 4001 };

static const struct {
    const char *why;
    struct host_address by[4];
    uint32_t networks;
} cases[] = {
    { "four networks",
      { { .ip = { 1, 1 } }, { .ip = { 1, 2 } }, { .ip = { 2, 1 } }, { .ip = { 3 } } },
      4 },
    { "one /16 has one voice",
      { { .ip = { 1, 1, 1 } }, { .ip = { 1, 1, 2 } }, { .ip = { 1, 1, 3 } }, { .ip = { 3 } } },
      2 },
    { "an IPv6 /32 too",
      { { .ip6 = true, .ip = { 32, 1, 0, 1, 9 } },
        { .ip6 = true, .ip = { 32, 1, 0, 1, 8 } },
        { .ip6 = true, .ip = { 32, 1, 0, 2 } },
        { .ip = { 32, 1 } } },
      3 },
};

TEST(networks_that_agree)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct observed o = { 0 };
        struct host_observed out[2];
        int known = 0;
        for (size_t k = 0; k < ARRAY_SIZE(cases[i].by); k++)
            known += observed_add(&o, &cases[i].by[k], &us, 1000);
        check(observed_list(&o, 1000, out, 2) == 1, "one address");
        check(out[0].networks == cases[i].networks, cases[i].why);
        check(known == (cases[i].networks >= LIMIT_P2P_OBSERVED_NETWORKS), cases[i].why);
    }
}

TEST(the_newest_word_counts_for_a_day)
{
    struct observed o = { 0 };
    struct host_observed out[4];
    struct host_address old = ip4(198, 51, 100, 1), at = us;
    for (uint8_t i = 0; i < 4; i++) {
        struct host_address by = ip4(i, 0, 0, i);
        check(observed_add(&o, &by, &old, 1000) == (i == 3), "the fourth makes it known");
    }
    for (uint8_t i = 0; i < 3; i++) {
        struct host_address by = ip4(i, 0, 0, 9);
        at.port++; /* is chance */
        check(!observed_add(&o, &by, &at, 2000), "three are too few");
    }
    check(observed_list(&o, 2000, out, 4) == 2, "two addresses");
    check(out[0].networks == 3 && out[0].address.ip[3] == 7, "the most first");
    check(out[1].networks == 1 && out[1].address.ip[3] == 1, "those who moved on count once");
    check(observed_list(&o, 2000, out, 1) == 1 && out[0].networks == 3, "as many as there is room");
    check(observed_list(&o, 1001 + LIMIT_P2P_OBSERVED_MS, out, 4) == 1, "a day later");
    check(observed_list(&o, 2001 + LIMIT_P2P_OBSERVED_MS, out, 4) == 0, "and later");
}

TEST(a_flood_of_networks)
{
    struct observed o = { 0 };
    struct host_observed out[HOST_OBSERVED_MAX];
    uint64_t hits = limit_hits(LIMIT_ID_P2P_OBSERVERS);
    for (uint32_t i = 0; i < 3 * LIMIT_P2P_OBSERVERS; i++) {
        struct host_address by = ip6((uint8_t)i, 0), seen = ip4(9, 9, 9, (uint8_t)i);
        check(!observed_add(&o, &by, &seen, 1000 + i), "each says another");
    }
    check(limit_hits(LIMIT_ID_P2P_OBSERVERS) == hits + 2 * LIMIT_P2P_OBSERVERS, "met");
    size_t n = observed_list(&o, 2000, out, HOST_OBSERVED_MAX);
    check(n == LIMIT_P2P_OBSERVERS, "a table of fixed size");
    for (size_t i = 0; i < n; i++)
        check(out[i].address.ip[3] >= 2 * LIMIT_P2P_OBSERVERS, "the newest are kept");
}

/* Four dialers, each said to be in a network of its own. */

static struct {
    struct hosts bed;
    struct host_watch watch;
    uint8_t networks;
    int known, identified;
    struct host_address at;
} run;

static void on_open(void *ctx UNUSED, const struct peer_id *peer, bool inbound UNUSED)
{
    host_conn_to(run.bed.hosts[0], peer)->address.ip[1] = ++run.networks;
}
static void on_identified(void *ctx UNUSED, const struct peer_id *peer UNUSED)
{
    run.identified++;
    loop_stop(run.bed.loop);
}
static void on_observed(void *ctx UNUSED, const struct host_address *at)
{
    run.known++;
    run.at = *at;
}

TEST(identify_says_where_we_are_seen)
{
    static struct hosts_dial d;
    uint8_t buf[64];
    memset(&run, 0, sizeof(run));
    hosts_make(&run.bed, 5, &(struct host_options){ .allow_private = true });
    struct bytes at = hosts_listen(&run.bed, 0, "/ip4/127.0.0.1/tcp/0", buf);
    struct host *h = run.bed.hosts[0];
    run.watch = (struct host_watch){ .on_open = on_open,
                                     .on_identified = on_identified,
                                     .on_observed = on_observed };
    host_watch(h, &run.watch);
    for (int i = 1; i <= 4; i++) {
        check(run.known == 0, "not yet");
        check(hosts_dial(&run.bed, i, &d, NULL, at) == ERR_OK, d.text);
        while (run.identified < i)
            hosts_run(&run.bed, "identify");
    }
    static const struct host_address loopback = { .ip = { 127, 0, 0, 1 } };
    check(run.known == 1 && !memcmp(&run.at, &loopback, sizeof(loopback)), "where they dialed");
    host_metrics(h);
    check(metric_get(METRIC_p2p_observed_networks) == 4, "shown");
    hosts_end(&run.bed);
}

TEST(a_private_address_is_of_no_use_elsewhere)
{
    static struct conn c;
    static struct host h;
    uint8_t buf[64];
    hosts_make(&run.bed, 1, &(struct host_options){ .allow_private = false });
    h = *run.bed.hosts[0];
    list_init(&h.watchers);
    c.host = &h;
    struct host_observed out;
    host_conn_observed(&c, hosts_multiaddr("/ip4/10.1.1.1/tcp/9", buf, sizeof(buf)));
    host_conn_observed(&c, hosts_multiaddr("/dns4/a.example/tcp/9", buf, sizeof(buf)));
    host_conn_observed(&c, hosts_multiaddr("/ip4/203.0.113.7/udp/9", buf, sizeof(buf)));
    host_conn_observed(&c, bytes_of("\x04", 1));
    check(host_observed(&h, &out, 1) == 0, "none of these");
    host_conn_observed(&c, hosts_multiaddr("/ip4/203.0.113.7/tcp/9", buf, sizeof(buf)));
    check(host_observed(&h, &out, 1) == 1 && out.networks == 1, "a public one");
    hosts_end(&run.bed);
}
