/* One member in one segment: where it goes, who must move for it, and laying a segment out. */
#include "store/hascache_segment.h"

static struct hascache_member member_at(const struct hascache_line *line, uint32_t slot)
{
    return (struct hascache_member){ line->lo[slot], line->hi[slot] };
}

/* Writes m into a slot of one of its two lines and counts it where that is its second. */
static void put_at(struct hascache *h, const struct hascache_segment *s, uint32_t at, uint32_t slot,
                   struct hascache_member m)
{
    struct hascache_line *line = segment_line(h, s, at);
    uint32_t first = first_line(s, m.lo, m.hi);
    line->lo[slot] = m.lo;
    line->hi[slot] = m.hi;
    if (first != at)
        segment_line(h, s, first)->ovf++;
}

static struct hascache_member take_from(struct hascache *h, const struct hascache_segment *s,
                                        uint32_t at, uint32_t slot)
{
    struct hascache_line *line = segment_line(h, s, at);
    struct hascache_member m = member_at(line, slot);
    uint32_t first = first_line(s, m.lo, m.hi);
    if (first != at) {
        assert(segment_line(h, s, first)->ovf > 0);
        segment_line(h, s, first)->ovf--;
    }
    line->lo[slot] = 0;
    line->hi[slot] = 0;
    return m;
}

/* May m live in its second line? */
static bool second_is_open(const struct hascache *h, const struct hascache_segment *s,
                           uint32_t first, uint32_t second)
{
    return first != second && segment_line(h, s, first)->ovf < OVF_FULL;
}

static void undo_walk(struct hascache *h, const struct hascache_segment *s, uint32_t moves)
{
    while (moves-- > 0) {
        const struct hascache_move *move = &h->scratch->moves[moves];
        (void)take_from(h, s, move->line, move->slot);
        put_at(h, s, move->line, move->slot, move->old);
    }
}

/* Both lines of m are full: m takes a random slot, and who was there goes to its other line, and so
 * on. A walk that does not end is undone. */
static bool walk(struct hascache *h, const struct hascache_segment *s, struct hascache_member m)
{
    uint32_t at = first_line(s, m.lo, m.hi), second = second_line(s, m.lo), moves = 0;
    if (second_is_open(h, s, at, second) && (prng_next(&h->prng) & 1))
        at = second;
    for (int step = 0; step < LIMIT_HASCACHE_WALK_MOVES; step++) {
        uint32_t slot = prng_below(&h->prng, SLOTS_PER_LINE);
        struct hascache_member old = member_at(segment_line(h, s, at), slot);
        uint32_t first = first_line(s, old.lo, old.hi), other = second_line(s, old.lo);
        if (first != at)
            other = first;
        else if (!second_is_open(h, s, first, other))
            continue;
        (void)take_from(h, s, at, slot);
        put_at(h, s, at, slot, m);
        h->scratch->moves[moves++] = (struct hascache_move){ at, slot, old };
        h->stats.moves++;
        int room = h->kernel->find(segment_line(h, s, other), 0, 0);
        if (room >= 0) {
            put_at(h, s, other, (uint32_t)room, old);
            return true;
        }
        m = old;
        at = other;
    }
    undo_walk(h, s, moves);
    return false;
}

bool hascache_place(struct hascache *h, struct hascache_segment *s, struct hascache_member m)
{
    uint32_t first = first_line(s, m.lo, m.hi), second = second_line(s, m.lo);
    int slot = h->kernel->find(segment_line(h, s, first), 0, 0);
    if (slot >= 0) {
        put_at(h, s, first, (uint32_t)slot, m);
        return true;
    }
    if (second_is_open(h, s, first, second)) {
        slot = h->kernel->find(segment_line(h, s, second), 0, 0);
        if (slot >= 0) {
            put_at(h, s, second, (uint32_t)slot, m);
            return true;
        }
    }
    return walk(h, s, m);
}

bool hascache_unplace(struct hascache *h, struct hascache_segment *s, struct hascache_member m)
{
    uint32_t at = first_line(s, m.lo, m.hi);
    struct hascache_line *line = segment_line(h, s, at);
    int slot = h->kernel->find(line, m.lo, m.hi);
    if (slot < 0 && line->ovf) {
        at = second_line(s, m.lo);
        slot = h->kernel->find(segment_line(h, s, at), m.lo, m.hi);
    }
    if (slot < 0)
        return false;
    (void)take_from(h, s, at, (uint32_t)slot);
    return true;
}

void hascache_gather(struct hascache *h, const struct hascache_segment *s)
{
    struct hascache_scratch *x = h->scratch;
    assert(x->undo_pages + s->pages <= SEGMENT_PAGES_MAX);
    for (uint32_t p = 0; p < s->pages; p++) {
        const struct hascache_line *lines = segment_line(h, s, p * LINES_PER_PAGE);
        memcpy(x->undo + (uint64_t)x->undo_pages++ * PAGE_BYTES, lines, PAGE_BYTES);
        for (uint32_t i = 0; i < LINES_PER_PAGE; i++)
            for (uint32_t slot = 0; slot < SLOTS_PER_LINE; slot++) {
                struct hascache_member m = member_at(&lines[i], slot);
                x->lo[x->count] = m.lo;
                x->hi[x->count] = m.hi;
                x->count += m.lo != 0 || m.hi != 0;
                assert(x->count <= SEGMENT_SLOTS_MAX);
            }
    }
}

bool hascache_lay_out(struct hascache *h, struct hascache_segment *s, uint32_t from, uint32_t to)
{
    const struct hascache_scratch *x = h->scratch;
    for (uint32_t p = 0; p < s->pages; p++)
        memset(segment_line(h, s, p * LINES_PER_PAGE), 0, PAGE_BYTES);
    for (uint32_t i = from; i < to; i++)
        if (!hascache_place(h, s, (struct hascache_member){ x->lo[i], x->hi[i] }))
            return false;
    s->n = to - from;
    h->stats.relayouts++;
    return true;
}

void hascache_set_pages(struct hascache_segment *s, uint32_t pages)
{
    assert(pages >= 1 && pages <= SEGMENT_PAGES_MAX);
    uint32_t slots = pages * SLOTS_PER_PAGE;
    s->pages = (uint8_t)pages;
    s->lines = pages * LINES_PER_PAGE;
    s->limit = slots * 94 / 100;
    /* A page goes when 70 % are in use and the rest has room without being packed. A segment of one
     * page looks for its buddy. */
    s->shrink_at =
        pages == 1 ? slots * 35 / 100 : MIN(slots * 70 / 100, (slots - SLOTS_PER_PAGE) * 85 / 100);
}
