#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "net/host_room.h"
#include "node/p2p_room.h"
#include "node/plan.h"

static struct config config;

static const struct config *defaults(void)
{
    struct option_target t = config_target(&config, NULL);
    option_set_defaults(&t);
    return &config;
}

TEST(the_defaults_fit_the_least_memory)
{
    struct mem_row rows[PLAN_OWNERS_MAX];
    uint32_t count = plan_memory_rows(defaults(), rows);
    struct mem_plan *plan = NULL;
    struct error err = { ERR_OK, "" };
    check(!mem_plan_create(&plan, config_rows[OPTION_ID_memory].min, rows, count, &err), err.text);
    check(!mem_plan_check(plan, &err), err.text);
    mem_plan_destroy(plan);
}

TEST(too_little_memory_is_refused_with_the_amount)
{
    struct mem_row rows[PLAN_OWNERS_MAX];
    uint32_t count = plan_memory_rows(defaults(), rows);
    struct mem_plan *plan = NULL;
    struct error err = { ERR_OK, "" };
    uint64_t needed = 0;
    check(!mem_plan_create(&plan, 64 * MiB, rows, count, &err), err.text);
    needed = mem_plan_needed_bytes(plan);
    mem_plan_destroy(plan);
    check(!mem_plan_create(&plan, needed - 3 * MiB, rows, count, &err), err.text);
    check(mem_plan_check(plan, &err) == ERR_CONFIG, "3 MiB are missing");
    check(strstr(err.text, "3.00 MiB more than the setting"), err.text);
    mem_plan_destroy(plan);
}

TEST(descriptors_are_the_sum_of_their_rows)
{
    struct plan_descriptors_row row;
    uint64_t sum = 0;
    uint32_t i = 0;
    for (; plan_descriptors_row(defaults(), i, &row); i++) {
        check(row.name[0] && row.sentence[0], "a row says for what");
        sum += row.count;
    }
    check(i > 0 && sum == plan_descriptors_needed(&config), "the sum");
}

TEST(the_limit_of_descriptors_is_raised_or_said_to_be_too_low)
{
    struct rlimit before, now;
    struct error err = { ERR_OK, "" };
    check(getrlimit(RLIMIT_NOFILE, &before) == 0, "the limit as it is");
    now = before;
    now.rlim_cur = 64;
    check(setrlimit(RLIMIT_NOFILE, &now) == 0, "a low one");
    check(!plan_descriptors_raise(64, &err), err.text);
    check(!plan_descriptors_raise(100, &err), err.text);
    check(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == 100, "raised to what is needed");
    check(!plan_descriptors_raise(80, &err), err.text);
    check(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == 100, "and never lowered");
    check(before.rlim_max == RLIM_INFINITY ||
              plan_descriptors_raise(before.rlim_max + 1, &err) == ERR_SYSTEM,
          "more than the system allows");
    check(setrlimit(RLIMIT_NOFILE, &before) == 0, "as it was");
}

/* What is wrong with config, as lines. */
static const char *wrong(void)
{
    static struct option_report report;
    option_report_begin(&report);
    plan_values_check(&config, &report);
    option_report_end(&report);
    return report.text;
}

TEST(every_stream_may_send_a_window)
{
    static const char *const at[] = { "/ip4/127.0.0.1/tcp/0" };
    static const char less[] = ": less than p2p-stream-window, which every stream may send\n";
    char want[128];
    defaults();
    config.p2p_addr = (struct option_list){ at, 1 };
    config.p2p_stream_window = 1 * MiB;
    config.p2p_rx_max = 1 * MiB;
    check(!wrong()[0], "as much as one of them");
    config.p2p_rx_max--;
    snprintf(want, sizeof(want), "p2p-rx-max%s", less);
    check(!strcmp(wrong(), want), "less than one of them");
    config.p2p_rx_max = 0;
    check(!wrong()[0], "0 is the share");
    config.p2p_conn_rx_max = config.p2p_stream_window - 1;
    snprintf(want, sizeof(want), "p2p-conn-rx-max%s", less);
    check(!strcmp(wrong(), want), "less of a connection than of a stream");
}

/* What config runs with and hardly means, as lines. */
static const char *hardly_meant(void)
{
    static struct option_report report;
    option_report_begin(&report);
    p2p_room_advise(&config, &report);
    option_report_end(&report);
    return report.text;
}

/* However much this machine leaves of the setting. */
static void rx_max_for(uint32_t connections)
{
    struct mem_owner peers;
    struct host_options o = { .connections_max = 0 };
    check(plan_memory_owner(&config, "p2p", &peers), "there is a host");
    config.p2p_conn_rx_max = 64 * MiB;
    config.p2p_rx_max = 0;
    p2p_limits(&config, &peers, &o);
    host_options_fill(&o);
    config.p2p_rx_max =
        peers.ceiling_bytes - host_room_bytes(connections, host_room_held(&o)) + o.rx_bytes_max;
}

TEST(what_peers_may_hold_leaves_room_for_connections)
{
    static const char *const at[] = { "/ip4/127.0.0.1/tcp/0" };
    char want[64];
    defaults();
    config.p2p_addr = (struct option_list){ at, 1 };
    check(!wrong()[0] && !hardly_meant()[0], hardly_meant());
    rx_max_for(LIMIT_P2P_CONNECTIONS);
    check(!wrong()[0], wrong());
    check(strstr(hardly_meant(), "p2p-rx-max: peers may hold ") &&
              strstr(hardly_meant(), " more than their share"),
          hardly_meant());
    rx_max_for(LIMIT_P2P_CONNECTIONS_MIN);
    check(!wrong()[0], wrong());
    snprintf(want, sizeof(want), "p2p-rx-max: %u and not %d connections have room",
             LIMIT_P2P_CONNECTIONS_MIN, LIMIT_P2P_CONNECTIONS);
    check(!strncmp(hardly_meant(), want, strlen(want)), hardly_meant());
    config.p2p_rx_max += LIMIT_P2P_CONNECTION_BYTES;
    check(!strncmp(wrong(), "p2p-rx-max: connections have no room in the ", 44), wrong());
    check(!hardly_meant()[0], "it is said once");
    rx_max_for(LIMIT_P2P_CONNECTIONS_MIN);
    config.p2p_rx_pool = config.p2p_tx_pool = 1024 * GiB;
    config.p2p_rx_max = 0;
    check(!strstr(hardly_meant(), "no room"), hardly_meant());
    check(strstr(hardly_meant(), "p2p-conn-rx-max: one connection may take all of p2p-rx-max"),
          hardly_meant());
    config.p2p_addr.count = 0;
    check(!wrong()[0] && !hardly_meant()[0], "without a host nothing");
}

TEST(whatever_is_wrong_is_said)
{
    static const char *const peers[] = { "/nonsense", "/ip4/192.0.2.1/tcp/1", "192.0.2.1" };
    static const char *const starts[] = { "swarm-key: /does/not/exist", "nonce: ", "batches: /nor",
                                          "peers: /nonsense", "peers: 192.0.2.1" };
    defaults();
    config.swarm = true;
    config.swarm_key = "/does/not/exist";
    config.nonce = "12";
    config.batches = "/nor/this";
    config.peers = (struct option_list){ peers, ARRAY_SIZE(peers) };
    const char *line = wrong();
    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        check(!strncmp(line, starts[i], strlen(starts[i])), starts[i]);
        line += strcspn(line, "\n") + 1;
    }
    check(!line[0], "no line more");
}
