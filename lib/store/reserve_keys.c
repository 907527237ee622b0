#include "store/reserve_keys.h"

void s_value_encode(uint8_t out[S_VALUE_BYTES], const struct reserve_slot_of_index *s)
{
    struct writer w = writer_of(out, S_VALUE_BYTES);
    writer_put(&w, s->address, 32);
    writer_put(&w, s->stamp_hash, 32);
    writer_be64(&w, s->timestamp);
    writer_u8(&w, s->bin);
    writer_be64(&w, s->binid);
    assert(writer_used(&w) == S_VALUE_BYTES && !w.overflow);
}

void s_value_decode(struct reserve_slot_of_index *out, const uint8_t in[S_VALUE_BYTES])
{
    struct reader r = reader_of(bytes_of(in, S_VALUE_BYTES));
    reader_copy(&r, out->address, 32);
    reader_copy(&r, out->stamp_hash, 32);
    out->timestamp = reader_be64(&r);
    out->bin = reader_u8(&r);
    out->binid = reader_be64(&r);
}

void b_value_encode(uint8_t out[B_VALUE_BYTES], const struct chunk_id *id, enum chunk_kind kind)
{
    static_assert(sizeof(*id) + 1 == B_VALUE_BYTES, "an id is address, batch, stamp hash");
    memcpy(out, id, sizeof(*id));
    out[sizeof(*id)] = (uint8_t)kind;
}

bool b_record_decode(struct reserve_entry *out, struct bytes key, struct bytes value)
{
    if (key.size != 10 || key.data[0] != 'B' || value.size != B_VALUE_BYTES)
        return false;
    memcpy(&out->id, value.data, sizeof(out->id));
    out->kind = value.data[sizeof(out->id)] ? CHUNK_SINGLE_OWNER : CHUNK_CONTENT;
    out->binid = be64_decode(key.data + 2);
    return true;
}

bool c_value_decode(struct reserve_body *out, struct bytes value)
{
    struct reader r = reader_of(value);
    out->ref.slab = reader_be32(&r);
    out->ref.slot = reader_be32(&r);
    out->size = reader_be16(&r);
    out->type = reader_u8(&r);
    out->count = reader_be32(&r);
    if (out->count == 0 || out->count > LIMIT_RESERVE_STAMPS)
        return false;
    reader_copy(&r, out->stamps, (size_t)out->count * C_STAMP_BYTES);
    return !r.failed && reader_left(&r) == 0;
}

struct bytes c_value_encode(const struct reserve_body *b, uint8_t buf[C_VALUE_BYTES_MAX])
{
    struct writer w = writer_of(buf, C_VALUE_BYTES_MAX);
    writer_be32(&w, b->ref.slab);
    writer_be32(&w, b->ref.slot);
    writer_be16(&w, b->size);
    writer_u8(&w, b->type);
    writer_be32(&w, b->count);
    writer_put(&w, b->stamps, (size_t)b->count * C_STAMP_BYTES);
    assert(!w.overflow);
    return bytes_of(buf, writer_used(&w));
}

uint32_t body_find_hash(const struct reserve_body *b, const uint8_t *stamp_hash)
{
    uint32_t i = 0;
    while (i < b->count && memcmp(b->stamps + (size_t)i * C_STAMP_BYTES + 40, stamp_hash, 32) != 0)
        i++;
    return i;
}

uint32_t body_find(const struct reserve_body *b, const uint8_t *batch, const uint8_t *stamp_hash)
{
    uint32_t i = body_find_hash(b, stamp_hash);
    if (i < b->count && memcmp(b->stamps + (size_t)i * C_STAMP_BYTES, batch, 32) != 0)
        return b->count; /* a hash over the batch id, too: never so in an honest store */
    return i;
}

void body_add(struct reserve_body *b, const struct chunk_id *id, const uint8_t *index)
{
    assert(b->count < LIMIT_RESERVE_STAMPS);
    uint8_t *at = b->stamps + (size_t)b->count++ * C_STAMP_BYTES;
    memcpy(at, id->batch, 32);
    memcpy(at + 32, index, 8);
    memcpy(at + 40, id->stamp_hash, 32);
}

void body_remove(struct reserve_body *b, uint32_t at)
{
    assert(at < b->count);
    uint8_t *gone = b->stamps + (size_t)at * C_STAMP_BYTES;
    memmove(gone, gone + C_STAMP_BYTES, (size_t)(b->count - at - 1) * C_STAMP_BYTES);
    b->count--;
}
