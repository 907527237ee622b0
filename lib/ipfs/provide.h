/* lib/ipfs/provide.h
 *
 * One key, now: a look-up of its nearest servers, then a record to each of them, and each is asked
 * back. For `larder provide` and for regions of one or two keys.
 * Owns:   its look-up and requests; the struct is large (150 KiB), its caller's and charged by
 * them. Thread: loop only. cb comes exactly once, never from inside provide_start. Errors: those of
 * a look-up; ERR_UNREACHABLE: no server took the record.
 */
#ifndef LARDER_IPFS_PROVIDE_H
#define LARDER_IPFS_PROVIDE_H

#include "ipfs/lookup.h"

struct provide;
typedef void provide_cb(struct provide *p, const struct error *err);

struct provide_holder {
    struct peer_id id;
    bool sent, confirmed;
};
struct provide {
    uint8_t key[LIMIT_KEYSTORE_HASH_BYTES];
    uint8_t key_size;                  /* in: a multihash */
    const struct kad_record *record;   /* in */
    provide_cb *cb;                    /* in */
    uint32_t servers, sent, confirmed; /* out */
    uint32_t
        unasked; /* out: of the nearest, those that got nothing for want of something of ours */
    struct provide_holder holders[KAD_K]; /* out */
    struct dht *dht_;
    struct lookup lookup_;
    struct provide_query {
        struct dht_query query;
        struct provide *provide;
        struct provide_holder *holder;
    } queries_[KAD_K];
    uint32_t waiting_;
    bool canceled_;
};
void provide_start(struct dht *d, struct provide *p);
void provide_cancel(struct provide *p);

#endif
