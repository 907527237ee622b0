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

/* Chunks that are put together. */
struct world_page {
    uint32_t count;
    struct chunk chunks[LIMIT_RESERVE_PAGE_CHUNKS];
    struct reserve_item items[LIMIT_RESERVE_PAGE_CHUNKS]; /* once put: what became of each */
    struct world_put put;
};

extern const struct store_row world_row; /* of the index */
void world_setup(struct world *w, const char *dir);
void world_setup_named(struct world *w, const char *name); /* below the test's own folder */
void world_begin(struct world *w, const char *name, enum reserve_cache cache); /* and opened */
void world_start(struct world *w, const char *name); /* with a cache, and settled */
void world_again(struct world *w);                   /* closed, opened as it was, and settled */
void world_end(struct world *w);                     /* closed and torn down */
void world_teardown(struct world *w);
/* Runs the loop until every callback has come. */
enum err world_await(struct world *w);
void world_open(struct world *w, enum reserve_cache cache);
void world_cb(void *ctx, const struct error *err); /* for what the test starts; ctx: the world */
/* The same with the n-th take of memory refused; after an error nothing is open. */
enum err world_try_open(struct world *w, enum reserve_cache cache, uint64_t refuse_nth);
void world_close(struct world *w);
void world_pause(struct world *w, uint64_t ms);
/* False: it still does not hold after a minute. */
bool world_until(struct world *w, bool (*holds)(const struct world *w));
bool world_quiet(const struct world *w); /* nothing is evicted for capacity */
/* Until slots are derived and the cache is not building any more. */
void world_settle(struct world *w);
void chunk_make(struct chunk *c, const struct chunk_spec *spec);
enum reserve_outcome world_put(struct world *w, const struct chunk_spec *spec);
/* Callbacks are to be awaited. */
void world_put_start(struct world *w, struct world_put *p, struct reserve_item *items,
                     uint32_t count);
void world_page_add(struct world_page *p, const struct chunk_spec *spec);
/* So many and no others: addresses and positions go up from those of the first one. */
void world_page_run(struct world_page *p, const struct chunk_spec *first, uint32_t count);
void world_page_start(struct world *w, struct world_page *p);
enum err world_page_put(struct world *w, struct world_page *p);
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
uint64_t world_addresses(struct world *w);   /* different ones, of at most 8192 entries */
uint64_t world_slots(const struct world *w); /* that are used */

/* ---- what goes wrong ---- */

/* The first slab takes no bytes, until it is mended with what this returned. */
int world_slab_break(struct world *w);
void world_slab_mend(struct world *w, int good);
void world_flip(const char *path, uint64_t at); /* one bit */
void world_slot_flip(const struct world *w, struct slab_ref slot, uint64_t at);
/* A record of the index as no put writes it; no value: it goes. */
void world_edit(struct world *w, struct bytes key, struct bytes value);
/* In between, the log goes to the text that the second one returns. */
void world_log_begin(void);
const char *world_log_end(void);

#endif
