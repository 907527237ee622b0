#include "net/listen.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

bool sockaddr_is_loopback(const struct sockaddr *sa)
{
    const union address *a = (const union address *)sa;
    if (sa->sa_family == AF_INET)
        return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *ip = &a->v6.sin6_addr;
    return sa->sa_family == AF_INET6 &&
           (IN6_IS_ADDR_LOOPBACK(ip) || (IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == 127));
}

enum { PORT_NONE = 65536 };

/* The port behind the last colon. */
static unsigned long port_parse(const char *colon)
{
    if (!colon || !isdigit((unsigned char)colon[1]))
        return PORT_NONE;
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    return *end == '\0' ? MIN(port, PORT_NONE) : PORT_NONE;
}

static enum err address_parse(const char *text, union address *out, struct error *err)
{
    char host[INET6_ADDRSTRLEN] = "";
    const char *colon = strrchr(text, ':');
    bool v6 = text[0] == '[' && colon && colon > text + 1 && colon[-1] == ']';
    size_t size = colon ? (size_t)(colon - text) - (v6 ? 2 : 0) : 0;
    unsigned long port = port_parse(colon);
    if (port != PORT_NONE && size < sizeof(host))
        memcpy(host, text + (v6 ? 1 : 0), size);
    memset(out, 0, sizeof(*out));
    out->any.sa_family = v6 ? AF_INET6 : AF_INET;
    if (!strcmp(host, "localhost")) /* needs no resolver */
        snprintf(host, sizeof(host), "127.0.0.1");
    void *ip = v6 ? (void *)&out->v6.sin6_addr : &out->v4.sin_addr;
    if (inet_pton(out->any.sa_family, host, ip) != 1)
        return error_set(err, ERR_CONFIG, "'%s' is not an address like 127.0.0.1:9733 or [::1]:0",
                         text);
    *(v6 ? &out->v6.sin6_port : &out->v4.sin_port) = htons((uint16_t)port);
    return ERR_OK;
}

static void address_print(const union address *a, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    bool v6 = a->any.sa_family == AF_INET6;
    const void *ip = v6 ? (const void *)&a->v6.sin6_addr : &a->v4.sin_addr;
    inet_ntop(a->any.sa_family, ip, host, sizeof(host));
    snprintf(out, size, v6 ? "[%s]:%u" : "%s:%u", host,
             ntohs(v6 ? a->v6.sin6_port : a->v4.sin_port));
}

enum err listen_open(struct listen *out, const char *address, int backlog, struct error *err)
{
    union address a;
    out->fd = -1;
    enum err rc = address_parse(address, &a, err);
    if (rc)
        return rc;
    int on = 1;
    socklen_t size = a.any.sa_family == AF_INET6 ? sizeof(a.v6) : sizeof(a.v4);
    struct listen l = { .fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                                     0) };
    if (l.fd < 0 || setsockopt(l.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(l.fd, &a.any, size) != 0 || listen(l.fd, backlog) != 0 ||
        getsockname(l.fd, &a.any, &size) != 0) {
        int why = errno;
        listen_close(&l);
        return error_errno(err, ERR_SYSTEM, why, "cannot listen on %s", address);
    }
    l.loopback = sockaddr_is_loopback(&a.any);
    address_print(&a, l.address, sizeof(l.address));
    *out = l;
    return ERR_OK;
}

void listen_close(struct listen *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}
