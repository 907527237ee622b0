/* lib/swarm/record.h
 *
 * Our own signed record: which overlay is reached at which addresses. Made once, and again when the
 * addresses change; its time never goes back, over restarts too, because a bee refuses a record
 * older than the one it has stored. What is stored is the time and a digest of what was signed.
 * Ownership: a plain struct of its user's; the identity is borrowed. Thread: loop only.
 * Errors: ERR_LIMIT (the addresses take more than LIMIT_UNDERLAYS_BYTES), ERR_CORRUPT.
 */
#ifndef LARDER_SWARM_RECORD_H
#define LARDER_SWARM_RECORD_H

#include "codec/peerid.h"
#include "swarm/identity.h"

enum { RECORD_STORED_BYTES = 8 + 32 };

struct record_identity { /* constant; the first is borrowed */
    const struct swarm_identity *swarm;
    bool full_node;
    const char *welcome; /* at most LIMIT_SWARM_WELCOME_BYTES */
    struct peer_id peer; /* the libp2p one */
};

struct own_record {
    const struct record_identity *identity;
    int64_t timestamp_s;
    size_t underlays_bytes; /* 0: we tell no address of ours, and each handshake finds one */
    uint8_t underlays[LIMIT_UNDERLAYS_BYTES];
    uint8_t signature[SIG_BYTES];
};

/* addresses: ours, each with our peer id behind it. stored: what record_stored once gave, or
 * nothing. *changed: a new one was made, which must be stored before anybody sees it. */
struct record_wish {
    const struct overlay_underlays *addresses;
    struct bytes stored;
    int64_t now_s;
};
enum err own_record_make(struct own_record *r, const struct record_identity *identity,
                         const struct record_wish *wish, bool *changed, struct error *err);
void own_record_stored(const struct own_record *r, uint8_t out[RECORD_STORED_BYTES]);

/* The record as it goes to one peer: with our addresses or, when we tell none, with the one under
 * which the peer sees us; signature is where it may be made. */
void own_record_fill(const struct own_record *r, struct bytes seen_as, uint8_t signature[SIG_BYTES],
                     struct overlay_record *out);

#endif
