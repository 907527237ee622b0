/* lib/base/varint.h
 *
 * Two readers, because the two formats differ: multiformats' uvarint (at most 9 bytes, 63 bits,
 * shortest form only; https://github.com/multiformats/unsigned-varint) and protobuf's varint (up to
 * 10 bytes, any form, 64 bits).
 * Thread: any.
 */
#ifndef LARDER_BASE_VARINT_H
#define LARDER_BASE_VARINT_H

#include "base/bytes.h"

enum { UVARINT_BYTES_MAX = 9, PBVARINT_BYTES_MAX = 10 };

/* For streams, where the rest may still come: the number of bytes read (1..9); 0 when more are
 * needed; negative when it can never become valid. */
int uvarint_peek(struct bytes b, uint64_t *out);

uint64_t reader_uvarint(struct reader *r); /* fails the reader: cut short, too long, not shortest */
uint64_t reader_pbvarint(struct reader *r); /* fails the reader: cut short, above 64 bits */

void writer_uvarint(struct writer *w, uint64_t v); /* v < 2^63 */
void writer_pbvarint(struct writer *w, uint64_t v);
size_t uvarint_size(uint64_t v);

#endif
