/* lib/codec/keytext.h
 *
 * A key to provide as people write it: a CID in any form, or a bare multihash in hex or multibase.
 * Thread: any. Nothing is allocated.
 */
#ifndef LARDER_CODEC_KEYTEXT_H
#define LARDER_CODEC_KEYTEXT_H

#include "codec/cid.h"

/* The multihash, over buf. ERR_MALFORMED; ERR_TOO_LARGE when servers would refuse its record. */
enum err key_from_text(const char *text, size_t size, uint8_t buf[CID_BYTES_MAX],
                       struct bytes *multihash, struct error *err);
/* As a CIDv1 with codec raw in base32, which any IPFS program reads. Returns out. */
char *key_to_text(struct bytes multihash, char out[CID_TEXT_MAX]);

#endif
