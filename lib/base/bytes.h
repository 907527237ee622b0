/* lib/base/bytes.h
 *
 * Borrowed byte ranges, fixed-width integers, and two cursors over buffers that remember their
 * first failure: after it a reader yields zeros and a writer drops what it is given, so that one
 * check at the end replaces an if after every field.
 * Ownership: nothing here owns memory. Thread: any.
 */
#ifndef LARDER_BASE_BYTES_H
#define LARDER_BASE_BYTES_H

#include <string.h>

#include "base/error.h"

struct bytes { /* a borrowed range */
    const uint8_t *data;
    size_t size;
};

static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){ (const uint8_t *)data, size };
}
static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

#define BYTES_CODER(bits, order, swap)                                                             \
    static inline uint##bits##_t order##bits##_decode(const void *in)                              \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, in, sizeof(v));                                                                 \
        return swap(v);                                                                            \
    }                                                                                              \
    static inline void order##bits##_encode(void *out, uint##bits##_t v)                           \
    {                                                                                              \
        v = swap(v);                                                                               \
        memcpy(out, &v, sizeof(v));                                                                \
    }
#define BYTES_AS_IS(v) (v)
BYTES_CODER(16, be, __builtin_bswap16)
BYTES_CODER(32, be, __builtin_bswap32)
BYTES_CODER(64, be, __builtin_bswap64)
BYTES_CODER(16, le, BYTES_AS_IS)
BYTES_CODER(32, le, BYTES_AS_IS)
BYTES_CODER(64, le, BYTES_AS_IS)
#undef BYTES_CODER
#undef BYTES_AS_IS

/* Reading: every getter checks the rest; a short rest fails the reader with ERR_MALFORMED. */
struct reader {
    const uint8_t *at, *end;
    enum err failed; /* ERR_OK, or the first failure */
};

static inline struct reader reader_of(struct bytes b)
{
    /* Nothing at all may be {NULL, 0}, and C adds nothing to a null pointer, not even 0. */
    return (struct reader){ b.data, b.size > 0 ? b.data + b.size : b.data, ERR_OK };
}
static inline size_t reader_left(const struct reader *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->at);
}
void reader_fail(struct reader *r, enum err code);         /* keeps an earlier failure */
struct bytes reader_take(struct reader *r, uint64_t size); /* {NULL, 0} after a failure */
uint8_t reader_u8(struct reader *r);
uint16_t reader_be16(struct reader *r);
uint32_t reader_be32(struct reader *r);
uint64_t reader_be64(struct reader *r);
uint32_t reader_le32(struct reader *r);
uint64_t reader_le64(struct reader *r);
void reader_copy(struct reader *r, void *out, size_t size); /* zeros after a failure */
/* ERR_OK when nothing failed and nothing is left over; else the failure, with "what" in the text.
 */
enum err reader_finish(const struct reader *r, const char *what, struct error *err);

/* Writing into a fixed buffer; the first thing that does not fit fails the writer. */
struct writer {
    uint8_t *start, *at, *end;
    bool overflow;
};

static inline struct writer writer_of(void *buf, size_t size)
{
    uint8_t *start = (uint8_t *)buf;
    return (struct writer){ start, start, start + size, false };
}
static inline size_t writer_used(const struct writer *w)
{
    return (size_t)(w->at - w->start);
}
static inline size_t writer_left(const struct writer *w)
{
    return w->overflow ? 0 : (size_t)(w->end - w->at);
}
void *writer_reserve(struct writer *w, size_t size); /* NULL when it does not fit */
void writer_put(struct writer *w, const void *data, size_t size);
void writer_u8(struct writer *w, uint8_t v);
void writer_be16(struct writer *w, uint16_t v);
void writer_be32(struct writer *w, uint32_t v);
void writer_be64(struct writer *w, uint64_t v);
void writer_le32(struct writer *w, uint32_t v);
void writer_le64(struct writer *w, uint64_t v);

#endif
