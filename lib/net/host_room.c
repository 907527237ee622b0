#include "net/host_room.h"

#include "base/mem.h"
#include "net/host_state.h"

/* One connection has a block each way and its queues: a larger pool than all can fill is no more. A
 * window that is longer than others is granted out of what is free, and so is in no plan. */
uint64_t host_room_held(const struct host_options *o)
{
    const uint64_t most = LIMIT_P2P_CONNECTIONS + LIMIT_P2P_DIALS;
    return MIN(o->rx_bytes_max, most * o->connection_rx_bytes_max) +
           MIN(o->rx_pool_bytes, most * CONN_BLOCK_BYTES) +
           MIN(o->tx_pool_bytes, most * CONN_BLOCK_BYTES);
}

uint64_t host_room_bytes(uint32_t connections, uint64_t held_bytes)
{
    return ((uint64_t)connections + LIMIT_P2P_DIALS) * LIMIT_P2P_CONNECTION_BYTES +
           (uint64_t)LIMIT_P2P_STREAMS_IN * LIMIT_P2P_STREAM_BYTES +
           (uint64_t)LIMIT_P2P_HALF_OPEN * LIMIT_P2P_HALF_OPEN_BYTES + HOST_READ_BYTES + held_bytes;
}

void host_options_fill(struct host_options *o)
{
    const uint64_t share = o->mem->share_bytes, ceiling = o->mem->ceiling_bytes;
    if (o->connection_rx_bytes_max == 0)
        o->connection_rx_bytes_max = LIMIT_P2P_CONNECTION_RX_BYTES;
    o->rx_bytes_max = o->rx_bytes_max ? o->rx_bytes_max : share * 3 / 10;
    o->rx_pool_bytes = MAX(o->rx_pool_bytes ? o->rx_pool_bytes : share / 10, 2 * CONN_BLOCK_BYTES);
    o->tx_pool_bytes = MAX(o->tx_pool_bytes ? o->tx_pool_bytes : share / 10, 2 * CONN_BLOCK_BYTES);
    if (o->connections_max > 0)
        return;
    uint64_t without = host_room_bytes(0, host_room_held(o));
    uint64_t room = ceiling > without ? (ceiling - without) / LIMIT_P2P_CONNECTION_BYTES : 0;
    o->connections_max = (uint32_t)MAX(MIN(room, (uint64_t)LIMIT_P2P_CONNECTIONS), 1);
}
