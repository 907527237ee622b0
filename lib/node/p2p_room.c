#include "node/p2p_room.h"

#include <stdio.h>

#include "core/config.h"
#include "net/host_room.h"
#include "node/plan.h"

struct room {
    struct mem_owner owner; /* as this machine has it */
    struct host_options limits;
    uint32_t raised; /* the row that is most above what is there without it; 0: none is */
};

void p2p_limits(const struct config *c, struct mem_owner *mem, struct host_options *out)
{
    out->mem = mem;
    out->stream_window_bytes = (uint32_t)c->p2p_stream_window;
    out->connection_rx_bytes_max = (uint32_t)c->p2p_conn_rx_max;
    out->socket_buffer_bytes = (uint32_t)c->p2p_socket_buffer;
    out->rx_bytes_max = c->p2p_rx_max;
    out->rx_pool_bytes = c->p2p_rx_pool;
    out->tx_pool_bytes = c->p2p_tx_pool;
}

static bool room_make(const struct config *c, struct room *r)
{
    struct host_options usual;
    uint64_t most = 0;
    *r = (struct room){ .raised = 0 };
    if (!plan_memory_owner(c, "p2p", &r->owner))
        return false;
    usual = (struct host_options){ .mem = &r->owner };
    p2p_limits(c, &r->owner, &r->limits);
    host_options_fill(&usual);
    host_options_fill(&r->limits);
    const struct {
        uint32_t id;
        uint64_t bytes, usual;
    } rows[] = {
        { OPTION_ID_p2p_rx_max, r->limits.rx_bytes_max, usual.rx_bytes_max },
        { OPTION_ID_p2p_rx_pool, r->limits.rx_pool_bytes, usual.rx_pool_bytes },
        { OPTION_ID_p2p_tx_pool, r->limits.tx_pool_bytes, usual.tx_pool_bytes },
    };
    for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].bytes <= rows[i].usual + most)
            continue;
        most = rows[i].bytes - rows[i].usual;
        r->raised = rows[i].id;
    }
    return true;
}

/* All three, since each can give way to the others. */
static void say_sum(const struct config *c, const struct room *r, uint32_t connections,
                    const char *what, struct option_report *report)
{
    struct error err;
    uint64_t ceiling = r->owner.ceiling_bytes, bare = host_room_bytes(connections, 0);
    error_set(&err, ERR_CONFIG,
              "%s in the %s that peers may hold at most: p2p-rx-max, p2p-rx-pool and p2p-tx-pool "
              "come to %s together, and may come to %s",
              what, units_size_about(ceiling).text,
              units_size_about(host_room_held(&r->limits)).text,
              units_size_about(ceiling > bare ? ceiling - bare : 0).text);
    plan_value_wrong(c, r->raised, &err, report);
}

void p2p_room_check(const struct config *c, struct option_report *report)
{
    struct room r;
    if (room_make(c, &r) && r.raised && r.limits.connections_max < LIMIT_P2P_CONNECTIONS_MIN)
        say_sum(c, &r, LIMIT_P2P_CONNECTIONS_MIN, "connections have no room", report);
}

static void advise_on_sum(const struct config *c, const struct room *r,
                          struct option_report *report)
{
    struct error err;
    char what[80];
    uint32_t connections = r->limits.connections_max;
    uint64_t bytes = host_room_bytes(connections, host_room_held(&r->limits));
    uint64_t share = r->owner.share_bytes;
    if (connections < LIMIT_P2P_CONNECTIONS) {
        snprintf(what, sizeof(what), "%u and not %d connections have room", connections,
                 LIMIT_P2P_CONNECTIONS);
        say_sum(c, r, LIMIT_P2P_CONNECTIONS, what, report);
    } else if (bytes > share) {
        error_set(&err, ERR_CONFIG,
                  "peers may hold %s, which is %s more than their share of memory: they have the "
                  "rest while other parts leave it",
                  units_size_about(bytes).text, units_size_about(bytes - share).text);
        plan_value_wrong(c, r->raised, &err, report);
    }
}

void p2p_room_advise(const struct config *c, struct option_report *report)
{
    struct room r;
    struct error err;
    if (!room_make(c, &r))
        return;
    if (r.raised && r.limits.connections_max >= LIMIT_P2P_CONNECTIONS_MIN)
        advise_on_sum(c, &r, report);
    if (r.limits.connection_rx_bytes_max <= r.limits.rx_bytes_max)
        return;
    error_set(&err, ERR_CONFIG, "one connection may take all of p2p-rx-max, %s, from the others",
              units_size_about(r.limits.rx_bytes_max).text);
    plan_value_wrong(c, OPTION_ID_p2p_conn_rx_max, &err, report);
}
