/* lib/store/hascache.h
 *
 * A set of 80-bit keyed hashes, one for each entry of the reserve, at ten bytes an entry and one or
 * two cache lines a look-up. A false "present" happens in n / 2^80 look-ups, a false "absent"
 * never.
 *
 * Shape:  72 bits of a hash are stored, the 8 above them are implied by its segment. A segment is
 *         1..32 pages of 64 lines of 7 slots; a directory names the segment of each hash prefix.
 *         Segments grow and shrink by one page, split and merge: no doubling, no pause.
 * Thread: loop only, without a lock. hascache_prefetch/has/has_many may also run in a thread that
 *         has the cache to itself (benchmarks, saving an image).
 * Errors: ERR_BUDGET at creation. Later a refused page is the answer HASCACHE_REFUSED: the set is
 *         unchanged, and a complete cache is partial from then on. So it is while the cache is
 * held.
 */
#ifndef LARDER_STORE_HASCACHE_H
#define LARDER_STORE_HASCACHE_H

#include "base/pages.h"
#include "base/siphash.h"

struct mem_owner;
struct hascache;

/* What the cache is about: one (chunk, stamp) of the reserve. */
struct chunk_id {
    uint8_t address[32], batch[32], stamp_hash[32];
};

struct hascache_hash {
    uint64_t lo; /* bits 0..63 of 80 */
    uint16_t hi; /* bits 64..79; the upper byte is implied by the segment */
};

/* The one way to make a hash: 72 low bits of zero would look like an empty slot. */
static inline struct hascache_hash hascache_hash_of(uint64_t lo, uint16_t hi)
{
    return (struct hascache_hash){ lo | (lo == 0 && (hi & 0xff) == 0), hi };
}

enum hascache_put { HASCACHE_ADDED, HASCACHE_PRESENT, HASCACHE_REFUSED };

/* Only a complete cache may say "absent". */
enum hascache_state { HASCACHE_OFF, HASCACHE_BUILDING, HASCACHE_COMPLETE, HASCACHE_PARTIAL };

struct hascache_options {
    uint8_t key[16];    /* random; peers must not know it */
    uint64_t expected;  /* entries to make room for at once */
    uint64_t bytes_max; /* 0: what the owner grants */
};

struct hascache_stats {
    uint64_t relayouts, moves, splits, merges, refused;
};

/* Begins empty, in state building. */
enum err hascache_create(struct hascache **out, struct mem_owner *mem,
                         const struct hascache_options *o, struct error *err);
void hascache_destroy(struct hascache *h); /* NULL is fine */

void hascache_key(const struct hascache *h, const struct chunk_id *id, struct hascache_hash *out);
void hascache_prefetch(const struct hascache *h, const struct hascache_hash *k);
bool hascache_has(const struct hascache *h, const struct hascache_hash *k);
/* Bit i of have (bit i % 8 of byte i / 8) is set when k[i] is present and cleared otherwise. */
void hascache_has_many(const struct hascache *h, const struct hascache_hash *k, uint32_t count,
                       uint8_t *have);
enum hascache_put hascache_add(struct hascache *h, const struct hascache_hash *k);
bool hascache_remove(struct hascache *h, const struct hascache_hash *k); /* was it there? */

enum hascache_state hascache_state(const struct hascache *h); /* of NULL: off */
/* The build has added all it read: complete, or partial when something was refused. */
void hascache_built(struct hascache *h);
/* While it is held it takes no page: what needs one is refused. It gives none back for it. */
void hascache_hold(struct hascache *h, bool on);
/* A partial cache that lacks something because it was held, and is not any more, is building again,
 * with all it has. False: it is another one. */
bool hascache_rebuild(struct hascache *h);
uint64_t hascache_count(const struct hascache *h);
uint64_t hascache_bytes(const struct hascache *h); /* charged to the owner */
void hascache_stats(const struct hascache *h, struct hascache_stats *out);

/* Every member, segment by segment. */
typedef void hascache_each_cb(void *ctx, const struct hascache_hash *k);
void hascache_iterate(const struct hascache *h, hascache_each_cb *cb, void *ctx);

/* Recomputes counts, places and overflow counters; the first thing that does not hold is the
 * sentence of ERR_CORRUPT. Reads everything: for tests and loaded images. */
enum err hascache_check(const struct hascache *h, struct error *err);

/* The next step of the page pool to populate ahead, if one is due (base/pages.h). */
bool hascache_step_due(struct hascache *h, struct page_step *out);
void hascache_step_done(struct hascache *h, const struct page_step *s);

#endif
