/* lib/codec/manifest.h
 *
 * A directory as chunks and back: mantaray 0.2, a trie over paths whose nodes are files of their
 * own (codec/swarmtree.h), each named by its reference. node  key[32] || version[31] || reference
 * size[1] || entry[32] || index[32] || forks in order fork  type[1] || prefix length[1] ||
 * prefix[30] || reference[32] [|| size[2, BE] || metadata] All behind the key is XORed with it,
 * repeated. We write keys of zeros, read any; 0.1 (without metadata) is read, too. Source: bee's
 * pkg/manifest/mantaray. Encrypted directories are refused.
 *
 * Both directions are state machines without I/O.
 * Memory: the writer keeps the whole trie (about 110 bytes a node and the metadata), the reader the
 * forks it has not followed (72 bytes each); both ask their owner. Thread: that of the owner.
 * Errors: ERR_MALFORMED, ERR_LIMIT, ERR_UNSUPPORTED, ERR_BAD_PROOF, ERR_BUDGET.
 */
#ifndef LARDER_CODEC_MANIFEST_H
#define LARDER_CODEC_MANIFEST_H

#include "base/arena.h"
#include "codec/swarmtree.h"

enum {
    MANIFEST_KEY_BYTES = 32,
    MANIFEST_VERSION_BYTES = 31,
    MANIFEST_REFERENCE_BYTES = SWARMTREE_REFERENCE_BYTES,
    MANIFEST_INDEX_BYTES = 32,
    MANIFEST_PREFIX_BYTES_MAX = 30,
    MANIFEST_FORK_BYTES = 64,  /* without metadata */
    MANIFEST_START_BYTES = 64, /* of a node: key, version, reference size */
};
enum manifest_type {
    MANIFEST_VALUE = 2,
    MANIFEST_EDGE = 4,
    MANIFEST_WITH_SEPARATOR = 8, /* the path below holds a '/', and not first */
    MANIFEST_WITH_METADATA = 16,
};
extern const uint8_t manifest_version_0_2[MANIFEST_VERSION_BYTES];

/* Does a file that begins like this hold a node? Needs MANIFEST_START_BYTES. */
bool manifest_is_node(struct bytes start);

/* A path that a directory may hold and that stays below the place it is unpacked to: relative, no
 * NUL, no component that is empty, "." or "..", at most LIMIT_MANIFEST_PATH_BYTES. */
enum err manifest_path_check(struct bytes path, struct error *err);

/* ---- writing ---- */

struct manifest_pair { /* metadata; keys of one entry ascend strictly */
    const char *key;
    struct bytes value; /* bytes that are not UTF-8 become U+FFFD */
};
struct manifest_node;
struct manifest_writer {
    struct arena arena_;
    struct manifest_node *root_, *at_, *fork_; /* at_: being written, fork_: its next fork */
    struct bytes piece_;                       /* what the splitter has not taken yet */
    uint8_t buf_[128];
    struct swarmtree_split split_;
    uint32_t depth_;
    bool metadata_due_, ended_;
    uint64_t files, nodes; /* added, written */
};
/* bytes_max bounds the trie. */
enum err manifest_writer_init(struct manifest_writer *w, struct mem_owner *mem, size_t bytes_max,
                              struct error *err);
void manifest_writer_free(struct manifest_writer *w); /* zeroed structs are fine */
/* A path that is there already gets the new reference. Where long names share a part, the trie
 * depends on the order of the calls, as bee's does. After an error only manifest_writer_free. */
enum err manifest_writer_add(struct manifest_writer *w, struct bytes path,
                             const uint8_t reference[MANIFEST_REFERENCE_BYTES],
                             const struct manifest_pair *pairs, size_t count, struct error *err);
/* Metadata of the directory itself: website-error-document, website-index-document. */
enum err manifest_writer_set_root(struct manifest_writer *w, const struct manifest_pair *pairs,
                                  size_t count, struct error *err);
/* Gives the chunks of all nodes, children first. *done: none is left and out->address is the
 * directory's reference. Nothing can be added after the first call. */
enum err manifest_writer_next(struct manifest_writer *w, struct swarmtree_chunk *out, bool *done,
                              struct error *err);

/* ---- reading ---- */

struct manifest_entry {
    struct bytes path; /* size 0: none; checked; the reader's until the next call */
    uint8_t reference[MANIFEST_REFERENCE_BYTES];
};
struct manifest_fork;
struct manifest_reader {
    struct mem_owner *mem_;
    struct manifest_fork *pending_; /* a stack; those of one node descend, so that paths ascend */
    size_t pending_count_, pending_room_, node_first_;
    uint64_t nodes_max_;
    uint8_t path_[LIMIT_MANIFEST_PATH_BYTES], found_path_[LIMIT_MANIFEST_PATH_BYTES];
    uint32_t path_size_, depth_;
    bool is_file_; /* the fork that led here says so */
    /* of the node that is being read */
    enum manifest_field {
        MANIFEST_KEY,
        MANIFEST_VERSION,
        MANIFEST_ENTRY,
        MANIFEST_INDEX,
        MANIFEST_FORK,
        MANIFEST_METADATA_SIZE,
        MANIFEST_METADATA,
        MANIFEST_END
    } field_;
    uint8_t key_[MANIFEST_KEY_BYTES], index_[MANIFEST_INDEX_BYTES],
        entry_[MANIFEST_REFERENCE_BYTES];
    uint8_t buf_[MANIFEST_FORK_BYTES];
    uint32_t have_, need_, index_at_;
    uint64_t offset_;
    bool without_metadata_, references_;
    struct swarmtree_join join_;
    uint64_t nodes; /* read so far */
};
/* nodes_max: LIMIT_MANIFEST_NODES; a node may be named many times, so small input can stand for
 * endlessly many files. */
void manifest_reader_init(struct manifest_reader *r, struct mem_owner *mem,
                          const uint8_t reference[MANIFEST_REFERENCE_BYTES], uint64_t nodes_max);
void manifest_reader_free(struct manifest_reader *r); /* zeroed structs are fine */
/* The chunk to fetch next; NULL when the directory is read. */
const uint8_t *manifest_reader_wanted(const struct manifest_reader *r);
/* Takes the wanted chunk; may find one file. After an error only manifest_reader_free. */
enum err manifest_reader_put(struct manifest_reader *r, struct bytes data,
                             struct manifest_entry *found, struct error *err);

#endif
