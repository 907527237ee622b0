#include "unit.h"
#include "vectors.h"

#include "base/hex.h"
#include "codec/crypto.h"
#include "codec/curve.h"

static struct bytes text(const char *s)
{
    return bytes_of(s, strlen(s));
}

static void check_hex(const uint8_t *got, size_t size, const char *want, const char *why)
{
    char hex[2 * 128 + 1];
    check(!strcmp(hex_encode(hex, bytes_of(got, size)), want), why);
}

TEST(hashes_of_abc)
{
    uint8_t out[64];
    sha256_of("abc", 3, out);
    check_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
              "FIPS 180-2, B.1");
    sha512_of("abc", 3, out);
    check_hex(out, 64,
              "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
              "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
              "FIPS 180-2, C.1");
    blake2b256_of("abc", 3, out);
    check_hex(out, 32, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319",
              "as b2sum -l 256");
}

/* RFC 4231, test cases 2 and 6: a short key, and one above the block size. */
TEST(hmac_of_the_rfc)
{
    uint8_t out[32], key[131];
    struct bytes parts[] = { text("what do ya want "), text("for nothing?") };
    hmac_sha256(text("Jefe"), parts, 2, out);
    check_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
              "case 2, in two parts");
    memset(key, 0xaa, sizeof(key));
    parts[0] = text("Test Using Larger Than Block-Size Key - Hash Key First");
    hmac_sha256(bytes_of(key, sizeof(key)), parts, 1, out);
    check_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
              "case 6");
}

TEST(a_sealed_record_opens_only_as_it_was_sealed)
{
    uint8_t key[32], plain[300], sealed[316], opened[300];
    for (unsigned i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)i;
    memcpy(key, plain, sizeof(key));
    struct aead *a = aead_create(key);
    check(a != NULL, "created");
    struct bytes ad = text("ad"), none = { NULL, 0 };
    static const size_t sizes[] = { 0, 1, 15, 16, 17, 300 };
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t n = sizes[i];
        aead_seal(a, i, ad, bytes_of(plain, n), sealed);
        struct bytes box = bytes_of(sealed, n + AEAD_TAG_BYTES);
        check(aead_open(a, i, ad, box, opened) && !memcmp(opened, plain, n), "opens");
        check(!aead_open(a, i + 1, ad, box, opened), "another counter");
        check(!aead_open(a, i, none, box, opened), "another associated text");
        sealed[n] ^= 1;
        check(!aead_open(a, i, ad, box, opened), "a flipped bit");
    }
    check(!aead_open(a, 0, none, bytes_of(sealed, 15), opened), "shorter than its tag");
    memcpy(sealed, plain, 300);
    aead_seal(a, 7, none, bytes_of(sealed, 300), sealed);
    check(aead_open(a, 7, none, bytes_of(sealed, 316), sealed) && !memcmp(sealed, plain, 300),
          "in place");
    aead_destroy(a);
    aead_destroy(NULL);
}

/* The sum is of what libsodium seals. */
TEST(a_record_of_64_kib_is_what_another_library_seals)
{
    enum { PLAIN = 65519, SEALED = PLAIN + AEAD_TAG_BYTES };
    static uint8_t buf[SEALED];
    uint8_t key[32], sum[32];
    struct bytes none = { NULL, 0 };
    for (unsigned i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    for (unsigned i = 0; i < PLAIN; i++)
        buf[i] = (uint8_t)(7 * i);
    struct aead *a = aead_create(key);
    aead_seal(a, 7, none, bytes_of(buf, PLAIN), buf);
    sha256_of(buf, SEALED, sum);
    check_hex(sum, 32, "b3b495e91ac3454d78b78b1ff621a027aa4181237eff78445340e8cf70af4497",
              "sealed");
    check(aead_open(a, 7, none, bytes_of(buf, SEALED), buf), "opens in place");
    for (unsigned i = 0; i < PLAIN; i++)
        check(buf[i] == (uint8_t)(7 * i), "what was sealed");
    aead_destroy(a);
}

TEST(x25519_refuses_points_of_small_order)
{
    uint8_t secret[32] = { 1 }, theirs[32] = { 0 }, out[32];
    check(!x25519_shared(secret, theirs, out), "the zero point");
    theirs[0] = 1;
    check(!x25519_shared(secret, theirs, out), "a point of order 1");
    x25519_public(secret, theirs);
    check(x25519_shared(secret, theirs, out), "an honest one");
}

TEST(p256_signs_what_it_verifies)
{
    uint8_t scalar[32] = { 0 }, spki[P256_SPKI_BYTES], sig[P256_SIGNATURE_MAX];
    size_t size = 0;
    struct bytes key = bytes_of(spki, sizeof(spki)), msg = text("message");
    check(p256_public(scalar, spki, NULL) == ERR_MALFORMED, "zero is no scalar");
    memset(scalar, 0xff, sizeof(scalar));
    check(p256_public(scalar, spki, NULL) == ERR_MALFORMED, "above the order");
    check(p256_sign(scalar, msg, sig, &size, NULL) == ERR_MALFORMED, "nor does it sign");
    scalar[0] = 0;
    check(!p256_public(scalar, spki, NULL) && !p256_sign(scalar, msg, sig, &size, NULL), "signs");
    check(!p256_verify(key, msg, bytes_of(sig, size), NULL), "verifies");
    check(p256_verify(key, text("massage"), bytes_of(sig, size), NULL) == ERR_BAD_PROOF, "other");
    check(p256_verify(key, msg, bytes_of(sig, 3), NULL) == ERR_BAD_PROOF, "cut short");
    spki[P256_SPKI_BYTES - 1] ^= 1;
    check(p256_verify(key, msg, bytes_of(sig, size), NULL) == ERR_MALFORMED, "not on the curve");
    spki[5] ^= 1;
    check(p256_verify(key, msg, bytes_of(sig, size), NULL) == ERR_MALFORMED, "not P-256");
}

/* A well-formed key with a modulus of n bytes whose top byte is 0x80, and exponent e. */
static struct bytes rsa_spki(uint8_t *buf, size_t size, size_t n, const char *exponent)
{
    static const uint8_t alg[] = { 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                   0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00 };
    uint8_t e[16];
    size_t e_size = 0;
    check(!hex_decode(exponent, strlen(exponent), e, sizeof(e), &e_size, NULL), "hex");
    size_t key = 4 + 1 + n + 2 + e_size, bits = 1 + 4 + key;
    struct writer w = writer_of(buf, size);
    writer_be16(&w, 0x3082);
    writer_be16(&w, (uint16_t)(sizeof(alg) + 4 + bits));
    writer_put(&w, alg, sizeof(alg));
    writer_be16(&w, 0x0382);
    writer_be16(&w, (uint16_t)bits);
    writer_u8(&w, 0);
    writer_be16(&w, 0x3082);
    writer_be16(&w, (uint16_t)key);
    writer_be16(&w, 0x0282);
    writer_be16(&w, (uint16_t)(n + 1));
    writer_u8(&w, 0);
    memset(writer_reserve(&w, n), 0x81, n);
    writer_u8(&w, 2);
    writer_u8(&w, (uint8_t)e_size);
    writer_put(&w, e, e_size);
    check(!w.overflow, "room");
    return bytes_of(buf, writer_used(&w));
}

TEST(rsa_keys_have_limits)
{
    static const struct {
        const char *why, *exponent;
        size_t modulus;
        enum err want;
    } cases[] = {
        { "2048 bits, but no signature", "010001", 256, ERR_BAD_PROOF },
        { "8192 bits, but no signature", "010001", 1024, ERR_BAD_PROOF },
        { "8200 bits", "010001", 1025, ERR_TOO_LARGE },
        { "2040 bits", "010001", 255, ERR_MALFORMED },
        { "exponent 1", "01", 256, ERR_MALFORMED },
        { "an even exponent", "010000", 256, ERR_MALFORMED },
        { "an exponent of 40 bits", "0100000001", 256, ERR_MALFORMED },
        { "a negative exponent", "81", 256, ERR_MALFORMED },
        { "an exponent with a zero in front", "0003", 256, ERR_MALFORMED },
    };
    uint8_t buf[1200], sig[256] = { 1 };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct bytes key = rsa_spki(buf, sizeof(buf), cases[i].modulus, cases[i].exponent);
        check(rsa_verify(key, text("m"), bytes_of(sig, sizeof(sig)), NULL) == cases[i].want,
              cases[i].why);
    }
    struct bytes key = rsa_spki(buf, sizeof(buf), 256, "010001");
    for (size_t n = 0; n < key.size; n++)
        check(rsa_verify(bytes_of(buf, n), text("m"), bytes_of(sig, 256), NULL) == ERR_MALFORMED,
              "cut short anywhere");
}
