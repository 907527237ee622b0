/* lib/ipfs/lookup.h
 *
 * One search for the servers nearest to a place: iterative, KAD_ALPHA requests at a time, until the
 * KAD_BETA nearest have answered; then everybody among the nearest KAD_K is asked, so that all of
 * them are known to be alive.
 * Owns:   its candidates; the struct is large (60 KiB) and its caller's, charged by them.
 * Thread: loop only. cb comes exactly once, never from inside lookup_start.
 * Errors: ERR_UNREACHABLE: the routing table is empty; ERR_CANCELED. A search that ran out of time
 *         ends with what it has, and so does one that could not ask everybody: see unasked.
 */
#ifndef LARDER_IPFS_LOOKUP_H
#define LARDER_IPFS_LOOKUP_H

#include "ipfs/dht.h"

enum lookup_state {
    LOOKUP_HEARD,
    LOOKUP_WAITING,
    LOOKUP_ANSWERED,
    LOOKUP_UNREACHABLE,
    LOOKUP_UNASKED, /* for want of something of ours: it may live */
};
struct lookup_peer {
    struct kad_peer peer;
    enum lookup_state state;
};

struct lookup;
typedef void lookup_cb(struct lookup *l, const struct error *err);
typedef void lookup_provider_cb(struct lookup *l, const struct kad_peer *provider);

struct lookup {
    enum kad_type type; /* in: KAD_FIND_NODE or KAD_GET_PROVIDERS */
    uint8_t key[LIMIT_KEYSTORE_HASH_BYTES];
    uint8_t key_size;                /* in: what is asked for; the target is its sha256 */
    lookup_cb *cb;                   /* in */
    void *owner;                     /* in: the caller's, when it does not embed the struct */
    lookup_provider_cb *on_provider; /* in: KAD_GET_PROVIDERS */
    uint8_t target[KAD_BYTES];       /* out */
    uint32_t unasked; /* out: of the KAD_K nearest that may live; 0: who answered is all there is */
    struct dht *dht_;
    struct lookup_peer peers_[LIMIT_LOOKUP_PEERS];
    uint16_t order_[LIMIT_LOOKUP_PEERS]; /* by distance */
    uint32_t count_, waiting_, requests;
    struct lookup_query {
        struct dht_query query;
        struct lookup *lookup;
        uint32_t slot;
    } queries_[KAD_K];
    struct timer timer_;
    struct deferred later_;
    bool following_, canceled_, running_;
};
void lookup_start(struct dht *d, struct lookup *l);
void lookup_cancel(
    struct lookup *l); /* cb still comes, with ERR_CANCELED; no-op when not running */

/* The i-th nearest that was heard of, dead ones too; NULL: there are no more. */
const struct lookup_peer *lookup_heard(const struct lookup *l, uint32_t i);
/* The i-th nearest that answered. */
const struct kad_peer *lookup_found(const struct lookup *l, uint32_t i);

#endif
