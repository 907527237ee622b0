#include "unit.h"
#include "vectors.h"

#include "base/hex.h"
#include "swarm/identity.h"

static yajl_val identity(void)
{
    return vector_get(vectors_load("swarm-vectors.json"), "identity");
}

TEST(an_identity_has_the_overlay_that_bee_gives_it)
{
    yajl_val list = vector_get(identity(), "overlays");
    uint8_t secret[32], owner[20], nonce[32], want[32];
    struct error err = { ERR_OK, "" };
    check(vector_hex(identity(), "private_key", secret, 32) == 32, "key");
    check(vector_hex(identity(), "ethereum_address", owner, 20) == 20, "address");
    for (size_t i = 0; i < vector_count(list); i++) {
        yajl_val v = vector_at(list, i);
        struct swarm_identity id = { .network_id = 0 };
        uint8_t network[8];
        check(vector_hex(v, "network_id_le8", network, 8) == 8, "network");
        check(!swarm_nonce_parse(nonce, vector_text(v, "nonce"), &err), err.text);
        check(vector_hex(v, "overlay", want, 32) == 32, "overlay");
        check(!swarm_identity_init(&id, secret, nonce, le64_decode(network), &err), err.text);
        check(!memcmp(id.overlay, want, 32) && !memcmp(id.ethereum, owner, 20), "as bee says");
        check(id.network_id == le64_decode(network) && !memcmp(id.nonce, nonce, 32), "kept");
        swarm_identity_wipe(&id);
    }
    memset(secret, 0, sizeof(secret));
    struct swarm_identity id = { .network_id = 0 };
    check(swarm_identity_init(&id, secret, nonce, 1, &err) == ERR_MALFORMED, "no key");
    swarm_identity_wipe(&id);
}

TEST(nonces_and_prefixes_are_refused_when_they_are_none)
{
    static const char *const bad[] = { "", "11", "xx", "12" };
    uint8_t nonce[32];
    struct swarm_prefix p = { .bits = 7 };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        check(swarm_nonce_parse(nonce, bad[i], NULL) == ERR_MALFORMED, bad[i]);
    check(swarm_prefix_parse(&p, "0102", NULL) == ERR_MALFORMED && p.bits == 7, "a two");
    check(swarm_prefix_parse(&p, "0000000000000000000000001", NULL) == ERR_TOO_LARGE, "25 bits");
    check(!swarm_prefix_parse(&p, "", NULL) && p.bits == 0, "none at all");
    check(!swarm_prefix_parse(&p, "1010000000000001", NULL), "16 bits");
    check(p.bits == 16 && p.bytes[0] == 0xa0 && p.bytes[1] == 1, "from the left");
    uint8_t overlay[32] = { 0xa0, 0x01, 0x80 };
    check(swarm_prefix_matches(&p, overlay), "all of its bits and no more");
    overlay[1] ^= 1;
    check(!swarm_prefix_matches(&p, overlay), "all but the last");
}

TEST(a_mined_nonce_leads_to_the_neighbourhood)
{
    static const char *const prefixes[] = { "", "0", "1", "01101", "111100001" };
    uint8_t owner[20], nonce[32], overlay[32], again[32];
    check(vector_hex(identity(), "ethereum_address", owner, 20) == 20, "address");
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        struct swarm_prefix p;
        check(!swarm_prefix_parse(&p, prefixes[i], NULL), "a prefix");
        swarm_nonce_mine(nonce, overlay, owner, 7357, &p);
        overlay_compute(again, owner, 7357, nonce);
        check(!memcmp(overlay, again, 32), "the overlay of that nonce");
        for (uint32_t bit = 0; bit < p.bits; bit++)
            check((overlay[bit / 8] >> (7 - bit % 8) & 1) == prefixes[i][bit] - '0', prefixes[i]);
    }
}
