#include "codec/overlay.h"

#include "base/varint.h"
#include "codec/keccak.h"

static const uint8_t list_mark = 0x99; /* no multiaddr begins with it */
static const char purpose[] = "bee-handshake-";
/* purpose || underlays || overlay || network id || nonce || timestamp || chequebook */
enum {
    RECORD_TEXT_BYTES_MAX = sizeof(purpose) - 1 + LIMIT_UNDERLAYS_BYTES + OVERLAY_BYTES + 8 +
                            OVERLAY_NONCE_BYTES + 8 + OVERLAY_CHEQUEBOOK_BYTES
};

void overlay_compute(uint8_t out[OVERLAY_BYTES], const uint8_t owner[SIG_ETH_ADDRESS_BYTES],
                     uint64_t network_id, const uint8_t nonce[OVERLAY_NONCE_BYTES])
{
    uint8_t text[SIG_ETH_ADDRESS_BYTES + 8 + OVERLAY_NONCE_BYTES];
    memcpy(text, owner, SIG_ETH_ADDRESS_BYTES);
    le64_encode(text + SIG_ETH_ADDRESS_BYTES, network_id);
    memcpy(text + SIG_ETH_ADDRESS_BYTES + 8, nonce, OVERLAY_NONCE_BYTES);
    keccak256(out, bytes_of(text, sizeof(text)));
}

unsigned overlay_proximity(const uint8_t a[OVERLAY_BYTES], const uint8_t b[OVERLAY_BYTES])
{
    uint32_t differ = be32_decode(a) ^ be32_decode(b);
    return differ ? MIN((unsigned)__builtin_clz(differ), OVERLAY_BIN_MAX) : OVERLAY_BIN_MAX;
}

enum err overlay_underlays_parse(struct overlay_underlays *out, struct bytes raw, struct error *err)
{
    if (raw.size == 0)
        return error_set(err, ERR_MALFORMED, "underlays without a byte");
    if (!LIMIT_CHECK(UNDERLAYS_BYTES, raw.size))
        return error_set(err, ERR_LIMIT, "underlays of %zu bytes, %d are allowed", raw.size,
                         LIMIT_UNDERLAYS_BYTES);
    struct overlay_underlays u = { .count = 0 };
    if (raw.data[0] != list_mark) {
        u.addrs[u.count++] = raw;
        *out = u;
        return ERR_OK;
    }
    struct reader r = reader_of(bytes_of(raw.data + 1, raw.size - 1));
    while (reader_left(&r) > 0) {
        if (!LIMIT_CHECK(UNDERLAYS, u.count + 1))
            return error_set(err, ERR_LIMIT, "more than %d underlays", LIMIT_UNDERLAYS);
        struct bytes addr = reader_take(&r, reader_uvarint(&r));
        if (!r.failed && addr.size == 0)
            reader_fail(&r, ERR_MALFORMED);
        u.addrs[u.count++] = addr;
    }
    enum err rc = reader_finish(&r, "underlays", err);
    if (!rc)
        *out = u;
    return rc;
}

bool overlay_underlays_write(struct writer *w, const struct overlay_underlays *u)
{
    size_t before = writer_used(w);
    if (u->count == 1) {
        writer_put(w, u->addrs[0].data, u->addrs[0].size);
    } else {
        writer_u8(w, list_mark);
        for (uint32_t i = 0; i < u->count; i++) {
            writer_uvarint(w, u->addrs[i].size);
            writer_put(w, u->addrs[i].data, u->addrs[i].size);
        }
    }
    return !w->overflow && writer_used(w) - before <= LIMIT_UNDERLAYS_BYTES;
}

static struct bytes record_text(uint8_t out[RECORD_TEXT_BYTES_MAX],
                                const struct overlay_record *rec, uint64_t network_id)
{
    static const uint8_t no_chequebook[OVERLAY_CHEQUEBOOK_BYTES];
    struct writer w = writer_of(out, RECORD_TEXT_BYTES_MAX);
    writer_put(&w, purpose, sizeof(purpose) - 1);
    writer_put(&w, rec->underlays.data, rec->underlays.size);
    writer_put(&w, rec->overlay.data, rec->overlay.size);
    writer_be64(&w, network_id); /* big endian here, little endian in the overlay */
    writer_put(&w, rec->nonce.data, rec->nonce.size);
    writer_be64(&w, (uint64_t)rec->timestamp_s);
    writer_put(&w, rec->chequebook.size ? rec->chequebook.data : no_chequebook,
               OVERLAY_CHEQUEBOOK_BYTES);
    assert(!w.overflow);
    return bytes_of(out, writer_used(&w));
}

void overlay_record_sign(const struct overlay_record *rec, uint64_t network_id,
                         const struct sig_signer *signer, uint8_t out[SIG_BYTES])
{
    assert(rec->underlays.size <= LIMIT_UNDERLAYS_BYTES && rec->overlay.size == OVERLAY_BYTES);
    assert(rec->nonce.size == OVERLAY_NONCE_BYTES);
    assert(rec->chequebook.size == 0 || rec->chequebook.size == OVERLAY_CHEQUEBOOK_BYTES);
    uint8_t text[RECORD_TEXT_BYTES_MAX];
    sig_eth_sign(signer, record_text(text, rec, network_id), out);
}

static enum err check_sizes(const struct overlay_record *rec, struct error *err)
{
    const struct {
        const char *name;
        size_t have, want;
    } fields[] = {
        { "signature", rec->signature.size, SIG_BYTES },
        { "overlay", rec->overlay.size, OVERLAY_BYTES },
        { "nonce", rec->nonce.size, OVERLAY_NONCE_BYTES },
        { "chequebook", rec->chequebook.size ? rec->chequebook.size : OVERLAY_CHEQUEBOOK_BYTES,
          OVERLAY_CHEQUEBOOK_BYTES },
    };
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (fields[i].have != fields[i].want)
            return error_set(err, ERR_MALFORMED, "a record's %s of %zu bytes instead of %zu",
                             fields[i].name, fields[i].have, fields[i].want);
    struct overlay_underlays u;
    enum err rc = overlay_underlays_parse(&u, rec->underlays, err);
    if (!rc && u.count == 0)
        rc = error_set(err, ERR_MALFORMED, "a record without an underlay");
    return rc;
}

static enum err check_time(int64_t timestamp_s, const struct overlay_check *c, struct error *err)
{
    if (timestamp_s <= 0)
        return error_set(err, ERR_MALFORMED, "a record without a time");
    /* Both are positive or near it, so the difference does not overflow. */
    if (timestamp_s > c->now_s && !LIMIT_CHECK(RECORD_AHEAD_S, timestamp_s - c->now_s))
        return error_set(err, ERR_BAD_PROOF, "a record made %" PRId64 " s in the future",
                         timestamp_s - c->now_s);
    if (timestamp_s < c->newest_known_s)
        return error_set(err, ERR_BAD_PROOF, "a record %" PRId64 " s older than one already seen",
                         c->newest_known_s - timestamp_s);
    return ERR_OK;
}

enum err overlay_record_check(const struct overlay_record *rec, const struct overlay_check *c,
                              struct error *err)
{
    assert(c->now_s >= 0 && c->newest_known_s >= 0);
    enum err rc = check_sizes(rec, err);
    if (!rc)
        rc = check_time(rec->timestamp_s, c, err);
    if (rc)
        return rc;
    uint8_t text[RECORD_TEXT_BYTES_MAX], owner[SIG_ETH_ADDRESS_BYTES], overlay[OVERLAY_BYTES];
    rc = sig_eth_recover(owner, record_text(text, rec, c->network_id), rec->signature.data, err);
    if (rc)
        return error_wrap(err, rc, "record");
    overlay_compute(overlay, owner, c->network_id, rec->nonce.data);
    if (memcmp(overlay, rec->overlay.data, OVERLAY_BYTES))
        return error_set(err, ERR_BAD_PROOF, "the record's signer does not own its overlay");
    return ERR_OK;
}
