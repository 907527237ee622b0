#include "net/reached.h"

#include <string.h>
#include <uv.h>

#include "codec/multiaddr.h"

/* ---- kinds of addresses ---- */

bool address_is_loopback(const struct host_address *a)
{
    static const uint8_t one[16] = { [15] = 1 };
    return a->ip6 ? !memcmp(a->ip, one, 16) : a->ip[0] == 127;
}

/* RFC 1918, 3927, 6598: what means something else in another network; RFC 5771 and 1112: groups,
 * the former class E and broadcast. In IPv6 only 2000::/3 is given to single machines (RFC 4291,
 * IANA): outside it are mapped and translated IPv4, unique and site local ranges, groups. */
bool address_is_private(const struct host_address *a)
{
    const uint8_t *ip = a->ip;
    if (a->ip6)
        return (ip[0] & 0xe0) != 0x20;
    return ip[0] == 0 || ip[0] == 10 || ip[0] == 127 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) ||
           (ip[0] == 192 && ip[1] == 168) || (ip[0] == 169 && ip[1] == 254) ||
           (ip[0] == 100 && (ip[1] & 0xc0) == 64) || ip[0] >= 224;
}

bool address_is_wildcard(const struct host_address *a)
{
    static const uint8_t zeros[16];
    return !memcmp(a->ip, zeros, a->ip6 ? 16 : 4);
}

/* Whoever is told it does not know the interface that goes with it. */
static bool is_link_local(const struct host_address *a)
{
    const uint8_t *ip = a->ip;
    return a->ip6 ? ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80 : ip[0] == 169 && ip[1] == 254;
}

bool address_is_told(const struct host_address *a, bool allow_private)
{
    return !address_is_wildcard(a) && (allow_private || !address_is_private(a));
}

bool multiaddr_is_told(struct bytes multiaddr, bool allow_private)
{
    struct multiaddr_target t;
    if (!multiaddr_target(multiaddr, &t) || (t.host != MULTIADDR_IP4 && t.host != MULTIADDR_IP6))
        return true; /* a name: the operator's own words */
    struct host_address a = { .ip6 = t.host == MULTIADDR_IP6 };
    memcpy(a.ip, t.value.data, t.value.size);
    return address_is_told(&a, allow_private);
}

/* ---- the machine ---- */

/* The list of libuv, or the one of a test. */
struct machine {
    uv_interface_address_t *uv;
    const struct host_address *given;
    int count;
};

static bool machine_read(struct machine *m, const struct host_interfaces *given)
{
    *m = (struct machine){ .count = 0 };
    if (given && given->list)
        *m = (struct machine){ .given = given->list, .count = (int)given->count };
    else if (given || uv_interface_addresses(&m->uv, &m->count))
        return false;
    return true;
}

static void machine_free(struct machine *m)
{
    if (m->uv)
        uv_free_interface_addresses(m->uv, m->count);
}

static void machine_at(const struct machine *m, int i, struct host_address *out)
{
    if (m->given) {
        *out = m->given[i];
        return;
    }
    const uv_interface_address_t *at = &m->uv[i];
    *out = (struct host_address){ .ip6 = at->address.address4.sin_family == AF_INET6 };
    if (out->ip6)
        memcpy(out->ip, &at->address.address6.sin6_addr, 16);
    else
        memcpy(out->ip, &at->address.address4.sin_addr, 4);
}

/* ---- the list ---- */

static bool same_address(const struct host_address *a, const struct host_address *b)
{
    return a->ip6 == b->ip6 && a->port == b->port && !memcmp(a->ip, b->ip, a->ip6 ? 16 : 4);
}

static void put(struct reached *r, const struct host_address *a)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (same_address(&r->list[i], a))
            return;
    if (r->count < LIMIT_P2P_LISTENERS)
        r->list[r->count++] = *a;
}

/* The lesser, the more peers it is of use to: it is these that the list has room for first. */
enum rank { RANK_PUBLIC, RANK_PRIVATE, RANK_LOOPBACK, RANKS };

static enum rank rank_of(const struct host_address *a)
{
    return address_is_loopback(a) ? RANK_LOOPBACK
                                  : (address_is_private(a) ? RANK_PRIVATE : RANK_PUBLIC);
}

/* At this address of the machine every wildcard of its kind hears. */
static void put_for_each(struct reached *r, const struct reached_from *from,
                         const struct host_address *ip)
{
    for (uint32_t i = 0; i < from->bound_count; i++) {
        struct host_address a = *ip;
        a.port = from->bound[i].port;
        if (address_is_wildcard(&from->bound[i]) && from->bound[i].ip6 == ip->ip6)
            put(r, &a);
    }
}

static bool expand(struct reached *r, const struct reached_from *from)
{
    struct machine m;
    if (!machine_read(&m, from->machine))
        return false;
    for (int rank = RANK_PUBLIC; rank < (from->allow_private ? RANKS : RANK_PRIVATE); rank++) {
        for (int i = 0; i < m.count; i++) {
            struct host_address ip;
            machine_at(&m, i, &ip);
            if ((int)rank_of(&ip) == rank && !is_link_local(&ip))
                put_for_each(r, from, &ip);
        }
    }
    machine_free(&m);
    return true;
}

/* Has a listener of this kind and port an address in the list? */
static bool is_expanded(const struct reached *r, const struct host_address *wildcard)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->list[i].ip6 == wildcard->ip6 && r->list[i].port == wildcard->port)
            return true;
    return false;
}

bool reached_make(struct reached *out, const struct reached_from *from)
{
    bool wildcards = false;
    assert(from->bound_count <= LIMIT_P2P_LISTENERS);
    *out = (struct reached){ .count = 0 };
    for (uint32_t i = 0; i < from->bound_count; i++) {
        if (address_is_wildcard(&from->bound[i]))
            wildcards = true;
        else
            put(out, &from->bound[i]);
    }
    bool read = !wildcards || expand(out, from);
    for (uint32_t i = 0; wildcards && i < from->bound_count; i++)
        if (address_is_wildcard(&from->bound[i]) && !is_expanded(out, &from->bound[i]))
            put(out, &from->bound[i]); /* told to nobody, but shown to people */
    return read;
}

bool reached_equal(const struct reached *a, const struct reached *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++)
        same = same_address(&a->list[i], &b->list[i]);
    return same;
}
