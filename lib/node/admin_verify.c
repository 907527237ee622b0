/* Is the reserve sound, for the control socket; and its index made anew, where no node runs. */
#include <stdio.h>

#include "base/hex.h"
#include "base/mem.h"
#include "core/config.h"
#include "node/admin.h"
#include "node/admin_reserve.h"
#include "node/swarm.h"
#include "node/swarm_state.h"
#include "store/reserve_rebuild.h"
#include "store/reserve_verify.h"

enum { FAULTS_SHOWN = 100 };

struct verify_command {
    struct admin_session *session;
    struct reserve_verify *verify;
    struct reserve_rebuild *rebuild;
    uint32_t shown;
    bool full; /* the reader is slow: it hears the sum */
};

static void on_fault(void *ctx, const struct chunk_id *id, const struct error *why)
{
    struct verify_command *c = ctx;
    char address[65], stamp_hash_text[65];
    if (c->full || c->shown++ >= FAULTS_SHOWN)
        return;
    c->full = !admin_print(c->session, "chunk %s with stamp %s: %s\n",
                           hex_encode(address, bytes_of(id->address, 32)),
                           hex_encode(stamp_hash_text, bytes_of(id->stamp_hash, 32)), why->text);
}

static void on_progress(void *ctx, const struct verify_report *now)
{
    struct verify_command *c = ctx;
    const struct admin_progress p = { "verified", false, now->checked, now->total };
    (void)admin_progress(c->session, &p);
}

static void on_rebuild_progress(void *ctx, const struct rebuild_report *now)
{
    struct verify_command *c = ctx;
    const struct admin_progress p = { "slots read", false, now->slots, now->slots_total };
    (void)admin_progress(c->session, &p);
}

/* "3 damaged, 1 invalid"; returns how many in all. */
static uint64_t print_faults(struct admin_session *s, const uint64_t by_fault[PROVE_FAULTS])
{
    uint64_t sum = 0;
    for (unsigned f = PROVE_SOUND + 1; f < PROVE_FAULTS; f++) {
        if (by_fault[f] > 0)
            admin_print(s, "%s%" PRIu64 " %s", sum ? ", " : "", by_fault[f],
                        prove_fault_name((enum prove_fault)f));
        sum += by_fault[f];
    }
    if (sum > 0)
        admin_print(s, "\n");
    return sum;
}

static void command_end(struct verify_command *c, uint64_t faults, const struct error *err)
{
    struct admin_session *s = c->session;
    struct error failed = { ERR_OK, "" };
    if (err)
        failed = *err;
    reserve_verify_destroy(c->verify);
    reserve_rebuild_destroy(c->rebuild);
    s->on_gone = NULL;
    s->on_space = NULL;
    mem_free(s->node->swarm->mem, c);
    if (failed.code)
        admin_fail(s, &failed);
    else
        admin_end(s, faults > 0);
}

static void on_verified(void *ctx, const struct verify_report *report, const struct error *err)
{
    struct verify_command *c = ctx;
    uint64_t faults = 0;
    if (!err) {
        admin_print(c->session, "%" PRIu64 " entries verified, %" PRIu64 " of them sound\n",
                    report->checked, report->by_fault[PROVE_SOUND]);
        faults = print_faults(c->session, report->by_fault);
    }
    command_end(c, faults, err);
}

static void on_rebuilt(void *ctx, const struct rebuild_report *report, const struct error *err)
{
    struct verify_command *c = ctx;
    uint64_t faults = 0;
    if (!err) {
        admin_print(c->session,
                    "the index is made anew: %" PRIu64 " entries from %" PRIu64 " slots; %" PRIu64
                    " were superseded or there twice\n",
                    report->entries, report->slots, report->older);
        faults = print_faults(c->session, report->by_fault);
        if (faults > 0)
            admin_print(c->session, "their slots are free\n");
    }
    command_end(c, faults, err);
}

static void verify_on_gone(struct admin_session *s)
{
    struct verify_command *c = s->state;
    if (c->verify)
        reserve_verify_cancel(c->verify);
    if (c->rebuild)
        reserve_rebuild_cancel(c->rebuild);
}

static void verify_on_space(struct admin_session *s)
{
    ((struct verify_command *)s->state)->full = false;
}

static enum err start_verify(struct verify_command *c, struct error *err)
{
    struct node *n = c->session->node;
    const struct reserve_verify_options options = {
        .reserve = n->swarm->reserve,
        .work = n->env.work,
        .mem = n->swarm->mem,
        .batches = n->swarm->batches,
        .accept_all_stamps = n->started->accept_all_stamps,
        .fault = on_fault,
        .progress = on_progress,
        .done = on_verified,
        .ctx = c,
    };
    return reserve_verify_start(&c->verify, &options, err);
}

static enum err start_rebuild(struct verify_command *c, struct error *err)
{
    struct node *n = c->session->node;
    const struct reserve_rebuild_options options = {
        .reserve = n->swarm->reserve,
        .work = n->env.work,
        .mem = n->swarm->mem,
        .batches = n->swarm->batches,
        .accept_all_stamps = n->started->accept_all_stamps,
        .progress = on_rebuild_progress,
        .done = on_rebuilt,
        .ctx = c,
    };
    if (!n->swarm_repair)
        return error_set(err, ERR_REFUSED,
                         "a repair makes the index anew: stop the node before it");
    return reserve_rebuild_start(&c->rebuild, &options, err);
}

static void start(struct admin_session *s,
                  enum err (*begin)(struct verify_command *c, struct error *err))
{
    struct mem_owner *mem = s->node->swarm->mem;
    struct error err = { ERR_OK, "" };
    struct verify_command *c = mem_try_zalloc(mem, sizeof(*c));
    if (!c) {
        mem_refused(mem, sizeof(*c), &err);
        admin_fail(s, &err);
        return;
    }
    c->session = s;
    if (begin(c, &err)) {
        mem_free(mem, c);
        admin_fail(s, &err);
        return;
    }
    s->state = c;
    s->on_gone = verify_on_gone;
    s->on_space = verify_on_space;
}

void admin_verify_start(struct admin_session *s)
{
    start(s, start_verify);
}

void admin_repair_start(struct admin_session *s)
{
    start(s, start_rebuild);
}
