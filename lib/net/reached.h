/* lib/net/reached.h
 *
 * Where we are reached. A listener at 0.0.0.0 or :: hears at every address of the machine, which
 * means nothing to a peer: in its place stand the addresses of the interfaces.
 * Owns:   nothing; plain values.
 * Thread: any. Asks the kernel: 40 to 80 us with five addresses, 1.1 ms with a thousand.
 * Errors: false when the interfaces cannot be read, as without a descriptor to ask with; then a
 *         wildcard stays as it is.
 */
#ifndef LARDER_NET_REACHED_H
#define LARDER_NET_REACHED_H

#include "base/bytes.h"
#include "net/host_options.h"

struct reached {
    struct host_address list[LIMIT_P2P_LISTENERS]; /* bound one by one, then public, private,
                                                      loopback; a wildcard that stands for none */
    uint32_t count;
};

struct reached_from {
    const struct host_address *bound; /* what listeners are bound to */
    uint32_t bound_count;
    bool allow_private;                    /* else private addresses of the machine are no use */
    const struct host_interfaces *machine; /* NULL: those of the system */
};
bool reached_make(struct reached *out, const struct reached_from *from);
bool reached_equal(const struct reached *a, const struct reached *b);

/* Is this address one that peers are told? */
bool address_is_told(const struct host_address *a, bool allow_private);
bool multiaddr_is_told(struct bytes multiaddr, bool allow_private); /* a name is */

bool address_is_loopback(const struct host_address *a);
/* Private ranges, loopback, and what is no address of one machine in the public network. */
bool address_is_private(const struct host_address *a);
bool address_is_wildcard(const struct host_address *a);

#endif
