#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "core/metrics.h"
#include "core/queue.h"

static unsigned spaces;

static void on_space(struct queue *q)
{
    check(q->count <= q->low_water, "not before the low water mark");
    spaces++;
}

static struct mem_plan *plan_new(uint64_t setting_bytes, uint64_t floor_bytes)
{
    const struct mem_row rows[] = { { .name = "test",
                                      .at_limit = "refused",
                                      .kind = MEM_ELASTIC,
                                      .floor_bytes = floor_bytes,
                                      .enabled = true } };
    struct mem_plan *plan = NULL;
    struct error err = { ERR_OK, "" };
    check(mem_plan_create(&plan, setting_bytes, rows, 1, &err) == ERR_OK, err.text);
    return plan;
}

TEST(a_full_queue_refuses_and_says_when_to_go_on)
{
    struct mem_plan *plan = plan_new(256 * MiB, 1 * MiB);
    struct queue q;
    struct error err = { ERR_OK, "" };
    check(!queue_init(&q, QUEUE_WORK_READ, mem_plan_find(plan, "test"), on_space, &err), err.text);
    q.low_water = 10;
    int item[3];
    spaces = 0;
    check(queue_pop(&q) == NULL, "empty");
    for (int round = 0; round < 3; round++) { /* the ring wraps */
        for (uint32_t i = 0; i < q.capacity; i++)
            check(queue_push(&q, &item[i % 3]), "there is room");
        for (uint32_t i = 0; i < q.capacity - 5; i++)
            check(queue_pop(&q) == &item[i % 3], "first in, first out");
        check(spaces == (unsigned)round, "no call without a refusal");
        for (uint32_t i = 0; i < q.capacity - 5; i++)
            check(queue_push(&q, &item[(i + q.capacity) % 3]), "there is room again");
        check(!queue_push(&q, &item[0]) && !queue_push(&q, &item[0]), "full");
        check(metric_get_by(METRIC_queue_refused_total, q.id) == 2 * (round + 1), "counted");
        check(metric_get_by(METRIC_queue_length, q.id) == q.count, "and its length is seen");
        while (q.count > q.low_water + 1)
            check(queue_pop(&q) != NULL, "still there");
        check(spaces == (unsigned)round, "above the mark");
        check(queue_pop(&q) != NULL && spaces == (unsigned)round + 1, "at the mark: go on");
        while (queue_pop(&q))
            ;
        check(spaces == (unsigned)round + 1, "once per refusal");
    }
    check(metric_get_by(METRIC_queue_length, q.id) == 0, "empty again");
    queue_free(&q);
    mem_plan_destroy(plan);
}

TEST(its_ring_is_charged_to_its_owner)
{
    struct mem_plan *plan = plan_new(256 * MiB, 4 * KiB);
    struct mem_owner *mem = mem_plan_find(plan, "test");
    struct queue q;
    struct error err = { ERR_OK, "" };
    check(queue_init(&q, QUEUE_WORK_READ, mem, on_space, &err) == ERR_BUDGET, "no room");
    check(mem->used_bytes == 0 && strstr(err.text, "test"), err.text);
    queue_free(&q);
    mem_plan_destroy(plan);
}

TEST(rows_have_names)
{
    check(!strcmp(queue_label(QUEUE_WORK_CPU), "work_cpu"), queue_label(QUEUE_WORK_CPU));
    for (unsigned i = 0; i < QUEUE_COUNT; i++)
        check(queue_capacity(i) > queue_low_water(i), queue_label(i));
}
