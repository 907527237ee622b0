/* lib/store/backup.h
 *
 * A backup of all open stores into a folder, while they are used: writes are held for as long as it
 * takes to open one view per store, so that the views agree; then each store is read in slices, and
 * behind them the bodies of the reserve, whose slots are not used again until the end, and the
 * files that say who the node is.
 * Owns:   the struct, with one file's buffer, charged to the owner given. The stores it reads are
 *         not opened anew while it runs, so a disk that failed stays read-only until the end.
 * Thread: loop only.
 * Errors: ERR_REFUSED (the folder is not empty), ERR_CANCELED, ERR_IO, ERR_DISK_FULL, ERR_CORRUPT,
 *         ERR_BUDGET.
 */
#ifndef LARDER_STORE_BACKUP_H
#define LARDER_STORE_BACKUP_H

#include "store/stores.h"

struct backup;
struct reserve;

struct backup_progress {
    const char *store;
    uint64_t records, bytes; /* of this store so far */
    bool finished;           /* with this store */
};

struct backup_options {
    struct stores *stores;
    struct loop *loop;
    struct work_pool *work;
    struct mem_owner *mem;
    const char *dir;             /* copied; made if absent */
    const char *slab_dir;        /* copied; NULL: there is no reserve */
    struct reserve *reserve;     /* open; NULL: nobody else uses the slabs */
    const char *data_dir;        /* borrowed until done; where the files of identity are */
    const char *const *identity; /* their names, ended by NULL; NULL: none are copied */
    void (*progress)(void *ctx, const struct backup_progress *now); /* after each slice */
    void (*done)(void *ctx, const struct error *err);               /* exactly once */
    void *ctx;
};

/* One at a time per set of stores: a second one is ERR_LIMIT. */
enum err backup_start(struct backup **out, const struct backup_options *options, struct error *err);
void backup_cancel(struct backup *b);  /* done still comes, with ERR_CANCELED */
void backup_destroy(struct backup *b); /* after done; NULL is fine */

#endif
