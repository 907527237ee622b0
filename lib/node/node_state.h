/* lib/node/node_state.h
 *
 * The fields of struct node, for node.c, machine.c and reload.c alone. Everybody else uses node.h.
 * Owns:   what is said at each field. Thread: as node.h says.
 */
#ifndef LARDER_NODE_NODE_STATE_H
#define LARDER_NODE_NODE_STATE_H

#include "core/config.h"
#include "core/env.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/timer.h"
#include "core/work.h"
#include "node/datadir.h"
#include "node/node.h"

struct node_stores;
struct offline_node;
struct p2p;
struct reprovide;
struct reload;
struct signals;
struct swarm;
struct swarm_net;
struct swarm_pull;

struct node {
    struct env env;                 /* config changes with a reload */
    const struct config *started;   /* borrowed: where RESTART rows live */
    const struct config_args *args; /* borrowed */

    struct mem_plan *plan; /* owned, as is all below */
    struct mem_owner *mem; /* the row "node" of plan; borrowed from it */
    struct datadir datadir;
    struct signals *signals;
    struct notify *notify;
    struct facts *facts;
    struct admin *admin;
    struct node_stores *stores;
    struct status *status;
    struct scrape *scrape;         /* NULL without http-addr */
    struct p2p *p2p;               /* NULL when section p2p is off */
    struct swarm *swarm;           /* NULL without swarm */
    struct swarm_net *swarm_net;   /* the same */
    struct swarm_pull *swarm_pull; /* the same */
    struct reload *reload;         /* made by the first SIGHUP */
    struct reprovide *reprovide;   /* NULL when it is off */

    const struct node_part *parts;
    uint32_t parts_count;
    enum node_phase phase;
    uint32_t parts_started; /* from the front of the table, the last one maybe half */
    struct list holds;
    struct node_hold facts_hold, admin_hold, p2p_hold, first_job_hold;
    struct work first_job;
    struct deferred step;
    struct timer deadline;
    bool published;               /* node.json */
    bool swarm_repair;            /* the reserve is opened for a repair */
    struct offline_node *offline; /* borrowed; NULL unless a command is all it runs for */
    struct timer offline_timer;
    bool asked_to_stop;
    struct error failure; /* why it stops; ERR_OK: it was asked to */
    uint64_t created_ms;
};

/* machine.c: what stands before the first part and falls after the last. */
enum err machine_create(struct node *n, const struct node_options *o, struct error *err);
void machine_destroy(struct node *n);
void machine_log_setup(const struct config *c);
/* A line each; takes the text apart. */
void machine_log_report(struct option_report *report, enum log_level level);
void machine_log_setup_command(const struct config *c); /* warnings, unless log-level is given */

/* reload.c */
void reload_start(struct node *n);
void reload_destroy(struct node *n);

/* node.c: drain, or stop waiting when it drains already. */
void node_stop(struct node *n);
void node_reload_parts(struct node *n);

#endif
