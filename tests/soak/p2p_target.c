#include "p2p_target.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/host_state.h"

/* As in owners.def, but for those that are not there. */
static const struct mem_row rows[] = {
    { "p2p", "refused", MEM_ELASTIC, 2 * MiB, 8, 12, true },
};

enum {
    CONNECTIONS_MAX = LIMIT_P2P_CONNECTIONS + 16, /* room for honest ones beside 512 that are not */
    WATCH_MS = 5,
    CALM_MS = 1000,
    HELD_BYTES = 4096,
    CONNECTION_BYTES = 5 * KiB, /* the object, its contexts, its place in the allocator's classes */
    STREAM_BYTES = 1 * KiB,     /* with what negotiates */
    HALF_OPEN_BYTES = 10 * KiB,
    FIXED_BYTES = 512 * KiB, /* the host, its read buffer, listeners, protocols' own state */
};

static struct target {
    struct target_report *report;
    struct loop *loop;
    struct mem_plan *plan;
    struct mem_owner *mem;
    struct peer_secret identity;
    struct host *host;
    struct timer watch;
    bool closing;
} target;

struct held {
    bool fin;
    size_t size;
    uint8_t bytes[HELD_BYTES];
};

static enum err echo_open(struct stream *s UNUSED, void *ctx UNUSED, void **user)
{
    *user = mem_try_zalloc(target.mem, sizeof(struct held));
    return *user ? ERR_OK : ERR_BUDGET;
}

static size_t echo_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct held *h = user;
    size_t n = MIN(size, sizeof(h->bytes) - h->size);
    memcpy(h->bytes + h->size, bytes, n);
    h->size += n;
    h->fin = h->fin || size == 0;
    if (h->fin && h->size == 0)
        stream_finish(s);
    else
        stream_want_write(s);
    return n;
}

static size_t echo_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct held *h = user;
    size_t n = MIN(room, h->size);
    memcpy(buf, h->bytes, n);
    memmove(h->bytes, h->bytes + n, h->size - n);
    h->size -= n;
    stream_resume(s);
    if (h->fin && h->size == 0)
        stream_finish(s);
    return n;
}

static void echo_close(struct stream *s UNUSED, void *user, const struct error *err UNUSED,
                       uint32_t code UNUSED)
{
    mem_free(target.mem, user);
}

static size_t parked_data(struct stream *s, void *user UNUSED, const uint8_t *bytes UNUSED,
                          size_t size)
{
    if (size == 0)
        stream_finish(s);
    return 0;
}

static size_t endless_data(struct stream *s, void *user UNUSED, const uint8_t *bytes UNUSED,
                           size_t size)
{
    stream_want_write(s);
    return size;
}

static size_t endless_writable(struct stream *s UNUSED, void *user UNUSED, uint8_t *buf,
                               size_t room)
{
    memset(buf, 0x55, room);
    return room;
}

static const struct stream_ops echo_ops = { echo_open, echo_data, echo_writable, echo_close };
static const struct stream_ops parked_ops = { NULL, parked_data, NULL, NULL };
static const struct stream_ops endless_ops = { NULL, endless_data, endless_writable, NULL };
static const struct protocol served[] = {
    { .name = ECHO_NAME, .ops = &echo_ops },
    { .name = PARKED_NAME, .ops = &parked_ops },
    { .name = ENDLESS_NAME, .ops = &endless_ops },
};

static uint64_t status_bytes(const char *key)
{
    FILE *f = fopen("/proc/self/status", "r");
    size_t len = strlen(key);
    char line[256];
    uint64_t kib = 0;
    while (f && fgets(line, sizeof(line), f))
        if (!strncmp(line, key, len) && line[len] == ':')
            kib = strtoull(line + len + 1, NULL, 10);
    if (f)
        fclose(f);
    return kib * KiB;
}

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t formula(uint64_t connections, uint64_t streams, uint64_t half_open,
                        uint64_t buffers)
{
    return FIXED_BYTES + connections * CONNECTION_BYTES + streams * STREAM_BYTES +
           half_open * HALF_OPEN_BYTES + buffers;
}

static void look(struct target_report *r)
{
    const struct host *h = target.host;
    const struct host_options *o = &h->options;
    /* Those that are over are held until their handlers have heard, a turn later. */
    uint64_t held = h->streams_in + h->streams_ending, streams = held + 2 * h->conns_count;
    /* A queue is filled in pieces of 4 KiB, so each stream may have half of one more. */
    uint64_t now = formula(h->handles, streams, h->half_open,
                           h->queued_bytes + held * 4 * KiB + h->rx_pool_used + h->tx_pool_used);
    r->used_bytes = target.mem->used_bytes;
    r->peak_bytes = target.mem->peak_bytes;
    r->formula_bytes = formula(
        CONNECTIONS_MAX, LIMIT_P2P_STREAMS_IN + (LIMIT_P2P_STREAMS_SURE + 2) * CONNECTIONS_MAX,
        LIMIT_P2P_HALF_OPEN, o->rx_bytes_max + o->rx_pool_bytes + o->tx_pool_bytes);
    r->now_bytes = now;
    if (r->used_bytes > now)
        r->now_worst_bytes = MAX(r->now_worst_bytes, r->used_bytes - now);
    r->rx_max_bytes = o->rx_bytes_max;
    r->queued_peak_bytes = MAX(r->queued_peak_bytes, h->queued_bytes);
    r->rx_pool_peak_bytes = MAX(r->rx_pool_peak_bytes, h->rx_pool_used);
    r->tx_pool_peak_bytes = MAX(r->tx_pool_peak_bytes, h->tx_pool_used);
    r->connections = h->conns_count;
    r->connections_peak = MAX(r->connections_peak, h->conns_count);
    r->streams_peak = MAX(r->streams_peak, h->streams_in);
    r->half_open = h->half_open;
    r->half_open_peak = MAX(r->half_open_peak, h->half_open);
    r->cpu_ns = cpu_ns();
}

static void on_closed(void *ctx UNUSED)
{
    loop_stop(target.loop);
}

static void on_watch(struct timer *t)
{
    struct target_report *r = target.report;
    static unsigned turns;
    look(r);
    if (turns++ % 20 == 0) {
        r->resident_bytes = status_bytes("RssAnon");
        r->resident_peak_bytes = MAX(r->resident_peak_bytes, r->resident_bytes);
    }
    __atomic_store_n(&r->listening, true, __ATOMIC_RELEASE);
    if (r->stop && !target.closing) {
        target.closing = true;
        host_close(target.host, 500, on_closed, NULL);
    }
    timer_set(t, r->calm ? CALM_MS : WATCH_MS);
}

static enum err target_open(struct target_report *r, const char *where, struct error *err)
{
    uint8_t buf[128], seed[32];
    char text[256];
    struct writer w = writer_of(buf, sizeof(buf));
    enum err rc = loop_create(&target.loop, err);
    rc = rc ? rc : mem_plan_create(&target.plan, r->setting_bytes, rows, ARRAY_SIZE(rows), err);
    if (rc)
        return rc;
    target.mem = mem_plan_find(target.plan, "p2p");
    r->share_bytes = target.mem->share_bytes;
    secret_random(seed, sizeof(seed));
    peer_secret_from_seed(seed, &target.identity);
    const struct host_options o = { .loop = target.loop,
                                    .mem = target.mem,
                                    .identity = &target.identity,
                                    .agent = "larder/soak",
                                    .allow_private = true,
                                    .connections_max = CONNECTIONS_MAX };
    rc = host_create(&target.host, &o, err);
    for (size_t i = 0; i < ARRAY_SIZE(served) && !rc; i++)
        rc = host_register(target.host, &served[i], err);
    snprintf(text, sizeof(text), "%s/tcp/0", where);
    rc = rc ? rc : multiaddr_from_text(text, strlen(text), &w, err);
    rc = rc ? rc : host_listen(target.host, bytes_of(buf, writer_used(&w)), err);
    if (rc)
        return rc;
    w = writer_of(buf, sizeof(buf));
    host_address(target.host, 0, &w);
    multiaddr_put_peer(&w, host_id(target.host));
    return multiaddr_to_text(bytes_of(buf, writer_used(&w)), r->address, sizeof(r->address), err);
}

static int target_main(struct target_report *r, const char *where)
{
    struct error err = { ERR_OK, "" };
    target.report = r;
    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    if (target_open(r, where, &err)) {
        fprintf(stderr, "target: %s\n", err.text);
        return 3;
    }
    timer_init(&target.watch, target.loop, on_watch, "watch");
    timer_set(&target.watch, WATCH_MS);
    loop_run(target.loop);
    timer_set(&target.watch, 0);
    host_destroy(target.host);
    uint64_t left = target.mem->used_bytes;
    if (left > 0)
        fprintf(stderr, "target: %" PRIu64 " bytes are left at the end\n", left);
    else
        mem_plan_destroy(target.plan);
    return left > 0;
}

pid_t target_start(struct target_report *r, uint64_t memory_bytes, const char *where)
{
    *r = (struct target_report){ .setting_bytes = memory_bytes };
    pid_t pid = fork();
    if (pid == 0)
        _exit(target_main(r, where));
    while (!__atomic_load_n(&r->listening, __ATOMIC_ACQUIRE) && waitpid(pid, NULL, WNOHANG) == 0)
        usleep(1000);
    return r->listening ? pid : 0;
}

bool target_end(struct target_report *r, pid_t pid)
{
    int status = 0;
    r->stop = true;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

struct target_report *target_report_new(void)
{
    void *p = mmap(NULL, sizeof(struct target_report), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        exit(3);
    return p;
}
