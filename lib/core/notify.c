#include "core/notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/units.h"
#include "core/config_args.h"
#include "core/timer.h"

struct notify {
    int fd; /* -1: nobody wants to know */
    struct sockaddr_un address;
    socklen_t address_size;
    uint64_t watchdog_ms; /* between two feedings; 0: no watchdog */
    struct timer watchdog;
};

static void send_text(struct notify *n, const char *text)
{
    if (n->fd < 0)
        return;
    /* Full or gone: the manager will find out in its own ways, and we never wait for it. */
    ssize_t sent = sendto(n->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
                          (const struct sockaddr *)&n->address, n->address_size);
    (void)sent;
}

static void feed_watchdog(struct timer *t)
{
    struct notify *n = container_of(t, struct notify, watchdog);
    send_text(n, "WATCHDOG=1\n");
    timer_set(t, n->watchdog_ms);
}

/* Half of what the manager allows, and only when it means this process. */
static uint64_t watchdog_period_ms(char *const *envp)
{
    const char *usec = config_environment(envp, "WATCHDOG_USEC");
    const char *pid = config_environment(envp, "WATCHDOG_PID");
    uint64_t value = 0, wanted = 0;
    if (!usec || units_parse_count(usec, &value, NULL))
        return 0;
    if (pid && (units_parse_count(pid, &wanted, NULL) || wanted != (uint64_t)getpid()))
        return 0;
    return MAX(value / 2000, (uint64_t)1);
}

/* A path, or a name in the abstract namespace that begins with '@'. */
static enum err take_address(struct notify *n, const char *name, struct error *err)
{
    size_t size = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || size >= sizeof(n->address.sun_path))
        return error_set(err, ERR_CONFIG, "NOTIFY_SOCKET: '%.60s' is not the name of a socket",
                         name);
    n->address.sun_family = AF_UNIX;
    memcpy(n->address.sun_path, name, size + 1);
    if (name[0] == '@')
        n->address.sun_path[0] = '\0';
    n->address_size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (name[0] == '/' ? 1 : 0));
    return ERR_OK;
}

enum err notify_create(struct notify **out, struct loop *loop, char *const *envp, struct error *err)
{
    struct notify *n = mem_machine_zalloc(sizeof(*n));
    const char *name = config_environment(envp, "NOTIFY_SOCKET");
    n->fd = -1;
    timer_init(&n->watchdog, loop, feed_watchdog, "feed_watchdog");
    if (name) {
        enum err rc = take_address(n, name, err);
        if (!rc && (n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
            rc = error_set(err, ERR_SYSTEM, "no socket for the service manager");
        if (rc) {
            notify_destroy(n);
            return rc;
        }
        n->watchdog_ms = watchdog_period_ms(envp);
        timer_set(&n->watchdog, n->watchdog_ms);
    }
    *out = n;
    return ERR_OK;
}

void notify_destroy(struct notify *n)
{
    if (!n)
        return;
    timer_set(&n->watchdog, 0);
    if (n->fd >= 0)
        close(n->fd);
    mem_machine_free(n);
}

void notify_ready(struct notify *n)
{
    send_text(n, "READY=1\n");
}

void notify_reloading(struct notify *n)
{
    char text[80];
    struct timespec now; /* the manager's clock, not one that a test has turned */
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n",
             (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    send_text(n, text);
}

void notify_stopping(struct notify *n)
{
    send_text(n, "STOPPING=1\n");
}

void notify_status(struct notify *n, const char *fmt, ...)
{
    char text[256] = "STATUS=";
    size_t used = strlen(text);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + used, sizeof(text) - used - 1, fmt, args);
    va_end(args);
    for (char *c = text; *c; c++)
        if (*c == '\n') /* would begin another key */
            *c = ' ';
    used = strlen(text);
    text[used] = '\n';
    text[used + 1] = '\0';
    send_text(n, text);
}

void notify_extend(struct notify *n, uint64_t ms)
{
    char text[64];
    snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%" PRIu64 "\n", ms * 1000);
    send_text(n, text);
}
