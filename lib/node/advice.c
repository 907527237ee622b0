#include "node/advice.h"

#include <string.h>

#include "codec/multiaddr.h"
#include "core/config.h"
#include "net/reached.h"
#include "node/p2p_room.h"

/* text becomes a multiaddr in buf; one that cannot be parsed is an error elsewhere. */
static struct bytes parsed(const char *text, uint8_t buf[LIMIT_MULTIADDR_BYTES])
{
    struct writer w = writer_of(buf, LIMIT_MULTIADDR_BYTES);
    enum err rc = multiaddr_from_text(text, strlen(text), &w, NULL);
    return bytes_of(buf, rc ? 0 : writer_used(&w));
}

static bool announces_any(const struct config *c)
{
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
    for (uint32_t i = 0; i < c->p2p_announce.count; i++) {
        struct bytes address = parsed(c->p2p_announce.items[i], buf);
        if (address.size > 0 && multiaddr_is_told(address, c->allow_private_cidrs))
            return true;
    }
    return false;
}

static bool listens_at_any(const struct config *c)
{
    struct host_address bound[LIMIT_P2P_LISTENERS];
    struct reached_from from = { bound, 0, c->allow_private_cidrs, NULL };
    struct reached reached;
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
    for (uint32_t i = 0; i < c->p2p_addr.count && from.bound_count < LIMIT_P2P_LISTENERS; i++) {
        struct multiaddr_target t;
        if (!multiaddr_target(parsed(c->p2p_addr.items[i], buf), &t) ||
            (t.host != MULTIADDR_IP4 && t.host != MULTIADDR_IP6))
            continue;
        struct host_address *a = &bound[from.bound_count++];
        *a = (struct host_address){ .ip6 = t.host == MULTIADDR_IP6, .port = t.port };
        memcpy(a->ip, t.value.data, t.value.size);
    }
    (void)reached_make(&reached, &from); /* a wildcard that stays is not told */
    for (uint32_t i = 0; i < reached.count; i++)
        if (address_is_told(&reached.list[i], c->allow_private_cidrs))
            return true;
    return false;
}

void advice_collect(const struct config *c, struct option_report *report)
{
    if (!config_section_on(c, OPTION_ID_SECTION_p2p))
        return;
    p2p_room_advise(c, report);
    bool announce = c->p2p_announce.count > 0;
    bool told = announce ? announces_any(c) : listens_at_any(c);
    if (!told && (announce || c->p2p_addr.count > 0)) /* some peers wait long for an address */
        option_report_add(report,
                          "%s: peers are told no address of ours: set p2p-announce (private and "
                          "loopback addresses count with allow-private-cidrs alone)",
                          announce ? "p2p-announce" : "p2p-addr");
    if (!told && c->reprovide)
        option_report_add(report, "reprovide: no key is provided while peers are told no address "
                                  "of ours (p2p-addr, p2p-announce)");
    if (c->reprovide && c->dht_bootstrap.count == 0)
        option_report_add(report, "reprovide: no key is provided while dht-bootstrap is empty: "
                                  "that is how a DHT is found");
}
