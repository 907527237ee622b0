#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/notify.h"

/* A service manager: a datagram socket in the abstract namespace. */
static int listen_as(char *variable, size_t size)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int name = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "larder-%d", getpid());
    check(fd >= 0 &&
              bind(fd, (struct sockaddr *)&address,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)name)) == 0,
          "the manager's socket");
    snprintf(variable, size, "NOTIFY_SOCKET=@%s", address.sun_path + 1);
    return fd;
}

static const char *heard(int fd)
{
    static char text[512];
    ssize_t size = recv(fd, text, sizeof(text) - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

TEST(the_manager_hears_each_state)
{
    char variable[128], watchdog[] = "WATCHDOG_USEC=20000000";
    int fd = listen_as(variable, sizeof(variable));
    char *envp[] = { variable, watchdog, NULL };
    struct loop *loop = NULL;
    struct notify *n = NULL;
    check(!loop_create(&loop, NULL), "a loop");
    loop_clock_set(loop, 1000, 0);
    check(!notify_create(&n, loop, envp, NULL), "made");
    notify_ready(n);
    check(!strcmp(heard(fd), "READY=1\n"), "ready");
    notify_reloading(n);
    check(!strncmp(heard(fd), "RELOADING=1\nMONOTONIC_USEC=", 27), "reloading");
    notify_status(n, "two\nlines %d", 2);
    check(!strcmp(heard(fd), "STATUS=two lines 2\n"), "a status is one line");
    notify_extend(n, 1500);
    check(!strcmp(heard(fd), "EXTEND_TIMEOUT_USEC=1500000\n"), "more time");
    notify_stopping(n);
    check(!strcmp(heard(fd), "STOPPING=1\n"), "stopping");
    loop_clock_turn(loop, 9999);
    check(!strcmp(heard(fd), ""), "not yet fed");
    loop_clock_turn(loop, 1);
    check(!strcmp(heard(fd), "WATCHDOG=1\n"), "fed after half its time");
    loop_clock_turn(loop, 10000);
    check(!strcmp(heard(fd), "WATCHDOG=1\n"), "and again");
    notify_destroy(n);
    loop_destroy(loop);
    close(fd);
}

TEST(without_a_manager_nothing_is_said)
{
    char other[] = "WATCHDOG_USEC=1000", bad[] = "NOTIFY_SOCKET=relative";
    char *none[] = { other, NULL }, *wrong[] = { bad, NULL };
    struct loop *loop = NULL;
    struct notify *n = NULL;
    struct error err = { ERR_OK, "" };
    check(!loop_create(&loop, NULL) && !notify_create(&n, loop, none, NULL), "made");
    notify_ready(n);
    notify_destroy(n);
    check(notify_create(&n, loop, wrong, &err) == ERR_CONFIG, "a name that is no socket");
    loop_destroy(loop);
}
