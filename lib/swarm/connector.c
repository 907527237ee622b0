#include "swarm/connector.h"

#include "base/mem.h"
#include "core/governor.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/timer.h"
#include "swarm/known.h"
#include "swarm/topology.h"

enum { CONTACT_ADDRESSES = 8 };

enum contact_state { CONTACT_IDLE, CONTACT_DIALING, CONTACT_SHAKING, CONTACT_CONNECTED };

struct contact {
    struct connector *connector;
    struct list link;
    enum contact_kind kind;
    enum contact_state state;
    bool dropped;                   /* freed once nothing of it is under way */
    bool marked;                    /* not named by the new configuration so far */
    bool anybody;                   /* its address names no peer */
    struct peer_id id;              /* len 0: whoever answers */
    uint8_t overlay[OVERLAY_BYTES]; /* of a known one */
    uint32_t failures;
    uint64_t next_ms, connected_ms;
    struct host_dial dial;
    struct handshake_dial shake;
    struct bytes addresses[CONTACT_ADDRESSES];
    size_t addresses_count;
    uint8_t bytes[]; /* of the addresses */
};

struct connector {
    struct connector_options o;
    struct list contacts;
    uint32_t count, known_count;
    bool stopping;
    struct timer timer;
    struct deferred look;
    struct topology_watch watch;
    struct governor_watch marks;
    void (*done)(void *ctx);
    void *done_ctx;
    struct deferred done_later;
};

static void on_timer(struct timer *t);
static void look(struct deferred *d);

void connector_look(struct connector *c)
{
    if (!c->stopping && !deferred_pending(&c->look))
        loop_defer(c->o.loop, &c->look, look);
}

static void on_peer(void *ctx, const struct swarm_peer *p UNUSED)
{
    connector_look(ctx);
}

static uint64_t backoff_ms(struct connector *c, uint32_t failures)
{
    uint64_t most = LIMIT_SWARM_BACKOFF_MS;
    uint64_t wait =
        failures < 16 ? MIN((uint64_t)LIMIT_SWARM_BACKOFF_MS_MIN << failures, most) : most;
    return wait - wait / 4 + loop_random_below(c->o.loop, wait / 2 + 1);
}

/* The host lets others go first when it has too many connections. */
static void protect(struct contact *k, bool on)
{
    if (k->kind == CONTACT_CONFIGURED && k->id.len > 0)
        (void)host_protect(k->connector->o.host, &k->id, HOST_TAG_CONFIG, on);
}

static void contact_free(struct contact *k)
{
    struct connector *c = k->connector;
    protect(k, false);
    list_remove(&k->link);
    c->count--;
    c->known_count -= k->kind == CONTACT_KNOWN;
    mem_free(c->o.mem, k);
}

static bool under_way(const struct contact *k)
{
    return k->state == CONTACT_DIALING || k->state == CONTACT_SHAKING;
}

static void on_done(struct deferred *d)
{
    struct connector *c = container_of(d, struct connector, done_later);
    c->done(c->done_ctx);
}

static void check_stopped(struct connector *c)
{
    if (c->stopping && list_empty(&c->contacts) && !deferred_pending(&c->done_later))
        loop_defer(c->o.loop, &c->done_later, on_done);
}

static void on_gone(void *ctx, const struct swarm_peer *p)
{
    struct connector *c = ctx;
    list_each (at, &c->contacts) {
        struct contact *k = container_of(at, struct contact, link);
        if (k->state != CONTACT_CONNECTED || !peer_id_equal(&k->id, &p->id))
            continue;
        bool soon = loop_now_ms(c->o.loop) - k->connected_ms < LIMIT_SWARM_STEADY_MS;
        k->failures = soon ? k->failures + 1 : 0;
        k->state = CONTACT_IDLE;
        k->next_ms = loop_now_ms(c->o.loop) + backoff_ms(c, k->failures);
    }
    connector_look(c);
}

static void on_level(struct governor_watch *w, enum governor_level level UNUSED)
{
    connector_look(container_of(w, struct connector, marks));
}

enum err connector_create(struct connector **out, const struct connector_options *o,
                          struct error *err)
{
    struct connector *c = mem_try_zalloc(o->mem, sizeof(*c));
    if (!c)
        return mem_refused(o->mem, sizeof(*c), err);
    c->o = *o;
    list_init(&c->contacts);
    timer_init(&c->timer, o->loop, on_timer, "connector");
    c->watch = (struct topology_watch){ .on_peer = on_peer, .on_gone = on_gone, .ctx = c };
    topology_watch(o->topology, &c->watch);
    c->marks.cb = on_level;
    if (o->governor)
        governor_watch_add(o->governor, &c->marks);
    *out = c;
    return ERR_OK;
}

void connector_destroy(struct connector *c)
{
    if (!c)
        return;
    topology_unwatch(&c->watch);
    if (c->o.governor)
        governor_watch_remove(&c->marks);
    timer_set(&c->timer, 0);
    loop_defer_cancel(&c->look);
    while (!list_empty(&c->contacts)) {
        struct contact *k = container_of(list_first(&c->contacts), struct contact, link);
        assert(!under_way(k));
        contact_free(k);
    }
    mem_free(c->o.mem, c);
}

/* Contacts. */

static struct contact *contact_make(struct connector *c, enum contact_kind kind,
                                    const struct overlay_underlays *u, struct error *err)
{
    size_t bytes = 0, count = MIN(u->count, CONTACT_ADDRESSES);
    for (size_t i = 0; i < count; i++)
        bytes += u->addrs[i].size;
    struct contact *k = mem_try_zalloc(c->o.mem, sizeof(*k) + bytes);
    if (!k) {
        mem_refused(c->o.mem, sizeof(*k) + bytes, err);
        return NULL;
    }
    uint8_t *at = k->bytes;
    for (size_t i = 0; i < count; i++) {
        memcpy(at, u->addrs[i].data, u->addrs[i].size);
        k->addresses[i] = bytes_of(at, u->addrs[i].size);
        at += u->addrs[i].size;
    }
    k->connector = c;
    k->kind = kind;
    k->addresses_count = count;
    list_append(&c->contacts, &k->link);
    c->count++;
    c->known_count += kind == CONTACT_KNOWN;
    return k;
}

enum err connector_add(struct connector *c, struct bytes multiaddr, enum contact_kind kind,
                       struct error *err)
{
    list_each (at, &c->contacts) {
        struct contact *k = container_of(at, struct contact, link);
        if (k->kind == kind && bytes_equal(k->addresses[0], multiaddr)) {
            k->marked = false;
            return ERR_OK;
        }
    }
    if (!LIMIT_CHECK(SWARM_CONTACTS, c->count + 1))
        return error_set(err, ERR_LIMIT, "more than %d peers to call", LIMIT_SWARM_CONTACTS);
    const struct overlay_underlays u = { .addrs = { multiaddr }, .count = 1 };
    struct contact *k = contact_make(c, kind, &u, err);
    if (!k)
        return ERR_BUDGET;
    struct multiaddr_target t;
    if (multiaddr_target(multiaddr, &t))
        k->id = t.peer;
    k->anybody = k->id.len == 0;
    connector_look(c);
    return ERR_OK;
}

static void contact_drop(struct contact *k)
{
    k->dropped = true;
    if (k->state == CONTACT_DIALING)
        host_dial_cancel(&k->dial);
    else if (k->state == CONTACT_SHAKING)
        handshake_dial_cancel(&k->shake);
    else
        contact_free(k);
}

void connector_reload_begin(struct connector *c)
{
    list_each (at, &c->contacts) {
        struct contact *k = container_of(at, struct contact, link);
        k->marked = k->kind != CONTACT_KNOWN;
    }
}

void connector_reload_end(struct connector *c)
{
    list_each_safe (at, &c->contacts) {
        struct contact *k = container_of(at, struct contact, link);
        if (k->marked)
            contact_drop(k);
    }
    connector_look(c);
}

/* Calling. */

static const char *contact_text(const struct contact *k, char *buf, size_t size)
{
    return multiaddr_to_text(k->addresses[0], buf, size, NULL) ? "a peer" : buf;
}

/* Called in vain too often. While others are there it is gone, and is forgotten. While nobody is it
 * may be us who are cut off: nobody is forgotten then, and in the long run the others that we know
 * of have their turn. */
static void contact_give_up(struct contact *k)
{
    struct connector *c = k->connector;
    if (topology_count(c->o.topology) > 0)
        known_forget(c->o.known, k->overlay);
    else if (k->failures >= LIMIT_SWARM_CALLS_ALONE && c->known_count < known_count(c->o.known))
        known_postpone(c->o.known, k->overlay);
    else
        return;
    k->dropped = true;
}

static void contact_failed(struct contact *k, const struct error *err)
{
    struct connector *c = k->connector;
    char text[256];
    metric_add_by(METRIC_swarm_calls_failed_total, err->code, 1);
    k->state = CONTACT_IDLE;
    k->next_ms = loop_now_ms(c->o.loop) + backoff_ms(c, k->failures++);
    protect(k, false);
    if (k->anybody)
        k->id.len = 0; /* another one may answer next time */
    if (k->dropped || c->stopping)
        return;
    log_info("calling %s: %s; again in %" PRIu64 " s", contact_text(k, text, sizeof(text)),
             err->text, (k->next_ms - loop_now_ms(c->o.loop) + 999) / 1000);
    if (k->kind == CONTACT_KNOWN && k->failures >= LIMIT_SWARM_CALLS)
        contact_give_up(k);
}

/* The end of a call, good or bad. */
static void contact_settle(struct contact *k)
{
    struct connector *c = k->connector;
    if (k->dropped)
        contact_free(k);
    check_stopped(c);
    connector_look(c);
}

static void contact_connected(struct contact *k)
{
    protect(k, true);
    k->state = CONTACT_CONNECTED;
    k->connected_ms = loop_now_ms(k->connector->o.loop);
}

static void on_shaken(struct handshake_dial *req, const struct error *err)
{
    struct contact *k = container_of(req, struct contact, shake);
    if (err)
        contact_failed(k, err);
    else
        contact_connected(k);
    contact_settle(k);
}

static void on_dialed(struct host_dial *req, const struct error *err)
{
    struct contact *k = container_of(req, struct contact, dial);
    struct connector *c = k->connector;
    struct error self = { ERR_OK, "" };
    if (!err && peer_id_equal(&req->peer, c->o.own)) {
        error_set(&self, ERR_REFUSED, "that is ourselves");
        err = &self;
    }
    if (err) {
        contact_failed(k, err);
        contact_settle(k);
        return;
    }
    k->id = req->peer;
    if (k->dropped || topology_find(c->o.topology, &k->id)) {
        contact_connected(k); /* it has called us meanwhile */
        contact_settle(k);
        return;
    }
    k->state = CONTACT_SHAKING;
    k->shake = (struct handshake_dial){ .peer = k->id, .cb = on_shaken };
    handshake_dial(c->o.handshake, &k->shake);
}

static void contact_call(struct contact *k)
{
    struct connector *c = k->connector;
    metric_add(METRIC_swarm_calls_total, 1);
    k->state = CONTACT_DIALING;
    k->dial = (struct host_dial){ .peer = k->id,
                                  .addresses = k->addresses,
                                  .count = k->addresses_count,
                                  .urgent = true, /* it is time, by our own back-off */
                                  .cb = on_dialed };
    host_dial(c->o.host, &k->dial);
}

/* Is there a reason to call it now? Sets when to look again. */
static bool contact_due(struct contact *k, uint64_t now_ms, uint64_t *next_ms)
{
    struct connector *c = k->connector;
    if (k->state != CONTACT_IDLE)
        return false;
    if (k->id.len > 0 && topology_find(c->o.topology, &k->id)) {
        contact_connected(k);
        return false;
    }
    if (k->kind == CONTACT_BOOTNODE && topology_count(c->o.topology) >= LIMIT_SWARM_PEERS_FEW)
        return false;
    if (k->next_ms <= now_ms)
        return true;
    *next_ms = MIN(*next_ms, k->next_ms);
    return false;
}

static bool is_contact(const struct connector *c, const struct known_peer *p)
{
    list_each (at, &c->contacts)
        if (peer_id_equal(&container_of(at, struct contact, link)->id, &p->id))
            return true;
    return false;
}

static bool known_call(struct connector *c, const struct known_peer *p)
{
    struct overlay_underlays u;
    if (overlay_underlays_parse(&u, bytes_of(p->addresses, p->address_bytes), NULL))
        return true;
    struct contact *k = contact_make(c, CONTACT_KNOWN, &u, NULL);
    if (!k)
        return false;
    k->id = p->id;
    /* Not at once: it may just have hung up, or be about to call us. */
    k->next_ms = loop_now_ms(c->o.loop) + loop_random_below(c->o.loop, LIMIT_SWARM_BACKOFF_MS_MIN);
    memcpy(k->overlay, p->overlay, OVERLAY_BYTES);
    return true;
}

/* Those at least that near become contacts. False: there are more of them than may be. */
static bool known_choose(struct connector *c, unsigned radius, uint32_t contacts_max)
{
    for (uint32_t i = 0; i < known_count(c->o.known); i++) {
        const struct known_peer *p = known_at(c->o.known, i);
        if (p->proximity < radius || is_contact(c, p) || peer_id_equal(&p->id, c->o.own) ||
            topology_find(c->o.topology, &p->id))
            continue;
        if (c->known_count >= contacts_max)
            return false;
        if (!known_call(c, p))
            break;
    }
    return true;
}

/* Neighbours become contacts, and while there are few peers some others: bootnodes may be gone.
 * Who is neither any more is let go. */
static void neighbours_choose(struct connector *c)
{
    unsigned radius = c->o.radius(c->o.ctx);
    bool few = topology_count(c->o.topology) < LIMIT_SWARM_PEERS_FEW;
    list_each_safe (at, &c->contacts) {
        struct contact *k = container_of(at, struct contact, link);
        if (k->kind == CONTACT_KNOWN && !under_way(k) && !few &&
            overlay_proximity(topology_overlay(c->o.topology), k->overlay) < radius)
            contact_free(k);
    }
    if (!known_choose(c, radius, LIMIT_SWARM_NEIGHBOURS))
        LIMIT_HIT(SWARM_NEIGHBOURS);
    if (few)
        (void)known_choose(c, 0, LIMIT_SWARM_STRANGERS);
}

static void look(struct deferred *d)
{
    struct connector *c = container_of(d, struct connector, look);
    uint64_t now_ms = loop_now_ms(c->o.loop), next_ms = now_ms + LIMIT_SWARM_LOOK_MS;
    if (!handshake_ready(c->o.handshake))
        return; /* whoever stores our record has us look again */
    if (c->o.governor && !governor_admits(c->o.governor))
        return; /* until on_level */
    neighbours_choose(c);
    list_each_safe (at, &c->contacts) {
        struct contact *k = container_of(at, struct contact, link);
        if (contact_due(k, now_ms, &next_ms))
            contact_call(k);
    }
    timer_set(&c->timer, MAX(next_ms - now_ms, (uint64_t)1));
}

static void on_timer(struct timer *t)
{
    connector_look(container_of(t, struct connector, timer));
}

void connector_stop(struct connector *c, void (*done)(void *ctx), void *ctx)
{
    assert(!c->stopping);
    c->stopping = true;
    c->done = done;
    c->done_ctx = ctx;
    timer_set(&c->timer, 0);
    loop_defer_cancel(&c->look);
    list_each_safe (at, &c->contacts)
        contact_drop(container_of(at, struct contact, link));
    check_stopped(c);
}

void connector_status(const struct connector *c, struct connector_status *out)
{
    *out = (struct connector_status){ .contacts = c->count };
    list_each (at, &c->contacts) {
        const struct contact *k = container_of(at, struct contact, link);
        out->calling += under_way(k);
        out->failing += k->state == CONTACT_IDLE && k->failures > 0;
    }
}
