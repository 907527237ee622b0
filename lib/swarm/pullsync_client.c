/* One page of one bin from one peer.
 *
 *     Headers          -->     <--  Headers
 *     Get{bin, start}  -->
 *                              <--  Offer{topmost, up to 250 chunk ids}
 *     Want{bit vector} -->
 *                              <--  Delivery, once per wanted chunk
 *
 * Nothing on the wire acknowledges a page. Our acknowledgement is the interval, which the puller
 * records when every accepted chunk is durable: a crash repeats a page and never skips one. */
#include "swarm/pullsync_session.h"

#include "base/mem.h"
#include "net/protocols.h"
#include "swarm/headers.h"

typedef enum step step_fn(struct pullsync_client *c, const struct event *ev, struct error *err);
static step_fn on_opened, on_headers, on_offer, on_checked, on_paid, on_room, on_sent, on_others,
    on_confirmed;

static const struct {
    const char *name;
    enum event_kind waits_for;
    step_fn *run;
    uint32_t deadline_ms;
} steps[] = {
    [STEP_OPEN] = { "opening stream", EV_OPENED, on_opened, 0 }, /* the host has its own */
    [STEP_HEADERS] = { "awaiting headers", EV_FRAME, on_headers, LIMIT_PULLSYNC_REQUEST_MS },
    /* No deadline: at the head of a bin the answer comes with the next new chunk. */
    [STEP_OFFER] = { "awaiting offer", EV_FRAME, on_offer, 0 },
    [STEP_CHECK] = { "checking reserve", EV_DONE, on_checked, 0 },
    [STEP_RATE] = { "held to the rate", EV_DONE, on_paid, 0 },
    [STEP_ROOM] = { "waiting for memory", EV_DONE, on_room, 0 },
    [STEP_SENT] = { "wanting nothing", EV_DONE, on_sent, LIMIT_PULLSYNC_WRITE_MS },
    [STEP_DELIVERY] = { "receiving", EV_FRAME, fetch_delivery, 0 }, /* the page has a timer */
    [STEP_VALIDATE] = { "validating", EV_DONE, fetch_validated, 0 },
    [STEP_STORE] = { "storing", EV_DONE, fetch_stored, 0 },
    [STEP_OTHERS] = { "waiting for another session", EV_DONE, on_others, 0 },
    [STEP_CONFIRM] = { "checking what others fetched", EV_DONE, on_confirmed, 0 },
};

static void session_end(struct pullsync_client *c);

const char *pullsync_client_step(const struct pullsync_client *c)
{
    return c->ended_ ? "ended" : steps[c->step_].name;
}

bool pullsync_client_busy(const struct pullsync_client *c)
{
    return !c->ended_ && c->offer_;
}

/* The stream goes its own way: what still comes is dropped, and after a while it is reset. */
void session_let_go(struct pullsync_client *c, bool orderly)
{
    struct stream *s = c->stream_;
    if (!s)
        return;
    c->stream_ = NULL;
    frame_close(&c->frames_);
    stream_set_user(s, NULL);
    if (orderly) {
        stream_finish(s);
        stream_resume(s);
        stream_deadline(s, LIMIT_PULLSYNC_CLOSE_MS);
    } else {
        stream_reset(s, 0); /* RST and not FIN: a bee does not notice FIN while it is parked */
    }
}

/* What is out is called back early, or its answer is of no use any more. */
static void pending_cancel(struct pullsync_client *c)
{
    switch ((enum step)c->step_) {
    case STEP_OPEN:
        if (c->open_)
            stream_open_cancel(c->open_);
        break;
    case STEP_OFFER:
        sem_hurry(&c->permit_);
        mem_wait_cancel(&c->room_);
        break;
    case STEP_CHECK:
    case STEP_CONFIRM:
        reserve_has_cancel(&c->offer_->has);
        break;
    case STEP_RATE:
        pull_rate_cancel(&c->paid_);
        break;
    case STEP_ROOM:
        mem_wait_cancel(&c->room_);
        break;
    case STEP_VALIDATE:
        work_cancel(&c->page_->work);
        break;
    case STEP_OTHERS:
        list_remove(&c->link_);
        c->pending_ = false;
        break;
    case STEP_SENT:
        c->pending_ = false;
        break;
    case STEP_HEADERS:
    case STEP_DELIVERY:
    case STEP_STORE: /* short, and cannot be taken back */
    case STEP_DONE:
    case STEP_FAILED:
        break;
    }
}

static void advance(struct pullsync_client *c, const struct event *ev);
static uint8_t *room_of(struct frame_reader *fr, uint32_t size);

void session_failed(struct pullsync_client *c, const struct error *err)
{
    if (c->ended_ || c->failed_.code)
        return;
    c->failed_ = *err;
    session_let_go(c, false);
    if (c->step_ == STEP_DELIVERY && c->page_->received > 0) { /* keep what has come */
        struct event ev = { EV_FRAME, { NULL, 0 }, NULL };
        advance(c, &ev);
        return;
    }
    if (c->pending_)
        pending_cancel(c);
    if (!c->pending_)
        session_end(c);
}

/* What may come next, and the row that says so; the longest delivery is a sum of others. */
static void bound_message(struct frame_reader *fr, int next)
{
    bool offer = next == STEP_OFFER, delivery = next == STEP_DELIVERY;
    fr->max_bytes = offer      ? LIMIT_PULLSYNC_MESSAGE_BYTES
                    : delivery ? PULLSYNC_DELIVERY_BYTES_MAX
                               : LIMIT_PULLSYNC_REQUEST_BYTES;
    fr->limit = offer      ? LIMIT_ID_PULLSYNC_MESSAGE_BYTES
                : delivery ? 0
                           : LIMIT_ID_PULLSYNC_REQUEST_BYTES;
}

/* The only place where a session changes its step, arms its deadline or ends. */
static void advance(struct pullsync_client *c, const struct event *ev)
{
    struct error err = { ERR_OK, "" };
    assert(ev->err || ev->kind == steps[c->step_].waits_for);
    if (ev->kind == EV_DONE || ev->kind == EV_OPENED)
        c->pending_ = false;
    if (c->failed_.code && c->step_ != STEP_DELIVERY && c->step_ != STEP_VALIDATE &&
        c->step_ != STEP_STORE) {
        session_end(c);
        return;
    }
    enum step next = STEP_FAILED;
    if (ev->err)
        err = *ev->err;
    else
        next = steps[c->step_].run(c, ev, &err);
    if (next == STEP_FAILED && !c->failed_.code)
        c->failed_ = err;
    if (next == STEP_DONE || next == STEP_FAILED) {
        session_let_go(c, next == STEP_DONE);
        session_end(c);
        return;
    }
    c->step_ = (uint8_t)next;
    c->pending_ = steps[next].waits_for == EV_DONE;
    if (!c->stream_)
        return;
    stream_deadline(c->stream_, steps[next].deadline_ms);
    if (steps[next].waits_for == EV_FRAME)
        stream_resume(c->stream_);
    else
        stream_pause(c->stream_); /* the peer waits */
    bound_message(&c->frames_, next);
    c->frames_.room = next == STEP_OFFER || next == STEP_DELIVERY ? room_of : NULL;
}

void session_completed(struct pullsync_client *c, const struct error *err)
{
    advance(c, &(struct event){ EV_DONE, { NULL, 0 }, err });
}

/* --- end ------------------------------------------------------------------------------------- */

static void permit_release(struct pullsync_client *c)
{
    if (c->permit_out_)
        sem_release(&c->permit_);
    c->permit_out_ = false;
}

static void on_ended(struct deferred *d)
{
    struct pullsync_client *c = container_of(d, struct pullsync_client, later_);
    c->cb(c, c->failed_.code ? &c->failed_ : NULL);
}

/* What we fetched is stored, or will not be: those who waited for it look again. */
void session_claims_drop(struct pullsync_client *c)
{
    for (uint32_t i = 0; c->offer_ && i < c->offer_->offer.count; i++)
        inflight_drop(&c->env->inflight, &c->offer_->claims[i]);
    while (!list_empty(&c->blocked_))
        session_completed(container_of(list_pop(&c->blocked_), struct pullsync_client, link_),
                          NULL);
}

static void session_end(struct pullsync_client *c)
{
    struct pullsync_env *env = c->env;
    assert(!c->ended_ && !c->pending_);
    c->ended_ = true;
    session_claims_drop(c);
    permit_release(c);
    page_room_free(c);
    mem_free(env->mem, c->offer_);
    c->offer_ = NULL;
    loop_defer(env->loop, &c->later_, on_ended);
}

/* --- opening --------------------------------------------------------------------------------- */

static void out_send(struct pullsync_client *c, struct writer *w)
{
    c->out_size_ = (uint8_t)writer_used(w);
    c->out_sent_ = 0;
    if (stream_try_write(c->stream_, c->out_, c->out_size_))
        c->out_sent_ = c->out_size_;
    else
        stream_want_write(c->stream_);
}

/* Our headers go at once, and nothing behind them: a bee drops what comes before its answer. */
static enum step on_opened(struct pullsync_client *c, const struct event *ev UNUSED,
                           struct error *err UNUSED)
{
    struct writer w = writer_of(c->out_, sizeof(c->out_));
    writer_put(&w, headers_none, sizeof(headers_none));
    out_send(c, &w);
    return STEP_HEADERS;
}

static enum step on_headers(struct pullsync_client *c, const struct event *ev, struct error *err)
{
    uint8_t message[PULLSYNC_GET_BYTES_MAX];
    struct writer m = writer_of(message, sizeof(message));
    struct writer w = writer_of(c->out_, sizeof(c->out_));
    if (headers_check(ev->frame, err))
        return STEP_FAILED;
    pullsync_get_encode(&m, &(struct pullsync_get){ c->bin, c->start });
    uint8_t *head = writer_reserve(&w, 1);
    *head = (uint8_t)writer_used(&m);
    writer_put(&w, message, writer_used(&m));
    out_send(c, &w);
    return STEP_OFFER;
}

/* --- the offer ------------------------------------------------------------------------------- */

static void offer_granted(struct pullsync_client *c, const struct error *err)
{
    c->pending_ = false;
    if (c->failed_.code) {
        session_end(c);
        return;
    }
    if (err) {
        session_failed(c, err);
        return;
    }
    stream_deadline(c->stream_, LIMIT_PULLSYNC_OFFER_MS);
    stream_resume(c->stream_); /* offer_room_of is asked again, and has it */
}

static void on_offer_room(struct mem_waiter *w, const struct error *err)
{
    struct pullsync_client *c = container_of(w, struct pullsync_client, room_);
    struct mem_owner *mem = c->env->mem;
    if (!err) {
        c->offer_ = mem_alloc_taken(mem, sizeof(struct offer_room) + c->offer_bytes_);
        if (c->offer_)
            memset(c->offer_, 0, sizeof(*c->offer_));
        else
            mem_give(mem, w->bytes_);
    }
    struct error none = { ERR_BUDGET, "no memory for an offer" };
    offer_granted(c, err ? err : c->offer_ ? NULL : &none);
}

static void on_permit(struct sem_waiter *w)
{
    struct pullsync_client *c = container_of(w, struct pullsync_client, permit_);
    c->permit_out_ = true;
    if (c->failed_.code) {
        offer_granted(c, NULL);
        return;
    }
    memset(&c->room_, 0, sizeof(c->room_));
    mem_wait(c->env->mem, &c->room_, mem_charge_bytes(sizeof(struct offer_room) + c->offer_bytes_),
             on_offer_room);
}

/* The length of an offer is known: its turn first, then its memory, then its bytes. */
static uint8_t *offer_room_of(struct pullsync_client *c, uint32_t size)
{
    if (c->offer_)
        return c->offer_->raw;
    if (!c->pending_) {
        c->pending_ = true;
        c->offer_bytes_ = size;
        memset(&c->permit_, 0, sizeof(c->permit_));
        sem_acquire(&c->env->offers, &c->permit_, on_permit);
    }
    stream_pause(c->stream_);
    return NULL;
}

static bool is_zero(const uint8_t address[32])
{
    static const uint8_t zeros[32];
    return !memcmp(address, zeros, sizeof(zeros));
}

static void on_has(struct reserve_has *has, const struct error *err)
{
    session_completed(container_of(has, struct offer_room, has)->session, err);
}

static void has_ask(struct pullsync_client *c)
{
    struct offer_room *o = c->offer_;
    memset(&o->has, 0, sizeof(o->has));
    o->has.ids = o->ids;
    o->has.count = o->offer.count;
    o->has.have = o->have;
    o->has.cb = on_has;
    reserve_has(c->env->reserve, &o->has);
}

static enum step on_offer(struct pullsync_client *c, const struct event *ev, struct error *err)
{
    struct offer_room *o = c->offer_;
    if (!o) { /* an empty message needs no room: the peer is on its way out */
        error_set(err, ERR_CLOSED, "nothing was offered");
        return STEP_FAILED;
    }
    o->offer.ids = o->ids;
    if (pullsync_offer_decode(&o->offer, ev->frame, err))
        return STEP_FAILED;
    c->offer_ = mem_try_realloc(c->env->mem, o, sizeof(*o)); /* the message itself goes */
    if (!c->offer_)
        c->offer_ = o;
    c->offer_->session = c;
    c->offer_->offer.ids = c->offer_->ids;
    c->topmost = c->offer_->offer.topmost;
    c->counts.offered = c->offer_->offer.count;
    metric_add(METRIC_pullsync_offered_total, c->counts.offered);
    if (c->counts.offered == 0) {
        error_set(err, ERR_CLOSED, "nothing was offered");
        return STEP_FAILED;
    }
    has_ask(c);
    if (c->env->offered)
        c->env->offered(c);
    return STEP_CHECK;
}

static void on_rate(struct pull_rate_waiter *w, bool canceled UNUSED)
{
    session_completed(container_of(w, struct pullsync_client, paid_), NULL);
}

/* Who fetches what: chunks that another session is fetching are left to it until it ends. */
static enum step on_checked(struct pullsync_client *c, const struct event *ev UNUSED,
                            struct error *err UNUSED)
{
    struct pullsync_env *env = c->env;
    struct offer_room *o = c->offer_;
    uint8_t radius = env->radius(c);
    memset(o->want, 0, sizeof(o->want));
    memset(o->foreign, 0, sizeof(o->foreign));
    for (uint32_t i = 0; i < o->offer.count; i++) {
        const struct chunk_id *id = &o->ids[i];
        bool have = pullsync_bit(o->have, i);
        c->counts.present += have;
        if (have || is_zero(id->address) || overlay_proximity(env->overlay, id->address) < radius)
            continue;
        void *by = inflight_by(&env->inflight, id);
        if (by && by != c)
            pullsync_bit_set(o->foreign, i);
        if (by)
            continue;
        inflight_claim(&env->inflight, &o->claims[i], id, c);
        pullsync_bit_set(o->want, i);
        c->counts.wanted++;
    }
    metric_add(METRIC_pullsync_wanted_total, c->counts.wanted);
    memset(&c->paid_, 0, sizeof(c->paid_));
    c->paid_.chunks = c->counts.wanted;
    c->paid_.cb = on_rate;
    pull_rate_wait(&env->rate, &c->paid_);
    return STEP_RATE;
}

static enum step want_send(struct pullsync_client *c)
{
    uint8_t message[PULLSYNC_WANT_BYTES + 8];
    struct writer m = writer_of(message, sizeof(message));
    struct writer w = writer_of(c->out_, sizeof(c->out_));
    pullsync_want_encode(&m, c->offer_->want, c->offer_->offer.count);
    uint8_t *head = writer_reserve(&w, 1);
    *head = (uint8_t)writer_used(&m);
    writer_put(&w, message, writer_used(&m));
    out_send(c, &w);
    if (c->counts.wanted > 0) {
        permit_release(c);
        page_room_await(c->page_);
        return STEP_DELIVERY;
    }
    if (c->out_sent_ < c->out_size_)
        return STEP_SENT;
    session_let_go(c, true);
    return session_others(c);
}

static enum step on_sent(struct pullsync_client *c, const struct event *ev UNUSED,
                         struct error *err UNUSED)
{
    session_let_go(c, true);
    return session_others(c);
}

static void on_page_room(struct mem_waiter *w, const struct error *err)
{
    struct pullsync_client *c = container_of(w, struct pullsync_client, room_);
    struct mem_owner *mem = c->env->mem;
    struct error none = { ERR_BUDGET, "no memory for a page" };
    if (!err) {
        c->page_ = mem_alloc_taken(mem, page_room_bytes(c->counts.wanted));
        if (c->page_)
            page_room_init(c->page_, c);
        else
            mem_give(mem, w->bytes_);
    }
    session_completed(c, err ? err : c->page_ ? NULL : &none);
}

/* Want is sent even when it is all zeros: the peer waits for it. */
static enum step on_paid(struct pullsync_client *c, const struct event *ev UNUSED,
                         struct error *err UNUSED)
{
    if (c->counts.wanted == 0)
        return want_send(c);
    memset(&c->room_, 0, sizeof(c->room_));
    mem_wait(c->env->mem, &c->room_, mem_charge_bytes(page_room_bytes(c->counts.wanted)),
             on_page_room);
    return STEP_ROOM;
}

static enum step on_room(struct pullsync_client *c, const struct event *ev UNUSED,
                         struct error *err UNUSED)
{
    return want_send(c);
}

/* --- what others fetch ----------------------------------------------------------------------- */

/* Waits for the next session that still fetches something of this page; when there is none, the
 * reserve is asked whether all of it arrived. No memory is held on to that others wait for. */
enum step session_others(struct pullsync_client *c)
{
    struct offer_room *o = c->offer_;
    bool any = false;
    for (uint32_t i = 0; i < o->offer.count; i++)
        any |= pullsync_bit(o->foreign, i);
    if (!any)
        return STEP_DONE;
    if (!c->permit_out_ && c->env->mem->waiters > 0) {
        c->again = true;
        return STEP_DONE;
    }
    for (; c->scan_ < o->offer.count; c->scan_++) {
        struct pullsync_client *by = NULL;
        if (pullsync_bit(o->foreign, c->scan_))
            by = inflight_by(&c->env->inflight, &o->ids[c->scan_]);
        if (by && by != c) {
            list_append(&by->blocked_, &c->link_);
            return STEP_OTHERS;
        }
    }
    has_ask(c);
    return STEP_CONFIRM;
}

static enum step on_others(struct pullsync_client *c, const struct event *ev UNUSED,
                           struct error *err UNUSED)
{
    return session_others(c);
}

/* What did not arrive is asked of our own peer: nobody else is trusted with our interval. */
static enum step on_confirmed(struct pullsync_client *c, const struct event *ev UNUSED,
                              struct error *err UNUSED)
{
    const struct offer_room *o = c->offer_;
    for (uint32_t i = 0; i < o->offer.count; i++)
        c->again |= pullsync_bit(o->foreign, i) && !pullsync_bit(o->have, i);
    return STEP_DONE;
}

/* --- the stream ------------------------------------------------------------------------------ */

static enum err on_frame(struct frame_reader *fr, struct bytes message)
{
    struct pullsync_client *c = container_of(fr, struct pullsync_client, frames_);
    if (c->stream_)
        advance(c, &(struct event){ EV_FRAME, message, NULL });
    return ERR_OK;
}

static uint8_t *room_of(struct frame_reader *fr, uint32_t size)
{
    struct pullsync_client *c = container_of(fr, struct pullsync_client, frames_);
    return c->step_ == STEP_OFFER ? offer_room_of(c, size) : fetch_room(c);
}

static size_t client_data(struct stream *s UNUSED, void *user, const uint8_t *bytes, size_t size)
{
    struct pullsync_client *c = user;
    struct error err;
    if (!c)
        return size;
    if (size > 0) {
        size_t n = steps[c->step_].waits_for == EV_FRAME ? frame_feed(&c->frames_, bytes, size) : 0;
        return c->stream_ ? n : size; /* nothing more is wanted of it */
    }
    error_set(&err, ERR_CLOSED, "%s: the peer closed", steps[c->step_].name);
    session_failed(c, &err);
    return 0;
}

static size_t client_writable(struct stream *s UNUSED, void *user, uint8_t *buf, size_t room)
{
    struct pullsync_client *c = user;
    if (!c)
        return 0;
    size_t n = MIN(room, (size_t)(c->out_size_ - c->out_sent_));
    memcpy(buf, c->out_ + c->out_sent_, n);
    c->out_sent_ = (uint8_t)(c->out_sent_ + n);
    if (c->step_ == STEP_SENT && c->out_sent_ == c->out_size_)
        session_completed(c, NULL);
    return n;
}

static void client_close(struct stream *s UNUSED, void *user, const struct error *err,
                         uint32_t code UNUSED)
{
    struct pullsync_client *c = user;
    struct error closed;
    if (!c)
        return;
    frame_close(&c->frames_);
    c->stream_ = NULL;
    error_set(&closed, err ? err->code : ERR_CLOSED, "%s: %s", steps[c->step_].name,
              err ? err->text : "the peer closed");
    session_failed(c, &closed);
}

static const struct stream_ops client_ops = { NULL, client_data, client_writable, client_close };
static struct protocol ask;
static const struct protocol *const choices[] = { &ask };

const struct protocol *pullsync_client_protocol(void)
{
    return &ask;
}

/* --- life ------------------------------------------------------------------------------------ */

void pullsync_client_opened(struct pullsync_client *c, struct stream *s)
{
    c->stream_ = s;
    c->frames_ = (struct frame_reader){
        .stream = s, .owner = c->env->mem, FRAME_LIMIT(PULLSYNC_REQUEST_BYTES), .on_frame = on_frame
    };
    advance(c, &(struct event){ EV_OPENED, { NULL, 0 }, NULL });
}

void pullsync_client_refused(struct pullsync_client *c)
{
    struct error err = { ERR_UNREACHABLE, "no stream" };
    advance(c, &(struct event){ EV_OPENED, { NULL, 0 }, &err });
}

static void on_open(struct stream_open *req, struct stream *s, const struct error *err)
{
    struct pullsync_client *c = req->user;
    mem_free(c->env->mem, req);
    c->open_ = NULL;
    if (c->failed_.code && s) {
        stream_set_user(s, NULL);
        stream_reset(s, 0);
    }
    if (s && !c->failed_.code)
        pullsync_client_opened(c, s);
    else
        advance(c, &(struct event){ EV_OPENED, { NULL, 0 }, err });
}

void pullsync_client_start(struct pullsync_client *c)
{
    struct pullsync_env *env = c->env;
    assert(c->cb && c->start > 0 && c->bin < RESERVE_BINS && !c->ended_);
    list_init(&c->blocked_);
    c->step_ = STEP_OPEN;
    c->pending_ = true;
    if (!env->host)
        return;
    c->open_ = mem_zalloc(env->mem, sizeof(*c->open_));
    *c->open_ = (struct stream_open){
        .to = c->peer, .choices = choices, .count = 1, .user = c, .cb = on_open
    };
    stream_open(env->host, c->open_);
}

void pullsync_client_cancel(struct pullsync_client *c)
{
    struct error err = { ERR_CANCELED, "canceled" };
    session_failed(c, &err);
}

void pullsync_env_init(struct pullsync_env *env, uint32_t rate)
{
    uint64_t offers = env->mem->share_bytes / (8 * (uint64_t)LIMIT_PULLSYNC_MESSAGE_BYTES);
    offers = MAX(offers, (uint64_t)LIMIT_PULLSYNC_OFFERS_MIN);
    protocol_init(&ask, PROTOCOL_pullsync, &client_ops, NULL);
    ask.rx_queue_bytes_max = 0; /* the row's is for those who ask; offers and chunks are larger */
    inflight_init(&env->inflight, env->loop);
    pull_rate_init(&env->rate, env->loop, rate);
    env->offers_max_ = (uint32_t)MIN(offers, (uint64_t)LIMIT_PULLSYNC_OFFERS);
    sem_start(&env->offers, env->loop, env->offers_max_);
}

void pullsync_env_hold(struct pullsync_env *env, bool on)
{
    sem_limit_set(&env->offers, on ? 0 : env->offers_max_);
}

void pullsync_env_end(struct pullsync_env *env)
{
    assert(env->inflight.count == 0);
    pull_rate_end(&env->rate);
    sem_end(&env->offers);
}
