/* lib/net/observed.h
 *
 * Where peers see us, by what their identify says. A network (IPv4 /16, IPv6 /32) has one voice,
 * its newest word, so nobody who holds one network makes an address known; when several agree,
 * people are given a hint. Never announced by itself. Ports are left out: of connections that we
 * make they are chance.
 *
 * Owns:   nothing: a field of the host, zeroed at first; of fixed size, the oldest word gives way.
 * Thread: loop only.
 */
#ifndef LARDER_NET_OBSERVED_H
#define LARDER_NET_OBSERVED_H

#include "net/host.h"

struct observed {
    uint32_t count;
    struct observed_word {
        uint8_t network[5];
        struct host_address seen; /* without its port */
        uint64_t at_ms;
    } words[LIMIT_P2P_OBSERVERS];
};

/* A peer at `by` says it sees us at `seen`. True: with this word enough networks agree on it. */
bool observed_add(struct observed *o, const struct host_address *by,
                  const struct host_address *seen, uint64_t now_ms);

struct host_observed {
    struct host_address address;
    uint32_t networks; /* that agree on it */
};
/* What is said, the most networks first. Returns how many of at most max. */
size_t observed_list(const struct observed *o, uint64_t now_ms, struct host_observed *out,
                     size_t max);

enum { HOST_OBSERVED_MAX = LIMIT_P2P_OBSERVERS };
size_t host_observed(const struct host *h, struct host_observed *out, size_t max);

#endif
