#include "node/node_stores.h"

#include "base/mem.h"
#include "codec/json.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/notify.h"
#include "node/node_state.h"
#include "node/status.h"
#include "store/slab.h"
#include "store/statestore.h"
#include "store/stores_rows.h"

/* A replayed log of a store may take a while; the service manager is told in steps. */
enum { OPENING_STEP_MS = 5000, OPENING_EXTENDS_MS = 20000 };

struct node_stores {
    struct node *node;
    struct stores *stores;
    struct statestore *state;
    struct store_row rows[STORES_MAX]; /* borrowed by stores */
    bool open;
    struct node_hold hold;
    struct timer opening;
    struct metrics_collector collector;
    struct status_section section;
    struct status_condition condition;
    struct state_get restored;
    uint8_t restored_value[8];
    uint64_t restored_ns;
};

struct stores *node_stores(struct node *n)
{
    return n->stores && n->stores->open ? n->stores->stores : NULL;
}

struct statestore *node_statestore(struct node *n)
{
    return n->stores && n->stores->open ? n->stores->state : NULL;
}

uint64_t node_restored_ns(struct node *n)
{
    return n->stores->restored_ns;
}

bool plan_disk_row(const struct config *c, uint32_t i, struct plan_disk_row *out)
{
    struct store_row rows[STORES_MAX];
    uint32_t count = stores_rows(c, rows);
    if (i > count)
        return false;
    if (i == count) {
        *out = (struct plan_disk_row){ "slabs", "chunk bodies of the reserve",
                                       c->swarm ? c->reserve_capacity * SLAB_SLOT_BYTES : 0 };
        return true;
    }
    *out = (struct plan_disk_row){ rows[i].name, rows[i].sentence,
                                   rows[i].enabled ? rows[i].disk_bytes : 0 };
    return true;
}

static unsigned row_label(const struct node_stores *ns, const struct store_row *row)
{
    return (unsigned)(row - ns->rows); /* stores_rows keeps the order of stores.def */
}

static void collect(struct metrics_collector *c)
{
    struct node_stores *ns = container_of(c, struct node_stores, collector);
    struct store_status st;
    metric_set(METRIC_disk_free_bytes, (int64_t)stores_free_bytes(ns->stores));
    for (uint32_t i = 0; store_status(ns->stores, i, &st); i++) {
        unsigned label = row_label(ns, st.row);
        uint64_t read = 0, written = 0, syncs = 0;
        for (int f = 0; f < LDB_FILE_KINDS; f++) {
            read += st.stats.files[f].read_bytes;
            written += st.stats.files[f].write_bytes;
            syncs += st.stats.files[f].syncs;
        }
        metric_set_by(METRIC_store_writable, label, st.state == STORE_OPEN);
        metric_set_by(METRIC_store_memory_bytes, label, (int64_t)st.memory_bytes);
        metric_set_by(METRIC_store_open_tables, label, (int64_t)st.stats.open_tables);
        metric_set_by(METRIC_store_table_memory_bytes, label, (int64_t)st.stats.open_table_bytes);
        metric_raise_by(METRIC_store_read_bytes_total, label, read);
        metric_raise_by(METRIC_store_written_bytes_total, label, written);
        metric_raise_by(METRIC_store_syncs_total, label, syncs);
        metric_raise_by(METRIC_store_reopened_total, label, st.reopened);
    }
}

static void write_stores(struct status_section *s, struct json_writer *w)
{
    struct node_stores *ns = container_of(s, struct node_stores, section);
    struct store_status st;
    json_array_begin(w, "stores");
    for (uint32_t i = 0; store_status(ns->stores, i, &st); i++) {
        json_object_begin(w, NULL);
        json_put_text(w, "name", st.row->name);
        json_put_text(w, "state", store_state_name(st.state));
        json_put_uint(w, "memory_bytes", st.memory_bytes);
        json_put_uint(w, "open_tables", st.stats.open_tables);
        json_put_uint(w, "tables_bytes", st.stats.open_table_bytes);
        json_put_uint(w, "reopened", st.reopened);
        json_object_end(w);
    }
    json_array_end(w);
}

static enum readiness look_stores(struct status_condition *c, struct error *why)
{
    struct node_stores *ns = container_of(c, struct node_stores, condition);
    if (ns->open)
        return stores_ready(ns->stores, why) ? READINESS_OK : READINESS_DEGRADED;
    error_set(why, ERR_CANCELED, "opening");
    return READINESS_WAITING;
}

static void status_add(struct node_stores *ns)
{
    ns->section.name = "stores";
    ns->section.write = write_stores;
    status_section_add(node_status(ns->node), &ns->section);
    ns->condition.name = "stores";
    ns->condition.look = look_stores;
    status_condition_add(node_status(ns->node), &ns->condition);
}

static void on_restored(struct state_get *req, const struct error *err)
{
    struct node_stores *ns = container_of(req, struct node_stores, restored);
    if (!err && writer_used(&req->value) == sizeof(ns->restored_value)) {
        ns->restored_ns = be64_decode(ns->restored_value);
        log_info_with(LOG_FIELDS(log_uint("at_ns", ns->restored_ns)),
                      "the data directory was restored from a backup");
    }
    if (err && err->code != ERR_NOT_FOUND)
        node_release(ns->node, &ns->hold, err);
    else
        node_release(ns->node, &ns->hold, NULL);
}

static void on_opened(void *ctx, const struct error *err)
{
    struct node_stores *ns = ctx;
    struct error failed = { ERR_OK, "" };
    timer_set(&ns->opening, 0);
    ns->open = !err;
    if (!err && statestore_create(&ns->state, stores_find(ns->stores, "state"),
                                  node_owner(ns->node, "node"), &failed))
        err = &failed;
    if (err) {
        node_release(ns->node, &ns->hold, err);
        return;
    }
    metrics_collector_add(&ns->collector);
    ns->restored = (struct state_get){
        .key = { STATE_NODE, bytes_of(STATE_NODE_RESTORED, sizeof(STATE_NODE_RESTORED) - 1) },
        .value = writer_of(ns->restored_value, sizeof(ns->restored_value)),
        .cb = on_restored,
    };
    state_get(ns->state, &ns->restored);
}

static void still_opening(struct timer *t)
{
    struct node_stores *ns = container_of(t, struct node_stores, opening);
    notify_status(node_notify(ns->node), "opening stores");
    notify_extend(node_notify(ns->node), OPENING_EXTENDS_MS);
    timer_set(t, OPENING_STEP_MS);
}

enum err stores_part_start(struct node *n, struct error *err)
{
    struct mem_owner *mem = node_owner(n, "stores");
    struct node_stores *ns = n->stores = mem_zalloc(n->mem, sizeof(*ns));
    ns->node = n;
    ns->collector.collect = collect;
    timer_init(&ns->opening, n->env.loop, still_opening, "still_opening");
    const struct stores_options options = {
        .data_dir = n->started->data_dir,
        .loop = n->env.loop,
        .work = n->env.work,
        .mem = mem,
        .memory_bytes = mem->share_bytes - MIN(mem->share_bytes, LIMIT_STORES_STRUCT_BYTES),
        .min_free_bytes = n->started->min_free_disk,
        .rows = ns->rows,
        .count = stores_rows(n->started, ns->rows),
    };
    enum err rc = stores_create(&ns->stores, &options, err);
    if (rc)
        return rc;
    status_add(ns);
    node_hold(n, &ns->hold, "opening stores");
    timer_set(&ns->opening, OPENING_STEP_MS);
    stores_open(ns->stores, on_opened, ns);
    return ERR_OK;
}

static void stores_part_free(struct node_stores *ns)
{
    struct node *n = ns->node;
    status_section_remove(&ns->section);
    status_condition_remove(&ns->condition);
    stores_destroy(ns->stores);
    mem_free(n->mem, ns);
    n->stores = NULL;
}

static void on_closed(void *ctx, const struct error *err UNUSED)
{
    struct node_stores *ns = ctx;
    struct node *n = ns->node;
    metrics_collector_remove(&ns->collector);
    node_release(n, &ns->hold, NULL); /* its next step is a deferred call */
    stores_part_free(ns);
}

void stores_part_stop(struct node *n)
{
    struct node_stores *ns = n->stores;
    if (!ns)
        return;
    statestore_destroy(ns->state);
    ns->state = NULL;
    if (!ns->open) {
        stores_part_free(ns);
        return;
    }
    node_hold(n, &ns->hold, "closing stores");
    stores_close(ns->stores, on_closed, ns);
}
