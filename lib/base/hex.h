/* lib/base/hex.h: bytes as lower-case hex text. Thread: any. */
#ifndef LARDER_BASE_HEX_H
#define LARDER_BASE_HEX_H

#include "base/bytes.h"

/* Writes 2 * b.size digits and a NUL; out has room for 2 * b.size + 1. Returns out. */
char *hex_encode(char *out, struct bytes b);

/* Reads exactly text_size / 2 bytes, upper or lower case. ERR_MALFORMED for an odd length or
 * another character; ERR_TOO_LARGE when out_size is exceeded. *size is set on success. */
enum err hex_decode(const char *text, size_t text_size, uint8_t *out, size_t out_size, size_t *size,
                    struct error *err);

#endif
