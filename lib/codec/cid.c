#include "codec/cid.h"

#include "base/varint.h"
#include "codec/multibase.h"

enum { CID_V0_BYTES = 34, CID_V0_CHARS = 46 };

static bool starts_as_v0(struct bytes b)
{
    return b.size >= 2 && b.data[0] == MULTIHASH_SHA2_256 && b.data[1] == 32;
}

struct cid cid_read(struct reader *r)
{
    const uint8_t *start = r->at;
    struct cid c = { .version = 0, .codec = CID_CODEC_DAG_PB };
    if (!starts_as_v0(bytes_of(r->at, reader_left(r)))) {
        uint64_t version = reader_uvarint(r);
        if (!r->failed && version != 1)
            reader_fail(r, ERR_UNSUPPORTED);
        c.version = 1;
        c.codec = reader_uvarint(r);
    }
    c.hash = multihash_read(r);
    if (r->failed)
        return (struct cid){ 0 };
    c.whole = bytes_of(start, (size_t)(r->at - start));
    return c;
}

enum err cid_parse(struct bytes b, struct cid *out, struct error *err)
{
    struct reader r = reader_of(b);
    struct cid c = cid_read(&r);
    enum err rc = reader_finish(&r, "CID", err);
    if (!rc)
        *out = c;
    return rc;
}

void cid_put(struct writer *w, const struct cid *c)
{
    if (c->version == 1) {
        writer_uvarint(w, 1);
        writer_uvarint(w, c->codec);
    }
    writer_put(w, c->hash.whole.data, c->hash.whole.size);
}

enum err cid_from_text(const char *text, size_t text_size, uint8_t buf[CID_BYTES_MAX],
                       struct cid *out, struct error *err)
{
    size_t size = 0;
    bool v0 = text_size == CID_V0_CHARS && text[0] == 'Q' && text[1] == 'm';
    enum err rc = v0 ? base58_decode(text, text_size, buf, CID_BYTES_MAX, &size, err)
                     : multibase_decode(text, text_size, buf, CID_BYTES_MAX, &size, err);
    struct cid c;
    if (!rc)
        rc = cid_parse(bytes_of(buf, size), &c, err);
    if (rc)
        return error_wrap(err, rc, "CID");
    /* As go-cid: a multibase text never holds a version 0. */
    if ((c.version == 0) != v0)
        return error_set(err, ERR_MALFORMED, "CID: version 0 in the text form of version 1");
    *out = c;
    return ERR_OK;
}

char *cid_to_text(const struct cid *c, char out[CID_TEXT_MAX])
{
    uint8_t buf[CID_BYTES_MAX];
    struct writer w = writer_of(buf, sizeof(buf));
    cid_put(&w, c);
    assert(!w.overflow);
    struct bytes b = bytes_of(buf, writer_used(&w));
    enum err rc = c->version == 0 ? base58_encode(b, out, CID_TEXT_MAX, NULL)
                                  : multibase_encode(MULTIBASE_BASE32, b, out, CID_TEXT_MAX, NULL);
    assert(!rc); /* the sizes above leave room */
    return out;
}
