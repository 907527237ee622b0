#include "swarm/pull_intervals.h"

static void delete_at(struct pull_intervals *v, uint32_t i, uint32_t n)
{
    memmove(&v->at[i], &v->at[i + n], (v->count - i - n) * sizeof(v->at[0]));
    v->count = (uint8_t)(v->count - n);
}

static void forget_shortest(struct pull_intervals *v)
{
    uint32_t shortest = 0;
    for (uint32_t i = 1; i < v->count; i++)
        if (v->at[i].to - v->at[i].from < v->at[shortest].to - v->at[shortest].from)
            shortest = i;
    delete_at(v, shortest, 1);
}

static void insert(struct pull_intervals *v, uint64_t from, uint64_t to)
{
    if (v->count == LIMIT_PULLSYNC_INTERVALS) {
        LIMIT_HIT(PULLSYNC_INTERVALS);
        forget_shortest(v);
    }
    uint32_t i = 0;
    while (i < v->count && v->at[i].from < from)
        i++;
    memmove(&v->at[i + 1], &v->at[i], (v->count - i) * sizeof(v->at[0]));
    v->at[i] = (struct pull_interval){ from, to };
    v->count++;
}

void pull_intervals_add(struct pull_intervals *v, uint64_t from, uint64_t to)
{
    assert(from > 0 && from <= to && to < UINT64_MAX);
    for (uint32_t i = 0; i < v->count;) {
        if (v->at[i].to + 1 < from || v->at[i].from > to + 1) {
            i++;
            continue;
        }
        from = MIN(from, v->at[i].from);
        to = MAX(to, v->at[i].to);
        delete_at(v, i, 1);
    }
    insert(v, from, to);
}

void pull_intervals_remove(struct pull_intervals *v, uint64_t from, uint64_t to)
{
    assert(from <= to);
    for (uint32_t i = 0; i < v->count;) {
        struct pull_interval in = v->at[i];
        if (in.to < from || in.from > to) {
            i++;
            continue;
        }
        delete_at(v, i, 1);
        if (in.from < from)
            insert(v, in.from, from - 1);
        if (in.to > to)
            insert(v, to + 1, in.to);
        i = 0; /* what was inserted lies outside */
    }
}

uint64_t pull_intervals_next(const struct pull_intervals *v, uint64_t from)
{
    for (uint32_t i = 0; i < v->count; i++)
        if (v->at[i].from <= from && from <= v->at[i].to)
            return v->at[i].to + 1;
    return from;
}

uint64_t pull_intervals_covered(const struct pull_intervals *v, uint64_t to)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < v->count && v->at[i].from <= to; i++)
        n += MIN(v->at[i].to, to) - v->at[i].from + 1;
    return n;
}

void pull_intervals_encode(struct writer *w, const struct pull_intervals *v)
{
    writer_be64(w, v->epoch);
    writer_be64(w, v->own_epoch);
    writer_be32(w, v->raises);
    writer_u8(w, v->radius);
    writer_u8(w, v->count);
    for (uint32_t i = 0; i < v->count; i++) {
        writer_be64(w, v->at[i].from);
        writer_be64(w, v->at[i].to);
    }
}

enum err pull_intervals_decode(struct pull_intervals *out, struct bytes value, struct error *err)
{
    struct reader r = reader_of(value);
    struct pull_intervals v = { .epoch = reader_be64(&r) };
    uint64_t after = 0;
    v.own_epoch = reader_be64(&r);
    v.raises = reader_be32(&r);
    v.radius = reader_u8(&r);
    v.count = reader_u8(&r);
    if (v.count > LIMIT_PULLSYNC_INTERVALS || v.radius > OVERLAY_BIN_MAX)
        reader_fail(&r, ERR_MALFORMED);
    for (uint32_t i = 0; i < v.count && !r.failed; i++) {
        v.at[i].from = reader_be64(&r);
        v.at[i].to = reader_be64(&r);
        if (v.at[i].from <= after || v.at[i].to < v.at[i].from || v.at[i].to == UINT64_MAX)
            reader_fail(&r, ERR_MALFORMED);
        after = v.at[i].to + 1; /* they would have been joined */
    }
    enum err rc = reader_finish(&r, "pulled intervals", err);
    if (!rc)
        *out = v;
    return rc;
}

bool pull_raises_see(struct pull_raises *r, uint8_t radius)
{
    if (radius == r->radius)
        return false;
    if (radius > r->radius) {
        r->now++;
        for (uint32_t i = 0; i <= radius; i++)
            r->of[i] = r->now;
    }
    r->radius = radius;
    return true;
}

void pull_raises_encode(struct writer *w, const struct pull_raises *r)
{
    writer_be32(w, r->now);
    writer_u8(w, r->radius);
    for (uint32_t i = 0; i <= OVERLAY_BIN_MAX; i++)
        writer_be32(w, r->of[i]);
}

enum err pull_raises_decode(struct pull_raises *out, struct bytes value, struct error *err)
{
    struct reader r = reader_of(value);
    struct pull_raises raises = { .now = reader_be32(&r) };
    raises.radius = reader_u8(&r);
    for (uint32_t i = 0; i <= OVERLAY_BIN_MAX; i++)
        raises.of[i] = reader_be32(&r);
    enum err rc = reader_finish(&r, "raised radii", err);
    if (!rc)
        *out = raises;
    return rc;
}

bool pull_intervals_stale(const struct pull_intervals *v, const struct pull_raises *r, uint8_t peer,
                          uint8_t bin)
{
    uint8_t highest = v->radius;
    for (uint8_t i = 0; i <= OVERLAY_BIN_MAX; i++)
        if (r->of[i] > v->raises)
            highest = MAX(highest, i);
    return r->radius < highest && (peer < highest || bin < highest);
}
