#include "net/noise.h"

#include "codec/wire.h"

enum { PAYLOAD_KEY = 1, PAYLOAD_SIGNATURE = 2, PAYLOAD_EXTENSIONS = 4, EXTENSION_MUXERS = 2 };

static const char protocol_name[] = "Noise_XX_25519_ChaChaPoly_SHA256";
static const char signature_domain[] = "noise-libp2p-static-key:";
static_assert(sizeof(protocol_name) - 1 == SHA256_BYTES, "the name itself is the first hash");

/* What is signed: the domain and the static key. */
static struct bytes signed_text(uint8_t buf[64], const uint8_t pub[X25519_BYTES])
{
    size_t n = sizeof(signature_domain) - 1;
    memcpy(buf, signature_domain, n);
    memcpy(buf + n, pub, X25519_BYTES);
    return bytes_of(buf, n + X25519_BYTES);
}

enum err noise_static_init(struct noise_static *st, const struct peer_secret *identity,
                           const uint8_t secret[X25519_BYTES], const char *const *muxers,
                           struct error *err)
{
    uint8_t text[64], signature[PEER_SIGNATURE_MAX];
    size_t signature_size = 0, list = 0;
    memcpy(st->secret, secret, X25519_BYTES);
    x25519_public(st->secret, st->pub);
    enum err rc =
        peer_secret_sign(identity, signed_text(text, st->pub), signature, &signature_size, err);
    if (rc)
        return error_wrap(err, rc, "Noise static key");
    struct writer w = writer_of(st->payload, sizeof(st->payload));
    wire_put_bytes(&w, PAYLOAD_KEY, bytes_of(identity->public_message, identity->public_size));
    wire_put_bytes(&w, PAYLOAD_SIGNATURE, bytes_of(signature, signature_size));
    for (size_t i = 0; muxers[i]; i++)
        list += wire_bytes_size(EXTENSION_MUXERS, strlen(muxers[i]));
    if (list > 0)
        wire_put_header(&w, PAYLOAD_EXTENSIONS, list);
    for (size_t i = 0; muxers[i]; i++)
        wire_put_bytes(&w, EXTENSION_MUXERS, bytes_of(muxers[i], strlen(muxers[i])));
    assert(!w.overflow);
    st->payload_size = writer_used(&w);
    return ERR_OK;
}

static void mix_hash(struct noise *n, const void *data, size_t size)
{
    struct sha256 h;
    sha256_init(&h);
    sha256_update(&h, n->h_, sizeof(n->h_));
    sha256_update(&h, data, size);
    sha256_final(&h, n->h_);
}

/* Noise's HKDF with two outputs. */
static void hkdf(const uint8_t ck[SHA256_BYTES], struct bytes ikm, uint8_t o1[SHA256_BYTES],
                 uint8_t o2[SHA256_BYTES])
{
    static const uint8_t one = 1, two = 2;
    uint8_t temp[SHA256_BYTES];
    hmac_sha256(bytes_of(ck, SHA256_BYTES), &ikm, 1, temp);
    struct bytes key = bytes_of(temp, sizeof(temp));
    struct bytes first = bytes_of(&one, 1);
    hmac_sha256(key, &first, 1, o1);
    struct bytes second[] = { bytes_of(o1, SHA256_BYTES), bytes_of(&two, 1) };
    hmac_sha256(key, second, 2, o2);
    secret_wipe(temp, sizeof(temp));
}

/* Diffie-Hellman and MixKey. */
static enum err mix_key(struct noise *n, const uint8_t secret[X25519_BYTES],
                        const uint8_t theirs[X25519_BYTES], struct error *err)
{
    uint8_t shared[X25519_BYTES], ck[SHA256_BYTES];
    if (!x25519_shared(secret, theirs, shared))
        return error_set(err, ERR_BAD_PROOF, "Noise: a public key of small order");
    memcpy(ck, n->ck_, sizeof(ck));
    hkdf(ck, bytes_of(shared, sizeof(shared)), n->ck_, n->k_);
    n->n_ = 0;
    secret_wipe(shared, sizeof(shared));
    secret_wipe(ck, sizeof(ck));
    return ERR_OK;
}

/* EncryptAndHash into out, which has room for the tag. */
static enum err seal_and_hash(struct noise *n, struct bytes plain, struct writer *out,
                              struct error *err)
{
    uint8_t *at = writer_reserve(out, plain.size + AEAD_TAG_BYTES);
    struct aead *a = at ? aead_create(n->k_) : NULL;
    if (!a)
        return error_set(err, ERR_SYSTEM, "Noise: no room for a message");
    aead_seal(a, n->n_++, bytes_of(n->h_, sizeof(n->h_)), plain, at);
    aead_destroy(a);
    mix_hash(n, at, plain.size + AEAD_TAG_BYTES);
    return ERR_OK;
}

/* DecryptAndHash in place: *out is the plaintext. The hash is taken over what was sealed. */
static enum err open_and_hash(struct noise *n, struct bytes box, struct bytes *out,
                              struct error *err)
{
    uint8_t h[SHA256_BYTES];
    struct aead *a = aead_create(n->k_);
    if (!a)
        return error_set(err, ERR_SYSTEM, "Noise: no memory for a context");
    memcpy(h, n->h_, sizeof(h));
    mix_hash(n, box.data, box.size);
    bool ok = aead_open(a, n->n_++, bytes_of(h, sizeof(h)), box, (uint8_t *)(uintptr_t)box.data);
    aead_destroy(a);
    if (!ok)
        return error_set(err, ERR_BAD_PROOF, "Noise: a handshake message that does not open");
    *out = bytes_of(box.data, box.size - AEAD_TAG_BYTES);
    return ERR_OK;
}

void noise_init(struct noise *n, const struct noise_options *options)
{
    *n = (struct noise){ .step = options->dialer ? NOISE_WRITE_1 : NOISE_READ_1,
                         .dialer = options->dialer,
                         .muxer_ = options->muxer,
                         .static_ = options->st };
    if (options->expected)
        n->expected_ = *options->expected;
    memcpy(n->e_, options->ephemeral, sizeof(n->e_));
    x25519_public(n->e_, n->e_pub_);
    memcpy(n->h_, protocol_name, sizeof(n->h_));
    memcpy(n->ck_, n->h_, sizeof(n->ck_));
    mix_hash(n, NULL, 0); /* the empty prologue */
}

static void write_e(struct noise *n, struct writer *out)
{
    writer_put(out, n->e_pub_, sizeof(n->e_pub_));
    mix_hash(n, n->e_pub_, sizeof(n->e_pub_));
}

static void write_1(struct noise *n, struct writer *out)
{
    write_e(n, out);
    mix_hash(n, NULL, 0); /* the empty payload, in clear */
}

/* s and a key that includes it, then the payload. */
static enum err write_s_and_payload(struct noise *n, struct writer *out, struct error *err)
{
    const struct noise_static *st = n->static_;
    enum err rc = seal_and_hash(n, bytes_of(st->pub, sizeof(st->pub)), out, err);
    if (!rc)
        rc = mix_key(n, st->secret, n->re_, err); /* es of the listener, se of the dialer */
    if (!rc)
        rc = seal_and_hash(n, bytes_of(st->payload, st->payload_size), out, err);
    return rc;
}

static enum err write_2(struct noise *n, struct writer *out, struct error *err)
{
    write_e(n, out);
    enum err rc = mix_key(n, n->e_, n->re_, err);
    return rc ? rc : write_s_and_payload(n, out, err);
}

enum err noise_write(struct noise *n, struct writer *out, struct error *err)
{
    enum err rc = ERR_OK;
    enum noise_step next = NOISE_BROKEN;
    uint8_t *length = writer_reserve(out, NOISE_LENGTH_BYTES);
    size_t start = writer_used(out);
    assert(length);
    if (n->step == NOISE_WRITE_1) {
        write_1(n, out);
        next = NOISE_READ_2;
    } else if (n->step == NOISE_WRITE_2) {
        rc = write_2(n, out, err);
        next = NOISE_READ_3;
    } else {
        assert(n->step == NOISE_WRITE_3);
        rc = write_s_and_payload(n, out, err);
        next = NOISE_DONE;
    }
    assert(!out->overflow);
    be16_encode(length, (uint16_t)(writer_used(out) - start));
    n->step = rc ? NOISE_BROKEN : next;
    return rc;
}

/* Does the list of an extensions field name our muxer? Called only once the sender is proven. */
static enum err extensions_read(struct noise *n, struct bytes extensions, struct error *err)
{
    struct reader r = reader_of(extensions);
    struct wire_field f;
    size_t muxers = 0;
    bool named = false;
    while (wire_next(&r, &f)) {
        if (!wire_is(&r, &f, EXTENSION_MUXERS, WIRE_BYTES))
            continue;
        muxers++;
        named = named || bytes_equal(f.bytes, bytes_of(n->muxer_, strlen(n->muxer_)));
    }
    if (LIMIT_CHECK(NOISE_MUXERS, muxers)) /* a longer list counts as none */
        n->muxer_named = named;
    return reader_finish(&r, "Noise extensions", err);
}

static enum err identity_check(struct noise *n, struct bytes key_message, struct bytes signature,
                               struct error *err)
{
    struct peer_key key;
    struct peer_id id;
    uint8_t text[64];
    enum err rc = peer_key_decode(key_message, &key, err);
    if (!rc)
        rc = peer_key_verify(&key, signed_text(text, n->rs_), signature, err);
    if (rc)
        return error_wrap(err, rc, "Noise identity");
    peer_key_id(&key, &id);
    if (n->expected_.len > 0 && !peer_id_equal(&id, &n->expected_)) {
        char wanted[PEER_ID_TEXT_MAX], got[PEER_ID_TEXT_MAX];
        return error_set(err, ERR_BAD_PROOF, "expected peer %s, found %s",
                         peer_id_to_text(&n->expected_, wanted), peer_id_to_text(&id, got));
    }
    n->remote = id;
    return ERR_OK;
}

static enum err payload_read(struct noise *n, struct bytes payload, struct error *err)
{
    struct reader r = reader_of(payload);
    struct wire_field f;
    struct bytes key = { NULL, 0 }, signature = { NULL, 0 }, extensions = { NULL, 0 };
    while (wire_next(&r, &f)) {
        if (wire_is(&r, &f, PAYLOAD_KEY, WIRE_BYTES))
            key = f.bytes;
        else if (wire_is(&r, &f, PAYLOAD_SIGNATURE, WIRE_BYTES))
            signature = f.bytes;
        else if (wire_is(&r, &f, PAYLOAD_EXTENSIONS, WIRE_BYTES))
            extensions = f.bytes;
    }
    enum err rc = reader_finish(&r, "Noise payload", err);
    if (!rc)
        rc = identity_check(n, key, signature, err);
    return rc ? rc : extensions_read(n, extensions, err);
}

static void read_e(struct noise *n, struct reader *r)
{
    reader_copy(r, n->re_, sizeof(n->re_));
    mix_hash(n, n->re_, sizeof(n->re_));
}

/* The sealed s, its key with our ephemeral one, and the payload that takes the rest. */
static enum err read_s_and_payload(struct noise *n, struct reader *r, struct error *err)
{
    struct bytes s, payload, box = reader_take(r, X25519_BYTES + AEAD_TAG_BYTES);
    if (!box.data)
        return error_set(err, ERR_MALFORMED, "Noise: a message that is too short");
    enum err rc = open_and_hash(n, box, &s, err);
    if (rc)
        return rc;
    memcpy(n->rs_, s.data, sizeof(n->rs_));
    rc = mix_key(n, n->e_, n->rs_, err); /* es of the dialer, se of the listener */
    if (!rc)
        rc = open_and_hash(n, reader_take(r, reader_left(r)), &payload, err);
    return rc ? rc : payload_read(n, payload, err);
}

static enum err read_1(struct noise *n, struct reader *r, struct error *err)
{
    read_e(n, r);
    struct bytes payload = reader_take(r, reader_left(r));
    mix_hash(n, payload.data, payload.size);
    return reader_finish(r, "Noise message 1", err);
}

static enum err read_2(struct noise *n, struct reader *r, struct error *err)
{
    read_e(n, r);
    if (r->failed)
        return reader_finish(r, "Noise message 2", err);
    enum err rc = mix_key(n, n->e_, n->re_, err);
    return rc ? rc : read_s_and_payload(n, r, err);
}

enum err noise_read(struct noise *n, uint8_t *message, size_t size, struct error *err)
{
    enum err rc;
    enum noise_step next = NOISE_BROKEN;
    struct reader r = reader_of(bytes_of(message, size));
    if (!LIMIT_CHECK(NOISE_HANDSHAKE_BYTES, size)) {
        n->step = NOISE_BROKEN;
        return error_set(err, ERR_TOO_LARGE, "a Noise handshake message of %zu bytes", size);
    }
    if (n->step == NOISE_READ_1) {
        rc = read_1(n, &r, err);
        next = NOISE_WRITE_2;
    } else if (n->step == NOISE_READ_2) {
        rc = read_2(n, &r, err);
        next = NOISE_WRITE_3;
    } else {
        assert(n->step == NOISE_READ_3);
        rc = read_s_and_payload(n, &r, err);
        next = NOISE_DONE;
    }
    n->step = rc ? NOISE_BROKEN : next;
    return rc;
}

void noise_wipe(struct noise *n)
{
    struct peer_id remote = n->remote;
    bool named = n->muxer_named;
    secret_wipe(n, sizeof(*n));
    n->step = NOISE_BROKEN;
    n->remote = remote;
    n->muxer_named = named;
}

enum err noise_split(struct noise *n, struct noise_records *out, struct error *err)
{
    assert(n->step == NOISE_DONE);
    uint8_t to_listener[SHA256_BYTES], to_dialer[SHA256_BYTES];
    hkdf(n->ck_, bytes_of(NULL, 0), to_listener, to_dialer);
    *out = (struct noise_records){ .seal_ = aead_create(n->dialer ? to_listener : to_dialer),
                                   .open_ = aead_create(n->dialer ? to_dialer : to_listener) };
    secret_wipe(to_listener, sizeof(to_listener));
    secret_wipe(to_dialer, sizeof(to_dialer));
    noise_wipe(n);
    if (out->seal_ && out->open_)
        return ERR_OK;
    noise_records_close(out);
    return error_set(err, ERR_SYSTEM, "Noise: no memory for a context");
}

void noise_records_close(struct noise_records *r)
{
    aead_destroy(r->seal_);
    aead_destroy(r->open_);
    *r = (struct noise_records){ 0 };
}

size_t noise_seal(struct noise_records *r, uint8_t *buf, size_t size)
{
    assert(size <= NOISE_PLAIN_MAX);
    /* 2^64 - 1 records of at least 18 bytes do not happen; reusing a nonce must not. */
    assert(r->sealed_ < UINT64_MAX);
    struct bytes none = { NULL, 0 }, plain = bytes_of(buf + NOISE_LENGTH_BYTES, size);
    aead_seal(r->seal_, r->sealed_++, none, plain, buf + NOISE_LENGTH_BYTES);
    be16_encode(buf, (uint16_t)(size + AEAD_TAG_BYTES));
    return NOISE_LENGTH_BYTES + size + AEAD_TAG_BYTES;
}

enum err noise_open(struct noise_records *r, uint8_t *record, size_t *size, struct error *err)
{
    struct bytes none = { NULL, 0 };
    if (r->opened_ == UINT64_MAX ||
        !aead_open(r->open_, r->opened_, none, bytes_of(record, *size), record))
        return error_set(err, ERR_BAD_PROOF, "a Noise record that does not open");
    r->opened_++;
    *size -= AEAD_TAG_BYTES;
    r->empty_ = *size == 0 ? r->empty_ + 1 : 0;
    if (!LIMIT_CHECK(NOISE_EMPTY_RECORDS, r->empty_))
        return error_set(err, ERR_PROTOCOL, "too many empty Noise records in a row");
    return ERR_OK;
}
