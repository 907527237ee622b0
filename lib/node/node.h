/* lib/node/node.h
 *
 * The life of the process: start in the order of the table of parts, run, reload, drain, stop in
 * reverse. SIGHUP reloads; SIGTERM and SIGINT drain up to `shutdown-deadline`, then cancel what is
 * left; a second one skips the waiting. At the end every memory owner must hold zero.
 * Owns:   everything: machine, data directory, parts.
 * Thread: the one that runs the loop.
 * Errors: the first that kept it from running, with the exit code of its row.
 */
#ifndef LARDER_NODE_NODE_H
#define LARDER_NODE_NODE_H

#include "base/list.h"
#include "base/error.h"

struct config;
struct config_args;
struct datadir;
struct env;
struct facts;
struct mem_owner;
struct mem_plan;
struct node;
struct notify;
struct process_memory;

/* A part of the node: a row of the table in node.c. Every function but start may be NULL. start and
 * stop that cannot end at once call node_hold before they return and node_release when they have;
 * so does drain while something of the part still runs. */
struct node_part {
    const char *name;
    enum err (*start)(struct node *n, struct error *err);
    void (*reload)(struct node *n); /* the configuration has changed */
    void (*drain)(struct node *n);  /* take nothing new */
    void (*cancel)(struct node *n); /* end what still runs, soon */
    void (*stop)(struct node *n);   /* also after a start that failed half way */
};

struct node_options {
    const struct config *config;    /* borrowed: RESTART rows and their texts live here for good */
    const struct config_args *args; /* borrowed; read again by a reload */
    const struct node_part *parts;  /* of a test; NULL: those of the node */
    uint32_t parts_count;
    /* For tests, as in struct governor_options; NULL otherwise. */
    void (*process_memory)(void *ctx, struct process_memory *out);
    void *process_memory_ctx;
};

/* Makes the machine: log, plan of memory and descriptors, lock, loop, workers. */
enum err node_create(struct node **out, const struct node_options *options, struct error *err);
/* Starts the parts and runs until the node has stopped. ERR_OK: it was asked to. */
enum err node_run(struct node *n, struct error *err);
/* Asserts that every owner holds zero. NULL and half-built is fine. */
void node_destroy(struct node *n);

/* Stops the node from inside: drains, and node_run returns this error. */
void node_fail(struct node *n, const struct error *err);

/* What a part needs. All of it lives as long as the node. */
struct env *node_env(struct node *n);
const struct config *node_config(const struct node *n); /* changes with a reload */
struct mem_plan *node_plan(struct node *n);
struct mem_owner *node_owner(struct node *n, const char *name); /* of owners.def; asserted */
/* ERR_BUDGET while more is held than the mark from which on new work waits. */
enum err node_admits(const struct node *n, struct error *err);
const struct datadir *node_datadir(const struct node *n);
struct notify *node_notify(struct node *n);
struct facts *node_facts(struct node *n);       /* what runs, for people and tests: node/facts.h */
uint64_t node_started_ms(const struct node *n); /* on the loop's clock */

enum node_phase { NODE_STARTING, NODE_RUNNING, NODE_DRAINING, NODE_CANCELING, NODE_STOPPING };
enum node_phase node_phase(const struct node *n);
const char *node_phase_name(enum node_phase phase);

/* The present phase does not end before the release. what says in the log who keeps the node
 * waiting; a literal. */
struct node_hold {
    struct list link_;
    const char *what_;
};
void node_hold(struct node *n, struct node_hold *hold, const char *what);
/* err: a start has failed; NULL: all is well. */
void node_release(struct node *n, struct node_hold *hold, const struct error *err);

#endif
