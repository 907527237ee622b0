/* lib/swarm/connector.h
 *
 * Whom we call: the peers of the configuration and its bootnodes, for as long as it takes, and
 * neighbours we have heard of, up to LIMIT_SWARM_NEIGHBOURS, others too while there are few peers.
 * Dials, shakes hands, and tries again
 * with a back-off that doubles and has jitter when either fails or a peer leaves soon.
 * Owns:   the contacts. Memory: about 1 KiB each, charged to the owner given.
 * Thread: loop only.
 * Errors: ERR_BUDGET, ERR_LIMIT (more addresses than LIMIT_SWARM_CONTACTS).
 */
#ifndef LARDER_SWARM_CONNECTOR_H
#define LARDER_SWARM_CONNECTOR_H

#include "swarm/handshake.h"

struct connector;

enum contact_kind {
    CONTACT_CONFIGURED, /* kept connected to */
    CONTACT_BOOTNODE,   /* called while there are fewer than LIMIT_SWARM_PEERS_FEW peers */
    CONTACT_KNOWN,      /* somebody told us of it */
};

struct connector_options { /* borrowed pointers outlive the connector */
    struct loop *loop;
    struct mem_owner *mem;
    struct governor *governor; /* from its trigger on nobody is called; NULL: none */
    struct host *host;
    struct topology *topology;
    struct known *known;
    struct handshake *handshake;
    const struct peer_id *own;
    uint8_t (*radius)(void *ctx); /* peers at least that near are neighbours */
    void *ctx;
};
enum err connector_create(struct connector **out, const struct connector_options *o,
                          struct error *err);
/* Calls begin on the next turn. An address that is here already is kept as it is. */
enum err connector_add(struct connector *c, struct bytes multiaddr, enum contact_kind kind,
                       struct error *err);
/* Around the addresses of a new configuration: those not added in between are dropped; their
 * connections stay. */
void connector_reload_begin(struct connector *c);
void connector_reload_end(struct connector *c);
void connector_look(struct connector *c); /* something has changed: a record, a peer, the radius */
/* No calls any more; done is called once, later, when nothing is under way. */
void connector_stop(struct connector *c, void (*done)(void *ctx), void *ctx);
void connector_destroy(struct connector *c); /* stopped, or never used; NULL is fine */

struct connector_status {
    uint32_t contacts, calling, failing; /* failing: waits after a failure */
};
void connector_status(const struct connector *c, struct connector_status *out);

#endif
