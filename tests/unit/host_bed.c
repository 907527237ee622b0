#include "host_bed.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

#include "core/loop.h"

static const struct mem_row rows[] = {
    { "p2p", "refused", MEM_ELASTIC, 16 * MiB, 10, 50, true },
};

enum { WAIT_MS = 20000, HAND_MS = 5, NXDOMAIN = 3 };

static void on_guard(uv_timer_t *t)
{
    struct hosts *b = t->data;
    b->timed_out = true;
    loop_stop(b->loop);
}

static void on_hand(uv_timer_t *t)
{
    hosts_clock(t->data, HAND_MS);
}

static void loop_make(struct hosts *b)
{
    if (b->loop)
        return;
    check(!loop_create(&b->loop, NULL), "loop");
    uv_timer_init(loop_uv(b->loop), &b->hand);
    b->hand.data = b;
    uv_timer_init(loop_uv(b->loop), &b->guard);
    b->guard.data = b;
}

/* One question, one answer. */

static size_t name_read(const uint8_t *at, const uint8_t *end, char *out, size_t size)
{
    size_t used = 0, n = 0;
    while (at + n < end && at[n] != 0) {
        for (uint8_t i = 0; i < at[n] && used + 2 < size; i++)
            out[used++] = (char)at[n + 1 + i];
        out[used++] = '.';
        n += at[n] + 1u;
    }
    out[used ? used - 1 : 0] = '\0';
    return n + 1;
}

static void data_put(struct writer *w, const struct hosts_record *r)
{
    uint8_t ip[16];
    uint8_t data[2048];
    size_t size = strlen(r->text), used = 0;
    if (r->type != 16) {
        check(inet_pton(r->type == 1 ? AF_INET : AF_INET6, r->text, ip) == 1, r->text);
        used = r->type == 1 ? 4 : 16;
        memcpy(data, ip, used);
    }
    for (size_t at = 0; r->type == 16 && at < size; at += 200) {
        uint8_t n = (uint8_t)MIN(size - at, 200u);
        data[used++] = n;
        memcpy(data + used, r->text + at, n);
        used += n;
    }
    writer_put(w, "\xc0\x0c", 2); /* the name of the question */
    writer_be16(w, (uint16_t)r->type);
    writer_be16(w, 1);
    writer_put(w, "\0\0\0\x3c", 4);
    writer_be16(w, (uint16_t)used);
    writer_put(w, data, used);
}

static void on_question(uv_udp_t *udp, ssize_t size, const uv_buf_t *buf,
                        const struct sockaddr *from, unsigned flags UNUSED)
{
    struct hosts *b = udp->data;
    const uint8_t *q = (const uint8_t *)buf->base;
    uint8_t reply[4096];
    char name[300];
    uint16_t answers = 0;
    bool known = false;
    if (size < 17)
        return;
    b->questions++;
    size_t n = name_read(q + 12, q + size, name, sizeof(name));
    int type = q[12 + n] << 8 | q[13 + n];
    struct writer w = writer_of(reply, sizeof(reply));
    writer_put(&w, q, 12 + n + 4);
    for (size_t i = 0; i < b->records_count; i++) {
        const struct hosts_record *r = &b->records[i];
        if (strcasecmp(r->name, name) != 0)
            continue;
        if (!r->text)
            return;
        known = true;
        if (r->type == type) {
            answers++;
            data_put(&w, r);
        }
    }
    check(!w.overflow, "the answer fits");
    reply[2] = 0x81;
    reply[3] = (uint8_t)(0x80 | (known ? 0 : NXDOMAIN));
    be16_encode(reply + 6, answers);
    memset(reply + 8, 0, 4);
    uv_buf_t out = uv_buf_init((char *)reply, (unsigned)writer_used(&w));
    check(uv_udp_try_send(udp, &out, 1, from) > 0, "answers");
}

static void on_room(uv_handle_t *handle UNUSED, size_t suggested UNUSED, uv_buf_t *buf)
{
    static char room[2048];
    *buf = uv_buf_init(room, sizeof(room));
}

void hosts_dns(struct hosts *b, const struct hosts_record *records, size_t count)
{
    struct sockaddr_in sa = { .sin_family = AF_INET };
    int size = sizeof(sa);
    *b = (struct hosts){ .records = records, .records_count = count, .has_dns = true };
    loop_make(b);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    uv_udp_init(loop_uv(b->loop), &b->dns);
    b->dns.data = b;
    check(!uv_udp_bind(&b->dns, (struct sockaddr *)&sa, 0), "a port");
    uv_udp_getsockname(&b->dns, (struct sockaddr *)&sa, &size);
    snprintf(b->dns_server, sizeof(b->dns_server), "127.0.0.1:%u", ntohs(sa.sin_port));
    uv_udp_recv_start(&b->dns, on_room, on_question);
}

void hosts_make(struct hosts *b, int count, const struct host_options *options)
{
    if (!b->has_dns)
        *b = (struct hosts){ 0 };
    loop_make(b);
    check(!mem_plan_create(&b->plan, 1 * GiB, rows, ARRAY_SIZE(rows), NULL), "plan");
    b->mem = mem_plan_find(b->plan, "p2p");
    b->count = count;
    for (int i = 0; i < count; i++) {
        uint8_t seed[32] = { (uint8_t)(i + 1) };
        struct error err = { ERR_OK, "" };
        struct host_options o = *options;
        peer_secret_from_seed(seed, &b->ids[i]);
        o.loop = b->loop;
        o.mem = b->mem;
        o.identity = &b->ids[i];
        o.agent = "larder/test";
        o.dns_servers = b->has_dns ? b->dns_server : NULL;
        check(!host_create(&b->hosts[i], &o, &err), err.text);
    }
}

static void on_closed(void *ctx)
{
    struct hosts *b = ctx;
    if (--b->closing == 0)
        loop_stop(b->loop);
}

void hosts_end(struct hosts *b)
{
    b->closing = b->count;
    for (int i = 0; i < b->count; i++)
        host_close(b->hosts[i], 100, on_closed, b);
    hosts_clock(b, 200);
    while (b->closing > 0) /* others stop the loop too */
        hosts_run(b, "closes");
    for (int i = 0; i < b->count; i++)
        host_destroy(b->hosts[i]);
    check(b->mem->used_bytes == 0, "all is given back");
    uv_close((uv_handle_t *)&b->guard, NULL);
    uv_close((uv_handle_t *)&b->hand, NULL);
    if (b->has_dns)
        uv_close((uv_handle_t *)&b->dns, NULL);
    loop_run(b->loop);
    loop_destroy(b->loop);
    mem_plan_destroy(b->plan);
    *b = (struct hosts){ 0 };
}

static void guard_run(struct hosts *b, uint32_t ms)
{
    b->timed_out = false;
    uv_update_time(loop_uv(b->loop));
    uv_timer_start(&b->guard, on_guard, ms, 0);
    if (b->turned)
        uv_timer_start(&b->hand, on_hand, HAND_MS, HAND_MS);
    loop_run(b->loop);
    uv_timer_stop(&b->guard);
    uv_timer_stop(&b->hand);
}

void hosts_run(struct hosts *b, const char *why)
{
    guard_run(b, WAIT_MS);
    check(!b->timed_out, why);
}

void hosts_wait(struct hosts *b, uint32_t ms)
{
    do
        guard_run(b, ms);
    while (!b->timed_out);
}

void hosts_clock(struct hosts *b, uint64_t ms)
{
    b->turned = true;
    loop_clock_set(b->loop, loop_now_ms(b->loop) + ms, loop_wall_ns(b->loop));
}

struct bytes hosts_multiaddr(const char *text, uint8_t *buf, size_t size)
{
    struct writer w = writer_of(buf, size);
    struct error err = { ERR_OK, "" };
    check(!multiaddr_from_text(text, strlen(text), &w, &err), err.text);
    return bytes_of(buf, writer_used(&w));
}

struct bytes hosts_listen(struct hosts *b, int host, const char *text, uint8_t buf[64])
{
    struct error err = { ERR_OK, "" };
    check(!host_listen(b->hosts[host], hosts_multiaddr(text, buf, 64), &err), err.text);
    struct writer w = writer_of(buf, 64);
    check(host_address(b->hosts[host], 0, &w), "an address");
    return bytes_of(buf, writer_used(&w));
}

static void on_dialed(struct host_dial *req, const struct error *err)
{
    struct hosts_dial *d = container_of(req, struct hosts_dial, req);
    d->done = true;
    d->rc = err ? err->code : ERR_OK;
    snprintf(d->text, sizeof(d->text), "%s", err ? err->text : "");
    loop_stop(d->bed->loop);
}

void hosts_dial_start(struct hosts *b, int from, struct hosts_dial *d)
{
    d->bed = b;
    d->req.cb = on_dialed;
    host_dial(b->hosts[from], &d->req);
}

enum err hosts_dial(struct hosts *b, int from, struct hosts_dial *d, const struct peer_id *peer,
                    struct bytes address)
{
    *d = (struct hosts_dial){ 0 };
    d->req.addresses = &address;
    d->req.count = address.size > 0;
    if (peer)
        d->req.peer = *peer;
    hosts_dial_start(b, from, d);
    while (!d->done)
        hosts_run(b, "an answer to a dial");
    return d->rc;
}

/* ---- senders ---- */

static size_t send_writable(struct stream *s UNUSED, void *user, uint8_t *buf, size_t room)
{
    struct hosts_sender *x = user;
    memset(buf, 7, room);
    x->sent += room;
    return room;
}

static size_t send_data(struct stream *s UNUSED, void *user UNUSED, const uint8_t *b UNUSED,
                        size_t size)
{
    return size;
}

static void send_close(struct stream *s UNUSED, void *user, const struct error *err UNUSED,
                       uint32_t code UNUSED)
{
    struct hosts_sender *x = user;
    x->closed = true;
    x->s = NULL;
}

static const struct stream_ops send_ops = { NULL, send_data, send_writable, send_close };
static const struct protocol send_mute = { .name = "/test/mute/1.0.0", .ops = &send_ops };
static const struct protocol *const send_choices[] = { &send_mute };

static void on_opened(struct stream_open *req, struct stream *s, const struct error *err UNUSED)
{
    struct hosts_sender *x = container_of(req, struct hosts_sender, req);
    x->done = true;
    x->s = s;
    loop_stop(x->bed->loop);
}

void hosts_sender_open(struct hosts *b, int from, struct conn *c, struct hosts_sender *x)
{
    *x = (struct hosts_sender){ .bed = b };
    x->req = (struct stream_open){ .to = b->ids[0].id,
                                   .conn = c,
                                   .choices = send_choices,
                                   .count = 1,
                                   .user = x,
                                   .cb = on_opened };
    stream_open(b->hosts[from], &x->req);
}
