#include "unit.h"
#include "vectors.h"

#include "net/identify.h"

struct heard {
    uint32_t protocols, addresses;
    char first[64];
};

static void on_protocol(struct identify_seen *seen, struct bytes name)
{
    struct heard *h = seen->ctx;
    if (h->protocols++ == 0) {
        check(name.size < sizeof(h->first), "short");
        memcpy(h->first, name.data, name.size);
    }
}
static void on_address(struct identify_seen *seen, struct bytes multiaddr)
{
    struct heard *h = seen->ctx;
    check(!multiaddr_check(multiaddr, NULL), "an address");
    h->addresses++;
}

static enum err read_into(struct bytes message, struct heard *h, struct identify_seen *seen)
{
    *h = (struct heard){ 0 };
    *seen =
        (struct identify_seen){ .on_protocol = on_protocol, .on_address = on_address, .ctx = h };
    return identify_read(message, seen, NULL);
}

TEST(the_message_of_the_vectors)
{
    yajl_val v = vector_get(vectors_load("libp2p-vectors.json"), "identify");
    static const char *const keys[] = { "message", "message_with_signed_record" };
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        uint8_t buf[1024];
        struct heard h;
        struct identify_seen seen;
        size_t size = vector_hex(v, keys[i], buf, sizeof(buf));
        check(!read_into(bytes_of(buf, size), &h, &seen), keys[i]);
        check(h.protocols == vector_count(vector_get(v, "protocols")), "protocols");
        check(h.addresses == vector_count(vector_get(v, "listen_addrs")), "addresses");
        check(!strcmp(h.first, "/ipfs/id/1.0.0"), h.first);
        check(bytes_equal(seen.agent, bytes_of("larder/0.1.0", 12)), "agent");
        char text[128];
        check(!multiaddr_to_text(seen.observed, text, sizeof(text), NULL), "observed");
        check(!strcmp(text, vector_text(v, "observed_addr")), text);
        struct peer_key key;
        check(!peer_key_decode(seen.public_key, &key, NULL), "key");
    }
}

static const struct {
    const char *why, *bytes;
    size_t size;
    enum err want;
} cases[] = {
    { "nothing at all, as a push may be", "", 0, ERR_OK },
    { "an unknown field", "\x7a\x01x", 3, ERR_OK },
    { "a protocol that is a number", "\x18\x01", 2, ERR_MALFORMED },
    { "cut short", "\x1a\x05/a", 4, ERR_MALFORMED },
};

TEST(messages_of_strangers)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct heard h;
        struct identify_seen seen;
        check(read_into(bytes_of(cases[i].bytes, cases[i].size), &h, &seen) == cases[i].want,
              cases[i].why);
    }
}
