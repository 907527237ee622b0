#include "net/identify.h"

#include "base/mem.h"
#include "codec/wire.h"
#include "net/host_state.h"

enum {
    FIELD_KEY = 1,
    FIELD_ADDRESS = 2,
    FIELD_PROTOCOL = 3,
    FIELD_OBSERVED = 4,
    FIELD_VERSION = 5,
    FIELD_AGENT = 6
};

void identify_put(struct writer *w, const struct identify_own *own)
{
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
    struct writer a = writer_of(buf, sizeof(buf));
    wire_put_bytes(w, FIELD_KEY, own->public_key);
    for (size_t i = 0; host_address(own->host, i, &a); i++) {
        struct bytes address = bytes_of(buf, writer_used(&a));
        if (host_announces(own->host, address))
            wire_put_bytes(w, FIELD_ADDRESS, address);
        a = writer_of(buf, sizeof(buf));
    }
    for (uint32_t i = 0; i < own->host->protocols_count; i++) {
        const char *name = own->host->protocols[i]->name;
        wire_put_bytes(w, FIELD_PROTOCOL, bytes_of(name, strlen(name)));
    }
    a = writer_of(buf, sizeof(buf));
    address_put(&a, own->observed);
    wire_put_bytes(w, FIELD_OBSERVED, bytes_of(buf, writer_used(&a)));
    wire_put_bytes(w, FIELD_VERSION, bytes_of("ipfs/0.1.0", 10));
    wire_put_bytes(w, FIELD_AGENT, bytes_of(own->agent, strlen(own->agent)));
}

enum err identify_read(struct bytes message, struct identify_seen *seen, struct error *err)
{
    struct reader r = reader_of(message);
    struct wire_field f;
    while (wire_next(&r, &f)) {
        if (wire_is(&r, &f, FIELD_KEY, WIRE_BYTES))
            seen->public_key = f.bytes;
        else if (wire_is(&r, &f, FIELD_OBSERVED, WIRE_BYTES))
            seen->observed = f.bytes;
        else if (wire_is(&r, &f, FIELD_VERSION, WIRE_BYTES))
            seen->version = f.bytes;
        else if (wire_is(&r, &f, FIELD_AGENT, WIRE_BYTES))
            seen->agent = f.bytes;
        else if (wire_is(&r, &f, FIELD_PROTOCOL, WIRE_BYTES) && seen->on_protocol)
            seen->on_protocol(seen, f.bytes);
        else if (wire_is(&r, &f, FIELD_ADDRESS, WIRE_BYTES) && seen->on_address)
            seen->on_address(seen, f.bytes);
    }
    return reader_finish(&r, "identify", err);
}

size_t identify_frame(const struct conn *c, uint8_t out[LIMIT_P2P_IDENTIFY_OWN_BYTES])
{
    const struct host *h = c->host;
    const struct peer_secret *id = h->options.identity;
    struct identify_own own = { bytes_of(id->public_message, id->public_size), h, &c->address,
                                h->options.agent };
    struct writer w = writer_of(out + 2, LIMIT_P2P_IDENTIFY_OWN_BYTES - 2);
    identify_put(&w, &own);
    assert(!w.overflow); /* 8 addresses, 32 names, a key */
    size_t size = writer_used(&w), head = frame_header_put(out, size);
    memmove(out + head, out + 2, size);
    return head + size;
}

/* Answering: the message is made when it is asked for and lives until it is sent. */

struct answer {
    struct mem_owner *mem;
    size_t size, sent;
    uint8_t bytes[];
};

static enum err answer_open(struct stream *s, void *ctx UNUSED, void **user)
{
    struct conn *c = stream_conn(s);
    struct host *h = c->host;
    uint8_t frame[LIMIT_P2P_IDENTIFY_OWN_BYTES];
    size_t size = identify_frame(c, frame);
    struct answer *a = mem_try_alloc(h->mem, sizeof(*a) + size); /* as long as the peer likes */
    if (!a)
        return ERR_BUDGET;
    a->mem = h->mem;
    a->size = size;
    memcpy(a->bytes, frame, size);
    c->told_version = h->version;
    a->sent = 0;
    *user = a;
    stream_want_write(s);
    return ERR_OK;
}

static size_t answer_data(struct stream *s UNUSED, void *user UNUSED, const uint8_t *b UNUSED,
                          size_t size)
{
    return size; /* nothing is expected but FIN */
}

static size_t answer_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct answer *a = user;
    size_t n = MIN(room, a->size - a->sent);
    memcpy(buf, a->bytes + a->sent, n);
    a->sent += n;
    if (a->sent == a->size)
        stream_finish(s);
    return n;
}

static void answer_close(struct stream *s UNUSED, void *user, const struct error *err UNUSED,
                         uint32_t code UNUSED)
{
    struct answer *a = user;
    if (a)
        mem_free(a->mem, a);
}

const struct stream_ops identify_ops = { answer_open, answer_data, answer_writable, answer_close };

/* What is made of an answer. */

struct heard { /* of one message */
    struct conn *conn;
    uint32_t protocols, addresses;
    uint64_t rows; /* of protocols.def */
};

static void on_protocol(struct identify_seen *seen, struct bytes name)
{
    struct heard *heard = seen->ctx;
    if (heard->protocols > LIMIT_P2P_IDENTIFY_PROTOCOLS ||
        !LIMIT_CHECK(P2P_IDENTIFY_PROTOCOLS, ++heard->protocols))
        return; /* counted once */
    heard->rows |= protocol_rows_served((const char *)name.data, name.size);
}

static void on_address(struct identify_seen *seen, struct bytes multiaddr)
{
    struct heard *heard = seen->ctx;
    struct conn *c = heard->conn;
    if (heard->addresses <= LIMIT_P2P_IDENTIFY_ADDRESSES &&
        LIMIT_CHECK(P2P_IDENTIFY_ADDRESSES, ++heard->addresses))
        host_learn(c->host, &c->remote, &multiaddr, 1, HOST_IDENTIFIED);
}

static enum err key_check(const struct conn *c, struct bytes public_key)
{
    struct peer_key key;
    struct peer_id id;
    enum err rc = peer_key_decode(public_key, &key, NULL);
    if (rc)
        return rc;
    peer_key_id(&key, &id);
    return peer_id_equal(&id, &c->remote) ? ERR_OK : ERR_BAD_PROOF;
}

/* Names of agents are for people: anything that is no printable ASCII becomes a dot. */
static void agent_keep(struct conn *c, struct bytes agent)
{
    size_t n = LIMIT_CHECK(P2P_AGENT_BYTES, agent.size) ? agent.size : LIMIT_P2P_AGENT_BYTES;
    for (size_t i = 0; i < n; i++)
        c->agent[i] = agent.data[i] >= 32 && agent.data[i] < 127 ? (char)agent.data[i] : '.';
    c->agent[n] = '\0';
}

enum err identify_apply(struct conn *c, struct bytes message, bool anew)
{
    struct heard heard = { .conn = c };
    struct identify_seen seen = { .ctx = &heard }; /* whose key? before anything is believed */
    enum err rc = identify_read(message, &seen, NULL);
    if (!rc && seen.public_key.size > 0)
        rc = key_check(c, seen.public_key);
    if (rc == ERR_BAD_PROOF && c->state == CONN_OPEN) { /* it says it is somebody else */
        yamux_send_go_away(&c->mux, YAMUX_GO_AWAY_PROTOCOL);
        conn_close_soon(c);
    }
    if (rc)
        return rc;
    seen.on_protocol = on_protocol;
    seen.on_address = on_address;
    rc = identify_read(message, &seen, NULL);
    if (!rc && heard.protocols > 0)
        c->protocols = (anew ? 0 : c->protocols) | heard.rows;
    if (!rc && seen.agent.size > 0)
        agent_keep(c, seen.agent);
    if (!rc && seen.observed.size > 0)
        host_conn_observed(c, seen.observed);
    return rc;
}

/* Asking. */

static enum err on_message(struct frame_reader *fr, struct bytes message)
{
    struct identify_ask *a = container_of(fr, struct identify_ask, frames_);
    if (!LIMIT_CHECK(P2P_IDENTIFY_MESSAGES, ++a->messages_))
        return ERR_LIMIT;
    return a->on_message(a, message);
}

static size_t ask_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct identify_ask *a = user;
    if (size > 0)
        return frame_feed(&a->frames_, bytes, size);
    stream_finish(s);
    return 0;
}

static void ask_close(struct stream *s UNUSED, void *user, const struct error *err,
                      uint32_t code UNUSED)
{
    struct identify_ask *a = user;
    frame_close(&a->frames_);
    a->stream_ = NULL;
    a->cb(a, err);
}

static const struct stream_ops ask_ops = { NULL, ask_data, NULL, ask_close };
static const struct protocol ask_protocol = { .name = "/ipfs/id/1.0.0",
                                              .ops = &ask_ops,
                                              .row = PROTOCOL_identify };
static const struct protocol *const ask_choices[] = { &ask_protocol };

static void on_opened(struct stream_open *req, struct stream *s, const struct error *err)
{
    struct identify_ask *a = container_of(req, struct identify_ask, open_);
    if (!s) {
        a->cb(a, err);
        return;
    }
    a->stream_ = a->frames_.stream = s;
    stream_deadline(s, LIMIT_P2P_IDENTIFY_MS);
}

static void ask_on(struct host *h, struct identify_ask *a, struct conn *c)
{
    assert(a->cb && a->on_message);
    a->stream_ = NULL;
    a->messages_ = 0;
    a->frames_ = (struct frame_reader){ .owner = h->mem,
                                        FRAME_LIMIT(P2P_IDENTIFY_BYTES),
                                        .on_frame = on_message };
    a->open_ = (struct stream_open){
        .to = a->to, .conn = c, .choices = ask_choices, .count = 1, .user = a, .cb = on_opened
    };
    stream_open(h, &a->open_);
}

void identify_ask(struct host *h, struct identify_ask *a)
{
    ask_on(h, a, NULL);
}

void identify_ask_cancel(struct identify_ask *a)
{
    if (a->stream_)
        stream_reset(a->stream_, 0);
    else
        stream_open_cancel(&a->open_);
}

/* Once per connection. The connection outlives its streams. */

struct asking {
    struct mem_owner *mem;
    struct conn *conn;
    struct identify_ask ask;
};

static enum err on_first_message(struct identify_ask *ask, struct bytes message)
{
    return identify_apply(container_of(ask, struct asking, ask)->conn, message, false);
}

static void on_first_done(struct identify_ask *ask, const struct error *err UNUSED)
{
    struct asking *a = container_of(ask, struct asking, ask);
    if (ask->messages_ > 0 && a->conn->state == CONN_OPEN && !a->conn->unwanted_)
        host_conn_identified(a->conn);
    mem_free(a->mem, a);
}

void identify_start(struct conn *c)
{
    struct host *h = c->host;
    struct asking *a = mem_try_zalloc(h->mem, sizeof(*a));
    if (!a)
        return; /* a peer without a name is served all the same */
    a->mem = h->mem;
    a->conn = c;
    a->ask = (struct identify_ask){ .to = c->remote,
                                    .on_message = on_first_message,
                                    .cb = on_first_done };
    ask_on(h, &a->ask, c);
}
