#include "node/admin_text.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "node/admin.h"
#include "node/node_state.h"

struct admin_text *admin_text_make(struct admin_session *s, size_t room)
{
    struct error err = { ERR_OK, "" };
    struct admin_text *t = mem_try_alloc(s->node->mem, sizeof(*t) + room);
    if (!t) {
        mem_refused(s->node->mem, sizeof(*t) + room, &err);
        admin_fail(s, &err);
        return NULL;
    }
    t->at = t->size = 0;
    t->room = room;
    return t;
}

void admin_text_add(struct admin_text *t, const char *fmt, ...)
{
    va_list args;
    size_t left = t->room - t->size;
    va_start(args, fmt);
    int n = vsnprintf(t->text + t->size, left, fmt, args);
    va_end(args);
    if (n > 0 && left > 0)
        t->size += MIN((size_t)n, left - 1);
}

static void on_gone(struct admin_session *s)
{
    mem_free(s->node->mem, s->state);
    admin_end(s, 0);
}

static void on_space(struct admin_session *s)
{
    struct admin_text *t = s->state;
    s->on_gone = NULL; /* not in the middle of this */
    while (t->at < t->size) {
        size_t n = MIN(t->size - t->at, LIMIT_ADMIN_OUTPUT_BYTES / 2);
        bool more = admin_write(s, ADMIN_OUT, t->text + t->at, n);
        t->at += n;
        if (!more && t->at < t->size && !admin_gone(s)) {
            s->on_gone = on_gone;
            return; /* until there is space */
        }
    }
    mem_free(s->node->mem, t);
    admin_end(s, 0);
}

void admin_text_send(struct admin_session *s, struct admin_text *t)
{
    s->state = t;
    s->on_space = on_space;
    on_space(s);
}
