/* Sessions of the small Swarm protocols over a stream in memory: whatever bytes come in whatever
 * pieces, a session ends, memory comes back, and what is kept was signed. The first byte chooses
 * the protocol (a handshake we began is one of its own), the second the size of the pieces. */
#include "base/mem.h"
#include "core/governor.h"
#include "core/loop.h"
#include "net/stream_mem.h"
#include "swarm/handshake.h"
#include "swarm/hive.h"
#include "swarm/known.h"
#include "swarm/pingpong.h"
#include "swarm/pricing.h"
#include "swarm/status.h"
#include "swarm/topology.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KIND_SERVED, KIND_HIVE, KIND_PRICING, KIND_STATUS, KIND_PINGPONG, KIND_DIALED, KINDS };

struct world {
    struct loop *loop;
    struct mem_plan *plan;
    struct governor *governor;
    struct mem_owner *mem;
    struct topology *topology;
    struct known *known;
    struct swarm_identity swarm;
    struct record_identity identity;
    struct own_record record;
    struct handshake handshake;
    struct handshake_dial request;
    struct hive hive;
    struct status_source status;
    struct session_ctx ctx;
    struct bytes script;
    bool closed, dialed;
};

static void no_memory(void *ctx, struct process_memory *out)
{
    (void)ctx;
    *out = (struct process_memory){ 0 };
}
static void facts(void *ctx, struct status_facts *out)
{
    (void)ctx;
    *out = (struct status_facts){ .reserve_size = 1 };
}

static enum err script_open(struct stream *s, void *ctx, void **user)
{
    *user = ctx;
    stream_want_write(s);
    return ERR_OK;
}
static size_t script_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    (void)s, (void)user, (void)bytes;
    return size;
}
static size_t script_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct world *w = user;
    size_t n = MIN(room, w->script.size);
    memcpy(buf, w->script.data, n);
    w->script = bytes_of(w->script.data + n, w->script.size - n);
    if (w->script.size == 0)
        stream_finish(s);
    return n;
}
static void script_close(struct stream *s, void *user, const struct error *err, uint32_t code)
{
    (void)s, (void)err, (void)code;
    ((struct world *)user)->closed = true;
}
static const struct stream_ops script_ops = { script_open, script_data, script_writable,
                                              script_close };
static void on_dialed(struct handshake_dial *req, const struct error *err)
{
    struct world *w = container_of(req, struct world, request);
    assert(!w->dialed && (err || topology_find(w->topology, &req->peer)));
    w->dialed = true;
}

/* The network of the vectors, and the time of their records. */
static void world_make(struct world *w)
{
    static const struct mem_row row = { "swarm", "refused", MEM_ELASTIC, 4 * MiB, 50, 80, true };
    static const uint8_t secret[32] = { 1 }, nonce[32] = { 2 };
    memset(w, 0, sizeof(*w));
    enum err rc = loop_create(&w->loop, NULL);
    loop_clock_set(w->loop, 1000, UINT64_C(1780000000) * 1000000000);
    rc = rc ? rc : mem_plan_create(&w->plan, 256 * MiB, &row, 1, NULL);
    const struct governor_options o = { .plan = w->plan, .process_memory = no_memory };
    rc = rc ? rc : governor_create(&w->governor, w->loop, &o, NULL);
    w->mem = mem_plan_find(w->plan, "swarm");
    rc = rc ? rc : swarm_identity_init(&w->swarm, secret, nonce, 7357, NULL);
    rc = rc ? rc : topology_create(&w->topology, w->mem, w->swarm.overlay, NULL);
    rc = rc ? rc : known_create(&w->known, w->mem, w->swarm.overlay, NULL);
    assert(!rc);
    w->identity = (struct record_identity){ .swarm = &w->swarm, .welcome = "" };
    w->identity.peer = (struct peer_id){ .len = 4, .bytes = { 0, 2, 1, 1 } };
    w->record = (struct own_record){ .identity = &w->identity, .timestamp_s = 1780000000 };
}

static const struct session_ctx *ctx_of(struct world *w, unsigned kind)
{
    static const struct session_kind *const kinds[] = { &hive_kind, &pricing_kind, &status_kind,
                                                        &pingpong_kind };
    w->handshake = (struct handshake){ .loop = w->loop,
                                       .mem = w->mem,
                                       .topology = w->topology,
                                       .known = w->known,
                                       .record = &w->record };
    handshake_init(&w->handshake);
    w->hive = (struct hive){ .loop = w->loop,
                             .mem = w->mem,
                             .topology = w->topology,
                             .known = w->known,
                             .network_id = 7357 };
    hive_init(&w->hive);
    w->status.facts = facts;
    if (kind == KIND_SERVED || kind == KIND_DIALED)
        return handshake_served(&w->handshake);
    w->ctx =
        (struct session_ctx){ .kind = kinds[kind - 1],
                              .loop = w->loop,
                              .mem = w->mem,
                              .owner = kind == KIND_HIVE ? (void *)&w->hive : (void *)&w->status };
    return &w->ctx;
}

static void world_end(struct world *w)
{
    hive_close(&w->hive);
    topology_destroy(w->topology);
    known_destroy(w->known);
    governor_destroy(w->governor);
    loop_clock_turn(w->loop, 1);
    loop_destroy(w->loop);
    mem_plan_destroy(w->plan); /* asserts that all memory came back */
}

/* The peer began. */
static void served(struct world *w, struct stream_mem_options *o, const struct protocol *session,
                   const struct protocol *script, const struct peer_id *peer)
{
    o->protocol = script;
    o->dialer_user = w;
    o->dialer = *peer;
    o->listener_protocol = session;
    stream_want_write(stream_mem_open(o));
}

/* We began, with a handshake. */
static void dialed(struct world *w, struct stream_mem_options *o, const struct protocol *session,
                   const struct protocol *script, const struct peer_id *peer)
{
    w->request = (struct handshake_dial){ .peer = *peer, .cb = on_dialed };
    struct session *s = handshake_dial_session(&w->handshake, &w->request, NULL);
    assert(s);
    o->protocol = session;
    o->dialer_user = s;
    o->listener = *peer;
    o->listener_protocol = script;
    handshake_dial_begin(s, stream_mem_open(o));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char bee[] = "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC";
    static struct world w;
    struct peer_id peer;
    struct swarm_peer *p;
    if (size < 2 || size > 60000 || peer_id_from_text(bee, strlen(bee), &peer, NULL))
        return 0;
    world_make(&w);
    unsigned kind = data[0] % KINDS;
    const struct session_ctx *ctx = ctx_of(&w, kind);
    const struct topology_arrival a = { .id = &peer, .overlay = (const uint8_t[32]){ 9 } };
    if (kind == KIND_HIVE && topology_admit(w.topology, &a, &p, NULL))
        assert(false);
    struct protocol session = { .name = "/f", .ops = &session_ops, .ctx = (void *)(uintptr_t)ctx };
    struct protocol script = { .name = "/f", .ops = &script_ops, .ctx = &w };
    w.script = bytes_of(data + 2, size - 2);
    struct stream_mem_options o = { .loop = w.loop, .mem = w.mem, .piece_bytes = data[1] };
    if (kind == KIND_DIALED)
        dialed(&w, &o, &session, &script, &peer);
    else
        served(&w, &o, &session, &script, &peer);
    loop_clock_turn(w.loop, 120000); /* beyond every deadline */
    assert(w.closed && w.dialed == (kind == KIND_DIALED));
    world_end(&w);
    return 0;
}
