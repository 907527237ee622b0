/* lib/store/keystore_state.h: the struct behind keystore.h, for its two files. Thread: loop only,
 * but for what is said to be the writer's. */
#ifndef LARDER_STORE_KEYSTORE_STATE_H
#define LARDER_STORE_KEYSTORE_STATE_H

#include "store/keystore.h"

struct keystore_counts {
    uint64_t bucket[KEYSTORE_BUCKETS];
    uint64_t pending;
};

struct keystore {
    struct store *store; /* borrowed */
    struct loop *loop;
    struct mem_owner *mem;
    struct keystore_counts *now;    /* owned: as of the last write that was answered */
    struct keystore_counts *writer; /* owned: the worker's while a write runs */
    bool writer_stale;              /* the writer's: a write failed, read them again */
    uint64_t total;
    struct ldb_batch *batch; /* owned; of LevelDB's memory, charged to mem */
    struct list waiting;     /* of keystore_write */
    struct keystore_write *running;
    struct store_job job; /* the running write, or the opening */
    keystore_cb *open_cb;
    void *open_ctx;
    uint32_t reads; /* out */
};

/* 'k' or 'n' and the key. */
struct bytes keystore_db_key(uint8_t kind, struct bytes key, uint8_t buf[1 + KEY_BYTES_MAX]);
enum err keystore_counts_read(struct ldb *db, struct keystore_counts *out, struct error *err);

#endif
