#include "base/arena.h"

enum { ARENA_ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t size, used; /* of data */
    _Alignas(ARENA_ALIGN) uint8_t data[];
};

void arena_init(struct arena *a, struct mem_owner *mem, size_t block_bytes, size_t bytes_max)
{
    assert(block_bytes > 0 && block_bytes <= bytes_max);
    *a = (struct arena){ .mem = mem, .block_bytes = block_bytes, .bytes_max = bytes_max };
}

static struct arena_block *block_add(struct arena *a, size_t bytes)
{
    size_t size = MAX(bytes, a->block_bytes);
    if (size > a->bytes_max - a->bytes)
        return NULL;
    struct arena_block *b = mem_try_alloc(a->mem, sizeof(*b) + size);
    if (!b)
        return NULL;
    *b = (struct arena_block){ .next = a->blocks, .size = size };
    a->blocks = b;
    a->bytes += size;
    return b;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    if (bytes > a->bytes_max)
        return NULL;
    bytes = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    struct arena_block *b = a->blocks;
    if (!b || bytes > b->size - b->used)
        b = block_add(a, bytes);
    if (!b)
        return NULL;
    void *at = b->data + b->used;
    b->used += bytes;
    return at;
}

static void blocks_free(struct arena *a, struct arena_block *keep)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        if (b != keep) {
            a->bytes -= b->size;
            mem_free(a->mem, b);
        }
    }
}

void arena_reset(struct arena *a)
{
    struct arena_block *keep = a->blocks;
    while (keep && keep->size != a->block_bytes)
        keep = keep->next;
    blocks_free(a, keep);
    a->blocks = keep;
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
    }
}

void arena_free(struct arena *a)
{
    blocks_free(a, NULL);
}
