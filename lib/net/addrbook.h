/* lib/net/addrbook.h
 *
 * Where peers were said to be, and which peers are wanted. Addresses age by who said so: our own
 * configuration is believed for ever, a peer about itself for an hour after it was last here, one
 * peer about another for half an hour.
 * Owns:   a bounded number of peers, each with a bounded number of addresses and bytes; the peer
 *         used longest ago gives way, one with a tag never does.
 * Memory: the owner of the host; refusals only mean that something is not remembered.
 * Thread: loop only.
 */
#ifndef LARDER_NET_ADDRBOOK_H
#define LARDER_NET_ADDRBOOK_H

#include "codec/peerid.h"

struct addrbook;
struct loop;
struct mem_owner;

enum host_source { HOST_TOLD, HOST_IDENTIFIED, HOST_CONFIGURED }; /* the later, the surer */

enum err addrbook_create(struct addrbook **out, struct loop *loop, struct mem_owner *mem,
                         struct error *err);
void addrbook_destroy(struct addrbook *b); /* NULL is fine */

/* multiaddr is copied, without /p2p at its end. */
void addrbook_learn(struct addrbook *b, const struct peer_id *peer, struct bytes multiaddr,
                    enum host_source source);
/* The peer was here until now: what it said about itself is fresh. */
void addrbook_seen(struct addrbook *b, const struct peer_id *peer);
/* Every address that is still believed, the surest first. Nothing may be learned meanwhile. */
void addrbook_each(struct addrbook *b, const struct peer_id *peer,
                   void (*each)(void *ctx, struct bytes multiaddr), void *ctx);
/* Bits of enum host_tag. False: the book has no room for it. */
bool addrbook_tag(struct addrbook *b, const struct peer_id *peer, uint32_t bits, bool on);
uint32_t addrbook_tags(const struct addrbook *b, const struct peer_id *peer);
uint32_t addrbook_count(const struct addrbook *b); /* peers */

#endif
