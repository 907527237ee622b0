#include "node/admin_commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "node/admin_backup.h"
#include "node/admin_keys.h"
#include "node/admin_p2p.h"
#include "node/admin_reserve.h"
#include "node/admin_text.h"
#include "node/admin_provide.h"
#include "node/node_state.h"
#include "node/status.h"

/* The document of /api/v1/status, which `larder status` makes its page of. */
static void start_status(struct admin_session *s)
{
    struct error err = { ERR_OK, "" };
    struct admin_text *t = admin_text_make(s, LIMIT_STATUS_BYTES);
    if (!t)
        return;
    if (!status_write(node_status(s->node), t->text, t->room, &t->size, &err)) {
        admin_text_send(s, t);
        return;
    }
    mem_free(s->node->mem, t);
    admin_fail(s, &err);
}

const struct admin_command admin_commands[] = {
    { "status", start_status, false },
    { "backup", admin_backup_start, false },
    { "keys", admin_keys_start, false },
    { "reserve", admin_reserve_start, false },
    { "peers", admin_peers_start, false },
    { "ping", admin_ping_start, false },
    { "identify", admin_identify_start, false },
    { "provide", admin_provide_start, false },
    { "find-providers", admin_find_providers_start, false },
    { NULL, NULL, false },
};

/* Does err end with the system's words for errnum, where error_errno puts them? */
static bool says_errno(const struct error *err, int errnum)
{
    char words[96];
    const char *why = strerror_r(errnum, words, sizeof(words));
    size_t size = strlen(why), have = strlen(err->text);
    return have >= size && !strcmp(err->text + have - size, why);
}

void admin_fail_path(struct admin_session *s, const struct error *err)
{
    static const char hint[] =
        "\nthe running node opens this path itself, as its own user: a service sees only its own "
        "directories, /var/lib/larder and what a drop-in names (FILES in larder(8))";
    static const int unseen[] = { EROFS, EACCES, EPERM, ENOENT };
    bool foreign = false;
    for (size_t i = 0; !s->node->offline && i < ARRAY_SIZE(unseen); i++)
        foreign |= says_errno(err, unseen[i]);
    if (foreign) {
        char text[LIMIT_ERROR_TEXT_BYTES + sizeof(hint) + 1];
        int size = snprintf(text, sizeof(text), "%s%s\n", err->text, hint);
        admin_write(s, ADMIN_ERR, text, (size_t)size);
        admin_end(s, err_exit_code(err->code));
    } else {
        admin_fail(s, err);
    }
}

static void on_idle(void *ctx)
{
    struct node *n = ctx;
    node_release(n, &n->admin_hold, NULL);
}

enum err admin_part_start(struct node *n, struct error *err)
{
    const struct admin_options options = {
        .node = n,
        .loop = n->env.loop,
        .mem = n->mem,
        .dir = n->started->data_dir,
        .dir_fd = n->datadir.fd,
    };
    return admin_create(&n->admin, &options, err);
}

void admin_part_drain(struct node *n)
{
    if (n->admin && admin_close(n->admin, false, on_idle, n))
        node_hold(n, &n->admin_hold, "commands on the control socket");
}

void admin_part_cancel(struct node *n)
{
    if (n->admin)
        (void)admin_close(n->admin, true, on_idle,
                          n); /* drain holds the node already, or need not */
}

void admin_part_stop(struct node *n)
{
    admin_destroy(n->admin);
    n->admin = NULL;
}
