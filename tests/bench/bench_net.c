/* tests/bench/bench_net.c: the libp2p host beside go-libp2p and rust-libp2p on loopback. Each side
 * is a process; what stands side by side is measured in turn, in ROUNDS rounds, and the medians are
 * compared, so that another user of the machine is a nuisance to all of them. */
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/noise.h"
#include "net_side.h"

enum {
    LINE_BYTES = 512,
    ROUNDS = 3,
    PEERS = 2,
    LANES_MAX = 1 + 3 * PEERS,
    CONNECTIONS = 1000,
    SCALE_WHOLE = 200000,    /* the bench's own number of entries */
    DESCRIPTORS_BESIDE = 64, /* of a side, beside its connections: pipes, epoll, listeners */
};

static const char *where; /* "/ip4/127.0.0.1" or "/ip6/::1" */

/* The other libraries: `make bench` builds what the machine has a compiler for. */
static struct peer {
    char kind;
    const char *name, *pair, *program;
    char there[600]; /* its path; "": not built */
} peers[PEERS] = {
    { 'g', "go", "go <-> go", "interop/go-bench", "" },
    { 'r', "rust", "rust <-> rust", "interop/rust-bench", "" },
};

struct process {
    const struct bench *bench;
    pid_t pid;
    FILE *to, *from;
    char address[LINE_BYTES];
};

static bool peer_there(const struct peer *peer)
{
    return peer->there[0] != '\0';
}

/* Which of them are built. */
static void peers_find(const struct bench *bench)
{
    for (size_t i = 0; i < PEERS; i++)
        if (!bench_program(bench, peers[i].program, peers[i].there, sizeof(peers[i].there)))
            peers[i].there[0] = '\0';
}

static void read_line(struct process *p, char *line)
{
    if (!fgets(line, LINE_BYTES, p->from) || !strncmp(line, "failed", 6))
        bench_fail(p->bench, "a side of the bench says: %s", line);
    line[strcspn(line, "\n")] = '\0';
}

/* kind: 'l' or one of peers. */
static struct process process_start(const struct bench *bench, char kind)
{
    struct process p = { .bench = bench };
    int in[2], out[2];
    const char *program = "";
    if (pipe(in) || pipe(out))
        bench_fail(bench, "no pipe");
    for (size_t i = 0; i < PEERS; i++)
        if (peers[i].kind == kind)
            program = peers[i].there;
    p.pid = fork();
    if (p.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        for (int fd = 3; fd < 64; fd++)
            close(fd); /* pipes of other sides: their end is how a side is ended */
        if (kind == 'l')
            _exit(net_side_main(where));
        execl(program, program, where, NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    p.to = fdopen(in[1], "w");
    p.from = fdopen(out[0], "r");
    read_line(&p, p.address);
    return p;
}

static void process_end(struct process *p)
{
    fclose(p->to);
    fclose(p->from);
    waitpid(p->pid, NULL, 0);
}

struct usage {
    uint64_t cpu_ns, bytes;
};

static struct usage usage_of(struct process *p)
{
    char line[LINE_BYTES];
    struct usage u = { 0, 0 };
    fprintf(p->to, "usage\n");
    fflush(p->to);
    read_line(p, line);
    sscanf(line, "%" SCNu64 " %" SCNu64, &u.cpu_ns, &u.bytes);
    return u;
}

struct cost {
    double wall_s, dialer_cpu_s, listener_cpu_s;
};

static struct cost run_order(struct process *dialer, struct process *listener, const char *order,
                             uint64_t n)
{
    char line[LINE_BYTES];
    uint64_t wall = 0, cpu = 0, before = usage_of(listener).cpu_ns;
    fprintf(dialer->to, "%s %s %" PRIu64 "\n", order, listener->address, n);
    fflush(dialer->to);
    read_line(dialer, line);
    sscanf(line, "%" SCNu64 " %" SCNu64, &wall, &cpu);
    uint64_t after = usage_of(listener).cpu_ns;
    return (struct cost){ (double)wall / 1e9, (double)cpu / 1e9, (double)(after - before) / 1e9 };
}

/* One order between two kinds of sides, in fresh processes. */
static struct cost measure(const struct bench *bench, const char *kinds, const char *order,
                           uint64_t n)
{
    struct process listener = process_start(bench, kinds[1]);
    struct process dialer = process_start(bench, kinds[0]);
    struct cost c = run_order(&dialer, &listener, order, n);
    process_end(&dialer);
    process_end(&listener);
    return c;
}

/* What is measured in turn: pairs of sides, or bare records. */
struct lane {
    char kinds[3]; /* dialer and listener; "" for bare records */
    struct cost rounds[ROUNDS], median;
};

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_at(const struct lane *lane, size_t offset)
{
    double values[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++)
        memcpy(&values[i], (const char *)&lane->rounds[i] + offset, sizeof(double));
    qsort(values, ROUNDS, sizeof(double), compare_doubles);
    return values[ROUNDS / 2];
}

static struct cost bare_records(const struct bench *bench, uint64_t bytes);

static void measure_lanes(const struct bench *bench, struct lane *lanes, size_t count,
                          const char *order, uint64_t n)
{
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < count; i++) {
            if (lanes[i].kinds[0])
                lanes[i].rounds[round] = measure(bench, lanes[i].kinds, order, n);
            else
                lanes[i].rounds[round] = bare_records(bench, n);
        }
    }
    for (size_t i = 0; i < count; i++) {
        lanes[i].median.wall_s = median_at(&lanes[i], offsetof(struct cost, wall_s));
        lanes[i].median.dialer_cpu_s = median_at(&lanes[i], offsetof(struct cost, dialer_cpu_s));
        lanes[i].median.listener_cpu_s =
            median_at(&lanes[i], offsetof(struct cost, listener_cpu_s));
    }
}

static void lane_add(struct lane *lanes, size_t *count, char dialer, char listener)
{
    assert(*count < LANES_MAX + 1);
    lanes[(*count)++] = (struct lane){ .kinds = { dialer, listener } };
}

/* What libp2p.md 16 has for those who stand beside us, at the size of a whole run. */
static const char loaded[] =
    "it was taken at a load of 3 to 6 on two cores: read it with a factor of two";
// clang-format off
static const struct known {
    const char *beside, *figure;
    double value;
    const char *why;
} knowns[] = {
    { "go <-> go", "connect, identify, close", 324, loaded },
    { "go <-> go", "CPU of the dialer for it", 2.17, loaded },
    { "go <-> go", "CPU of the listener for it", 1.98, loaded },
    { "go <-> go", "streams of 64 bytes, one by one", 2900, loaded },
    { "go <-> go", "CPU of the dialer for one", 210, loaded },
    { "go <-> go", "CPU of the listener for one", 240, loaded },
    { "go <-> go", "larder dials and sends to go", 330, NULL },
    { "go <-> go", "our CPU for sending as dialer", 1.10, NULL },
    { "go <-> go", "go dials and sends to larder", 330, NULL },
    { "go <-> go", "our CPU for receiving as listener", 1.35, NULL },
    { "go <-> go", "larder dials and receives from go", 319, NULL },
    { "go <-> go", "our CPU for receiving as dialer", 1.59, NULL },
    { "go <-> go", "go dials and receives from larder", 319, NULL },
    { "go <-> go", "our CPU for sending as listener", 1.07, NULL },
    { "go", "resident per idle connection, of 1000", 47, NULL },
    { "rust <-> rust", "connect, identify, close", 543, loaded },
    { "rust <-> rust", "CPU of the dialer for it", 1.22, loaded },
    { "rust <-> rust", "CPU of the listener for it", 1.12, loaded },
    { "rust <-> rust", "streams of 64 bytes, one by one", 3600, loaded },
    { "rust <-> rust", "CPU of the dialer for one", 190, loaded },
    { "rust <-> rust", "CPU of the listener for one", 120, loaded },
    { "rust <-> rust", "larder dials and sends to rust", 314, NULL },
    { "rust <-> rust", "our CPU for sending as dialer", 1.68, NULL },
    { "rust <-> rust", "rust dials and sends to larder", 314, NULL },
    { "rust <-> rust", "our CPU for receiving as listener", 1.59, NULL },
    { "rust <-> rust", "larder dials and receives from rust", 345, NULL },
    { "rust <-> rust", "our CPU for receiving as dialer", 1.82, NULL },
    { "rust <-> rust", "rust dials and receives from larder", 345, NULL },
    { "rust <-> rust", "our CPU for sending as listener", 1.12, NULL },
    { "rust", "resident per idle connection, of 1000", 38, NULL },
    { "bare records", "larder sends to larder", 1170, NULL },
    { "bare records", "larder receives from larder", 1170, NULL },
    { "bare records", "CPU of the sender", 0.79, NULL },
    { "bare records", "CPU of the receiver", 0.72, NULL },
};
// clang-format on

static void report(struct bench *bench, const char *figure, const char *unit, double value,
                   const char *beside, double beside_value)
{
    struct bench_figure f = { .figure = figure,
                              .unit = unit,
                              .value = value,
                              .beside = beside,
                              .beside_value = beside_value };
    for (size_t i = 0; beside && i < ARRAY_SIZE(knowns); i++) {
        if (strcmp(knowns[i].beside, beside) || strcmp(knowns[i].figure, figure))
            continue;
        f.expect_beside =
            bench_expect(bench_entries(bench, SCALE_WHOLE), SCALE_WHOLE, knowns[i].value);
        f.why = knowns[i].why;
    }
    bench_report(bench, &f);
}

/* The record path of the host without the host: sealed, written, read, opened, on blocking sockets.
 */

static enum err pass(struct noise *from, struct noise *to)
{
    uint8_t frame[NOISE_MESSAGE_MAX];
    struct writer w = writer_of(frame, sizeof(frame));
    enum err rc = noise_write(from, &w, NULL);
    return rc ? rc : noise_read(to, frame + NOISE_LENGTH_BYTES, writer_used(&w) - 2, NULL);
}

static bool records_of_pair(struct noise_records *out, struct noise_records *in)
{
    static struct noise_static st;
    struct peer_secret id;
    struct noise d, l;
    uint8_t seed[32] = { 1 };
    const char *const none[] = { NULL };
    peer_secret_from_seed(seed, &id);
    if (noise_static_init(&st, &id, seed, none, NULL))
        return false;
    noise_init(&d, &(struct noise_options){ .dialer = true, .st = &st, .ephemeral = { 2 } });
    noise_init(&l, &(struct noise_options){ .st = &st, .ephemeral = { 3 } });
    return !pass(&d, &l) && !pass(&l, &d) && !pass(&d, &l) && !noise_split(&d, out, NULL) &&
           !noise_split(&l, in, NULL);
}

static void records_send(struct noise_records *r, int fd, uint64_t bytes)
{
    static uint8_t buf[NOISE_LENGTH_BYTES + NOISE_RECORD_MAX];
    for (uint64_t sent = 0; sent < bytes; sent += LIMIT_YAMUX_FRAME_BYTES) {
        size_t size = noise_seal(r, buf, LIMIT_YAMUX_FRAME_BYTES);
        for (size_t at = 0; at < size;) {
            ssize_t n = write(fd, buf + at, size - at);
            if (n <= 0)
                _exit(1);
            at += (size_t)n;
        }
    }
    _exit(0);
}

static bool records_receive(struct noise_records *r, int fd, uint64_t bytes)
{
    static uint8_t buf[NOISE_LENGTH_BYTES + NOISE_RECORD_MAX];
    for (uint64_t got = 0; got < bytes;) {
        size_t want = NOISE_LENGTH_BYTES, have = 0;
        while (have < want) {
            ssize_t n = read(fd, buf + have, want - have);
            if (n <= 0)
                return false;
            have += (size_t)n;
            if (have == NOISE_LENGTH_BYTES)
                want = noise_frame_size(bytes_of(buf, have));
        }
        size_t plain = want - NOISE_LENGTH_BYTES;
        if (noise_open(r, buf + NOISE_LENGTH_BYTES, &plain, NULL))
            return false;
        got += plain;
    }
    return true;
}

/* A connected pair over loopback TCP. */
static bool tcp_pair(int fds[2])
{
    struct sockaddr_storage at;
    socklen_t size = sizeof(at);
    int family = strncmp(where, "/ip6", 4) ? AF_INET : AF_INET6;
    int l = socket(family, SOCK_STREAM, 0);
    fds[0] = socket(family, SOCK_STREAM, 0);
    bool good = !listen(l, 1) && !getsockname(l, (struct sockaddr *)&at, &size) &&
                !connect(fds[0], (struct sockaddr *)&at, size);
    fds[1] = good ? accept(l, NULL, NULL) : -1;
    close(l);
    return fds[1] >= 0;
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* The sender is the dialer. */
static struct cost bare_records(const struct bench *bench, uint64_t bytes)
{
    struct noise_records out = { 0 }, in = { 0 };
    struct rusage sender;
    int fds[2];
    if (!records_of_pair(&out, &in) || !tcp_pair(fds))
        bench_fail(bench, "no pair of sockets");
    uint64_t start = bench_wall_ns(), cpu = bench_process_cpu_ns();
    pid_t pid = fork();
    if (pid == 0)
        records_send(&out, fds[0], bytes);
    if (!records_receive(&in, fds[1], bytes))
        bench_fail(bench, "a record is broken");
    struct cost c = { .wall_s = (double)(bench_wall_ns() - start) / 1e9,
                      .listener_cpu_s = (double)(bench_process_cpu_ns() - cpu) / 1e9 };
    wait4(pid, NULL, 0, &sender);
    c.dialer_cpu_s = seconds_of(sender.ru_utime) + seconds_of(sender.ru_stime);
    close(fds[0]);
    close(fds[1]);
    noise_records_close(&out);
    noise_records_close(&in);
    return c;
}

/* The figures. */

/* larder <-> larder, and each library with itself, for one order. */
static size_t pairs_measure(const struct bench *bench, struct lane *lanes, const char *order,
                            uint64_t n)
{
    size_t count = 0;
    lane_add(lanes, &count, 'l', 'l');
    for (size_t i = 0; i < PEERS; i++)
        if (peer_there(&peers[i]))
            lane_add(lanes, &count, peers[i].kind, peers[i].kind);
    measure_lanes(bench, lanes, count, order, n);
    return count;
}

static const char *pair_of(const struct lane *lane)
{
    for (size_t i = 0; i < PEERS; i++)
        if (peers[i].kind == lane->kinds[0])
            return peers[i].pair;
    return NULL; /* nobody to compare with: larder <-> larder itself */
}

/* What one of many costs each side. */
static const struct counted {
    const char *order, *rate, *dialer, *listener, *unit;
    double per_s; /* units in a second */
} connects = { "connects",
               "connect, identify, close",
               "CPU of the dialer for it",
               "CPU of the listener for it",
               "ms",
               1e3 },
  streams = { "streams",
              "streams of 64 bytes, one by one",
              "CPU of the dialer for one",
              "CPU of the listener for one",
              "us",
              1e6 };

static void count(struct bench *b, const struct counted *what, uint64_t n)
{
    struct lane lanes[LANES_MAX];
    size_t lanes_count = pairs_measure(b, lanes, what->order, n);
    const struct cost *ours = &lanes[0].median;
    double per = what->per_s / (double)n;
    for (size_t i = lanes_count > 1 ? 1 : 0; i < lanes_count; i++) {
        const struct cost *theirs = &lanes[i].median;
        const char *pair = pair_of(&lanes[i]);
        report(b, what->rate, "1/s", (double)n / ours->wall_s, pair, (double)n / theirs->wall_s);
        report(b, what->dialer, what->unit, ours->dialer_cpu_s * per, pair,
               theirs->dialer_cpu_s * per);
        report(b, what->listener, what->unit, ours->listener_cpu_s * per, pair,
               theirs->listener_cpu_s * per);
    }
}

/* Three lanes: the library with itself, we dial it, it dials us. */
static void bulk_beside(struct bench *b, const struct peer *peer, const struct lane *lanes, bool up,
                        uint64_t bytes)
{
    const struct cost *same = &lanes[0].median, *out = &lanes[1].median, *in = &lanes[2].median;
    double gib = (double)bytes / GiB, mib = (double)bytes / MiB;
    const char *does = up ? "sends to" : "receives from";
    char figure[96];
    snprintf(figure, sizeof(figure), "larder dials and %s %s", does, peer->name);
    report(b, figure, "MiB/s", mib / out->wall_s, peer->pair, mib / same->wall_s);
    report(b, up ? "our CPU for sending as dialer" : "our CPU for receiving as dialer", "s/GiB",
           out->dialer_cpu_s / gib, peer->pair, same->dialer_cpu_s / gib);
    snprintf(figure, sizeof(figure), "%s dials and %s larder", peer->name, does);
    report(b, figure, "MiB/s", mib / in->wall_s, peer->pair, mib / same->wall_s);
    report(b, up ? "our CPU for receiving as listener" : "our CPU for sending as listener", "s/GiB",
           in->listener_cpu_s / gib, peer->pair, same->listener_cpu_s / gib);
}

static void bulk(struct bench *b, const char *order, uint64_t bytes)
{
    struct lane lanes[LANES_MAX + 1];
    size_t count = 0;
    bool up = !strcmp(order, "send");
    double gib = (double)bytes / GiB, mib = (double)bytes / MiB;
    lane_add(lanes, &count, '\0', '\0');
    lane_add(lanes, &count, 'l', 'l');
    for (size_t i = 0; i < PEERS; i++) {
        if (!peer_there(&peers[i]))
            continue;
        lane_add(lanes, &count, peers[i].kind, peers[i].kind);
        lane_add(lanes, &count, 'l', peers[i].kind);
        lane_add(lanes, &count, peers[i].kind, 'l');
    }
    measure_lanes(b, lanes, count, order, bytes);
    const struct cost *bare = &lanes[0].median, *ours = &lanes[1].median;
    report(b, up ? "larder sends to larder" : "larder receives from larder", "MiB/s",
           mib / ours->wall_s, "bare records", mib / bare->wall_s);
    report(b, "CPU of the sender", "s/GiB", (up ? ours->dialer_cpu_s : ours->listener_cpu_s) / gib,
           "bare records", bare->dialer_cpu_s / gib);
    report(b, "CPU of the receiver", "s/GiB",
           (up ? ours->listener_cpu_s : ours->dialer_cpu_s) / gib, "bare records",
           bare->listener_cpu_s / gib);
    for (size_t i = 0, at = 2; i < PEERS; i++) {
        if (!peer_there(&peers[i]))
            continue;
        bulk_beside(b, &peers[i], &lanes[at], up, bytes);
        at += 3;
    }
}

/* Each side has all of its connections in one process; the limit is inherited. */
static void descriptors_raise(const struct bench *bench, uint64_t connections)
{
    struct rlimit limit;
    uint64_t needed = connections + DESCRIPTORS_BESIDE;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        bench_fail(bench, "the limit of file descriptors cannot be read");
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < needed || setrlimit(RLIMIT_NOFILE, &limit))
        bench_fail(bench,
                   "%" PRIu64 " connections need %" PRIu64
                   " file descriptors and the system allows %" PRIu64
                   "; raise the hard limit (ulimit -Hn), or ask for less with --entries",
                   connections, needed, (uint64_t)limit.rlim_max);
}

/* A connection that was closed meanwhile would count as one that costs nothing. */
static void all_held(struct process *holder, uint64_t n)
{
    char line[LINE_BYTES];
    fprintf(holder->to, "holding\n");
    fflush(holder->to);
    read_line(holder, line);
    if (strtoull(line, NULL, 10) != n)
        bench_fail(holder->bench, "of %" PRIu64 " idle connections %s are left", n, line);
}

static double idle_kib(const struct bench *bench, char kind, uint64_t n)
{
    char line[LINE_BYTES];
    struct process listener = process_start(bench, kind), holder = process_start(bench, 'l');
    run_order(&holder, &listener, "connects", 1); /* what is held once is there */
    uint64_t before = usage_of(&listener).bytes;
    fprintf(holder.to, "hold %s %" PRIu64 "\n", listener.address, n);
    fflush(holder.to);
    read_line(&holder, line);
    sleep(2); /* identify both ways */
    uint64_t after = usage_of(&listener).bytes;
    all_held(&holder, n);
    process_end(&holder);
    process_end(&listener);
    return (double)(after - MIN(before, after)) / (double)n / KiB;
}

static void idle(struct bench *b, uint64_t n)
{
    char figure[64];
    double ours = idle_kib(b, 'l', n);
    bool alone = true;
    snprintf(figure, sizeof(figure), "resident per idle connection, of %" PRIu64, n);
    for (size_t i = 0; i < PEERS; i++) {
        if (!peer_there(&peers[i]))
            continue;
        alone = false;
        report(b, figure, "KiB", ours, peers[i].name, idle_kib(b, peers[i].kind, n));
    }
    if (alone)
        report(b, figure, "KiB", ours, NULL, 0);
}

static void all_figures(struct bench *bench, const char *net)
{
    uint64_t scale = bench_entries(bench, SCALE_WHOLE);
    uint64_t connections = MIN(scale / 200, (uint64_t)CONNECTIONS);
    where = net;
    peers_find(bench);
    descriptors_raise(bench, connections);
    signal(SIGPIPE, SIG_IGN);
    count(bench, &connects, connections);
    count(bench, &streams, scale / 10);
    bulk(bench, "send", scale * 5 * KiB / 2);
    bulk(bench, "receive", scale * 5 * KiB / 2);
    idle(bench, connections);
}

BENCH(net, "The libp2p host: handshakes, bulk, streams, idle connections, beside go and rust.")
{
    all_figures(bench, "/ip4/127.0.0.1");
}

BENCH(net_ip6, "The same over IPv6.")
{
    all_figures(bench, "/ip6/::1");
}
