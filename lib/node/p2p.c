#include "node/p2p.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/units.h"
#include "base/varint.h"
#include "codec/json.h"
#include "core/governor.h"
#include "core/log.h"
#include "core/metrics.h"
#include "net/host.h"
#include "net/identity.h"
#include "net/observed.h"
#include "node/advice.h"
#include "node/facts.h"
#include "node/node_state.h"
#include "node/p2p_room.h"
#include "node/status.h"

#define AGENT "larder"

struct p2p {
    struct node *node;
    struct mem_owner *mem;
    struct peer_secret identity;
    struct host *host;
    struct status_section section;
    struct metrics_collector collector;
    struct governor_shrinker shrinker;
    struct host_watch watch;
    struct host_address hinted; /* the last one that was in the log */
    bool closing, closed, stopping;
};

static void p2p_free(struct p2p *p)
{
    struct node *n = p->node;
    n->p2p = NULL;
    host_destroy(p->host);
    secret_wipe(&p->identity, sizeof(p->identity));
    mem_free(p->mem, p);
}

/* The i-th address with our peer id behind it. announced may be NULL. */
static bool address_text(const struct p2p *p, size_t i, char *out, size_t size, bool *announced)
{
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
    struct writer w = writer_of(buf, sizeof(buf));
    if (!host_address(p->host, i, &w))
        return false;
    if (announced)
        *announced = host_announces(p->host, bytes_of(buf, writer_used(&w)));
    multiaddr_put_peer(&w, host_id(p->host));
    return multiaddr_to_text(bytes_of(buf, writer_used(&w)), out, size, NULL) == ERR_OK;
}

/* Without a port, as /ip4/203.0.113.7. */
static const char *ip_text(const struct host_address *a, char *out, size_t size)
{
    uint8_t buf[32];
    struct writer w = writer_of(buf, sizeof(buf));
    writer_uvarint(&w, a->ip6 ? MULTIADDR_IP6 : MULTIADDR_IP4);
    writer_put(&w, a->ip, a->ip6 ? 16 : 4);
    if (multiaddr_to_text(bytes_of(buf, writer_used(&w)), out, size, NULL))
        out[0] = '\0';
    return out;
}

/* Is it among the addresses that we listen at or announce? */
static bool is_ours(const struct p2p *p, const struct host_address *a)
{
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
    struct writer w = writer_of(buf, sizeof(buf));
    for (size_t i = 0; host_address(p->host, i, &w); i++, w = writer_of(buf, sizeof(buf))) {
        struct multiaddr_target t;
        if (multiaddr_target(bytes_of(buf, writer_used(&w)), &t) &&
            t.host == (a->ip6 ? MULTIADDR_IP6 : MULTIADDR_IP4) &&
            !memcmp(t.value.data, a->ip, t.value.size))
            return true;
    }
    return false;
}

/* A hint for people: an address that peers see is not announced by itself. */
static void on_observed(void *ctx, const struct host_address *us)
{
    struct p2p *p = ctx;
    char text[64];
    if (is_ours(p, us) || (us->ip6 == p->hinted.ip6 && !memcmp(us->ip, p->hinted.ip, 16)))
        return;
    p->hinted = *us;
    log_info("peers in %u networks see this node at %s: if it can be reached there, say so with "
             "p2p-announce",
             LIMIT_P2P_OBSERVED_NETWORKS, ip_text(us, text, sizeof(text)));
}

static void write_observed(const struct p2p *p, struct json_writer *w)
{
    struct host_observed seen[HOST_OBSERVED_MAX];
    char text[64];
    size_t n = host_observed(p->host, seen, ARRAY_SIZE(seen));
    json_array_begin(w, "observed");
    for (size_t i = 0; i < n; i++) {
        json_object_begin(w, NULL);
        json_put_text(w, "address", ip_text(&seen[i].address, text, sizeof(text)));
        json_put_uint(w, "networks", seen[i].networks);
        json_object_end(w);
    }
    json_array_end(w);
}

static void write_section(struct status_section *s, struct json_writer *w)
{
    struct p2p *p = container_of(s, struct p2p, section);
    char text[PEER_ID_TEXT_MAX], address[256];
    json_put_text(w, "peer_id", peer_id_to_text(host_id(p->host), text));
    json_array_begin(w, "addresses");
    for (size_t i = 0; address_text(p, i, address, sizeof(address), NULL); i++)
        json_put_text(w, NULL, address);
    json_array_end(w);
    write_observed(p, w);
    struct host_stats st;
    host_stats(p->host, &st);
    json_put_uint(w, "connections", st.inbound + st.outbound);
    json_put_uint(w, "connections_inbound", st.inbound);
    json_put_uint(w, "connections_half_open", st.half_open);
    json_put_uint(w, "connections_limit", st.connections_max);
    json_put_uint(w, "dialing", st.dialing);
    json_put_uint(w, "streams", st.streams);
    json_put_uint(w, "queued_bytes", st.queued_bytes);
    json_put_uint(w, "bound_bytes", st.bound_bytes);
    json_put_uint(w, "known_peers", st.known_peers);
}

/* Idle connections, by what each may hold. */
static void shrink(struct governor_shrinker *s, uint64_t bytes, bool urgent UNUSED)
{
    struct p2p *p = container_of(s, struct p2p, shrinker);
    if (!p->closing)
        host_shrink(p->host, (uint32_t)MIN(bytes / LIMIT_P2P_CONNECTION_BYTES + 1,
                                           (uint64_t)LIMIT_P2P_CONNECTIONS));
}

static void collect(struct metrics_collector *c)
{
    host_metrics(container_of(c, struct p2p, collector)->host);
}

static enum err each_address(struct p2p *p, const struct option_list *list,
                             enum err (*use)(struct host *, struct bytes, struct error *),
                             struct error *err)
{
    enum err rc = ERR_OK;
    for (uint32_t i = 0; i < list->count && !rc; i++) {
        uint8_t buf[LIMIT_MULTIADDR_BYTES];
        struct writer w = writer_of(buf, sizeof(buf));
        rc = multiaddr_from_text(list->items[i], strlen(list->items[i]), &w, err);
        if (!rc)
            rc = use(p->host, bytes_of(buf, writer_used(&w)), err);
        if (rc)
            return error_wrap(err, rc, "%s", list->items[i]);
    }
    return ERR_OK;
}

static enum err identity_load(struct p2p *p, const struct config *c, struct error *err)
{
    if (c->p2p_key_file[0])
        return identity_read(c->p2p_key_file, &p->identity, err);
    return identity_open(p->node->datadir.fd, DATADIR_P2P_KEY, &p->identity, err);
}

/* What is there is read, and nothing is made. */
void p2p_identity_check(const struct config *c, struct option_report *report)
{
    struct peer_secret secret = { 0 };
    struct error err;
    bool kept = config_section_on(c, OPTION_ID_SECTION_p2p) && !c->p2p_key_file[0];
    int dir_fd = kept ? open(c->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir_fd < 0) /* the first start makes it */
        return;
    if (!faccessat(dir_fd, DATADIR_P2P_KEY, F_OK, 0) &&
        identity_open(dir_fd, DATADIR_P2P_KEY, &secret, &err))
        option_report_add(report, "%s: %s", c->data_dir, err.text);
    secret_wipe(&secret, sizeof(secret));
    close(dir_fd);
}

static enum err addresses_tell(struct p2p *p, struct error *err)
{
    char texts[LIMIT_P2P_LISTENERS][256];
    const char *list[LIMIT_P2P_LISTENERS];
    size_t n = 0;
    bool announced;
    for (; n < LIMIT_P2P_LISTENERS && address_text(p, n, texts[n], sizeof(texts[n]), &announced);
         n++) {
        list[n] = texts[n];
        log_info("libp2p listens at %s%s", texts[n], announced ? "" : ", which peers are not told");
    }
    if (n == 0)
        log_info("libp2p dials and does not listen: p2p-addr is empty");
    struct host_stats st;
    host_stats(p->host, &st);
    log_info("libp2p takes at most %s for %u connections, their streams and what they hold",
             units_size_about(st.bound_bytes).text, st.connections_max);
    char id[PEER_ID_TEXT_MAX];
    enum err rc =
        facts_set_text(p->node->facts, "peer_id", peer_id_to_text(host_id(p->host), id), err);
    return rc ? rc : facts_set_texts(p->node->facts, "multiaddrs", list, n, err);
}

static void warn(const struct config *c)
{
    static struct option_report report; /* too large for the stack */
    option_report_begin(&report);
    advice_collect(c, &report);
    option_report_end(&report);
    machine_log_report(&report, LOG_LEVEL_WARNING);
}

enum err p2p_part_start(struct node *n, struct error *err)
{
    const struct config *c = n->started;
    if (!config_section_on(c, OPTION_ID_SECTION_p2p))
        return ERR_OK;
    struct mem_owner *mem = node_owner(n, "p2p");
    struct p2p *p = n->p2p = mem_zalloc(mem, sizeof(*p));
    p->node = n;
    p->mem = mem;
    enum err rc = identity_load(p, c, err);
    struct host_options options = { .loop = n->env.loop,
                                    .identity = &p->identity,
                                    .governor = n->env.governor,
                                    .agent = AGENT,
                                    .allow_private = c->allow_private_cidrs };
    p2p_limits(c, mem, &options);
    rc = rc ? rc : host_create(&p->host, &options, err);
    if (!n->offline)
        rc = rc ? rc : each_address(p, &c->p2p_addr, host_listen, err);
    rc = rc ? rc : each_address(p, &c->p2p_announce, host_announce, err);
    rc = rc ? rc : addresses_tell(p, err);
    if (rc)
        return rc;
    if (!n->offline)
        warn(c);
    p->watch = (struct host_watch){ .on_observed = on_observed, .ctx = p };
    host_watch(p->host, &p->watch);
    p->section.name = "p2p";
    p->section.write = write_section;
    status_section_add(node_status(n), &p->section);
    p->collector.collect = collect;
    metrics_collector_add(&p->collector);
    p->shrinker.owner = mem;
    p->shrinker.shrink = shrink;
    governor_shrinker_add(n->env.governor, &p->shrinker);
    return ERR_OK;
}

struct host *p2p_host(const struct node *n)
{
    return n->p2p ? n->p2p->host : NULL;
}

const struct peer_secret *p2p_identity(const struct node *n)
{
    return n->p2p ? &n->p2p->identity : NULL;
}

static void on_closed(void *ctx)
{
    struct p2p *p = ctx;
    struct node *n = p->node;
    p->closed = true;
    if (p->stopping)
        p2p_free(p);
    node_release(n, &n->p2p_hold, NULL);
}

static void close_host(struct p2p *p, uint32_t drain_ms)
{
    p->closing = true;
    node_hold(p->node, &p->node->p2p_hold, "libp2p connections");
    host_close(p->host, drain_ms, on_closed, p);
}

/* Go away to everybody; what runs has a few seconds to end. */
void p2p_part_drain(struct node *n)
{
    if (n->p2p && n->p2p->host && !n->p2p->closing)
        close_host(n->p2p, LIMIT_P2P_DRAIN_MS);
}

void p2p_part_cancel(struct node *n)
{
    if (n->p2p && n->p2p->closing && !n->p2p->closed)
        host_hurry(n->p2p->host);
}

void p2p_part_stop(struct node *n)
{
    struct p2p *p = n->p2p;
    if (!p)
        return;
    host_unwatch(&p->watch);
    status_section_remove(&p->section);
    metrics_collector_remove(&p->collector);
    if (p->shrinker.owner)
        governor_shrinker_remove(&p->shrinker);
    p->stopping = true;
    if (p->host && !p->closed && !p->closing)
        close_host(p, 0);
    else if (!p->host || p->closed)
        p2p_free(p);
}
