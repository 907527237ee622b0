#include "unit.h"

#include "base/hex.h"
#include "codec/sig.h"
#include "vectors.h"

static yajl_val vectors(const char *key)
{
    return vector_get(vectors_load("swarm-vectors.json"), key);
}

static struct sig_signer *signer_of(struct sig_signer *s, const char *secret_hex)
{
    uint8_t secret[SIG_SECRET_BYTES], seed[SIG_SEED_BYTES];
    size_t size = 0;
    struct error err = { ERR_OK, "" };
    memset(seed, 0x5e, sizeof(seed));
    check(!hex_decode(secret_hex, strlen(secret_hex), secret, sizeof(secret), &size, NULL), "hex");
    check(!sig_signer_init(s, secret, seed, &err), err.text);
    return s;
}

TEST(keys_and_addresses)
{
    yajl_val v = vectors("identity");
    struct sig_signer s;
    uint8_t want[SIG_KEY_BYTES], got[SIG_ETH_ADDRESS_BYTES];
    signer_of(&s, vector_text(v, "private_key"));
    check(vector_hex(v, "public_key_uncompressed", want, sizeof(want)) == SIG_KEY_BYTES, "size");
    check(!memcmp(sig_signer_key(&s), want, SIG_KEY_BYTES), "uncompressed key");
    check(vector_hex(v, "public_key_compressed", want, sizeof(want)) == 33, "size");
    check(!memcmp(sig_signer_compressed(&s), want, 33), "compressed key");
    check(vector_hex(v, "ethereum_address", want, sizeof(want)) == sizeof(got), "size");
    sig_signer_eth_address(&s, got);
    check(!memcmp(got, want, sizeof(got)), "Ethereum address");
    sig_signer_wipe(&s);
    for (size_t i = 0; i < sizeof(s); i++)
        check(((const uint8_t *)&s)[i] == 0, "a wiped signer holds nothing");
}

TEST(signing_is_that_of_bee)
{
    yajl_val v = vectors("signature");
    struct sig_signer s;
    uint8_t message[64], want[SIG_BYTES], got[SIG_BYTES], digest[SIG_DIGEST_BYTES];
    signer_of(&s, vector_text(vectors("identity"), "private_key"));
    struct bytes data = bytes_of(message, vector_hex(v, "message", message, sizeof(message)));
    check(vector_hex(v, "digest", want, sizeof(want)) == sizeof(digest), "size");
    sig_eth_digest(digest, data);
    check(!memcmp(digest, want, sizeof(digest)), "prefixed digest");
    check(vector_hex(v, "signature_r_s_v", want, sizeof(want)) == SIG_BYTES, "size");
    sig_eth_sign(&s, data, got);
    check(!memcmp(got, want, SIG_BYTES), "the nonce is that of RFC 6979");
}

static void check_recovery(const char *why, const char *sig_hex, const char *owner_hex)
{
    uint8_t sig[SIG_BYTES], owner[SIG_ETH_ADDRESS_BYTES];
    char text[2 * SIG_ETH_ADDRESS_BYTES + 1];
    size_t size = 0;
    struct error err = { ERR_OK, "" };
    check(!hex_decode(sig_hex, strlen(sig_hex), sig, sizeof(sig), &size, NULL) && size == SIG_BYTES,
          why);
    enum err rc = sig_eth_recover(owner, bytes_of("larder", 6), sig, &err);
    check(rc == (owner_hex ? ERR_OK : ERR_BAD_PROOF), why);
    check(!owner_hex || !strcmp(hex_encode(text, bytes_of(owner, sizeof(owner))), owner_hex), why);
    check(owner_hex || err.text[0], "a refusal has a sentence");
}

TEST(recovery_is_as_lenient_as_bee)
{
    yajl_val list = vectors("signature_leniency");
    check(vector_count(list) == 6, "all cases are there");
    for (size_t i = 0; i < vector_count(list); i++) {
        yajl_val v = vector_at(list, i);
        const char *owner = vector_find(v, "recovers_to") ? vector_text(v, "recovers_to") : NULL;
        check_recovery(vector_text(v, "case"), vector_text(v, "signature"), owner);
    }
}

#define ZEROS_30 "000000000000000000000000000000000000000000000000000000000000"
#define ZEROS_31 ZEROS_30 "00"
#define ORDER "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
#define FIELD_LESS_ORDER "000000000000000000000000000000014551231950b75fc4402da1722fc9baee"

/* Owners computed from the definition in Python. */
static const struct {
    const char *why, *sig, *owner;
} edges[] = {
    { "v = 29: r + n is an x coordinate", ZEROS_31 "02" ZEROS_31 "051d",
      "e5fe2db91280eaa815c10ba6d2ccaabcac28b6ee" },
    { "v = 30: its other point", ZEROS_31 "02" ZEROS_31 "051e",
      "22e242c10bdab02c80b3e3ff995a73421f1c39eb" },
    { "v = 33 means 29", ZEROS_31 "02" ZEROS_31 "0521",
      "e5fe2db91280eaa815c10ba6d2ccaabcac28b6ee" },
    { "v = 34 means 30", ZEROS_31 "02" ZEROS_31 "0522",
      "22e242c10bdab02c80b3e3ff995a73421f1c39eb" },
    { "v = 27: r itself", ZEROS_31 "02" ZEROS_31 "051b",
      "efd69b37548eea5b3b8beb50c185145e320b3d04" },
    { "r + n is no x coordinate", ZEROS_31 "01" ZEROS_31 "051d", NULL },
    { "r is no x coordinate", ZEROS_31 "05" ZEROS_31 "051b", NULL },
    { "r + n is not below the field's prime", FIELD_LESS_ORDER ZEROS_31 "051d", NULL },
    { "r is zero", ZEROS_31 "00" ZEROS_31 "051b", NULL },
    { "s is zero", ZEROS_31 "02" ZEROS_31 "001b", NULL },
    { "r is the order", ORDER ZEROS_31 "051b", NULL },
    { "s is the order", ZEROS_31 "02" ORDER "1b", NULL },
    { "v = 26", ZEROS_31 "02" ZEROS_31 "051a", NULL },
};

TEST(recovery_at_its_edges)
{
    for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
        check_recovery(edges[i].why, edges[i].sig, edges[i].owner);
}

TEST(a_secret_must_be_below_the_order)
{
    static const char *const bad[] = { ZEROS_31 "00", ORDER };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct sig_signer s;
        uint8_t secret[SIG_SECRET_BYTES];
        size_t size = 0;
        check(!hex_decode(bad[i], strlen(bad[i]), secret, sizeof(secret), &size, NULL), "hex");
        check(sig_signer_init(&s, secret, secret, NULL) == ERR_MALFORMED, bad[i]);
    }
}

/* A libp2p identity: scalar 01..20 signs "larder signs this"; digest and signature as go-libp2p. */
static const char p2p_secret[] = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
static const char p2p_digest[] = "51961553af1d51f3176073c31785331c6fa1f4dafafd7900a14eb6350b2bbde8";
#define P2P_R "3045022100f9437870db70134df8aa35a8d15bd6d9fd2ded2a692b4ee7ed4853bdfcb6229d"
static const char p2p_low_s[] =
    P2P_R "02200bf9ddb5d20e87b3eda957215fa2f34cbbb52de8ef2052136a3b52cfb4fbf543";
static const char p2p_high_s[] =
    "3046022100f9437870db70134df8aa35a8d15bd6d9fd2ded2a692b4ee7ed4853bdfcb6229d"
    "022100f406224a2df1784c1256a8dea05d0cb1fef9aefdc0284e2855970bbd1b3a4bfe";

TEST(der_signatures)
{
    struct sig_signer s;
    uint8_t digest[SIG_DIGEST_BYTES], made[SIG_DER_BYTES_MAX], der[80];
    size_t size = 0;
    struct error err = { ERR_OK, "" };
    signer_of(&s, p2p_secret);
    check(!hex_decode(p2p_digest, 64, digest, sizeof(digest), &size, NULL), "hex");
    struct bytes key = bytes_of(sig_signer_compressed(&s), SIG_KEY_COMPRESSED_BYTES);
    check(!hex_decode(p2p_low_s, strlen(p2p_low_s), der, sizeof(der), &size, NULL), "hex");
    size_t made_size = sig_sign_der(&s, digest, made);
    check(bytes_equal(bytes_of(made, made_size), bytes_of(der, size)), "the same as go-libp2p's");
    check(!sig_verify_der(key, digest, bytes_of(der, size), &err), err.text);
    check(!sig_verify_der(bytes_of(sig_signer_key(&s), SIG_KEY_BYTES), digest, bytes_of(der, size),
                          &err),
          "an uncompressed key is the same key");
    check(sig_verify_der(key, digest, bytes_of(der, size - 1), &err) == ERR_MALFORMED, "cut short");
    digest[7] ^= 1;
    check(sig_verify_der(key, digest, bytes_of(der, size), &err) == ERR_BAD_PROOF, "another text");
    digest[7] ^= 1;
    check(!hex_decode(p2p_high_s, strlen(p2p_high_s), der, sizeof(der), &size, NULL), "hex");
    check(!sig_verify_der(key, digest, bytes_of(der, size), &err), "high s is normalised");
}

TEST(keys_must_be_points)
{
    struct sig_signer s;
    struct error err = { ERR_OK, "" };
    uint8_t key[SIG_KEY_BYTES];
    signer_of(&s, p2p_secret);
    memcpy(key, sig_signer_key(&s), sizeof(key));
    check(!sig_key_check(bytes_of(key, SIG_KEY_BYTES), &err), "a key");
    check(sig_key_check(bytes_of(key, SIG_KEY_BYTES - 1), &err) == ERR_MALFORMED, "cut short");
    check(sig_key_check(bytes_of(key, 0), &err) == ERR_MALFORMED, "nothing");
    key[0] = 0x06 | (key[64] & 1);
    check(sig_key_check(bytes_of(key, SIG_KEY_BYTES), &err) == ERR_MALFORMED, "the hybrid form");
    key[0] = 0x04;
    key[64] ^= 1;
    check(sig_key_check(bytes_of(key, SIG_KEY_BYTES), &err) == ERR_MALFORMED, "not on the curve");
}
