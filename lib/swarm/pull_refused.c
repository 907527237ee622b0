/* Pages in which chunks were refused. Such a page counts as done, so that the rest goes on, and is
 * asked for again: later, at once when batches become known, and after a restart, since it is left
 * out of what is recorded. Asked for again, all else of it is present by then, also what came from
 * another peer meanwhile.
 *
 * The memory is bounded and loses nothing: when it is full, pages of one bin are joined with what
 * lies between them, and where that cannot be, the page that is dropped is not done any more. A
 * peer that is gone needs no memory: what is recorded of it has the gaps. */
#include "swarm/puller_state.h"

static bool is_of(const struct pull_refused *e, const uint8_t *overlay, uint8_t bin)
{
    return e->state != REFUSED_NONE && e->bin == bin && !memcmp(e->overlay, overlay, OVERLAY_BYTES);
}

static bool is_of_bin(const struct pull_refused *e, const struct puller_bin *b)
{
    return is_of(e, b->peer->overlay, b->bin);
}

/* It counts as done although something of it was refused. */
static bool is_held(const struct pull_refused *e)
{
    return e->state == REFUSED_WAITING || e->state == REFUSED_GIVEN_UP;
}

static struct puller_bin *bin_of(struct puller *p, const struct pull_refused *e)
{
    list_each (at, &p->peers) {
        struct puller_peer *peer = container_of(at, struct puller_peer, link);
        if (!peer->gone && !memcmp(peer->overlay, e->overlay, OVERLAY_BYTES))
            return peer->bins[e->bin] && peer->bins[e->bin]->loaded ? peer->bins[e->bin] : NULL;
    }
    return NULL;
}

/* --- room for one more ----------------------------------------------------------------------- */

static bool is_absent(const struct puller *p, const struct pull_refused *e)
{
    list_each (at, &p->peers)
        if (!memcmp(container_of(at, struct puller_peer, link)->overlay, e->overlay, OVERLAY_BYTES))
            return false; /* one that is gone may still be recording */
    return true;
}

/* The nearest page of the same bin that waits in the same way takes this one in. All between them
 * is done, else it would be taken for done. */
static bool join(struct puller *p, struct pull_refused *e)
{
    const struct puller_bin *b = is_held(e) ? bin_of(p, e) : NULL;
    struct pull_refused *into = NULL;
    uint64_t nearest = UINT64_MAX;
    for (uint32_t i = 0; b && i < p->refused_count; i++) {
        struct pull_refused *f = &p->refused[i];
        if (f == e || f->state != e->state || !is_of_bin(f, b))
            continue;
        uint64_t gap = f->from > e->to ? f->from - e->to : e->from > f->to ? e->from - f->to : 0;
        if (gap < nearest &&
            pull_intervals_next(&b->done, MIN(e->from, f->from)) > MAX(e->to, f->to)) {
            nearest = gap;
            into = f;
        }
    }
    if (!into)
        return false;
    into->from = MIN(into->from, e->from);
    into->to = MAX(into->to, e->to);
    into->tries = MAX(into->tries, e->tries);
    into->due_ms = MAX(into->due_ms, e->due_ms);
    into->unknown_batch |= e->unknown_batch;
    return true;
}

/* Not remembered, so not done: it is asked for under the back-off of its bin. */
static void drop(struct puller *p, const struct pull_refused *e)
{
    list_each (at, &p->peers) {
        struct puller_peer *peer = container_of(at, struct puller_peer, link);
        struct puller_bin *b = peer->bins[e->bin];
        if (!memcmp(peer->overlay, e->overlay, OVERLAY_BYTES) && b && b->loaded && is_held(e))
            bin_reopen(b, e->from, e->to, false);
    }
}

/* b: only of this bin. */
static struct pull_refused *join_one(struct puller *p, const struct puller_bin *b)
{
    for (uint32_t i = 0; i < p->refused_count; i++)
        if ((!b || is_of_bin(&p->refused[i], b)) && join(p, &p->refused[i]))
            return &p->refused[i];
    return NULL;
}

static struct pull_refused *slot_of(struct puller *p, const struct puller_bin *b)
{
    if (p->refused_count < LIMIT_PULLSYNC_REFUSED)
        return &p->refused[p->refused_count++];
    for (uint32_t i = 0; i < p->refused_count; i++)
        if (p->refused[i].state == REFUSED_NONE)
            return &p->refused[i];
    for (uint32_t i = 0; i < p->refused_count; i++)
        if (is_absent(p, &p->refused[i]))
            return &p->refused[i];
    struct pull_refused *e = join_one(p, b); /* who has many of them pays first */
    e = e ? e : join_one(p, NULL);
    if (e)
        return e;
    e = &p->refused[p->refused_next];
    p->refused_next = (p->refused_next + 1) % LIMIT_PULLSYNC_REFUSED;
    drop(p, e);
    return e;
}

/* --- a page is through ----------------------------------------------------------------------- */

static bool any_refused(const struct pullsync_counts *c)
{
    bool any = false;
    for (unsigned i = 0; i < PULLSYNC_REFUSALS; i++)
        any |= i != PULLSYNC_OLDER && i != PULLSYNC_UNASKED && c->refused[i] > 0;
    return any;
}

/* What was asked for again is through when all of it is done; then its tries were handed down to
 * the pages of it that were no better. */
static uint8_t settle(struct puller_bin *b, uint64_t from, uint64_t to)
{
    struct puller *p = b->peer->puller;
    uint8_t tries = 0;
    for (uint32_t i = 0; i < p->refused_count; i++) {
        struct pull_refused *e = &p->refused[i];
        bool within = from <= e->from && e->to <= to, asked = e->state == REFUSED_ASKED;
        if (!is_of_bin(e, b))
            continue;
        if (within || (asked && e->from <= to && from <= e->to))
            tries = MAX(tries, e->tries);
        if (asked ? pull_intervals_next(&b->done, e->from) > e->to : within)
            e->state = REFUSED_NONE;
    }
    return tries;
}

void pull_refused_page(struct puller_bin *b, uint64_t from, uint64_t to,
                       const struct pullsync_counts *c)
{
    struct puller *p = b->peer->puller;
    uint8_t tries = settle(b, from, to);
    if (!any_refused(c))
        return;
    struct pull_refused *e = slot_of(p, b);
    *e = (struct pull_refused){
        .bin = b->bin,
        .tries = tries,
        .state = tries < LIMIT_PULLSYNC_REFUSED_TRIES ? REFUSED_WAITING : REFUSED_GIVEN_UP,
        .unknown_batch = c->refused[PULLSYNC_UNKNOWN_BATCH] > 0,
        .from = from,
        .to = to,
        .due_ms = loop_now_ms(p->options.loop) + ((uint64_t)LIMIT_PULLSYNC_REFUSED_MS << tries),
    };
    memcpy(e->overlay, b->peer->overlay, OVERLAY_BYTES);
}

/* Those that are due; batches: also those with a batch that was not known. A peer that is not
 * there is asked when it is back. */
void pull_refused_retry(struct puller *p, bool batches)
{
    uint64_t now = loop_now_ms(p->options.loop);
    for (uint32_t i = 0; i < p->refused_count; i++) {
        struct pull_refused *e = &p->refused[i];
        if (batches && is_held(e) && e->unknown_batch) {
            e->state = REFUSED_WAITING;
            e->tries = 0;
            e->due_ms = now;
        }
        struct puller_bin *b =
            e->state == REFUSED_WAITING && e->due_ms <= now ? bin_of(p, e) : NULL;
        if (!b || !b->wanted)
            continue;
        e->state = REFUSED_ASKED;
        e->tries++;
        bin_reopen(b, e->from, e->to, true);
    }
}

void puller_retry_refused(struct puller *p)
{
    pull_refused_retry(p, true);
}

/* --- what is recorded ------------------------------------------------------------------------ */

void pull_refused_leave_out(const struct puller_bin *b, struct pull_intervals *v)
{
    const struct puller *p = b->peer->puller;
    for (uint32_t i = 0; i < p->refused_count; i++)
        if (is_of_bin(&p->refused[i], b) && is_held(&p->refused[i]))
            pull_intervals_remove(v, p->refused[i].from, p->refused[i].to);
}

void pull_refused_put_back(struct puller_bin *b)
{
    const struct puller *p = b->peer->puller;
    for (uint32_t asked = 0; asked < 2; asked++) /* last: they may lie in what was joined */
        for (uint32_t i = 0; i < p->refused_count; i++) {
            const struct pull_refused *e = &p->refused[i];
            if (!is_of_bin(e, b) || asked == is_held(e))
                continue;
            if (asked)
                pull_intervals_remove(&b->done, e->from, e->to);
            else
                pull_intervals_add(&b->done, e->from, e->to);
        }
}

void pull_refused_forget(const struct puller_bin *b)
{
    struct puller *p = b->peer->puller;
    for (uint32_t i = 0; i < p->refused_count; i++)
        if (is_of_bin(&p->refused[i], b))
            p->refused[i].state = REFUSED_NONE;
}

uint32_t pull_refused_count(const struct puller *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->refused_count; i++)
        n += is_held(&p->refused[i]);
    return n;
}
