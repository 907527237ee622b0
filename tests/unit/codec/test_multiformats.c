#include "unit.h"
#include "vectors.h"

#include <stdlib.h>

#include "base/hex.h"
#include "base/varint.h"
#include "codec/cid.h"
#include "codec/multibase.h"

TEST(varints_are_multiformats_varints)
{
    yajl_val all = vector_get(vectors_load("libp2p-vectors.json"), "varint");
    for (size_t i = 0; i < vector_count(all); i++) {
        yajl_val v = vector_at(all, i);
        uint8_t buf[16], out[16];
        size_t size = vector_hex(v, "bytes", buf, sizeof(buf));
        uint64_t got = 0;
        int n = uvarint_peek(bytes_of(buf, size), &got);
        if (vector_find(v, "accepted")) { /* only those that are refused have it */
            bool cut = !strcmp(vector_text(v, "reason"), "cut short");
            check(cut ? n == 0 : n < 0, vector_text(v, "reason"));
            continue;
        }
        check(n == (int)size && got == strtoull(vector_text(v, "value"), NULL, 10),
              vector_text(v, "value"));
        struct writer w = writer_of(out, sizeof(out));
        writer_uvarint(&w, got);
        check(writer_used(&w) == size && !memcmp(out, buf, size), "written as read");
    }
}

static void check_cid(yajl_val v, const char *key, uint8_t version, enum cid_codec codec,
                      const char *canonical)
{
    const char *text = vector_text(v, key);
    uint8_t buf[CID_BYTES_MAX];
    char out[CID_TEXT_MAX];
    struct cid c;
    struct error err;
    check(!cid_from_text(text, strlen(text), buf, &c, &err), text);
    check(c.version == version && c.codec == codec, text);
    check(!strcmp(cid_to_text(&c, out), vector_text(v, canonical)), text);
}

TEST(cids_of_the_vectors)
{
    yajl_val v = vector_get(vectors_load("libp2p-vectors.json"), "cid");
    check_cid(v, "cidv0", 0, CID_CODEC_DAG_PB, "cidv0");
    check_cid(v, "cidv1_dag_pb", 1, CID_CODEC_DAG_PB, "cidv1_dag_pb");
    static const char *const forms[] = { "cidv1_raw", "cidv1_raw_base16", "cidv1_raw_base36",
                                         "cidv1_raw_base58btc", "cidv1_raw_base64url" };
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
        check_cid(v, forms[i], 1, CID_CODEC_RAW, "cidv1_raw");
    check_cid(v, "cidv1_raw_identity", 1, CID_CODEC_RAW, "cidv1_raw_identity");
    static const char *const binary[] = { "cidv0_bytes", "cidv1_raw_bytes" };
    for (size_t i = 0; i < ARRAY_SIZE(binary); i++) {
        uint8_t b[64];
        struct cid c;
        size_t size = vector_hex(v, binary[i], b, sizeof(b));
        check(!cid_parse(bytes_of(b, size), &c, NULL) && c.version == i, binary[i]);
        for (size_t n = 0; n < size; n++)
            check(cid_parse(bytes_of(b, n), &c, NULL), "cut short");
    }
}

static const struct {
    const char *why, *hex;
    enum err want;
} hashes[] = {
    { "identity of nothing", "0000", ERR_OK },
    { "identity of one byte", "000161", ERR_OK },
    { "keccak-256 of 20 bytes", "1b140000000000000000000000000000000000000000", ERR_MALFORMED },
    { "sha2-256 of 20 bytes", "12140000000000000000000000000000000000000000", ERR_MALFORMED },
    { "an unknown function, 20 bytes", "33140000000000000000000000000000000000000000", ERR_OK },
    { "an unknown function, 19 bytes", "331300000000000000000000000000000000000000",
      ERR_MALFORMED },
    { "129 bytes", "33810100", ERR_TOO_LARGE },
    { "nothing", "", ERR_MALFORMED },
    { "a byte too many", "000062", ERR_MALFORMED },
};

TEST(multihash_limits)
{
    for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
        uint8_t b[64];
        size_t size = 0;
        struct multihash mh;
        check(!hex_decode(hashes[i].hex, strlen(hashes[i].hex), b, sizeof(b), &size, NULL), "hex");
        check(multihash_parse(bytes_of(b, size), &mh, NULL) == hashes[i].want, hashes[i].why);
    }
    yajl_val v = vector_get(vectors_load("libp2p-vectors.json"), "cid");
    static const struct {
        const char *key;
        uint64_t code;
    } known[] = { { "multihash_identity", MULTIHASH_IDENTITY },
                  { "multihash_keccak_256_of_ab_bytes", MULTIHASH_KECCAK_256 },
                  { "multihash_sha2_256", MULTIHASH_SHA2_256 } };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        uint8_t b[64], again[64];
        struct multihash mh;
        size_t size = vector_hex(v, known[i].key, b, sizeof(b));
        check(!multihash_parse(bytes_of(b, size), &mh, NULL) && mh.code == known[i].code, "known");
        struct writer w = writer_of(again, sizeof(again));
        multihash_put(&w, mh.code, mh.digest);
        check(bytes_equal(bytes_of(again, writer_used(&w)), bytes_of(b, size)), "written as read");
    }
}

static const struct {
    const char *why, *text, *hex; /* hex NULL: refused */
} texts[] = {
    { "base16", "f00ff", "00ff" },
    { "base16 in the other case", "f00FF", "00ff" },
    { "base16 upper", "F00FF", "00ff" },
    { "half a byte of base16", "f0", NULL },
    { "base32", "bmzxw6ytboi", "666f6f626172" },
    { "base32 upper", "BMZXW6YTBOI", "666f6f626172" },
    { "base32 with bits left over", "bmzxw6ytboj", NULL },
    { "a whole character left over", "baaa", NULL },
    { "base36, zeros in front", "k002", "000002" },
    { "base58, zeros in front", "z112", "000001" },
    { "a character base58 does not have", "z0", NULL },
    { "base64", "mZm9vYg", "666f6f62" },
    { "base64url", "u-_8", "fbff" },
    { "base64url is not base64", "m-_8", NULL },
    { "nothing", "", NULL },
    { "a prefix alone", "b", "" },
    { "an unknown prefix", "7012", NULL },
};

TEST(multibase_texts)
{
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        uint8_t out[64];
        char hex[129];
        size_t size = 0;
        enum err rc =
            multibase_decode(texts[i].text, strlen(texts[i].text), out, sizeof(out), &size, NULL);
        check((rc == ERR_OK) == (texts[i].hex != NULL), texts[i].why);
        check(rc || !strcmp(hex_encode(hex, bytes_of(out, size)), texts[i].hex), texts[i].why);
    }
}

TEST(every_base_reads_what_it_writes)
{
    static const enum multibase bases[] = { MULTIBASE_BASE16, MULTIBASE_BASE16_UPPER,
                                            MULTIBASE_BASE32, MULTIBASE_BASE32_UPPER,
                                            MULTIBASE_BASE36, MULTIBASE_BASE58BTC,
                                            MULTIBASE_BASE64, MULTIBASE_BASE64URL };
    uint8_t in[96], out[96];
    char text[256];
    for (size_t b = 0; b < ARRAY_SIZE(bases); b++) {
        for (size_t n = 0; n <= sizeof(in); n++) {
            for (size_t i = 0; i < n; i++)
                in[i] = (uint8_t)(i < n / 3 ? 0 : i * 37 + n);
            size_t size = 0;
            check(!multibase_encode(bases[b], bytes_of(in, n), text, sizeof(text), NULL), "writes");
            check(!multibase_decode(text, strlen(text), out, sizeof(out), &size, NULL), text);
            check(size == n && !memcmp(in, out, n), text);
            check(multibase_encode(bases[b], bytes_of(in, n), text, strlen(text), NULL) ==
                      ERR_TOO_LARGE,
                  "no room for the NUL");
        }
    }
}

TEST(long_text_is_refused_unread)
{
    char text[LIMIT_MULTIBASE_TEXT_CHARS + 2];
    uint8_t out[LIMIT_MULTIBASE_TEXT_CHARS];
    size_t size;
    memset(text, '2', sizeof(text));
    text[0] = 'z';
    check(!multibase_decode(text, sizeof(text) - 1, out, sizeof(out), &size, NULL), "512 fit");
    check(multibase_decode(text, sizeof(text), out, sizeof(out), &size, NULL) == ERR_TOO_LARGE,
          "513 do not");
    check(base58_decode(text + 1, 64, out, 10, &size, NULL) == ERR_TOO_LARGE, "small room");
    check(multibase_decode("f00ff", 5, out, 1, &size, NULL) == ERR_TOO_LARGE, "small room");
}
