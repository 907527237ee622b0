#include "codec/multiaddr.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/varint.h"
#include "codec/multibase.h"
#include "codec/multihash.h"

enum kind {
    KIND_NONE,
    KIND_IP4,
    KIND_IP6,
    KIND_PORT,
    KIND_NUMBER,
    KIND_ONION3,
    KIND_NAME,
    KIND_TEXT,
    KIND_PATH,
    KIND_PEER,
    KIND_HASH
};

enum { ONION3_KEY_BYTES = 35, LENGTH_PREFIXED = -1 };

static const struct row {
    enum multiaddr_code code;
    const char *name;
    enum kind kind;
    int size; /* LENGTH_PREFIXED: a length stands in front */
} rows[] = {
    { MULTIADDR_IP4, "ip4", KIND_IP4, 4 },
    { MULTIADDR_TCP, "tcp", KIND_PORT, 2 },
    { MULTIADDR_IP6, "ip6", KIND_IP6, 16 },
    { MULTIADDR_IP6ZONE, "ip6zone", KIND_TEXT, LENGTH_PREFIXED },
    { MULTIADDR_DNS, "dns", KIND_NAME, LENGTH_PREFIXED },
    { MULTIADDR_DNS4, "dns4", KIND_NAME, LENGTH_PREFIXED },
    { MULTIADDR_DNS6, "dns6", KIND_NAME, LENGTH_PREFIXED },
    { MULTIADDR_DNSADDR, "dnsaddr", KIND_NAME, LENGTH_PREFIXED },
    { MULTIADDR_UDP, "udp", KIND_PORT, 2 },
    { MULTIADDR_WEBRTC_DIRECT, "webrtc-direct", KIND_NONE, 0 },
    { MULTIADDR_P2P_CIRCUIT, "p2p-circuit", KIND_NONE, 0 },
    { MULTIADDR_UNIX, "unix", KIND_PATH, LENGTH_PREFIXED },
    { MULTIADDR_P2P, "p2p", KIND_PEER, LENGTH_PREFIXED },
    { MULTIADDR_P2P, "ipfs", KIND_PEER, LENGTH_PREFIXED }, /* the old name, read only */
    { MULTIADDR_ONION3, "onion3", KIND_ONION3, 37 },
    { MULTIADDR_TLS, "tls", KIND_NONE, 0 },
    { MULTIADDR_SNI, "sni", KIND_NAME, LENGTH_PREFIXED },
    { MULTIADDR_QUIC, "quic", KIND_NONE, 0 },
    { MULTIADDR_QUIC_V1, "quic-v1", KIND_NONE, 0 },
    { MULTIADDR_WEBTRANSPORT, "webtransport", KIND_NONE, 0 },
    { MULTIADDR_CERTHASH, "certhash", KIND_HASH, LENGTH_PREFIXED },
    { MULTIADDR_WS, "ws", KIND_NONE, 0 },
    { MULTIADDR_WSS, "wss", KIND_NONE, 0 },
    { MULTIADDR_HTTP, "http", KIND_NONE, 0 },
    { MULTIADDR_MEMORY, "memory", KIND_NUMBER, 8 },
};

static const struct row *row_of_code(uint64_t code)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if ((uint64_t)rows[i].code == code)
            return &rows[i];
    return NULL;
}

static const struct row *row_of_name(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (bytes_equal(name, bytes_of(rows[i].name, strlen(rows[i].name))))
            return &rows[i];
    return NULL;
}

static bool name_valid(struct bytes b)
{
    return b.size > 0 && LIMIT_CHECK(DNS_NAME_BYTES, b.size) && !memchr(b.data, '/', b.size) &&
           !memchr(b.data, '\0', b.size);
}

/* What a length-prefixed value must be; fixed ones are right by their size. */
static bool value_valid(enum kind kind, struct bytes v)
{
    struct peer_id id;
    struct multihash mh;
    switch (kind) {
    case KIND_NAME:
        return name_valid(v);
    case KIND_TEXT:
        return v.size > 0 && !memchr(v.data, '/', v.size) && !memchr(v.data, '\0', v.size);
    case KIND_PATH:
        return v.size > 0 && v.data[0] == '/' && !memchr(v.data, '\0', v.size);
    case KIND_PEER:
        return peer_id_parse(v, &id, NULL) == ERR_OK;
    case KIND_HASH:
        return multihash_parse(v, &mh, NULL) == ERR_OK;
    case KIND_NONE:
    case KIND_IP4:
    case KIND_IP6:
    case KIND_PORT:
    case KIND_NUMBER:
    case KIND_ONION3:
        return true;
    }
    return false;
}

bool multiaddr_next(struct reader *r, struct multiaddr_part *out)
{
    if (reader_left(r) == 0)
        return false;
    uint64_t code = reader_uvarint(r);
    if (r->failed)
        return false;
    const struct row *row = row_of_code(code);
    if (!row) {
        reader_fail(r, ERR_UNSUPPORTED);
        return false;
    }
    uint64_t size = row->size == LENGTH_PREFIXED ? reader_uvarint(r) : (uint64_t)row->size;
    struct bytes value = reader_take(r, size);
    if (!r->failed && !value_valid(row->kind, value))
        reader_fail(r, ERR_MALFORMED);
    *out = (struct multiaddr_part){ code, value };
    return !r->failed;
}

enum err multiaddr_check(struct bytes b, struct error *err)
{
    if (b.size == 0)
        return error_set(err, ERR_MALFORMED, "an empty address");
    if (!LIMIT_CHECK(MULTIADDR_BYTES, b.size))
        return error_set(err, ERR_TOO_LARGE, "an address of %zu bytes", b.size);
    struct reader r = reader_of(b);
    struct multiaddr_part part;
    unsigned parts = 0;
    while (multiaddr_next(&r, &part))
        parts++;
    if (!LIMIT_CHECK(MULTIADDR_COMPONENTS, parts))
        return error_set(err, ERR_TOO_LARGE, "an address of %u parts", parts);
    return reader_finish(&r, "address", err);
}

/* Decimal digits only, up to max. */
static bool number_read(struct bytes text, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned d = (unsigned)text.data[i] - '0';
        if (d > 9 || v > (max - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *out = v;
    return text.size > 0;
}

static bool ip_read(int family, struct bytes text, struct writer *w)
{
    char buf[INET6_ADDRSTRLEN] = "";
    uint8_t ip[16];
    if (text.size >= sizeof(buf))
        return false;
    memcpy(buf, text.data, text.size);
    if (strlen(buf) != text.size || inet_pton(family, buf, ip) != 1)
        return false;
    writer_put(w, ip, family == AF_INET ? 4 : 16);
    return true;
}

/* 56 characters of base32, a colon, a port that is not 0. */
static bool onion3_read(struct bytes text, struct writer *w)
{
    enum { KEY_CHARS = 56 };
    char key[1 + KEY_CHARS] = { MULTIBASE_BASE32 };
    uint8_t out[ONION3_KEY_BYTES];
    size_t size = 0;
    uint64_t port;
    if (text.size <= KEY_CHARS + 1 || text.data[KEY_CHARS] != ':')
        return false;
    memcpy(key + 1, text.data, KEY_CHARS);
    if (multibase_decode(key, sizeof(key), out, sizeof(out), &size, NULL) ||
        size != ONION3_KEY_BYTES ||
        !number_read(bytes_of(text.data + KEY_CHARS + 1, text.size - KEY_CHARS - 1), UINT16_MAX,
                     &port) ||
        port == 0)
        return false;
    writer_put(w, out, sizeof(out));
    writer_be16(w, (uint16_t)port);
    return true;
}

static void length_prefixed_put(struct writer *w, struct bytes b)
{
    writer_uvarint(w, b.size);
    writer_put(w, b.data, b.size);
}

/* Peer ids and hashes: text that decodes to a length-prefixed value. */
static bool encoded_read(enum kind kind, struct bytes text, struct writer *w)
{
    struct peer_id id;
    uint8_t hash[MULTIHASH_BYTES_MAX];
    struct bytes b;
    if (kind == KIND_PEER) {
        if (peer_id_from_text((const char *)text.data, text.size, &id, NULL))
            return false;
        b = peer_id_bytes(&id);
    } else {
        size_t size = 0;
        if (multibase_decode((const char *)text.data, text.size, hash, sizeof(hash), &size, NULL))
            return false;
        b = bytes_of(hash, size);
    }
    length_prefixed_put(w, b);
    return value_valid(kind, b);
}

static bool value_read(enum kind kind, struct bytes text, struct writer *w)
{
    uint64_t v;
    switch (kind) {
    case KIND_NONE:
        return true;
    case KIND_IP4:
        return ip_read(AF_INET, text, w);
    case KIND_IP6:
        return ip_read(AF_INET6, text, w);
    case KIND_PORT:
        if (!number_read(text, UINT16_MAX, &v))
            return false;
        writer_be16(w, (uint16_t)v);
        return true;
    case KIND_NUMBER:
        if (!number_read(text, UINT64_MAX, &v))
            return false;
        writer_be64(w, v);
        return true;
    case KIND_ONION3:
        return onion3_read(text, w);
    case KIND_NAME:
    case KIND_TEXT:
    case KIND_PATH:
        length_prefixed_put(w, text);
        return value_valid(kind, text);
    case KIND_PEER:
    case KIND_HASH:
        return encoded_read(kind, text, w);
    }
    return false;
}

/* The text up to the next slash; *at moves behind it. */
static struct bytes word_take(struct bytes *at)
{
    const uint8_t *slash = at->size > 0 ? memchr(at->data, '/', at->size) : NULL;
    struct bytes word = bytes_of(at->data, slash ? (size_t)(slash - at->data) : at->size);
    size_t used = word.size + (slash ? 1 : 0);
    *at = bytes_of(at->data + used, at->size - used);
    return word;
}

/* A path takes the rest, with the slash before it. */
static struct bytes value_take(enum kind kind, struct bytes *at)
{
    if (kind == KIND_NONE)
        return (struct bytes){ NULL, 0 };
    if (kind != KIND_PATH)
        return word_take(at);
    struct bytes path = bytes_of(at->data - 1, at->size + 1);
    *at = bytes_of(at->data + at->size, 0);
    return path;
}

enum err multiaddr_from_text(const char *text, size_t text_size, struct writer *out,
                             struct error *err)
{
    if (text_size > 1 && text[text_size - 1] == '/')
        text_size--; /* as go: one trailing slash is dropped */
    if (text_size < 2 || text[0] != '/')
        return error_set(err, ERR_MALFORMED, "an address begins with a slash and a name");
    if (text_size > MULTIADDR_TEXT_MAX)
        return error_set(err, ERR_TOO_LARGE, "an address of %zu characters", text_size);
    const uint8_t *start = out->at;
    struct bytes rest = bytes_of(text + 1, text_size - 1);
    while (rest.size > 0) {
        struct bytes name = word_take(&rest);
        const struct row *row = row_of_name(name);
        if (!row)
            return error_set(err, ERR_MALFORMED, "'%.*s' is no part of an address",
                             (int)MIN(name.size, 64), (const char *)name.data);
        writer_uvarint(out, row->code);
        if (!value_read(row->kind, value_take(row->kind, &rest), out))
            return error_set(err, ERR_MALFORMED, "the value of '%s' is wrong", row->name);
    }
    if (out->overflow)
        return error_set(err, ERR_TOO_LARGE, "an address that is too long");
    return multiaddr_check(bytes_of(start, (size_t)(out->at - start)), err);
}

static void text_put(struct writer *w, const char *text)
{
    writer_put(w, text, strlen(text));
}

static void ip_print(int family, struct bytes v, struct writer *w)
{
    char buf[INET6_ADDRSTRLEN];
    text_put(w, inet_ntop(family, v.data, buf, sizeof(buf)));
}

static void number_print(uint64_t v, struct writer *w)
{
    char buf[24];
    snprintf(buf, sizeof(buf), "%" PRIu64, v);
    text_put(w, buf);
}

static void onion3_print(struct bytes v, struct writer *w)
{
    char buf[64];
    struct bytes key = bytes_of(v.data, ONION3_KEY_BYTES);
    err_ignore(multibase_encode(MULTIBASE_BASE32, key, buf, sizeof(buf), NULL));
    text_put(w, buf + 1);
    text_put(w, ":");
    number_print(be16_decode(v.data + ONION3_KEY_BYTES), w);
}

static void encoded_print(enum kind kind, struct bytes v, struct writer *w)
{
    char buf[2 * MULTIHASH_BYTES_MAX] = "";
    struct peer_id id;
    if (kind == KIND_HASH)
        err_ignore(multibase_encode(MULTIBASE_BASE64URL, v, buf, sizeof(buf), NULL));
    else if (!peer_id_parse(v, &id, NULL))
        peer_id_to_text(&id, buf);
    text_put(w, buf);
}

static void value_print(enum kind kind, struct bytes v, struct writer *w)
{
    switch (kind) {
    case KIND_NONE:
        return;
    case KIND_IP4:
        ip_print(AF_INET, v, w);
        return;
    case KIND_IP6:
        ip_print(AF_INET6, v, w);
        return;
    case KIND_PORT:
        number_print(be16_decode(v.data), w);
        return;
    case KIND_NUMBER:
        number_print(be64_decode(v.data), w);
        return;
    case KIND_ONION3:
        onion3_print(v, w);
        return;
    case KIND_NAME:
    case KIND_TEXT:
    case KIND_PATH:
        writer_put(w, v.data, v.size);
        return;
    case KIND_PEER:
    case KIND_HASH:
        encoded_print(kind, v, w);
        return;
    }
}

enum err multiaddr_to_text(struct bytes b, char *out, size_t out_size, struct error *err)
{
    enum err rc = multiaddr_check(b, err);
    if (rc)
        return rc;
    struct writer w = writer_of(out, out_size);
    struct reader r = reader_of(b);
    struct multiaddr_part part;
    while (multiaddr_next(&r, &part)) {
        const struct row *row = row_of_code(part.code);
        text_put(&w, "/");
        text_put(&w, row->name);
        if (row->kind != KIND_NONE && row->kind != KIND_PATH)
            text_put(&w, "/");
        value_print(row->kind, part.value, &w);
    }
    writer_u8(&w, 0);
    return w.overflow ? error_set(err, ERR_TOO_LARGE, "the text of an address") : ERR_OK;
}

bool multiaddr_target(struct bytes b, struct multiaddr_target *out)
{
    struct multiaddr_target t = { 0 };
    struct reader r = reader_of(b);
    struct multiaddr_part part;
    if (b.size > LIMIT_MULTIADDR_BYTES || !multiaddr_next(&r, &part))
        return false;
    t.host = (enum multiaddr_code)part.code;
    t.value = part.value;
    bool names = part.code >= MULTIADDR_DNS && part.code <= MULTIADDR_DNS6;
    if (part.code == MULTIADDR_IP4 || part.code == MULTIADDR_IP6 || names) {
        if (!multiaddr_next(&r, &part) || part.code != MULTIADDR_TCP)
            return false;
        t.port = be16_decode(part.value.data);
    } else if (part.code != MULTIADDR_DNSADDR) {
        return false;
    }
    if (multiaddr_next(&r, &part) &&
        (part.code != MULTIADDR_P2P || peer_id_parse(part.value, &t.peer, NULL)))
        return false;
    if (reader_finish(&r, "address", NULL))
        return false;
    *out = t;
    return true;
}

void multiaddr_put_tcp(struct writer *w, enum multiaddr_code family, const uint8_t *ip,
                       uint16_t port)
{
    assert(family == MULTIADDR_IP4 || family == MULTIADDR_IP6);
    writer_uvarint(w, family);
    writer_put(w, ip, family == MULTIADDR_IP4 ? 4 : 16);
    writer_uvarint(w, MULTIADDR_TCP);
    writer_be16(w, port);
}

void multiaddr_put_peer(struct writer *w, const struct peer_id *peer)
{
    writer_uvarint(w, MULTIADDR_P2P);
    length_prefixed_put(w, peer_id_bytes(peer));
}
