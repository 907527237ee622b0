#include "store/keyset.h"

#include <stdlib.h>

#include "base/mem.h"
#include "codec/crypto.h"

uint64_t keyset_bytes(uint32_t count_max)
{
    return mem_charge_bytes((size_t)count_max * KEYSET_SLOT_BYTES) +
           mem_charge_bytes((size_t)count_max * sizeof(uint32_t));
}

bool keyset_init(struct keyset *s, struct mem_owner *mem, uint32_t count_max)
{
    assert(count_max > 0);
    *s = (struct keyset){ .mem_ = mem, .count_max = count_max };
    s->room_ = count_max * KEYSET_SLOT_BYTES;
    s->bytes_ = mem_try_alloc(mem, s->room_);
    s->at_ = mem_try_alloc(mem, count_max * sizeof(*s->at_));
    if (s->bytes_ && s->at_)
        return true;
    keyset_free(s);
    return false;
}

void keyset_free(struct keyset *s)
{
    if (!s->mem_)
        return;
    mem_free(s->mem_, s->bytes_);
    mem_free(s->mem_, s->at_);
    *s = (struct keyset){ 0 };
}

uint64_t key_kad(struct bytes multihash)
{
    uint8_t hash[SHA256_BYTES];
    sha256_of(multihash.data, multihash.size, hash);
    return be64_decode(hash);
}

static uint8_t *room_for(struct keyset *s, size_t key_bytes)
{
    assert(key_bytes > 8 && key_bytes <= KEY_BYTES_MAX);
    if (s->count == s->count_max || s->room_ - s->used_ < 1 + key_bytes)
        return NULL;
    uint8_t *at = s->bytes_ + s->used_;
    s->at_[s->count++] = s->used_;
    s->used_ += 1 + (uint32_t)key_bytes;
    *at = (uint8_t)key_bytes;
    return at + 1;
}

bool keyset_add(struct keyset *s, struct bytes multihash)
{
    uint8_t *at = room_for(s, 8 + multihash.size);
    if (!at)
        return false;
    be64_encode(at, key_kad(multihash));
    memcpy(at + 8, multihash.data, multihash.size);
    return true;
}

bool keyset_add_key(struct keyset *s, struct bytes key)
{
    uint8_t *at = room_for(s, key.size);
    if (at)
        memcpy(at, key.data, key.size);
    return at != NULL;
}

int key_compare(struct bytes a, struct bytes b)
{
    int c = memcmp(a.data, b.data, MIN(a.size, b.size));
    return c ? c : (a.size > b.size) - (a.size < b.size);
}

static int compare_at(const void *a, const void *b, void *ctx)
{
    const uint8_t *base = ctx, *x = base + *(const uint32_t *)a, *y = base + *(const uint32_t *)b;
    return key_compare(bytes_of(x + 1, x[0]), bytes_of(y + 1, y[0]));
}

void keyset_sort(struct keyset *s)
{
    uint32_t kept = 0;
    qsort_r(s->at_, s->count, sizeof(*s->at_), compare_at, s->bytes_);
    for (uint32_t i = 0; i < s->count; i++)
        if (kept == 0 || compare_at(&s->at_[kept - 1], &s->at_[i], s->bytes_) != 0)
            s->at_[kept++] = s->at_[i];
    s->count = kept;
}

struct keyset keyset_part(const struct keyset *s, uint32_t first, uint32_t count)
{
    assert(first <= s->count && count <= s->count - first);
    return (struct keyset){ .bytes_ = s->bytes_, .at_ = s->at_ + first, .count = count };
}
