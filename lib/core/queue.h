/* lib/core/queue.h
 *
 * Bounded FIFOs of pointers: a full one refuses, and its producer stops reading its source until
 * on_space. Dropping or growing would each surprise somebody.
 * Owns:   the ring, charged to the owner given; not the items.
 * Thread: loop only.
 * Errors: ERR_BUDGET (no memory for the ring).
 */
#ifndef LARDER_CORE_QUEUE_H
#define LARDER_CORE_QUEUE_H

#include "base/error.h"

struct mem_owner;

enum queue_id {
#define QUEUE(name, capacity, low_water, text) QUEUE_##name,
#include "tables/queues.def"
#undef QUEUE
    QUEUE_COUNT
};

struct queue {
    enum queue_id id; /* its row in tables/queues.def: name (a metric label), capacity, low water */
    void **ring;      /* capacity slots, allocated once */
    uint32_t capacity, head, count, low_water;
    bool refused;
    void (*on_space)(struct queue *); /* after a refusal, when count has fallen to low_water */
    struct mem_owner *mem_;
};

enum err queue_init(struct queue *q, enum queue_id id, struct mem_owner *mem,
                    void (*on_space)(struct queue *), struct error *err);
void queue_free(struct queue *q); /* asserts that it is empty; fine on a zeroed one */

bool queue_push(struct queue *q, void *item) WARN_UNUSED; /* false: stop reading your stream */
/* NULL when empty. on_space is called at its end, when the item is out: it may push. */
void *queue_pop(struct queue *q);

/* Of the row. The label is its name in small letters. */
uint32_t queue_capacity(enum queue_id id);
uint32_t queue_low_water(enum queue_id id);
const char *queue_label(enum queue_id id);

#endif
