/* lib/net/resolve.h
 *
 * Names in multiaddrs: /dns, /dns4, /dns6 by A and AAAA, /dnsaddr by TXT, whose answers may be
 * names again. c-ares on the loop: no worker thread is lost to a name.
 * Owns:   the c-ares channel, made at the first look-up; look-ups under way.
 * Memory: the owner of the host: an estimate for the channel and for each query, which c-ares
 *         allocates itself.
 * Thread: loop only. Errors: ERR_NOT_FOUND, ERR_TIMEOUT, ERR_LIMIT, ERR_BUDGET, ERR_UNREACHABLE,
 *         ERR_MALFORMED (no name in it), ERR_CANCELED.
 */
#ifndef LARDER_NET_RESOLVE_H
#define LARDER_NET_RESOLVE_H

#include "codec/multiaddr.h"
#include "core/loop.h"

struct host;
struct lookup;
struct resolver;

struct host_resolve;
typedef void host_resolve_cb(struct host_resolve *req, const struct error *err);
struct host_resolve {
    struct bytes multiaddr; /* in: a name, maybe with /p2p; borrowed until cb */
    /* in: (ip4 | ip6) tcp [p2p], as often as there are any, before cb and never inside the call.
     * When multiaddr ends in /p2p/ID so do they; else they end as their text does. */
    void (*on_address)(struct host_resolve *req, struct bytes multiaddr);
    host_resolve_cb *cb; /* in: err NULL: at least one came */
    uint32_t count;      /* out */
    struct lookup *lookup_;
    struct host *host_;
    struct deferred deferred_;
    struct error result_;
};
void host_resolve(struct host *h, struct host_resolve *req);
void host_resolve_cancel(struct host_resolve *req); /* cb still comes, with ERR_CANCELED */

/* host.c: a host has one. servers: "192.0.2.1:53,…"; NULL: those of the system. */
struct resolver *resolver_create(struct host *h, const char *servers);
void resolver_close(struct resolver *r);   /* ends every look-up with ERR_CANCELED */
void resolver_destroy(struct resolver *r); /* after its sockets are closed; NULL is fine */

/* The multiaddr in a TXT record "dnsaddr=/…". False: it holds none. */
bool dnsaddr_parse(struct bytes txt, struct writer *out) WARN_UNUSED;

#endif
