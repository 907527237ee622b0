/* lib/ipfs/allot.h
 *
 * Which KAD_K servers hold a key: exact, by XOR over the servers of its region. Keys come sorted,
 * and the set depends on their first bits alone, so it is computed once for a run of keys.
 * Ownership: borrows the places. Thread: any, one at a time.
 */
#ifndef LARDER_IPFS_ALLOT_H
#define LARDER_IPFS_ALLOT_H

#include "ipfs/kad.h"

struct allot {
    const uint64_t *places; /* sorted; the first 64 bits of each server's */
    uint32_t count;         /* at most LIMIT_EXPLORE_SERVERS */
    uint8_t depth;          /* bits of a key that matter */
    bool valid;
    uint64_t run;        /* a key of the present run */
    uint32_t set_count;  /* min(KAD_K, count) */
    uint16_t set[KAD_K]; /* servers of the run, nearest first */
};
void allot_init(struct allot *a, const uint64_t *places, uint32_t count);
void allot_key(struct allot *a, uint64_t kad); /* sets set */

#endif
