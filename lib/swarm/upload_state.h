/* lib/swarm/upload_state.h
 *
 * The inside of an upload, for upload.c (life, files, pages being filled) and upload_store.c (pages
 * being stamped and stored). Thread: loop; a page belongs to the job that works on it.
 */
#ifndef LARDER_SWARM_UPLOAD_STATE_H
#define LARDER_SWARM_UPLOAD_STATE_H

#include "codec/manifest.h"
#include "core/loop.h"
#include "core/work.h"
#include "store/issuer.h"
#include "store/reserve.h"
#include "swarm/upload.h"
#include "swarm/upload_tree.h"

enum {
    UPLOAD_INPUT_BYTES = 256 * 1024,
    UPLOAD_CHUNK_BYTES = BMT_SPAN_BYTES + BMT_PAYLOAD_BYTES_MAX,
    UPLOAD_SIGNERS = 2, /* jobs for one page */
};

struct upload_page {
    uint32_t count, items_count;
    uint8_t address[LIMIT_RESERVE_PAGE_CHUNKS][CHUNK_ADDRESS_BYTES];
    uint16_t size[LIMIT_RESERVE_PAGE_CHUNKS];
    uint8_t data[LIMIT_RESERVE_PAGE_CHUNKS][UPLOAD_CHUNK_BYTES];
    /* of the chunks that get a stamp */
    struct stamp stamp[LIMIT_RESERVE_PAGE_CHUNKS];
    uint8_t raw[LIMIT_RESERVE_PAGE_CHUNKS][STAMP_BYTES];
    struct reserve_item items[LIMIT_RESERVE_PAGE_CHUNKS];
    uint8_t stamped[(LIMIT_RESERVE_PAGE_CHUNKS + 7) / 8];
};

struct upload_signer {
    struct work work;
    struct upload *upload;
    uint32_t from, to; /* of the page's items */
};

enum upload_phase { UPLOAD_PREPARING, UPLOAD_FILES, UPLOAD_MANIFEST, UPLOAD_MADE };

struct upload {
    struct upload_options options;
    struct upload_progress now;
    enum upload_phase phase;
    bool canceled, ended;
    struct error failed;
    struct deferred turn; /* the next step, never inside a call */

    struct work prepare;
    struct reserve_issued issued;
    bool issued_found;
    struct issuer *issuer; /* owned */
    struct upload_tree tree;

    /* filling */
    struct upload_page *filling, *storing; /* owned, both */
    struct work fill;
    uint32_t file; /* of the tree, being read */
    int fd;
    bool file_ended, file_done; /* no more bytes; its reference is there */
    struct bytes in;            /* in input: not split yet */
    uint8_t input[UPLOAD_INPUT_BYTES];
    uint8_t reference[CHUNK_ADDRESS_BYTES];
    struct swarmtree_split split;
    struct manifest_writer manifest;

    /* storing */
    bool store_out;
    uint32_t jobs_out;
    uint64_t timestamp; /* of the last stamp */
    struct reserve_stamped lookup;
    struct work_lane lane; /* of the counters' file */
    struct work save;
    struct upload_signer signers[UPLOAD_SIGNERS];
    struct reserve_put put;
};

/* upload.c: what comes next; err: nothing but the end. */
void upload_turn(struct upload *u, const struct error *err);

/* upload_store.c: u->storing is full and nothing of it is out; ends with upload_turn. */
void upload_store(struct upload *u);

#endif
