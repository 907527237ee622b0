#include "unit.h"
#include "vectors.h"

#include "codec/multiaddr.h"

static void check_text(yajl_val v)
{
    const char *text = vector_text(v, "text");
    yajl_val canonical = vector_find(v, "canonical");
    const char *want = canonical ? YAJL_GET_STRING(canonical) : text;
    uint8_t bin[LIMIT_MULTIADDR_BYTES], got[LIMIT_MULTIADDR_BYTES];
    char out[MULTIADDR_TEXT_MAX];
    size_t size = vector_hex(v, "binary", bin, sizeof(bin));
    struct error err = { ERR_OK, "" };
    struct writer w = writer_of(got, sizeof(got));
    check(!multiaddr_from_text(text, strlen(text), &w, &err), text);
    check(bytes_equal(bytes_of(got, writer_used(&w)), bytes_of(bin, size)), text);
    check(!multiaddr_to_text(bytes_of(bin, size), out, sizeof(out), &err), text);
    check(!strcmp(out, want), out);
    check(multiaddr_to_text(bytes_of(bin, size), out, strlen(out), NULL) == ERR_TOO_LARGE, text);
    for (size_t n = 0; n < size; n++) {
        w = writer_of(got, n);
        check(multiaddr_from_text(text, strlen(text), &w, NULL), "too little room");
    }
}

TEST(addresses_of_the_vectors)
{
    yajl_val all = vector_get(vectors_load("libp2p-vectors.json"), "multiaddr");
    for (size_t i = 0; i < vector_count(all); i++)
        check_text(vector_at(all, i));
}

TEST(edges_of_the_vectors)
{
    yajl_val root = vectors_load("libp2p-vectors.json");
    yajl_val texts = vector_get(root, "multiaddr_text_edge");
    for (size_t i = 0; i < vector_count(texts); i++) {
        yajl_val v = vector_at(texts, i);
        const char *text = vector_text(v, "text");
        uint8_t buf[64];
        struct writer w = writer_of(buf, sizeof(buf));
        if (vector_bool(v, "accepted"))
            check_text(v);
        else
            check(multiaddr_from_text(text, strlen(text), &w, NULL) == ERR_MALFORMED, text);
    }
    yajl_val binaries = vector_get(root, "multiaddr_binary_edge");
    for (size_t i = 0; i < vector_count(binaries); i++) {
        yajl_val v = vector_at(binaries, i);
        uint8_t buf[64];
        size_t size = vector_hex(v, "binary", buf, sizeof(buf));
        check(multiaddr_check(bytes_of(buf, size), NULL) != ERR_OK, vector_text(v, "note"));
    }
}

static const struct {
    const char *text;
    int host; /* 0: not to be dialled */
    uint16_t port;
    bool peer;
} targets[] = {
#define ID "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
    { "/ip4/1.2.3.4/tcp/4001", MULTIADDR_IP4, 4001, false },
    { "/ip6/::1/tcp/1/p2p/" ID, MULTIADDR_IP6, 1, true },
    { "/dns/a/tcp/2", MULTIADDR_DNS, 2, false },
    { "/dns4/a/tcp/2", MULTIADDR_DNS4, 2, false },
    { "/dns6/a/tcp/2", MULTIADDR_DNS6, 2, false },
    { "/dnsaddr/a/p2p/" ID, MULTIADDR_DNSADDR, 0, true },
    { "/dnsaddr/a", MULTIADDR_DNSADDR, 0, false },
    { "/ip4/1.2.3.4/tcp/4001/ws", 0, 0, false },
    { "/ip4/1.2.3.4/tcp/4001/p2p/" ID "/p2p-circuit", 0, 0, false },
    { "/ip4/1.2.3.4/udp/4001/quic-v1", 0, 0, false },
    { "/ip4/1.2.3.4", 0, 0, false },
    { "/ip6zone/eth0/ip6/fe80::1/tcp/1", 0, 0, false },
    { "/p2p/" ID, 0, 0, false },
    { "/tcp/1", 0, 0, false },
};

TEST(what_we_can_dial)
{
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        uint8_t buf[128];
        struct writer w = writer_of(buf, sizeof(buf));
        struct multiaddr_target t;
        const char *text = targets[i].text;
        check(!multiaddr_from_text(text, strlen(text), &w, NULL), text);
        bool ok = multiaddr_target(bytes_of(buf, writer_used(&w)), &t);
        check(ok == (targets[i].host != 0), text);
        check(!ok || ((int)t.host == targets[i].host && t.port == targets[i].port &&
                      (t.peer.len > 0) == targets[i].peer),
              text);
    }
}

static const struct {
    const char *why, *text;
    bool ok;
} more[] = {
    { "a path takes the rest", "/unix/run/a.sock", true },
    { "an onion address", "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234",
      true },
    { "an onion address without port",
      "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd", false },
    { "an onion address with port 0",
      "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:0", false },
    { "a certificate hash",
      "/ip4/1.2.3.4/udp/1/quic-v1/webtransport/certhash/"
      "uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ",
      true },
    { "a certificate hash that is none", "/certhash/f00", false },
    { "a number of 64 bits", "/memory/18446744073709551615", true },
    { "a number of 65 bits", "/memory/18446744073709551616", false },
    { "a port with a sign", "/tcp/+1", false },
    { "a mapped IPv6 address", "/ip6/::ffff:1.2.3.4/tcp/1", true },
};

TEST(parts_the_vectors_do_not_have)
{
    for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
        uint8_t buf[128];
        char out[256];
        struct writer w = writer_of(buf, sizeof(buf));
        enum err rc = multiaddr_from_text(more[i].text, strlen(more[i].text), &w, NULL);
        check((rc == ERR_OK) == more[i].ok, more[i].why);
        if (rc)
            continue;
        check(!multiaddr_to_text(bytes_of(buf, writer_used(&w)), out, sizeof(out), NULL), out);
        check(!strcmp(out, more[i].text), out);
    }
}

TEST(addresses_have_limits)
{
    char text[2048] = "";
    uint8_t buf[2048];
    for (int i = 0; i < LIMIT_MULTIADDR_COMPONENTS; i++)
        memcpy(text + strlen(text), "/tls", sizeof("/tls"));
    struct writer w = writer_of(buf, sizeof(buf));
    check(!multiaddr_from_text(text, strlen(text), &w, NULL), "16 parts");
    memcpy(text + strlen(text), "/tls", sizeof("/tls"));
    w = writer_of(buf, sizeof(buf));
    check(multiaddr_from_text(text, strlen(text), &w, NULL) == ERR_TOO_LARGE, "17 parts");
    memset(text, 'a', sizeof(text));
    memcpy(text, "/dns/", 5);
    w = writer_of(buf, sizeof(buf));
    check(!multiaddr_from_text(text, 5 + 253, &w, NULL), "a name of 253 characters");
    w = writer_of(buf, sizeof(buf));
    check(multiaddr_from_text(text, 5 + 254, &w, NULL) == ERR_MALFORMED, "one more");
    memcpy(text, "/unix/", 6);
    w = writer_of(buf, sizeof(buf));
    check(multiaddr_from_text(text, 1200, &w, NULL) == ERR_TOO_LARGE, "more than 1024 bytes");
}

TEST(addresses_are_built_from_sockets)
{
    static const uint8_t ip[] = { 127, 0, 0, 1 };
    struct peer_id id;
    char text[128];
    uint8_t buf[128];
    check(!peer_id_from_text(ID, strlen(ID), &id, NULL), "id");
    struct writer w = writer_of(buf, sizeof(buf));
    multiaddr_put_tcp(&w, MULTIADDR_IP4, ip, 4001);
    multiaddr_put_peer(&w, &id);
    check(!multiaddr_to_text(bytes_of(buf, writer_used(&w)), text, sizeof(text), NULL), "text");
    check(!strcmp(text, "/ip4/127.0.0.1/tcp/4001/p2p/" ID), text);
}
