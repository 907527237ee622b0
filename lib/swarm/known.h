/* lib/swarm/known.h
 *
 * Peers we have heard of: verified records from handshakes and from gossip, the nearest first in
 * worth, since others need not be dialed. Bounded: a nearer one takes the place of the farthest.
 * Owns:   the records. Memory: LIMIT_KNOWN_PEERS * 0.5 KiB at most, charged to the owner given.
 * Thread: loop only.
 */
#ifndef LARDER_SWARM_KNOWN_H
#define LARDER_SWARM_KNOWN_H

#include "codec/overlay.h"
#include "codec/peerid.h"

struct known;
struct mem_owner;

enum { KNOWN_ADDRESS_BYTES = 320 };

struct known_peer {
    struct peer_id id;
    uint8_t overlay[OVERLAY_BYTES];
    uint8_t proximity;
    int64_t timestamp_s; /* of its record */
    uint16_t address_bytes;
    uint8_t addresses[KNOWN_ADDRESS_BYTES]; /* for overlay_underlays_parse; those we can dial */
};

enum known_outcome {
    KNOWN_KEPT,
    KNOWN_OLD,     /* no newer than what we have */
    KNOWN_FULL,    /* nothing farther could go */
    KNOWN_USELESS, /* no address that we could dial, or our own */
    KNOWN_INVALID, /* said by hive.c: it does not verify */
    KNOWN_OUTCOMES
};

enum err known_create(struct known **out, struct mem_owner *mem,
                      const uint8_t overlay[OVERLAY_BYTES], struct error *err);
void known_destroy(struct known *k); /* NULL is fine */

/* Before a record is verified: would it be kept? newer_by_s: how much newer it must be than the one
 * we have. */
enum known_outcome known_wants(const struct known *k, const struct overlay_record *rec,
                               int64_t newer_by_s);
/* A record that was verified. Sizes are as overlay_record_check demands. */
enum known_outcome known_learn(struct known *k, const struct overlay_record *rec);
void known_forget(struct known *k, const uint8_t overlay[OVERLAY_BYTES]);   /* no-op when absent */
void known_postpone(struct known *k, const uint8_t overlay[OVERLAY_BYTES]); /* to the end of all */

int64_t known_timestamp(const struct known *k, const uint8_t overlay[OVERLAY_BYTES]); /* or 0 */
uint32_t known_count(const struct known *k);
const struct known_peer *known_at(const struct known *k,
                                  uint32_t i); /* i < count; postponed ones last */

/* Does the address end in /p2p/ and this id? */
bool underlay_names(struct bytes address, const struct peer_id *id);

#endif
