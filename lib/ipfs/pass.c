/* The ring of key chunks. */
#include "ipfs/pass_state.h"

#include "base/mem.h"

enum { PLACE_BYTES = 2 * (sizeof(uint64_t) + sizeof(uint16_t)) };

static void read_next(struct pass *p);
static void end_when_quiet(struct pass *p);

uint64_t pass_bytes(uint32_t servers, uint32_t chunk_keys)
{
    chunk_keys = pass_chunk_keys(servers, chunk_keys);
    return LIMIT_PASS_RING * (keyset_bytes(chunk_keys) + (uint64_t)servers * chunk_keys / 8) +
           servers * (sizeof(struct sender) + PLACE_BYTES) + sizeof(struct pass);
}

uint32_t pass_chunk_keys(uint32_t servers, uint32_t chunk_keys)
{
    if (servers <= LIMIT_PASS_SERVERS)
        return chunk_keys;
    return MAX(chunk_keys * LIMIT_PASS_SERVERS / servers / 8 * 8, 8U);
}

static void pass_free(struct pass *p)
{
    for (uint32_t i = 0; i < LIMIT_PASS_RING; i++) {
        keyset_free(&p->chunks[i].keys);
        mem_free(p->o.mem, p->chunks[i].bits);
    }
    mem_free(p->o.mem, p->places);
    mem_free(p->o.mem, p->index);
    mem_free(p->o.mem, p->senders);
    mem_free(p->o.mem, p);
}

static bool pass_alloc(struct pass *p)
{
    uint32_t n = p->o.servers_count;
    p->senders = mem_try_zalloc(p->o.mem, n * sizeof(*p->senders));
    p->places = mem_try_alloc(p->o.mem, 2 * n * sizeof(*p->places));
    p->index = mem_try_alloc(p->o.mem, 2 * n * sizeof(*p->index));
    bool fits = p->senders && p->places && p->index;
    for (uint32_t i = 0; fits && i < LIMIT_PASS_RING; i++) {
        struct chunk *c = &p->chunks[i];
        c->pass = p;
        c->bits = mem_try_alloc(p->o.mem, (size_t)n * bitmap_bytes(p));
        fits = c->bits && keyset_init(&c->keys, p->o.mem, p->o.chunk_keys);
    }
    return fits;
}

/* Servers that are there now, and those that were there in the pass that is repeated. */
static void pass_servers(struct pass *p)
{
    uint32_t now = 0, before = 0;
    p->places_before = p->places + p->o.servers_count;
    p->index_before = p->index + p->o.servers_count;
    for (uint32_t i = 0; i < p->o.servers_count; i++) {
        struct pass_server *server = &p->o.servers[i];
        struct sender *s = &p->senders[i];
        s->pass = p;
        s->server = server;
        s->state = server->gone ? SENDER_DONE : SENDER_IDLE;
        s->got_nothing = server->unasked;
        server->failed = server->unasked = false;
        if (!server->gone) {
            p->places[now] = kad_first(server->peer.kad);
            p->index[now++] = (uint16_t)i;
        }
        if (p->o.repeat && !server->gone_before) {
            p->places_before[before] = kad_first(server->peer.kad);
            p->index_before[before++] = (uint16_t)i;
        }
    }
    p->live = now;
    allot_init(&p->now, p->places, now);
    allot_init(&p->before, p->places_before, before);
}

/* ---- a chunk comes ---- */

static void bit_set(struct chunk *c, uint32_t server, uint32_t key)
{
    c->bits[(size_t)server * bitmap_bytes(c->pass) + key / 8] |= (uint8_t)(1U << (key % 8));
}

/* Worker: touches the chunk that is being read and the allotments, which nobody else does now. */
static enum err allot_run(struct work *w, struct error *err UNUSED)
{
    struct pass *p = container_of(w, struct pass, allotting);
    struct chunk *c = chunk_at(p, p->next);
    bool had[LIMIT_EXPLORE_SERVERS] = { false };
    memset(c->bits, 0, (size_t)p->o.servers_count * bitmap_bytes(p));
    for (uint32_t i = 0; i < c->keys.count; i++) {
        uint64_t kad = keyset_kad(&c->keys, i);
        allot_key(&p->now, kad);
        if (p->o.repeat) {
            allot_key(&p->before, kad);
            for (uint32_t j = 0; j < p->before.set_count; j++) {
                uint32_t server = p->index_before[p->before.set[j]];
                had[server] = !p->senders[server].got_nothing;
            }
        }
        for (uint32_t j = 0; j < p->now.set_count; j++)
            if (!had[p->index[p->now.set[j]]])
                bit_set(c, p->index[p->now.set[j]], i);
        for (uint32_t j = 0; p->o.repeat && j < p->before.set_count; j++)
            had[p->index_before[p->before.set[j]]] = false;
    }
    return ERR_OK;
}

static void kick_all(struct pass *p)
{
    for (uint32_t i = 0; i < p->o.servers_count && !p->ending; i++)
        sender_kick(&p->senders[i]);
    senders_open(p);
}

static void allot_done(struct work *w, const struct error *err)
{
    struct pass *p = container_of(w, struct pass, allotting);
    p->reading = false;
    if (err) {
        pass_fail(p, err->code, err->text);
        return;
    }
    if (p->ending) {
        end_when_quiet(p);
        return;
    }
    chunk_at(p, p->next)->state = CHUNK_READY;
    p->next++;
    read_next(p);
    kick_all(p);
    pass_moved(p);
}

static void on_read(struct keystore_read *req, const struct error *err)
{
    struct pass *p = container_of(req, struct pass, read);
    if (err) {
        p->reading = false;
        pass_fail(p, err->code, err->text);
        return;
    }
    p->end = req->end;
    if (!p->ending && req->keys->count > 0) {
        work_submit(p->o.work, &p->allotting, WORK_CPU, allot_run, allot_done);
        return;
    }
    p->reading = false;
    chunk_at(p, p->next)->state = CHUNK_FREE;
    kick_all(p);
    pass_moved(p);
}

static void read_next(struct pass *p)
{
    struct chunk *c = chunk_at(p, p->next);
    if (p->reading || p->end || p->ending || c->state != CHUNK_FREE)
        return;
    c->state = CHUNK_READING;
    p->reading = true;
    p->read.keys = &c->keys;
    keystore_read(p->o.keystore, &p->read);
}

/* ---- a chunk goes ---- */

static void on_left(struct keystore_write *req, const struct error *err)
{
    struct chunk *c = container_of(req, struct chunk, leave);
    struct pass *p = c->pass;
    c->state = CHUNK_FREE;
    if (err) {
        pass_fail(p, err->code, err->text);
        return;
    }
    if (p->ending) {
        end_when_quiet(p);
        return;
    }
    read_next(p);
    pass_moved(p);
}

/* All live servers have read it: its keys are no longer pending, and that is written together with
 * how far the pass is. */
static void leave(struct pass *p)
{
    struct chunk *c = chunk_at(p, p->first++);
    struct pass_progress *at = &c->progress;
    *at = (struct pass_progress){ .last = keyset_key(&c->keys, c->keys.count - 1),
                                  .keys = c->keys.count,
                                  .whole = p->failed == 0 };
    p->o.progress(p->o.ctx, at);
    if (!at->settle && at->row.key.size == 0) {
        c->state = CHUNK_FREE;
        return;
    }
    c->state = CHUNK_LEAVING;
    c->leave = (struct keystore_write){ .op = at->settle ? KEYSTORE_PROVIDED : KEYSTORE_ROWS,
                                        .keys = at->settle ? &c->keys : NULL,
                                        .rows = &at->row,
                                        .rows_count = at->row.key.size > 0,
                                        .cb = on_left };
    keystore_write(p->o.keystore, &c->leave);
}

static uint32_t slowest(const struct pass *p)
{
    uint32_t at = p->next;
    for (uint32_t i = 0; i < p->o.servers_count; i++)
        if (p->senders[i].state != SENDER_DONE)
            at = MIN(at, sender_proven(&p->senders[i]));
    return at;
}

static bool ring_empty(const struct pass *p)
{
    for (uint32_t i = 0; i < LIMIT_PASS_RING; i++)
        if (p->chunks[i].state != CHUNK_FREE)
            return false;
    return true;
}

static bool is_unasked(const struct sender *s)
{
    return s->server->failed && s->open.unasked;
}

static bool any_unasked(const struct pass *p)
{
    bool any = false;
    for (uint32_t i = 0; i < p->o.servers_count; i++)
        any |= is_unasked(&p->senders[i]);
    return any;
}

void pass_moved(struct pass *p)
{
    if (p->ending) {
        end_when_quiet(p);
        return;
    }
    if (p->failed * 5 > (p->failed + p->live) * 4 || p->live == 0) {
        if (any_unasked(p))
            pass_fail(p, ERR_TIMEOUT, "most of a region's servers could not be asked in time");
        else
            pass_fail(p, ERR_UNREACHABLE, "more than four fifths of a region's servers failed");
        return;
    }
    uint32_t at = slowest(p);
    while (p->first < at)
        leave(p);
    read_next(p);
    if (!p->end || p->reading || !ring_empty(p))
        return;
    for (uint32_t i = 0; i < p->o.servers_count; i++)
        if (p->senders[i].state != SENDER_DONE)
            return;
    p->ending = true;
    end_when_quiet(p);
}

/* ---- the end, one for all ---- */

static void on_end(struct deferred *d)
{
    static const struct error canceled = { ERR_CANCELED, "canceled" };
    struct pass *p = container_of(d, struct pass, later);
    struct error failure = p->canceled ? canceled : p->failure;
    pass_cb *cb = p->o.cb;
    void *ctx = p->o.ctx;
    timer_set(&p->tick, 0);
    for (uint32_t i = 0; i < p->o.servers_count; i++)
        p->senders[i].server->unasked = is_unasked(&p->senders[i]);
    pass_free(p);
    cb(ctx, failure.code ? &failure : NULL);
}

/* Nothing of ours may be out: neither reads nor writes nor streams. */
static void end_when_quiet(struct pass *p)
{
    bool quiet = !p->reading && !deferred_pending(&p->later);
    for (uint32_t i = 0; i < LIMIT_PASS_RING; i++)
        quiet &= p->chunks[i].state != CHUNK_LEAVING;
    for (uint32_t i = 0; i < p->o.servers_count; i++)
        quiet &= !sender_busy(&p->senders[i]);
    if (quiet)
        loop_defer(dht_options(p->o.dht)->loop, &p->later, on_end);
}

void pass_fail(struct pass *p, enum err code, const char *why)
{
    if (!p->failure.code)
        error_set(&p->failure, code, "%s", why);
    p->ending = true;
    for (uint32_t i = 0; i < p->o.servers_count; i++)
        sender_drop(&p->senders[i]);
    end_when_quiet(p);
}

void pass_cancel(struct pass *p)
{
    p->canceled = true;
    pass_fail(p, ERR_CANCELED, "canceled");
}

static void on_tick(struct timer *t)
{
    struct pass *p = container_of(t, struct pass, tick);
    uint64_t now = loop_now_ms(dht_options(p->o.dht)->loop);
    timer_set(t, LIMIT_PASS_TICK_MS);
    for (uint32_t i = 0; i < p->o.servers_count && !p->ending; i++)
        sender_watch(&p->senders[i], now);
}

enum err pass_start(struct pass **out, const struct pass_options *options, struct error *err)
{
    assert(options->servers_count > 0 && options->servers_count <= LIMIT_EXPLORE_SERVERS);
    struct pass *p = mem_try_zalloc(options->mem, sizeof(*p));
    if (!p)
        return mem_refused(options->mem, sizeof(*p), err);
    p->o = *options;
    p->o.chunk_keys = pass_chunk_keys(options->servers_count, options->chunk_keys);
    if (!pass_alloc(p)) {
        pass_free(p);
        return mem_refused(options->mem, pass_bytes(options->servers_count, options->chunk_keys),
                           err);
    }
    pass_servers(p);
    p->protocol = dht_protocol(options->dht, &pass_stream_ops);
    p->read = (struct keystore_read){ .kind = options->kind,
                                      .prefix = options->prefix,
                                      .after_size = (uint8_t)options->after.size,
                                      .cb = on_read };
    if (options->after.size > 0)
        memcpy(p->read.after, options->after.data, options->after.size);
    timer_init(&p->tick, dht_options(options->dht)->loop, on_tick, "region pass");
    timer_set(&p->tick, LIMIT_PASS_TICK_MS);
    *out = p;
    read_next(p);
    return ERR_OK;
}
