/* CIDs, multihashes and multibase texts: what is read is written back and read again the same. */
#include "codec/cid.h"
#include "codec/multibase.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct cid *c)
{
    char text[CID_TEXT_MAX];
    uint8_t buf[CID_BYTES_MAX];
    struct cid again;
    cid_to_text(c, text);
    enum err rc = cid_from_text(text, strlen(text), buf, &again, NULL);
    assert(!rc && again.version == c->version && again.codec == c->codec);
    assert(bytes_equal(again.hash.whole, c->hash.whole));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cid c;
    struct multihash mh;
    uint8_t buf[CID_BYTES_MAX];
    if (!cid_parse(bytes_of(data, size), &c, NULL))
        round_trip(&c);
    if (!cid_from_text((const char *)data, size, buf, &c, NULL))
        round_trip(&c);
    err_ignore(multihash_parse(bytes_of(data, size), &mh, NULL));
    uint8_t out[LIMIT_MULTIBASE_TEXT_CHARS], again[LIMIT_MULTIBASE_TEXT_CHARS];
    char text[4 * LIMIT_MULTIBASE_TEXT_CHARS];
    size_t n = 0, m = 0;
    if (multibase_decode((const char *)data, size, out, sizeof(out), &n, NULL) == ERR_OK &&
        !multibase_encode((enum multibase)data[0], bytes_of(out, n), text, sizeof(text), NULL) &&
        strlen(text) <= LIMIT_MULTIBASE_TEXT_CHARS) {
        enum err rc = multibase_decode(text, strlen(text), again, sizeof(again), &m, NULL);
        assert(!rc && n == m && !memcmp(out, again, n));
    }
    return 0;
}
