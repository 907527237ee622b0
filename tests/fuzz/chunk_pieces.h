/* tests/fuzz/chunk_pieces.h
 *
 * Input of the fuzz targets that walk over chunks: pieces of u16 (big endian) length and that many
 * bytes, the first one the root. A random address leads nowhere, so 32 aligned bytes behind the
 * span that begin with 'R' and the number of a later piece stand for that piece's address.
 */
#ifndef LARDER_TESTS_FUZZ_CHUNK_PIECES_H
#define LARDER_TESTS_FUZZ_CHUNK_PIECES_H

#include "codec/chunk.h"

enum { PIECES_MAX = 32 };

struct chunk_pieces {
    uint8_t data[PIECES_MAX][LIMIT_CHUNK_CONTENT_BYTES];
    uint8_t address[PIECES_MAX][CHUNK_ADDRESS_BYTES];
    size_t size[PIECES_MAX], count;
};

static inline void chunk_pieces_parse(struct chunk_pieces *p, struct bytes in)
{
    struct reader r = reader_of(in);
    p->count = 0;
    while (reader_left(&r) > 2 && p->count < PIECES_MAX) {
        struct bytes b = reader_take(&r, reader_be16(&r) % (LIMIT_CHUNK_CONTENT_BYTES + 1));
        if (r.failed || b.size < BMT_SPAN_BYTES)
            break;
        memcpy(p->data[p->count], b.data, b.size);
        p->size[p->count++] = b.size;
    }
    for (size_t i = p->count; i-- > 0;) {
        for (size_t at = BMT_SPAN_BYTES; at + 32 <= p->size[i]; at += 32) {
            uint8_t to = p->data[i][at + 1];
            if (p->data[i][at] == 'R' && to > i && to < p->count)
                memcpy(p->data[i] + at, p->address[to], CHUNK_ADDRESS_BYTES);
        }
        err_ignore(chunk_content_address(p->address[i], bytes_of(p->data[i], p->size[i]), NULL));
    }
}

static inline struct bytes chunk_pieces_find(const struct chunk_pieces *p, const uint8_t *address)
{
    for (size_t i = 0; i < p->count; i++)
        if (!memcmp(p->address[i], address, CHUNK_ADDRESS_BYTES))
            return bytes_of(p->data[i], p->size[i]);
    return bytes_of(NULL, 0);
}

#endif
