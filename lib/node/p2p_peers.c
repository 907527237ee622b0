#include "node/p2p_peers.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/units.h"
#include "codec/json.h"
#include "net/host.h"
#include "node/admin_text.h"
#include "node/node_state.h"
#include "node/p2p.h"

/* The peers of now, for as long as nothing else happens on the loop. */
static enum err peers_get(struct node *n, struct mem_owner *mem, struct host_peer **out,
                          size_t *count, struct error *err)
{
    struct host *h = p2p_host(n);
    if (!h)
        return error_set(err, ERR_UNREACHABLE, "this node has no libp2p host: p2p-addr is empty");
    size_t most = host_connections(h);
    *out = mem_try_alloc(mem, (most + 1) * sizeof(**out));
    if (!*out)
        return mem_refused(mem, (most + 1) * sizeof(**out), err);
    *count = host_peers(h, *out, most);
    return ERR_OK;
}

static const char *address_text(const struct host_peer *p, char *buf, size_t size)
{
    uint8_t bytes[32];
    struct writer w = writer_of(bytes, sizeof(bytes));
    multiaddr_put_tcp(&w, p->address.ip6 ? MULTIADDR_IP6 : MULTIADDR_IP4, p->address.ip,
                      p->address.port);
    if (multiaddr_to_text(bytes_of(bytes, writer_used(&w)), buf, size, NULL))
        buf[0] = '\0';
    return buf;
}

static void to_text(void *ctx, const char *data, size_t size)
{
    admin_text_add(ctx, "%.*s", (int)size, data);
}

enum err p2p_peers_json(struct node *n, struct mem_owner *mem, struct admin_text *out,
                        struct error *err)
{
    struct host_peer *peers;
    size_t count;
    enum err rc = peers_get(n, mem, &peers, &count, err);
    if (rc)
        return rc;
    struct json_writer *w = json_writer_create(mem, JSON_INDENTED, to_text, out);
    json_object_begin(w, NULL);
    json_array_begin(w, "peers");
    for (size_t i = 0; i < count; i++) {
        const struct host_peer *p = &peers[i];
        char id[PEER_ID_TEXT_MAX], address[96];
        json_object_begin(w, NULL);
        json_put_text(w, "peer", peer_id_to_text(&p->id, id));
        json_put_text(w, "agent", p->agent);
        json_put_text(w, "address", address_text(p, address, sizeof(address)));
        json_put_text(w, "direction", p->inbound ? "inbound" : "outbound");
        json_put_decimal(w, "age_seconds", (int64_t)p->age_ms, 3);
        json_put_uint(w, "streams", p->streams);
        json_put_uint(w, "bytes_in", p->bytes_in);
        json_put_uint(w, "bytes_out", p->bytes_out);
        if (p->rtt_ns)
            json_put_decimal(w, "rtt_seconds", (int64_t)p->rtt_ns, 9);
        else
            json_put_null(w, "rtt_seconds");
        json_put_bool(w, "wanted", p->tags != 0);
        json_object_end(w);
    }
    json_array_end(w);
    json_object_end(w);
    json_writer_destroy(w);
    admin_text_add(out, "\n");
    mem_free(mem, peers);
    return ERR_OK;
}

static const char *age_text(uint64_t ms, char *buf, size_t size)
{
    uint64_t s = ms / 1000;
    if (s < 120)
        snprintf(buf, size, "%" PRIu64 "s", s);
    else if (s < 7200)
        snprintf(buf, size, "%" PRIu64 "min", s / 60);
    else if (s < 172800)
        snprintf(buf, size, "%" PRIu64 "h", s / 3600);
    else
        snprintf(buf, size, "%" PRIu64 "d", s / 86400);
    return buf;
}

enum err p2p_peers_table(struct node *n, struct mem_owner *mem, struct admin_text *out,
                         struct error *err)
{
    struct host_peer *peers;
    size_t count;
    enum err rc = peers_get(n, mem, &peers, &count, err);
    if (rc)
        return rc;
    admin_text_add(out, "%-53s %-20s %-40s %-3s %6s %7s %10s %10s %9s\n", "PEER", "AGENT",
                   "ADDRESS", "DIR", "AGE", "STREAMS", "IN", "OUT", "RTT");
    for (size_t i = 0; i < count; i++) {
        const struct host_peer *p = &peers[i];
        char id[PEER_ID_TEXT_MAX], address[96], age[16], rtt[24] = "-";
        if (p->rtt_ns)
            snprintf(rtt, sizeof(rtt), "%.2fms", (double)p->rtt_ns / 1e6);
        admin_text_add(
            out, "%-53s %-20.20s %-40s %-3s %6s %7u %10s %10s %9s\n", peer_id_to_text(&p->id, id),
            p->agent[0] ? p->agent : "-", address_text(p, address, sizeof(address)),
            p->inbound ? "in" : "out", age_text(p->age_ms, age, sizeof(age)), p->streams,
            units_size_about(p->bytes_in).text, units_size_about(p->bytes_out).text, rtt);
    }
    mem_free(mem, peers);
    return ERR_OK;
}
