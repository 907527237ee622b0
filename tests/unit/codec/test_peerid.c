#include "unit.h"
#include "vectors.h"

#include "base/hex.h"
#include "codec/peerid.h"

static void check_public(yajl_val v)
{
    const char *name = vector_text(v, "name");
    uint8_t msg[64], pub[1024], sig[600], id_bytes[64];
    struct peer_key key;
    struct peer_id id, again;
    char text[PEER_ID_TEXT_MAX];
    struct bytes message = bytes_of(msg, vector_hex(v, "message", msg, sizeof(msg)));
    size_t size = vector_hex(v, "public_protobuf", pub, sizeof(pub));
    struct bytes signature = bytes_of(sig, vector_hex(v, "signature", sig, sizeof(sig)));
    check(!peer_key_decode(bytes_of(pub, size), &key, NULL), name);
    check((int64_t)key.type == vector_int(v, "key_type"), name);
    peer_key_id(&key, &id);
    check(id.len == vector_hex(v, "peer_id_bytes", id_bytes, sizeof(id_bytes)) &&
              !memcmp(id.bytes, id_bytes, id.len),
          name);
    check(!strcmp(peer_id_to_text(&id, text), vector_text(v, "peer_id_base58")), text);
    static const char *const forms[] = { "peer_id_base58", "peer_id_cidv1_base32",
                                         "peer_id_cidv1_base36" };
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        const char *form = vector_text(v, forms[i]);
        check(!peer_id_from_text(form, strlen(form), &again, NULL) && peer_id_equal(&id, &again),
              form);
    }
    struct error err = { ERR_OK, "" };
    check(!peer_key_verify(&key, message, signature, &err), err.text);
    sig[signature.size - 1] ^= 1;
    check(peer_key_verify(&key, message, signature, NULL) == ERR_BAD_PROOF, name);
    for (size_t n = 0; n < size; n++)
        check(peer_key_decode(bytes_of(pub, n), &key, NULL) == ERR_MALFORMED, "cut short");
}

TEST(public_keys_of_the_vectors)
{
    yajl_val keys = vector_get(vectors_load("libp2p-vectors.json"), "keys");
    for (size_t i = 0; i < vector_count(keys); i++)
        check_public(vector_at(keys, i));
}

TEST(secret_keys_of_the_vectors)
{
    yajl_val keys = vector_get(vectors_load("libp2p-vectors.json"), "keys");
    for (size_t i = 0; i < vector_count(keys); i++) {
        yajl_val v = vector_at(keys, i);
        uint8_t raw[1300], pub[1024], msg[64], want[600], sig[PEER_SIGNATURE_MAX];
        struct peer_secret s;
        struct peer_key key;
        size_t size = vector_hex(v, "private_protobuf", raw, sizeof(raw)), sig_size = 0;
        enum err rc = peer_secret_decode(bytes_of(raw, size), &s, NULL);
        if (vector_int(v, "key_type") == PEER_KEY_RSA) {
            check(rc == ERR_UNSUPPORTED, "we have no RSA identity of our own");
            continue;
        }
        check(!rc, vector_text(v, "name"));
        size_t pub_size = vector_hex(v, "public_protobuf", pub, sizeof(pub));
        check(s.public_size == pub_size && !memcmp(s.public_message, pub, pub_size), "public part");
        struct bytes message = bytes_of(msg, vector_hex(v, "message", msg, sizeof(msg)));
        check(!peer_secret_sign(&s, message, sig, &sig_size, NULL), "signs");
        check(!peer_key_decode(bytes_of(pub, pub_size), &key, NULL), "decodes");
        check(!peer_key_verify(&key, message, bytes_of(sig, sig_size), NULL), "verifies");
        if (vector_bool(v, "signature_deterministic"))
            check(vector_hex(v, "signature", want, sizeof(want)) == sig_size &&
                      !memcmp(sig, want, sig_size),
                  "the same signature");
        if (s.type == PEER_KEY_ECDSA)
            continue;
        uint8_t again[128];
        struct writer w = writer_of(again, sizeof(again));
        peer_secret_put(&w, &s);
        check(bytes_equal(bytes_of(again, writer_used(&w)), bytes_of(raw, size)), "written back");
    }
}

#define PUB32 "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
static const struct {
    const char *why, *hex;
} bad_keys[] = {
    { "the data first", "1220" PUB32 "0801" },
    { "a third field", "08011220" PUB32 "1800" },
    { "the type twice", "080108011220" PUB32 },
    { "no type", "1220" PUB32 },
    { "a type in two bytes", "0881001220" PUB32 },
    { "a length in two bytes", "080112a000" PUB32 },
    { "an unknown type", "08041220" PUB32 },
    { "ed25519 with 31 bytes",
      "0801121f03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531" },
    { "no data", "08011200" },
};

TEST(a_key_has_one_form)
{
    for (size_t i = 0; i < ARRAY_SIZE(bad_keys); i++) {
        uint8_t b[64];
        size_t size = 0;
        struct peer_key key;
        check(!hex_decode(bad_keys[i].hex, strlen(bad_keys[i].hex), b, sizeof(b), &size, NULL), "");
        check(peer_key_decode(bytes_of(b, size), &key, NULL) == ERR_MALFORMED, bad_keys[i].why);
    }
    uint8_t big[LIMIT_PEER_KEY_BYTES + 6] = { 0x08, 0x00, 0x12, 0xb1, 0x09 };
    struct peer_key key;
    check(peer_key_decode(bytes_of(big, sizeof(big)), &key, NULL) == ERR_MALFORMED,
          "an RSA key of more than 8192 bits");
}

static const struct {
    const char *why, *text;
} bad_ids[] = {
    { "nothing", "" },
    { "no base58", "notbase58!" },
    { "a CID of content", "bafkreigcb65xpfhu4t4lcfbzdk23rkprfm4one37dxr3wcwe4dmoejf5oe" },
    { "base58 of an identity multihash of nothing", "11" },
    { "a sha2-256 cut short", "Qm" },
};

TEST(texts_that_are_no_peer_id)
{
    for (size_t i = 0; i < ARRAY_SIZE(bad_ids); i++) {
        struct peer_id id;
        check(peer_id_from_text(bad_ids[i].text, strlen(bad_ids[i].text), &id, NULL),
              bad_ids[i].why);
    }
    uint8_t b[45] = { 0, 41 };
    struct peer_id id;
    check(peer_id_parse(bytes_of(b, 43), &id, NULL) == ERR_MALFORMED, "43 bytes are too many");
}

TEST(an_ed25519_secret_may_have_its_public_part_twice)
{
    uint8_t seed[32] = { 7 }, msg[4 + 96] = { 0x08, 0x01, 0x12, 0x60 };
    struct peer_secret s, t;
    peer_secret_from_seed(seed, &s);
    memcpy(msg + 4, s.secret, 64);
    memcpy(msg + 68, s.secret + 32, 32);
    check(!peer_secret_decode(bytes_of(msg, sizeof(msg)), &t, NULL), "twice and equal");
    check(peer_id_equal(&s.id, &t.id), "the same id");
    msg[99] ^= 1;
    check(peer_secret_decode(bytes_of(msg, sizeof(msg)), &t, NULL) == ERR_MALFORMED, "unequal");
    msg[3] = 0x40;
    msg[40] ^= 1;
    check(peer_secret_decode(bytes_of(msg, 68), &t, NULL) == ERR_MALFORMED, "another public part");
}
