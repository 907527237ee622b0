#include "base/bytes.h"

void reader_fail(struct reader *r, enum err code)
{
    assert(code != ERR_OK);
    if (!r->failed)
        r->failed = code;
}

struct bytes reader_take(struct reader *r, uint64_t size)
{
    if (r->failed || size > (uint64_t)(r->end - r->at)) {
        reader_fail(r, ERR_MALFORMED);
        return (struct bytes){ NULL, 0 };
    }
    struct bytes taken = { r->at, (size_t)size };
    r->at += size;
    return taken;
}

#define READER_INT(name, type, decode)                                                             \
    type name(struct reader *r)                                                                    \
    {                                                                                              \
        struct bytes b = reader_take(r, sizeof(type));                                             \
        return b.data ? decode(b.data) : 0;                                                        \
    }
#define DECODE_U8(p) (*(p))
READER_INT(reader_u8, uint8_t, DECODE_U8)
READER_INT(reader_be16, uint16_t, be16_decode)
READER_INT(reader_be32, uint32_t, be32_decode)
READER_INT(reader_be64, uint64_t, be64_decode)
READER_INT(reader_le32, uint32_t, le32_decode)
READER_INT(reader_le64, uint64_t, le64_decode)

void reader_copy(struct reader *r, void *out, size_t size)
{
    struct bytes b = reader_take(r, size);
    if (b.data)
        memcpy(out, b.data, size);
    else
        memset(out, 0, size);
}

enum err reader_finish(const struct reader *r, const char *what, struct error *err)
{
    if (r->failed)
        return error_set(err, r->failed, "%s: %s", what,
                         r->failed == ERR_MALFORMED ? "cut short or malformed"
                                                    : err_text(r->failed));
    if (r->at != r->end)
        return error_set(err, ERR_MALFORMED, "%s: %zu bytes too many", what,
                         (size_t)(r->end - r->at));
    return ERR_OK;
}

void *writer_reserve(struct writer *w, size_t size)
{
    if (w->overflow || size > (size_t)(w->end - w->at)) {
        w->overflow = true;
        return NULL;
    }
    void *at = w->at;
    w->at += size;
    return at;
}

void writer_put(struct writer *w, const void *data, size_t size)
{
    void *at = writer_reserve(w, size);
    if (at && size > 0)
        memcpy(at, data, size);
}

#define WRITER_INT(name, type, encode)                                                             \
    void name(struct writer *w, type v)                                                            \
    {                                                                                              \
        void *at = writer_reserve(w, sizeof(type));                                                \
        if (at)                                                                                    \
            encode(at, v);                                                                         \
    }
#define ENCODE_U8(p, v) (*(uint8_t *)(p) = (v))
WRITER_INT(writer_u8, uint8_t, ENCODE_U8)
WRITER_INT(writer_be16, uint16_t, be16_encode)
WRITER_INT(writer_be32, uint32_t, be32_encode)
WRITER_INT(writer_be64, uint64_t, be64_encode)
WRITER_INT(writer_le32, uint32_t, le32_encode)
WRITER_INT(writer_le64, uint64_t, le64_encode)
