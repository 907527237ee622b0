#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/loop.h"
#include "core/timer.h"
#include "node/admin.h"
#include "node/client.h"

enum { FLOOD_LINES = 20000 };
static unsigned flood_waits, gones;

static void start_echo(struct admin_session *s)
{
    for (uint32_t i = 0; i < s->argc; i++)
        admin_print(s, "%s\n", s->argv[i]);
    admin_end(s, (int)s->argc);
}

static void start_fail(struct admin_session *s)
{
    struct error err = { ERR_OK, "" };
    error_set(&err, ERR_CORRUPT, "block 7 is bad");
    admin_fail(s, &err);
}

/* More than fits, a line at a time, as long as there is room. */
static void flood_on(struct admin_session *s)
{
    unsigned *line = s->state;
    while (*line < FLOOD_LINES)
        if (!admin_print(s, "line %06u of many\n", (*line)++)) {
            flood_waits++;
            return;
        }
    admin_end(s, 0);
}

static void start_flood(struct admin_session *s)
{
    static unsigned line;
    line = 0;
    s->state = &line;
    s->on_space = flood_on;
    flood_on(s);
}

static void start_greedy(struct admin_session *s) /* does not look at the answer of print */
{
    for (unsigned i = 0; i < FLOOD_LINES && !admin_gone(s); i++)
        (void)admin_print(s, "line %06u of many\n", i);
    admin_end(s, 0);
}

static void hang_gone(struct admin_session *s)
{
    gones++;
    admin_end(s, 0);
}

static void start_hang(struct admin_session *s)
{
    s->on_gone = hang_gone;
    admin_print(s, "hanging\n");
}

static const struct admin_command commands[] = {
    { "echo", start_echo, false },   { "fail", start_fail, false },
    { "flood", start_flood, false }, { "greedy", start_greedy, false },
    { "hang", start_hang, false },   { "work", start_hang, true },
    { NULL, NULL, false },
};

struct fixture {
    struct loop *loop;
    struct mem_plan *plan;
    struct admin *admin;
    char dir[512];
    int dir_fd;
    pid_t child;
    int status;
    struct timer poll;
    bool idle;
};

static void fixture_make(struct fixture *f, const char *name)
{
    const struct mem_row row = { "node", "", MEM_ELASTIC, 2 * MiB, 50, 50, true };
    memset(f, 0, sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "%s/%s", unit_temp_dir(), name);
    check(mkdir(f->dir, 0700) == 0, f->dir);
    f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY);
    check(!loop_create(&f->loop, NULL) && !mem_plan_create(&f->plan, 128 * MiB, &row, 1, NULL),
          "a machine");
    const struct admin_options options = { .loop = f->loop,
                                           .mem = f->plan->owners,
                                           .dir = f->dir,
                                           .dir_fd = f->dir_fd,
                                           .commands = commands };
    struct error err = { ERR_OK, "" };
    check(!admin_create(&f->admin, &options, &err), err.text);
}

static void now_idle(void *ctx)
{
    struct fixture *f = ctx;
    f->idle = true;
    loop_stop(f->loop);
}

static void fixture_end(struct fixture *f, bool all)
{
    if (admin_close(f->admin, all, now_idle, f)) {
        loop_run(f->loop);
        check(f->idle, "it became idle");
    }
    admin_destroy(f->admin);
    loop_destroy(f->loop);
    mem_plan_destroy(f->plan); /* asserts that every session gave its memory back */
    close(f->dir_fd);
}

static void poll_child(struct timer *t)
{
    struct fixture *f = container_of(t, struct fixture, poll);
    if (waitpid(f->child, &f->status, WNOHANG) == f->child)
        loop_stop(f->loop);
    else
        timer_set(t, 5);
}

/* Runs a client in a process of its own, as it is in life, while the loop serves it. */
static int serve(struct fixture *f, int (*client)(struct fixture *f))
{
    f->child = fork();
    if (f->child == 0)
        _exit(client(f));
    check(f->child > 0, "a child");
    timer_init(&f->poll, f->loop, poll_child, "poll_child");
    timer_set(&f->poll, 5);
    loop_run(f->loop);
    timer_set(&f->poll, 0);
    return WIFEXITED(f->status) ? WEXITSTATUS(f->status) : -1;
}

static char heard[1 << 20];
static size_t heard_size;

static enum err hear(void *ctx UNUSED, bool to_stderr, const char *data, size_t size,
                     struct error *err UNUSED)
{
    if (to_stderr)
        heard[heard_size++] = '!';
    memcpy(heard + heard_size, data, size);
    heard_size += size;
    return ERR_OK;
}

/* Asks, and says with its exit code how many expectations failed: -1 is an error of the client. */
static int ask(struct fixture *f, const char *const *words, const char *want, int want_code)
{
    const struct client_output output = { hear, NULL };
    struct error err = { ERR_OK, "" };
    int code = -1;
    heard_size = 0;
    memset(heard, 0, sizeof(heard));
    if (client_run(f->dir, words, &output, &code, &err))
        return err.code == (enum err)want_code ? 0 : 10;
    return (code != want_code) + (want && strcmp(heard, want) != 0);
}
#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int client_words(struct fixture *f)
{
    return ask(f, WORDS("echo", "a b", "", "c"), "a b\n\nc\n", 3) + ask(f, WORDS("echo"), "", 0) +
           ask(f, WORDS("fail"), "!block 7 is bad\n", 4) +
           ask(f, WORDS("nothing"), "!the running node does not know the command 'nothing'\n", 2);
}

TEST(a_command_gets_its_words_and_answers)
{
    struct fixture f;
    fixture_make(&f, "words");
    check(serve(&f, client_words) == 0, "all as expected");
    fixture_end(&f, false);
}

TEST(a_path_too_long_for_a_socket_is_reached)
{
    struct fixture f;
    char name[150];
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    fixture_make(&f, name);
    check(serve(&f, client_words) == 0, "all as expected");
    fixture_end(&f, false);
}

static int client_flood(struct fixture *f)
{
    int failed = ask(f, WORDS("flood"), NULL, 0);
    return failed + (heard_size != FLOOD_LINES * strlen("line 000000 of many\n")) +
           (strcmp(heard + heard_size - 20, "line 019999 of many\n") != 0);
}

TEST(a_long_answer_waits_for_its_reader)
{
    struct fixture f;
    fixture_make(&f, "flood");
    flood_waits = 0;
    check(serve(&f, client_flood) == 0, "every line arrives");
    check(flood_waits > 5, "the command had to wait");
    check(f.plan->used_peak_bytes < 256 * KiB, "memory did not grow with the answer");
    fixture_end(&f, false);
}

static int client_greedy(struct fixture *f)
{
    return ask(f, WORDS("greedy"), NULL, ERR_CLOSED);
}

TEST(a_command_that_never_waits_is_cut_off)
{
    struct fixture f;
    fixture_make(&f, "greedy");
    check(serve(&f, client_greedy) == 0, "half an answer is not a whole one");
    fixture_end(&f, false);
}

static int raw_connect(struct fixture *f)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    admin_socket_path(f->dir, f->dir_fd, address.sun_path, sizeof(address.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&address, sizeof(address)) ? -1 : fd;
}

static const struct {
    const char *why;
    const char *bytes;
    size_t size;
} bad_requests[] = {
    { "another type", "O\0\0\0\x02x\0", 7 },
    { "too long", "R\0\x01\0\0", 5 },
    { "more than it says", "R\0\0\0\x02x\0y", 8 },
};

static int client_bad(struct fixture *f)
{
    int failed = 0;
    for (size_t i = 0; i < ARRAY_SIZE(bad_requests); i++) {
        char byte;
        int fd = raw_connect(f);
        failed += send(fd, bad_requests[i].bytes, bad_requests[i].size, 0) !=
                  (ssize_t)bad_requests[i].size;
        failed += recv(fd, &byte, 1, 0) > 0; /* closed, without a word */
        close(fd);
    }
    return failed;
}

TEST(a_bad_request_is_cut_off)
{
    struct fixture f;
    fixture_make(&f, "bad");
    check(serve(&f, client_bad) == 0, "each of them");
    check(limit_hits(LIMIT_ID_ADMIN_REQUEST_BYTES) > 0, "one met the limit");
    fixture_end(&f, false);
}

/* Somebody else, with doors and socket left open by mistake. */
static int client_stranger(struct fixture *f)
{
    char byte;
    int fd = -1, failed = setgid(65534) || setuid(65534);
    failed += (fd = raw_connect(f)) < 0;
    (void)!send(fd,
                "R\0\0\0\x05"
                "echo",
                10, MSG_NOSIGNAL);
    failed += recv(fd, &byte, 1, 0) > 0; /* closed, without a word */
    return failed;
}

TEST(a_stranger_is_not_answered)
{
    struct fixture f;
    char path[600];
    fixture_make(&f, "stranger");
    snprintf(path, sizeof(path), "%s/%s", f.dir, ADMIN_SOCKET);
    check(!chmod(unit_temp_dir(), 0755) && !chmod(f.dir, 0755) && !chmod(path, 0666), "open doors");
    check(geteuid() != 0 || serve(&f, client_stranger) == 0, "only root can be somebody else");
    fixture_end(&f, false);
}

static int client_leaves(struct fixture *f)
{
    static const char request[] = "R\0\0\0\x05hang";
    char answer[13];
    int fd = raw_connect(f);
    int failed = send(fd, request, sizeof(request), 0) != sizeof(request);
    failed += recv(fd, answer, sizeof(answer), MSG_WAITALL) != 13;
    close(fd);
    return failed + ask(f, WORDS("echo"), "", 0); /* others are served */
}

TEST(a_client_that_leaves_ends_its_command)
{
    struct fixture f;
    fixture_make(&f, "leaves");
    gones = 0;
    check(serve(&f, client_leaves) == 0, "it left");
    check(gones == 1, "the command was told once");
    fixture_end(&f, false);
}

static int client_crowd(struct fixture *f)
{
    int fds[LIMIT_ADMIN_SESSIONS], failed = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
        failed += (fds[i] = raw_connect(f)) < 0;
    usleep(50000);
    close(fds[0]); /* makes room for the one behind the crowd */
    return failed + ask(f, WORDS("echo", "x"), "x\n", 1);
}

TEST(one_too_many_waits_for_room)
{
    struct fixture f;
    fixture_make(&f, "crowd");
    check(serve(&f, client_crowd) == 0, "served when one has left");
    fixture_end(&f, true);
}

static void stop_soon(struct timer *t)
{
    struct fixture *f = container_of(t, struct fixture, poll);
    loop_stop(f->loop);
}

/* A stop while a command runs: ended at once, or awaited when it finishes. */
static bool close_with(const char *name, const char *command, bool all)
{
    struct fixture f;
    fixture_make(&f, name);
    int fd = raw_connect(&f);
    char request[16] = "R\0\0\0\x05";
    memcpy(request + 5, command, 5);
    check(fd >= 0 && send(fd, request, 10, 0) == 10, "asked");
    timer_init(&f.poll, f.loop, stop_soon, "stop_soon");
    timer_set(&f.poll, 30);
    loop_run(f.loop);
    gones = 0;
    bool busy = admin_close(f.admin, all, now_idle, &f);
    timer_set(&f.poll, 30);
    loop_run(f.loop);
    bool idle = f.idle;
    timer_set(&f.poll, 0);
    close(fd);
    check(busy, "its pipe closes later");
    fixture_end(&f, true);
    return idle;
}

TEST(a_stop_waits_for_commands_that_finish)
{
    check(close_with("stop-hang", "hang", false), "one that only watches is ended");
    check(!close_with("stop-work", "work", false), "one that works is awaited");
    check(close_with("stop-all", "work", true), "until waiting is over");
}

TEST(a_request_is_words_ended_by_zero)
{
    static const struct {
        const char *why, *body;
        size_t size;
        uint32_t words;
    } cases[] = {
        { "nothing", "", 0, 0 },    { "one", "a\0", 2, 1 },         { "an empty one", "\0", 1, 1 },
        { "two", "a\0bc\0", 5, 2 }, { "not ended", "a\0bc", 4, 0 },
    };
    const char *words[LIMIT_ADMIN_REQUEST_WORDS];
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        check(admin_request_words(bytes_of(cases[i].body, cases[i].size), words,
                                  ARRAY_SIZE(words)) == cases[i].words,
              cases[i].why);
    static char many[LIMIT_ADMIN_REQUEST_WORDS + 1];
    check(admin_request_words(bytes_of(many, sizeof(many)), words, ARRAY_SIZE(words)) == 0,
          "one too many");
    check(admin_request_words(bytes_of(many, sizeof(many) - 1), words, ARRAY_SIZE(words)) ==
              LIMIT_ADMIN_REQUEST_WORDS,
          "as many as there may be");
}
