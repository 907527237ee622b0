#include "codec/sig.h"

#include <stdio.h>

#include <secp256k1.h>
#include <secp256k1_preallocated.h>
#include <secp256k1_recovery.h>

#include "codec/keccak.h"

enum { RECOVERY_FIRST = 27, RECOVERY_LAST = 34 };

/* Verifying needs no tables of a context of its own. */
static const secp256k1_context *verifying(void)
{
    return secp256k1_context_static;
}

void sig_eth_digest(uint8_t out[SIG_DIGEST_BYTES], struct bytes data)
{
    char head[64];
    int size = snprintf(head, sizeof(head),
                        "\x19"
                        "Ethereum Signed Message:\n%zu",
                        data.size);
    assert(size > 0 && (size_t)size < sizeof(head));
    struct keccak256 k;
    keccak256_init(&k);
    keccak256_add(&k, bytes_of(head, (size_t)size));
    keccak256_add(&k, data);
    keccak256_finish(&k, out);
}

void sig_eth_digests(uint8_t *out, const uint8_t *data, size_t count)
{
    static const char head[] = "\x19"
                               "Ethereum Signed Message:\n32";
    enum { HEAD = sizeof(head) - 1, TEXT = HEAD + SIG_DIGEST_BYTES };
    uint8_t texts[SIG_SIDE_MAX * TEXT];
    assert(count <= SIG_SIDE_MAX);
    for (size_t i = 0; i < count; i++) {
        memcpy(texts + i * TEXT, head, HEAD);
        memcpy(texts + i * TEXT + HEAD, data + i * SIG_DIGEST_BYTES, SIG_DIGEST_BYTES);
    }
    keccak256_batch(&(struct keccak256_batch){ out, texts, TEXT, count });
}

void sig_eth_address(uint8_t out[SIG_ETH_ADDRESS_BYTES], const uint8_t key[SIG_KEY_BYTES])
{
    uint8_t digest[KECCAK256_BYTES];
    assert(key[0] == 0x04);
    keccak256(digest, bytes_of(key + 1, SIG_KEY_BYTES - 1));
    memcpy(out, digest + KECCAK256_BYTES - SIG_ETH_ADDRESS_BYTES, SIG_ETH_ADDRESS_BYTES);
}

enum err sig_recover(uint8_t key[SIG_KEY_BYTES], const uint8_t digest[SIG_DIGEST_BYTES],
                     const uint8_t sig[SIG_BYTES], struct error *err)
{
    uint8_t v = sig[SIG_BYTES - 1];
    if (v < RECOVERY_FIRST || v > RECOVERY_LAST)
        return error_set(err, ERR_BAD_PROOF, "recovery byte %u of a signature is not 27 to 34", v);
    secp256k1_ecdsa_recoverable_signature parsed;
    secp256k1_pubkey point;
    int recovery_id =
        (v - RECOVERY_FIRST) % 4; /* bit 2 says "compressed key" and changes nothing */
    if (!secp256k1_ecdsa_recoverable_signature_parse_compact(verifying(), &parsed, sig,
                                                             recovery_id) ||
        !secp256k1_ecdsa_recover(verifying(), &point, &parsed, digest))
        return error_set(err, ERR_BAD_PROOF, "no key can have made this signature");
    size_t size = SIG_KEY_BYTES;
    secp256k1_ec_pubkey_serialize(verifying(), key, &size, &point, SECP256K1_EC_UNCOMPRESSED);
    assert(size == SIG_KEY_BYTES);
    return ERR_OK;
}

enum err sig_eth_recover(uint8_t owner[SIG_ETH_ADDRESS_BYTES], struct bytes data,
                         const uint8_t sig[SIG_BYTES], struct error *err)
{
    uint8_t digest[SIG_DIGEST_BYTES], key[SIG_KEY_BYTES];
    sig_eth_digest(digest, data);
    enum err rc = sig_recover(key, digest, sig, err);
    if (!rc)
        sig_eth_address(owner, key);
    return rc;
}

static enum err parse_key(secp256k1_pubkey *out, struct bytes key, struct error *err)
{
    /* The hybrid forms 06 and 07 are taken by libsecp256k1 and by nobody else. */
    bool hybrid = key.size == SIG_KEY_BYTES && key.data[0] != 0x04;
    if (hybrid || !secp256k1_ec_pubkey_parse(verifying(), out, key.data, key.size))
        return error_set(err, ERR_MALFORMED, "not a secp256k1 public key (%zu bytes)", key.size);
    return ERR_OK;
}

enum err sig_key_check(struct bytes key, struct error *err)
{
    secp256k1_pubkey point;
    return parse_key(&point, key, err);
}

enum err sig_verify_der(struct bytes key, const uint8_t digest[SIG_DIGEST_BYTES], struct bytes der,
                        struct error *err)
{
    secp256k1_pubkey point;
    secp256k1_ecdsa_signature parsed;
    enum err rc = parse_key(&point, key, err);
    if (rc)
        return rc;
    if (!secp256k1_ecdsa_signature_parse_der(verifying(), &parsed, der.data, der.size))
        return error_set(err, ERR_MALFORMED, "not a DER signature (%zu bytes)", der.size);
    secp256k1_ecdsa_signature_normalize(verifying(), &parsed, &parsed);
    if (!secp256k1_ecdsa_verify(verifying(), &parsed, digest, &point))
        return error_set(err, ERR_BAD_PROOF, "the signature is not of this key and text");
    return ERR_OK;
}

/* Rebuilt from the struct, so that a context is never reached through a copy's pointer. */
static const secp256k1_context *signing(const struct sig_signer *s)
{
    return (const secp256k1_context *)(const void *)s->context_;
}

enum err sig_signer_init(struct sig_signer *s, const uint8_t secret[SIG_SECRET_BYTES],
                         const uint8_t seed[SIG_SEED_BYTES], struct error *err)
{
    assert(secp256k1_context_preallocated_size(SECP256K1_CONTEXT_NONE) <= sizeof(s->context_));
    secp256k1_context *context =
        secp256k1_context_preallocated_create(s->context_, SECP256K1_CONTEXT_NONE);
    assert(context == signing(s));
    bool blinded = secp256k1_context_randomize(context, seed);
    assert(blinded);
    secp256k1_pubkey point;
    if (!secp256k1_ec_pubkey_create(context, &point, secret)) {
        sig_signer_wipe(s);
        return error_set(err, ERR_MALFORMED, "not a secp256k1 secret key");
    }
    memcpy(s->secret_, secret, SIG_SECRET_BYTES);
    size_t size = sizeof(s->key_), compressed_size = sizeof(s->compressed_);
    secp256k1_ec_pubkey_serialize(context, s->key_, &size, &point, SECP256K1_EC_UNCOMPRESSED);
    secp256k1_ec_pubkey_serialize(context, s->compressed_, &compressed_size, &point,
                                  SECP256K1_EC_COMPRESSED);
    return ERR_OK;
}

void sig_signer_wipe(struct sig_signer *s)
{
    explicit_bzero(s, sizeof(*s)); /* the context is plain memory: blinding values, no pointers */
}

const uint8_t *sig_signer_key(const struct sig_signer *s)
{
    assert(s->key_[0] == 0x04);
    return s->key_;
}

const uint8_t *sig_signer_compressed(const struct sig_signer *s)
{
    assert(s->key_[0] == 0x04);
    return s->compressed_;
}

void sig_signer_eth_address(const struct sig_signer *s, uint8_t out[SIG_ETH_ADDRESS_BYTES])
{
    sig_eth_address(out, sig_signer_key(s));
}

void sig_eth_sign(const struct sig_signer *s, struct bytes data, uint8_t out[SIG_BYTES])
{
    assert(s->key_[0] == 0x04);
    uint8_t digest[SIG_DIGEST_BYTES];
    int recovery_id = 0;
    secp256k1_ecdsa_recoverable_signature made;
    sig_eth_digest(digest, data);
    bool signed_ok = secp256k1_ecdsa_sign_recoverable(signing(s), &made, digest, s->secret_,
                                                      secp256k1_nonce_function_rfc6979, NULL);
    assert(signed_ok); /* the key was checked in init */
    secp256k1_ecdsa_recoverable_signature_serialize_compact(signing(s), out, &recovery_id, &made);
    out[SIG_BYTES - 1] = (uint8_t)(RECOVERY_FIRST + recovery_id);
}

size_t sig_sign_der(const struct sig_signer *s, const uint8_t digest[SIG_DIGEST_BYTES],
                    uint8_t out[SIG_DER_BYTES_MAX])
{
    assert(s->key_[0] == 0x04);
    secp256k1_ecdsa_signature made;
    bool signed_ok = secp256k1_ecdsa_sign(signing(s), &made, digest, s->secret_,
                                          secp256k1_nonce_function_rfc6979, NULL);
    assert(signed_ok);
    size_t size = SIG_DER_BYTES_MAX;
    bool fits = secp256k1_ecdsa_signature_serialize_der(signing(s), out, &size, &made);
    assert(fits);
    return size;
}
