/* Recomputes what a has-cache claims about itself. */
#include "store/hascache_segment.h"

/* Counts a member where it should be counted; false: it is in neither of its places. */
static bool check_member(const struct hascache_segment *s, uint8_t ovf[], uint32_t line,
                         uint64_t lo, uint8_t hi)
{
    uint32_t first = first_line(s, lo, hi);
    if (first != line)
        ovf[first]++;
    return first == line || second_line(s, lo) == line;
}

static enum err check_lines(const struct hascache *h, uint32_t segment, struct error *err)
{
    const struct hascache_segment *s = &h->segments[segment];
    uint8_t ovf[SEGMENT_PAGES_MAX * LINES_PER_PAGE] = { 0 };
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->lines; i++) {
        const struct hascache_line *line = segment_line(h, s, i);
        for (uint32_t slot = 0; slot < SLOTS_PER_LINE; slot++) {
            if (!line->lo[slot] && !line->hi[slot])
                continue;
            n++;
            if (!check_member(s, ovf, i, line->lo[slot], line->hi[slot]))
                return error_set(err, ERR_CORRUPT,
                                 "segment %u: a member of line %u is in no place "
                                 "of its own",
                                 segment, i);
        }
    }
    for (uint32_t i = 0; i < s->lines; i++)
        if (segment_line(h, s, i)->ovf != ovf[i])
            return error_set(err, ERR_CORRUPT,
                             "segment %u: line %u counts %u members elsewhere, "
                             "not %u",
                             segment, i, segment_line(h, s, i)->ovf, ovf[i]);
    if (n != s->n)
        return error_set(err, ERR_CORRUPT, "segment %u holds %u members, not %u", segment, n, s->n);
    return ERR_OK;
}

static enum err check_shape(const struct hascache *h, uint32_t segment, struct error *err)
{
    const struct hascache_segment *s = &h->segments[segment];
    if (s->depth < DEPTH_MIN || s->depth > h->bits || s->prefix >> s->depth || s->pages < 1 ||
        s->pages > SEGMENT_PAGES_MAX || s->lines != s->pages * (uint32_t)LINES_PER_PAGE ||
        s->limit != s->pages * (uint32_t)SLOTS_PER_PAGE * 94 / 100)
        return error_set(err, ERR_CORRUPT, "segment %u: impossible shape", segment);
    for (uint32_t i = 0; i < s->pages; i++)
        if (s->page[i] >= page_pool_count(h->pool) || page_pool_tag(h->pool, s->page[i]) != segment)
            return error_set(err, ERR_CORRUPT, "segment %u: page %u is not its own", segment, i);
    uint32_t each = UINT32_C(1) << (h->bits - s->depth);
    for (uint32_t i = 0; i < each; i++)
        if (h->directory[s->prefix * each + i] != segment)
            return error_set(err, ERR_CORRUPT, "segment %u: the directory names another", segment);
    return ERR_OK;
}

enum err hascache_check_shape(const struct hascache *h, struct error *err)
{
    uint64_t members = 0, pages = 0, entries = 0;
    for (uint32_t i = 0; i < h->segment_count; i++) {
        enum err rc = check_shape(h, i, err);
        if (rc)
            return rc;
        members += h->segments[i].n;
        pages += h->segments[i].pages;
        entries += UINT64_C(1) << (h->bits - h->segments[i].depth);
    }
    if (members != h->count || pages != page_pool_count(h->pool) ||
        entries != UINT64_C(1) << h->bits)
        return error_set(err, ERR_CORRUPT,
                         "%" PRIu64 " members, %" PRIu64 " pages and %" PRIu64
                         " directory entries do not add up",
                         members, pages, entries);
    return ERR_OK;
}

enum err hascache_check(const struct hascache *h, struct error *err)
{
    enum err rc = hascache_check_shape(h, err);
    for (uint32_t i = 0; !rc && i < h->segment_count; i++)
        rc = check_lines(h, i, err);
    return rc;
}
