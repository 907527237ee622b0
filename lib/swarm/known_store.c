#include "swarm/known_store.h"

/* --- what is stored -------------------------------------------------------------------------- */

size_t known_stored_encode(const struct known_peer *p, uint64_t network_id,
                           uint8_t out[KNOWN_STORED_BYTES_MAX])
{
    struct writer w = writer_of(out, KNOWN_STORED_BYTES_MAX);
    writer_be64(&w, network_id);
    writer_be64(&w, (uint64_t)p->timestamp_s);
    writer_put(&w, p->overlay, OVERLAY_BYTES);
    writer_put(&w, p->addresses, p->address_bytes);
    assert(!w.overflow);
    return writer_used(&w);
}

enum err known_stored_decode(struct overlay_record *rec, struct bytes value, uint64_t network_id,
                             int64_t now_s, struct error *err)
{
    struct reader r = reader_of(value);
    uint64_t network = reader_be64(&r), timestamp = reader_be64(&r);
    struct bytes overlay = reader_take(&r, OVERLAY_BYTES);
    struct bytes addresses = reader_take(&r, reader_left(&r));
    enum err rc = reader_finish(&r, "a stored peer", err);
    if (rc)
        return rc;
    if (network != network_id)
        return error_set(err, ERR_REFUSED, "the peer is of network %" PRIu64, network);
    if (addresses.size == 0 || addresses.size > KNOWN_ADDRESS_BYTES)
        return error_set(err, ERR_MALFORMED, "a stored peer with %zu bytes of addresses",
                         addresses.size);
    /* One in the future would make us refuse the peer's next record. */
    if (timestamp == 0 || timestamp > (uint64_t)now_s + LIMIT_RECORD_AHEAD_S)
        return error_set(err, ERR_MALFORMED, "a stored peer of the time %" PRIu64, timestamp);
    *rec = (struct overlay_record){ .underlays = addresses,
                                    .overlay = overlay,
                                    .timestamp_s = (int64_t)timestamp };
    return ERR_OK;
}

/* --- what should be -------------------------------------------------------------------------- */

struct best {
    const struct known_peer *at[LIMIT_KNOWN_STORED];
    uint32_t count;
};

static bool better(const struct known_peer *a, const struct known_peer *b)
{
    if (a->proximity != b->proximity)
        return a->proximity > b->proximity;
    if (a->timestamp_s != b->timestamp_s)
        return a->timestamp_s > b->timestamp_s;
    return memcmp(a->overlay, b->overlay, OVERLAY_BYTES) < 0;
}

static void best_of(const struct known *known, struct best *out)
{
    out->count = 0;
    for (uint32_t i = 0; i < known_count(known); i++) {
        const struct known_peer *p = known_at(known, i);
        uint32_t n = out->count;
        if (n == LIMIT_KNOWN_STORED && !better(p, out->at[n - 1]))
            continue;
        n = out->count = MIN(n + 1, (uint32_t)LIMIT_KNOWN_STORED);
        for (n--; n > 0 && better(p, out->at[n - 1]); n--)
            out->at[n] = out->at[n - 1];
        out->at[n] = p;
    }
}

static const struct known_peer *best_find(const struct best *best, const struct known_place *place)
{
    for (uint32_t i = 0; i < best->count; i++)
        if (!memcmp(best->at[i]->overlay, place->overlay, OVERLAY_BYTES))
            return best->at[i];
    return NULL;
}

static bool is_placed(const struct known_store *s, const uint8_t overlay[OVERLAY_BYTES])
{
    for (uint32_t i = 0; i < LIMIT_KNOWN_STORED; i++)
        if (s->places_[i].used && !memcmp(s->places_[i].overlay, overlay, OVERLAY_BYTES))
            return true;
    return false;
}

/* The next place that does not hold what it should; *p: what it should, NULL: nothing. */
static bool difference(const struct known_store *s, uint8_t *place, const struct known_peer **p)
{
    struct best best;
    uint8_t unused = LIMIT_KNOWN_STORED;
    best_of(s->known, &best);
    for (uint8_t i = 0; i < LIMIT_KNOWN_STORED; i++) {
        if (!s->places_[i].used) {
            unused = i;
            continue;
        }
        *place = i;
        *p = best_find(&best, &s->places_[i]);
        if (!*p || (*p)->timestamp_s != s->places_[i].timestamp_s)
            return true;
    }
    for (uint32_t i = 0; i < best.count; i++)
        if (!is_placed(s, best.at[i]->overlay)) {
            assert(unused < LIMIT_KNOWN_STORED); /* each used one holds one of the best */
            *place = unused;
            *p = best.at[i];
            return true;
        }
    return false;
}

/* --- writing --------------------------------------------------------------------------------- */

static struct state_key key_of(struct known_store *s, uint8_t place)
{
    s->key_[0] = place;
    return (struct state_key){ STATE_KNOWN, bytes_of(s->key_, sizeof(s->key_)) };
}

static void on_done(struct deferred *d)
{
    struct known_store *s = container_of(d, struct known_store, later_);
    s->done_(s->done_ctx_);
}

static void pass_end(struct known_store *s)
{
    if (!s->stopping_)
        timer_set(&s->timer_, LIMIT_KNOWN_STORE_MS);
    else if (!s->done_called_)
        loop_defer(s->loop, &s->later_, on_done);
    s->done_called_ = s->stopping_;
}

static void write_next(struct known_store *s);

static void on_put(struct state_put *req, const struct error *err)
{
    struct known_store *s = container_of(req, struct known_store, put_);
    s->writing_ = false;
    if (err) { /* what is there is not known: it is written again */
        s->places_[s->next_] = (struct known_place){ .used = true };
        pass_end(s);
        return;
    }
    write_next(s);
}

static void write_next(struct known_store *s)
{
    const struct known_peer *p = NULL;
    if (!difference(s, &s->next_, &p)) {
        pass_end(s);
        return;
    }
    struct known_place *place = &s->places_[s->next_];
    *place = (struct known_place){ .used = p != NULL };
    s->put_ = (struct state_put){ .key = key_of(s, s->next_), .cb = on_put };
    if (p) {
        place->timestamp_s = p->timestamp_s;
        memcpy(place->overlay, p->overlay, OVERLAY_BYTES);
        s->put_.value = bytes_of(s->value_, known_stored_encode(p, s->network_id, s->value_));
    }
    s->writing_ = true;
    state_put(s->state, &s->put_);
}

static void on_time(struct timer *t)
{
    write_next(container_of(t, struct known_store, timer_));
}

/* --- reading --------------------------------------------------------------------------------- */

static void read_next(struct known_store *s);

/* One that is no good, or whose reading failed, leaves its place to another. */
static void place_take(struct known_store *s, struct bytes value)
{
    struct known_place *place = &s->places_[s->next_];
    struct overlay_record rec;
    int64_t now_s = (int64_t)(loop_wall_ns(s->loop) / 1000000000);
    place->used = true;
    if (known_stored_decode(&rec, value, s->network_id, now_s, NULL) ||
        is_placed(s, rec.overlay.data))
        return;
    enum known_outcome outcome = known_learn(s->known, &rec);
    if (outcome != KNOWN_KEPT && outcome != KNOWN_OLD)
        return;
    place->timestamp_s = rec.timestamp_s;
    memcpy(place->overlay, rec.overlay.data, OVERLAY_BYTES);
    if (outcome == KNOWN_KEPT && s->on_known)
        s->on_known(s->ctx);
}

static void on_got(struct state_get *req, const struct error *err)
{
    struct known_store *s = container_of(req, struct known_store, get_);
    s->reading_ = false;
    if (s->stopping_) { /* not all is known of the places: nothing is written */
        pass_end(s);
        return;
    }
    if (!err || err->code != ERR_NOT_FOUND)
        place_take(s, bytes_of(s->value_, err ? 0 : writer_used(&req->value)));
    s->next_++;
    read_next(s);
}

static void read_next(struct known_store *s)
{
    if (s->next_ == LIMIT_KNOWN_STORED) {
        pass_end(s);
        return;
    }
    s->reading_ = true;
    s->get_ = (struct state_get){ .key = key_of(s, s->next_),
                                  .value = writer_of(s->value_, sizeof(s->value_)),
                                  .cb = on_got };
    state_get(s->state, &s->get_);
}

void known_store_start(struct known_store *s)
{
    assert(s->loop && s->state && s->known);
    timer_init(&s->timer_, s->loop, on_time, "peers we know of");
    read_next(s);
}

void known_store_stop(struct known_store *s, void (*done)(void *ctx), void *ctx)
{
    assert(!s->stopping_ && done);
    bool idle = timer_is_set(&s->timer_);
    s->stopping_ = true;
    s->done_ = done;
    s->done_ctx_ = ctx;
    timer_set(&s->timer_, 0);
    if (s->reading_)
        state_get_cancel(&s->get_);
    else if (idle)
        write_next(s);
    else if (!s->writing_)
        pass_end(s); /* it was never started */
}
