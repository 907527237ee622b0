#include "node/status.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/version.h"
#include "codec/json.h"
#include "core/governor.h"
#include "core/metrics.h"
#include "core/work.h"
#include "node/node_state.h"

struct disk {
    struct work work;
    bool busy;
    const char *path; /* for the worker */
    struct {
        uint64_t size_bytes, free_bytes;
    } seen, shown; /* by the worker; on the loop */
    struct error failed;
    struct timer again;
};

struct status {
    struct node *node;
    struct list sections, conditions;
    struct disk disk;
    struct node_hold hold;
    bool stopping;
    uint64_t began_ms, began_wall_ns;
    uint64_t descriptors_seen, descriptors_seen_ms;
    struct metrics_collector collector;
    struct status_section memory, descriptors, disk_section, loop, clock;
    struct status_condition running;
};

void status_section_add(struct status *st, struct status_section *s)
{
    assert(s->name && s->write);
    list_append(&st->sections, &s->link_);
}

void status_section_remove(struct status_section *s)
{
    if (list_linked(&s->link_))
        list_remove(&s->link_);
}

void status_condition_add(struct status *st, struct status_condition *c)
{
    assert(c->name && c->look);
    list_append(&st->conditions, &c->link_);
}

void status_condition_remove(struct status_condition *c)
{
    if (list_linked(&c->link_))
        list_remove(&c->link_);
}

/* ---- is it ready ---- */

const char *readiness_name(enum readiness r)
{
    static const char *const names[] = { "ready", "waiting", "degraded" };
    assert(r < READINESS_STATES);
    return names[r];
}

static enum readiness look_running(struct status_condition *c, struct error *why)
{
    struct status *st = container_of(c, struct status, running);
    enum node_phase phase = node_phase(st->node);
    if (phase == NODE_RUNNING)
        return READINESS_OK;
    error_set(why, ERR_CANCELED, "%s", node_phase_name(phase));
    return READINESS_WAITING;
}

static enum readiness worse(enum readiness a, enum readiness b)
{
    return a == READINESS_WAITING || b == READINESS_OK ? a : b;
}

enum readiness status_readiness(struct status *st, char *text, size_t size)
{
    enum readiness all = READINESS_OK;
    size_t used = 0;
    text[0] = '\0';
    list_each (at, &st->conditions) {
        struct status_condition *c = container_of(at, struct status_condition, link_);
        struct error why = { ERR_OK, "" };
        enum readiness r = c->look(c, &why);
        all = worse(all, r);
        if (r == READINESS_OK || used >= size)
            continue;
        int n = snprintf(text + used, size - used, "%s: %s: %s\n", readiness_name(r), c->name,
                         why.text);
        used += n > 0 ? (size_t)n : 0;
    }
    if (all == READINESS_OK)
        snprintf(text, size, "ready\n");
    return all;
}

/* ---- the document ---- */

struct text {
    char *buf;
    size_t size, used;
    bool overflow;
};

static void to_text(void *ctx, const char *data, size_t size)
{
    struct text *t = ctx;
    t->overflow |= size > t->size - t->used;
    if (t->overflow)
        return;
    memcpy(t->buf + t->used, data, size);
    t->used += size;
}

static void write_conditions(struct status *st, struct json_writer *w)
{
    char text[16];
    json_put_text(w, "state", readiness_name(status_readiness(st, text, sizeof(text))));
    json_array_begin(w, "not_ready");
    list_each (at, &st->conditions) {
        struct status_condition *c = container_of(at, struct status_condition, link_);
        struct error why = { ERR_OK, "" };
        enum readiness r = c->look(c, &why);
        if (r == READINESS_OK)
            continue;
        json_object_begin(w, NULL);
        json_put_text(w, "name", c->name);
        json_put_text(w, "state", readiness_name(r));
        json_put_text(w, "why", why.text);
        json_object_end(w);
    }
    json_array_end(w);
}

static uint64_t uptime_ms(const struct status *st)
{
    return loop_now_ms(st->node->env.loop) - node_started_ms(st->node);
}

enum err status_write(struct status *st, char *buf, size_t size, size_t *used, struct error *err)
{
    struct text t = { buf, size, 0, false };
    struct json_writer *w = json_writer_create(st->node->mem, JSON_INDENTED, to_text, &t);
    json_object_begin(w, NULL);
    json_put_text(w, "version", LARDER_VERSION);
    json_put_uint(w, "pid", (uint64_t)getpid());
    json_put_decimal(w, "uptime_seconds", (int64_t)uptime_ms(st), 3);
    write_conditions(st, w);
    list_each (at, &st->sections) {
        struct status_section *s = container_of(at, struct status_section, link_);
        json_object_begin(w, s->name);
        s->write(s, w);
        json_object_end(w);
    }
    json_object_end(w);
    json_writer_destroy(w);
    if (t.overflow)
        return error_set(err, ERR_TOO_LARGE, "the status exceeds %zu bytes", size);
    *used = t.used;
    return ERR_OK;
}

/* ---- built-in sections ---- */

static void write_owner(struct json_writer *w, const struct mem_owner *o)
{
    json_object_begin(w, NULL);
    json_put_text(w, "name", o->row.name);
    json_put_text(w, "kind", o->row.kind == MEM_FIXED ? "fixed" : "elastic");
    json_put_uint(w, "used_bytes", o->used_bytes);
    json_put_uint(w, "peak_bytes", o->peak_bytes);
    json_put_uint(w, "floor_bytes", o->row.floor_bytes);
    json_put_uint(w, "share_bytes", o->share_bytes);
    json_put_uint(w, "ceiling_bytes", o->ceiling_bytes);
    json_put_uint(w, "refused", o->refused);
    json_put_uint(w, "waiting", o->waiters);
    json_object_end(w);
}

static void write_memory(struct status_section *s, struct json_writer *w)
{
    struct node *n = container_of(s, struct status, memory)->node;
    const struct mem_plan *plan = node_plan(n);
    const struct governor_sample *g = governor_sample(n->env.governor);
    json_put_uint(w, "setting_bytes", plan->setting_bytes);
    json_put_uint(w, "slack_bytes", plan->slack_bytes);
    json_put_uint(w, "used_bytes", plan->used_bytes);
    json_put_uint(w, "held_bytes", g->held_bytes);
    json_put_uint(w, "held_peak_bytes", g->held_peak_bytes);
    json_put_uint(w, "file_bytes", g->file_bytes);
    json_put_int(w, "unaccounted_bytes", g->unaccounted_bytes);
    json_put_uint(w, "level", governor_level(n->env.governor));
    json_array_begin(w, "owners");
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->owners[i].row.enabled)
            write_owner(w, &plan->owners[i]);
    json_array_end(w);
}

/* The kernel answers this from memory, no disk is asked; but each costs it a name. */
static uint64_t descriptors_count(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t count = 0;
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the folder itself */
}

/* Counted at most once a second, however often it is asked. */
static uint64_t descriptors_open(struct status *st)
{
    uint64_t now_ms = loop_now_ms(st->node->env.loop);
    if (st->descriptors_seen == 0 ||
        now_ms - st->descriptors_seen_ms >= LIMIT_STATUS_DESCRIPTORS_MS) {
        st->descriptors_seen = descriptors_count();
        st->descriptors_seen_ms = now_ms;
    }
    return st->descriptors_seen;
}

static uint64_t descriptors_limit(void)
{
    struct rlimit limit = { 0 };
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

static void write_descriptors(struct status_section *s, struct json_writer *w)
{
    struct status *st = container_of(s, struct status, descriptors);
    json_put_uint(w, "open", descriptors_open(st));
    json_put_uint(w, "limit", descriptors_limit());
}

static void write_disk(struct status_section *s, struct json_writer *w)
{
    struct status *st = container_of(s, struct status, disk_section);
    json_put_text(w, "path", st->node->started->data_dir);
    json_put_uint(w, "size_bytes", st->disk.shown.size_bytes);
    json_put_uint(w, "free_bytes", st->disk.shown.free_bytes);
    json_put_uint(w, "min_free_bytes", st->node->started->min_free_disk);
    if (st->disk.failed.code)
        json_put_text(w, "error", st->disk.failed.text);
}

static void write_loop(struct status_section *s, struct json_writer *w)
{
    const struct loop_stats *l = loop_stats(container_of(s, struct status, loop)->node->env.loop);
    json_put_uint(w, "callbacks", l->callbacks);
    json_put_uint(w, "slow", l->slow);
    json_put_decimal(w, "busy_seconds", (int64_t)l->busy_ns, 9);
    json_put_decimal(w, "slow_seconds", (int64_t)l->slow_ns, 9);
    json_put_decimal(w, "slowest_seconds", (int64_t)l->slowest_ns, 9);
    json_put_text(w, "slowest", l->slowest_name);
}

static void write_clock(struct status_section *s, struct json_writer *w)
{
    struct status *st = container_of(s, struct status, clock);
    uint64_t wall_ns = loop_wall_ns(st->node->env.loop);
    time_t seconds = (time_t)(wall_ns / 1000000000);
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_put_text(w, "utc", text);
    json_put_decimal(w, "unix_time", (int64_t)wall_ns, 9);
    /* How far the wall clock has moved against one that never jumps. */
    uint64_t ran_ms = loop_now_ms(st->node->env.loop) - st->began_ms;
    json_put_decimal(w, "jumped_seconds",
                     (int64_t)(wall_ns - st->began_wall_ns) / 1000000 - (int64_t)ran_ms, 3);
}

static void collect(struct metrics_collector *c)
{
    struct status *st = container_of(c, struct status, collector);
    metric_set(METRIC_uptime_seconds, (int64_t)uptime_ms(st) * 1000000);
    metric_set(METRIC_file_descriptors_open, (int64_t)descriptors_open(st));
    metric_set(METRIC_file_descriptors_limit, (int64_t)descriptors_limit());
    metric_set(METRIC_disk_size_bytes, (int64_t)st->disk.shown.size_bytes);
    char text[16];
    metric_set(METRIC_node_ready, status_readiness(st, text, sizeof(text)) != READINESS_WAITING);
}

/* ---- the disk ---- */

static enum err run_look(struct work *w, struct error *err)
{
    struct disk *d = container_of(w, struct disk, work);
    struct statvfs fs;
    if (statvfs(d->path, &fs) != 0)
        return error_errno(err, ERR_IO, errno, "%s", d->path);
    d->seen.size_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
    d->seen.free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    return ERR_OK;
}

static void on_looked(struct work *w, const struct error *err)
{
    struct status *st = container_of(w, struct status, disk.work);
    st->disk.busy = false;
    error_clear(&st->disk.failed);
    if (err)
        st->disk.failed = *err;
    else
        st->disk.shown = st->disk.seen;
    if (!st->stopping) {
        timer_set(&st->disk.again, LIMIT_STATUS_DISK_MS);
        return;
    }
    struct node *n = st->node;
    node_release(n, &st->hold, NULL);
    mem_free(n->mem, st);
}

static void disk_look(struct timer *t)
{
    struct status *st = container_of(t, struct status, disk.again);
    st->disk.busy = true;
    work_submit(st->node->env.work, &st->disk.work, WORK_READ, run_look, on_looked);
}

/* ---- the part ---- */

static void sections_add(struct status *st)
{
    const struct {
        struct status_section *section;
        const char *name;
        void (*write)(struct status_section *s, struct json_writer *w);
    } all[] = {
        { &st->memory, "memory", write_memory },
        { &st->descriptors, "file_descriptors", write_descriptors },
        { &st->disk_section, "disk", write_disk },
        { &st->loop, "loop", write_loop },
        { &st->clock, "clock", write_clock },
    };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        all[i].section->name = all[i].name;
        all[i].section->write = all[i].write;
        status_section_add(st, all[i].section);
    }
}

struct status *node_status(struct node *n)
{
    return n->status;
}

enum err status_part_start(struct node *n, struct error *err UNUSED)
{
    struct status *st = mem_zalloc(n->mem, sizeof(*st));
    st->node = n;
    st->began_ms = loop_now_ms(n->env.loop);
    st->began_wall_ns = loop_wall_ns(n->env.loop);
    list_init(&st->sections);
    list_init(&st->conditions);
    sections_add(st);
    st->running.name = "node";
    st->running.look = look_running;
    status_condition_add(st, &st->running);
    st->collector.collect = collect;
    metrics_collector_add(&st->collector);
    st->disk.path = n->started->data_dir;
    timer_init(&st->disk.again, n->env.loop, disk_look, "disk look");
    disk_look(&st->disk.again);
    n->status = st;
    return ERR_OK;
}

void status_part_stop(struct node *n)
{
    struct status *st = n->status;
    n->status = NULL;
    if (!st)
        return;
    metrics_collector_remove(&st->collector);
    timer_set(&st->disk.again, 0);
    st->stopping = true;
    if (st->disk.busy)
        node_hold(n, &st->hold, "looking at the disk");
    else
        mem_free(n->mem, st);
}
