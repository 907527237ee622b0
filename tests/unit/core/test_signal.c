#include "unit.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/signal.h"

struct node {
    struct loop *loop;
    struct deferred next;
    unsigned reloads, terms, ints;
};

static void send_term(struct deferred *d UNUSED)
{
    kill(getpid(), SIGTERM);
}

static void send_int(struct deferred *d UNUSED)
{
    kill(getpid(), SIGINT);
}

static void on_reload(void *ctx)
{
    struct node *n = ctx;
    if (++n->reloads == 1)
        kill(getpid(), SIGHUP);
    else
        loop_defer(n->loop, &n->next, send_term);
}

static void on_terminate(void *ctx, const char *name)
{
    struct node *n = ctx;
    n->terms += !strcmp(name, "SIGTERM");
    n->ints += !strcmp(name, "SIGINT");
    if (n->ints == 0)
        loop_defer(n->loop, &n->next, send_int);
    else
        loop_stop(n->loop);
}

TEST(signals_become_callbacks)
{
    struct node n = { 0 };
    struct error err = { ERR_OK, "" };
    check(loop_create(&n.loop, &err) == ERR_OK, err.text);
    struct signal_handlers handlers = { on_reload, on_terminate, &n };
    struct signals *s = NULL;
    check(signals_create(&s, n.loop, &handlers, &err) == ERR_OK, err.text);
    kill(getpid(), SIGPIPE);
    kill(getpid(), SIGHUP);
    loop_run(n.loop);
    check(n.reloads == 2, "SIGHUP, each time");
    check(n.terms == 1 && n.ints == 1, "SIGTERM and SIGINT under their names");
    signals_destroy(s);
    signals_destroy(NULL);
    loop_destroy(n.loop);
}
