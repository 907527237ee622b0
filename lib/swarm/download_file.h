/* lib/swarm/download_file.h
 *
 * Where a download writes: one file under another name until it is whole, or files of a folder.
 * Ownership: plain struct; descriptors go with download_files_close.
 * Thread: one worker at a time, these calls block; close: also the loop.
 * Errors: ERR_IO, ERR_DISK_FULL, ERR_REFUSED (the folder holds something already).
 */
#ifndef LARDER_SWARM_DOWNLOAD_FILE_H
#define LARDER_SWARM_DOWNLOAD_FILE_H

#include "base/bytes.h"

struct download_files {
    bool folder;
    int root, fd; /* of the folder, of the file at hand; -1: not open */
    char path[LIMIT_PATH_BYTES];
    char name[LIMIT_MANIFEST_PATH_BYTES + 1]; /* in the folder */
};
enum err download_files_init(struct download_files *f, const char *path, struct error *err);
void download_files_close(struct download_files *f); /* what is not whole goes */

/* The next bytes of the file at hand, which is opened by its first ones. */
enum err download_files_write(struct download_files *f, struct bytes piece, struct error *err);
/* It is whole. */
enum err download_files_end(struct download_files *f, struct error *err);

#endif
