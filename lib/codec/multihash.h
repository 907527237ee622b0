/* lib/codec/multihash.h
 *
 * A hash that says which function made it: uvarint code, uvarint length, digest.
 * https://github.com/multiformats/multihash; codes from multicodec's table.csv.
 * Ownership: a parsed multihash borrows its bytes. Thread: any.
 */
#ifndef LARDER_CODEC_MULTIHASH_H
#define LARDER_CODEC_MULTIHASH_H

#include "base/bytes.h"

enum multihash_code {
    MULTIHASH_IDENTITY = 0x00,
    MULTIHASH_SHA2_256 = 0x12,
    MULTIHASH_SHA2_512 = 0x13,
    MULTIHASH_KECCAK_256 = 0x1b,
    MULTIHASH_BLAKE3 = 0x1e,
    MULTIHASH_BLAKE2B_256 = 0xb220,
};

enum { MULTIHASH_BYTES_MAX = 9 + 2 + LIMIT_MULTIHASH_DIGEST_BYTES };

struct multihash {
    uint64_t code; /* may be one we do not know */
    struct bytes digest;
    struct bytes whole; /* code, length and digest */
};

/* Takes one off the front of r. Fails r with ERR_MALFORMED (cut short, a digest below 20 bytes
 * that is not an identity, a known code with another length) or ERR_TOO_LARGE. */
struct multihash multihash_read(struct reader *r);
/* The whole of b is one multihash. */
enum err multihash_parse(struct bytes b, struct multihash *out, struct error *err);
void multihash_put(struct writer *w, uint64_t code, struct bytes digest);

#endif
