#include "unit.h"
#include "vectors.h"

#include "codec/wire.h"
#include "net/noise.h"

#define YAMUX "/yamux/1.0.0"
static const char *const our_muxers[] = { YAMUX, NULL };

static void hex32(yajl_val v, const char *key, uint8_t out[32])
{
    check(vector_hex(v, key, out, 32) == 32, key);
}

/* One side with the vector's keys and its list of muxers. */
static void side_init(yajl_val v, bool dialer, struct noise_static *st, struct noise *n)
{
    yajl_val list = vector_get(v, "stream_muxers");
    const char *muxers[4] = { NULL };
    uint8_t seed[32], secret[32];
    struct peer_secret id;
    struct noise_options o = { .dialer = dialer, .st = st, .muxer = YAMUX };
    for (size_t i = 0; i < vector_count(list); i++)
        muxers[i] = YAJL_GET_STRING(vector_at(list, i));
    hex32(v, "identity_ed25519_seed", seed);
    hex32(v, "static_private", secret);
    hex32(v, "ephemeral_private", o.ephemeral);
    peer_secret_from_seed(seed, &id);
    check(!noise_static_init(st, &id, secret, muxers, NULL), "static");
    uint8_t payload[512];
    size_t size = vector_hex(v, "payload", payload, sizeof(payload));
    check(st->payload_size == size && !memcmp(st->payload, payload, size), "payload");
    noise_init(n, &o);
}

static void check_h(yajl_val v, const char *key, const struct noise *n)
{
    uint8_t h[32];
    hex32(v, key, h);
    check(!memcmp(h, n->h_, 32), key);
}

static void pass(yajl_val v, const char *key, struct noise *from, struct noise *to)
{
    uint8_t frame[1024], want[1024];
    struct writer w = writer_of(frame, sizeof(frame));
    struct error err = { ERR_OK, "" };
    size_t size = vector_hex(v, key, want, sizeof(want));
    check(!noise_write(from, &w, &err), err.text);
    check(writer_used(&w) == size && !memcmp(frame, want, size), key);
    check(noise_frame_size(bytes_of(frame, size)) == size, "its length");
    check(!noise_read(to, frame + 2, size - 2, &err), err.text);
}

TEST(the_handshake_of_the_vectors)
{
    yajl_val v = vector_get(vectors_load("libp2p-vectors.json"), "noise");
    struct noise_static sd, sl;
    struct noise d, l;
    side_init(vector_get(v, "initiator"), true, &sd, &d);
    side_init(vector_get(v, "responder"), false, &sl, &l);
    check_h(v, "h_start", &d);
    pass(v, "frame_1", &d, &l);
    check_h(v, "h_after_1", &l);
    pass(v, "frame_2", &l, &d);
    check_h(v, "h_after_2", &d);
    pass(v, "frame_3", &d, &l);
    check_h(v, "h_final", &l);
    check(d.step == NOISE_DONE && l.step == NOISE_DONE, "both are done");
    check(d.muxer_named && l.muxer_named, "yamux is in both lists");
    struct noise_records rd, rl;
    check(!noise_split(&d, &rd, NULL) && !noise_split(&l, &rl, NULL), "split");
    yajl_val all = vector_get(v, "transport");
    for (size_t i = 0; i < vector_count(all); i++) {
        yajl_val t = vector_at(all, i);
        bool dials = !strcmp(vector_text(t, "from"), "initiator");
        uint8_t plain[64], want[128], buf[128];
        size_t n = vector_hex(t, "plaintext", plain, sizeof(plain));
        size_t size = vector_hex(t, "frame", want, sizeof(want));
        memcpy(buf + 2, plain, n);
        check(noise_seal(dials ? &rd : &rl, buf, n) == size && !memcmp(buf, want, size), "sealed");
        size_t got = size - 2;
        check(!noise_open(dials ? &rl : &rd, buf + 2, &got, NULL), "opens");
        check(got == n && !memcmp(buf + 2, plain, n), "the same");
    }
    noise_records_close(&rd);
    noise_records_close(&rl);
}

struct pair {
    struct noise_static sd, sl;
    struct noise d, l;
    struct peer_secret id_d, id_l;
};

static void pair_init(struct pair *p, const struct peer_id *expected)
{
    uint8_t a[32] = { 1 }, b[32] = { 2 };
    struct noise_options od = {
        .dialer = true, .st = &p->sd, .muxer = YAMUX, .expected = expected
    };
    struct noise_options ol = { .st = &p->sl, .muxer = YAMUX };
    od.ephemeral[0] = 3;
    ol.ephemeral[0] = 4;
    peer_secret_from_seed(a, &p->id_d);
    peer_secret_from_seed(b, &p->id_l);
    check(!noise_static_init(&p->sd, &p->id_d, a, our_muxers, NULL), "static");
    check(!noise_static_init(&p->sl, &p->id_l, b, our_muxers, NULL), "static");
    noise_init(&p->d, &od);
    noise_init(&p->l, &ol);
}

/* Runs the handshake; message number flip (1..3) has one bit changed. Returns what the reader of
 * the last message said. */
static enum err pair_run(struct pair *p, int flip, size_t at, size_t cut, struct error *err)
{
    struct noise *from = &p->d, *to = &p->l;
    for (int i = 1; i <= 3; i++) {
        uint8_t frame[1024];
        struct writer w = writer_of(frame, sizeof(frame));
        enum err rc = noise_write(from, &w, err);
        if (rc)
            return rc;
        size_t size = writer_used(&w) - 2;
        if (i == flip)
            frame[2 + at % size] ^= 1;
        rc = noise_read(to, frame + 2, i == flip && cut ? MIN(cut - 1, size) : size, err);
        if (rc)
            return rc;
        struct noise *t = from;
        from = to;
        to = t;
    }
    return ERR_OK;
}

TEST(a_changed_or_cut_message_is_refused)
{
    struct pair p;
    struct error err;
    for (int i = 1; i <= 3; i++) {
        for (size_t at = 0; at < 320; at += 1) {
            pair_init(&p, NULL);
            check(pair_run(&p, i, at, 0, &err), "one bit changed");
            pair_init(&p, NULL);
            enum err rc = pair_run(&p, i, at, at + 1, &err);
            check(rc, "changed and cut");
        }
    }
    pair_init(&p, NULL);
    check(!pair_run(&p, 0, 0, 0, &err), "unchanged it works");
    check(peer_id_equal(&p.d.remote, &p.id_l.id) && peer_id_equal(&p.l.remote, &p.id_d.id), "ids");
}

TEST(another_peer_than_expected)
{
    struct pair p;
    struct error err;
    pair_init(&p, NULL);
    struct peer_id right = p.id_l.id, wrong = p.id_d.id;
    pair_init(&p, &right);
    check(!pair_run(&p, 0, 0, 0, &err), "the expected one");
    pair_init(&p, &wrong);
    check(pair_run(&p, 0, 0, 0, &err) == ERR_BAD_PROOF && strstr(err.text, "expected peer"),
          err.text);
}

TEST(a_signature_over_another_key)
{
    struct pair p;
    struct error err;
    pair_init(&p, NULL);
    x25519_public(p.sl.secret, p.sl.pub);
    p.sl.secret[5] ^= 1; /* the listener proves one static key and uses another */
    x25519_public(p.sl.secret, p.sl.pub);
    check(pair_run(&p, 0, 0, 0, &err) == ERR_BAD_PROOF, err.text);
}

/* The payload of the listener, rewritten. */
static enum err run_with_payload(const void *payload, size_t size, bool *named)
{
    struct pair p;
    struct error err;
    pair_init(&p, NULL);
    memcpy(p.sl.payload, payload, size);
    p.sl.payload_size = size;
    enum err rc = pair_run(&p, 0, 0, 0, &err);
    *named = p.d.muxer_named;
    return rc;
}

TEST(payloads_of_strangers)
{
    struct pair p;
    bool named;
    uint8_t buf[NOISE_PAYLOAD_MAX];
    pair_init(&p, NULL);
    size_t bare = p.sl.payload_size - 2 - 2 - strlen(YAMUX); /* without the list */
    check(!run_with_payload(p.sl.payload, bare, &named) && !named, "no list of muxers");
    memcpy(buf, p.sl.payload, bare);
    struct writer w = writer_of(buf + bare, sizeof(buf) - bare);
    wire_put_varint(&w, 99, 7);
    wire_put_bytes(&w, 4, bytes_of("\x12\x06/mplex", 8));
    check(!run_with_payload(buf, bare + writer_used(&w), &named) && !named,
          "an unknown field, another muxer");
    w = writer_of(buf + bare, sizeof(buf) - bare);
    wire_put_header(&w, 4, 101 * 2 + 2 + strlen(YAMUX));
    for (int i = 0; i < 101; i++)
        wire_put_bytes(&w, 2, bytes_of("", 0));
    wire_put_bytes(&w, 2, bytes_of(YAMUX, strlen(YAMUX)));
    check(!run_with_payload(buf, bare + writer_used(&w), &named) && !named, "a list that is long");
    check(run_with_payload("", 0, &named), "no payload at all");
    check(run_with_payload(p.sl.payload, 38, &named), "a key and no signature");
    check(run_with_payload(p.sl.payload, bare - 1, &named), "cut short");
    memcpy(buf, p.sl.payload, bare);
    memcpy(buf + bare, "\x22\x03\x12\x09x", 5);
    check(run_with_payload(buf, bare + 5, &named) == ERR_MALFORMED, "a broken list");
}

TEST(limits_of_messages_and_records)
{
    struct pair p;
    struct error err;
    static uint8_t big[LIMIT_NOISE_HANDSHAKE_BYTES + 1];
    pair_init(&p, NULL);
    check(noise_read(&p.l, big, sizeof(big), &err) == ERR_TOO_LARGE, "8193 bytes");
    pair_init(&p, NULL);
    memset(big, 0, 32);
    check(!noise_read(&p.l, big, 32, &err), "a zero key is seen only when it is used");
    struct writer w = writer_of(big, sizeof(big));
    check(noise_write(&p.l, &w, &err) == ERR_BAD_PROOF && p.l.step == NOISE_BROKEN, "here");
    pair_init(&p, NULL);
    check(!pair_run(&p, 0, 0, 0, &err), "handshake");
    struct noise_records rd, rl;
    check(!noise_split(&p.d, &rd, NULL) && !noise_split(&p.l, &rl, NULL), "split");
    enum err rc = ERR_OK;
    for (int i = 0; i <= LIMIT_NOISE_EMPTY_RECORDS; i++) {
        size_t size = noise_seal(&rd, big, 0) - 2;
        check(rc == ERR_OK, "64 in a row are fine");
        rc = noise_open(&rl, big + 2, &size, &err);
    }
    check(rc == ERR_PROTOCOL, "the 65th empty record");
    size_t short_record = 15;
    check(noise_open(&rl, big, &short_record, &err) == ERR_BAD_PROOF, "shorter than a tag");
    noise_records_close(&rd);
    noise_records_close(&rl);
}

/* Each type of key we can have signs a payload that each verifies. */
TEST(identities_of_all_types)
{
    yajl_val keys = vector_get(vectors_load("libp2p-vectors.json"), "keys");
    for (size_t i = 0; i < vector_count(keys); i++) {
        uint8_t raw[1300], secret[32] = { 9 };
        struct pair p;
        struct error err = { ERR_OK, "" };
        size_t size = vector_hex(vector_at(keys, i), "private_protobuf", raw, sizeof(raw));
        pair_init(&p, NULL);
        if (peer_secret_decode(bytes_of(raw, size), &p.id_l, NULL))
            continue; /* RSA: we have none of our own */
        check(!noise_static_init(&p.sl, &p.id_l, secret, our_muxers, NULL), "static");
        check(!pair_run(&p, 0, 0, 0, &err), err.text);
        check(peer_id_equal(&p.d.remote, &p.id_l.id), "the id of the key");
    }
}
