/* tests/unit/node_bed.h: a whole node in this process, of the parts a test says. */
#ifndef LARDER_TESTS_NODE_BED_H
#define LARDER_TESTS_NODE_BED_H

#include "unit.h"

#include "core/config.h"
#include "core/timer.h"
#include "node/node.h"

enum { NODE_BED_PARTS = 4, NODE_BED_WORDS = 12 };

/* Zeroed before its first use; then it may be used again and again. */
struct node_bed {
    struct node *node; /* from node_bed_make on, while it runs */
    struct config config;
    struct node_options options; /* what the functions below leave alone is the test's */
    struct timer timer;          /* of the part above: its start may init it, its stop ends it */
    struct config_args args_;
    struct node_part parts_[NODE_BED_PARTS];
    char *argv_[NODE_BED_WORDS + 1], words_[NODE_BED_WORDS][400];
};

/* The config of such a command line: a data folder of that name in the test's own, no disk kept
 * free, and more, ended by NULL. Without a name it is more alone. */
void node_bed_config(struct node_bed *b, const char *name, const char *const *more);
/* Status, stores and, where the config has it, Swarm; above them a part with this start. */
void node_bed_parts(struct node_bed *b, enum err (*start)(struct node *n, struct error *err));
enum err node_bed_make(struct node_bed *b, struct error *err);
/* Until it has stopped; then it is gone. */
enum err node_bed_run(struct node_bed *b, struct error *err);
/* Of its reserve. */
uint64_t node_bed_entries(const struct node_bed *b);

#endif
