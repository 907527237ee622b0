/* tests/unit/pullsync_bed.h: two reserves on one loop, whose clock the test turns, and valid chunks
 * with stamps of a batch that both know. */
#ifndef LARDER_TESTS_PULLSYNC_BED_H
#define LARDER_TESTS_PULLSYNC_BED_H

#include "core/governor.h"
#include "reserve_world.h"
#include "store/batches.h"
#include "store/statestore.h"

enum { BED_WORLDS = 2, BED_PAYLOAD = 64 };

struct bed {
    struct world w[BED_WORLDS];
    struct loop *loop;
    struct mem_plan *plan;
    struct governor *governor;
    uint64_t held_bytes;   /* what the process holds, as the governor sees it */
    struct mem_owner *mem; /* "pullsync" */
    struct mem_owner *streams;
    struct batches *batches;
    uint8_t batch_id[32];
    struct stores *stores; /* with the state store, when it is open */
    struct statestore *state;
    char state_dir[400];
    uint32_t payload; /* of a chunk; 0: BED_PAYLOAD */
};

struct bed_chunk {
    struct chunk_id id;
    uint8_t data[8 + 4096], stamp[STAMP_BYTES];
    size_t size;
    struct reserve_item item;
};

void bed_make(struct bed *b, uint32_t worlds, uint64_t memory_bytes);
void bed_end(struct bed *b);
/* A state store in the directory of a world; it may be opened again. */
void bed_state_open(struct bed *b, uint32_t world);
void bed_state_close(struct bed *b);
/* The process holds as much as stands for this level, and the governor has seen it. */
void bed_hold(struct bed *b, enum governor_level level);
void bed_turn(struct bed *b, uint64_t ms); /* all that happens in so many ms */
/* The n-th chunk of a bin: the same bytes for the same numbers. */
void bed_chunk(struct bed *b, struct bed_chunk *c, uint8_t bin, uint32_t n);
/* Stores chunks from..from + count - 1 of a bin. */
void bed_put(struct bed *b, uint32_t world, uint8_t bin, uint32_t from, uint32_t count);
uint64_t bed_count(struct bed *b, uint32_t world);
/* Are all entries of one in the other? */
bool bed_contains(struct bed *b, uint32_t world, uint32_t of);

#endif
