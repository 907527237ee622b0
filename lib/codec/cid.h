/* lib/codec/cid.h
 *
 * Content identifiers: https://github.com/multiformats/cid. Version 0 is a bare sha2-256 multihash
 * whose codec is dag-pb by definition; version 1 is uvarint 1, uvarint codec, multihash. Both forms
 * of one multihash name the same block, so indexes are keyed by multihash.
 * Ownership: a parsed cid borrows its bytes. Thread: any.
 */
#ifndef LARDER_CODEC_CID_H
#define LARDER_CODEC_CID_H

#include "codec/multihash.h"

enum cid_codec {
    CID_CODEC_RAW = 0x55,
    CID_CODEC_DAG_PB = 0x70,
    CID_CODEC_DAG_CBOR = 0x71,
    CID_CODEC_LIBP2P_KEY = 0x72,
};

enum {
    CID_BYTES_MAX = 1 + 9 + MULTIHASH_BYTES_MAX,
    CID_TEXT_MAX = 1 + (CID_BYTES_MAX * 8 + 4) / 5 + 1, /* base32 with prefix and NUL */
};

struct cid {
    uint8_t version; /* 0 or 1 */
    uint64_t codec;  /* may be one we do not know */
    struct multihash hash;
    struct bytes whole; /* as it came */
};

/* Takes one off the front of r, as in an archive's section. Fails r with ERR_MALFORMED,
 * ERR_TOO_LARGE or, for another version, ERR_UNSUPPORTED. */
struct cid cid_read(struct reader *r);
enum err cid_parse(struct bytes b, struct cid *out, struct error *err); /* the whole of b */
void cid_put(struct writer *w, const struct cid *c);                    /* by its version */

/* Reads Qm… or any multibase form of version 1 into buf, which *out then borrows. */
enum err cid_from_text(const char *text, size_t text_size, uint8_t buf[CID_BYTES_MAX],
                       struct cid *out, struct error *err);
/* Version 0 in base58btc, version 1 in base32: the forms peers print. Returns out. */
char *cid_to_text(const struct cid *c, char out[CID_TEXT_MAX]);

#endif
