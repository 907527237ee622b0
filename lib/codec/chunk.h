/* lib/codec/chunk.h
 *
 * What a Swarm chunk is on the wire and on disk, and when it is valid:
 *   content-addressed  span[8, LE] || payload[0..4096]; its address is the BMT address
 *   single-owner       id[32] || signature[65] || span[8, LE] || payload; its address is H(id ||
 * owner), the signature is over H(id || BMT address of span || payload) Source: the Book of Swarm
 * §2.2; bee's pkg/cac and pkg/soc. Unlike bee's pullsync we compare the address of a single-owner
 * chunk. Ownership: everything borrows from the data. Thread: any (a full chunk takes 10 to 70 us,
 * a recovery as much again). Errors: ERR_MALFORMED (too short), ERR_TOO_LARGE, ERR_BAD_PROOF (not
 * what the address says).
 */
#ifndef LARDER_CODEC_CHUNK_H
#define LARDER_CODEC_CHUNK_H

#include "codec/bmt.h"
#include "codec/sig.h"

enum {
    CHUNK_ADDRESS_BYTES = BMT_ADDRESS_BYTES,
    CHUNK_ID_BYTES = 32,
    CHUNK_SOC_HEAD_BYTES = CHUNK_ID_BYTES + SIG_BYTES,
    CHUNK_SOC_BYTES_MIN = CHUNK_SOC_HEAD_BYTES + BMT_SPAN_BYTES,
};

enum chunk_kind { CHUNK_CONTENT, CHUNK_SINGLE_OWNER };

/* data = span || payload. */
enum err chunk_content_address(uint8_t out[CHUNK_ADDRESS_BYTES], struct bytes data,
                               struct error *err);

struct chunk_soc {
    const uint8_t *id, *signature;
    struct bytes wrapped; /* span || payload */
};
enum err chunk_soc_parse(struct chunk_soc *out, struct bytes data, struct error *err);

/* What the signature says: owner and address. Also applies the rule for replicas: the owner whose
 * key everybody knows may only wrap chunks that its ids name. */
struct chunk_soc_proof {
    uint8_t owner[SIG_ETH_ADDRESS_BYTES];
    uint8_t wrapped_address[CHUNK_ADDRESS_BYTES];
    uint8_t address[CHUNK_ADDRESS_BYTES];
};
enum err chunk_soc_prove(struct chunk_soc_proof *out, const struct chunk_soc *soc,
                         struct error *err);

/* Is data the chunk of this address? Content first, since nearly all are. kind is set on success.
 */
enum err chunk_check(enum chunk_kind *kind, const uint8_t address[CHUNK_ADDRESS_BYTES],
                     struct bytes data, struct error *err);

#endif
