/* lib/codec/swarmtree.h
 *
 * A file as a tree of chunks and back. Leaves hold 4096 bytes (the last one fewer), an intermediate
 * chunk the addresses of up to 128 children and, as its span, the bytes below it. Levels fill from
 * left to right; a level that ends with one address hands it up unwrapped.
 * Source: bee's pkg/file/splitter, pipeline and joiner. Erasure-coded and encrypted trees are
 * refused.
 *
 * Both directions are state machines without I/O: the splitter is given bytes and gives chunks, the
 * joiner asks for a chunk and gives bytes, in order.
 * Ownership: plain structs of about 37 KiB in the caller's memory; what they give is theirs until
 * the next call. Thread: any, one at a time (one chunk is hashed per step, 10 to 70 us).
 */
#ifndef LARDER_CODEC_SWARMTREE_H
#define LARDER_CODEC_SWARMTREE_H

#include "codec/chunk.h"

enum {
    SWARMTREE_REFERENCE_BYTES = CHUNK_ADDRESS_BYTES,
    SWARMTREE_CHILDREN_MAX = BMT_PAYLOAD_BYTES_MAX / SWARMTREE_REFERENCE_BYTES,
};

struct swarmtree_chunk {
    uint8_t address[CHUNK_ADDRESS_BYTES];
    struct bytes data; /* span || payload */
};

enum swarmtree_step { SWARMTREE_MORE, SWARMTREE_CHUNK, SWARMTREE_DONE };

struct swarmtree_split {
    struct swarmtree_level {
        uint64_t span;
        uint32_t used; /* bytes of payload */
        uint8_t data[BMT_SPAN_BYTES + BMT_PAYLOAD_BYTES_MAX];
    } levels_[LIMIT_SWARMTREE_LEVELS + 1]; /* 0: the leaf that is being filled */
    uint64_t bytes, chunks;                /* how many went in and came out, for reports */
    uint8_t given_;                        /* 1 + the level whose buffer the caller reads */
    bool ended_;
};
void swarmtree_split_init(struct swarmtree_split *s);
/* Takes from *in until a chunk is complete (CHUNK: *out is set) or *in is empty (MORE). After
 * swarmtree_split_end: gives the remaining chunks, then DONE with the file's reference in
 * out->address. */
enum swarmtree_step swarmtree_split_next(struct swarmtree_split *s, struct bytes *in,
                                         struct swarmtree_chunk *out);
void swarmtree_split_end(struct swarmtree_split *s);

struct swarmtree_join {
    struct swarmtree_node {
        uint64_t left;  /* bytes of the file below the children not yet asked for */
        uint64_t child; /* bytes below each child but the last */
        uint32_t at, count;
        uint8_t children[BMT_PAYLOAD_BYTES_MAX];
    } nodes_[LIMIT_SWARMTREE_LEVELS];
    uint32_t depth_; /* intermediate chunks that are open */
    uint8_t wanted_[CHUNK_ADDRESS_BYTES];
    uint64_t wanted_span_; /* of the wanted chunk; unknown for the root */
    uint64_t bytes;        /* size of the file; known once the root was put */
    bool root_seen_, done_;
};
void swarmtree_join_init(struct swarmtree_join *j, const uint8_t reference[CHUNK_ADDRESS_BYTES]);
/* The chunk to fetch next; NULL when the file is complete. */
const uint8_t *swarmtree_join_wanted(const struct swarmtree_join *j);
/* For reading ahead: the i-th chunk behind the wanted one, as far as the chunk of references at
 * hand goes; NULL: nobody knows yet. */
const uint8_t *swarmtree_join_ahead(const struct swarmtree_join *j, uint32_t i);
/* Takes the wanted chunk, as it was stored. *out is a part of data: the next bytes of the file,
 * none for an intermediate chunk. After an error the joiner must not be used. ERR_BAD_PROOF (not
 * the chunk that was wanted), ERR_UNSUPPORTED (erasure coding), ERR_MALFORMED (no tree that a
 * splitter makes), ERR_TOO_LARGE. */
enum err swarmtree_join_put(struct swarmtree_join *j, struct bytes data, struct bytes *out,
                            struct error *err);

#endif
