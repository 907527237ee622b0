/* tests/unit/reserve_world.h: a node's worth of what a reserve stands on, and calls that wait. */
#ifndef LARDER_TESTS_RESERVE_WORLD_H
#define LARDER_TESTS_RESERVE_WORLD_H

#include "unit.h"

#include "core/loop.h"
#include "store/reserve.h"

struct mem_plan;
struct work_pool;

struct world {
    struct loop *loop;
    struct work_pool *pool;
    struct mem_plan *plan;
    struct stores *stores;
    struct reserve *reserve;
    struct reserve_options options;
    struct error err;     /* of the last callback */
    uint64_t restored_ns; /* an option of the next opening */
    bool repair;          /* another one */
    uint32_t waits;       /* callbacks that are still to come */
    char dir[300], slabs[320], image[320];
};

/* A chunk and its stamp from small numbers: the same ones give the same bytes. */
struct chunk {
    uint8_t address[32], batch[32], stamp[STAMP_BYTES], data[SLAB_DATA_BYTES_MAX];
    struct reserve_item item;
};
struct chunk_spec {
    uint32_t address, batch, position;
    uint64_t timestamp;
    uint32_t content; /* of a single-owner chunk, whose content may change; 0: content-addressed */
};

struct world_put {
    struct reserve_put put;
    struct world *world;
};

extern const struct store_row world_row; /* of the index */
/* For a world_put of the test's own; await it. */
void world_put_cb(struct reserve_put *req, const struct error *err);
void world_setup(struct world *w, const char *dir);
void world_teardown(struct world *w);
/* Runs the loop until every callback has come. */
enum err world_await(struct world *w);
void world_open(struct world *w, enum reserve_cache cache);
void world_cb(void *ctx, const struct error *err); /* for what the test starts; ctx: the world */
/* The same with the n-th take of memory refused; after an error nothing is open. */
enum err world_try_open(struct world *w, enum reserve_cache cache, uint64_t refuse_nth);
void world_close(struct world *w);
void world_pause(struct world *w, uint64_t ms);
/* Until slots are derived and the cache is not building any more. */
void world_settle(struct world *w);
void chunk_make(struct chunk *c, const struct chunk_spec *spec);
enum reserve_outcome world_put(struct world *w, const struct chunk_spec *spec);
bool world_has(struct world *w, const struct chunk_spec *spec);
bool world_has_id(struct world *w, const struct chunk_id *id);
/* ERR_OK: body and stamp are those of spec. */
enum err world_get(struct world *w, const struct chunk_spec *spec, uint32_t content);
uint32_t world_list(struct world *w, uint8_t bin, uint64_t from, struct reserve_entry *entries,
                    uint32_t room);
uint64_t world_evict(struct world *w, uint32_t batch, uint8_t bin, uint64_t count);
enum err world_try_evict(struct world *w, uint32_t batch, uint8_t bin, uint64_t count);
/* The invariants that can be seen from outside: every entry has its body (I1, a wrong or shared
 * slot fails the sum or the address), counts agree with the entries (I4), the cache has what is in
 * 'B' (I3), no slot is leaked. Returns the number of entries. */
uint64_t world_check(struct world *w);
uint64_t world_addresses(struct world *w); /* different ones, of at most 8192 entries */

#endif
