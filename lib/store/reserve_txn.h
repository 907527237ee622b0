/* lib/store/reserve_txn.h
 *
 * What the one writer of the reserve does to the index: entries come and go in a write batch, and
 * every decision sees the index plus the changes of that batch (an overlay of 'S' and 'C' records).
 *
 * Owner:  made and destroyed on the loop, used by one write job at a time.
 * Thread: all but create and destroy on the worker of that job.
 * Errors: after any error the txn must be dropped (txn_begin); what was committed before stands.
 */
#ifndef LARDER_STORE_RESERVE_TXN_H
#define LARDER_STORE_RESERVE_TXN_H

#include "store/reserve_keys.h"

struct reserve_counters {
    uint64_t count;
    uint64_t last[RESERVE_BINS], in_bin[RESERVE_BINS];
};

struct overlay_row {
    struct reserve_key key;
    uint32_t at, size; /* in values; at UINT32_MAX: deleted */
};

enum { TXN_ROWS = 2048, TXN_VALUES_BYTES = 512 * 1024, TXN_BATCH_BYTES = 2 * 1024 * 1024 };

/* Tests only: they show that a crash test can fail, and what a failed commit leads to. */
enum txn_fault {
    TXN_SOUND,
    TXN_SKIP_SLAB_SYNC,
    TXN_SKIP_BATCH_SYNC,
    TXN_LOSE_COMMIT, /* fails, and nothing is there */
    TXN_HIDE_COMMIT, /* fails, and all of it is there */
};

/* Moments between what must happen in order. A test may end the process there, or fail what can
 * fail: on the loop an error is ignored. */
enum txn_moment {
    TXN_SLOTS_WRITTEN, /* worker */
    TXN_SLOTS_SYNCED,
    TXN_BATCH_SYNCED,
    TXN_CACHE_TOLD, /* loop, puts: cache and counters are changed */
    TXN_ANSWERED,
    TXN_CACHE_FORGOT, /* loop, eviction: before its batch */
    TXN_REMOVING,     /* worker, eviction */
    TXN_SLOTS_FREED,  /* loop, eviction */
    TXN_MOMENTS
};
typedef enum err txn_probe(enum txn_moment moment, struct error *err);

struct reserve_txn {
    struct mem_owner *mem; /* borrowed */
    struct ldb_batch *batch;
    struct slab_files *files; /* borrowed */
    struct store_job *job;    /* of the present use */
    struct ldb *db;
    struct reserve_counters now, committed;
    uint32_t bins_changed; /* bit per bin */
    bool commit_failed;    /* the store may or may not hold the last batch */
    bool refuse;           /* set by the loop: the index is not known, nothing may be written */
    enum txn_fault fault;
    txn_probe *probe; /* tests only; NULL: none */
    struct overlay_row rows[TXN_ROWS];
    uint16_t table[2 * TXN_ROWS]; /* number of a row + 1, open addressing */
    uint32_t rows_used, values_used;
    uint8_t values[TXN_VALUES_BYTES];
    uint8_t buf[C_VALUE_BYTES_MAX];
    struct reserve_body body, other; /* of the item's chunk; of an entry that is removed */
    uint8_t slot[SLAB_SLOT_BYTES];
};

enum err txn_create(struct reserve_txn **out, struct mem_owner *mem, struct slab_files *files,
                    struct error *err);
void txn_destroy(struct reserve_txn *t); /* NULL is fine */

void txn_begin(struct reserve_txn *t, struct store_job *job, struct ldb *db,
               const struct reserve_counters *counters);
bool txn_is_full(const struct reserve_txn *t); /* commit before the next entry */
/* Sets outcome, and what the loop must do after the commit. What is damaged or cannot be read for
 * this item fails it alone: RESERVE_FAILED and ERR_OK, *own says why, and nothing of it is staged.
 */
enum err txn_put(struct reserve_txn *t, struct reserve_item *item, struct error *own,
                 struct error *err);
/* Removes the entry of a stamp index if it still is this one. When its records do not belong
 * together those go that are its own, and the entry is marked as damaged: no error. */
struct reserve_victim {
    struct chunk_id id;
    uint8_t index[STAMP_INDEX_BYTES];
    uint8_t bin;
    bool removed, freed; /* out */
    bool damaged;        /* out: its records do not belong together; those that are its own go */
    bool doubtful;       /* out: it was to be freed, and the commit failed */
    bool replaced;       /* by a put, since it was chosen; the loop's */
    struct slab_ref ref; /* out: when freed or doubtful */
};
enum err txn_remove(struct reserve_txn *t, struct reserve_victim *v, struct error *err);
enum err txn_reach(const struct reserve_txn *t, enum txn_moment moment, struct error *err);
/* Bodies first, then the batch, both synced. */
enum err txn_commit(struct reserve_txn *t, struct error *err);

#endif
