/* lib/base/arena.h
 *
 * Memory for what dies together: one arena per decoded message, per request. Reset, not freed.
 * Ownership: blocks are charged to the owner given at init; the arena is embedded in its user.
 * Thread: the loop thread, but for arena_alloc within a block that is there already.
 * Errors: NULL when the owner refuses or bytes_max would be exceeded.
 */
#ifndef LARDER_BASE_ARENA_H
#define LARDER_BASE_ARENA_H

#include "base/mem.h"

struct arena_block;
struct arena {
    struct mem_owner *mem;
    struct arena_block *blocks; /* newest first */
    size_t block_bytes;         /* of an ordinary block; larger items get a block of their own */
    size_t bytes_max, bytes;    /* limit and sum over all blocks */
};

void arena_init(struct arena *a, struct mem_owner *mem, size_t block_bytes, size_t bytes_max);
void *arena_alloc(struct arena *a, size_t bytes) WARN_UNUSED; /* aligned to 16, not zeroed */
void arena_reset(struct arena *a); /* keeps one ordinary block for the next user */
void arena_free(struct arena *a);  /* gives everything back; the arena may be used again */

#endif
