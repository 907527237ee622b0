/* lib/store/keystore.h
 *
 * The keys to reprovide, in Kademlia order, with an exact count for each 12-bit prefix that is
 * written together with the keys it counts. A new key is marked as awaiting its first provide in
 * the same write; KEYSTORE_PROVIDED takes the mark away.
 *
 *   'k' kad[8] multihash   -> ""    a key                    (of an odd generation: 'K')
 *   'n' kad[8] multihash   -> ""    its first provide is still pending              ('N')
 *   'c' bucket[2]          -> be64  keys in the bucket                              ('C')
 *   'm' name               -> ...   keystore_state.h; other names are the caller's
 *   'r', 'p'               -> ...   rows of the scheduler: ipfs/schedule.h
 *
 * A key set is replaced by a whole one: keystore_stage.h. All that is read is of one generation.
 * Nothing here holds keys but the sets its callers bring: a region is counted without a key being
 * loaded, and streamed by short reads, each with an iterator of its own.
 * Owns:   counters (3 * 32 KiB) and one write batch. Borrows the store.
 * Thread: loop only. Requests are fields of their callers, zeroed at first; cb fires exactly once,
 *         on the loop, never inside the call.
 * Errors: those of store_read and store_write; ERR_CORRUPT.
 */
#ifndef LARDER_STORE_KEYSTORE_H
#define LARDER_STORE_KEYSTORE_H

#include "store/keyset.h"
#include "store/stores.h"

struct keystore;

enum { KEYSTORE_BUCKET_BITS = 12, KEYSTORE_BUCKETS = 1 << KEYSTORE_BUCKET_BITS };
enum keystore_kind { KEYSTORE_KEYS = 'k', KEYSTORE_PENDING = 'n' };

enum err keystore_create(struct keystore **out, struct store *store, struct loop *loop,
                         struct mem_owner *mem, struct error *err);
/* Reads the counters. */
typedef void keystore_cb(void *ctx, const struct error *err);
void keystore_open(struct keystore *ks, keystore_cb *cb, void *ctx);
/* Sweeping and compacting end after the step under way; then cb, never inside the call. */
void keystore_stop(struct keystore *ks, void (*cb)(void *ctx), void *ctx);
void keystore_destroy(struct keystore *ks); /* NULL is fine; asserts that nothing is out */

uint64_t keystore_total(const struct keystore *ks);
uint64_t keystore_pending(const struct keystore *ks);
/* Moves when keys are to be added and again when they are: unchanged means that none came. */
uint64_t keystore_adds(const struct keystore *ks);
/* Exact for prefixes of up to KEYSTORE_BUCKET_BITS; for longer ones, at most that many. */
uint64_t keystore_bucket_count(const struct keystore *ks, struct kad_prefix p);

struct keystore_row {
    struct bytes key, value; /* value.data NULL: deleted */
};

/* Changes, one write batch each, in the order of the calls. */
enum keystore_op {
    KEYSTORE_ADD,
    KEYSTORE_REMOVE,
    KEYSTORE_PROVIDED,
    KEYSTORE_ROWS,
    KEYSTORE_STAGE,  /* with an open stage: into the next generation */
    KEYSTORE_SWITCH, /* and that one is the keystore from now on */
    KEYSTORE_SWEEP,  /* these are the keystore's own */
    KEYSTORE_COMPACT,
};
struct keystore_write;
typedef void keystore_write_cb(struct keystore_write *req, const struct error *err);
struct keystore_write {
    enum keystore_op op;             /* in */
    struct keyset *keys;             /* in: borrowed until cb, and sorted; NULL: none */
    const struct keystore_row *rows; /* in: written with it, at most LIMIT_KEYSTORE_ROWS */
    uint32_t rows_count;             /* in */
    bool sync;                       /* in: survives a power cut once answered */
    bool settled;                    /* in, ADD: as provided already */
    keystore_write_cb *cb;           /* in */
    uint32_t changed;                /* out: keys that were added, removed, or no longer pending */
    uint32_t known;                  /* out, STAGE: of those added, the current generation has */
    struct keystore *keystore_;
    struct list link_;
};
void keystore_write(struct keystore *ks, struct keystore_write *req);

/* How many keys, counting no further than limit (0: all). */
struct keystore_count;
typedef void keystore_count_cb(struct keystore_count *req, const struct error *err);
struct keystore_count {
    struct kad_prefix prefix; /* in */
    uint64_t limit;           /* in */
    keystore_count_cb *cb;    /* in */
    uint64_t count;           /* out */
    struct keystore *keystore_;
    struct store_job job_;
    struct deferred later_;
};
void keystore_count(struct keystore *ks, struct keystore_count *req);

/* The next keys of a prefix, in order, until the set is full or there are no more. */
struct keystore_read;
typedef void keystore_read_cb(struct keystore_read *req, const struct error *err);
struct keystore_read {
    enum keystore_kind kind;      /* in */
    struct kad_prefix prefix;     /* in */
    uint8_t after[KEY_BYTES_MAX]; /* in: begins behind this key; out: the last one read */
    uint8_t after_size;           /* 0: at the start */
    struct keyset *keys;          /* in: cleared and filled */
    keystore_read_cb *cb;         /* in */
    bool end;                     /* out: there are no more */
    struct store_job job_;
};
void keystore_read(struct keystore *ks, struct keystore_read *req);
void keystore_read_cancel(struct keystore_read *req);

/* Is each of these stored, and is it pending? Bit i of the maps, which have room for all. */
struct keystore_has;
typedef void keystore_has_cb(struct keystore_has *req, const struct error *err);
struct keystore_has {
    const struct keyset *keys; /* in */
    uint8_t *have, *pending;   /* out */
    keystore_has_cb *cb;       /* in */
    struct store_job job_;
};
void keystore_has(struct keystore *ks, struct keystore_has *req);

/* Rows of other kinds: each as u8 size of key, key, be16 size of value, value. */
struct keystore_rows;
typedef void keystore_rows_cb(struct keystore_rows *req, const struct error *err);
struct keystore_rows {
    uint8_t kind;         /* in */
    struct writer out;    /* in: over the caller's buffer */
    uint8_t after[32];    /* in: begins behind this key; out: the last one read */
    uint8_t after_size;   /* 0: at the start */
    keystore_rows_cb *cb; /* in */
    bool end;             /* out */
    struct store_job job_;
};
void keystore_rows(struct keystore *ks, struct keystore_rows *req);

/* Worker or offline: do the counters equal a scan, in both generations that may be there?
 * ERR_CORRUPT says which does not. keys: of the current one. */
enum err keystore_verify(struct ldb *db, uint64_t *keys, struct error *err);

#endif
