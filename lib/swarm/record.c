#include "swarm/record.h"

#include "codec/keccak.h"

static void digest(const struct own_record *r, uint8_t out[32])
{
    uint8_t text[8 + OVERLAY_BYTES + LIMIT_UNDERLAYS_BYTES];
    struct writer w = writer_of(text, sizeof(text));
    writer_be64(&w, r->identity->swarm->network_id);
    writer_put(&w, r->identity->swarm->overlay, OVERLAY_BYTES);
    writer_put(&w, r->underlays, r->underlays_bytes);
    keccak256(out, bytes_of(text, writer_used(&w)));
}

void own_record_stored(const struct own_record *r, uint8_t out[RECORD_STORED_BYTES])
{
    be64_encode(out, (uint64_t)r->timestamp_s);
    digest(r, out + 8);
}

static void fill(const struct own_record *r, struct bytes underlays, struct overlay_record *out)
{
    *out =
        (struct overlay_record){ .underlays = underlays,
                                 .overlay = bytes_of(r->identity->swarm->overlay, OVERLAY_BYTES),
                                 .nonce = bytes_of(r->identity->swarm->nonce, OVERLAY_NONCE_BYTES),
                                 .timestamp_s = r->timestamp_s };
}

enum err own_record_make(struct own_record *r, const struct record_identity *identity,
                         const struct record_wish *wish, bool *changed, struct error *err)
{
    struct own_record made = { .identity = identity };
    struct writer w = writer_of(made.underlays, sizeof(made.underlays));
    if (wish->addresses->count > 0 && !overlay_underlays_write(&w, wish->addresses))
        return error_set(err, ERR_LIMIT, "our addresses take more than %d bytes of a record",
                         LIMIT_UNDERLAYS_BYTES);
    made.underlays_bytes = writer_used(&w);
    int64_t last_s = 0;
    uint8_t now_digest[32];
    bool same = false;
    if (wish->stored.size > 0) {
        if (wish->stored.size != RECORD_STORED_BYTES)
            return error_set(err, ERR_CORRUPT, "the stored record has %zu bytes instead of %d",
                             wish->stored.size, RECORD_STORED_BYTES);
        last_s = (int64_t)be64_decode(wish->stored.data);
        digest(&made, now_digest);
        same = !memcmp(now_digest, wish->stored.data + 8, sizeof(now_digest));
    }
    made.timestamp_s = same ? last_s : MAX(wish->now_s, last_s + 1);
    struct overlay_record rec;
    fill(&made, bytes_of(made.underlays, made.underlays_bytes), &rec);
    if (made.underlays_bytes > 0)
        overlay_record_sign(&rec, identity->swarm->network_id, &identity->swarm->signer,
                            made.signature);
    *r = made;
    *changed = !same;
    return ERR_OK;
}

void own_record_fill(const struct own_record *r, struct bytes seen_as, uint8_t signature[SIG_BYTES],
                     struct overlay_record *out)
{
    if (r->underlays_bytes > 0) {
        fill(r, bytes_of(r->underlays, r->underlays_bytes), out);
        memcpy(signature, r->signature, SIG_BYTES);
    } else {
        fill(r, seen_as, out);
        overlay_record_sign(out, r->identity->swarm->network_id, &r->identity->swarm->signer,
                            signature);
    }
    out->signature = bytes_of(signature, SIG_BYTES);
}
