#include "node/admin_reserve.h"

#include <stdio.h>

#include "base/hex.h"
#include "base/mem.h"
#include "core/config.h"
#include "node/admin.h"
#include "node/swarm.h"
#include "node/swarm_state.h"

/* ---- stats ---- */

static void print_bins(struct admin_session *s, const struct reserve_status *st)
{
    admin_print(s, "\n  bin     entries      cursor\n");
    for (unsigned bin = 0; bin < RESERVE_BINS; bin++)
        if (st->last_binid[bin] > 0)
            admin_print(s, "  %3u %11" PRIu64 " %11" PRIu64 "%s\n", bin, st->in_bin[bin],
                        st->last_binid[bin], bin < st->radius ? "  below the radius" : "");
}

static void print_evicted(struct admin_session *s, const struct reserve_status *st)
{
    admin_print(s,
                "evicted since the start: %" PRIu64 " for capacity, %" PRIu64 " expired, %" PRIu64
                " asked\n",
                st->evicted[RESERVE_EVICT_CAPACITY], st->evicted[RESERVE_EVICT_EXPIRED],
                st->evicted[RESERVE_EVICT_ASKED]);
}

static void print_faults(struct admin_session *s, const struct reserve *r,
                         const struct reserve_status *st)
{
    struct error err = { ERR_OK, "" };
    if (st->damaged > 0)
        admin_print(s, "damaged records met by evictions: %" PRIu64 "; run 'reserve verify'\n",
                    st->damaged);
    if (!reserve_ready(r, &err))
        admin_print(s, "%s\n", err.text);
}

static void start_stats(struct admin_session *s)
{
    struct swarm *swarm = s->node->swarm;
    struct reserve_status st;
    char overlay[2 * OVERLAY_BYTES + 1];
    uint64_t capacity = s->node->env.config->reserve_capacity;
    reserve_status(swarm->reserve, &st);
    hex_encode(overlay, bytes_of(swarm->identity.overlay, OVERLAY_BYTES));
    admin_print(s, "overlay    %s\n", overlay);
    admin_print(s, "entries    %" PRIu64 "%s", st.count, capacity ? "" : ", no limit\n");
    if (capacity)
        admin_print(s, " of %" PRIu64 " (%.1f %%)\n", capacity,
                    100.0 * (double)st.count / (double)capacity);
    admin_print(s, "radius     %u\n", st.radius);
    admin_print(s, "batches    %" PRIu32 " known\n",
                swarm->batches ? batches_count(swarm->batches) : 0);
    admin_print(s, "bodies     %" PRIu64 "%s in %s on disk\n", st.slots_used,
                st.deriving ? " (still being counted)" : "", units_size_about(st.slab_bytes).text);
    admin_print(s, "has-cache  %s, %" PRIu64 " entries in %s", swarm_cache_name(st.cache),
                st.cache_entries, units_size_about(st.cache_bytes).text);
    if (st.cache_entries > 0)
        admin_print(s, ", %.2f bytes an entry", (double)st.cache_bytes / (double)st.cache_entries);
    admin_print(s, "\n");
    print_evicted(s, &st);
    print_faults(s, swarm->reserve, &st);
    print_bins(s, &st);
    admin_end(s, 0);
}

/* ---- list ---- */

enum { LIST_ENTRIES = 64, LIST_LINE_BYTES = 3 * 64 + 3 };

struct list_command {
    struct admin_session *session;
    struct reserve_list req;
    struct reserve_entry entries[LIST_ENTRIES];
    bool out, full;
    char text[LIST_ENTRIES * LIST_LINE_BYTES + 1];
};

static reserve_list_cb on_list;

static void list_end(struct list_command *c, const struct error *err)
{
    struct admin_session *s = c->session;
    struct error failed = { ERR_OK, "" };
    if (err)
        failed = *err;
    s->on_space = NULL;
    s->on_gone = NULL;
    mem_free(node_owner(s->node, "node"), c);
    if (failed.code)
        admin_fail(s, &failed);
    else
        admin_end(s, 0);
}

static void list_next(struct list_command *c)
{
    c->req.entries = c->entries;
    c->req.room = LIST_ENTRIES;
    c->req.cb = on_list;
    c->out = true;
    reserve_list(node_reserve(c->session->node), &c->req);
}

static void on_list(struct reserve_list *req, const struct error *err)
{
    struct list_command *c = container_of(req, struct list_command, req);
    char *at = c->text;
    c->out = false;
    if (err || admin_gone(c->session)) {
        list_end(c, admin_gone(c->session) ? NULL : err);
        return;
    }
    for (uint32_t i = 0; i < req->count; i++) {
        const struct chunk_id *id = &c->entries[i].id;
        at = hex_encode(at, bytes_of(id->address, 32)) + 64;
        *at++ = ' ';
        at = hex_encode(at, bytes_of(id->batch, 32)) + 64;
        *at++ = ' ';
        at = hex_encode(at, bytes_of(id->stamp_hash, 32)) + 64;
        *at++ = '\n';
    }
    req->from = req->count > 0 ? c->entries[req->count - 1].binid + 1 : 0;
    if (req->count < req->room) {
        req->bin++;
        req->from = 0;
    }
    c->full = !admin_write(c->session, ADMIN_OUT, c->text, (size_t)(at - c->text));
    if (req->bin == RESERVE_BINS)
        list_end(c, NULL);
    else if (!c->full)
        list_next(c);
}

static void list_on_space(struct admin_session *s)
{
    struct list_command *c = s->state;
    if (c->full && !c->out)
        list_next(c);
    c->full = false;
}

static void list_on_gone(struct admin_session *s)
{
    struct list_command *c = s->state;
    if (!c->out)
        list_end(c, NULL);
}

static void start_list(struct admin_session *s)
{
    struct list_command *c = mem_zalloc(node_owner(s->node, "node"), sizeof(*c));
    c->session = s;
    s->state = c;
    s->on_space = list_on_space;
    s->on_gone = list_on_gone;
    list_next(c);
}

/* ---- which of them ---- */

static const struct {
    const char *name;
    uint32_t words; /* behind it */
    void (*start)(struct admin_session *s);
} subcommands[] = {
    { "stats", 0, start_stats },
    { "list", 0, start_list },
    { "verify", 0, admin_verify_start },
    { "repair", 0, admin_repair_start },
    { "upload", 3, admin_upload_start },     /* path, batch, key file */
    { "download", 3, admin_download_start }, /* reference, path, raw or tree */
};

void admin_reserve_start(struct admin_session *s)
{
    struct error err = { ERR_OK, "" };
    if (s->argc == 0) {
        error_set(&err, ERR_USAGE, "reserve takes a subcommand");
        admin_fail(s, &err);
        return;
    }
    if (!node_reserve(s->node)) {
        error_set(&err, ERR_UNSUPPORTED, "the node keeps no reserve: option swarm is off");
        admin_fail(s, &err);
        return;
    }
    for (uint32_t i = 0; i < ARRAY_SIZE(subcommands); i++)
        if (!strcmp(subcommands[i].name, s->argv[0]) && subcommands[i].words == s->argc - 1) {
            subcommands[i].start(s);
            return;
        }
    error_set(&err, ERR_USAGE, "the running node does not know 'reserve %.60s' with %u words",
              s->argv[0], s->argc - 1);
    admin_fail(s, &err);
}
