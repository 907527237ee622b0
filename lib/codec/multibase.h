/* lib/codec/multibase.h
 *
 * Bytes as text: https://github.com/multiformats/multibase, and base58btc without its prefix, as
 * peer ids and CIDv0 have it. Text of more than LIMIT_MULTIBASE_TEXT_CHARS is refused unread.
 * Thread: any. Nothing is allocated.
 */
#ifndef LARDER_CODEC_MULTIBASE_H
#define LARDER_CODEC_MULTIBASE_H

#include "base/bytes.h"

enum multibase { /* the value is the prefix */
                 MULTIBASE_BASE16 = 'f',
                 MULTIBASE_BASE16_UPPER = 'F',
                 MULTIBASE_BASE32 = 'b', /* RFC 4648, lower case, no padding */
                 MULTIBASE_BASE32_UPPER = 'B',
                 MULTIBASE_BASE36 = 'k',
                 MULTIBASE_BASE58BTC = 'z',
                 MULTIBASE_BASE64 = 'm', /* no padding */
                 MULTIBASE_BASE64URL = 'u',
};

/* Prefix and text into out, with a NUL. ERR_TOO_LARGE when it does not fit. */
enum err multibase_encode(enum multibase base, struct bytes in, char *out, size_t out_size,
                          struct error *err);

/* Reads text with a prefix. ERR_MALFORMED: unknown prefix, a character outside the alphabet, bits
 * left over; ERR_TOO_LARGE: the text, or what it decodes to. Case is ignored where the alphabet has
 * one case only, as go does. */
enum err multibase_decode(const char *text, size_t text_size, uint8_t *out, size_t out_size,
                          size_t *size, struct error *err);

/* The same without a prefix. */
enum err base58_encode(struct bytes in, char *out, size_t out_size, struct error *err);
enum err base58_decode(const char *text, size_t text_size, uint8_t *out, size_t out_size,
                       size_t *size, struct error *err);

#endif
