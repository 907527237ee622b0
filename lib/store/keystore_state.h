/* lib/store/keystore_state.h: the struct behind keystore.h, for its files: keystore.c (life, the
 * queue of writes), keystore_write.c (what a write does, on the worker), keystore_read.c,
 * keystore_tidy.c (stages, sweeping, compacting). Thread: loop only, but for what is said to be the
 * writer's.
 *
 *   "mgeneration"          -> be64  which generation is current; none: 0
 *   "mpending", "mPENDING" -> be64  how many 'n', 'N' there are
 *   "mgone", "mGONE"       -> be64 be64  rows of 'k' and of 'n' deleted since they were compacted
 */
#ifndef LARDER_STORE_KEYSTORE_STATE_H
#define LARDER_STORE_KEYSTORE_STATE_H

#include "core/timer.h"
#include "store/keystore_stage.h"

struct keystore_counts {
    uint64_t bucket[KEYSTORE_BUCKETS];
    uint64_t pending;
    uint64_t gone_keys, gone_pending;
};

/* What the loop knows of a generation; of the current one also ks->now. */
struct keystore_sums {
    uint64_t keys, pending, gone_keys, gone_pending;
};

/* Where sweeping or compacting is. */
struct keystore_tidy {
    struct keystore_write write;
    uint8_t kind;        /* of rows that are compacted */
    uint32_t at, pieces; /* of them */
    uint64_t gone;       /* when that began */
    uint8_t swept[1 + KEY_BYTES_MAX];
    uint8_t swept_size; /* the writer's: behind which row the sweep goes on */
};

struct keystore {
    struct store *store; /* borrowed */
    struct loop *loop;
    struct mem_owner *mem;
    struct keystore_counts *now; /* owned: as of the last write that was answered */
    struct keystore_sums sums[2];
    uint64_t generation, adds;
    struct keystore_counts *writer[2]; /* owned: the worker's while a write runs */
    uint64_t writer_generation;
    bool writer_stale;       /* the writer's: a write failed, read them again */
    struct ldb_batch *batch; /* owned; of LevelDB's memory, charged to mem */
    struct list waiting;     /* of keystore_write */
    struct keystore_write *running;
    bool running_staged;  /* a stage was open when it began */
    struct store_job job; /* the running write, or the opening */
    keystore_cb *open_cb;
    void *open_ctx;
    uint32_t reads; /* out */

    struct list stages;           /* that wait */
    struct keystore_stage *stage; /* the open one */
    struct keystore_tidy tidy;
    struct timer tidy_timer;
    struct deferred stopped;
    void (*stop_cb)(void *ctx);
    void *stop_ctx;
};

static inline unsigned keystore_space(uint64_t generation)
{
    return generation & 1;
}
/* 'k' or 'K' */
static inline uint8_t keystore_kind(uint8_t kind, unsigned space)
{
    return space ? kind - ('a' - 'A') : kind;
}
/* Of the counters. */
enum { KEYSTORE_COUNT_BYTES = 3 }; /* a bucket's key */
static inline const char *keystore_pending_name(unsigned space)
{
    return space ? "mPENDING" : "mpending";
}
static inline const char *keystore_gone_name(unsigned space)
{
    return space ? "mGONE" : "mgone";
}
/* The kind and the key. */
struct bytes keystore_db_key(uint8_t kind, struct bytes key, uint8_t buf[1 + KEY_BYTES_MAX]);

/* Workers. */
enum err keystore_generation_read(struct ldb *db, const struct ldb_view *view, uint64_t *out,
                                  struct error *err);
enum err keystore_counts_read(struct ldb *db, unsigned space, struct keystore_counts *out,
                              struct error *err);
enum err keystore_all_read(struct keystore *ks, struct ldb *db, struct error *err);
/* Puts what the running write changes into the batch. Says whether there is anything. */
enum err keystore_change(struct keystore *ks, struct ldb *db, bool *any, struct error *err);

/* keystore_tidy.c */
void keystore_tidy_init(struct keystore *ks);
void keystore_tidy_look(struct keystore *ks); /* is there anything to be done? */
void keystore_compact_piece(const struct keystore_tidy *t, struct ldb *db); /* worker */

#endif
