/* lib/store/backup_bodies.h
 *
 * The bodies of the reserve's entries as one more file of a backup, beside the records of its
 * index: key be32 slab, be32 slot; value the whole slot. They go back to where they were, so that
 * the index that names their slots is right as it is.
 *
 * Order:  slices of the index's view, and within a slice by slab and slot. The caller keeps slots
 *         that are freed meanwhile from being used again (reserve_slots_enter).
 * Thread: a worker, or an offline command; every call may block.
 * Errors: ERR_CORRUPT (a damaged slot: `larder reserve verify --repair` comes first), ERR_IO,
 *         ERR_DISK_FULL.
 */
#ifndef LARDER_STORE_BACKUP_BODIES_H
#define LARDER_STORE_BACKUP_BODIES_H

#include "store/backup_file.h"
#include "store/ldb.h"
#include "store/slab.h"

#define BACKUP_BODIES "reserve-bodies" /* its line in the manifest */
#define BACKUP_BODIES_OF "reserve"     /* the store that is their index */

enum { BACKUP_BODIES_SLICE = LIMIT_BACKUP_SLICE_BYTES / SLAB_SLOT_BYTES };

struct backup_bodies {
    struct slab_files files;
    uint8_t after[33]; /* the last 'C' key that was seen */
    bool end;
    uint32_t count;
    struct slab_ref refs[BACKUP_BODIES_SLICE];
    uint8_t slot[SLAB_SLOT_BYTES];
};

enum err backup_bodies_begin(struct backup_bodies *b, const char *slab_dir, struct error *err);
/* At the end, b->end is set. */
enum err backup_bodies_slice(struct backup_bodies *b, struct ldb *db, const struct ldb_view *view,
                             struct backup_file *out, struct error *err);
void backup_bodies_close(struct backup_bodies *b); /* zeroed is fine */

/* One record of such a file into the slabs of a new reserve. */
enum err backup_bodies_put(struct slab_files *files, struct bytes key, struct bytes value,
                           struct error *err);

#endif
