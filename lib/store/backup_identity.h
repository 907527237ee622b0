/* lib/store/backup_identity.h
 *
 * Who the node is, as one more file of a backup: key the name of a small file of the data
 * directory, value what is in it. A node that is restored on another machine has to be the same
 * one: the reserve is of its overlay, and peers know its id. The file is for nobody else (0600).
 * Thread: a worker, or an offline command; every call may block.
 * Errors: ERR_IO, ERR_DISK_FULL; ERR_TOO_LARGE (not a key), ERR_REFUSED, ERR_CORRUPT.
 */
#ifndef LARDER_STORE_BACKUP_IDENTITY_H
#define LARDER_STORE_BACKUP_IDENTITY_H

#include "store/backup_file.h"

#define BACKUP_IDENTITY "identity" /* its line in the manifest */

/* Those of the files, ended by NULL, that are there; none: *e has no records, and no file is made.
 */
enum err backup_identity_write(struct backup_file *f, const char *dir, const char *data_dir,
                               const char *const *files, struct backup_entry *e, struct error *err);
/* Is one of them there already? They are not overwritten. */
enum err backup_identity_check(const char *data_dir, const char *const *files, struct error *err);
/* One record into the data directory: 0600, synced, under a name of the list only. */
enum err backup_identity_put(const char *data_dir, const char *const *files, struct bytes key,
                             struct bytes value, struct error *err);
void backup_identity_remove(const char *data_dir, const char *const *files);

#endif
