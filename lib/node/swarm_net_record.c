/* Our signed record: found, made, stored, in this order. */
#include "codec/multiaddr.h"
#include "core/log.h"
#include "node/swarm_net_state.h"

static struct state_key key(void)
{
    return (struct state_key){ STATE_NODE, bytes_of(STATE_NODE_RECORD, strlen(STATE_NODE_RECORD)) };
}

static void ready(struct swarm_net *s, const struct error *err)
{
    struct error bad = { ERR_OK, "" };
    if (!err) {
        s->record.identity = &s->identity; /* from now on it is shown */
        if (swarm_net_call(s, &bad))
            err = &bad;
        connector_look(s->connector); /* those we know of may have been read before */
    }
    node_release(s->node, &s->hold, err);
}

static void on_stored(struct state_put *req, const struct error *err)
{
    struct swarm_net *s = container_of(req, struct swarm_net, put);
    struct error wrapped;
    if (err)
        error_wrap(&wrapped, err->code, "storing the time of our Swarm record: %s", err->text);
    ready(s, err ? &wrapped : NULL);
}

/* Our addresses as peers are told them, each with our id behind it. */
static void addresses(const struct swarm_net *s, struct overlay_underlays *u, uint8_t *buf,
                      size_t size)
{
    struct writer w = writer_of(buf, size);
    u->count = 0;
    for (size_t i = 0; u->count < LIMIT_UNDERLAYS; i++) {
        size_t before = writer_used(&w);
        if (!host_address(s->host, i, &w))
            return;
        bool told = host_announces(s->host, bytes_of(buf + before, writer_used(&w) - before));
        multiaddr_put_peer(&w, &s->identity.peer);
        if (w.overflow)
            return;
        if (told)
            u->addrs[u->count++] = bytes_of(buf + before, writer_used(&w) - before);
    }
}

static enum err make(struct swarm_net *s, struct bytes stored, bool *changed, struct error *err)
{
    uint8_t buf[LIMIT_UNDERLAYS_BYTES];
    struct overlay_underlays u;
    addresses(s, &u, buf, sizeof(buf));
    const struct record_wish wish = {
        .addresses = &u,
        .stored = stored,
        .now_s = (int64_t)(loop_wall_ns(s->node->env.loop) / 1000000000),
    };
    enum err rc = own_record_make(&s->record, &s->identity, &wish, changed, err);
    s->record.identity = NULL; /* not yet */
    return rc;
}

static void on_found(struct state_get *req, const struct error *err)
{
    struct swarm_net *s = container_of(req, struct swarm_net, get);
    struct error bad = { ERR_OK, "" };
    bool changed = false;
    if (err && err->code != ERR_NOT_FOUND) {
        ready(s, err);
        return;
    }
    struct bytes stored = bytes_of(s->stored, err ? 0 : writer_used(&req->value));
    if (make(s, stored, &changed, &bad)) {
        ready(s, &bad);
        return;
    }
    if (!changed) {
        ready(s, NULL);
        return;
    }
    struct own_record shown = s->record;
    shown.identity = &s->identity;
    own_record_stored(&shown, s->stored);
    s->put = (struct state_put){ .key = key(),
                                 .value = bytes_of(s->stored, sizeof(s->stored)),
                                 .cb = on_stored };
    state_put(node_statestore(s->node), &s->put);
}

void swarm_net_record(struct swarm_net *s)
{
    node_hold(s->node, &s->hold, "our Swarm record");
    s->get = (struct state_get){ .key = key(),
                                 .value = writer_of(s->stored, sizeof(s->stored)),
                                 .cb = on_found };
    state_get(node_statestore(s->node), &s->get);
}
