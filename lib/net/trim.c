/* What a host does every ten seconds: connections that nobody misses are closed, and peers are told
 * what has changed about us. */
#include "base/mem.h"
#include "core/metrics.h"
#include "net/host_state.h"

static bool is_idle(const struct conn *c)
{
    return c->state == CONN_OPEN && !c->draining && c->mux.streams_in + c->mux.streams_out == 0;
}

static void trim(struct conn *c)
{
    metric_add(METRIC_p2p_trimmed_total, 1);
    conn_drain(c, YAMUX_GO_AWAY_TRIMMED);
}

/* Who has the lesser id dialed it: one of the two ends says so of a connection, and so does the
 * other. */
static bool dialed_by_the_lesser(const struct conn *c)
{
    struct bytes us = peer_id_bytes(host_id(c->host)), them = peer_id_bytes(&c->remote);
    int order = memcmp(us.data, them.data, MIN(us.size, them.size));
    bool we_are = order != 0 ? order < 0 : us.size < them.size;
    return we_are != c->inbound;
}

/* Of several connections to one peer both sides must miss the same ones: if each kept its own, they
 * would close all. Kept is the oldest of those that the lesser dialed, else the oldest. */
static bool is_spare(struct host *h, const struct conn *c)
{
    bool older = true; /* while at stands before c */
    for (struct list *at = h->conns.next; at != &h->conns; at = at->next) {
        const struct conn *o = container_of(at, struct conn, link_);
        if (o == c)
            older = false;
        else if (o->state == CONN_OPEN && !o->draining && !o->unwanted_ &&
                 peer_id_equal(&o->remote, &c->remote) &&
                 (dialed_by_the_lesser(o) == dialed_by_the_lesser(c) ? older
                                                                     : dialed_by_the_lesser(o)))
            return true;
    }
    return false;
}

/* Both sides dialed: one of the two connections is enough once the other has been idle for long. */
static void duplicates(struct host *h, uint64_t now)
{
    for (struct list *at = h->conns.next, *next; at != &h->conns; at = next) {
        struct conn *c = container_of(at, struct conn, link_);
        next = at->next;
        if (is_idle(c) && now - c->used_ms >= LIMIT_P2P_DUPLICATE_MS && is_spare(h, c))
            trim(c);
    }
}

/* The idle one that was used longest ago, of those nobody wants. */
static struct conn *least_useful(struct host *h, uint64_t now)
{
    struct conn *best = NULL;
    for (struct list *at = h->conns.next; at != &h->conns; at = at->next) {
        struct conn *c = container_of(at, struct conn, link_);
        if (is_idle(c) && now - c->opened_ms >= LIMIT_P2P_TRIM_GRACE_MS &&
            (!best || c->used_ms < best->used_ms) && addrbook_tags(h->book, &c->remote) == 0)
            best = c;
    }
    return best;
}

void host_shrink(struct host *h, uint32_t connections)
{
    uint64_t now = loop_now_ms(h->loop);
    for (struct conn *c; connections > 0 && (c = least_useful(h, now)) != NULL; connections--)
        trim(c);
}

static void pushes(struct host *h)
{
    uint32_t most = h->conns_count * LIMIT_P2P_TRIM_MS / LIMIT_P2P_PUSH_SPREAD_MS + 1;
    for (struct list *at = h->conns.next; at != &h->conns && most > 0; at = at->next) {
        struct conn *c = container_of(at, struct conn, link_);
        if (c->state != CONN_OPEN || c->draining || !c->identified || c->told_version == h->version)
            continue;
        c->told_version = h->version;
        if (!(c->protocols >> PROTOCOL_identify_push & 1))
            continue; /* it does not want to know */
        identify_push(c);
        most--;
    }
}

void host_tick(struct timer *t)
{
    struct host *h = container_of(t, struct host, tick);
    uint64_t now = loop_now_ms(h->loop), max = h->options.connections_max;
    duplicates(h, now);
    uint64_t low = max * LIMIT_P2P_TRIM_LOW_PERCENT / 100;
    if (h->conns_count > max * LIMIT_P2P_TRIM_HIGH_PERCENT / 100)
        host_shrink(h, (uint32_t)(h->conns_count - low));
    host_reached_look(h, false);
    pushes(h);
    if (h->conns_count > 0 && !h->closing)
        timer_set(&h->tick, LIMIT_P2P_TRIM_MS);
}
