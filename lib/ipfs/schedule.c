#include "ipfs/schedule.h"

#include "base/mem.h"

enum { OFFSET_BITS = 24, FIRST_ROOM = 64 };

bool schedule_init(struct schedule *s, struct mem_owner *mem)
{
    *s = (struct schedule){ .mem = mem };
    s->entries = mem_try_alloc(mem, FIRST_ROOM * sizeof(*s->entries));
    s->room = s->entries ? FIRST_ROOM : 0;
    return s->entries != NULL;
}

void schedule_free(struct schedule *s)
{
    if (s->mem)
        mem_free(s->mem, s->entries);
    *s = (struct schedule){ 0 };
}

uint64_t schedule_offset(struct kad_prefix p, uint64_t order, uint64_t interval)
{
    uint8_t len = MIN(p.len, OFFSET_BITS);
    if (len == 0)
        return 0;
    uint64_t place = (p.bits ^ order) >> (64 - len);
    return (uint64_t)((unsigned __int128)interval * place >> len);
}

uint64_t schedule_due(const struct schedule *s, const struct schedule_entry *e)
{
    uint64_t last = e->done_ms + s->interval_ms + LIMIT_SCHEDULE_DELAY_MS;
    uint64_t first = s->start_ms + schedule_offset(e->prefix, s->order, s->interval_ms);
    if (s->interval_ms == 0)
        return UINT64_MAX;
    if (last < first)
        return last;
    return last - (last - first) % s->interval_ms;
}

void schedule_clock(struct schedule *s, uint64_t now_ms)
{
    s->start_ms = MIN(s->start_ms, now_ms);
    for (uint32_t i = 0; i < s->count; i++)
        if (s->entries[i].done_ms > now_ms) {
            s->entries[i].done_ms = now_ms;
            s->entries[i].dirty = true;
        }
}

/* The first entry whose part ends at or behind kad. */
static uint32_t find(const struct schedule *s, uint64_t kad)
{
    uint32_t lo = 0, hi = s->count;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        const struct kad_prefix *p = &s->entries[mid].prefix;
        if ((p->bits | ~kad_prefix_mask(p->len)) < kad)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct schedule_entry *schedule_at(const struct schedule *s, uint64_t kad, uint64_t *end)
{
    uint32_t i = find(s, kad);
    if (i == s->count) {
        *end = UINT64_MAX;
        return NULL;
    }
    const struct schedule_entry *e = &s->entries[i];
    if (!kad_prefix_has(e->prefix, kad)) {
        *end = e->prefix.bits - 1;
        return NULL;
    }
    *end = e->prefix.bits | ~kad_prefix_mask(e->prefix.len);
    return e;
}

struct kad_prefix schedule_gap(const struct schedule *s, uint64_t kad, uint8_t len)
{
    for (; len < 63; len++) {
        struct kad_prefix p = kad_prefix_of(kad, len);
        uint32_t i = find(s, p.bits);
        if (i == s->count || s->entries[i].prefix.bits > (p.bits | ~kad_prefix_mask(len)))
            return p;
    }
    return kad_prefix_of(kad, len);
}

static void row_gone(struct schedule *s, struct kad_prefix p)
{
    if (s->gone_count < LIMIT_SCHEDULE_GONE)
        s->gone[s->gone_count++] = p; /* else an old row stays, which a newer one overrules */
}

static bool insert(struct schedule *s, const struct schedule_entry *e)
{
    if (s->count == s->room) {
        uint32_t room = s->room * 2;
        struct schedule_entry *more =
            LIMIT_CHECK(SCHEDULE_PARTS, room)
                ? mem_try_realloc(s->mem, s->entries, room * sizeof(*s->entries))
                : NULL;
        if (!more)
            return false;
        s->entries = more;
        s->room = room;
    }
    uint32_t i = find(s, e->prefix.bits);
    memmove(s->entries + i + 1, s->entries + i, (s->count - i) * sizeof(*e));
    s->entries[i] = *e;
    s->count++;
    return true;
}

static void drop(struct schedule *s, uint32_t i)
{
    row_gone(s, s->entries[i].prefix);
    memmove(s->entries + i, s->entries + i + 1, (--s->count - i) * sizeof(s->entries[0]));
}

void schedule_put(struct schedule *s, const struct schedule_entry *e)
{
    uint64_t end = e->prefix.bits | ~kad_prefix_mask(e->prefix.len);
    uint32_t i = find(s, e->prefix.bits);
    if (i < s->count && kad_prefix_holds(s->entries[i].prefix, e->prefix)) {
        struct schedule_entry whole = s->entries[i];
        drop(s, i);
        for (uint8_t len = whole.prefix.len; len < e->prefix.len; len++) {
            struct schedule_entry piece = whole;
            piece.prefix = kad_prefix_sibling(kad_prefix_of(e->prefix.bits, len + 1));
            piece.keys >>= len + 1 - whole.prefix.len;
            piece.dirty = true;
            (void)insert(s, &piece);
        }
    }
    for (i = find(s, e->prefix.bits); i < s->count && s->entries[i].prefix.bits <= end;)
        drop(s, i);
    struct schedule_entry fresh = *e;
    fresh.dirty = true;
    for (uint32_t g = 0; g < s->gone_count; g++) /* its own row is written anew */
        if (s->gone[g].bits == e->prefix.bits && s->gone[g].len == e->prefix.len)
            s->gone[g] = s->gone[--s->gone_count];
    (void)insert(s, &fresh);
}

uint32_t schedule_average_len(const struct schedule *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->count; i++)
        sum += s->entries[i].prefix.len;
    return s->count > 0 ? (uint32_t)(sum / s->count) : UINT32_MAX;
}

/* ---- rows ---- */

void schedule_row_key(uint8_t kind, struct kad_prefix p, uint8_t out[SCHEDULE_KEY_BYTES])
{
    out[0] = kind;
    be64_encode(out + 1, p.bits);
    out[9] = p.len;
}

bool schedule_row_prefix(struct bytes key, struct kad_prefix *out)
{
    if (key.size != SCHEDULE_KEY_BYTES || key.data[9] > 63)
        return false;
    *out = (struct kad_prefix){ be64_decode(key.data + 1), key.data[9] };
    return (out->bits & ~kad_prefix_mask(out->len)) == 0;
}

void schedule_row_value(const struct schedule_entry *e, uint8_t out[SCHEDULE_VALUE_BYTES])
{
    struct writer w = writer_of(out, SCHEDULE_VALUE_BYTES);
    writer_be64(&w, e->done_ms);
    writer_be32(&w, e->servers);
    writer_be64(&w, e->keys);
    writer_be32(&w, e->reached);
    writer_be32(&w, e->holders_milli);
    assert(!w.overflow);
}

bool schedule_row_decode(struct bytes key, struct bytes value, uint64_t now_ms,
                         struct schedule_entry *out)
{
    struct reader r = reader_of(value);
    struct schedule_entry e = { .done_ms = reader_be64(&r) };
    e.servers = reader_be32(&r);
    e.keys = reader_be64(&r);
    e.reached = reader_be32(&r);
    e.holders_milli = reader_be32(&r);
    if (!schedule_row_prefix(key, &e.prefix) || reader_finish(&r, "a row of the schedule", NULL))
        return false;
    e.done_ms = MIN(e.done_ms, now_ms); /* the clock was stepped back: the future is now */
    *out = e;
    return true;
}

void schedule_progress_value(const struct schedule_progress *p, struct writer *out)
{
    writer_be64(out, p->started_ms);
    writer_be64(out, p->at_ms);
    writer_be64(out, p->keys);
    writer_put(out, p->last, p->last_size);
}

bool schedule_progress_decode(struct bytes key, struct bytes value, uint64_t now_ms,
                              struct schedule_progress *out)
{
    struct reader r = reader_of(value);
    struct schedule_progress p = { .started_ms = reader_be64(&r) };
    p.at_ms = reader_be64(&r);
    p.keys = reader_be64(&r);
    struct bytes last = reader_take(&r, reader_left(&r));
    if (r.failed || last.size <= 8 || last.size > KEY_BYTES_MAX ||
        !schedule_row_prefix(key, &p.prefix) || !kad_prefix_has(p.prefix, be64_decode(last.data)))
        return false;
    p.last_size = (uint8_t)last.size;
    memcpy(p.last, last.data, last.size);
    p.at_ms = MIN(p.at_ms, now_ms);
    p.started_ms = MIN(p.started_ms, p.at_ms);
    *out = p;
    return true;
}
