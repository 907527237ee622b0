/* lib/ipfs/pass.h
 *
 * One pass over the keys of a region: they are read in key chunks, each key is allotted to its
 * nearest servers, and each server gets a stream of ADD_PROVIDERs in key order. At most
 * connections_max servers have one: who was heard to have read all that there is for it leaves its
 * place to one that has keys, and is opened again when more come for it. A ring of LIMIT_PASS_RING
 * chunks is all that is in memory, whatever the region's size. Behind its keys of a chunk each
 * server is asked for the last of them, while more are sent: servers take the messages of a stream
 * one by one, so the answer proves that all before it were read. A stream that its server ends is
 * opened again, LIMIT_PASS_REOPENS times, and goes on behind what was proven: first with questions
 * behind few records, which tell how many messages it reads, then with no more than those to a
 * stream. A chunk leaves when it is proven for all live servers, and is noted in the keystore then:
 * what was written to a stream is lost with it, and what is sent again after a crash is at most the
 * ring.
 *
 *     ADD_PROVIDER, many to a write  -->
 *     GET_PROVIDERS of the last key  -->
 *     more of both                   -->
 *                                    <--  providers, we among them
 *
 * Owns:   ring, streams. Charged to the owner when it starts, given back before cb.
 * Thread: loop only; keys are read and allotted by workers.
 * Errors: ERR_BUDGET: no room for a ring now; ERR_UNREACHABLE: too many servers failed;
 *         ERR_TIMEOUT: too many could not be asked; ERR_CANCELED; those of the keystore.
 *         On every path cb comes exactly once.
 */
#ifndef LARDER_IPFS_PASS_H
#define LARDER_IPFS_PASS_H

#include "ipfs/allot.h"
#include "ipfs/dht.h"

struct pass;
struct work_pool;

struct pass_server { /* of the region */
    struct kad_peer peer;
    bool gone;        /* has failed in an earlier pass: gets nothing */
    bool gone_before; /* repeat: had failed before the pass that is repeated */
    /* in and out: that it takes of a stream, the question behind its records among them; 0: as many
     * as there are */
    uint32_t messages_max;
    /* out */
    bool failed;
    bool unasked; /* failed, and not by itself: see dht_open; in: repeat: so it was before */
    uint64_t sent, confirmed; /* records */
};

/* All live servers have read what they were sent of the keys up to and including last. */
enum { PASS_NOTE_BYTES = 128 };
struct pass_progress {
    struct bytes last;
    uint32_t keys;                 /* of the chunk */
    bool whole;                    /* no server has failed in this pass */
    bool settle;                   /* out: they are no longer pending */
    struct keystore_row row;       /* out: written with that; size of key 0: none */
    uint8_t note[PASS_NOTE_BYTES]; /* room for it */
};
typedef void pass_progress_fn(void *ctx, struct pass_progress *at);
typedef void pass_cb(void *ctx, const struct error *err);

struct pass_options {
    struct dht *dht;
    struct keystore *keystore;
    struct work_pool *work;
    struct mem_owner *mem;
    const struct kad_record *record;
    enum keystore_kind kind;
    struct kad_prefix prefix;
    struct bytes after;          /* begin behind this key; size 0: at the start */
    struct pass_server *servers; /* sorted by place; borrowed, and written to */
    uint32_t servers_count;      /* at most LIMIT_EXPLORE_SERVERS */
    /* A repetition without the servers that failed: their keys go to those who are next. Who was
     * not asked is, and gets all of its keys. */
    bool repeat;
    uint32_t chunk_keys;      /* fewer are read when there are more than LIMIT_PASS_SERVERS */
    uint32_t connections_max; /* servers that have a stream, or are called for one, at a time */
    uint32_t stall_ms;
    pass_progress_fn *progress;
    pass_cb *cb;
    void *ctx;
};
enum err pass_start(struct pass **out, const struct pass_options *options, struct error *err);
void pass_cancel(struct pass *p); /* cb still comes, with ERR_CANCELED */
/* Of a key chunk, so that the bitmaps of all servers take no more than those of LIMIT_PASS_SERVERS.
 */
uint32_t pass_chunk_keys(uint32_t servers, uint32_t chunk_keys);
uint64_t pass_bytes(uint32_t servers, uint32_t chunk_keys); /* about what one takes */

#endif
