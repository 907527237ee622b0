#include "node/admin_keys.h"

#include "base/mem.h"
#include "core/env.h"
#include "node/admin.h"
#include "node/keys.h"
#include "node/node.h"
#include "node/reprovide.h"

static bool on_print(void *ctx, bool to_stderr, const char *text)
{
    return admin_write(ctx, to_stderr ? ADMIN_ERR : ADMIN_OUT, text, strlen(text));
}

static void on_done(void *ctx, int exit_code, const struct error *err)
{
    struct admin_session *s = ctx;
    s->on_gone = NULL;
    s->on_space = NULL;
    if (err)
        admin_fail(s, err);
    else
        admin_end(s, exit_code);
}

static void on_space(struct admin_session *s)
{
    keys_space(s->state);
}

static void on_gone(struct admin_session *s)
{
    keys_stop(s->state);
}

void admin_keys_start(struct admin_session *s)
{
    struct error err = { ERR_OK, "" };
    struct keys_command *command = NULL;
    const struct keys_io io = { on_print, on_done, s };
    struct keys_place place = { .keystore = node_keystore(s->node) };
    if (!place.keystore) {
        error_set(&err, ERR_CONFIG, "there is no keystore: reprovide is off");
        admin_fail(s, &err);
        return;
    }
    if (s->argc > 0 && !strcmp(s->argv[0], "import") && node_admits(s->node, &err)) {
        admin_fail(s, &err);
        return;
    }
    place.loop = node_env(s->node)->loop;
    place.work = node_env(s->node)->work;
    place.mem = node_owner(s->node, "reprovide");
    if (keys_start(&command, &place, s->argc, s->argv, &io, &err)) {
        admin_fail(s, &err);
        return;
    }
    s->state = command;
    s->on_space = on_space;
    s->on_gone = on_gone;
}
