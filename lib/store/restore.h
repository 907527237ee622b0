/* lib/store/restore.h
 *
 * Puts a backup into a data directory that has no stores yet. Every file of the backup is checked
 * against the manifest before the first byte is written; after an error nothing is left behind.
 * Thread: an offline command, which holds the lock of the data directory; it blocks.
 * Errors: ERR_REFUSED (there are stores already), ERR_CORRUPT, ERR_FOREIGN, ERR_IO, ERR_DISK_FULL,
 *         ERR_BUDGET.
 */
#ifndef LARDER_STORE_RESTORE_H
#define LARDER_STORE_RESTORE_H

#include "store/stores.h"

struct restore_options {
    const char *backup_dir, *data_dir;
    const char *slab_dir;        /* where the bodies of the reserve go; NULL: there is no reserve */
    const char *const *identity; /* files a backup may bring, ended by NULL; NULL: none */
    const struct store_row *rows;
    uint32_t count;
    struct mem_owner *mem;
    uint64_t wall_ns; /* the moment, which the node remembers */
    /* After a store is in place; records and bytes as in the manifest. */
    void (*progress)(void *ctx, const char *store, uint64_t records, uint64_t bytes);
    void *ctx;
};
enum err restore_run(const struct restore_options *options, struct error *err);

#endif
