#include "unit.h"

#include <string.h>
#include <sys/resource.h>

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

TEST(every_stream_may_send_a_window)
{
    struct error err = { ERR_OK, "" };
    static const char *const at[] = { "/ip4/127.0.0.1/tcp/0" };
    defaults();
    config.p2p_addr = (struct option_list){ at, 1 };
    config.p2p_stream_window = 1 * MiB;
    config.p2p_rx_max = 1 * MiB;
    check(!plan_values_check(&config, &err), err.text);
    config.p2p_rx_max--;
    check(plan_values_check(&config, &err) == ERR_CONFIG, "less than one of them");
    check(strstr(err.text, "p2p-rx-max"), err.text);
    config.p2p_rx_max = 0;
    check(!plan_values_check(&config, &err), "0 is the share");
    config.p2p_conn_rx_max = config.p2p_stream_window - 1;
    check(plan_values_check(&config, &err) == ERR_CONFIG, "less of a connection than of a stream");
    check(strstr(err.text, "p2p-conn-rx-max"), err.text);
}
