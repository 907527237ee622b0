#include "core/queue.h"

#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "core/metrics.h"

static const struct {
    const char *name;
    uint32_t capacity, low_water;
} rows[] = {
#define QUEUE(name, capacity, low_water, text) { #name, (capacity), (low_water) },
#include "tables/queues.def"
#undef QUEUE
};

/* A queue must hold something, and space must appear before it is empty for good. */
#define QUEUE(name, capacity, low_water, text)                                                     \
    static_assert((capacity) > 0 && (low_water) < (capacity) && sizeof(text) > 1, #name);
#include "tables/queues.def"
#undef QUEUE

enum err queue_init(struct queue *q, enum queue_id id, struct mem_owner *mem,
                    void (*on_space)(struct queue *), struct error *err)
{
    assert(id < QUEUE_COUNT && on_space);
    *q = (struct queue){ .id = id,
                         .capacity = queue_capacity(id),
                         .low_water = queue_low_water(id),
                         .on_space = on_space,
                         .mem_ = mem };
    size_t bytes = q->capacity * sizeof(*q->ring);
    q->ring = mem_try_alloc(mem, bytes);
    return q->ring ? ERR_OK : mem_refused(mem, bytes, err);
}

void queue_free(struct queue *q)
{
    assert(q->count == 0);
    mem_free(q->mem_, q->ring);
    q->ring = NULL;
}

bool queue_push(struct queue *q, void *item)
{
    assert(q->ring && item);
    if (q->count == q->capacity) {
        q->refused = true;
        metric_add_by(METRIC_queue_refused_total, q->id, 1);
        return false;
    }
    q->ring[(q->head + q->count++) % q->capacity] = item;
    metric_shift_by(METRIC_queue_length, q->id, 1);
    return true;
}

void *queue_pop(struct queue *q)
{
    if (q->count == 0)
        return NULL;
    void *item = q->ring[q->head];
    q->head = (q->head + 1) % q->capacity;
    q->count--;
    metric_shift_by(METRIC_queue_length, q->id, -1);
    if (q->refused && q->count <= q->low_water) {
        q->refused = false;
        q->on_space(q);
    }
    return item;
}

uint32_t queue_capacity(enum queue_id id)
{
    assert(id < QUEUE_COUNT);
    return rows[id].capacity;
}

uint32_t queue_low_water(enum queue_id id)
{
    assert(id < QUEUE_COUNT);
    return rows[id].low_water;
}

const char *queue_label(enum queue_id id)
{
    static char labels[QUEUE_COUNT][24];
    assert(id < QUEUE_COUNT);
    char *label = labels[id];
    if (!label[0]) {
        const char *name = rows[id].name;
        assert(strlen(name) < sizeof(labels[0]));
        for (size_t i = strlen(name); i-- > 0;)
            label[i] = (char)tolower((unsigned char)name[i]);
    }
    return label;
}
