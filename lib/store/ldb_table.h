/* lib/store/ldb_table.h
 *
 * What a table file costs while it is open: LevelDB keeps its index block and its filter block in
 * memory, outside of the block cache and uncounted.
 * Thread: any; ldb_table_memory reads files and so is for workers.
 * Format: https://github.com/google/leveldb/blob/1.23/doc/table_format.md
 */
#ifndef LARDER_STORE_LDB_TABLE_H
#define LARDER_STORE_LDB_TABLE_H

#include "base/bytes.h"

enum { LDB_TABLE_FOOTER_BYTES = 48 };

/* The filter block ends where the metaindex begins, the index lies behind it. False: no footer. */
bool ldb_table_metaindex(struct bytes footer, uint64_t *offset);

/* Of the tables below path, where no store need be open: index and filter bytes of one, the mean of
 * at most 64 of them rounded up; 0 when there is none. It makes open_tables out of a share of
 * memory. */
enum err ldb_table_memory(const char *path, uint64_t *bytes_per_table, struct error *err);

#endif
