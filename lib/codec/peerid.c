/*  type       public key data                    signature
 *  RSA        DER SubjectPublicKeyInfo           PKCS#1 v1.5 over SHA-256
 *  Ed25519    32 bytes                           64 bytes over the message itself
 *  Secp256k1  33 bytes, compressed               DER, ECDSA over SHA-256
 *  ECDSA      DER SubjectPublicKeyInfo of P-256  DER, ECDSA over SHA-256
 */
#include "codec/peerid.h"

#include "base/varint.h"
#include "codec/cid.h"
#include "codec/multibase.h"
#include "codec/multihash.h"
#include "codec/sig.h"
#include "codec/wire.h"

enum { FIELD_TYPE = 1, FIELD_DATA = 2 };

enum err peer_id_parse(struct bytes b, struct peer_id *out, struct error *err)
{
    struct multihash mh;
    enum err rc = multihash_parse(b, &mh, err);
    if (rc)
        return error_wrap(err, rc, "peer id");
    if ((mh.code != MULTIHASH_IDENTITY && mh.code != MULTIHASH_SHA2_256) || mh.digest.size == 0 ||
        b.size > PEER_ID_BYTES_MAX)
        return error_set(err, ERR_MALFORMED, "a multihash that is no peer id");
    *out = (struct peer_id){ .len = (uint8_t)b.size };
    memcpy(out->bytes, b.data, b.size);
    return ERR_OK;
}

enum err peer_id_from_text(const char *text, size_t text_size, struct peer_id *out,
                           struct error *err)
{
    uint8_t buf[CID_BYTES_MAX];
    size_t size = 0;
    bool plain =
        text_size > 0 && (text[0] == '1' || (text_size > 1 && text[0] == 'Q' && text[1] == 'm'));
    enum err rc;
    if (plain) {
        rc = base58_decode(text, text_size, buf, sizeof(buf), &size, err);
        if (rc)
            return error_wrap(err, rc, "peer id");
        return peer_id_parse(bytes_of(buf, size), out, err);
    }
    struct cid c;
    rc = cid_from_text(text, text_size, buf, &c, err);
    if (rc)
        return error_wrap(err, rc, "peer id");
    if (c.codec != CID_CODEC_LIBP2P_KEY)
        return error_set(err, ERR_MALFORMED, "a CID that names no peer");
    return peer_id_parse(c.hash.whole, out, err);
}

char *peer_id_to_text(const struct peer_id *id, char out[PEER_ID_TEXT_MAX])
{
    enum err rc = base58_encode(peer_id_bytes(id), out, PEER_ID_TEXT_MAX, NULL);
    assert(!rc); /* 42 bytes are at most 58 characters */
    return out;
}

/* Does the length fit the type? What is inside a DER key is checked when it is used. */
static bool key_size_fits(uint64_t type, size_t size)
{
    switch (type) {
    case PEER_KEY_RSA:
        return size > 0 && LIMIT_CHECK(PEER_KEY_BYTES, size);
    case PEER_KEY_ED25519:
        return size == ED25519_PUBLIC_BYTES;
    case PEER_KEY_SECP256K1:
        return size == SIG_KEY_COMPRESSED_BYTES;
    case PEER_KEY_ECDSA:
        return size == P256_SPKI_BYTES;
    default:
        return false;
    }
}

/* Both fields in order, each once, with the shortest lengths: the form every library writes. */
static enum err key_message_decode(struct bytes message, uint64_t *type, struct bytes *data,
                                   struct error *err)
{
    struct reader r = reader_of(message);
    bool ok = reader_u8(&r) == (FIELD_TYPE << 3 | WIRE_VARINT);
    *type = reader_uvarint(&r);
    ok = reader_u8(&r) == (FIELD_DATA << 3 | WIRE_BYTES) && ok;
    *data = reader_take(&r, reader_uvarint(&r));
    if (!ok)
        return error_set(err, ERR_MALFORMED, "a key message in another than its canonical form");
    return reader_finish(&r, "key message", err);
}

enum err peer_key_decode(struct bytes message, struct peer_key *out, struct error *err)
{
    uint64_t type;
    struct bytes data;
    enum err rc = key_message_decode(message, &type, &data, err);
    if (rc)
        return rc;
    if (!key_size_fits(type, data.size))
        return error_set(err, ERR_MALFORMED, "a public key of type %" PRIu64 " with %zu bytes",
                         type, data.size);
    *out = (struct peer_key){ (enum peer_key_type)type, data, message };
    return ERR_OK;
}

void peer_key_id(const struct peer_key *key, struct peer_id *out)
{
    uint8_t hash[SHA256_BYTES];
    struct bytes digest = key->whole;
    uint64_t code = MULTIHASH_IDENTITY;
    if (digest.size > PEER_KEY_INLINE_MAX) {
        sha256_of(digest.data, digest.size, hash);
        digest = bytes_of(hash, sizeof(hash));
        code = MULTIHASH_SHA2_256;
    }
    *out = (struct peer_id){ 0 };
    struct writer w = writer_of(out->bytes, sizeof(out->bytes));
    multihash_put(&w, code, digest);
    assert(!w.overflow); /* an inline key has at most 37 bytes: its size was checked */
    out->len = (uint8_t)writer_used(&w);
}

static enum err secp256k1_verify(struct bytes key, struct bytes message, struct bytes signature,
                                 struct error *err)
{
    uint8_t digest[SHA256_BYTES];
    sha256_of(message.data, message.size, digest);
    return sig_verify_der(key, digest, signature, err);
}

enum err peer_key_verify(const struct peer_key *key, struct bytes message, struct bytes signature,
                         struct error *err)
{
    switch (key->type) {
    case PEER_KEY_RSA:
        return rsa_verify(key->data, message, signature, err);
    case PEER_KEY_ED25519:
        if (signature.size == ED25519_SIGNATURE_BYTES &&
            ed25519_verify(key->data.data, message, signature.data))
            return ERR_OK;
        return error_set(err, ERR_BAD_PROOF, "the ed25519 signature does not match");
    case PEER_KEY_SECP256K1:
        return secp256k1_verify(key->data, message, signature, err);
    case PEER_KEY_ECDSA:
        return p256_verify(key->data, message, signature, err);
    }
    return error_set(err, ERR_MALFORMED, "an unknown key type");
}

static void secret_publish(struct peer_secret *s, struct bytes public_data)
{
    struct writer w = writer_of(s->public_message, sizeof(s->public_message));
    wire_put_varint(&w, FIELD_TYPE, s->type);
    wire_put_bytes(&w, FIELD_DATA, public_data);
    assert(!w.overflow);
    s->public_size = writer_used(&w);
    struct peer_key key = { .type = s->type, .whole = bytes_of(s->public_message, s->public_size) };
    peer_key_id(&key, &s->id);
}

void peer_secret_from_seed(const uint8_t seed[ED25519_SEED_BYTES], struct peer_secret *out)
{
    *out = (struct peer_secret){ .type = PEER_KEY_ED25519 };
    ed25519_from_seed(seed, out->secret);
    secret_publish(out, bytes_of(out->secret + ED25519_SEED_BYTES, ED25519_PUBLIC_BYTES));
}

/* 64 bytes are seed and public key; 96 bytes have the public key twice. */
static enum err ed25519_secret_decode(struct bytes data, struct peer_secret *out, struct error *err)
{
    if (data.size != 64 && data.size != 96)
        return error_set(err, ERR_MALFORMED, "an ed25519 secret key of %zu bytes", data.size);
    struct peer_secret s;
    peer_secret_from_seed(data.data, &s);
    bool ok = secret_equal(s.secret, data.data, 64) &&
              (data.size == 64 || secret_equal(s.secret + 32, data.data + 64, 32));
    if (ok)
        *out = s;
    secret_wipe(&s, sizeof(s));
    return ok ? ERR_OK : error_set(err, ERR_MALFORMED, "an ed25519 key whose halves do not fit");
}

/* The signer is made per use: an identity signs once per process, its Noise static key. */
static enum err secp256k1_signer(const uint8_t scalar[SIG_SECRET_BYTES], struct sig_signer *out,
                                 struct error *err)
{
    uint8_t seed[SIG_SEED_BYTES];
    secret_random(seed, sizeof(seed));
    return sig_signer_init(out, scalar, seed, err);
}

static enum err secp256k1_secret_decode(struct bytes data, struct peer_secret *out,
                                        struct error *err)
{
    if (data.size != SIG_SECRET_BYTES)
        return error_set(err, ERR_MALFORMED, "a secp256k1 secret key of %zu bytes", data.size);
    struct sig_signer signer;
    enum err rc = secp256k1_signer(data.data, &signer, err);
    if (rc)
        return rc;
    *out = (struct peer_secret){ .type = PEER_KEY_SECP256K1 };
    memcpy(out->secret, data.data, SIG_SECRET_BYTES);
    secret_publish(out, bytes_of(sig_signer_compressed(&signer), SIG_KEY_COMPRESSED_BYTES));
    sig_signer_wipe(&signer);
    return ERR_OK;
}

static enum err secp256k1_sign(const struct peer_secret *s, struct bytes message,
                               uint8_t out[PEER_SIGNATURE_MAX], size_t *out_size, struct error *err)
{
    struct sig_signer signer;
    enum err rc = secp256k1_signer(s->secret, &signer, err);
    if (rc)
        return rc;
    uint8_t digest[SHA256_BYTES];
    sha256_of(message.data, message.size, digest);
    *out_size = sig_sign_der(&signer, digest, out);
    sig_signer_wipe(&signer);
    return ERR_OK;
}

/* RFC 5915 as Go writes it: SEQUENCE { 1, OCTET STRING of 32 bytes, [0] the curve, [1] the point }.
 */
static enum err p256_secret_decode(struct bytes data, struct peer_secret *out, struct error *err)
{
    static const uint8_t head[] = { 0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20 };
    static const uint8_t curve[] = { 0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
                                     0x03, 0x01, 0x07, 0xa1, 0x44, 0x03, 0x42, 0x00 };
    enum { POINT_BYTES = 65, SCALAR_AT = sizeof(head), CURVE_AT = SCALAR_AT + P256_SCALAR_BYTES };
    if (data.size != CURVE_AT + sizeof(curve) + POINT_BYTES ||
        memcmp(data.data, head, sizeof(head)) != 0 ||
        memcmp(data.data + CURVE_AT, curve, sizeof(curve)) != 0)
        return error_set(err, ERR_MALFORMED, "not a P-256 secret key");
    uint8_t spki[P256_SPKI_BYTES];
    enum err rc = p256_public(data.data + SCALAR_AT, spki, err);
    if (rc)
        return rc;
    if (memcmp(spki + P256_SPKI_BYTES - POINT_BYTES, data.data + CURVE_AT + sizeof(curve),
               POINT_BYTES) != 0)
        return error_set(err, ERR_MALFORMED, "a P-256 key whose halves do not fit");
    *out = (struct peer_secret){ .type = PEER_KEY_ECDSA };
    memcpy(out->secret, data.data + SCALAR_AT, P256_SCALAR_BYTES);
    secret_publish(out, bytes_of(spki, sizeof(spki)));
    return ERR_OK;
}

enum err peer_secret_decode(struct bytes message, struct peer_secret *out, struct error *err)
{
    uint64_t type;
    struct bytes data;
    enum err rc = key_message_decode(message, &type, &data, err);
    if (rc)
        return rc;
    switch (type) {
    case PEER_KEY_ED25519:
        return ed25519_secret_decode(data, out, err);
    case PEER_KEY_SECP256K1:
        return secp256k1_secret_decode(data, out, err);
    case PEER_KEY_ECDSA:
        return p256_secret_decode(data, out, err);
    default:
        return error_set(err, ERR_UNSUPPORTED, "a secret key of type %" PRIu64, type);
    }
}

enum err peer_secret_sign(const struct peer_secret *s, struct bytes message,
                          uint8_t out[PEER_SIGNATURE_MAX], size_t *out_size, struct error *err)
{
    switch (s->type) {
    case PEER_KEY_ED25519:
        ed25519_sign(s->secret, message, out);
        *out_size = ED25519_SIGNATURE_BYTES;
        return ERR_OK;
    case PEER_KEY_ECDSA:
        return p256_sign(s->secret, message, out, out_size, err);
    case PEER_KEY_SECP256K1:
        return secp256k1_sign(s, message, out, out_size, err);
    case PEER_KEY_RSA:
        break;
    }
    return error_set(err, ERR_UNSUPPORTED, "signing with an RSA key");
}

void peer_secret_put(struct writer *w, const struct peer_secret *s)
{
    assert(s->type == PEER_KEY_ED25519 || s->type == PEER_KEY_SECP256K1);
    size_t size = s->type == PEER_KEY_ED25519 ? ED25519_SECRET_BYTES : SIG_SECRET_BYTES;
    wire_put_varint(w, FIELD_TYPE, s->type);
    wire_put_bytes(w, FIELD_DATA, bytes_of(s->secret, size));
}
