/* lib/store/durable.h
 *
 * The calls that make bytes and names survive a power cut, and a record of what survived.
 *
 * Everything the disk room promises goes through here: a file's first sync also syncs its folder, a
 * rename is followed by a sync of the folder. A crash test passes a struct durable_record in a
 * shared mapping, which outlives SIGKILL; durable_cut() then makes the files what a disk without
 * unsynced bytes would hold. SIGKILL alone proves nothing about syncing.
 * What the record cannot tell: old content of bytes that are overwritten in place.
 * Thread: any, these calls block; recording is started before the threads are.
 * Errors: ERR_DISK_FULL, ERR_IO.
 */
#ifndef LARDER_STORE_DURABLE_H
#define LARDER_STORE_DURABLE_H

#include "base/error.h"

/* fdatasync. */
enum err durable_sync(int fd, const char *path, struct error *err);
/* The first sync of a file that was made since: the bytes and its name in the folder. */
enum err durable_sync_new(int fd, const char *path, struct error *err);
/* The names in a folder. */
enum err durable_sync_dir(const char *dir, struct error *err);
/* Replaces `to`, durable when it returns. What `from` holds must be synced before. */
enum err durable_rename(const char *from, const char *to, struct error *err);
/* A folder and its name; one that is there already is fine. */
enum err durable_mkdir(const char *dir, struct error *err);
/* Says that a file is gone, so that its name may be used again. */
void durable_forget(const char *path);

/* Lives in zeroed shared memory of that size; room for 1000 files at a time. */
struct durable_record;
enum { DURABLE_RECORD_BYTES = 256 * 1024 };

/* Tests only. drop_syncs: every sync reports success and does nothing, as a lying disk would; it
 * is how a crash test shows that it can fail. NULL ends recording. */
void durable_record_start(struct durable_record *record, bool drop_syncs);
/* Tests only, in a process that does not record: cuts every regular file below dir to its synced
 * bytes, removes those without, and undoes renames whose folder was not synced. */
enum err durable_cut(struct durable_record *record, const char *dir, struct error *err);

#endif
