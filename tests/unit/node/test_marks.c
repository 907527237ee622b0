/* A whole node whose memory is what the test says: over the target, over the trigger and back. The
 * world around it is a thread with sockets of its own; what is inside is looked at on the loop. */
#include "node_bed.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "core/governor.h"
#include "net/http_server.h"
#include "net/stream_mem.h"
#include "node/admin.h"
#include "node/node_state.h"
#include "node/node_stores.h"
#include "node/p2p.h"
#include "node/reprovide.h"
#include "node/scrape.h"
#include "node/status.h"
#include "node/swarm.h"
#include "node/swarm_net.h"
#include "node/swarm_net_state.h"
#include "node/swarm_pull.h"
#include "store/hascache_segment.h"
#include "store/reserve_state.h"
#include "swarm/puller.h"
#include "swarm/pullsync_wire.h"

enum { CHUNKS = 2, WAIT_MS = 60000, QUIET_MS = 60 };

static struct node_bed bed;
static struct node_hold filling;
static _Atomic uint64_t held_bytes;
static const char *_Atomic failed; /* the first thing that did not hold; the thread ends there */

static void process_memory(void *ctx UNUSED, struct process_memory *out)
{
    *out = (struct process_memory){ .anon_bytes = held_bytes };
}

/* ---- on the loop, for the thread ---- */

static uint64_t (*_Atomic asked)(void);
static uint64_t answer;
static sem_t answered;

/* The governor's own period is a quarter of a second: the test has less time. */
static void on_tick(struct timer *t)
{
    governor_look(bed.node->env.governor);
    uint64_t (*fn)(void) = atomic_exchange(&asked, NULL);
    if (fn) {
        answer = fn();
        sem_post(&answered);
    }
    timer_set(t, 1);
}

static uint64_t on_loop(uint64_t (*fn)(void))
{
    struct timespec most;
    clock_gettime(CLOCK_REALTIME, &most);
    most.tv_sec += WAIT_MS / 1000;
    atomic_store(&asked, fn);
    if (sem_timedwait(&answered, &most) == 0)
        return answer;
    failed = "the loop does not answer";
    return 0;
}

static uint64_t is_running(void)
{
    return node_phase(bed.node) == NODE_RUNNING;
}
static uint64_t level(void)
{
    return governor_level(bed.node->env.governor);
}
static uint64_t calls_failed(void)
{
    struct puller_status s;
    puller_status(node_puller(bed.node), &s);
    return s.failed;
}
static uint64_t cache(void)
{
    struct reserve_status s;
    reserve_status(node_reserve(bed.node), &s);
    return s.cache;
}
static uint64_t cache_look(void)
{
    reserve_radius_timer(&node_reserve(bed.node)->capacity.timer);
    return 0;
}

/* Two chunks: one before the peers' server is there, one when the has-cache has no room. They are
 * in two bins: for a page of a bin to which something came a moment ago more is waited for. */
static uint8_t chunks[CHUNKS][BMT_SPAN_BYTES + 1], stamps[CHUNKS][STAMP_BYTES];
static struct reserve_item items[CHUNKS];
static struct reserve_put writes[CHUNKS];
static uint8_t bin_of_first;

static void on_put(struct reserve_put *req, const struct error *err)
{
    if (err)
        failed = "a chunk is not stored";
    if (req == &writes[0])
        node_release(bed.node, &filling, NULL);
}
static void put(uint32_t i)
{
    const uint8_t *overlay = node_swarm_identity(bed.node)->overlay;
    struct stamp stamp = { .position = i, .timestamp = 1 };
    chunks[i][0] = 1;
    stamp_encode(&stamp, stamps[i]);
    items[i].data = bytes_of(chunks[i], sizeof(chunks[i]));
    items[i].stamp = stamps[i];
    do {
        chunks[i][BMT_SPAN_BYTES]++;
        err_ignore(chunk_content_address(items[i].id.address, items[i].data, NULL));
    } while (i > 0 && overlay_proximity(overlay, items[i].id.address) == bin_of_first);
    stamp_hash(items[i].id.stamp_hash, stamps[i]);
    writes[i] = (struct reserve_put){ .items = &items[i], .count = 1, .cb = on_put };
    reserve_put(node_reserve(bed.node), &writes[i]);
}
static uint64_t put_without_room(void)
{
    struct hascache *h = node_reserve(bed.node)->cache;
    for (uint32_t i = 0; i < h->segment_count; i++)
        h->segments[i].limit = 0; /* a page is needed for one more */
    put(1);
    return 0;
}

/* A peer that shook hands. It is not connected, so that a session with it fails at once. */
static struct peer_id peers[2] = { { 1, { 1 } }, { 1, { 2 } } };
static void peer_come(uint8_t i)
{
    uint8_t overlay[OVERLAY_BYTES];
    struct swarm_peer *p = NULL;
    memcpy(overlay, node_swarm_identity(bed.node)->overlay, sizeof(overlay));
    overlay[31] ^= (uint8_t)(1 + i);
    const struct topology_arrival a = { .id = &peers[i], .overlay = overlay, .full_node = true };
    if (topology_admit(node_topology(bed.node), &a, &p, NULL) || !p)
        failed = "the peer is not admitted";
    else
        topology_ready(node_topology(bed.node), p);
}
static uint64_t first_peer(void)
{
    peer_come(0);
    return 0;
}
static uint64_t second_peer(void)
{
    peer_come(1);
    return 0;
}

/* What it asks for: the page with the first chunk. */
static struct asker {
    uint8_t out[64];
    size_t size, sent, got;
    bool closed;
    struct stream *s;
} askers[2];

static size_t asker_data(struct stream *s UNUSED, void *user, const uint8_t *b UNUSED, size_t size)
{
    ((struct asker *)user)->got += size;
    return size;
}
static size_t asker_writable(struct stream *s UNUSED, void *user, uint8_t *buf, size_t room)
{
    struct asker *a = user;
    size_t n = MIN(room, a->size - a->sent);
    memcpy(buf, a->out + a->sent, n);
    a->sent += n;
    return n;
}
static void asker_close(struct stream *s UNUSED, void *user, const struct error *err UNUSED,
                        uint32_t code UNUSED)
{
    ((struct asker *)user)->closed = true;
}
static const struct stream_ops asker_ops = { NULL, asker_data, asker_writable, asker_close };
static const struct protocol asker_protocol = { .name = "asker", .ops = &asker_ops };

static void page_ask(struct asker *a)
{
    uint8_t message[PULLSYNC_GET_BYTES_MAX];
    struct writer m = writer_of(message, sizeof(message)), w = writer_of(a->out, sizeof(a->out));
    pullsync_get_encode(&m, &(struct pullsync_get){ bin_of_first, 1 });
    writer_put(&w, "\0", 2); /* headers, and the size of the request */
    a->out[1] = (uint8_t)writer_used(&m);
    writer_put(&w, message, writer_used(&m));
    a->size = writer_used(&w);
    const struct stream_mem_options o = { .loop = bed.node->env.loop,
                                          .mem = node_owner(bed.node, "p2p"),
                                          .protocol = &asker_protocol,
                                          .dialer_user = a,
                                          .dialer = peers[0],
                                          .listener = peers[1],
                                          .listener_protocol =
                                              pullsync_server_pages(bed.node->swarm_net->server) };
    a->s = stream_mem_open(&o);
    stream_want_write(a->s);
}
static uint64_t first_page(void)
{
    page_ask(&askers[0]);
    return 0;
}
static uint64_t first_page_is_gone(void)
{
    struct pullsync_server_status s;
    if (!askers[0].closed)
        stream_reset(askers[0].s, 0);
    pullsync_server_status(bed.node->swarm_net->server, &s);
    return s.pages == 0;
}
static uint64_t second_page(void)
{
    page_ask(&askers[1]);
    return 0;
}
static uint64_t first_got(void)
{
    return askers[0].got;
}
static uint64_t second_got(void)
{
    return askers[1].closed ? UINT64_MAX : askers[1].got;
}

/* ---- the thread ---- */

enum { OFFER_BYTES = 96 }; /* more than headers: one chunk is offered */

static void pause_ms(unsigned ms)
{
    usleep(ms * 1000);
}
static bool until(uint64_t (*fn)(void), uint64_t least)
{
    for (int i = 0; i < WAIT_MS && !failed; i++) {
        if (on_loop(fn) >= least)
            return true;
        pause_ms(1);
    }
    return false;
}
static bool note(bool ok, const char *why)
{
    if (!ok && !failed)
        failed = why;
    return !failed;
}

static int call(uint16_t port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct timeval most = { .tv_sec = WAIT_MS / 1000 };
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
        note(false, "it does not listen");
    return fd;
}

static uint16_t p2p_port, http_port;
static uint64_t ports(void)
{
    uint8_t buf[64];
    struct writer w = writer_of(buf, sizeof(buf));
    struct multiaddr_target t;
    if (host_address(p2p_host(bed.node), 0, &w) &&
        multiaddr_target(bytes_of(buf, writer_used(&w)), &t))
        p2p_port = t.port;
    return 0;
}

static void http_port_read(void)
{
    char path[400], text[4096] = "", *at = NULL;
    snprintf(path, sizeof(path), "%s/node/node.json", unit_temp_dir());
    FILE *f = fopen(path, "r");
    if (f && fread(text, 1, sizeof(text) - 1, f) > 0)
        at = strstr(text, "127.0.0.1:");
    if (f)
        fclose(f);
    if (note(at != NULL, "node.json says where HTTP is"))
        http_port = (uint16_t)strtoul(at + strlen("127.0.0.1:"), NULL, 10);
}

/* Does somebody answer who calls? *fd stays open. */
static bool is_let_in(int *fd)
{
    static const char hello[] = "\x13/multistream/1.0.0\n";
    char reply[64];
    *fd = call(p2p_port);
    (void)!send(*fd, hello, sizeof(hello) - 1, MSG_NOSIGNAL);
    return recv(*fd, reply, sizeof(reply), 0) > 0;
}
static bool caller(bool let_in)
{
    int fd;
    bool is = is_let_in(&fd);
    close(fd);
    return is == let_in;
}

static bool read_all(int fd, char *buf, size_t size)
{
    size_t used = 0;
    for (ssize_t n; used + 1 < size && (n = recv(fd, buf + used, size - 1 - used, 0)) > 0;)
        used += (size_t)n;
    buf[used] = '\0';
    close(fd);
    return used > 0;
}

static bool http_says(const char *path, const char *text)
{
    static char page[512 * 1024];
    int fd = call(http_port);
    dprintf(fd, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    return read_all(fd, page, sizeof(page)) && strstr(page, " 200 OK") && strstr(page, text);
}

/* The words of a command, each with its end, and what it answers. */
static bool says(const char *words, size_t size, const char *text)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    char head[ADMIN_HEADER_BYTES] = { ADMIN_REQUEST, 0, 0, 0, (char)size }, reply[4096];
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/node/" ADMIN_SOCKET, unit_temp_dir());
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
        return note(false, "no control socket");
    (void)!send(fd, head, sizeof(head), MSG_NOSIGNAL);
    (void)!send(fd, words, size, MSG_NOSIGNAL);
    size_t used = 0;
    for (ssize_t n;
         used < sizeof(reply) && (n = recv(fd, reply + used, sizeof(reply) - used, 0)) > 0;)
        used += (size_t)n;
    close(fd);
    return memmem(reply, used, text, strlen(text)) != NULL;
}

static bool upload_says(const char *text)
{
    static const char words[] = "reserve\0upload\0/nowhere\0" /* no batch */ "ab\0/nowhere";
    return says(words, sizeof(words), text);
}
static bool import_says(const char *text)
{
    static const char words[] = "keys\0import\0/nowhere";
    return says(words, sizeof(words), text);
}

static bool go_to(enum governor_level to)
{
    const struct mem_plan *plan = node_plan(bed.node);
    const uint64_t quarter = plan->slack_bytes / 4;
    held_bytes =
        to == GOVERNOR_NORMAL ? 0 : plan->setting_bytes - (to == GOVERNOR_TARGET ? 2 : 1) * quarter;
    for (int i = 0; i < WAIT_MS && on_loop(level) != to; i++)
        pause_ms(1);
    return note(on_loop(level) == to, "the governor does not see it");
}

static void below(int *stays)
{
    note(is_let_in(stays), "who calls is let in");
    note(http_says("/metrics", "\nlarder_memory_level 0\n"), "the level is a metric");
    note(upload_says("64 hex digits") && import_says("No such file"), "commands are looked at");
    on_loop(first_peer);
    note(until(calls_failed, 1), "a peer is asked for its cursors");
    on_loop(first_page);
    note(until(first_got, OFFER_BYTES), "a peer is served a page");
    note(until(first_page_is_gone, 1), "which others would share");
    note(on_loop(cache) == HASCACHE_COMPLETE, "the has-cache is whole");
}

static void at_target(void)
{
    note(caller(true), "who calls is let in, too");
    note(http_says("/metrics", "\nlarder_memory_level 1\n"), "that is shown");
    note(upload_says("64 hex digits") && import_says("No such file"), "and looked at");
    on_loop(put_without_room);
    note(until(cache, HASCACHE_PARTIAL), "the has-cache does not grow");
}

static void at_trigger(int stays)
{
    char byte[64];
    uint64_t before = on_loop(calls_failed);
    note(caller(false), "who calls now is sent away");
    note(http_says("/metrics", "\nlarder_memory_level 2\n"), "that is shown");
    note(http_says("/metrics", "larder_p2p_refused_total{p2p_refused=\"mark\"} 1\n"),
         "and counted");
    note(http_says("/healthz", "ok"), "it is alive");
    note(http_says("/readyz", "\r\n\r\n"), "and ready");
    note(http_says("/api/v1/status", "\"level\": 2"), "and says how it is");
    note(upload_says("new work waits"), "an upload is refused, with the reason");
    note(import_says("new work waits"), "and an import of keys");
    on_loop(second_peer);
    on_loop(second_page);
    pause_ms(QUIET_MS);
    note(on_loop(calls_failed) == before, "no session with a peer is begun");
    note(on_loop(second_got) < OFFER_BYTES, "no page is served, and nobody sent away");
    note(recv(stays, byte, sizeof(byte), MSG_DONTWAIT) < 0 && errno == EAGAIN, "who is here stays");
}

static void afterwards(uint64_t failed_before)
{
    note(until(second_got, OFFER_BYTES) && on_loop(second_got) < UINT64_MAX, "the page comes");
    note(until(calls_failed, failed_before + 1), "the second peer is asked");
    note(caller(true) && upload_says("64 hex digits"), "new work is let in");
    note(on_loop(cache) == HASCACHE_PARTIAL, "the has-cache waits a while");
    on_loop(cache_look);
    for (int i = 0; i < WAIT_MS && on_loop(cache) != HASCACHE_COMPLETE; i++)
        pause_ms(1);
    note(on_loop(cache) == HASCACHE_COMPLETE, "and is made whole");
}

static void *world(void *ctx UNUSED)
{
    int stays = -1;
    note(until(is_running, 1), "it runs");
    on_loop(ports);
    http_port_read();
    if (!failed)
        below(&stays);
    if (!failed && go_to(GOVERNOR_TARGET))
        at_target();
    uint64_t before = on_loop(calls_failed);
    if (!failed && go_to(GOVERNOR_TRIGGER))
        at_trigger(stays);
    if (!failed && go_to(GOVERNOR_NORMAL))
        afterwards(before);
    close(stays);
    kill(getpid(), SIGTERM);
    return NULL;
}

/* ---- the node ---- */

static enum err first_start(struct node *n, struct error *err UNUSED)
{
    node_hold(n, &filling, "filling the reserve");
    put(0);
    bin_of_first = overlay_proximity(node_swarm_identity(n)->overlay, items[0].id.address);
    return ERR_OK;
}

static enum err last_start(struct node *n, struct error *err UNUSED)
{
    timer_init(&bed.timer, n->env.loop, on_tick, "the test");
    timer_set(&bed.timer, 1);
    return ERR_OK;
}

static void last_stop(struct node *n UNUSED)
{
    timer_set(&bed.timer, 0);
}

static const struct node_part parts[] = {
    { "status", status_part_start, NULL, NULL, NULL, status_part_stop },
    { "http", scrape_part_start, NULL, NULL, NULL, scrape_part_stop },
    { "stores", stores_part_start, NULL, NULL, NULL, stores_part_stop },
    { "swarm", swarm_part_start, NULL, swarm_part_drain, NULL, swarm_part_stop },
    { "first", first_start, NULL, NULL, NULL, NULL },
    { "memory", swarm_net_memory_start, NULL, NULL, NULL, swarm_net_memory_stop },
    { "libp2p", p2p_part_start, NULL, p2p_part_drain, p2p_part_cancel, p2p_part_stop },
    { "peers", swarm_net_part_start, NULL, swarm_net_part_drain, NULL, swarm_net_part_stop },
    { "pulling", swarm_pull_part_start, NULL, swarm_pull_part_drain, NULL, swarm_pull_part_stop },
    { "reprovide", reprovide_part_start, NULL, reprovide_part_drain, NULL, reprovide_part_stop },
    { "control", admin_part_start, NULL, admin_part_drain, admin_part_cancel, admin_part_stop },
    { "last", last_start, NULL, NULL, NULL, last_stop },
};

TEST(over_both_marks_and_back)
{
    static const char *const options[] = { "--swarm",
                                           "--p2p-addr=/ip4/127.0.0.1/tcp/0",
                                           "--http-addr=127.0.0.1:0",
                                           "--memory=256MiB",
                                           "--full-node",
                                           "--reprovide",
                                           NULL };
    struct error err = { ERR_OK, "" };
    pthread_t thread;
    node_bed_config(&bed, "node", options);
    bed.options.parts = parts;
    bed.options.parts_count = ARRAY_SIZE(parts);
    bed.options.process_memory = process_memory;
    check(!node_bed_make(&bed, &err), err.text);
    sem_init(&answered, 0, 0);
    check(!pthread_create(&thread, NULL, world, NULL), "a thread");
    enum err rc = node_run(bed.node, &err);
    pthread_join(thread, NULL);
    node_destroy(bed.node);
    check(!failed, failed);
    check(!rc, err.text);
}
