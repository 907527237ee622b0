#include "swarm/identity.h"

#include "base/hex.h"
#include "codec/curve.h"
#include "net/ethkey.h"

enum err swarm_identity_init(struct swarm_identity *id, const uint8_t secret[SIG_SECRET_BYTES],
                             const uint8_t nonce[OVERLAY_NONCE_BYTES], uint64_t network_id,
                             struct error *err)
{
    enum err rc = ethkey_signer(&id->signer, secret, err);
    if (rc)
        return rc;
    sig_signer_eth_address(&id->signer, id->ethereum);
    memcpy(id->nonce, nonce, sizeof(id->nonce));
    id->network_id = network_id;
    overlay_compute(id->overlay, id->ethereum, network_id, nonce);
    return ERR_OK;
}

void swarm_identity_wipe(struct swarm_identity *id)
{
    sig_signer_wipe(&id->signer);
}

enum err swarm_nonce_parse(uint8_t out[OVERLAY_NONCE_BYTES], const char *text, struct error *err)
{
    size_t size = 0;
    if (hex_decode(text, strlen(text), out, OVERLAY_NONCE_BYTES, &size, NULL) ||
        size != OVERLAY_NONCE_BYTES)
        return error_set(err, ERR_MALFORMED, "a nonce is 64 hex digits");
    return ERR_OK;
}

enum err swarm_prefix_parse(struct swarm_prefix *out, const char *text, struct error *err)
{
    struct swarm_prefix p = { .bits = 0 };
    for (; text[p.bits]; p.bits++) {
        if (text[p.bits] != '0' && text[p.bits] != '1')
            return error_set(err, ERR_MALFORMED, "a prefix is written in zeros and ones");
        if (!LIMIT_CHECK(OVERLAY_PREFIX_BITS, p.bits + 1))
            return error_set(err, ERR_TOO_LARGE, "a prefix has at most %d bits",
                             LIMIT_OVERLAY_PREFIX_BITS);
        if (text[p.bits] == '1')
            p.bytes[p.bits / 8] |= (uint8_t)(0x80 >> p.bits % 8);
    }
    *out = p;
    return ERR_OK;
}

bool swarm_prefix_matches(const struct swarm_prefix *p, const uint8_t overlay[OVERLAY_BYTES])
{
    return overlay_proximity(p->bytes, overlay) >= p->bits;
}

void swarm_nonce_mine(uint8_t nonce[OVERLAY_NONCE_BYTES], uint8_t overlay[OVERLAY_BYTES],
                      const uint8_t ethereum[SIG_ETH_ADDRESS_BYTES], uint64_t network_id,
                      const struct swarm_prefix *p)
{
    assert(p->bits <= LIMIT_OVERLAY_PREFIX_BITS);
    secret_random(nonce, OVERLAY_NONCE_BYTES);
    overlay_compute(overlay, ethereum, network_id, nonce);
    for (uint64_t i = be64_decode(nonce); !swarm_prefix_matches(p, overlay);) {
        be64_encode(nonce, ++i);
        overlay_compute(overlay, ethereum, network_id, nonce);
    }
}
