#include "base/mem.h"
#include "net/host_state.h"

#include <uv.h>

enum { BACKLOG = 512 };

struct listener {
    uv_tcp_t tcp;
    struct host *host;
    struct host_address address;
    bool waiting; /* somebody calls, and too many are not through with their upgrade */
};

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    struct host *h = l->host;
    mem_free(h->mem, l);
    host_handle_closed(h);
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

static void on_connection(uv_stream_t *server, int status)
{
    struct listener *l = server->data;
    loop_callback_begin(l->host->loop, "accept");
    if (status == 0 && !l->host->closing)
        take(l);
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
    uv_tcp_init(loop_uv(h->loop), &l->tcp);
    l->tcp.data = l;
    h->handles++;
    enum err rc = listener_bind(l, err);
    if (rc) {
        uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
        return rc;
    }
    h->listeners[h->listeners_count++] = l;
    h->version++;
    return ERR_OK;
}

const struct host_address *listener_address(const struct listener *l)
{
    return &l->address;
}

void listeners_close(struct host *h)
{
    for (uint32_t i = 0; i < h->listeners_count; i++)
        uv_close((uv_handle_t *)&h->listeners[i]->tcp, on_listener_closed);
    h->listeners_count = 0;
    timer_set(&h->accept_again, 0);
}
