/* tests/bench/bench_net.c: the libp2p host beside go-libp2p on loopback. Each side is a process;
 * go <-> go runs in the same minutes as larder <-> go and larder <-> larder. */
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/noise.h"
#include "net_side.h"

enum { LINE_BYTES = 512 };

static const char where[] = "/ip4/127.0.0.1";

struct process {
    const struct bench *bench;
    pid_t pid;
    FILE *to, *from;
    char address[LINE_BYTES];
};

/* The program stands in the build folder, when `make net-bench-go` has built it. */
static bool go_program(char *path, size_t size)
{
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0)
        return false;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(path, size, "%s/interop/go-bench", self);
    return access(path, X_OK) == 0;
}

static void read_line(struct process *p, char *line)
{
    if (!fgets(line, LINE_BYTES, p->from) || !strncmp(line, "failed", 6))
        bench_fail(p->bench, "a side of the bench says: %s", line);
    line[strcspn(line, "\n")] = '\0';
}

static struct process process_start(const struct bench *bench, bool go)
{
    struct process p = { .bench = bench };
    int in[2], out[2];
    char program[600] = "";
    if (pipe(in) || pipe(out))
        bench_fail(bench, "no pipe");
    if (go)
        go_program(program, sizeof(program));
    p.pid = fork();
    if (p.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        for (int fd = 3; fd < 64; fd++)
            close(fd); /* pipes of other sides: their end is how a side is ended */
        if (!go)
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
    struct process listener = process_start(bench, kinds[1] == 'g');
    struct process dialer = process_start(bench, kinds[0] == 'g');
    struct cost c = run_order(&dialer, &listener, order, n);
    process_end(&dialer);
    process_end(&listener);
    return c;
}

static void report(struct bench *bench, const char *figure, const char *unit, double value,
                   const char *beside, double beside_value)
{
    bench_report(bench, &(struct bench_figure){ figure, unit, value, 0, beside, beside_value, 0,
                                                NULL, NULL });
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
    struct sockaddr_storage at = { .ss_family = AF_INET };
    socklen_t size = 16;
    int l = socket(AF_INET, SOCK_STREAM, 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    bool good = !listen(l, 1) && !getsockname(l, (struct sockaddr *)&at, &size) &&
                !connect(fds[0], (struct sockaddr *)&at, size);
    fds[1] = good ? accept(l, NULL, NULL) : -1;
    close(l);
    return fds[1] >= 0;
}

static double bare_records_mib_s(const struct bench *bench, uint64_t bytes)
{
    struct noise_records out = { 0 }, in = { 0 };
    int fds[2];
    if (!records_of_pair(&out, &in) || !tcp_pair(fds))
        bench_fail(bench, "no pair of sockets");
    uint64_t start = bench_wall_ns();
    pid_t pid = fork();
    if (pid == 0)
        records_send(&out, fds[0], bytes);
    if (!records_receive(&in, fds[1], bytes))
        bench_fail(bench, "a record is broken");
    double seconds = (double)(bench_wall_ns() - start) / 1e9;
    waitpid(pid, NULL, 0);
    close(fds[0]);
    close(fds[1]);
    noise_records_close(&out);
    noise_records_close(&in);
    return (double)bytes / MiB / seconds;
}

/* The figures. */

static void connects(struct bench *b, uint64_t n, bool go)
{
    struct cost ours = measure(b, "ll", "connects", n), go_go = { 0 };
    if (go)
        go_go = measure(b, "gg", "connects", n);
    const char *beside = go ? "go <-> go" : NULL;
    double per = 1e3 / (double)n, count = (double)n;
    report(b, "connect, identify, close", "1/s", count / ours.wall_s, beside, count / go_go.wall_s);
    report(b, "CPU of the dialer for it", "ms", ours.dialer_cpu_s * per, beside,
           go_go.dialer_cpu_s * per);
    report(b, "CPU of the listener for it", "ms", ours.listener_cpu_s * per, beside,
           go_go.listener_cpu_s * per);
}

static void streams(struct bench *b, uint64_t n, bool go)
{
    struct cost ours = measure(b, "ll", "streams", n), go_go = { 0 };
    if (go)
        go_go = measure(b, "gg", "streams", n);
    report(b, "streams of 64 bytes, one by one", "1/s", (double)n / ours.wall_s,
           go ? "go <-> go" : NULL, (double)n / go_go.wall_s);
    report(b, "CPU of the dialer for one", "us", ours.dialer_cpu_s * 1e6 / (double)n,
           go ? "go <-> go" : NULL, go_go.dialer_cpu_s * 1e6 / (double)n);
}

static void bulk_beside_go(struct bench *b, const char *order, uint64_t bytes)
{
    bool up = !strcmp(order, "send");
    double gib = (double)bytes / GiB, mib = (double)bytes / MiB;
    struct cost gg = measure(b, "gg", order, bytes), lg = measure(b, "lg", order, bytes),
                gl = measure(b, "gl", order, bytes);
    report(b, up ? "larder dials and sends to go" : "larder dials and receives from go", "MiB/s",
           mib / lg.wall_s, "go <-> go", mib / gg.wall_s);
    report(b, up ? "our CPU for it" : "our CPU for receiving", "s/GiB", lg.dialer_cpu_s / gib,
           "go <-> go", gg.dialer_cpu_s / gib);
    report(b, up ? "go dials and sends to larder" : "go dials and receives from larder", "MiB/s",
           mib / gl.wall_s, "go <-> go", mib / gg.wall_s);
    report(b, up ? "our CPU for listening to it" : "our CPU for sending as listener", "s/GiB",
           gl.listener_cpu_s / gib, "go <-> go", gg.listener_cpu_s / gib);
}

static void bulk(struct bench *b, uint64_t bytes, bool go)
{
    double gib = (double)bytes / GiB, mib = (double)bytes / MiB;
    double bare = bare_records_mib_s(b, bytes);
    struct cost up = measure(b, "ll", "send", bytes), down = measure(b, "ll", "receive", bytes);
    report(b, "larder sends to larder", "MiB/s", mib / up.wall_s, "bare records", bare);
    report(b, "larder receives from larder", "MiB/s", mib / down.wall_s, "bare records", bare);
    report(b, "CPU of the sender", "s/GiB", up.dialer_cpu_s / gib, NULL, 0);
    report(b, "CPU of the receiver", "s/GiB", up.listener_cpu_s / gib, NULL, 0);
    if (!go)
        return;
    bulk_beside_go(b, "send", bytes);
    bulk_beside_go(b, "receive", bytes);
}

static double idle_bytes(const struct bench *bench, bool go, uint64_t n)
{
    char line[LINE_BYTES];
    struct process listener = process_start(bench, go), holder = process_start(bench, false);
    run_order(&holder, &listener, "connects", 1); /* what is held once is there */
    uint64_t before = usage_of(&listener).bytes;
    fprintf(holder.to, "hold %s %" PRIu64 "\n", listener.address, n);
    fflush(holder.to);
    read_line(&holder, line);
    sleep(2); /* identify both ways */
    uint64_t after = usage_of(&listener).bytes;
    process_end(&holder);
    process_end(&listener);
    return (double)(after - MIN(before, after)) / (double)n / KiB;
}

BENCH(net, "The libp2p host: handshakes, bulk, streams, idle connections, beside go-libp2p.")
{
    char program[600];
    uint64_t scale = bench_entries(bench, 200000);
    uint64_t connections = MIN(scale / 200, 1000);
    bool go = go_program(program, sizeof(program));
    signal(SIGPIPE, SIG_IGN);
    connects(bench, connections, go);
    streams(bench, scale / 10, go);
    bulk(bench, scale * 5 * KiB, go);
    double ours = idle_bytes(bench, false, connections);
    report(bench, "resident per idle connection", "KiB", ours, go ? "go" : NULL,
           go ? idle_bytes(bench, true, connections) : 0);
}
