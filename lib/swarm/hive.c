#include "swarm/hive.h"

#include "base/mem.h"
#include "core/metrics.h"
#include "proto/swarm.pb-c.h"
#include "swarm/known.h"
#include "swarm/topology.h"

static_assert(METRIC_LABELS_hive_outcome == (int)KNOWN_OUTCOMES, "a label per outcome");

struct waiting_record {
    struct list link;
    struct overlay_record rec; /* borrows bytes */
    uint8_t bytes[];
};

void hive_init(struct hive *h)
{
    assert(h->loop && h->mem && h->topology && h->known);
    list_init(&h->waiting_);
}

static struct waiting_record *waiting_pop(struct hive *h)
{
    h->waiting_count_--;
    return container_of(list_pop(&h->waiting_), struct waiting_record, link);
}

void hive_close(struct hive *h)
{
    if (!h->loop)
        return;
    loop_defer_cancel(&h->verify_);
    while (!list_empty(&h->waiting_))
        mem_free(h->mem, waiting_pop(h));
}

static void count(enum known_outcome outcome)
{
    metric_add_by(METRIC_hive_records_total, outcome, 1);
}

/* A recovery takes some 50 us, so one record a turn. */
static void verify_next(struct deferred *d)
{
    struct hive *h = container_of(d, struct hive, verify_);
    struct waiting_record *w = waiting_pop(h);
    const struct overlay_check check = {
        .network_id = h->network_id,
        .now_s = (int64_t)(loop_wall_ns(h->loop) / 1000000000),
        .newest_known_s = known_timestamp(h->known, w->rec.overlay.data),
    };
    enum known_outcome outcome = overlay_record_check(&w->rec, &check, NULL)
                                     ? KNOWN_INVALID
                                     : known_learn(h->known, &w->rec);
    mem_free(h->mem, w);
    count(outcome);
    if (!list_empty(&h->waiting_))
        loop_defer(h->loop, &h->verify_, verify_next);
    if (outcome == KNOWN_KEPT && h->on_known)
        h->on_known(h->ctx);
}

static struct bytes keep(uint8_t **at, struct bytes b)
{
    struct bytes kept = bytes_of(*at, b.size);
    if (b.size > 0)
        memcpy(*at, b.data, b.size);
    *at += b.size;
    return kept;
}

static void wait_for_turn(struct hive *h, const struct overlay_record *rec)
{
    size_t bytes = rec->underlays.size + rec->signature.size + rec->overlay.size + rec->nonce.size +
                   rec->chequebook.size;
    struct waiting_record *w = NULL;
    if (LIMIT_CHECK(HIVE_WAITING, h->waiting_count_ + 1))
        w = mem_try_zalloc(h->mem, sizeof(*w) + bytes);
    if (!w) {
        count(KNOWN_FULL);
        return;
    }
    uint8_t *at = w->bytes;
    w->rec.timestamp_s = rec->timestamp_s;
    w->rec.underlays = keep(&at, rec->underlays);
    w->rec.signature = keep(&at, rec->signature);
    w->rec.overlay = keep(&at, rec->overlay);
    w->rec.nonce = keep(&at, rec->nonce);
    w->rec.chequebook = keep(&at, rec->chequebook);
    list_append(&h->waiting_, &w->link);
    h->waiting_count_++;
    if (!deferred_pending(&h->verify_))
        loop_defer(h->loop, &h->verify_, verify_next);
}

/* A bucket of LIMIT_HIVE_BURST that gains one record a minute. */
static bool may_gossip(struct swarm_peer *p, size_t records, uint64_t now_ms)
{
    uint64_t gained = (now_ms - p->gossip_ms) / LIMIT_HIVE_RECORD_MS;
    p->gossip_ms += gained * LIMIT_HIVE_RECORD_MS;
    p->gossip_left = (uint32_t)MIN(p->gossip_left + gained, (uint64_t)LIMIT_HIVE_BURST);
    if (!LIMIT_CHECK(HIVE_BURST, LIMIT_HIVE_BURST - p->gossip_left + records))
        return false;
    p->gossip_left -= (uint32_t)records;
    return true;
}

static void record_read(struct hive *h, const Swarm__BzzAddress *a)
{
    const struct overlay_record rec = { .underlays = pb_bytes(a->underlay),
                                        .signature = pb_bytes(a->signature),
                                        .overlay = pb_bytes(a->overlay),
                                        .nonce = pb_bytes(a->nonce),
                                        .timestamp_s = a->timestamp,
                                        .chequebook = pb_bytes(a->chequebook_address) };
    enum known_outcome outcome = known_wants(h->known, &rec, LIMIT_HIVE_NEWER_S);
    if (outcome == KNOWN_KEPT)
        wait_for_turn(h, &rec);
    else
        count(outcome);
}

enum { STEP_HEADERS, STEP_PEERS, STEP_CLOSE };

static int on_headers(struct session *s, const struct session_event *ev, struct error *err)
{
    return session_headers(s, ev->message, err) ? SESSION_FAILED : STEP_PEERS;
}

static int on_peers(struct session *s, const struct session_event *ev, struct error *err)
{
    struct hive *h = s->ctx->owner;
    struct swarm_peer *p = topology_find(h->topology, stream_peer(s->stream));
    ProtobufCMessage *m;
    if (session_unpack(s, &swarm__peers__descriptor, ev->message, &m, err))
        return SESSION_FAILED;
    const Swarm__Peers *peers = (Swarm__Peers *)m;
    if (!LIMIT_CHECK(HIVE_RECORDS, peers->n_peers)) {
        error_set(err, ERR_LIMIT, "%zu records in one message", peers->n_peers);
        return SESSION_FAILED;
    }
    if (!p || !may_gossip(p, peers->n_peers, loop_now_ms(h->loop))) {
        error_set(err, ERR_LIMIT, "more gossip than a peer may send");
        return SESSION_FAILED;
    }
    for (size_t i = 0; i < peers->n_peers; i++)
        record_read(h, peers->peers[i]);
    return STEP_CLOSE;
}

static int on_fin(struct session *s UNUSED, const struct session_event *ev UNUSED,
                  struct error *err UNUSED)
{
    return SESSION_DONE;
}

static const struct session_step steps[] = {
    [STEP_HEADERS] = { "awaiting headers", SESSION_FRAME, on_headers, LIMIT_SWARM_HEADERS_MS },
    [STEP_PEERS] = { "awaiting peers", SESSION_FRAME, on_peers, LIMIT_HIVE_MS },
    [STEP_CLOSE] = { "closing", SESSION_FIN, on_fin, LIMIT_SWARM_CLOSE_MS },
};

const struct session_kind hive_kind = { .name = "hive",
                                        .steps = steps,
                                        .message_bytes_max = LIMIT_SWARM_MESSAGE_BYTES,
                                        .message_limit = LIMIT_ID_SWARM_MESSAGE_BYTES,
                                        .arena_bytes_max = LIMIT_SWARM_ARENA_BYTES,
                                        .size = sizeof(struct session) };
