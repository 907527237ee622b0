/* What the puller says of itself. "Synced" is a fact: nothing that peers have told us of is
 * missing, nothing is under way, and a session waits in each bin for what comes. */
#include "swarm/puller_state.h"

enum { RATE_WINDOW_MS = 10000 };

static void bin_look(const struct puller_bin *b, struct puller_bin_status *out)
{
    const struct puller *p = b->peer->puller;
    uint64_t now = loop_now_ms(p->options.loop), passed = now - b->window_ms;
    *out = (struct puller_bin_status){ .peer = &b->peer->id,
                                       .overlay = b->peer->overlay,
                                       .proximity = b->peer->proximity,
                                       .bin = b->bin,
                                       .cursor = b->top,
                                       .doing = b->loaded ? "waiting" : "loading" };
    out->synced = pull_intervals_next(&b->done, 1) - 1;
    out->missing = bin_missing(b);
    out->live = b->loaded && out->missing == 0;
    if (passed < 2 * (uint64_t)RATE_WINDOW_MS)
        out->per_second = (b->window_now + b->window_before) * 1000 / (passed + RATE_WINDOW_MS);
    out->eta_s = out->missing == 0 ? 0
                 : out->per_second ? out->missing / out->per_second + 1
                                   : UINT64_MAX;
    list_each (at, &b->runs) {
        const struct pull_run *run = container_of(at, struct pull_run, link);
        bool busy = pullsync_client_busy(&run->client);
        if (busy || !run->live || b->history_out == 0)
            out->doing = pullsync_client_step(&run->client);
        if (busy)
            break;
    }
}

void puller_each(const struct puller *p, puller_each_cb *cb, void *ctx)
{
    list_each (at, &p->peers) {
        const struct puller_peer *peer = container_of(at, struct puller_peer, link);
        for (uint8_t i = 0; !peer->gone && i < RESERVE_BINS; i++) {
            struct puller_bin_status status;
            if (!peer->bins[i] || !peer->bins[i]->wanted)
                continue;
            bin_look(peer->bins[i], &status);
            if (!cb(ctx, &status))
                return;
        }
    }
}

static void bin_count(const struct puller_bin *b, struct puller_status *out, bool *busy)
{
    out->bins++;
    out->bins_live += b->loaded && bin_missing(b) == 0;
    /* Peers choose their cursors: many large ones must not add up to nothing. */
    uint64_t missing = bin_missing(b);
    out->missing = missing < UINT64_MAX - out->missing ? out->missing + missing : UINT64_MAX;
    bool hears = false; /* what comes: a bin whose session failed has nobody to tell it */
    list_each (at, &b->runs) {
        const struct pull_run *run = container_of(at, struct pull_run, link);
        bool parked = run->live && !pullsync_client_busy(&run->client);
        out->parked += parked;
        hears |= parked;
        *busy |= !parked;
    }
    *busy |= !b->loaded || !hears;
}

void puller_status(const struct puller *p, struct puller_status *out)
{
    bool busy = false;
    *out = p->totals;
    out->radius = p->raises.radius;
    out->remembered = pull_refused_count(p);
    list_each (at, &p->peers) {
        const struct puller_peer *peer = container_of(at, struct puller_peer, link);
        if (peer->gone)
            continue;
        out->peers++;
        out->asking += !peer->known;
        for (uint8_t i = 0; i < RESERVE_BINS; i++)
            if (peer->bins[i] && peer->bins[i]->wanted)
                bin_count(peer->bins[i], out, &busy);
    }
    out->synced = out->bins > 0 && out->asking == 0 && out->missing == 0 && !busy;
}
