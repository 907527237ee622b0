#include "node/admin_p2p.h"

#include <stdlib.h>

#include "base/mem.h"
#include "net/identify.h"
#include "net/ping.h"
#include "node/admin.h"
#include "node/admin_text.h"
#include "node/node_state.h"
#include "node/p2p.h"
#include "node/p2p_peers.h"

void admin_peers_start(struct admin_session *s)
{
    struct error err = { ERR_OK, "" };
    struct admin_text *t = admin_text_make(s, LIMIT_PEERS_TEXT_BYTES);
    if (!t)
        return;
    bool json = s->argc > 0 && !strcmp(s->argv[0], "json");
    if (!(json ? p2p_peers_json : p2p_peers_table)(s->node, s->node->mem, t, &err)) {
        admin_text_send(s, t);
        return;
    }
    mem_free(s->node->mem, t);
    admin_fail(s, &err);
}

/* A call to one peer, which a person waits for: dial it, then ping it or ask who it is. */
enum call_step { CALL_DIAL, CALL_PING, CALL_WAIT, CALL_IDENTIFY };

struct call {
    struct admin_session *session;
    struct host *host;
    enum call_step step;
    bool gone; /* nobody waits any more */
    bool identify;
    uint32_t pings, pinged, lost;
    struct bytes address;
    struct host_dial dial;
    struct ping ping;
    struct timer wait;
    struct identify_ask ask;
    struct admin_text *text; /* of an identify */
    uint8_t bytes[LIMIT_MULTIADDR_BYTES];
};

static void call_free(struct call *c)
{
    struct mem_owner *mem = c->session->node->mem;
    timer_set(&c->wait, 0);
    mem_free(mem, c->text);
    mem_free(mem, c);
}

static void call_fail(struct call *c, const struct error *err)
{
    struct admin_session *s = c->session;
    const struct error why = *err; /* which may be a field of c */
    call_free(c);
    admin_fail(s, &why);
}

static void call_end(struct call *c, int exit_code)
{
    struct admin_session *s = c->session;
    call_free(c);
    admin_end(s, exit_code);
}

static void on_gone(struct admin_session *s)
{
    struct call *c = s->state;
    c->gone = true;
    switch (c->step) { /* the end comes by the callback of what is canceled */
    case CALL_DIAL:
        host_dial_cancel(&c->dial);
        return;
    case CALL_PING:
        ping_cancel(&c->ping);
        return;
    case CALL_WAIT:
        timer_set(&c->wait, 1);
        return;
    case CALL_IDENTIFY:
        identify_ask_cancel(&c->ask);
        return;
    }
}

/* Pings, a second apart. */

static void on_pinged(struct ping *p, const struct error *err);

static void ping_next(struct call *c)
{
    c->step = CALL_PING;
    c->ping = (struct ping){ .to = c->dial.peer, .cb = on_pinged };
    ping(c->host, &c->ping);
}

static void on_wait(struct timer *t)
{
    struct call *c = container_of(t, struct call, wait);
    if (c->gone)
        call_end(c, 0);
    else
        ping_next(c);
}

static void on_pinged(struct ping *p, const struct error *err)
{
    struct call *c = container_of(p, struct call, ping);
    c->pinged++;
    c->lost += err != NULL;
    if (err)
        (void)admin_print(c->session, "ping %u: %s\n", c->pinged, err->text);
    else
        (void)admin_print(c->session, "ping %u: %.3f ms\n", c->pinged, (double)p->rtt_ns / 1e6);
    if (c->gone || c->pinged == c->pings) {
        call_end(c, c->lost > 0 ? 1 : 0);
        return;
    }
    c->step = CALL_WAIT;
    timer_set(&c->wait, LIMIT_PING_COMMAND_MS);
}

/* Who it is, in its own words. */

/* What strangers say is for terminals: anything that is no printable ASCII becomes a dot. */
static void say(struct admin_text *t, const char *label, struct bytes words)
{
    char text[LIMIT_MULTISTREAM_NAME_BYTES + 1];
    size_t n = MIN(words.size, sizeof(text) - 1);
    for (size_t i = 0; i < n; i++)
        text[i] = words.data[i] >= 32 && words.data[i] < 127 ? (char)words.data[i] : '.';
    admin_text_add(t, "%-18s%.*s\n", label, (int)n, text);
}

static void on_protocol(struct identify_seen *seen, struct bytes name)
{
    struct call *c = seen->ctx;
    say(c->text, "protocol", name);
}

static void on_address(struct identify_seen *seen, struct bytes multiaddr)
{
    struct call *c = seen->ctx;
    char text[512];
    if (!multiaddr_to_text(multiaddr, text, sizeof(text), NULL))
        admin_text_add(c->text, "%-18s%s\n", "address", text);
}

static enum err on_message(struct identify_ask *ask, struct bytes message)
{
    struct call *c = container_of(ask, struct call, ask);
    struct identify_seen seen = { .on_protocol = on_protocol, .on_address = on_address, .ctx = c };
    struct bytes observed;
    char text[512];
    enum err rc = identify_read(message, &seen, NULL);
    observed = seen.observed;
    if (seen.agent.size > 0)
        say(c->text, "agent", seen.agent);
    if (seen.version.size > 0)
        say(c->text, "protocol version", seen.version);
    if (observed.size > 0 && !multiaddr_to_text(observed, text, sizeof(text), NULL))
        admin_text_add(c->text, "%-18s%s\n", "sees us at", text);
    return rc;
}

static void on_identified(struct identify_ask *ask, const struct error *err)
{
    struct call *c = container_of(ask, struct call, ask);
    struct admin_session *s = c->session;
    struct admin_text *t = c->text;
    if (err) {
        call_fail(c, err);
        return;
    }
    s->on_gone = NULL;
    c->text = NULL;
    call_free(c);
    admin_text_send(s, t);
}

static void identify_next(struct call *c)
{
    char id[PEER_ID_TEXT_MAX];
    c->step = CALL_IDENTIFY;
    admin_text_add(c->text, "%-18s%s\n", "peer", peer_id_to_text(&c->dial.peer, id));
    c->ask =
        (struct identify_ask){ .to = c->dial.peer, .on_message = on_message, .cb = on_identified };
    identify_ask(c->host, &c->ask);
}

static void on_dialed(struct host_dial *req, const struct error *err)
{
    struct call *c = container_of(req, struct call, dial);
    if (err)
        call_fail(c, err);
    else if (c->gone)
        call_end(c, 0);
    else if (c->identify)
        identify_next(c);
    else
        ping_next(c);
}

static void call_start(struct admin_session *s, bool identify, uint32_t pings)
{
    struct error err = { ERR_OK, "" };
    struct mem_owner *mem = s->node->mem;
    struct host *host = p2p_host(s->node);
    struct call *c = mem_try_zalloc(mem, sizeof(*c));
    struct writer w = writer_of(c ? c->bytes : NULL, c ? sizeof(c->bytes) : 0);
    enum err rc = c ? ERR_OK : (enum err)mem_refused(mem, sizeof(*c), &err);
    if (!rc && !host)
        rc = error_set(&err, ERR_UNREACHABLE, "this node has no libp2p host: p2p-addr is empty");
    if (!rc && s->argc == 0)
        rc = error_set(&err, ERR_USAGE, "which address?");
    if (!rc && multiaddr_from_text(s->argv[0], strlen(s->argv[0]), &w, &err))
        rc = error_wrap(&err, ERR_USAGE, "%.200s", s->argv[0]);
    if (!rc && identify &&
        !(c->text = mem_try_alloc(mem, sizeof(*c->text) + LIMIT_IDENTIFY_TEXT_BYTES)))
        rc = mem_refused(mem, LIMIT_IDENTIFY_TEXT_BYTES, &err);
    if (rc) {
        mem_free(mem, c);
        admin_fail(s, &err);
        return;
    }
    if (c->text) {
        c->text->at = c->text->size = 0;
        c->text->room = LIMIT_IDENTIFY_TEXT_BYTES;
    }
    c->session = s;
    c->host = host;
    c->identify = identify;
    c->pings = pings;
    c->address = bytes_of(c->bytes, writer_used(&w));
    timer_init(&c->wait, s->node->env.loop, on_wait, "ping");
    c->dial =
        (struct host_dial){ .addresses = &c->address, .count = 1, .urgent = true, .cb = on_dialed };
    s->state = c;
    s->on_gone = on_gone;
    host_dial(host, &c->dial);
}

void admin_ping_start(struct admin_session *s)
{
    unsigned long n = s->argc > 1 ? strtoul(s->argv[1], NULL, 10) : 1;
    call_start(s, false, (uint32_t)MIN(MAX(n, 1ul), (unsigned long)LIMIT_PING_COMMAND_COUNT));
}

void admin_identify_start(struct admin_session *s)
{
    call_start(s, true, 0);
}
