/* lib/net/secret_file.h
 *
 * Small files with a secret in them, whatever it is: read whole, made whole, synced, for nobody
 * else.
 * Ownership: what was read is the caller's struct; wipe it. Nothing is kept here.
 * Thread: before the loop runs, or a worker: these calls block.
 * Errors: ERR_CONFIG (somebody else may read the file), ERR_CORRUPT (too long), ERR_IO,
 *         ERR_NOT_FOUND.
 */
#ifndef LARDER_NET_SECRET_FILE_H
#define LARDER_NET_SECRET_FILE_H

#include "base/bytes.h"

struct secret_file {
    size_t size;
    uint8_t data[LIMIT_IDENTITY_FILE_BYTES + 1];
};
static inline struct bytes secret_file_bytes(const struct secret_file *f)
{
    return bytes_of(f->data, f->size);
}
void secret_file_wipe(struct secret_file *f);

/* One that others look after, such as a systemd credential: its mode is not looked at. */
enum err secret_file_read(const char *path, struct secret_file *out, struct error *err);
/* One of the data directory: refused when group or others may read it. */
enum err secret_file_open(int dir_fd, const char *name, struct secret_file *out, struct error *err);
/* Mode 0600, under another name first: a crash leaves a whole file or none. */
enum err secret_file_make(int dir_fd, const char *name, struct bytes content, struct error *err);

#endif
