/* The two pools of blocks, for records under way in and out: who gets how much, who waits, who has
 * to go. Three quarters of a pool are given away by whole blocks. The last is for small ones: so
 * peers that fill all they can get, and take nothing, leave room for those who say a few words. */
#include "base/mem.h"
#include "net/host_state.h"

enum {
    SMALL_OUT_BYTES = 4 * KiB, /* of plaintext about as much: a dozen answers */
    SMALL_IN_BYTES = 4 * KiB,  /* read at a time */
    STEP_1_BYTES = 4 * KiB,    /* what a kept record may take */
    STEP_2_BYTES = 16 * KiB,
};

static bool pool_has(uint64_t used, uint64_t more, uint64_t pool, bool small)
{
    return used + more <= (small ? pool : pool / 4 * 3);
}

/* Out. */

bool conn_block_get(struct conn *c)
{
    struct host *h = c->host;
    uint64_t pool = h->options.tx_pool_bytes;
    if (c->block_)
        return true;
    uint32_t room = pool_has(h->tx_pool_used, CONN_BLOCK_BYTES, pool, false) ? CONN_BLOCK_BYTES
                    : pool_has(h->tx_pool_used, SMALL_OUT_BYTES, pool, true) ? SMALL_OUT_BYTES
                                                                             : 0;
    if (room > 0)
        c->block_ = mem_try_alloc(h->mem, room);
    if (!c->block_) {
        if (!list_linked(&c->starved_))
            list_append(&h->starved, &c->starved_);
        conn_relieve(h);
        return false;
    }
    c->block_room_ = room;
    h->tx_pool_used += room;
    if (list_linked(&c->starved_))
        list_remove(&c->starved_);
    return true;
}

void conn_block_pass(struct host *h)
{
    if (!pool_has(h->tx_pool_used, SMALL_OUT_BYTES, h->options.tx_pool_bytes, true))
        return;
    struct list *next = list_pop(&h->starved);
    if (next)
        conn_flush_soon(container_of(next, struct conn, starved_));
}

void conn_block_free(struct conn *c)
{
    if (!c->block_)
        return;
    mem_free(c->host->mem, c->block_);
    c->block_ = NULL;
    c->block_plain_ = c->block_sealed_ = 0;
    c->host->tx_pool_used -= c->block_room_;
    conn_block_pass(c->host);
}

/* In. */

size_t conn_read_room(const struct host *h)
{
    uint64_t pool = h->options.rx_pool_bytes;
    if (pool_has(h->rx_pool_used, CONN_BLOCK_BYTES, pool, false))
        return HOST_READ_BYTES;
    return pool_has(h->rx_pool_used, STEP_2_BYTES, pool, true) ? SMALL_IN_BYTES : 0;
}

/* All that a record needs once a quarter is there: a few bytes cannot hold the room of many. */
static uint32_t partial_size(size_t need, size_t have)
{
    size_t size = MIN(need, 4 * have);
    return size <= STEP_1_BYTES   ? STEP_1_BYTES
           : size <= STEP_2_BYTES ? STEP_2_BYTES
                                  : CONN_BLOCK_BYTES;
}

bool conn_partial_grow(struct conn *c, size_t need, size_t have)
{
    struct host *h = c->host;
    uint32_t room = MAX(partial_size(need, have), c->partial_room_);
    uint32_t more = room - c->partial_room_;
    if (!pool_has(h->rx_pool_used, more, h->options.rx_pool_bytes, true))
        return false;
    uint8_t *p = mem_try_realloc(h->mem, c->partial_, room);
    if (!p)
        return false;
    c->partial_ = p;
    c->partial_room_ = room;
    h->rx_pool_used += more;
    return true;
}

/* Who waits is read again, and waits again when the room is gone by then. All of them, since most
 * take none of it. */
void conn_partial_give(struct host *h, uint32_t bytes)
{
    h->rx_pool_used -= bytes;
    while (bytes > 0 && conn_read_room(h) > 0 && !list_empty(&h->thirsty))
        conn_read_again(container_of(list_pop(&h->thirsty), struct conn, thirsty_));
}

/* Relief. */

/* Since when it holds a block of the pool that somebody waits for; UINT64_MAX: it holds none. */
static uint64_t holds_since(const struct conn *c, bool reading)
{
    if (c->unwanted_) /* goes anyway */
        return UINT64_MAX;
    if (reading)
        return c->partial_ ? c->partial_since_ms_ : UINT64_MAX;
    return c->writing_ ? c->write_started_ms_ : UINT64_MAX;
}

static void relieve(struct host *h, bool reading)
{
    uint64_t oldest = loop_now_ms(h->loop) - LIMIT_P2P_BLOCK_HELD_MS;
    struct conn *slowest = NULL;
    for (struct list *at = h->conns.next; at != &h->conns; at = at->next) {
        struct conn *c = container_of(at, struct conn, link_);
        uint64_t since = holds_since(c, reading);
        if (since <= oldest) {
            oldest = since;
            slowest = c;
        }
    }
    if (slowest)
        conn_close_soon(slowest);
}

void conn_relieve(struct host *h)
{
    if (!list_empty(&h->starved))
        relieve(h, false);
    if (!list_empty(&h->thirsty))
        relieve(h, true);
}
