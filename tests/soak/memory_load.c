/* tests/soak/memory_load.c
 *
 * Three elastic owners ask for three times the budget, with real pages behind every byte; the first
 * two have hoarded all of it before, and give back only what they are asked to. Judged by
 * the kernel's high-water mark, not by samples: what the process held never exceeds the setting,
 * accounted bytes never exceed the setting less slack, waiters are served in order, an owner below
 * its share gets it while two others borrow, and everything is zero at the end (asserted by
 * mem_plan_destroy). Built a second time with accounting broken on purpose, it must fail with
 * "unaccounted".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/governor.h"

enum {
    OWNERS = 3,
    JOBS_PER_OWNER = 100,
    SETTING_MIB = 256,
    JOB_BYTES_MAX = 4 << 20,
    HOARD_BLOCK_BYTES = 1 << 20,
    HOARD_BLOCKS_MAX = SETTING_MIB,
    LATE_MS = 500, /* the jobs come when two owners have borrowed all there is */
};

struct job {
    struct mem_waiter waiter;
    struct timer timer;
    struct mem_owner *owner;
    uint8_t *block;
    size_t bytes;
    uint64_t number; /* order of asking, per owner */
};

static struct loop *loop;
static struct mem_plan *plan;
static struct governor *governor;
static struct job jobs[OWNERS][JOBS_PER_OWNER];
static uint64_t asked[OWNERS], served[OWNERS], runs_left;
static uint64_t late_reached_ms, late_started_ms, borrowed_before_late;
static int64_t unaccounted_worst;
static bool unfair_order;

/* What the first two keep until somebody has a better right to it. */
struct hoard {
    struct governor_shrinker shrinker;
    uint8_t *blocks[HOARD_BLOCKS_MAX];
    int count;
};
static struct hoard hoards[OWNERS - 1];

static void job_ask(struct job *job);

static int owner_index(const struct job *job)
{
    return (int)(job->owner - plan->owners) - 1;
}

static void job_done(struct timer *t)
{
    struct job *job = container_of(t, struct job, timer);
    unaccounted_worst = MAX(unaccounted_worst, governor_sample(governor)->unaccounted_bytes);
    mem_free(job->owner, job->block);
    job->block = NULL;
    if (runs_left > 0) {
        runs_left--;
        job_ask(job);
    }
}

static void job_granted(struct mem_waiter *w, const struct error *err)
{
    struct job *job = container_of(w, struct job, waiter);
    int o = owner_index(job);
    if (err) {
        fprintf(stderr, "refused: %s\n", err->text);
        exit(1);
    }
    unfair_order |= job->number != served[o];
    served[o]++;
    job->block = mem_alloc_taken(job->owner, job->bytes);
    memset(job->block, o + 1, job->bytes); /* real pages */
    if (o == OWNERS - 1 && late_reached_ms == 0 &&
        job->owner->used_bytes + JOB_BYTES_MAX >= job->owner->share_bytes)
        late_reached_ms = loop_now_ms(loop);
    timer_set(&job->timer, 1 + (uint64_t)random() % 30);
}

static void job_ask(struct job *job)
{
    job->bytes = 1024 + (size_t)random() % (JOB_BYTES_MAX - 1024);
    job->number = asked[owner_index(job)]++;
    mem_wait(job->owner, &job->waiter, mem_charge_bytes(job->bytes), job_granted);
}

static void jobs_start(int o)
{
    for (int i = 0; i < JOBS_PER_OWNER; i++) {
        struct job *job = &jobs[o][i];
        job->owner = &plan->owners[1 + o];
        timer_init(&job->timer, loop, job_done, "job");
        job_ask(job);
    }
}

static void hoard_shrink(struct governor_shrinker *s, uint64_t bytes, bool urgent UNUSED)
{
    struct hoard *h = container_of(s, struct hoard, shrinker);
    for (uint64_t freed = 0; freed < bytes && h->count > 0; freed += HOARD_BLOCK_BYTES)
        mem_free(s->owner, h->blocks[--h->count]);
}

static bool hoard_grow(struct hoard *h)
{
    uint8_t *block =
        h->count < HOARD_BLOCKS_MAX ? mem_try_alloc(h->shrinker.owner, HOARD_BLOCK_BYTES) : NULL;
    if (block)
        h->blocks[h->count++] = memset(block, 0xff, HOARD_BLOCK_BYTES);
    return block != NULL;
}

static void hoards_fill(void)
{
    for (int i = 0; i < OWNERS - 1; i++) {
        hoards[i].shrinker =
            (struct governor_shrinker){ .owner = &plan->owners[1 + i], .shrink = hoard_shrink };
        governor_shrinker_add(governor, &hoards[i].shrinker);
    }
    bool more = true;
    while (more) {
        bool first = hoard_grow(&hoards[0]), second = hoard_grow(&hoards[1]);
        more = first || second;
    }
}

static void hoards_drop(void)
{
    for (int i = 0; i < OWNERS - 1; i++) {
        hoard_shrink(&hoards[i].shrinker, UINT64_MAX, false);
        governor_shrinker_remove(&hoards[i].shrinker);
    }
}

static void late_start(struct timer *t UNUSED)
{
    late_started_ms = loop_now_ms(loop);
    for (int o = 0; o < OWNERS - 1; o++) {
        const struct mem_owner *owner = &plan->owners[1 + o];
        if (owner->used_bytes > owner->share_bytes)
            borrowed_before_late += owner->used_bytes - owner->share_bytes;
        jobs_start(o);
    }
    jobs_start(OWNERS - 1);
}

static bool idle(void)
{
    uint64_t all_served = 0, all_asked = 0;
    for (int o = 0; o < OWNERS; o++) {
        all_served += served[o];
        all_asked += asked[o];
        for (int i = 0; i < JOBS_PER_OWNER; i++)
            if (jobs[o][i].block)
                return false;
    }
    return runs_left == 0 && all_served == all_asked && late_started_ms > 0;
}

static void watch_end(struct timer *t)
{
    if (idle())
        loop_stop(loop);
    else
        timer_set(t, 50);
}

static int verdict(const struct process_memory *pm)
{
    double setting = SETTING_MIB, peak = (double)pm->anon_peak_bytes / (double)MiB;
    double accounted = (double)plan->used_peak_bytes / (double)MiB;
    double slack = (double)plan->slack_bytes / (double)MiB;
    double unaccounted = (double)unaccounted_worst / (double)MiB;
    printf("setting %.0f MiB, slack %.0f; high-water mark %.1f, accounted at most %.1f, "
           "unaccounted at most %.1f; two borrowed %.1f, the third had its share after %d ms; "
           "%d jobs\n",
           setting, slack, peak, accounted, unaccounted, (double)borrowed_before_late / (double)MiB,
           (int)(late_reached_ms - late_started_ms), (int)(served[0] + served[1] + served[2]));
    if (unaccounted > slack) {
        printf("unaccounted bytes exceed the slack: the owners' sum is a lie\n");
        return 2;
    }
    const struct {
        bool ok;
        const char *why;
    } rules[] = {
        { accounted <= setting - slack, "accounted bytes exceeded the budget" },
        { peak <= setting, "the process exceeded its setting" },
        { !unfair_order, "a waiter was passed by a later one" },
        { borrowed_before_late > 0, "the first two never borrowed, so nothing was shown" },
        { late_reached_ms > 0, "the third owner never reached its share" },
    };
    int failed = 0;
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (!rules[i].ok) {
            printf("%s\n", rules[i].why);
            failed = 1;
        }
    return failed;
}

int main(int argc, char **argv)
{
    const struct mem_row rows[] = {
        { "node", "", MEM_ELASTIC, MiB, 1, 2, true },
        { "first", "", MEM_ELASTIC, 8 * MiB, 25, 60, true },
        { "second", "", MEM_ELASTIC, 8 * MiB, 25, 60, true },
        { "third", "", MEM_ELASTIC, 8 * MiB, 25, 60, true },
    };
    struct error err = { ERR_OK, "" };
    struct timer late, end;
    runs_left = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000;
    srandom(3);
    if (loop_create(&loop, &err) ||
        mem_plan_create(&plan, SETTING_MIB * MiB, rows, ARRAY_SIZE(rows), &err) ||
        governor_create(&governor, loop, &(struct governor_options){ .plan = plan, .root = "" },
                        &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 3;
    }
    timer_init(&late, loop, late_start, "late start");
    timer_init(&end, loop, watch_end, "end");
    hoards_fill();
    timer_set(&late, LATE_MS);
    timer_set(&end, LATE_MS + 50);
    loop_run(loop);
    struct process_memory pm;
    process_memory_read("", &pm);
    int failed = verdict(&pm);
    timer_set(&end, 0);
    hoards_drop();
    governor_destroy(governor);
    mem_plan_destroy(plan);
    loop_destroy(loop);
    return failed;
}
