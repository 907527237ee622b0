/* Chunks that were refused are asked for again: later, and at once when batches become known. What
 * is remembered is the page in which a chunk was offered; asked for again, all else of it is
 * present by then, also what came from another peer meanwhile. The memory is a ring: the oldest is
 * forgotten first. */
#include "core/metrics.h"
#include "swarm/puller_state.h"

void pull_refused_add(struct pull_run *run, enum pullsync_refusal why)
{
    struct puller_bin *b = run->bin;
    struct puller *p = b->peer->puller;
    uint64_t from = run->client.start, to = run->client.topmost;
    struct pull_refused *entry = NULL;
    if (why == PULLSYNC_OLDER || why == PULLSYNC_UNASKED || to < from)
        return;
    for (uint32_t i = 0; i < p->refused_count; i++) {
        struct pull_refused *e = &p->refused[i];
        if (e->to == to && e->bin == b->bin && !memcmp(e->overlay, b->peer->overlay, OVERLAY_BYTES))
            entry = e; /* one page, one entry */
    }
    if (!entry) {
        entry = &p->refused[p->refused_next];
        p->refused_next = (p->refused_next + 1) % LIMIT_PULLSYNC_REFUSED;
        if (p->refused_count < LIMIT_PULLSYNC_REFUSED)
            p->refused_count++;
        *entry = (struct pull_refused){ .bin = b->bin, .from = from, .to = to };
        memcpy(entry->overlay, b->peer->overlay, OVERLAY_BYTES);
    }
    entry->why = why;
    entry->waiting = entry->tries < LIMIT_PULLSYNC_REFUSED_TRIES;
    entry->due_ms =
        loop_now_ms(p->options.loop) + ((uint64_t)LIMIT_PULLSYNC_REFUSED_MS << entry->tries);
}

static struct puller_bin *bin_of(struct puller *p, const struct pull_refused *e)
{
    list_each (at, &p->peers) {
        struct puller_peer *peer = container_of(at, struct puller_peer, link);
        if (!peer->gone && !memcmp(peer->overlay, e->overlay, OVERLAY_BYTES))
            return peer->bins[e->bin];
    }
    return NULL;
}

/* Those that are due; batches: also those whose batch was not known. A peer that is not there is
 * asked when it is back. */
void pull_refused_retry(struct puller *p, bool batches)
{
    uint64_t now = loop_now_ms(p->options.loop);
    for (uint32_t i = 0; i < p->refused_count; i++) {
        struct pull_refused *e = &p->refused[i];
        if (batches && e->why == PULLSYNC_UNKNOWN_BATCH && e->to > 0) {
            e->waiting = true;
            e->tries = 0;
            e->due_ms = now;
        }
        struct puller_bin *b = e->waiting && e->due_ms <= now ? bin_of(p, e) : NULL;
        if (!b || !b->loaded || !b->wanted)
            continue;
        e->waiting = false;
        e->tries++;
        bin_reopen(b, e->from, e->to);
    }
}

void puller_retry_refused(struct puller *p)
{
    pull_refused_retry(p, true);
}
