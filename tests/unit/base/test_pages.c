#include "unit.h"

#include <string.h>

#include "base/mem.h"
#include "base/pages.h"

static const struct mem_row rows[] = {
    { "pool", "no page", MEM_ELASTIC, 1 * MiB, 50, 90, true },
};

struct user { /* one page each, by tag */
    uint32_t page[4096];
};

static void on_moved(void *ctx, uint32_t tag, uint32_t from, uint32_t to)
{
    struct user *u = ctx;
    check(u->page[tag] == from, "the page was where we think");
    u->page[tag] = to;
}

static struct mem_plan *plan_of(uint64_t setting)
{
    struct mem_plan *plan = NULL;
    check(!mem_plan_create(&plan, setting, rows, 1, NULL), "plan");
    return plan;
}

TEST(freeing_moves_the_last_page_into_the_hole)
{
    static struct user u;
    struct mem_plan *plan = plan_of(256 * MiB);
    struct mem_owner *mem = mem_plan_find(plan, "pool");
    struct page_pool *p = page_pool_create(&(struct page_pool_options){ mem, 4096, on_moved, &u });
    uint64_t empty = mem->used_bytes;
    for (uint32_t i = 0; i < 3000; i++) {
        check(page_pool_take(p, i, &u.page[i]), "a page");
        memset(page_pool_base(p) + (uint64_t)u.page[i] * PAGE_BYTES, (int)i, PAGE_BYTES);
    }
    check(mem->used_bytes == empty + 3003 * PAGE_BYTES, "pages and their tags are charged");
    for (uint32_t i = 0; i < 3000; i += 2)
        page_pool_free(p, u.page[i]);
    check(page_pool_count(p) == 1500, "half is left");
    for (uint32_t i = 1; i < 3000; i += 2) {
        const uint8_t *at = page_pool_base(p) + (uint64_t)u.page[i] * PAGE_BYTES;
        check(u.page[i] < 1500 && at[0] == (uint8_t)i && at[PAGE_BYTES - 1] == (uint8_t)i,
              "contents moved with their page");
        check(page_pool_tag(p, u.page[i]) == i, "and so did the tag");
    }
    for (uint32_t i = 1; i < 3000; i += 2)
        page_pool_free(p, u.page[i]);
    check(mem->used_bytes <= empty + 2 * PAGE_BYTES, "everything went back but tags in hand");
    page_pool_destroy(p);
    check(mem->used_bytes == 0, "nothing is left");
    mem_plan_destroy(plan);
}

TEST(a_pool_refuses_at_its_limit_and_at_its_owners)
{
    static struct user u;
    struct mem_plan *plan = plan_of(256 * MiB);
    struct mem_owner *mem = mem_plan_find(plan, "pool");
    struct page_pool *p = page_pool_create(&(struct page_pool_options){ mem, 3, on_moved, &u });
    for (uint32_t i = 0; i < 3; i++)
        check(page_pool_take(p, i, &u.page[i]), "three fit");
    uint32_t page = 77;
    check(!page_pool_take(p, 3, &page) && page == 77, "a fourth does not");
    page_pool_free(p, u.page[0]);
    mem_fault_at(1);
    check(!page_pool_take(p, 3, &page) && page_pool_count(p) == 2, "the owner refused");
    mem_fault_at(0);
    check(page_pool_take(p, 3, &page) && page == 2, "the next one is granted");
    page_pool_destroy(p);
    mem_plan_destroy(plan);
}

TEST(a_step_is_populated_ahead_of_the_pages)
{
    static struct user u;
    struct mem_plan *plan = plan_of(1024 * MiB);
    struct mem_owner *mem = mem_plan_find(plan, "pool");
    struct page_pool *p =
        page_pool_create(&(struct page_pool_options){ mem, 100000, on_moved, &u });
    struct page_step step;
    uint32_t page, steps = 0;
    check(!page_pool_step_due(p, &step), "not at the start");
    for (uint32_t i = 0; i < 20000; i++) { /* 78 MiB */
        check(page_pool_take(p, i, &page), "a page");
        if (page_pool_step_due(p, &step)) {
            check(!page_pool_step_due(p, &step), "one at a time");
            check(step.at >= page_pool_base(p) + 64 * MiB && (uintptr_t)step.at % (2 * MiB) == 0,
                  "behind the first 64 MiB, on a border");
            page_step_populate(&step);
            page_pool_step_done(p, &step);
            steps++;
        }
    }
    check(steps == 8 || steps == 7, "one step for every 2 MiB behind the first 64");
    page_pool_destroy(p);
    mem_plan_destroy(plan);
}
