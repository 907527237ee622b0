/* lib/store/hascache_image.h
 *
 * The has-cache as a file, written at a clean shutdown and read at the next start.
 *
 *   header, 4096 bytes: magic, version, algorithm, hash key, counts, epoch, generation, CRC-32C
 *   then directory, segments and pages, each cut into pieces of at most 4 MiB with a CRC-32C behind
 *   every piece; a piece's number is part of its sum, so that pieces cannot change places.
 *
 * It holds the hash key: mode 0600. Whether an image may be used at all (it is named by the index,
 * once) is the reserve's affair; here a file either is what was saved or is refused.
 * Owner:  _room makes the cache, the caller destroys it; _close ends what _open began.
 * Thread: open, read and save block: workers, with the cache to themselves. room: loop.
 * Errors: ERR_NOT_FOUND, ERR_FOREIGN (another version), ERR_CORRUPT, ERR_BUDGET, ERR_IO,
 *         ERR_DISK_FULL.
 */
#ifndef LARDER_STORE_HASCACHE_IMAGE_H
#define LARDER_STORE_HASCACHE_IMAGE_H

#include "store/hascache.h"

struct hascache_image_name { /* what binds an image to an index */
    uint64_t epoch, generation;
};

/* To a new name beside it, synced, then renamed: the file is whole or not there. */
enum err hascache_image_save(const struct hascache *h, const char *path,
                             const struct hascache_image_name *name, struct error *err);

struct hascache_image { /* zeroed at first */
    struct hascache_image_name name;
    uint64_t count;
    int fd_;
    bool open_;
    uint8_t key_[16];
    uint32_t bits_, segments_, pages_;
};
/* Reads and checks the header. */
enum err hascache_image_open(struct hascache_image *image, const char *path, struct error *err);
/* An empty cache of the right size, charged. */
enum err hascache_image_room(struct hascache_image *image, struct hascache **out,
                             struct mem_owner *mem, uint64_t bytes_max, struct error *err);
/* Fills it. After an error the cache is good for hascache_destroy alone. */
enum err hascache_image_read(struct hascache_image *image, struct hascache *h, struct error *err);
void hascache_image_close(struct hascache_image *image); /* of one never opened: fine */

#endif
