/* One stream to one server of a pass. */
#include "ipfs/pass_state.h"

static uint64_t now_ms(const struct sender *s)
{
    return loop_now_ms(dht_options(s->pass->o.dht)->loop);
}

/* Its next key: moves over chunks in which there is none. False: none is ready. */
static bool next_key(struct sender *s, struct bytes *hash)
{
    struct pass *p = s->pass;
    uint32_t server = (uint32_t)(s - p->senders);
    for (; s->chunk < p->next; s->chunk++, s->bit = 0) {
        struct chunk *c = chunk_at(p, s->chunk);
        const uint8_t *bits = c->bits + (size_t)server * bitmap_bytes(p);
        for (; s->bit < c->keys.count; s->bit++) {
            if (s->bit % 8 == 0 && bits[s->bit / 8] == 0) {
                s->bit += 7;
                continue;
            }
            if (bits[s->bit / 8] >> (s->bit % 8) & 1) {
                *hash = keyset_hash(&c->keys, s->bit);
                return true;
            }
        }
    }
    return false;
}

static bool all_read(const struct sender *s)
{
    return s->pass->end && !s->pass->reading && s->chunk == s->pass->next;
}

static void sender_end(struct sender *s, bool failed)
{
    struct pass *p = s->pass;
    if (s->state == SENDER_OPEN || s->state == SENDER_ASKED)
        dht_conn_release(p->o.dht, &s->server->peer.id);
    if (s->stream) {
        struct stream *stream = s->stream;
        s->stream = NULL;
        stream_set_user(stream, NULL); /* from here on it is nobody's */
        if (failed) {
            stream_reset(stream, 0);
        } else {
            stream_finish(stream);
            stream_deadline(stream, LIMIT_KAD_LINGER_MS);
        }
    }
    s->state = SENDER_DONE;
    s->server->failed = failed;
    p->live -= failed;
    p->failed += failed;
}

static void sender_fail(struct sender *s, uint32_t bad_ms)
{
    struct pass *p = s->pass;
    sender_end(s, true);
    if (p->ending)
        return;
    if (bad_ms > 0)
        dht_mark_bad(p->o.dht, &s->server->peer, bad_ms);
    pass_moved(p);
}

/* ---- opening ---- */

static void on_opened(struct dht_open *o, struct stream *stream, const struct error *err UNUSED)
{
    struct sender *s = container_of(o, struct sender, open);
    struct pass *p = s->pass;
    if (!stream) {
        s->state = SENDER_IDLE; /* nothing is held */
        sender_fail(s, 0);
        if (p->ending)
            pass_moved(p);
        return;
    }
    s->stream = stream;
    s->state = SENDER_OPEN;
    s->progress_ms = now_ms(s);
    if (p->ending) {
        sender_end(s, true);
        pass_moved(p);
        return;
    }
    stream_want_write(stream);
}

/* Those who are through with what has been read keep their connection and do not count: a ring that
 * waits for somebody without one could not turn otherwise. */
static bool may_open(const struct pass *p)
{
    uint32_t busy = 0;
    for (uint32_t i = 0; i < p->o.servers_count; i++) {
        const struct sender *s = &p->senders[i];
        busy += s->state == SENDER_OPENING || s->state == SENDER_ASKED ||
                (s->state == SENDER_OPEN && s->chunk < p->next);
    }
    return busy < p->o.connections_max;
}

static void kick_idle(struct pass *p)
{
    for (uint32_t i = 0; i < p->o.servers_count; i++)
        if (p->senders[i].state == SENDER_IDLE)
            sender_kick(&p->senders[i]);
}

void sender_kick(struct sender *s)
{
    struct pass *p = s->pass;
    struct bytes hash;
    if (s->state == SENDER_OPEN)
        stream_want_write(s->stream);
    if (s->state != SENDER_IDLE)
        return;
    if (next_key(s, &hash)) {
        if (!may_open(p))
            return;
        s->state = SENDER_OPENING;
        s->open.to = &s->server->peer;
        s->open.speaks = p->protocol;
        s->open.user = s;
        s->open.cb = on_opened;
        dht_open(p->o.dht, &s->open);
    } else if (all_read(s)) {
        s->state = SENDER_DONE; /* no key of the region was its own */
    }
}

static void done_well(struct sender *s)
{
    struct pass *p = s->pass;
    sender_end(s, false);
    kick_idle(p); /* somebody may wait for the connection */
    pass_moved(p);
}

/* ---- writing ---- */

/* The rest of a record that was cut. */
static size_t put_rest(struct sender *s, uint8_t *buf, size_t room)
{
    size_t n = MIN(room, (size_t)(s->rest_size - s->rest_at));
    memcpy(buf, s->rest + s->rest_at, n);
    s->rest_at += (uint16_t)n;
    return n;
}

/* Records until there is no key or no room. The last one may be cut: who leaves room unused is not
 * asked again when there is more. */
static size_t fill(struct sender *s, uint8_t *buf, size_t room)
{
    const struct kad_record *record = s->pass->o.record;
    struct bytes hash;
    size_t used = put_rest(s, buf, room);
    uint32_t sent = 0;
    while (used < room && next_key(s, &hash)) {
        size_t size = kad_record_size(record, hash.size);
        sent++;
        s->bit++;
        s->last_size = (uint8_t)hash.size;
        memcpy(s->last, hash.data, hash.size);
        if (size <= room - used) {
            kad_record_put(record, buf + used, hash);
            used += size;
            continue;
        }
        kad_record_put(record, s->rest, hash);
        s->rest_size = (uint16_t)size;
        s->rest_at = 0;
        used += put_rest(s, buf + used, room - used);
    }
    s->server->sent += sent;
    return used;
}

static void on_provider(struct kad_decoder *d, const struct kad_peer *peer, bool provider)
{
    struct sender *s = container_of(d, struct sender, answer);
    if (provider && peer_id_equal(&peer->id, host_id(dht_options(s->pass->o.dht)->host)))
        s->names_us = true;
}

static size_t on_writable(struct stream *stream UNUSED, void *user, uint8_t *buf, size_t room)
{
    struct sender *s = user;
    if (s && s->state == SENDER_ASKED)
        return put_rest(s, buf, room);
    if (!s || s->state != SENDER_OPEN)
        return 0;
    uint32_t chunk = s->chunk;
    size_t used = fill(s, buf, room);
    struct bytes hash;
    if (used < room && !next_key(s, &hash) && all_read(s)) {
        s->rest_size =
            (uint16_t)kad_request_put(s->rest, KAD_GET_PROVIDERS, bytes_of(s->last, s->last_size));
        s->rest_at = 0;
        used += put_rest(s, buf + used, room - used);
        s->answer = (struct kad_decoder){ .on_peer = on_provider, .allow_private = true };
        s->state = SENDER_ASKED;
    }
    if (used > 0)
        s->progress_ms = now_ms(s);
    if (s->chunk == s->pass->next)
        kick_idle(s->pass);
    if (s->chunk != chunk || s->state == SENDER_ASKED)
        pass_moved(s->pass);
    return used;
}

static size_t on_data(struct stream *stream UNUSED, void *user, const uint8_t *bytes, size_t size)
{
    struct sender *s = user;
    struct error err;
    size_t taken = 0;
    if (!s || size == 0)
        return size;
    if (s->state != SENDER_ASKED || kad_decode(&s->answer, bytes_of(bytes, size), &taken, &err)) {
        sender_fail(s, LIMIT_KAD_BAD_MS); /* it says what nobody asked for */
        return size;
    }
    s->progress_ms = now_ms(s);
    if (s->answer.done) {
        s->server->confirmed = s->names_us;
        done_well(s);
    }
    return size;
}

static void on_close(struct stream *stream UNUSED, void *user, const struct error *err UNUSED,
                     uint32_t code UNUSED)
{
    struct sender *s = user;
    if (!s)
        return;
    s->stream = NULL;
    sender_fail(s, LIMIT_KAD_REFUSED_MS);
}

const struct stream_ops pass_stream_ops = { NULL, on_data, on_writable, on_close };

/* ---- watched ---- */

void sender_watch(struct sender *s, uint64_t now)
{
    bool waits = s->state == SENDER_ASKED ||
                 (s->state == SENDER_OPEN && (s->chunk < s->pass->next || all_read(s)));
    if (!waits && s->state == SENDER_OPEN)
        s->progress_ms = now; /* it is we who have nothing for it */
    if (waits && now - s->progress_ms >= s->pass->o.stall_ms)
        sender_fail(s, LIMIT_KAD_BAD_MS);
    else if (s->state == SENDER_IDLE)
        sender_kick(s);
}

bool sender_busy(const struct sender *s)
{
    return s->state == SENDER_OPENING;
}

void sender_drop(struct sender *s)
{
    if (s->state == SENDER_OPENING)
        dht_open_cancel(&s->open); /* on_opened ends it */
    else if (s->state != SENDER_DONE)
        sender_end(s, s->state != SENDER_IDLE);
}
