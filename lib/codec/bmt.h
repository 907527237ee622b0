/* lib/codec/bmt.h
 *
 * The address of a content-addressed Swarm chunk: the payload, padded with zeros to 4096 bytes, is
 * 128 leaves of 32 bytes; pairs are hashed seven times until one root is left; the address is
 * H(span || root), with the span in 8 bytes, least significant first.
 * Source: the Book of Swarm §2.2.2; bee's pkg/bmt.
 * Thread: any. Errors: none.
 */
#ifndef LARDER_CODEC_BMT_H
#define LARDER_CODEC_BMT_H

#include "codec/keccak.h"

enum {
    BMT_PAYLOAD_BYTES_MAX = 4096,
    BMT_SEGMENT_BYTES = 32,
    BMT_LEVELS = 7, /* 128 leaves */
    BMT_SPAN_BYTES = 8,
    BMT_ADDRESS_BYTES = 32,
    BMT_SIDE_MAX = 8,
};

/* payload.size <= BMT_PAYLOAD_BYTES_MAX is the caller's affair. The span is that of the whole
 * subtree and is not compared with the payload. */
void bmt_address(uint8_t out[BMT_ADDRESS_BYTES], uint64_t span, struct bytes payload);
/* Up to BMT_SIDE_MAX full chunks side by side, so that no lane idles near the root either: data[i]
 * is the span and 4096 bytes; the addresses are written one behind the other. */
void bmt_addresses(uint8_t *out, const uint8_t *const data[], size_t count);
/* The same with one engine, for tests and benchmarks. */
void bmt_address_with(enum keccak_engine engine, uint8_t out[BMT_ADDRESS_BYTES], uint64_t span,
                      struct bytes payload);

#endif
