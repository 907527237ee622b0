/* lib/store/keyset.h
 *
 * Some keys to provide, packed one behind the other: what a request to the keystore carries, and
 * a key chunk of a region pass. A key is a multihash and the first 64 bits of its place in the key
 * space, sha256 of the multihash; in this order keys are sorted.
 * Owns:   its two buffers, charged to an owner; they never grow. Thread: made and freed on the
 *         loop; filled by whoever has it, a worker too.
 * Errors: none: a full set says false.
 */
#ifndef LARDER_STORE_KEYSET_H
#define LARDER_STORE_KEYSET_H

#include "base/bytes.h"

struct mem_owner;

enum {
    KEYSET_SLOT_BYTES = 72,                        /* of room per key: 63 bytes of multihash */
    KEY_BYTES_MAX = 8 + LIMIT_KEYSTORE_HASH_BYTES, /* kad and multihash */
};

/* The first len bits of a place in the key space, left aligned; bits behind them are zero. */
struct kad_prefix {
    uint64_t bits;
    uint8_t len; /* 0 .. 64 */
};
static inline uint64_t kad_prefix_mask(uint8_t len)
{
    return len == 0 ? 0 : UINT64_MAX << (64 - len);
}
static inline struct kad_prefix kad_prefix_of(uint64_t kad, uint8_t len)
{
    return (struct kad_prefix){ kad & kad_prefix_mask(len), len };
}
static inline bool kad_prefix_has(struct kad_prefix p, uint64_t kad)
{
    return ((kad ^ p.bits) & kad_prefix_mask(p.len)) == 0;
}

struct keyset {
    struct mem_owner *mem_;
    uint8_t *bytes_;
    uint32_t *at_;
    uint32_t count, count_max, used_, room_;
};

/* False: the owner refused. */
bool keyset_init(struct keyset *s, struct mem_owner *mem, uint32_t count_max) WARN_UNUSED;
void keyset_free(struct keyset *s); /* zeroed is fine */
static inline void keyset_clear(struct keyset *s)
{
    s->count = s->used_ = 0;
}
uint64_t keyset_bytes(uint32_t count_max); /* what a set of so many keys is charged */

/* The multihash has 1 .. LIMIT_KEYSTORE_HASH_BYTES bytes. */
uint64_t key_kad(struct bytes multihash);
bool keyset_add(struct keyset *s, struct bytes multihash) WARN_UNUSED;
/* kad and multihash, as in the keystore. */
bool keyset_add_key(struct keyset *s, struct bytes key) WARN_UNUSED;
void keyset_sort(struct keyset *s); /* and each key once */
/* Some of a set's keys, as a set; it borrows them and is not freed. */
struct keyset keyset_part(const struct keyset *s, uint32_t first, uint32_t count);

static inline struct bytes keyset_key(const struct keyset *s, uint32_t i) /* kad and multihash */
{
    const uint8_t *at = s->bytes_ + s->at_[i];
    return bytes_of(at + 1, at[0]);
}
static inline struct bytes keyset_hash(const struct keyset *s, uint32_t i)
{
    const uint8_t *at = s->bytes_ + s->at_[i];
    return bytes_of(at + 9, at[0] - 8);
}
static inline uint64_t keyset_kad(const struct keyset *s, uint32_t i)
{
    return be64_decode(s->bytes_ + s->at_[i] + 1);
}

/* Keys in kad order, as memcmp has them. */
int key_compare(struct bytes a, struct bytes b);

#endif
