#include "store/stores_state.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/mem.h"
#include "store/ldb_table.h"

/* Keys that begin with a zero byte are the house's own in every store. */
static const char format_key[] = "\0format";
enum { FORMAT_KEY_BYTES = sizeof(format_key) - 1, FORMAT_BYTES_MAX = 64 };

/* Before the first table there is nothing to measure: 8 MiB of 100-byte keys have about that. */
enum { TABLE_MEMORY_GUESS = 160 * 1024 };

static struct bytes format_key_bytes(void)
{
    return bytes_of(format_key, FORMAT_KEY_BYTES);
}

/* A quarter for the block cache, a quarter for indexes and filters of open tables, three eighths
 * for the write buffers (one is filled, one written out, one on its way), the rest for compaction.
 */
static void divide(const struct store_row *row, uint64_t memory_bytes, uint64_t bytes_per_table,
                   struct ldb_options *o)
{
    uint64_t tables = memory_bytes / 4 / MAX(bytes_per_table, 1);
    *o = (struct ldb_options){
        .name = row->name,
        .cache_bytes = memory_bytes / 4,
        .write_buffer_bytes = MAX(memory_bytes / 8, 64 * KiB),
        .table_bytes = row->table_bytes,
        .block_bytes = row->block_bytes,
        .open_tables =
            (uint32_t)MIN(MAX(tables, LIMIT_STORE_OPEN_TABLES_MIN), LIMIT_STORE_OPEN_TABLES_MAX),
        .filter_bits = row->filter_bits,
        .filter_kinds = row->filter_kinds,
        .compress = row->compress,
    };
}

static enum err format_write(struct ldb *db, const struct store_row *row, uint32_t version,
                             struct error *err)
{
    uint8_t buf[FORMAT_BYTES_MAX];
    struct writer w = writer_of(buf, sizeof(buf));
    writer_be32(&w, version);
    writer_put(&w, row->name, strlen(row->name));
    assert(!w.overflow);
    struct ldb_batch *batch = ldb_batch_create(4 * KiB);
    enum err rc = ldb_batch_put(batch, format_key_bytes(), bytes_of(buf, writer_used(&w)), err);
    if (!rc)
        rc = ldb_write(db, batch, true, err);
    ldb_batch_destroy(batch);
    return rc;
}

static enum err format_read(struct ldb *db, const struct store_row *row, uint32_t *version,
                            struct error *err)
{
    uint8_t buf[FORMAT_BYTES_MAX];
    struct writer w = writer_of(buf, sizeof(buf));
    enum err rc = ldb_get(db, NULL, format_key_bytes(), &w, err);
    if (rc && rc != ERR_TOO_LARGE)
        return rc;
    struct reader r = reader_of(bytes_of(buf, writer_used(&w)));
    uint32_t found = reader_be32(&r);
    size_t n = reader_left(&r);
    if (rc || r.failed || n != strlen(row->name) || memcmp(r.at, row->name, n) != 0)
        return error_set(err, ERR_FOREIGN,
                         "what stands in the folder of store '%s' is another store", row->name);
    *version = found;
    return ERR_OK;
}

static bool is_empty(struct ldb *db)
{
    struct ldb_iter *it = ldb_iter_open(db, NULL, false);
    ldb_iter_seek(it, bytes_of(NULL, 0));
    bool empty = !ldb_iter_valid(it) && !ldb_iter_status(it, NULL);
    ldb_iter_close(it);
    return empty;
}

/* One version at a time, each recorded: a crash in between repeats one step. */
static enum err migrate(struct ldb *db, const struct store_row *row, uint32_t version,
                        struct error *err)
{
    for (; version < row->version; version++) {
        if (!row->migrate)
            return error_set(err, ERR_FOREIGN,
                             "store '%s' is of version %" PRIu32
                             ", which is older than this program can read",
                             row->name, version);
        enum err rc = row->migrate(db, version, err);
        if (rc)
            return error_wrap(err, rc, "migrating store '%s' from version %" PRIu32, row->name,
                              version);
        rc = format_write(db, row, version + 1, err);
        if (rc)
            return rc;
    }
    return ERR_OK;
}

static enum err format_check(struct ldb *db, const struct store_row *row, struct error *err)
{
    uint32_t version = 0;
    enum err rc = format_read(db, row, &version, err);
    if (rc == ERR_NOT_FOUND && is_empty(db))
        return format_write(db, row, row->version, err);
    if (rc == ERR_NOT_FOUND)
        return error_set(err, ERR_FOREIGN, "store '%s' was not written by larder", row->name);
    if (rc)
        return rc;
    if (version > row->version)
        return error_set(err, ERR_FOREIGN,
                         "store '%s' is of version %" PRIu32 ", this program knows up to %" PRIu32,
                         row->name, version, row->version);
    return migrate(db, row, version, err);
}

static enum err path_of(const struct store_row *row, const char *data_dir, char *out,
                        struct error *err)
{
    if (snprintf(out, PATH_MAX, "%s/%s", data_dir, row->name) < PATH_MAX)
        return ERR_OK;
    return error_set(err, ERR_CONFIG, "data-dir is too long a path");
}

enum err store_open_row(struct ldb **out, const char *data_dir, const struct store_row *row,
                        uint64_t memory_bytes, struct error *err)
{
    char path[PATH_MAX];
    struct ldb_options o;
    struct ldb *db = NULL;
    uint64_t per_table = 0;
    enum err rc = path_of(row, data_dir, path, err);
    if (!rc)
        rc = ldb_table_memory(path, &per_table, err);
    if (rc)
        return rc;
    divide(row, memory_bytes, per_table ? per_table : TABLE_MEMORY_GUESS, &o);
    rc = ldb_open(&db, path, &o, err);
    if (!rc)
        rc = format_check(db, row, err);
    if (rc == ERR_CORRUPT)
        error_wrap(err, rc, "'larder repair %s' may help", row->name);
    if (rc) {
        ldb_close(db);
        return rc;
    }
    *out = db;
    return ERR_OK;
}

enum err store_repair_row(const char *data_dir, const struct store_row *row, struct error *err)
{
    char path[PATH_MAX];
    struct ldb_options o;
    struct ldb *db = NULL;
    enum err rc = path_of(row, data_dir, path, err);
    if (rc)
        return rc;
    divide(row, row->memory_floor_bytes, TABLE_MEMORY_GUESS, &o);
    rc = ldb_repair(path, &o, err);
    if (!rc)
        rc = store_open_row(&db, data_dir, row, row->memory_floor_bytes, err);
    ldb_close(db);
    return rc;
}

uint64_t disk_free_bytes(const char *dir)
{
    struct statvfs v;
    return statvfs(dir, &v) ? 0 : (uint64_t)v.f_bavail * v.f_frsize;
}
