/* lib/swarm/upload.h
 *
 * A file or a folder into the reserve: split into chunks, the folder as a manifest, each chunk
 * stamped with one batch and stored. A chunk that has a stamp of that batch gets no second one.
 * Shape:  two pages of chunks: one is filled (read, split, hashed) while the other is looked up,
 *         stamped and stored. Positions of stamps are durable before a stamp is signed.
 * Owns:   its pages, about 2.7 MiB of the owner, the list of files, the trie of a folder.
 * Thread: loop; disk and crypto are jobs. done comes once, never inside a call.
 * Errors: of upload_tree.h, issuer.h, reserve.h; ERR_REFUSED when the key is not the batch owner's;
 *         ERR_CANCELED.
 */
#ifndef LARDER_SWARM_UPLOAD_H
#define LARDER_SWARM_UPLOAD_H

#include "codec/chunk.h"
#include "codec/stamp.h"

struct loop;
struct mem_owner;
struct reserve;
struct upload;
struct work_pool;

struct upload_progress {
    uint64_t bytes, bytes_total; /* of content */
    uint64_t chunks, stored;     /* made; stamped and stored. The others were there */
    uint32_t files, left_out;    /* in all; what was no file */
};
typedef void upload_progress_cb(void *ctx, const struct upload_progress *now);
typedef void upload_done_cb(void *ctx, const uint8_t reference[CHUNK_ADDRESS_BYTES],
                            const struct error *err);

struct upload_options { /* borrowed pointers outlive the upload */
    struct loop *loop;
    struct work_pool *work;
    struct reserve *reserve;
    struct mem_owner *mem;
    const char *path;       /* of the file or folder */
    const char *issuer_dir; /* of the counters of stamps; one upload at a time uses them */
    uint8_t batch[STAMP_BATCH_BYTES];
    struct stamp_batch rules;
    const struct sig_signer *signer;
    upload_progress_cb *progress;
    upload_done_cb *done;
    void *ctx;
};
enum err upload_start(struct upload **out, const struct upload_options *o, struct error *err);
void upload_cancel(struct upload *u);  /* done still comes */
void upload_destroy(struct upload *u); /* NULL is fine; after done */
void upload_status(const struct upload *u, struct upload_progress *out);

#endif
