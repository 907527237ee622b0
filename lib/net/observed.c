#include "net/observed.h"

#include "core/loop.h"
#include "net/host_state.h"

static void network_of(const struct host_address *a, uint8_t out[5])
{
    memset(out, 0, 5);
    out[0] = a->ip6;
    memcpy(out + 1, a->ip, a->ip6 ? 4 : 2);
}

static bool same_ip(const struct host_address *a, const struct host_address *b)
{
    return a->ip6 == b->ip6 && !memcmp(a->ip, b->ip, sizeof(a->ip));
}

static bool is_old(const struct observed_word *w, uint64_t now_ms)
{
    return now_ms - w->at_ms > LIMIT_P2P_OBSERVED_MS;
}

static uint32_t networks_of(const struct observed *o, const struct host_address *seen,
                            uint64_t now_ms)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->count; i++)
        n += !is_old(&o->words[i], now_ms) && same_ip(&o->words[i].seen, seen);
    return n;
}

/* That of the network, else a free one, else the oldest. */
static struct observed_word *word_for(struct observed *o, const uint8_t network[5])
{
    struct observed_word *oldest = o->words;
    for (uint32_t i = 0; i < o->count; i++) {
        struct observed_word *w = &o->words[i];
        if (!memcmp(w->network, network, sizeof(w->network)))
            return w;
        if (w->at_ms < oldest->at_ms)
            oldest = w;
    }
    return LIMIT_CHECK(P2P_OBSERVERS, o->count + 1) ? &o->words[o->count++] : oldest;
}

bool observed_add(struct observed *o, const struct host_address *by,
                  const struct host_address *seen, uint64_t now_ms)
{
    struct observed_word word = { .seen = { .ip6 = seen->ip6 }, .at_ms = now_ms };
    memcpy(word.seen.ip, seen->ip, seen->ip6 ? 16 : 4);
    network_of(by, word.network);
    uint32_t before = networks_of(o, &word.seen, now_ms);
    *word_for(o, word.network) = word;
    return before < LIMIT_P2P_OBSERVED_NETWORKS &&
           networks_of(o, &word.seen, now_ms) >= LIMIT_P2P_OBSERVED_NETWORKS;
}

size_t observed_list(const struct observed *o, uint64_t now_ms, struct host_observed *out,
                     size_t max)
{
    size_t n = 0;
    for (uint32_t i = 0; i < o->count; i++) {
        const struct observed_word *w = &o->words[i];
        size_t at = 0;
        while (at < n && !same_ip(&out[at].address, &w->seen))
            at++;
        if (at < n || is_old(w, now_ms))
            continue;
        struct host_observed one = { w->seen, networks_of(o, &w->seen, now_ms) };
        while (at > 0 && out[at - 1].networks < one.networks)
            at--;
        if (at == max)
            continue;
        n = MIN(n + 1, max);
        memmove(out + at + 1, out + at, (n - 1 - at) * sizeof(*out));
        out[at] = one;
    }
    return n;
}

size_t host_observed(const struct host *h, struct host_observed *out, size_t max)
{
    return observed_list(&h->observed, loop_now_ms(h->loop), out, max);
}

void host_conn_observed(struct conn *c, struct bytes multiaddr)
{
    struct host *h = c->host;
    struct multiaddr_target t;
    if (!multiaddr_target(multiaddr, &t) || (t.host != MULTIADDR_IP4 && t.host != MULTIADDR_IP6))
        return;
    struct host_address seen = { .ip6 = t.host == MULTIADDR_IP6 };
    memcpy(seen.ip, t.value.data, t.value.size);
    if (!h->options.allow_private && address_is_private(&seen))
        return; /* true in its network, and of no use elsewhere */
    if (!observed_add(&h->observed, &c->address, &seen, loop_now_ms(h->loop)))
        return;
    for (struct list *at = h->watchers.next, *next; at != &h->watchers; at = next) {
        struct host_watch *w = container_of(at, struct host_watch, link_);
        next = at->next;
        if (w->on_observed)
            w->on_observed(w->ctx, &seen);
    }
}
