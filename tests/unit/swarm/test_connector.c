/* Two nodes in one process over loopback sockets: who is called, and when again. */
#include "unit.h"

#include <stdio.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"
#include "codec/multiaddr.h"
#include "core/governor.h"
#include "core/loop.h"
#include "core/timer.h"
#include "net/protocols.h"
#include "swarm/connector.h"
#include "swarm/known.h"
#include "swarm/topology.h"
#include "swarm_bed.h"

static const struct mem_row rows[] = {
    { "swarm", "refused", MEM_ELASTIC, 32 * MiB, 10, 50, true },
};

enum { NODES = 2, WAIT_MS = 8000 };

struct node {
    struct swarm_node keys;
    struct peer_secret secret;
    struct host *host;
    struct record_identity identity;
    struct own_record record;
    struct topology *topology;
    struct known *known;
    struct handshake handshake;
    struct host_watch watch;
    struct topology_watch peers;
    uint32_t gone;
    uint8_t radius;
    struct connector *connector;
    uint8_t address[96]; /* with its id */
    size_t address_bytes;
};

struct bed {
    struct loop *loop;
    struct mem_plan *plan;
    struct mem_owner *mem;
    struct governor *governor;
    uint64_t held_bytes; /* by the process, as it sees it */
    struct node nodes[NODES];
    struct timer tick;
    int closing;
    bool turned; /* its clock goes no longer by itself */
};
static struct bed b;

static void on_tick(struct timer *t UNUSED)
{
    loop_stop(b.loop);
}

/* So much time, while whatever is due happens; hardly any of it is real. */
static void turn(uint64_t ms)
{
    enum { STEPS = 100 };
    b.turned = true;
    for (uint64_t i = 0; i < STEPS; i++) {
        loop_clock_set(b.loop, loop_now_ms(b.loop) + MAX(ms / STEPS, (uint64_t)1),
                       loop_wall_ns(b.loop));
        for (int j = 0; j < 10; j++) {
            uv_run(loop_uv(b.loop), UV_RUN_NOWAIT);
            usleep(20);
        }
    }
}

/* Lets the loop run for some milliseconds. */
static void pass(uint64_t ms)
{
    if (b.turned) {
        turn(ms);
        return;
    }
    timer_set(&b.tick, ms);
    loop_run(b.loop);
    timer_set(&b.tick, 0);
}

static void wait_peers(uint32_t a, uint32_t c, const char *why)
{
    for (int i = 0; i < WAIT_MS / 5; i++) {
        if (topology_count(b.nodes[0].topology) == a && topology_count(b.nodes[1].topology) == c)
            return;
        pass(5);
    }
    check(false, why);
}

/* Its calls have ended, or time is up. */
static void call_ended(struct node *n, struct connector_status *out)
{
    connector_status(n->connector, out);
    for (int i = 0; i < WAIT_MS / 5 && out->calling > 0; i++) {
        pass(5);
        connector_status(n->connector, out);
    }
}

static void on_peer_gone(void *ctx, const struct swarm_peer *p UNUSED)
{
    ((struct node *)ctx)->gone++;
}

static void on_gone(void *ctx, const struct peer_id *peer)
{
    struct node *n = ctx;
    if (!host_connected(n->host, peer))
        topology_remove(n->topology, peer);
}

static void disconnect(void *ctx, const struct peer_id *peer)
{
    host_disconnect(((struct node *)ctx)->host, peer);
}

static uint8_t radius_of(void *ctx)
{
    return ((struct node *)ctx)->radius;
}

static bool remote_of(void *ctx UNUSED, struct stream *s, struct writer *out)
{
    host_stream_remote(s, out);
    return true;
}

static void host_make(struct node *n, uint8_t seed)
{
    uint8_t secret[32], buf[64];
    struct error err = { ERR_OK, "" };
    static const char any[] = "/ip4/127.0.0.1/tcp/0";
    memset(secret, seed, sizeof(secret));
    peer_secret_from_seed(secret, &n->secret);
    const struct host_options o = { .loop = b.loop,
                                    .mem = b.mem,
                                    .identity = &n->secret,
                                    .agent = "larder/test",
                                    .allow_private = true };
    check(!host_create(&n->host, &o, &err), err.text);
    struct writer w = writer_of(buf, sizeof(buf));
    check(!multiaddr_from_text(any, strlen(any), &w, &err), err.text);
    check(!host_listen(n->host, bytes_of(buf, writer_used(&w)), &err), err.text);
    w = writer_of(n->address, sizeof(n->address));
    check(host_address(n->host, 0, &w), "an address");
    multiaddr_put_peer(&w, &n->secret.id);
    n->address_bytes = writer_used(&w);
}

static void node_make(struct node *n, uint8_t seed)
{
    struct error err = { ERR_OK, "" };
    bool changed;
    memset(n, 0, sizeof(*n));
    swarm_node_make(&n->keys, seed);
    host_make(n, seed);
    n->identity = (struct record_identity){
        .swarm = &n->keys.swarm, .full_node = true, .welcome = "", .peer = n->secret.id
    };
    const struct overlay_underlays u = { { bytes_of(n->address, n->address_bytes) }, 1 };
    const struct record_wish wish = { &u, bytes_of(NULL, 0),
                                      (int64_t)(loop_wall_ns(b.loop) / 1000000000) };
    check(!own_record_make(&n->record, &n->identity, &wish, &changed, &err), err.text);
    check(!topology_create(&n->topology, b.mem, n->keys.swarm.overlay, &err), err.text);
    check(!known_create(&n->known, b.mem, n->keys.swarm.overlay, &err), err.text);
    n->handshake = (struct handshake){ .loop = b.loop,
                                       .mem = b.mem,
                                       .host = n->host,
                                       .topology = n->topology,
                                       .known = n->known,
                                       .record = &n->record,
                                       .remote = remote_of,
                                       .disconnect = disconnect,
                                       .ctx = n };
    handshake_init(&n->handshake);
    check(!host_serve(n->host, PROTOCOL_handshake, &session_ops,
                      (void *)(uintptr_t)handshake_served(&n->handshake), &err),
          err.text);
    n->watch = (struct host_watch){ .on_gone = on_gone, .ctx = n };
    host_watch(n->host, &n->watch);
    n->peers = (struct topology_watch){ .on_gone = on_peer_gone, .ctx = n };
    topology_watch(n->topology, &n->peers);
    const struct connector_options o = { .loop = b.loop,
                                         .mem = b.mem,
                                         .governor = b.governor,
                                         .host = n->host,
                                         .topology = n->topology,
                                         .known = n->known,
                                         .handshake = &n->handshake,
                                         .own = &n->identity.peer,
                                         .radius = radius_of,
                                         .ctx = n };
    check(!connector_create(&n->connector, &o, &err), err.text);
}

static void process_memory(void *ctx UNUSED, struct process_memory *out)
{
    *out = (struct process_memory){ .anon_bytes = b.held_bytes };
}

static void bed_make(void)
{
    memset(&b, 0, sizeof(b));
    check(!loop_create(&b.loop, NULL), "loop");
    timer_init(&b.tick, b.loop, on_tick, "test");
    check(!mem_plan_create(&b.plan, 1 * GiB, rows, ARRAY_SIZE(rows), NULL), "plan");
    b.mem = mem_plan_find(b.plan, "swarm");
    const struct governor_options o = { .plan = b.plan, .process_memory = process_memory };
    check(!governor_create(&b.governor, b.loop, &o, NULL), "governor");
    for (uint8_t i = 0; i < NODES; i++)
        node_make(&b.nodes[i], (uint8_t)(i + 1));
}

static void on_ended(void *ctx UNUSED)
{
    b.closing--;
}

static void wait_closed(const char *why)
{
    for (int i = 0; i < WAIT_MS / 5 && b.closing > 0; i++)
        pass(5);
    check(b.closing == 0, why);
}

static void bed_end(void)
{
    b.closing = NODES;
    for (int i = 0; i < NODES; i++)
        connector_stop(b.nodes[i].connector, on_ended, NULL);
    wait_closed("calls end");
    b.closing = NODES;
    for (int i = 0; i < NODES; i++)
        host_close(b.nodes[i].host, 50, on_ended, NULL);
    wait_closed("hosts close");
    for (int i = 0; i < NODES; i++) {
        struct node *n = &b.nodes[i];
        connector_destroy(n->connector);
        host_unwatch(&n->watch);
        topology_unwatch(&n->peers);
        host_destroy(n->host);
        topology_destroy(n->topology);
        known_destroy(n->known);
    }
    governor_destroy(b.governor);
    check(b.mem->used_bytes == 0, "all is given back");
    loop_destroy(b.loop);
    mem_plan_destroy(b.plan);
}

static void add(struct node *n, struct bytes address, enum contact_kind kind)
{
    struct error err = { ERR_OK, "" };
    check(!connector_add(n->connector, address, kind, &err), err.text);
}

static struct bytes address_of(const struct node *n)
{
    return bytes_of(n->address, n->address_bytes);
}

TEST(a_configured_peer_is_called_and_called_again)
{
    struct connector_status st;
    bed_make();
    struct node *a = &b.nodes[0], *c = &b.nodes[1];
    add(a, address_of(c), CONTACT_CONFIGURED);
    add(a, address_of(c), CONTACT_CONFIGURED);
    wait_peers(1, 1, "they shake hands");
    const struct swarm_peer *p = topology_find(a->topology, &c->secret.id);
    check(p && p->full_node && !p->inbound, "called by us");
    call_ended(a, &st); /* the peer is there before the call's own callback is */
    check(st.contacts == 1 && st.calling == 0 && st.failing == 0, "once, and it is well");
    host_disconnect(c->host, &a->secret.id);
    for (int i = 0; i < WAIT_MS / 5 && a->gone == 0; i++)
        pass(5);
    check(a->gone == 1, "it hangs up");
    wait_peers(1, 1, "and one calls the other again");
    check(known_count(a->known) == 1, "its record is kept");
    bed_end();
}

TEST(nobody_is_called_before_our_record_is_stored)
{
    struct connector_status st;
    bed_make();
    struct node *a = &b.nodes[0], *c = &b.nodes[1];
    a->record.identity = NULL;
    add(a, address_of(c), CONTACT_CONFIGURED);
    pass(20);
    connector_status(a->connector, &st);
    check(st.contacts == 1 && st.calling == 0, "it is called later");
    check(host_connections(c->host) == 0, "by nobody yet");
    a->record.identity = &a->identity;
    connector_look(a->connector);
    wait_peers(1, 1, "then they shake hands");
    bed_end();
}

TEST(nobody_is_called_from_the_trigger_on)
{
    struct connector_status st;
    bed_make();
    struct node *a = &b.nodes[0], *c = &b.nodes[1];
    b.held_bytes = b.plan->setting_bytes - b.plan->slack_bytes / 4;
    governor_look(b.governor);
    add(a, address_of(c), CONTACT_CONFIGURED);
    pass(50);
    connector_status(a->connector, &st);
    check(st.contacts == 1 && st.calling == 0 && st.failing == 0, "it is kept for later");
    check(topology_count(a->topology) == 0, "and not called");
    b.held_bytes = b.plan->setting_bytes - b.plan->slack_bytes / 2;
    for (int i = 0; i < LIMIT_GOVERNOR_CALM_LOOKS; i++)
        governor_look(b.governor);
    wait_peers(1, 1, "below it they shake hands");
    b.held_bytes = b.plan->setting_bytes;
    governor_look(b.governor);
    pass(50);
    check(topology_count(a->topology) == 1, "which stays");
    bed_end();
}

TEST(an_address_without_a_peer_id_and_our_own)
{
    struct connector_status st;
    bed_make();
    struct node *a = &b.nodes[0], *c = &b.nodes[1];
    uint8_t buf[64];
    struct writer w = writer_of(buf, sizeof(buf));
    check(host_address(c->host, 0, &w), "an address");
    add(a, bytes_of(buf, writer_used(&w)), CONTACT_CONFIGURED);
    wait_peers(1, 1, "whoever answers");
    w = writer_of(buf, sizeof(buf));
    check(host_address(a->host, 0, &w), "our own address");
    add(a, bytes_of(buf, writer_used(&w)), CONTACT_BOOTNODE);
    for (int i = 0; i < 400; i++) {
        connector_status(a->connector, &st);
        if (st.failing == 1 && st.calling == 0)
            break;
        pass(5);
    }
    check(st.failing == 1 && topology_count(a->topology) == 1, "is nobody to talk to");
    bed_end();
}

/* Peers whose hand was shaken, as far as the topology knows. */
static void peers_add(struct node *n, uint8_t count)
{
    for (uint8_t i = 0; i < count; i++) {
        struct swarm_node other;
        struct swarm_peer *p = NULL;
        swarm_node_make(&other, (uint8_t)(200 + i));
        const struct topology_arrival arrival = { .id = &other.id,
                                                  .overlay = other.swarm.overlay,
                                                  .full_node = true };
        check(!topology_admit(n->topology, &arrival, &p, NULL) && p, "admitted");
        topology_ready(n->topology, p);
    }
}

TEST(neighbours_we_have_heard_of_are_called)
{
    struct connector_status st;
    bed_make();
    struct node *a = &b.nodes[0], *c = &b.nodes[1];
    struct overlay_record rec;
    uint8_t sig[SIG_BYTES];
    unsigned proximity = overlay_proximity(a->keys.swarm.overlay, c->keys.swarm.overlay);
    own_record_fill(&c->record, bytes_of(NULL, 0), sig, &rec);
    a->radius = (uint8_t)(proximity + 1);
    peers_add(a, LIMIT_SWARM_PEERS_FEW);
    check(known_learn(a->known, &rec) == KNOWN_KEPT, "heard of");
    connector_look(a->connector);
    pass(50);
    connector_status(a->connector, &st);
    check(st.contacts == 0 && topology_find(a->topology, &c->secret.id) == NULL,
          "one outside of our neighbourhood is let be");
    a->radius = (uint8_t)proximity;
    connector_look(a->connector);
    wait_peers(1 + LIMIT_SWARM_PEERS_FEW, 1, "a neighbour is called");
    bed_end();
}

/* a is told of so many, and calls whom it wants of them. */
static void hears_of(struct node *a, uint8_t count)
{
    for (uint8_t i = 0; i < count; i++) {
        struct swarm_node n;
        struct overlay_record rec;
        uint8_t sig[SIG_BYTES];
        swarm_node_make(&n, (uint8_t)(100 + i));
        n.underlay[7] = 9; /* where nobody listens */
        n.underlay[6] = 0;
        swarm_node_record(&n, BED_WALL_S, sig, &rec);
        check(known_learn(a->known, &rec) == KNOWN_KEPT, "heard of");
    }
    connector_look(a->connector);
    pass(20);
}

TEST(while_there_are_few_peers_others_are_called)
{
    struct connector_status st;
    bed_make();
    struct node *a = &b.nodes[0], *c = &b.nodes[1];
    struct overlay_record rec;
    uint8_t sig[SIG_BYTES];
    own_record_fill(&c->record, bytes_of(NULL, 0), sig, &rec);
    a->radius = OVERLAY_BIN_MAX;
    check(known_learn(a->known, &rec) == KNOWN_KEPT, "heard of");
    connector_look(a->connector);
    wait_peers(1, 1, "it is called, and may tell of others");
    hears_of(a, 2 * LIMIT_SWARM_STRANGERS);
    connector_status(a->connector, &st);
    check(st.contacts == LIMIT_SWARM_STRANGERS, "not all of them at once");
    peers_add(a, LIMIT_SWARM_PEERS_FEW);
    for (int i = 0; i < WAIT_MS / 5 && st.contacts > 0; i++) {
        pass(5);
        connector_look(a->connector);
        connector_status(a->connector, &st);
    }
    check(st.contacts == 0, "and none when there are peers enough");
    bed_end();
}

TEST(a_handshake_that_fails_ends_the_connection_and_is_tried_later)
{
    struct connector_status st;
    bed_make();
    struct node *a = &b.nodes[0], *c = &b.nodes[1];
    c->keys.swarm.network_id = 1; /* it is of another network, and signs so */
    add(a, address_of(c), CONTACT_CONFIGURED);
    for (int i = 0; i < 800; i++) {
        connector_status(a->connector, &st);
        if (st.failing == 1 && !host_connected(a->host, &c->secret.id))
            break;
        pass(5);
    }
    check(st.failing == 1 && st.calling == 0, "it waits for its next turn");
    check(!host_connected(a->host, &c->secret.id), "nobody stays connected");
    check(topology_count(a->topology) == 0 && topology_count(c->topology) == 0, "nor counts");
    bed_end();
}

TEST(a_new_configuration_drops_contacts)
{
    struct connector_status st;
    bed_make();
    struct node *a = &b.nodes[0];
    uint8_t other[] = { 4, 127, 0, 0, 1, 6, 0, 9 };
    uint8_t third[] = { 4, 127, 0, 0, 1, 6, 0, 10 };
    add(a, bytes_of(other, sizeof(other)), CONTACT_CONFIGURED);
    add(a, bytes_of(third, sizeof(third)), CONTACT_CONFIGURED);
    connector_reload_begin(a->connector);
    add(a, bytes_of(third, sizeof(third)), CONTACT_CONFIGURED);
    connector_reload_end(a->connector);
    pass(50);
    connector_status(a->connector, &st);
    check(st.contacts == 1, "one is left");
    connector_reload_begin(a->connector);
    connector_reload_end(a->connector);
    for (int i = 0; i < 400 && st.contacts > 0; i++) {
        pass(5);
        connector_status(a->connector, &st);
    }
    check(st.contacts == 0, "none, even while it was being called");
    bed_end();
}

TEST(who_is_cut_off_forgets_nobody)
{
    struct connector_status st;
    bed_make();
    struct node *a = &b.nodes[0], *c = &b.nodes[1];
    a->radius = OVERLAY_BIN_MAX;
    hears_of(a, LIMIT_SWARM_STRANGERS);
    turn(30 * 60 * 1000);
    connector_status(a->connector, &st);
    check(known_count(a->known) == LIMIT_SWARM_STRANGERS && st.contacts == LIMIT_SWARM_STRANGERS,
          "nobody answers, and all are kept");
    struct overlay_record rec;
    uint8_t sig[SIG_BYTES];
    own_record_fill(&c->record, bytes_of(NULL, 0), sig, &rec);
    check(known_learn(a->known, &rec) == KNOWN_KEPT, "heard of, behind them");
    for (int i = 0; i < 12 && topology_count(a->topology) == 0; i++)
        turn(10 * 60 * 1000);
    check(topology_count(a->topology) == 1, "it has its turn");
    for (int i = 0; i < 12 && known_count(a->known) > 1; i++)
        turn(10 * 60 * 1000);
    check(known_count(a->known) == 1, "now those who do not answer are forgotten");
    bed_end();
}

TEST(contacts_and_neighbours_are_bounded)
{
    struct connector_status st;
    struct error err = { ERR_OK, "" };
    bed_make();
    struct node *a = &b.nodes[0];
    uint8_t address[] = { 4, 127, 0, 0, 1, 6, 0, 0 };
    enum err rc = ERR_OK;
    for (uint32_t i = 0; i <= LIMIT_SWARM_CONTACTS && !rc; i++) {
        be16_encode(address + 6, (uint16_t)(i + 1));
        rc = connector_add(a->connector, bytes_of(address, sizeof(address)), CONTACT_CONFIGURED,
                           &err);
    }
    connector_status(a->connector, &st);
    check(rc == ERR_LIMIT && st.contacts == LIMIT_SWARM_CONTACTS, err.text);
    connector_reload_begin(a->connector);
    connector_reload_end(a->connector); /* none was called yet */
    hears_of(a, LIMIT_SWARM_NEIGHBOURS + 1);
    connector_status(a->connector, &st);
    check(st.contacts == LIMIT_SWARM_NEIGHBOURS, "as many neighbours as are allowed");
    bed_end();
}
