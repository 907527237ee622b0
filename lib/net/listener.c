#include "base/mem.h"
#include "core/metrics.h"
#include "net/host_state.h"

#include <uv.h>

enum { BACKLOG = 512 };

struct listener {
    uv_tcp_t tcp;
    struct host *host;
    struct host_address address;
    bool waiting; /* somebody calls, and too many are not through with their upgrade */
    bool deaf;    /* closed for want of descriptors; bound again a while later */
    struct timer again;
};

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    struct host *h = l->host;
    mem_free(h->mem, l);
    host_handle_closed(h);
}

static void on_deaf(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    if (l->host->closing)
        on_listener_closed(handle);
    else
        timer_set(&l->again, LIMIT_P2P_DEAF_MS);
}

/* What is not accepted keeps libuv from listening, and waits in the kernel. */
static void take(struct listener *l)
{
    struct host *h = l->host;
    l->waiting = !host_takes_upgrade(h);
    if (!l->waiting)
        conn_accept(h, (uv_stream_t *)&l->tcp);
    else if (!timer_is_set(&h->accept_again))
        timer_set(&h->accept_again, LIMIT_P2P_HALF_OPEN_SURE_MS / 4);
}

void listeners_resume(struct timer *t)
{
    struct host *h = container_of(t, struct host, accept_again);
    for (uint32_t i = 0; i < h->listeners_count; i++)
        if (h->listeners[i]->waiting)
            take(h->listeners[i]);
}

/* Out of descriptors. libuv keeps a spare one with which it accepts and closes whoever calls; when
 * that is gone too it would call back without end, and nobody is accepted anyway. Who waits in the
 * kernel is turned away with the socket, which gives one descriptor back. */
static void go_deaf(struct listener *l)
{
    metric_add_by(METRIC_p2p_refused_total, REFUSED_DESCRIPTORS, 1);
    l->deaf = true;
    l->waiting = false;
    uv_close((uv_handle_t *)&l->tcp, on_deaf);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct listener *l = server->data;
    loop_callback_begin(l->host->loop, "accept");
    if (status == 0 && !l->host->closing)
        take(l);
    else if (status < 0 && !l->deaf && !l->host->closing)
        go_deaf(l);
    loop_callback_end(l->host->loop);
}

static enum err listener_bind(struct listener *l, struct error *err)
{
    struct sockaddr_storage ss = { 0 };
    struct sockaddr_in *in4 = (struct sockaddr_in *)&ss;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
    int size = sizeof(ss);
    if (l->address.ip6) {
        *in6 =
            (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(l->address.port) };
        memcpy(&in6->sin6_addr, l->address.ip, 16);
    } else {
        *in4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(l->address.port) };
        memcpy(&in4->sin_addr, l->address.ip, 4);
    }
    int rc = uv_tcp_bind(&l->tcp, (struct sockaddr *)&ss, l->address.ip6 ? UV_TCP_IPV6ONLY : 0);
    rc = rc ? rc : uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
    rc = rc ? rc : uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&ss, &size);
    if (rc)
        return error_set(err, ERR_SYSTEM, "listening: %s", uv_strerror(rc));
    l->address.port = ntohs(l->address.ip6 ? in6->sin6_port : in4->sin_port);
    return ERR_OK;
}

static void on_again(struct timer *t)
{
    struct listener *l = container_of(t, struct listener, again);
    uv_tcp_init(loop_uv(l->host->loop), &l->tcp);
    l->tcp.data = l;
    if (listener_bind(l, NULL))
        uv_close((uv_handle_t *)&l->tcp, on_deaf); /* and again */
    else
        l->deaf = false;
}

enum err host_listen(struct host *h, struct bytes multiaddr, struct error *err)
{
    struct multiaddr_target t;
    if (!multiaddr_target(multiaddr, &t) || (t.host != MULTIADDR_IP4 && t.host != MULTIADDR_IP6))
        return error_set(err, ERR_CONFIG, "only /ip4/…/tcp/… and /ip6/…/tcp/… can be listened on");
    if (h->listeners_count == LIMIT_P2P_LISTENERS)
        return error_set(err, ERR_CONFIG, "more addresses to listen on than allowed");
    struct listener *l = mem_zalloc(h->mem, sizeof(*l));
    l->host = h;
    l->address = (struct host_address){ .ip6 = t.host == MULTIADDR_IP6, .port = t.port };
    memcpy(l->address.ip, t.value.data, t.value.size);
    timer_init(&l->again, h->loop, on_again, "listen again");
    uv_tcp_init(loop_uv(h->loop), &l->tcp);
    l->tcp.data = l;
    h->handles++;
    enum err rc = listener_bind(l, err);
    if (rc) {
        uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
        return rc;
    }
    h->listeners[h->listeners_count++] = l;
    host_reached_look(h, true);
    return ERR_OK;
}

const struct host_address *listener_address(const struct listener *l)
{
    return &l->address;
}

void listeners_close(struct host *h)
{
    for (uint32_t i = 0; i < h->listeners_count; i++) {
        struct listener *l = h->listeners[i];
        bool waits = timer_is_set(&l->again);
        timer_set(&l->again, 0);
        if (waits)
            on_listener_closed((uv_handle_t *)&l->tcp);
        else if (!uv_is_closing((uv_handle_t *)&l->tcp))
            uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
    }
    h->listeners_count = 0;
    h->reached.count = 0;
    timer_set(&h->accept_again, 0);
}
