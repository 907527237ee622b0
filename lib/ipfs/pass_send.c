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

static bool is_unproven(const struct sender *s)
{
    return s->unasked > 0 || s->asked_count > 0;
}

uint32_t sender_proven(const struct sender *s)
{
    return is_unproven(s) ? s->proven.chunk : s->chunk;
}

static void sender_end(struct sender *s, bool failed)
{
    struct pass *p = s->pass;
    if (s->state == SENDER_OPEN)
        dht_conn_release(p->o.dht, &s->server->peer.id);
    if (s->stream) {
        struct stream *stream = s->stream;
        s->stream = NULL;
        stream_leave(stream, failed ? 0 : LIMIT_KAD_LINGER_MS);
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
    senders_open(p);
    pass_moved(p);
}

/* ---- opening ---- */

static void on_provider(struct kad_decoder *d, const struct kad_peer *peer, bool provider)
{
    struct sender *s = container_of(d, struct sender, answer);
    if (provider && peer_id_equal(&peer->id, host_id(dht_options(s->pass->o.dht)->host)))
        s->names_us = true;
}

static void answer_expect(struct sender *s)
{
    s->answer = (struct kad_decoder){ .on_peer = on_provider, .allow_private = true };
    s->names_us = false;
}

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
    s->messages = s->heard = 0;
    answer_expect(s);
    s->progress_ms = now_ms(s);
    if (p->ending) {
        sender_end(s, true);
        pass_moved(p);
        return;
    }
    stream_want_write(stream);
}

/* ---- who is open: at most connections_max ---- */

/* Nothing that has been read is left for it, and it was heard to have read its own. */
static bool is_resting(struct sender *s)
{
    struct bytes hash;
    return s->state == SENDER_OPEN && !is_unproven(s) && !next_key(s, &hash);
}

/* A later key opens it again: all that it got was proven, so the order of its keys stays. */
static void sender_close(struct sender *s)
{
    sender_end(s, false);
    if (!all_read(s))
        s->state = SENDER_IDLE;
}

/* For one more: there is room, or who rests and had its last key the longest ago makes room. The
 * ring cannot stand still for want of it: who does not rest is sent to or awaited, and with the
 * ring at rest that ends, by an answer or the time it may take. */
static bool make_room(struct pass *p)
{
    struct sender *resting = NULL;
    uint32_t open = 0;
    for (uint32_t i = 0; i < p->o.servers_count; i++) {
        struct sender *s = &p->senders[i];
        open += s->state == SENDER_OPENING || s->state == SENDER_OPEN;
        if (is_resting(s) && (!resting || s->written < resting->written))
            resting = s;
    }
    if (open < p->o.connections_max)
        return true;
    if (resting)
        sender_close(resting);
    return resting != NULL;
}

/* Of those who have keys and no stream, one for whom the oldest chunk stays. */
static struct sender *first_waiting(struct pass *p)
{
    struct sender *first = NULL;
    struct bytes hash;
    for (uint32_t i = 0; i < p->o.servers_count; i++) {
        struct sender *s = &p->senders[i];
        if (s->state == SENDER_IDLE && next_key(s, &hash) && (!first || s->chunk < first->chunk))
            first = s;
    }
    return first;
}

void senders_open(struct pass *p)
{
    struct sender *s;
    while (!p->ending && (s = first_waiting(p)) != NULL && make_room(p)) {
        s->state = SENDER_OPENING;
        s->open.to = &s->server->peer;
        s->open.speaks = p->protocol;
        s->open.user = s;
        s->open.cb = on_opened;
        dht_open(p->o.dht, &s->open);
    }
}

void sender_kick(struct sender *s)
{
    struct bytes hash;
    if (s->state == SENDER_OPEN)
        stream_want_write(s->stream);
    else if (s->state == SENDER_IDLE && !next_key(s, &hash) && all_read(s))
        s->state = SENDER_DONE; /* no key that is left is its own */
}

static void done_well(struct sender *s)
{
    struct pass *p = s->pass;
    sender_end(s, false);
    senders_open(p);
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

/* No record goes with its question into what it takes of a stream. */
static bool is_full(const struct sender *s)
{
    uint32_t max = s->server->messages_max;
    return max > 0 && s->messages + 2 > max;
}

/* Behind a chunk's records, or the last that the stream has room for. Who has ended a stream is
 * asked behind the first, then whenever there are twice as many messages: when it ends this one
 * too, half of those it reads are known at least. */
static bool is_asked_now(const struct sender *s)
{
    bool doubled = s->reopens > 0 && s->unasked > s->messages / 2;
    return s->unasked > 0 && (s->chunk != s->written || is_full(s) || doubled);
}

/* Has it read what was written? What comes next stands behind that. */
static void ask(struct sender *s)
{
    assert(s->asked_count < LIMIT_PASS_RING);
    uint32_t i = (s->asked_first + s->asked_count++) % LIMIT_PASS_RING;
    s->asked[i].proves = (struct place){ s->chunk, s->bit };
    s->asked[i].records = s->unasked;
    s->asked[i].messages = ++s->messages;
    s->unasked = 0;
    s->rest_at = 0;
    s->rest_size =
        (uint16_t)kad_request_put(s->rest, KAD_GET_PROVIDERS, bytes_of(s->last, s->last_size));
}

/* Records, and a question behind those of a chunk, until there is no key or no room, or it has as
 * many questions as there may be. The last one may be cut: who leaves room unused is not asked
 * again when there is more. */
static size_t fill(struct sender *s, uint8_t *buf, size_t room)
{
    const struct kad_record *record = s->pass->o.record;
    struct bytes hash;
    size_t used = put_rest(s, buf, room);
    while (used < room) {
        bool more = next_key(s, &hash);
        if (is_asked_now(s)) {
            if (s->asked_count == LIMIT_PASS_RING)
                break;
            ask(s);
            used += put_rest(s, buf + used, room - used);
            continue;
        }
        if (!more || is_full(s))
            break;
        size_t size = kad_record_size(record, hash.size);
        s->server->sent++;
        s->messages++;
        s->unasked++;
        s->written = s->chunk;
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
    return used;
}

static void answered(struct sender *s)
{
    s->proven = s->asked[s->asked_first].proves;
    s->heard = s->asked[s->asked_first].messages;
    if (s->names_us)
        s->server->confirmed += s->asked[s->asked_first].records;
    s->asked_first = (s->asked_first + 1) % LIMIT_PASS_RING;
    s->asked_count--;
    answer_expect(s);
}

static bool is_through(struct sender *s)
{
    return is_resting(s) && all_read(s);
}

static size_t on_writable(struct stream *stream UNUSED, void *user, uint8_t *buf, size_t room)
{
    struct sender *s = user;
    if (s->state != SENDER_OPEN)
        return 0;
    struct pass *p = s->pass;
    uint32_t chunk = s->chunk;
    size_t used = fill(s, buf, room);
    if (used > 0)
        s->progress_ms = now_ms(s);
    if (used == 0 && is_through(s)) {
        done_well(s);
        return 0;
    }
    if (s->chunk != chunk)
        pass_moved(p);
    return used;
}

/* It has answered, and there is more for it. All others wait for who takes few messages of a
 * stream: after so many streams it gets one without that limit, and has failed when it ends it. Who
 * had ended two by chance goes on as before. */
static void go_on(struct sender *s)
{
    struct pass *p = s->pass;
    if (!is_full(s) || is_unproven(s)) {
        stream_want_write(s->stream); /* it may have had too many questions */
    } else {
        if (++s->shorts == LIMIT_PASS_SHORT_STREAMS)
            s->server->messages_max = 0;
        sender_close(s); /* this stream has all it takes */
    }
    senders_open(p); /* may close this one */
    pass_moved(p);
}

static void ended(struct sender *s, bool ours);

static size_t on_data(struct stream *stream, void *user, const uint8_t *bytes, size_t size)
{
    struct sender *s = user;
    struct error err;
    uint32_t before = s->asked_count;
    if (size == 0) { /* no answer comes any more */
        stream_leave(stream, 0);
        ended(s, false);
        return size;
    }
    for (size_t at = 0, taken = 0; at < size; at += taken) {
        if (s->asked_count == 0 ||
            kad_decode(&s->answer, bytes_of(bytes + at, size - at), &taken, &err)) {
            sender_fail(s, LIMIT_KAD_BAD_MS); /* it says what nobody asked for */
            return size;
        }
        if (s->answer.done)
            answered(s);
    }
    s->progress_ms = now_ms(s);
    if (is_through(s))
        done_well(s);
    else if (s->asked_count != before)
        go_on(s);
    return size;
}

/* What it was not heard to have read is sent anew. Chunks before the ring's first have left: it had
 * nothing in them that was not proven. */
static void take_back(struct sender *s)
{
    if (!is_unproven(s))
        return;
    s->server->sent -= s->unasked;
    for (; s->asked_count > 0; s->asked_count--) {
        s->server->sent -= s->asked[s->asked_first].records;
        s->asked_first = (s->asked_first + 1) % LIMIT_PASS_RING;
    }
    s->unasked = 0;
    s->rest_size = s->rest_at = 0;
    bool kept = s->proven.chunk >= s->pass->first;
    s->chunk = kept ? s->proven.chunk : s->pass->first;
    s->bit = kept ? s->proven.bit : 0;
}

/* Servers end streams for reasons of their own: after so long, or so many messages. Once may be by
 * chance; who does it again gets no more of a stream than it was heard to have read of one. */
static void learn(struct sender *s)
{
    s->heard_most = MAX(s->heard_most, s->heard);
    if (s->reopens > 1 && s->heard_most > 0)
        s->server->messages_max = s->heard_most;
}

static void ended(struct sender *s, bool ours)
{
    struct pass *p = s->pass;
    s->stream = NULL;
    s->reopens += !is_resting(s);
    if (!is_resting(s) && !ours)
        learn(s);
    if (p->ending || s->reopens > LIMIT_PASS_REOPENS) {
        s->open.unasked = ours;
        sender_fail(s, ours ? 0 : LIMIT_KAD_REFUSED_MS);
        return;
    }
    take_back(s);
    sender_close(s);
    senders_open(p);
    pass_moved(p);
}

static void on_close(struct stream *stream UNUSED, void *user, const struct error *err,
                     uint32_t code UNUSED)
{
    ended(user, err && err->code == ERR_BUDGET); /* no memory for its answer */
}

const struct stream_ops pass_stream_ops = { NULL, on_data, on_writable, on_close };

/* ---- watched ---- */

void sender_watch(struct sender *s, uint64_t now)
{
    bool waits =
        s->state == SENDER_OPEN && (s->chunk < s->pass->next || is_unproven(s) || all_read(s));
    if (!waits && s->state == SENDER_OPEN)
        s->progress_ms = now; /* it is we who have nothing for it */
    if (waits && now - s->progress_ms >= s->pass->o.stall_ms)
        sender_fail(s, LIMIT_KAD_BAD_MS);
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
