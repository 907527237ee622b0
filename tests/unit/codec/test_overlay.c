#include "unit.h"

#include "codec/overlay.h"
#include "vectors.h"

static yajl_val vectors(const char *key)
{
    return vector_get(vectors_load("swarm-vectors.json"), key);
}

static void signer_of_vectors(struct sig_signer *s)
{
    uint8_t secret[32];
    struct error err = { ERR_OK, "" };
    check(vector_hex(vectors("identity"), "private_key", secret, 32) == 32, "key");
    check(!sig_signer_init(s, secret, secret, &err), err.text);
}

TEST(overlays_are_those_of_bee)
{
    yajl_val list = vector_get(vectors("identity"), "overlays");
    uint8_t owner[20], nonce[32], want[32], got[32];
    check(vector_hex(vectors("identity"), "ethereum_address", owner, 20) == 20, "owner");
    check(vector_count(list) == 4, "four networks");
    for (size_t i = 0; i < vector_count(list); i++) {
        yajl_val v = vector_at(list, i);
        uint8_t id[8];
        check(vector_hex(v, "network_id_le8", id, 8) == 8, "network");
        check(vector_hex(v, "nonce", nonce, 32) == 32, "nonce");
        check(vector_hex(v, "overlay", want, 32) == 32, "overlay");
        overlay_compute(got, owner, le64_decode(id), nonce);
        check(!memcmp(got, want, 32), "overlay of this network");
    }
}

TEST(proximity_is_that_of_bee)
{
    yajl_val list = vectors("proximity");
    for (size_t i = 0; i < vector_count(list); i++) {
        uint8_t a[32], b[32];
        yajl_val v = vector_at(list, i);
        check(vector_hex(v, "a", a, 32) == 32 && vector_hex(v, "b", b, 32) == 32, "addresses");
        check(overlay_proximity(a, b) == vector_int(v, "po"), vector_text(v, "b"));
        check(overlay_proximity(b, a) == overlay_proximity(a, b), "either way round");
        check(overlay_proximity(a, a) == OVERLAY_BIN_MAX, "an address is in its own last bin");
    }
}

TEST(underlays_are_those_of_bee)
{
    yajl_val list = vectors("underlays");
    for (size_t i = 0; i < vector_count(list); i++) {
        yajl_val v = vector_at(list, i);
        uint8_t raw[256], again[256];
        struct overlay_underlays u;
        struct error err = { ERR_OK, "" };
        size_t size = vector_hex(v, "bytes", raw, sizeof(raw));
        check(!overlay_underlays_parse(&u, bytes_of(raw, size), &err), err.text);
        check(u.count == vector_count(vector_get(v, "addrs")), "how many");
        for (uint32_t k = 0; k < u.count; k++)
            check(u.addrs[k].size == 45 && u.addrs[k].data[0] == 0x04, "an ip4 address and a peer");
        struct writer w = writer_of(again, sizeof(again));
        check(overlay_underlays_write(&w, &u), "it fits");
        check(bytes_equal(bytes_of(again, writer_used(&w)), bytes_of(raw, size)), "the same bytes");
    }
}

static const struct {
    const char *why;
    struct bytes raw;
    uint32_t count;
    enum err want;
} lists[] = {
    { "no byte", { (const uint8_t *)"", 0 }, 0, ERR_MALFORMED },
    { "an empty list", { (const uint8_t *)"\x99", 1 }, 0, ERR_OK },
    { "a list of one", { (const uint8_t *)"\x99\x02\x04\x05", 4 }, 1, ERR_OK },
    { "an address cut short", { (const uint8_t *)"\x99\x03\x04\x05", 4 }, 0, ERR_MALFORMED },
    { "an empty address", { (const uint8_t *)"\x99\x00\x01\x04", 4 }, 0, ERR_MALFORMED },
    { "a length cut short", { (const uint8_t *)"\x99\x80", 2 }, 0, ERR_MALFORMED },
};

TEST(lists_of_underlays)
{
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        struct overlay_underlays u = { .count = 0 };
        enum err rc = overlay_underlays_parse(&u, lists[i].raw, NULL);
        check(rc == lists[i].want && u.count == lists[i].count, lists[i].why);
    }
}

TEST(underlays_have_limits)
{
    uint8_t raw[LIMIT_UNDERLAYS_BYTES + 1];
    struct overlay_underlays u;
    memset(raw, 1, sizeof(raw));
    check(!overlay_underlays_parse(&u, bytes_of(raw, sizeof(raw) - 1), NULL), "2048 bytes");
    check(overlay_underlays_parse(&u, bytes_of(raw, sizeof(raw)), NULL) == ERR_LIMIT, "one more");
    raw[0] = 0x99; /* then addresses of one byte, 01 */
    check(!overlay_underlays_parse(&u, bytes_of(raw, 1 + 2 * LIMIT_UNDERLAYS), NULL) &&
              u.count == LIMIT_UNDERLAYS,
          "20 addresses");
    check(overlay_underlays_parse(&u, bytes_of(raw, 3 + 2 * LIMIT_UNDERLAYS), NULL) == ERR_LIMIT,
          "one more");
    struct overlay_underlays large = { .count = 2 };
    memset(raw, 4, sizeof(raw));
    large.addrs[0] = large.addrs[1] = bytes_of(raw, 1024);
    uint8_t out[4096];
    struct writer w = writer_of(out, sizeof(out));
    check(!overlay_underlays_write(&w, &large), "too many bytes are not written to a peer either");
}

struct fixture {
    uint8_t underlays[512], signature[65], overlay[32], nonce[32], chequebook[20];
    struct overlay_record rec;
    struct overlay_check c;
};

static void load(struct fixture *f, yajl_val v)
{
    f->rec = (struct overlay_record){
        .underlays = bytes_of(f->underlays,
                              vector_hex(v, "underlay_bytes", f->underlays, sizeof(f->underlays))),
        .signature = bytes_of(f->signature, vector_hex(v, "signature", f->signature, 65)),
        .overlay = bytes_of(f->overlay, vector_hex(v, "overlay", f->overlay, 32)),
        .nonce = bytes_of(f->nonce, vector_hex(v, "nonce", f->nonce, 32)),
        .timestamp_s = vector_int(v, "timestamp"),
        .chequebook = bytes_of(f->chequebook, vector_hex(v, "chequebook", f->chequebook, 20)),
    };
    f->c = (struct overlay_check){ .network_id = (uint64_t)vector_int(v, "network_id"),
                                   .now_s = f->rec.timestamp_s };
}

TEST(handshake_records_are_those_of_bee)
{
    yajl_val list = vectors("handshake");
    struct sig_signer signer;
    signer_of_vectors(&signer);
    check(vector_count(list) == 2, "both records");
    for (size_t i = 0; i < vector_count(list); i++) {
        struct fixture f;
        struct error err = { ERR_OK, "" };
        uint8_t made[SIG_BYTES];
        load(&f, vector_at(list, i));
        check(!overlay_record_check(&f.rec, &f.c, &err), err.text);
        overlay_record_sign(&f.rec, f.c.network_id, &signer, made);
        check(!memcmp(made, f.signature, SIG_BYTES), "our signature is bee's");
    }
}

TEST(an_absent_chequebook_is_signed_as_zeros)
{
    struct fixture f;
    struct error err = { ERR_OK, "" };
    load(&f, vector_at(vectors("handshake"), 0));
    f.rec.chequebook = bytes_of(NULL, 0);
    check(!overlay_record_check(&f.rec, &f.c, &err), err.text);
}

/* One change of a good record or of what is known; the record of the vectors is of 1780000000. */
enum change {
    NOTHING,
    SIGNATURE,
    SIGNATURE_SIZE,
    OVERLAY,
    OVERLAY_SIZE,
    NONCE,
    NONCE_SIZE,
    NETWORK,
    UNDERLAY,
    UNDERLAYS_NONE,
    UNDERLAYS_EMPTY,
    TIME,
    TIME_ZERO,
    TIME_NEGATIVE,
    CHEQUEBOOK,
    CHEQUEBOOK_SIZE
};
static const struct {
    const char *why;
    enum change change;
    int64_t now_s, newest_known_s; /* relative to the record's time */
    enum err want;
} records[] = {
    { "a good record", NOTHING, 0, -1780000000, ERR_OK },
    { "60 s in the future", NOTHING, -60, -1780000000, ERR_OK },
    { "61 s in the future", NOTHING, -61, -1780000000, ERR_BAD_PROOF },
    { "years old", NOTHING, 100000000, -1780000000, ERR_OK },
    { "as old as the one known", NOTHING, 0, 0, ERR_OK },
    { "older than the one known", NOTHING, 0, 1, ERR_BAD_PROOF },
    { "another signature", SIGNATURE, 0, 0, ERR_BAD_PROOF },
    { "64 bytes of signature", SIGNATURE_SIZE, 0, 0, ERR_MALFORMED },
    { "another overlay", OVERLAY, 0, 0, ERR_BAD_PROOF },
    { "31 bytes of overlay", OVERLAY_SIZE, 0, 0, ERR_MALFORMED },
    { "another nonce", NONCE, 0, 0, ERR_BAD_PROOF },
    { "no nonce", NONCE_SIZE, 0, 0, ERR_MALFORMED },
    { "another network", NETWORK, 0, 0, ERR_BAD_PROOF },
    { "another underlay", UNDERLAY, 0, 0, ERR_BAD_PROOF },
    { "an empty list of underlays", UNDERLAYS_NONE, 0, 0, ERR_MALFORMED },
    { "underlays without a byte", UNDERLAYS_EMPTY, 0, 0, ERR_MALFORMED },
    { "another time", TIME, 10, 0, ERR_BAD_PROOF },
    { "time zero", TIME_ZERO, 0, -1780000000, ERR_MALFORMED },
    { "a negative time", TIME_NEGATIVE, 0, -1780000000, ERR_MALFORMED },
    { "another chequebook", CHEQUEBOOK, 0, 0, ERR_BAD_PROOF },
    { "19 bytes of chequebook", CHEQUEBOOK_SIZE, 0, 0, ERR_MALFORMED },
};

static void apply(struct fixture *f, enum change change)
{
    switch (change) {
    case NOTHING:
        break;
    case SIGNATURE:
        f->signature[40] ^= 1;
        break;
    case SIGNATURE_SIZE:
        f->rec.signature.size--;
        break;
    case OVERLAY:
        f->overlay[31] ^= 1;
        break;
    case OVERLAY_SIZE:
        f->rec.overlay.size--;
        break;
    case NONCE:
        f->nonce[0] ^= 1;
        break;
    case NONCE_SIZE:
        f->rec.nonce.size = 0;
        break;
    case NETWORK:
        f->c.network_id = 1;
        break;
    case UNDERLAY:
        f->underlays[4] ^= 1;
        break;
    case UNDERLAYS_NONE:
        f->underlays[0] = 0x99;
        f->rec.underlays.size = 1;
        break;
    case UNDERLAYS_EMPTY:
        f->rec.underlays.size = 0;
        break;
    case TIME:
        f->rec.timestamp_s++;
        break;
    case TIME_ZERO:
        f->rec.timestamp_s = 0;
        break;
    case TIME_NEGATIVE:
        f->rec.timestamp_s = INT64_MIN;
        break;
    case CHEQUEBOOK:
        f->chequebook[19] ^= 1;
        break;
    case CHEQUEBOOK_SIZE:
        f->rec.chequebook.size--;
        break;
    }
}

TEST(checks_of_a_record)
{
    for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
        struct fixture f;
        struct error err = { ERR_OK, "" };
        load(&f, vector_at(vectors("handshake"), 0));
        f.c.now_s = f.rec.timestamp_s + records[i].now_s;
        f.c.newest_known_s = f.rec.timestamp_s + records[i].newest_known_s;
        apply(&f, records[i].change);
        check(overlay_record_check(&f.rec, &f.c, &err) == records[i].want, records[i].why);
        check(!records[i].want == !err.text[0], "a refusal has a sentence");
    }
}
