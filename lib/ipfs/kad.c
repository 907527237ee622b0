#include "ipfs/kad.h"

#include "base/varint.h"
#include "codec/wire.h"
#include "net/reached.h"

void kad_of(struct bytes b, uint8_t out[KAD_BYTES])
{
    sha256_of(b.data, b.size, out);
}

int kad_compare(const uint8_t target[KAD_BYTES], const uint8_t a[KAD_BYTES],
                const uint8_t b[KAD_BYTES])
{
    for (int i = 0; i < KAD_BYTES; i += 8) {
        uint64_t t = be64_decode(target + i), x = be64_decode(a + i) ^ t,
                 y = be64_decode(b + i) ^ t;
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

uint32_t kad_common(const uint8_t a[KAD_BYTES], const uint8_t b[KAD_BYTES])
{
    for (uint32_t i = 0; i < KAD_BYTES; i += 8) {
        uint64_t x = be64_decode(a + i) ^ be64_decode(b + i);
        if (x)
            return i * 8 + (uint32_t)__builtin_clzll(x);
    }
    return KAD_BYTES * 8;
}

/* ---- peers ---- */

void kad_peer_init(struct kad_peer *p, const struct peer_id *id)
{
    *p = (struct kad_peer){ .id = *id };
    kad_of(peer_id_bytes(id), p->kad);
}

bool kad_peer_add_address(struct kad_peer *p, struct bytes multiaddr, bool allow_private)
{
    struct multiaddr_target t;
    if (multiaddr.size > UINT8_MAX || !multiaddr_target(multiaddr, &t) ||
        (t.host != MULTIADDR_IP4 && t.host != MULTIADDR_IP6))
        return false;
    struct host_address a = { .ip6 = t.host == MULTIADDR_IP6, .port = t.port };
    memcpy(a.ip, t.value.data, t.value.size);
    if ((!allow_private && address_is_private(&a)) ||
        sizeof(p->addresses) - p->addresses_used < 1 + multiaddr.size)
        return false;
    p->addresses[p->addresses_used] = (uint8_t)multiaddr.size;
    memcpy(p->addresses + p->addresses_used + 1, multiaddr.data, multiaddr.size);
    p->addresses_used += 1 + (uint16_t)multiaddr.size;
    return true;
}

struct bytes kad_peer_address(const struct kad_peer *p, uint32_t *at)
{
    if (*at >= p->addresses_used)
        return bytes_of(NULL, 0);
    const uint8_t *a = p->addresses + *at;
    *at += 1U + a[0];
    return bytes_of(a + 1, a[0]);
}

/* ---- requests ---- */

size_t kad_request_put(uint8_t out[128], enum kad_type type, struct bytes key)
{
    struct writer w = writer_of(out, 128);
    assert(key.size > 0 && key.size <= LIMIT_KEYSTORE_HASH_BYTES);
    writer_u8(&w, (uint8_t)(4 + key.size + 2)); /* below 128 */
    wire_put_varint(&w, 1, type);
    wire_put_bytes(&w, 2, key);
    wire_put_varint(&w, 10, 1); /* clusterLevelRaw, which the Go peers send */
    assert(!w.overflow);
    return writer_used(&w);
}

/* The tail is "4a <size> peer 50 01"; its first three bytes are kept for the size. */
enum { TAIL_HEAD = 3, TAIL_END = 2 };

static void tail_seal(struct kad_record *r, uint16_t peer_size)
{
    struct writer w = writer_of(r->tail, sizeof(r->tail));
    uint8_t peer[KAD_RECORD_TAIL_MAX];
    memcpy(peer, r->tail + r->tail_size, peer_size);
    wire_put_bytes(&w, 9, bytes_of(peer, peer_size));
    wire_put_varint(&w, 10, 1);
    r->tail_size = (uint16_t)writer_used(&w);
}

/* Peer bytes as they stand in the tail. */
static struct bytes tail_peer(const struct kad_record *r)
{
    struct reader in = reader_of(bytes_of(r->tail, r->tail_size));
    struct wire_field f = { 0 };
    (void)wire_next(&in, &f);
    return f.bytes;
}

static bool tail_append(struct kad_record *r, uint32_t number, struct bytes b)
{
    struct bytes peer = tail_peer(r);
    size_t size = peer.size + wire_bytes_size(number, b.size);
    uint8_t buf[KAD_RECORD_TAIL_MAX];
    if (size + TAIL_HEAD + TAIL_END > sizeof(r->tail) / 2)
        return false;
    struct writer w = writer_of(buf, sizeof(buf));
    writer_put(&w, peer.data, peer.size);
    wire_put_bytes(&w, number, b);
    r->tail_size = TAIL_HEAD;
    memcpy(r->tail + TAIL_HEAD, buf, size);
    tail_seal(r, (uint16_t)size);
    return true;
}

void kad_record_init(struct kad_record *r, const struct peer_id *self)
{
    *r = (struct kad_record){ 0 };
    bool fits = tail_append(r, 1, peer_id_bytes(self));
    assert(fits);
    (void)fits;
}

bool kad_record_add_address(struct kad_record *r, struct bytes multiaddr)
{
    return tail_append(r, 2, multiaddr);
}

static size_t record_body(const struct kad_record *r, size_t key_size)
{
    return 2 + 2 + key_size + r->tail_size;
}

size_t kad_record_size(const struct kad_record *r, size_t key_size)
{
    size_t body = record_body(r, key_size);
    return (body < 128 ? 1 : 2) + body;
}

void kad_record_put(const struct kad_record *r, uint8_t *out, struct bytes key)
{
    size_t body = record_body(r, key.size);
    if (body < 128) {
        *out++ = (uint8_t)body;
    } else {
        *out++ = (uint8_t)(body | 0x80);
        *out++ = (uint8_t)(body >> 7);
    }
    *out++ = 0x08;
    *out++ = KAD_ADD_PROVIDER;
    *out++ = 0x12;
    *out++ = (uint8_t)key.size;
    memcpy(out, key.data, key.size);
    memcpy(out + key.size, r->tail, r->tail_size);
}

/* ---- targets ---- */

void kad_preimage(uint32_t n, uint8_t out[KAD_PREIMAGE_BYTES])
{
    memset(out, 0, KAD_PREIMAGE_BYTES);
    out[0] = 0x12;
    out[1] = 0x20;
    be32_encode(out + 2, n);
}

void kad_preimages_build(uint32_t preimages[KAD_PREIMAGES])
{
    uint8_t in[KAD_PREIMAGE_BYTES], kad[KAD_BYTES];
    uint32_t found = 0;
    memset(preimages, 0xff, KAD_PREIMAGES * sizeof(*preimages));
    for (uint32_t n = 0; found < KAD_PREIMAGES; n++) {
        kad_preimage(n, in);
        kad_of(bytes_of(in, sizeof(in)), kad);
        uint32_t *slot = &preimages[be16_decode(kad)];
        found += *slot == UINT32_MAX;
        if (*slot == UINT32_MAX)
            *slot = n;
    }
}
