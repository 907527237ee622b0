/* lib/store/restore.h
 *
 * Puts a backup into a data directory that has no stores yet. Every file of the backup is checked
 * against the manifest before the first byte is written; after an error nothing is left behind. As
 * long as it runs a file of the data directory says so: what a kill or a power cut leaves of it is
 * refused by whatever opens that directory (restore_check_ended).
 * Thread: an offline command, which holds the lock of the data directory; it blocks.
 * Errors: ERR_REFUSED (there are stores already), ERR_CORRUPT (the backup; or an earlier restore
 * has not ended), ERR_FOREIGN, ERR_IO, ERR_DISK_FULL, ERR_BUDGET.
 */
#ifndef LARDER_STORE_RESTORE_H
#define LARDER_STORE_RESTORE_H

#include "store/stores.h"

/* The file that says so: durable before the first store is there, gone after the last file is. */
#define RESTORE_MARK "restoring"

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

/* Does the directory hold what a restore that never ended has left? ERR_CORRUPT, and what to do. */
enum err restore_check_ended(const char *data_dir, struct error *err);

#endif
