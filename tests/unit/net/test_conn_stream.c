/* Streams whose protocol is taken for granted: the first bytes do not wait for the peer's answer,
 * and the answer is read all the same. */
#include "host_bed.h"

#include <stdio.h>

#include "core/loop.h"
#include "net/host_state.h"

#define ROW PROTOCOL_pingpong
enum { LONG_BYTES = 300000 };

/* Serves: sends back what it is told, and remembers when it was called. */
static struct {
    int opened, closed, data;
    uint64_t opened_at_bytes, first_at_bytes; /* what the connection had read by then */
    uint8_t held[4096];
    size_t size;
    bool fin;
} echo;

static uint64_t bytes_read(struct stream *s)
{
    return stream_conn(s)->bytes_in;
}

static enum err echo_open(struct stream *s, void *ctx UNUSED, void **user UNUSED)
{
    echo.opened++;
    echo.opened_at_bytes = bytes_read(s);
    return ERR_OK;
}
static size_t echo_data(struct stream *s, void *user UNUSED, const uint8_t *bytes, size_t size)
{
    size_t n = MIN(size, sizeof(echo.held) - echo.size);
    if (size > 0 && echo.data++ == 0)
        echo.first_at_bytes = bytes_read(s);
    memcpy(echo.held + echo.size, bytes, n);
    echo.size += n;
    echo.fin = echo.fin || size == 0;
    stream_want_write(s);
    if (echo.fin && echo.size == 0)
        stream_finish(s);
    return n;
}
static size_t echo_writable(struct stream *s, void *user UNUSED, uint8_t *buf, size_t room)
{
    size_t n = MIN(room, echo.size);
    memcpy(buf, echo.held, n);
    memmove(echo.held, echo.held + n, echo.size - n);
    echo.size -= n;
    stream_resume(s);
    if (echo.fin && echo.size == 0)
        stream_finish(s);
    return n;
}
static void echo_close(struct stream *s UNUSED, void *user UNUSED, const struct error *err UNUSED,
                       uint32_t code UNUSED)
{
    echo.closed++;
}
static const struct stream_ops echo_ops = { echo_open, echo_data, echo_writable, echo_close };

/* Asks. */
struct asker {
    struct stream_open req;
    struct hosts *bed;
    struct stream *s;
    size_t to_send, sent, got;
    bool at_once; /* by stream_try_write, inside the callback */
    bool reset_at_once;
    uint32_t turn_ms;
    int answers, opened_there, closed; /* opened_there: at the peer, when we were called */
    enum err failed, end;
    char text[LIMIT_ERROR_TEXT_BYTES];
};

static size_t ask_data(struct stream *s UNUSED, void *user, const uint8_t *bytes, size_t size)
{
    struct asker *a = user;
    for (size_t i = 0; i < size; i++)
        check(bytes[i] == (uint8_t)(a->got + i), "the byte that was sent");
    a->got += size;
    return size;
}
static size_t fill(struct asker *a, uint8_t *buf, size_t room)
{
    size_t n = MIN(room, a->to_send - a->sent);
    for (size_t i = 0; i < n; i++)
        buf[i] = (uint8_t)(a->sent + i);
    a->sent += n;
    return n;
}
static size_t ask_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct asker *a = user;
    size_t n = fill(a, buf, room);
    if (a->sent == a->to_send)
        stream_finish(s);
    return n;
}
static void ask_close(struct stream *s UNUSED, void *user, const struct error *err,
                      uint32_t code UNUSED)
{
    struct asker *a = user;
    a->closed++;
    a->s = NULL;
    a->end = err ? err->code : ERR_OK;
    snprintf(a->text, sizeof(a->text), "%s", err ? err->text : "");
    loop_stop(a->bed->loop);
}
static const struct stream_ops ask_ops = { NULL, ask_data, ask_writable, ask_close };

static void on_opened(struct stream_open *req, struct stream *s, const struct error *err)
{
    struct asker *a = container_of(req, struct asker, req);
    uint8_t buf[64];
    a->answers++;
    a->s = s;
    a->failed = err ? err->code : ERR_OK;
    a->opened_there = echo.opened;
    if (a->turn_ms > 0)
        hosts_clock(a->bed, a->turn_ms);
    if (!s) {
        loop_stop(a->bed->loop);
    } else if (a->reset_at_once) {
        stream_reset(s, 0);
    } else if (a->at_once) {
        size_t n = fill(a, buf, sizeof(buf));
        check(stream_try_write(s, buf, n) == n, "goes with the tokens");
        stream_finish(s);
    } else {
        stream_want_write(s);
    }
}

static struct bed {
    struct hosts hosts;
    struct protocol ask;
    const struct protocol *choices[2];
    struct asker a;
    int identified;
} bed;

static void on_identified(void *ctx, const struct peer_id *peer UNUSED)
{
    struct bed *b = ctx;
    b->identified++;
    loop_stop(b->hosts.loop);
}

static struct conn *ours(struct bed *b)
{
    return host_conn_to(b->hosts.hosts[1], &b->hosts.ids[0].id);
}

static void bed_make(struct bed *b)
{
    static struct hosts_dial d;
    static struct host_watch watch;
    uint8_t buf[64];
    memset(b, 0, sizeof(*b));
    memset(&echo, 0, sizeof(echo));
    watch = (struct host_watch){ .on_identified = on_identified, .ctx = b };
    hosts_make(&b->hosts, 2, &(struct host_options){ .allow_private = true });
    check(!host_serve(b->hosts.hosts[0], ROW, &echo_ops, NULL, NULL), "served");
    struct bytes at = hosts_listen(&b->hosts, 0, "/ip4/127.0.0.1/tcp/0", buf);
    host_watch(b->hosts.hosts[1], &watch);
    check(hosts_dial(&b->hosts, 1, &d, NULL, at) == ERR_OK, d.text);
    while (b->identified == 0)
        hosts_run(&b->hosts, "identify");
    check(host_peer_serves(b->hosts.hosts[1], &b->hosts.ids[0].id, ROW), "says that it serves it");
    protocol_init(&b->ask, ROW, &ask_ops, NULL);
    b->choices[0] = b->choices[1] = &b->ask;
}

static void open_start(struct bed *b, int choices)
{
    b->a.bed = &b->hosts;
    b->a.req = (struct stream_open){ .to = b->hosts.ids[0].id,
                                     .choices = b->choices,
                                     .count = (uint8_t)choices,
                                     .user = &b->a,
                                     .cb = on_opened };
    stream_open(b->hosts.hosts[1], &b->a.req);
    check(b->a.answers == 0, "no callback from inside");
}

static void until_closed(struct bed *b)
{
    while (b->a.closed == 0)
        hosts_run(&b->hosts, "the end of the stream");
}

static void exchange(struct bed *b, size_t bytes, bool at_once, int choices)
{
    b->a = (struct asker){ .to_send = bytes, .at_once = at_once };
    open_start(b, choices);
    until_closed(b);
    check(b->a.answers == 1 && b->a.closed == 1, "each callback once");
    check(b->a.end == ERR_OK, b->a.text);
    check(b->a.got == bytes, "all came back");
    while (echo.closed == 0)
        hosts_wait(&b->hosts, 1);
}

TEST(the_first_bytes_go_with_the_tokens)
{
    struct bed *b = &bed;
    bed_make(b);
    exchange(b, 64, true, 1);
    check(b->a.opened_there == 0, "the peer had not heard of the stream yet");
    check(echo.opened_at_bytes == echo.first_at_bytes, "all in one record");
    hosts_end(&b->hosts);
}

TEST(a_writer_that_is_asked_for_its_bytes)
{
    struct bed *b = &bed;
    bed_make(b);
    exchange(b, LONG_BYTES, false, 1);
    check(b->a.opened_there == 0, "the peer had not heard of the stream yet");
    check(echo.opened_at_bytes == echo.first_at_bytes, "all in one record");
    hosts_end(&b->hosts);
}

TEST(of_several_protocols_none_is_taken_for_granted)
{
    struct bed *b = &bed;
    bed_make(b);
    exchange(b, 64, false, 2);
    check(b->a.opened_there == 1, "the peer answered first");
    hosts_end(&b->hosts);
}

TEST(what_identify_did_not_name_is_asked_first)
{
    struct bed *b = &bed;
    bed_make(b);
    ours(b)->protocols = 0;
    exchange(b, 64, false, 1);
    check(b->a.opened_there == 1, "the peer answered first");
    hosts_end(&b->hosts);
}

TEST(a_refusal_resets_and_is_remembered)
{
    struct bed *b = &bed;
    bed_make(b);
    b->hosts.hosts[0]->protocols_count--; /* it serves the last one no longer */
    b->a = (struct asker){ .to_send = LONG_BYTES };
    open_start(b, 1);
    until_closed(b);
    check(b->a.answers == 1 && b->a.failed == ERR_OK, "begun");
    check(b->a.end == ERR_NO_PROTOCOL, "and refused");
    check(strstr(b->a.text, "does not speak the protocol"), b->a.text);
    check(echo.opened == 0 && b->a.got == 0, "no byte reached a handler");
    b->a = (struct asker){ .to_send = 64 };
    open_start(b, 1);
    while (b->a.answers == 0)
        hosts_run(&b->hosts, "an answer");
    check(b->a.failed == ERR_NO_PROTOCOL && b->a.closed == 0, "now it is asked first");
    check(host_connected(b->hosts.hosts[1], &b->hosts.ids[0].id), "the connection stays");
    hosts_end(&b->hosts);
}

TEST(given_up_before_it_has_begun)
{
    struct bed *b = &bed;
    bed_make(b);
    b->a = (struct asker){ .to_send = 64 };
    open_start(b, 1);
    stream_open_cancel(&b->a.req);
    while (b->a.answers == 0)
        hosts_run(&b->hosts, "an answer");
    check(b->a.failed == ERR_CANCELED, "canceled");
    hosts_wait(&b->hosts, 20);
    check(b->a.answers == 1 && b->a.closed == 0 && echo.opened == 0, "once");
    b->a = (struct asker){ .reset_at_once = true };
    open_start(b, 1);
    until_closed(b);
    check(b->a.answers == 1 && b->a.end == ERR_CANCELED, "reset by its own callback");
    hosts_end(&b->hosts);
}

TEST(the_connection_ends_before_it_has_begun)
{
    struct bed *b = &bed;
    bed_make(b);
    b->a = (struct asker){ .to_send = 64 };
    open_start(b, 1);
    conn_close(ours(b), ERR_CLOSED, "in between");
    while (b->a.answers == 0)
        hosts_run(&b->hosts, "an answer");
    check(b->a.failed == ERR_CLOSED && b->a.closed == 0, "never begun");
    hosts_end(&b->hosts);
}

/* A peer knows which id comes next, and need not wait for the question. */
static void answer_unasked(struct bed *b, const char *answer)
{
    uint8_t buf[256];
    struct error err = { ERR_OK, "" };
    struct yamux *y = &ours(b)->mux;
    struct writer body = writer_of(buf + YAMUX_HEADER_BYTES, sizeof(buf) - YAMUX_HEADER_BYTES);
    struct writer head = writer_of(buf, YAMUX_HEADER_BYTES);
    multistream_put(&body, MULTISTREAM_HEADER);
    multistream_put(&body, answer);
    writer_be32(&head, 0);
    writer_be32(&head, (uint32_t)y->next_id_ - 2);
    writer_be32(&head, (uint32_t)writer_used(&body));
    struct bytes frame = bytes_of(buf, YAMUX_HEADER_BYTES + writer_used(&body));
    check(!yamux_feed(y, frame, loop_now_ms(b->hosts.loop), &err), err.text);
}

TEST(an_answer_before_the_question)
{
    struct bed *b = &bed;
    bed_make(b);
    b->a = (struct asker){ .reset_at_once = true }; /* else the real answer follows */
    open_start(b, 1);
    answer_unasked(b, b->ask.name);
    check(b->a.answers == 1 && b->a.failed == ERR_OK, "taken at its word");
    until_closed(b);
    hosts_wait(&b->hosts, 20);
    check(b->a.answers == 1 && b->a.closed == 1, "each callback once");
    b->a = (struct asker){ .to_send = 64 };
    open_start(b, 1);
    answer_unasked(b, MULTISTREAM_NA);
    while (b->a.answers == 0)
        hosts_run(&b->hosts, "an answer");
    hosts_wait(&b->hosts, 20);
    check(b->a.answers == 1 && b->a.failed == ERR_NO_PROTOCOL && b->a.closed == 0, "refused");
    hosts_end(&b->hosts);
}

static void deaf_data(struct yamux *y UNUSED, struct yamux_stream *s UNUSED,
                      struct bytes data UNUSED)
{
}

static void deaf_fin(struct yamux *y UNUSED, struct yamux_stream *s UNUSED)
{
}

static struct yamux_ops deaf;
static void deafen(struct bed *b)
{
    deaf = conn_stream_ops;
    deaf.on_data = deaf_data;
    host_conn_to(b->hosts.hosts[0], &b->hosts.ids[1].id)->mux.ops = &deaf;
}

/* It has heard no protocol, and then FIN. */
TEST(a_reset_in_place_of_an_answer)
{
    struct bed *b = &bed;
    bed_make(b);
    deafen(b);
    b->a = (struct asker){ .to_send = 64 };
    open_start(b, 1);
    until_closed(b);
    check(b->a.end == ERR_CLOSED, b->a.text);
    check(!host_peer_serves(b->hosts.hosts[1], &b->hosts.ids[0].id, ROW), "next time it is asked");
    hosts_end(&b->hosts);
}

/* The handler has no deadline of its own. */
TEST(a_peer_that_never_answers)
{
    struct bed *b = &bed;
    bed_make(b);
    deafen(b);
    deaf.on_fin = deaf_fin;
    hosts_clock(&b->hosts, 1);
    b->a = (struct asker){ .to_send = 64, .turn_ms = 1 }; /* our time is up before the peer's */
    open_start(b, 1);
    hosts_wait(&b->hosts, 20);
    check(b->a.sent == 64 && b->a.closed == 0, "sent, and waits");
    hosts_clock(&b->hosts, LIMIT_P2P_NEGOTIATE_MS);
    until_closed(b);
    check(b->a.end == ERR_TIMEOUT, b->a.text);
    hosts_end(&b->hosts);
}
