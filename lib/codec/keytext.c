#include "codec/keytext.h"

#include "base/hex.h"
#include "codec/multibase.h"

static bool from_hex(const char *text, size_t size, uint8_t *buf, struct multihash *out)
{
    size_t n = 0;
    return !hex_decode(text, size, buf, CID_BYTES_MAX, &n, NULL) &&
           !multihash_parse(bytes_of(buf, n), out, NULL);
}

enum err key_from_text(const char *text, size_t size, uint8_t buf[CID_BYTES_MAX],
                       struct bytes *multihash, struct error *err)
{
    struct cid c;
    struct multihash mh;
    size_t n = 0;
    if (!cid_from_text(text, size, buf, &c, NULL))
        mh = c.hash;
    else if (!from_hex(text, size, buf, &mh) &&
             (multibase_decode(text, size, buf, CID_BYTES_MAX, &n, NULL) ||
              multihash_parse(bytes_of(buf, n), &mh, NULL)))
        return error_set(err, ERR_MALFORMED, "neither a CID nor a multihash in hex or multibase");
    if (!LIMIT_CHECK(KEYSTORE_HASH_BYTES, mh.whole.size))
        return error_set(err, ERR_TOO_LARGE, "a multihash of %zu bytes: servers take %d at most",
                         mh.whole.size, (int)LIMIT_KEYSTORE_HASH_BYTES);
    *multihash = mh.whole;
    return ERR_OK;
}

char *key_to_text(struct bytes multihash, char out[CID_TEXT_MAX])
{
    struct cid c = { .version = 1, .codec = CID_CODEC_RAW };
    c.hash.whole = multihash;
    return cid_to_text(&c, out);
}
