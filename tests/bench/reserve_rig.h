/* tests/bench/reserve_rig.h: what a bench of the reserve stands on: a folder, a real loop with real
 * workers, a plan of memory, the store. Fails the bench when something cannot be had. Thread: main.
 */
#ifndef LARDER_TESTS_RESERVE_RIG_H
#define LARDER_TESTS_RESERVE_RIG_H

#include "bench.h"
#include "reserve_gen.h"

#include "core/loop.h"
#include "core/work.h"

enum { RIG_STORE_MEMORY = 60 * MiB, RIG_HAS_CONCURRENCY = 128 };

struct rig {
    struct bench *bench;
    struct loop *loop;
    struct work_pool *pool;
    struct mem_plan *plan;
    struct stores *stores;
    struct reserve *reserve; /* overlay zero */
    bool arrived;
    char dir[64], slabs[80], image[80];
};

void rig_start(struct rig *g, struct bench *bench, uint64_t plan_bytes);
void rig_end(struct rig *g); /* the folder goes, too */
void rig_open(struct rig *g, enum reserve_cache cache);
void rig_settle(struct rig *g); /* until slots are derived and the cache is not building */
void rig_close(struct rig *g);
void rig_await(struct rig *g); /* until rig_arrived */
void rig_arrived(struct rig *g);

#endif
