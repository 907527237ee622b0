#include "node_bed.h"

#include <stdio.h>
#include <string.h>

#include "node/node_state.h"
#include "node/node_stores.h"
#include "node/status.h"
#include "node/swarm.h"
#include "store/reserve.h"

static void add_word(struct node_bed *b, uint32_t *count, const char *word)
{
    assert(*count < NODE_BED_WORDS && strlen(word) < sizeof(b->words_[0]));
    b->argv_[*count] = b->words_[*count];
    snprintf(b->words_[*count], sizeof(b->words_[0]), "%s", word);
    b->argv_[++*count] = NULL;
}

void node_bed_config(struct node_bed *b, const char *name, const char *const *more)
{
    static struct option_report report;
    static char home[] = "HOME=/nowhere";
    static char *envp[] = { home, NULL };
    char dir[400];
    uint32_t count = 0;
    b->argv_[0] = NULL;
    if (name) {
        snprintf(dir, sizeof(dir), "--data-dir=%s/%s", unit_temp_dir(), name);
        add_word(b, &count, dir);
        add_word(b, &count, "--min-free-disk=0");
    }
    for (; *more; more++)
        add_word(b, &count, *more);
    b->args_ = (struct config_args){ .argv = b->argv_, .envp = envp, .all_options = true };
    check(config_load(&b->config, &b->args_, &report), report.text);
    b->options.config = &b->config;
    b->options.args = &b->args_;
}

/* Of a node that runs: its args are those of its bed. */
static void stop_above(struct node *n)
{
    timer_set(&container_of(n->args, struct node_bed, args_)->timer, 0);
}

void node_bed_parts(struct node_bed *b, enum err (*start)(struct node *n, struct error *err))
{
    static const struct node_part
        status = { "status", status_part_start, NULL, NULL, NULL, status_part_stop },
        stores = { "stores", stores_part_start, NULL, NULL, NULL, stores_part_stop },
        swarm = { "swarm", swarm_part_start, swarm_part_reload, swarm_part_drain,
                  NULL,    swarm_part_stop };
    uint32_t count = 0;
    b->parts_[count++] = status;
    b->parts_[count++] = stores;
    if (b->config.swarm)
        b->parts_[count++] = swarm;
    b->parts_[count++] = (struct node_part){ .name = "above", .start = start, .stop = stop_above };
    b->options.parts = b->parts_;
    b->options.parts_count = count;
}

enum err node_bed_make(struct node_bed *b, struct error *err)
{
    assert(b->options.config && b->options.parts);
    return node_create(&b->node, &b->options, err);
}

enum err node_bed_run(struct node_bed *b, struct error *err)
{
    enum err rc = node_run(b->node, err);
    node_destroy(b->node);
    b->node = NULL;
    return rc;
}

uint64_t node_bed_entries(const struct node_bed *b)
{
    struct reserve_status st;
    reserve_status(node_reserve(b->node), &st);
    return st.count;
}
