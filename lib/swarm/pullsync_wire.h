/* lib/swarm/pullsync_wire.h
 *
 * The messages of /swarm/pullsync/1.4.0, without their lengths:
 *
 *     Ack      { repeated uint64 cursors = 1 (packed); uint64 epoch = 2; }
 *     Get      { int32 bin = 1; uint64 start = 2; }
 *     Chunk    { bytes address = 1; bytes batch = 2; bytes stamp_hash = 3; }
 *     Offer    { uint64 topmost = 1; repeated Chunk chunks = 2; }
 *     Want     { bytes bit_vector = 1; }
 *     Delivery { bytes address = 1; bytes data = 2; bytes stamp = 3; }
 *
 * Read field by field from the wire format: an offer and its deliveries are most of what a node
 * ever decodes. Any order of fields, unknown fields and unpacked numbers are accepted.
 * Ownership: decoded bytes borrow the message. Thread: any.
 * Errors: ERR_MALFORMED, ERR_LIMIT (more chunks or cursors than there may be), ERR_PROTOCOL.
 */
#ifndef LARDER_SWARM_PULLSYNC_WIRE_H
#define LARDER_SWARM_PULLSYNC_WIRE_H

#include "codec/wire.h"
#include "store/reserve.h"

enum {
    PULLSYNC_WANT_BYTES = LIMIT_RESERVE_PAGE_CHUNKS / 8, /* bits of the largest offer */
    PULLSYNC_ENTRY_BYTES = 104,                          /* one Chunk in an Offer, as we write it */
    PULLSYNC_TOPMOST_BYTES_MAX = 11,
    PULLSYNC_ACK_BYTES_MAX = 3 + 10 * RESERVE_BINS + 11,
    PULLSYNC_GET_BYTES_MAX = 2 * 11,
    /* A Delivery with its length: one message of the largest chunk. */
    PULLSYNC_DELIVERY_BYTES_MAX = 2 + (2 + 32) + (3 + LIMIT_CHUNK_BYTES) + (2 + STAMP_BYTES),
};

struct pullsync_ack {
    uint64_t cursors[RESERVE_BINS]; /* the highest BinID ever handed out; below UINT64_MAX */
    uint64_t epoch;                 /* BinIDs of another epoch mean nothing */
};
enum err pullsync_ack_decode(struct pullsync_ack *out, struct bytes message, struct error *err);
void pullsync_ack_encode(struct writer *w, const struct pullsync_ack *ack);

struct pullsync_get {
    uint8_t bin;
    uint64_t start; /* 0 on the wire is 1 here */
};
enum err pullsync_get_decode(struct pullsync_get *out, struct bytes message, struct error *err);
void pullsync_get_encode(struct writer *w, const struct pullsync_get *get);

/* ids has room for LIMIT_PULLSYNC_PAGE_CHUNKS. A chunk without an address has an address of zeros:
 * it is counted and never wanted. */
struct pullsync_offer {
    uint64_t topmost;
    uint32_t count;
    struct chunk_id *ids;
};
enum err pullsync_offer_decode(struct pullsync_offer *out, struct bytes message, struct error *err);
/* The front of an Offer of count chunks, with its length; the entries follow. */
void pullsync_offer_begin(struct writer *w, uint64_t topmost, uint32_t count);
void pullsync_offer_entry(uint8_t out[PULLSYNC_ENTRY_BYTES], const struct chunk_id *id);

/* bits: at least count of them, as chunks were offered; more are ignored. Clears what is beyond. */
enum err pullsync_want_decode(uint8_t bits[PULLSYNC_WANT_BYTES], uint32_t count,
                              struct bytes message, struct error *err);
/* As bee writes it: count / 8 + 1 bytes. */
void pullsync_want_encode(struct writer *w, const uint8_t *bits, uint32_t count);

struct pullsync_delivery {
    struct bytes address, data, stamp; /* all empty: the chunk is gone */
};
enum err pullsync_delivery_decode(struct pullsync_delivery *out, struct bytes message,
                                  struct error *err);
/* With its length. */
void pullsync_delivery_encode(struct writer *w, const struct pullsync_delivery *d);

static inline bool pullsync_bit(const uint8_t *bits, uint32_t i)
{
    return bits[i / 8] >> i % 8 & 1;
}
static inline void pullsync_bit_set(uint8_t *bits, uint32_t i)
{
    bits[i / 8] |= (uint8_t)(1u << i % 8);
}

#endif
