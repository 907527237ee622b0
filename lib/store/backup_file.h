/* lib/store/backup_file.h
 *
 * One store as a file, and the manifest that makes a folder of such files a backup.
 *
 *     <store>.records   "larder-records 1\n", then per record be32 key size, be32 value size, key,
 *                       value, in key order; then ffffffff and the be64 count of records
 *     manifest          "larder-backup 1\n", one line per store, "end\n"; written last, so that a
 *                       folder without one is no backup
 *
 * The manifest has a SHA-256 of each file. Memory: one buffer of LIMIT_BACKUP_BUFFER_BYTES in the
 * struct, whatever the store holds.
 * Thread: workers, and offline commands; every call may block.
 * Errors: ERR_IO, ERR_DISK_FULL; reading: ERR_CORRUPT, ERR_FOREIGN.
 */
#ifndef LARDER_STORE_BACKUP_FILE_H
#define LARDER_STORE_BACKUP_FILE_H

#include "base/bytes.h"
#include "codec/crypto.h"

struct backup_file {
    int fd; /* -1: not open */
    bool writing;
    uint64_t records, bytes; /* bytes of the file so far */
    struct sha256 sha;
    uint32_t used, at; /* of buf: filled, and read so far */
    uint8_t buf[LIMIT_BACKUP_BUFFER_BYTES];
};

enum err backup_file_create(struct backup_file *f, const char *path, struct error *err);
enum err backup_file_put(struct backup_file *f, struct bytes key, struct bytes value,
                         struct error *err);
/* Ends, syncs and closes it, gives its page cache back; digest is of the whole file. */
enum err backup_file_finish(struct backup_file *f, uint8_t digest[SHA256_BYTES], struct error *err);

enum err backup_file_open(struct backup_file *f, const char *path, struct error *err);
/* record is a buffer of LIMIT_BACKUP_RECORD_BYTES; *more false at the end, whose count is checked.
 */
enum err backup_file_next(struct backup_file *f, uint8_t *record, struct bytes *key,
                          struct bytes *value, bool *more, struct error *err);
/* After the end. */
void backup_file_digest(struct backup_file *f, uint8_t digest[SHA256_BYTES]);
void backup_file_close(struct backup_file *f); /* fine when it is not open */

struct backup_entry { /* a line of the manifest */
    char store[32];
    uint64_t records, bytes;
    uint8_t digest[SHA256_BYTES];
};
enum { BACKUP_ENTRIES_MAX = 16 };
struct backup_manifest {
    uint32_t count;
    struct backup_entry entries[BACKUP_ENTRIES_MAX];
};
/* dir/manifest, durable when it returns. */
enum err backup_manifest_write(const struct backup_manifest *m, const char *dir, struct error *err);
enum err backup_manifest_read(struct backup_manifest *m, const char *dir, struct error *err);
/* dir/<store>.records */
void backup_file_path(char *out, size_t size, const char *dir, const char *store);

#endif
