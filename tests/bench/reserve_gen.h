/* tests/bench/reserve_gen.h
 *
 * A reserve's index without bodies, of any size, written in the order of its keys: addresses rise
 * with the entry's number, so that every key can be computed and none is remembered. The reserve is
 * that of overlay zero. Also used by the soak programs.
 * Thread: main, before the store is opened by others.
 */
#ifndef LARDER_TESTS_RESERVE_GEN_H
#define LARDER_TESTS_RESERVE_GEN_H

#include "store/reserve.h"

extern const struct store_row gen_row; /* as in stores.def */

struct gen_entry {
    struct chunk_id id;
    uint8_t index[STAMP_INDEX_BYTES];
    uint8_t bin;
    uint64_t binid;
};
/* Entry i of so many. Absent: an id like its, that is not in the index. */
void gen_entry(struct gen_entry *out, uint64_t entries, uint64_t i, bool absent);
/* Into the new store `reserve` below dir, beside an empty slab. */
enum err gen_fill(const char *dir, uint64_t memory_bytes, uint64_t entries, struct error *err);

#endif
