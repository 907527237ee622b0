/* lib/swarm/download.h
 *
 * What a reference stands for, out of the reserve: a file, or a directory as a folder of files.
 * Which it is, the first bytes say. Every chunk is checked against its address, so what arrives is
 * what was uploaded, or nothing.
 * Shape:  chunks are asked for ahead; two buffers, one filled while the other is written. A file
 *         has another name until it is whole and synced; a folder must be new or empty.
 * Owns:   about 0.7 MiB of the owner, and what the reader of a directory takes.
 * Thread: loop; disk is for jobs. done comes once, never inside a call.
 * Errors: ERR_NOT_FOUND (a chunk is not there), those of codec/swarmtree.h and codec/manifest.h,
 *         ERR_IO, ERR_CANCELED.
 */
#ifndef LARDER_SWARM_DOWNLOAD_H
#define LARDER_SWARM_DOWNLOAD_H

#include "codec/chunk.h"

struct download;
struct loop;
struct mem_owner;
struct reserve;
struct work_pool;

struct download_progress {
    uint64_t bytes, bytes_total; /* total 0: not known, as of a directory */
    uint64_t chunks, files;      /* files: complete */
};
typedef void download_progress_cb(void *ctx, const struct download_progress *now);
typedef void download_done_cb(void *ctx, const struct error *err);

struct download_options { /* borrowed pointers outlive the download */
    struct loop *loop;
    struct work_pool *work;
    struct reserve *reserve;
    struct mem_owner *mem;
    const char *path; /* where to */
    bool raw;         /* bytes, also of what is a directory */
    uint8_t reference[CHUNK_ADDRESS_BYTES];
    download_progress_cb *progress; /* after each buffer */
    download_done_cb *done;
    void *ctx;
};
enum err download_start(struct download **out, const struct download_options *o, struct error *err);
void download_cancel(struct download *d);  /* done still comes */
void download_destroy(struct download *d); /* NULL is fine; after done */
void download_status(const struct download *d, struct download_progress *out);

#endif
