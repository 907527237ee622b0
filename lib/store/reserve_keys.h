/* lib/store/reserve_keys.h
 *
 * Keys and values of the reserve's index; the first byte of a key is its kind, integers are
 * big-endian so that order is numeric.
 *
 *   'B' bin[1] binid[8]          -> addr[32] batch[32] stamphash[32] type[1]
 *   'S' batch[32] stampindex[8]  -> addr[32] stamphash[32] timestamp[8] bin[1] binid[8]
 *   'C' addr[32]                 -> slab[4] slot[4] len[2] type[1] refs[4]
 *                                   n * {batch[32] index[8] stamphash[32]}
 *   'b' bin[1]                   -> last binid[8] entries[8]
 *   'T' addr[32] stamphash[32]   -> stamp[113]; of all stamps of a chunk but the one in its slot
 *   'M' name                     -> be64: epoch, count, radius, image (its generation)
 * Thread: any.
 */
#ifndef LARDER_STORE_RESERVE_KEYS_H
#define LARDER_STORE_RESERVE_KEYS_H

#include "store/reserve.h"

enum {
    KEY_BYTES_MAX = 65,
    S_VALUE_BYTES = 81,
    B_VALUE_BYTES = 97,
    C_HEAD_BYTES = 15,
    C_STAMP_BYTES = 72,
    C_VALUE_BYTES_MAX = C_HEAD_BYTES + LIMIT_RESERVE_STAMPS * C_STAMP_BYTES,
};

struct reserve_key {
    uint8_t bytes[KEY_BYTES_MAX];
    uint8_t size;
};
static inline struct bytes key_bytes(const struct reserve_key *k)
{
    return bytes_of(k->bytes, k->size);
}

static inline struct reserve_key key_of(char kind, struct bytes a, struct bytes b)
{
    struct reserve_key k = { .bytes = { (uint8_t)kind }, .size = (uint8_t)(1 + a.size + b.size) };
    assert(k.size <= KEY_BYTES_MAX);
    memcpy(k.bytes + 1, a.data, a.size);
    if (b.size)
        memcpy(k.bytes + 1 + a.size, b.data, b.size);
    return k;
}
static inline struct reserve_key key_entry(uint8_t bin, uint64_t binid)
{
    uint8_t id[8];
    be64_encode(id, binid);
    return key_of('B', bytes_of(&bin, 1), bytes_of(id, 8));
}
static inline struct reserve_key key_index(const uint8_t *batch, const uint8_t *index)
{
    return key_of('S', bytes_of(batch, 32), bytes_of(index, 8));
}
static inline struct reserve_key key_chunk(const uint8_t *address)
{
    return key_of('C', bytes_of(address, 32), bytes_of("", 0));
}
static inline struct reserve_key key_stamp(const uint8_t *address, const uint8_t *stamp_hash)
{
    return key_of('T', bytes_of(address, 32), bytes_of(stamp_hash, 32));
}
static inline struct reserve_key key_bin(uint8_t bin)
{
    return key_of('b', bytes_of(&bin, 1), bytes_of("", 0));
}
static inline struct reserve_key key_meta(const char *name)
{
    return key_of('M', bytes_of(name, strlen(name)), bytes_of("", 0));
}

/* An 'S' value. */
struct reserve_slot_of_index {
    uint8_t address[32], stamp_hash[32];
    uint64_t timestamp;
    uint8_t bin;
    uint64_t binid;
};
void s_value_encode(uint8_t out[S_VALUE_BYTES], const struct reserve_slot_of_index *s);
void s_value_decode(struct reserve_slot_of_index *out, const uint8_t in[S_VALUE_BYTES]);

void b_value_encode(uint8_t out[B_VALUE_BYTES], const struct chunk_id *id, enum chunk_kind kind);
/* key and value of a 'B' record; false: not one. */
bool b_record_decode(struct reserve_entry *out, struct bytes key, struct bytes value);

/* A 'C' value in a buffer of its own. */
struct reserve_body {
    struct slab_ref ref;
    uint16_t size;
    uint8_t type;
    uint32_t count;
    uint8_t stamps[LIMIT_RESERVE_STAMPS * C_STAMP_BYTES];
};
bool c_value_decode(struct reserve_body *out, struct bytes value);
struct bytes c_value_encode(const struct reserve_body *b, uint8_t buf[C_VALUE_BYTES_MAX]);
/* The number of a stamp in the list; count: it is not there. */
uint32_t body_find(const struct reserve_body *b, const uint8_t *batch, const uint8_t *stamp_hash);
uint32_t body_find_hash(const struct reserve_body *b, const uint8_t *stamp_hash);
void body_add(struct reserve_body *b, const struct chunk_id *id, const uint8_t *index);
void body_remove(struct reserve_body *b, uint32_t at);

#endif
