#include "core/signal.h"

#include <signal.h>

#include <uv.h>

#include "base/mem.h"
#include "core/loop.h"

enum { WATCHED = 3 };

static const struct {
    int number;
    const char *name;
} watched[WATCHED] = { { SIGHUP, "SIGHUP" }, { SIGTERM, "SIGTERM" }, { SIGINT, "SIGINT" } };

struct signals {
    struct loop *loop; /* borrowed */
    struct signal_handlers handlers;
    uv_signal_t uv[WATCHED];
    unsigned open; /* of uv */
};

static void on_signal(uv_signal_t *uv, int number)
{
    struct signals *s = uv->data;
    const char *name = watched[uv - s->uv].name;
    loop_callback_begin(s->loop, name);
    if (number == SIGHUP)
        s->handlers.reload(s->handlers.ctx);
    else
        s->handlers.terminate(s->handlers.ctx, name);
    loop_callback_end(s->loop);
}

enum err signals_create(struct signals **out, struct loop *loop,
                        const struct signal_handlers *handlers, struct error *err)
{
    assert(handlers->reload && handlers->terminate);
    struct signals *s = mem_machine_zalloc(sizeof(*s));
    s->loop = loop;
    s->handlers = *handlers;
    for (unsigned i = 0; i < WATCHED; i++) {
        int rc = uv_signal_init(loop_uv(loop), &s->uv[i]);
        if (!rc) {
            s->open++;
            s->uv[i].data = s;
            rc = uv_signal_start(&s->uv[i], on_signal, watched[i].number);
        }
        if (rc) {
            signals_destroy(s);
            return error_set(err, ERR_SYSTEM, "watching %s: %s", watched[i].name, uv_strerror(rc));
        }
    }
    signal(SIGPIPE, SIG_IGN);
    *out = s;
    return ERR_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct signals *s = handle->data;
    if (--s->open == 0)
        mem_machine_free(s);
}

void signals_destroy(struct signals *s)
{
    if (!s)
        return;
    if (s->open == 0) {
        mem_machine_free(s);
        return;
    }
    for (unsigned i = 0, open = s->open; i < open; i++)
        uv_close((uv_handle_t *)&s->uv[i], on_closed);
}
