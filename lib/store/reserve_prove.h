/* lib/store/reserve_prove.h
 *
 * A page of entries with their bytes: is each what it says? Chunk against address, stamp against
 * chunk and batch; half the page in each of two jobs. For verification and repair.
 * Ownership: the page is its user's. Thread: loop; what comes before the proof may fill it on a
 * worker.
 */
#ifndef LARDER_STORE_RESERVE_PROVE_H
#define LARDER_STORE_RESERVE_PROVE_H

#include "core/work.h"
#include "store/batches.h"
#include "store/reserve.h"

enum prove_fault {
    PROVE_SOUND,
    PROVE_DAMAGED,   /* body or stamp cannot be read */
    PROVE_MISPLACED, /* records of the index disagree about it */
    PROVE_UNKNOWN,   /* its batch is not known */
    PROVE_INVALID,   /* chunk or stamp prove something else */
    PROVE_FAULTS
};

struct prove_entry {
    struct chunk_id id; /* address: in; batch and stamp hash: also out, when it is sound */
    enum chunk_kind kind;
    struct slab_ref ref;
    uint64_t seq;
    enum prove_fault fault; /* in: what is not sound already is not proved */
    struct error why;
    struct bytes data; /* in slot */
    uint8_t stamp[STAMP_BYTES];
    uint8_t slot[SLAB_SLOT_BYTES];
};

enum { PROVE_ENTRIES = 128, PROVE_JOBS = 2 };

struct prove_page;
typedef void prove_done_cb(struct prove_page *p);
struct prove_page {
    struct work_pool *work;
    struct batches *batches; /* in use by the page's user */
    bool accept_all_stamps;
    prove_done_cb *done;
    uint32_t count, jobs_out;
    struct prove_job {
        struct work work;
        struct prove_page *page;
        uint32_t from, to;
    } jobs[PROVE_JOBS];
    struct prove_entry entries[PROVE_ENTRIES];
};
void prove_page(struct prove_page *p);
const char *prove_fault_name(enum prove_fault fault);

#endif
