/* lib/store/hascache_segment.h
 *
 * Inside the has-cache: lines, places and segments. Included by hascache*.c and their tests only.
 *
 *     line 64 B:  u64 lo[7], u8 hi[7], u8 ovf       ovf: members whose first place is this line but
 *                                                   who live in their second; 255 = no room
 *     h, 80 bits: [ directory prefix | t ............ ]
 *     value v:    the low 72 bits of h; 0 = empty
 *     first line  = the 32 bits of h below the segment's prefix, scaled to the number of lines
 *     second line = a multiplicative hash of the low 64 bits of v, scaled likewise
 */
#ifndef LARDER_STORE_HASCACHE_SEGMENT_H
#define LARDER_STORE_HASCACHE_SEGMENT_H

#include "base/bytes.h"
#include "base/mem.h"
#include "base/prng.h"
#include "store/hascache.h"

enum {
    SLOTS_PER_LINE = 7,
    LINES_PER_PAGE = 64,
    SLOTS_PER_PAGE = SLOTS_PER_LINE * LINES_PER_PAGE,
    SEGMENT_PAGES_MAX = 32,
    SEGMENT_SLOTS_MAX = SLOTS_PER_PAGE * SEGMENT_PAGES_MAX,
    PAGE_FILL_MAX = SLOTS_PER_PAGE * 94 / 100, /* 421 */
    DEPTH_MIN = 8,                             /* 8 bits are implied by the segment */
    OVF_FULL = 255,
};

struct hascache_line {
    uint64_t lo[SLOTS_PER_LINE];
    uint8_t hi[SLOTS_PER_LINE];
    uint8_t ovf;
};
static_assert(sizeof(struct hascache_line) == 64, "a line is one cache line");
static_assert(LINES_PER_PAGE * sizeof(struct hascache_line) == PAGE_BYTES, "64 lines a page");

struct hascache_segment {
    uint32_t n, lines, limit; /* limit: it grows when n gets there */
    uint32_t shrink_at;       /* below it, it gives a page back or merges */
    uint32_t prefix;          /* the top `depth` bits of its members */
    uint8_t depth, pages;
    uint32_t page[SEGMENT_PAGES_MAX];
};

struct hascache_member { /* v, unpacked */
    uint64_t lo;
    uint8_t hi;
};

struct hascache_move {
    uint32_t line;
    uint32_t slot;
    struct hascache_member old;
};

/* Room to lay one segment out anew, and to undo that. */
struct hascache_scratch {
    uint32_t count;
    uint64_t lo[SEGMENT_SLOTS_MAX];
    uint8_t hi[SEGMENT_SLOTS_MAX];
    uint32_t undo_pages;
    uint8_t undo[SEGMENT_PAGES_MAX * PAGE_BYTES];
    struct hascache_move moves[LIMIT_HASCACHE_WALK_MOVES];
};

/* Comparing, in the widest form this processor has. */
struct hascache_kernel {
    const char *name;
    int (*find)(const struct hascache_line *line, uint64_t lo, uint8_t hi); /* slot, or negative */
    bool (*has)(const struct hascache *h, const struct hascache_hash *k);
    void (*has_many)(const struct hascache *h, const struct hascache_hash *k, uint32_t count,
                     uint8_t *have);
};
enum { HASCACHE_KERNELS = 3 };
const struct hascache_kernel *hascache_kernel(unsigned i); /* best first; NULL: not on this CPU */

struct hascache {
    struct mem_owner *mem;             /* borrowed, outlives us */
    struct page_pool *pool;            /* owned; its tags are segment numbers */
    uint8_t *base;                     /* of the pool */
    uint32_t *directory;               /* owned; 1 << bits segment numbers */
    struct hascache_segment *segments; /* owned */
    struct hascache_scratch *scratch;  /* owned */
    const struct hascache_kernel *kernel;
    uint32_t segment_count, segment_room;
    uint32_t at_depth[LIMIT_HASCACHE_DEPTH_MAX + 1]; /* how many segments have this depth */
    uint8_t bits;
    bool refused_page;
    bool held, refused_held; /* refused_held: among what was refused since the build began */
    enum hascache_state state;
    uint64_t count, bytes_max;
    struct siphash_key key;
    struct prng prng; /* for walks */
    struct hascache_stats stats;
};

static inline uint64_t hash_top(uint64_t lo, uint16_t hi)
{
    return (uint64_t)hi << 48 | lo >> 16;
}
static inline struct hascache_segment *segment_of(const struct hascache *h,
                                                  const struct hascache_hash *k)
{
    return &h->segments[h->directory[hash_top(k->lo, k->hi) >> (64 - h->bits)]];
}
static inline struct hascache_line *segment_line(const struct hascache *h,
                                                 const struct hascache_segment *s, uint32_t line)
{
    return (struct hascache_line *)(h->base +
                                    (uint64_t)s->page[line / LINES_PER_PAGE] * PAGE_BYTES) +
           line % LINES_PER_PAGE;
}
/* The 8 implied bits are shifted out, so v is enough. */
static inline uint32_t first_line(const struct hascache_segment *s, uint64_t lo, uint8_t hi)
{
    uint64_t t = hash_top(lo, hi) << s->depth >> 32;
    return (uint32_t)(t * s->lines >> 32);
}
static inline uint32_t second_line(const struct hascache_segment *s, uint64_t lo)
{
    return (uint32_t)((lo * UINT64_C(0x9e3779b97f4a7c15) >> 32) * s->lines >> 32);
}

/* hascache.c: everything but segments and their pages. */
enum err hascache_allocate(struct hascache **out, struct mem_owner *mem,
                           const struct hascache_options *o, uint8_t bits, struct error *err);

/* hascache_check.c: all but the members themselves. */
enum err hascache_check_shape(const struct hascache *h, struct error *err);

/* hascache_place.c: one member in one segment; n and count are the caller's affair. */
bool hascache_place(struct hascache *h, struct hascache_segment *s, struct hascache_member m);
bool hascache_unplace(struct hascache *h, struct hascache_segment *s, struct hascache_member m);
/* Reads all members of s behind what the scratch holds, and keeps its pages for undoing. */
void hascache_gather(struct hascache *h, const struct hascache_segment *s);
/* Places members from..to of the scratch into the emptied segment. False: half done, undo it. */
bool hascache_lay_out(struct hascache *h, struct hascache_segment *s, uint32_t from, uint32_t to);
void hascache_set_pages(struct hascache_segment *s, uint32_t pages);

/* hascache_grow.c */
bool hascache_grow(struct hascache *h, uint32_t segment);   /* one page more, or split */
void hascache_shrink(struct hascache *h, uint32_t segment); /* one page less, or merge */
bool hascache_take_page(struct hascache *h, uint32_t segment, uint32_t *page);
void hascache_moved(void *ctx, uint32_t tag, uint32_t from, uint32_t to);

#endif
