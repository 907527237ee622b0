/* What a session wanted: received into its room, validated by one job, stored by one put. */
#include "base/mem.h"
#include "store/batches.h"
#include "swarm/pullsync_session.h"

static_assert(METRIC_LABELS_pullsync_refused == (int)PULLSYNC_REFUSALS, "a label for each reason");

static size_t rounded(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

size_t page_room_bytes(uint32_t n)
{
    return rounded(sizeof(struct page_room)) + rounded(n * sizeof(struct validate_item)) +
           rounded(n * sizeof(struct reserve_item)) + rounded(n * sizeof(uint16_t)) +
           (size_t)n * PULLSYNC_DELIVERY_BYTES_MAX;
}

void page_room_init(struct page_room *p, struct pullsync_client *c)
{
    uint32_t n = c->counts.wanted;
    uint8_t *at = (uint8_t *)p + rounded(sizeof(*p));
    memset(p, 0, sizeof(*p));
    p->session = c;
    p->items = (struct validate_item *)at;
    at += rounded(n * sizeof(*p->items));
    p->puts = (struct reserve_item *)at;
    at += rounded(n * sizeof(*p->puts));
    p->offered = (uint16_t *)at;
    p->raw = at + rounded(n * sizeof(*p->offered));
}

void page_room_free(struct pullsync_client *c)
{
    if (!c->page_)
        return;
    timer_set(&c->page_->stall, 0);
    mem_free(c->env->mem, c->page_);
    c->page_ = NULL;
}

/* --- the peer's time ------------------------------------------------------------------------- */

/* Chunks that it has promised are asked of nobody else, and their memory is held: a peer that
 * brings nothing for a while, or only now and then a chunk, has to give way. */
static uint64_t time_left(const struct page_room *p)
{
    const struct pullsync_client *c = p->session;
    uint64_t now = loop_now_ms(c->env->loop);
    uint64_t heard = MAX(p->heard_ms, c->heard_ms ? *c->heard_ms : 0);
    uint64_t until = MIN(heard + LIMIT_PULLSYNC_STALL_MS, p->since_ms + LIMIT_PULLSYNC_DELIVERY_MS);
    return until > now ? until - now : 0;
}

static void on_stall(struct timer *t)
{
    struct page_room *p = container_of(t, struct page_room, stall);
    struct error err;
    uint64_t left = time_left(p);
    if (left > 0) {
        timer_set(t, left);
        return;
    }
    error_set(&err, ERR_TIMEOUT, "receiving: %" PRIu32 " of %" PRIu32 " chunks came in time",
              p->received, p->session->counts.wanted);
    session_failed(p->session, &err);
}

void page_room_await(struct page_room *p)
{
    p->since_ms = p->heard_ms = loop_now_ms(p->session->env->loop);
    timer_init(&p->stall, p->session->env->loop, on_stall, "deliveries of a page");
    timer_set(&p->stall, time_left(p));
}

static void heard(struct pullsync_client *c)
{
    c->page_->heard_ms = loop_now_ms(c->env->loop);
    if (c->heard_ms)
        *c->heard_ms = c->page_->heard_ms;
}

uint8_t *fetch_room(struct pullsync_client *c)
{
    return c->page_->raw + (size_t)c->page_->received * PULLSYNC_DELIVERY_BYTES_MAX;
}

static void refuse(struct pullsync_client *c, enum pullsync_refusal why)
{
    c->counts.refused[why]++;
    metric_add_by(METRIC_pullsync_refused_total, why, 1);
}

/* --- receiving ------------------------------------------------------------------------------- */

/* Which of the chunks that are still to come is it? By address and batch; where that leaves a
 * choice, by the stamp's hash. UINT32_MAX: none of them. */
static uint32_t match(const struct offer_room *o, const struct pullsync_delivery *d)
{
    uint32_t found = UINT32_MAX;
    uint8_t hash[STAMP_HASH_BYTES];
    bool hashed = false;
    if (d->address.size != CHUNK_ADDRESS_BYTES)
        return UINT32_MAX;
    for (uint32_t i = 0; i < o->offer.count; i++) {
        if (!pullsync_bit(o->want, i) || pullsync_bit(o->got, i) ||
            memcmp(o->ids[i].address, d->address.data, CHUNK_ADDRESS_BYTES))
            continue;
        if (d->stamp.size == STAMP_BYTES && memcmp(o->ids[i].batch, d->stamp.data, 32))
            continue;
        if (found == UINT32_MAX) {
            found = i;
            continue;
        }
        if (d->stamp.size != STAMP_BYTES)
            break;
        if (!hashed)
            stamp_hash(hash, d->stamp.data);
        hashed = true;
        if (!memcmp(o->ids[i].stamp_hash, hash, sizeof(hash)))
            return i;
    }
    return found;
}

static void take(struct pullsync_client *c, const struct pullsync_delivery *d)
{
    struct page_room *p = c->page_;
    struct offer_room *o = c->offer_;
    if (d->address.size == 0) { /* which one is known at the end */
        p->taken++;
        return;
    }
    uint32_t i = match(o, d);
    p->taken++;
    if (i == UINT32_MAX) {
        refuse(c, PULLSYNC_UNASKED);
        return;
    }
    pullsync_bit_set(o->got, i);
    p->offered[p->received] = (uint16_t)i;
    p->items[p->received++] =
        (struct validate_item){ .address = o->ids[i].address, .data = d->data, .raw = d->stamp };
}

static enum err validate_run(struct work *w, struct error *err UNUSED)
{
    struct page_room *p = container_of(w, struct page_room, work);
    validate_page(&p->validate);
    return ERR_OK;
}

static void validate_done(struct work *w, const struct error *err)
{
    struct page_room *p = container_of(w, struct page_room, work);
    batches_destroy(p->batches);
    p->batches = NULL;
    session_completed(p->session, err);
}

/* All has come that will come. */
static enum step received(struct pullsync_client *c, struct error *err)
{
    struct page_room *p = c->page_;
    const struct offer_room *o = c->offer_;
    struct pullsync_env *env = c->env;
    session_let_go(c, true);
    timer_set(&p->stall, 0);
    c->counts.delivered = p->received;
    metric_add(METRIC_pullsync_delivered_total, p->received);
    for (uint32_t i = 0; !c->failed_.code && i < o->offer.count; i++)
        if (pullsync_bit(o->want, i) && !pullsync_bit(o->got, i))
            refuse(c, PULLSYNC_MISSING);
    if (p->received == 0)
        return fetch_stored(c, NULL, err);
    p->batches = batches_use(env->batches(env->ctx));
    loop_random(env->loop, p->seed, sizeof(p->seed));
    p->validate = (struct validate_page){ .batches = p->batches,
                                          .accept_all_stamps = env->accept_all_stamps,
                                          .seed = p->seed,
                                          .items = p->items,
                                          .count = p->received };
    work_submit(env->work, &p->work, WORK_CPU, validate_run, validate_done);
    return STEP_VALIDATE;
}

/* A failure here still keeps what came before it. */
enum step fetch_delivery(struct pullsync_client *c, const struct event *ev, struct error *err)
{
    struct pullsync_delivery d;
    if (c->failed_.code)
        return received(c, err);
    if (pullsync_delivery_decode(&d, ev->frame, &c->failed_)) {
        session_let_go(c, false);
        return received(c, err);
    }
    take(c, &d);
    heard(c);
    return c->page_->taken < c->counts.wanted ? STEP_DELIVERY : received(c, err);
}

/* --- validated, stored ----------------------------------------------------------------------- */

static enum pullsync_refusal refusal_of(enum err code)
{
    return code == ERR_REFUSED     ? PULLSYNC_UNKNOWN_BATCH
           : code == ERR_BAD_PROOF ? PULLSYNC_BAD_PROOF
                                   : PULLSYNC_MALFORMED;
}

static void on_put(struct reserve_put *put, const struct error *err)
{
    struct page_room *p = container_of(put, struct page_room, put);
    struct pullsync_client *c = p->session;
    struct error lost = { ERR_OK, "" };
    for (uint32_t i = 0; i < put->count; i++) {
        switch (put->items[i].outcome) {
        case RESERVE_STORED:
            c->counts.stored++;
            break;
        case RESERVE_OLDER:
            refuse(c, PULLSYNC_OLDER);
            break;
        case RESERVE_FAILED:
            if (put->items[i].code == ERR_CORRUPT) { /* asked again, it fails again */
                refuse(c, PULLSYNC_DAMAGED);
                break;
            }
            error_set(&lost, err ? err->code : ERR_IO, "storing: %s",
                      err ? err->text : "a chunk was lost");
            break;
        case RESERVE_PRESENT:
        case RESERVE_OUTCOMES:
            break;
        }
    }
    metric_add(METRIC_pullsync_stored_total, c->counts.stored);
    session_completed(c, lost.code ? &lost : NULL);
}

enum step fetch_validated(struct pullsync_client *c, const struct event *ev UNUSED,
                          struct error *err)
{
    struct page_room *p = c->page_;
    const struct offer_room *o = c->offer_;
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->received; i++) {
        const struct validate_item *item = &p->items[i];
        const struct chunk_id *id = &o->ids[p->offered[i]];
        if (item->code) {
            refuse(c, refusal_of(item->code));
        } else if (memcmp(item->hash, id->stamp_hash, sizeof(item->hash))) {
            refuse(c, PULLSYNC_OTHER_STAMP);
        } else {
            p->puts[n++] = (struct reserve_item){
                .id = *id, .data = item->data, .stamp = item->raw.data, .kind = item->kind
            };
        }
    }
    if (n == 0)
        return fetch_stored(c, NULL, err);
    p->put = (struct reserve_put){ .items = p->puts, .count = n, .cb = on_put };
    reserve_put(c->env->reserve, &p->put);
    return STEP_STORE;
}

/* The room goes before we wait for others. */
enum step fetch_stored(struct pullsync_client *c, const struct event *ev UNUSED,
                       struct error *err UNUSED)
{
    session_claims_drop(c);
    page_room_free(c);
    return c->failed_.code ? STEP_FAILED : session_others(c);
}
