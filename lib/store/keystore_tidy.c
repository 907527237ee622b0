/* What is done behind everything else: what is not current is swept, and rows that were deleted are
 * compacted away. One step at a time, each a write among others, with a pause between them. */
#include "store/keystore_state.h"

static const char kinds[] = "nkNK"; /* of rows whose deletions are counted */

static struct keystore_sums *sums_of(struct keystore *ks, uint8_t kind)
{
    return &ks->sums[kind < 'a'];
}
static bool is_pending(uint8_t kind)
{
    return (kind | 0x20) == 'n';
}

/* ---- compacting ---- */

static uint64_t gone(struct keystore *ks, uint8_t kind)
{
    const struct keystore_sums *s = sums_of(ks, kind);
    return is_pending(kind) ? s->gone_pending : s->gone_keys;
}

/* A first cycle deletes pending rows all the time; as long as there are many it is enough that as
 * many are not left behind them. Keys are removed by few at a time, and stay for years. */
static bool is_due(struct keystore *ks, uint8_t kind)
{
    const struct keystore_sums *s = sums_of(ks, kind);
    uint64_t live = is_pending(kind) ? s->pending : s->keys / 8;
    return gone(ks, kind) >= LIMIT_KEYSTORE_COMPACT_KEYS && gone(ks, kind) >= live;
}

static uint8_t due_kind(struct keystore *ks)
{
    for (const char *k = kinds; *k; k++)
        if (is_due(ks, (uint8_t)*k))
            return (uint8_t)*k;
    return 0;
}

/* Worker. The at-th of pieces of the rows of a kind. */
void keystore_compact_piece(const struct keystore_tidy *t, struct ldb *db)
{
    uint8_t from[3] = { t->kind }, to[3] = { t->kind };
    be16_encode(from + 1, (uint16_t)((UINT32_C(65536) * t->at) / t->pieces));
    be16_encode(to + 1, (uint16_t)((UINT32_C(65536) * (t->at + 1)) / t->pieces));
    if (t->at + 1 == t->pieces)
        to[0]++, to[1] = to[2] = 0;
    ldb_compact(db, bytes_of(from, sizeof(from)), bytes_of(to, sizeof(to)));
}

/* ---- steps ---- */

static void on_step(struct keystore_write *req, const struct error *err);

static void step(struct keystore *ks, enum keystore_op op)
{
    ks->tidy.write = (struct keystore_write){ .op = op, .cb = on_step };
    keystore_write(ks, &ks->tidy.write);
}

static bool out(const struct keystore *ks)
{
    return ks->tidy.write.cb != NULL;
}

static uint64_t left(const struct keystore *ks)
{
    const struct keystore_sums *s = &ks->sums[!keystore_space(ks->generation)];
    return ks->stage ? 0 : s->keys + s->pending;
}

static void stage_open(struct keystore *ks)
{
    struct list *link = list_pop(&ks->stages);
    ks->stage = container_of(link, struct keystore_stage, link_);
    ks->stage->cb(ks->stage);
}

static void compact_begin(struct keystore *ks, uint8_t kind)
{
    struct keystore_tidy *t = &ks->tidy;
    const struct keystore_sums *s = sums_of(ks, kind);
    uint64_t rows = (is_pending(kind) ? s->pending : s->keys) + gone(ks, kind);
    t->kind = kind;
    t->at = 0;
    t->pieces = (uint32_t)MIN(1 + rows * 64 / LIMIT_KEYSTORE_COMPACT_BYTES, 1024);
    t->gone = gone(ks, kind);
}

static void on_due(struct timer *timer)
{
    struct keystore *ks = container_of(timer, struct keystore, tidy_timer);
    if (out(ks) || ks->stop_cb)
        return;
    if (left(ks) > 0) {
        step(ks, KEYSTORE_SWEEP);
    } else if (!ks->stage && !list_empty(&ks->stages)) {
        stage_open(ks);
        keystore_tidy_look(ks);
    } else if (ks->tidy.kind != 0) {
        step(ks, KEYSTORE_COMPACT);
    } else if (due_kind(ks) != 0) {
        compact_begin(ks, due_kind(ks));
        step(ks, KEYSTORE_COMPACT);
    }
}

/* Whoever waits for a stage waits for the sweep only, not for its pauses. */
void keystore_tidy_look(struct keystore *ks)
{
    bool waited = !list_empty(&ks->stages) && !ks->stage;
    if (out(ks) || ks->stop_cb || timer_is_set(&ks->tidy_timer))
        return;
    if (waited || left(ks) > 0 || ks->tidy.kind != 0 || due_kind(ks) != 0)
        timer_set(&ks->tidy_timer, waited ? 1 : LIMIT_KEYSTORE_TIDY_MS);
}

static void on_stopped(struct deferred *d)
{
    struct keystore *ks = container_of(d, struct keystore, stopped);
    ks->stop_cb(ks->stop_ctx);
}

static void on_step(struct keystore_write *req, const struct error *err)
{
    struct keystore *ks = req->keystore_;
    struct keystore_tidy *t = &ks->tidy;
    req->cb = NULL;
    if (!err && req->op == KEYSTORE_COMPACT && ++t->at >= t->pieces)
        t->kind = 0;
    if (ks->stop_cb)
        loop_defer(ks->loop, &ks->stopped, on_stopped);
    else if (err)
        timer_set(&ks->tidy_timer, LIMIT_KEYSTORE_TIDY_AGAIN_MS);
    else
        keystore_tidy_look(ks);
}

void keystore_tidy_init(struct keystore *ks)
{
    timer_init(&ks->tidy_timer, ks->loop, on_due, "keystore");
}

void keystore_stop(struct keystore *ks, void (*cb)(void *ctx), void *ctx)
{
    assert(!ks->stop_cb);
    ks->stop_cb = cb;
    ks->stop_ctx = ctx;
    timer_set(&ks->tidy_timer, 0);
    if (!out(ks))
        loop_defer(ks->loop, &ks->stopped, on_stopped);
}

/* ---- stages ---- */

void keystore_stage(struct keystore *ks, struct keystore_stage *req)
{
    assert(req->cb);
    req->keystore_ = ks;
    list_append(&ks->stages, &req->link_);
    if (!ks->stop_cb && !out(ks))
        timer_set(&ks->tidy_timer, 1);
}

void keystore_stage_end(struct keystore_stage *req)
{
    struct keystore *ks = req->keystore_;
    if (!ks)
        return;
    if (list_linked(&req->link_))
        list_remove(&req->link_);
    if (ks->stage == req)
        ks->stage = NULL;
    req->keystore_ = NULL;
    keystore_tidy_look(ks);
}

void keystore_status(const struct keystore *ks, struct keystore_status *out)
{
    const struct keystore_sums *other = &ks->sums[!keystore_space(ks->generation)];
    *out = (struct keystore_status){
        .generation = ks->generation,
        .staged = ks->stage ? other->keys : 0,
        .left = left(ks),
        .staging = ks->stage != NULL,
        .compacting = ks->tidy.kind != 0,
    };
}
