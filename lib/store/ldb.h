/* lib/store/ldb.h
 *
 * LevelDB in C: one struct ldb is one open store. Its files are read by pread, never mapped, so
 * that resident memory follows the options and not the size of the database; each store has a
 * compaction thread of its own; every read verifies checksums.
 *
 * Memory: cache + 2 write buffers (3 while one is flushed) + open tables * their index and filter
 *         (ldb_stats) + compaction: about 2 tables. The caller charges it.
 * Owner:  what an _open or _create makes, _close or _destroy frees; NULL is fine there.
 * Thread: workers only; every call may block on the disk. One struct ldb serves many threads; a
 *         batch or an iterator belongs to one at a time. Iterators never cross a callback.
 * Errors: ERR_NOT_FOUND, ERR_CORRUPT, ERR_DISK_FULL, ERR_IO, ERR_LOCKED (another process has it),
 *         ERR_TOO_LARGE (the caller's limit), ERR_UNSUPPORTED.
 * After a failed write a store refuses every further one until it is opened again (LevelDB cannot
 * tell what its log holds then); reads go on. The write that failed may be there afterwards.
 * Format: https://github.com/google/leveldb/blob/1.23/doc/impl.md
 */
#ifndef LARDER_STORE_LDB_H
#define LARDER_STORE_LDB_H

#include "base/bytes.h"

struct ldb;
struct ldb_view; /* the store as it was at one moment */
struct ldb_batch;
struct ldb_iter;

struct ldb_options {
    const char *name; /* of its thread and in sentences; borrowed until closed */
    uint64_t cache_bytes;
    uint64_t write_buffer_bytes; /* 64 KiB .. 1 GiB */
    uint64_t table_bytes;        /* size of a table file; 1 MiB .. 1 GiB */
    uint32_t block_bytes;
    uint32_t open_tables;     /* LevelDB keeps at least 64 */
    uint8_t filter_bits;      /* of the bloom filter per key; 0: none */
    const char *filter_kinds; /* only keys with these first bytes enter it; NULL: all */
    bool compress;            /* Snappy */
    bool must_exist;
};

enum err ldb_open(struct ldb **out, const char *path, const struct ldb_options *options,
                  struct error *err);
void ldb_close(struct ldb *db); /* asserts that no iterator and no view is left */
/* Gone, with all its files; one that is not there is fine. */
enum err ldb_destroy(const char *path, struct error *err);
/* Makes a store that can be opened from whatever tables and logs can be read. Keys that were
 * deleted may come back. */
enum err ldb_repair(const char *path, const struct ldb_options *options, struct error *err);
/* ERR_OK, or why no write is taken any more. Any thread, does not block. */
enum err ldb_failure(const struct ldb *db);

/* A value of any size up to the buffer's; ERR_TOO_LARGE with *size set when it is larger. */
enum err ldb_get(struct ldb *db, const struct ldb_view *view, struct bytes key,
                 struct writer *value, struct error *err);
/* A value of exactly that size; ERR_CORRUPT when it has another one. */
enum err ldb_get_fixed(struct ldb *db, struct bytes key, void *value, size_t size,
                       struct error *err);

/* Changes that happen together or not at all; bounded, so that a caller cannot build one that no
 * memory was asked for. */
struct ldb_batch *ldb_batch_create(size_t bytes_max);
void ldb_batch_destroy(struct ldb_batch *batch);
/* ERR_TOO_LARGE: the batch is as it was. */
enum err ldb_batch_put(struct ldb_batch *batch, struct bytes key, struct bytes value,
                       struct error *err);
enum err ldb_batch_delete(struct ldb_batch *batch, struct bytes key, struct error *err);
size_t ldb_batch_bytes(const struct ldb_batch *batch);
void ldb_batch_clear(struct ldb_batch *batch);
/* sync: it survives a power cut once this returns. An empty batch with sync makes every earlier one
 * survive. */
enum err ldb_write(struct ldb *db, struct ldb_batch *batch, bool sync, struct error *err);

/* A view keeps files that compaction would delete: close it soon, or know why not. */
struct ldb_view *ldb_view_open(struct ldb *db);
void ldb_view_close(struct ldb *db, struct ldb_view *view);

/* Walks in key order; view may be NULL: the store as it is now. Passes the block cache by unless
 * fill_cache. Key and value are valid until the next move. */
struct ldb_iter *ldb_iter_open(struct ldb *db, const struct ldb_view *view, bool fill_cache);
void ldb_iter_close(struct ldb_iter *it);
void ldb_iter_seek(struct ldb_iter *it,
                   struct bytes key); /* the first key >= key; empty: the first */
void ldb_iter_next(struct ldb_iter *it);
bool ldb_iter_valid(const struct ldb_iter *it);
struct bytes ldb_iter_key(const struct ldb_iter *it);
struct bytes ldb_iter_value(const struct ldb_iter *it);
/* When it is not valid any more: was that the end, or an error? */
enum err ldb_iter_status(const struct ldb_iter *it, struct error *err);

/* Compacts what is between two keys, so that space of deleted keys comes back; empty: from the
 * first, to the last. Writes go on meanwhile. */
void ldb_compact(struct ldb *db, struct bytes from, struct bytes to);
/* Bytes on disk between two keys, without what is still in memory. */
uint64_t ldb_approximate_bytes(struct ldb *db, struct bytes from, struct bytes to);
/* LevelDB's own, as "leveldb.stats"; false when there is none of that name. Cut at size. */
bool ldb_property(struct ldb *db, const char *name, char *out, size_t size);

enum ldb_file { LDB_FILE_TABLE, LDB_FILE_LOG, LDB_FILE_MANIFEST, LDB_FILE_OTHER, LDB_FILE_KINDS };

struct ldb_counts {
    uint64_t reads, read_bytes, writes, write_bytes, syncs;
};

struct ldb_stats { /* since it was opened */
    struct ldb_counts files[LDB_FILE_KINDS];
    uint64_t open_tables;
    uint64_t open_table_bytes; /* index and filter blocks of the open tables, in memory */
    uint64_t readaheads;
};
/* Any thread, does not block. */
void ldb_stats_read(const struct ldb *db, struct ldb_stats *out);

#endif
