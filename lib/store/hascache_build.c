#include "store/hascache_build.h"

#include "base/mem.h"

enum change { NONE, ADDED, REMOVED };

struct entry {
    uint64_t lo;
    uint16_t hi;
    uint8_t last; /* enum change; NONE: a free slot */
};

/* Many small tables, so that one of them grows, or is replayed, in a fraction of a millisecond. */
enum { TABLES = 256, TABLE_SLOTS_MIN = 16 };

struct table {
    struct entry *slots;
    uint32_t room, used; /* room is 0 or a power of two */
};

struct hascache_build {
    struct hascache *cache; /* borrowed */
    struct mem_owner *mem;  /* borrowed */
    struct table tables[TABLES];
    uint32_t replayed; /* tables below it are done: their keys need no log any more */
    uint64_t logged;
};

enum err hascache_build_create(struct hascache_build **out, struct hascache *h,
                               struct mem_owner *mem, struct error *err)
{
    assert(hascache_state(h) == HASCACHE_BUILDING);
    struct hascache_build *b = mem_try_zalloc(mem, sizeof(*b));
    if (!b)
        return mem_refused(mem, sizeof(*b), err);
    b->cache = h;
    b->mem = mem;
    *out = b;
    return ERR_OK;
}

void hascache_build_destroy(struct hascache_build *b)
{
    if (!b)
        return;
    for (uint32_t i = 0; i < TABLES; i++)
        mem_free(b->mem, b->tables[i].slots);
    mem_free(b->mem, b);
}

static uint32_t table_of(const struct hascache_hash *k)
{
    return (uint32_t)(k->lo % TABLES);
}

/* The slot of k, or the free one where it belongs. */
static struct entry *slot_of(const struct table *t, const struct hascache_hash *k)
{
    uint32_t at = (uint32_t)(k->lo / TABLES) & (t->room - 1);
    while (t->slots[at].last != NONE && (t->slots[at].lo != k->lo || t->slots[at].hi != k->hi))
        at = (at + 1) & (t->room - 1);
    return &t->slots[at];
}

static bool table_grow(struct hascache_build *b, struct table *t)
{
    struct table wide = { NULL, t->room ? 2 * t->room : TABLE_SLOTS_MIN, t->used };
    wide.slots = mem_try_zalloc(b->mem, wide.room * sizeof(wide.slots[0]));
    if (!wide.slots)
        return false;
    for (uint32_t i = 0; i < t->room; i++) {
        struct hascache_hash k = { t->slots[i].lo, t->slots[i].hi };
        if (t->slots[i].last != NONE)
            *slot_of(&wide, &k) = t->slots[i];
    }
    mem_free(b->mem, t->slots);
    *t = wide;
    return true;
}

static bool log_change(struct hascache_build *b, const struct hascache_hash *k, enum change last)
{
    struct table *t = &b->tables[table_of(k)];
    if (table_of(k) < b->replayed)
        return true;
    if (4 * (t->used + 1) > 3 * t->room && !table_grow(b, t))
        return false;
    struct entry *e = slot_of(t, k);
    t->used += e->last == NONE;
    b->logged += e->last == NONE;
    *e = (struct entry){ k->lo, k->hi, (uint8_t)last };
    return true;
}

void hascache_build_read(struct hascache_build *b, const struct hascache_hash *k, uint32_t count)
{
    enum { AHEAD = 16 };
    assert(count <= HASCACHE_BUILD_SLICE && b->replayed == 0);
    for (uint32_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            hascache_prefetch(b->cache, &k[i + AHEAD]);
        (void)hascache_add(b->cache, &k[i]); /* refused: the cache will be partial */
    }
}

bool hascache_build_add(struct hascache_build *b, const struct hascache_hash *k)
{
    (void)hascache_add(b->cache, k);
    return log_change(b, k, ADDED);
}

bool hascache_build_remove(struct hascache_build *b, const struct hascache_hash *k)
{
    (void)hascache_remove(b->cache, k);
    return log_change(b, k, REMOVED);
}

bool hascache_build_trusts(const struct hascache_build *b, const struct hascache_hash *k)
{
    const struct table *t = &b->tables[table_of(k)];
    return table_of(k) < b->replayed || t->room == 0 || slot_of(t, k)->last != REMOVED;
}

bool hascache_build_replay(struct hascache_build *b)
{
    if (b->replayed < TABLES) {
        struct table *t = &b->tables[b->replayed];
        for (uint32_t i = 0; i < t->room; i++) {
            struct hascache_hash k = { t->slots[i].lo, t->slots[i].hi };
            if (t->slots[i].last == ADDED)
                (void)hascache_add(b->cache, &k);
            else if (t->slots[i].last == REMOVED)
                (void)hascache_remove(b->cache, &k);
        }
        mem_free(b->mem, t->slots);
        *t = (struct table){ NULL, 0, 0 };
        b->replayed++;
    }
    if (b->replayed < TABLES)
        return false;
    hascache_built(b->cache);
    return true;
}

uint64_t hascache_build_logged(const struct hascache_build *b)
{
    return b->logged;
}
