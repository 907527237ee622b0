#include "codec/manifest.h"

/* First 31 bytes of H("mantaray:0.2") and H("mantaray:0.1"). */
const uint8_t manifest_version_0_2[MANIFEST_VERSION_BYTES] = {
    0x57, 0x68, 0xb3, 0xb6, 0xa7, 0xdb, 0x56, 0xd2, 0x1d, 0x1a, 0xbf, 0xf4, 0x0d, 0x41, 0xce, 0xbf,
    0xc8, 0x34, 0x48, 0xfe, 0xd8, 0xd7, 0xe9, 0xb0, 0x6e, 0xc0, 0xd3, 0xb0, 0x73, 0xf2, 0x8f,
};
static const uint8_t version_0_1[MANIFEST_VERSION_BYTES] = {
    0x02, 0x51, 0x84, 0x78, 0x9d, 0x63, 0x63, 0x57, 0x66, 0xd7, 0x8c, 0x41, 0x90, 0x01, 0x96, 0xb5,
    0x7d, 0x74, 0x00, 0x87, 0x5e, 0xbe, 0x4d, 0x9b, 0x5d, 0x1e, 0x76, 0xbd, 0x96, 0x52, 0xa9,
};
static_assert(LIMIT_MANIFEST_DEPTH * MANIFEST_PREFIX_BYTES_MAX <= LIMIT_MANIFEST_PATH_BYTES,
              "the deepest fork's path fits");
static const uint8_t zeros[MANIFEST_REFERENCE_BYTES];

enum { PENDING_FIRST = 64, ENCRYPTED_REFERENCE_BYTES = 64, FORK_REFERENCE_AT = 32 };

struct manifest_fork { /* a node to be read */
    uint8_t reference[MANIFEST_REFERENCE_BYTES];
    uint16_t parent_path_size;
    uint8_t depth, prefix_size, prefix[MANIFEST_PREFIX_BYTES_MAX];
    bool is_file;
};

bool manifest_is_node(struct bytes start)
{
    if (start.size < MANIFEST_START_BYTES)
        return false;
    uint8_t version[MANIFEST_VERSION_BYTES] = { 0 };
    for (size_t i = 0; i < sizeof(version); i++)
        version[i] = start.data[MANIFEST_KEY_BYTES + i] ^ start.data[i];
    return !memcmp(version, manifest_version_0_2, sizeof(version)) ||
           !memcmp(version, version_0_1, sizeof(version));
}

enum err manifest_path_check(struct bytes path, struct error *err)
{
    if (!LIMIT_CHECK(MANIFEST_PATH_BYTES, path.size))
        return error_set(err, ERR_LIMIT, "a path of %zu bytes, %d are allowed", path.size,
                         LIMIT_MANIFEST_PATH_BYTES);
    if (path.size > 0 && memchr(path.data, '\0', path.size))
        return error_set(err, ERR_MALFORMED, "a path with a zero byte");
    for (size_t at = 0, end; at <= path.size; at = end + 1) {
        end = at;
        while (end < path.size && path.data[end] != '/')
            end++;
        size_t size = end - at;
        bool dots = (size == 1 || size == 2) && !memcmp(path.data + at, "..", size);
        if (size == 0 || dots)
            return error_set(err, ERR_MALFORMED, "the path '%.*s' leaves its directory or is none",
                             (int)MIN(path.size, 100), (const char *)path.data);
    }
    return ERR_OK;
}

/* ---- one node, field by field ---- */

static void expect(struct manifest_reader *r, enum manifest_field field, uint32_t bytes)
{
    r->field_ = field;
    r->have_ = 0;
    r->need_ = bytes;
}

static bool index_bit(const struct manifest_reader *r, unsigned byte)
{
    return r->index_[byte / 8] >> byte % 8 & 1;
}

/* On to the next fork that the index names, or to the end. */
static void expect_fork(struct manifest_reader *r)
{
    while (r->index_at_ < 256 && !index_bit(r, r->index_at_))
        r->index_at_++;
    if (r->index_at_ < 256)
        expect(r, MANIFEST_FORK, MANIFEST_FORK_BYTES);
    else
        expect(r, MANIFEST_END, 0);
}

static enum err on_version(struct manifest_reader *r, struct error *err)
{
    r->without_metadata_ = !memcmp(r->buf_, version_0_1, sizeof(version_0_1));
    if (!r->without_metadata_ &&
        memcmp(r->buf_, manifest_version_0_2, sizeof(manifest_version_0_2)))
        return error_set(err, ERR_MALFORMED, "not a directory, or of a version not known here");
    uint8_t size = r->buf_[MANIFEST_VERSION_BYTES];
    if (size == ENCRYPTED_REFERENCE_BYTES)
        return error_set(err, ERR_UNSUPPORTED, "the directory is encrypted, which is not built");
    if (size != MANIFEST_REFERENCE_BYTES && size != 0)
        return error_set(err, ERR_MALFORMED, "a directory with references of %u bytes", size);
    memset(r->entry_, 0, sizeof(r->entry_));
    if (size == 0) /* an empty directory knows no references */
        expect(r, MANIFEST_INDEX, MANIFEST_INDEX_BYTES);
    else
        expect(r, MANIFEST_ENTRY, MANIFEST_REFERENCE_BYTES);
    r->references_ = size > 0;
    return ERR_OK;
}

static enum err on_index(struct manifest_reader *r, struct error *err)
{
    memcpy(r->index_, r->buf_, sizeof(r->index_));
    if (!r->references_ && memcmp(r->index_, zeros, sizeof(zeros)))
        return error_set(err, ERR_MALFORMED, "a directory with forks and no references");
    r->index_at_ = 0;
    expect_fork(r);
    return ERR_OK;
}

static enum err pending_push(struct manifest_reader *r, const struct manifest_fork *fork,
                             struct error *err)
{
    if (r->pending_count_ == r->pending_room_) {
        size_t room = r->pending_room_ ? 2 * r->pending_room_ : PENDING_FIRST;
        void *grown = mem_try_realloc(r->mem_, r->pending_, room * sizeof(*fork));
        if (!grown)
            return mem_refused(r->mem_, room * sizeof(*fork), err);
        r->pending_ = grown;
        r->pending_room_ = room;
    }
    r->pending_[r->pending_count_++] = *fork;
    return ERR_OK;
}

static enum err on_fork(struct manifest_reader *r, struct error *err)
{
    uint8_t type = r->buf_[0], size = r->buf_[1];
    if (size == 0 || size > MANIFEST_PREFIX_BYTES_MAX || r->buf_[2] != r->index_at_)
        return error_set(err, ERR_MALFORMED, "a fork of a directory with a wrong prefix");
    if (!LIMIT_CHECK(MANIFEST_DEPTH, r->depth_ + 1))
        return error_set(err, ERR_LIMIT, "a directory deeper than %d nodes", LIMIT_MANIFEST_DEPTH);
    struct manifest_fork fork = { .parent_path_size = (uint16_t)r->path_size_,
                                  .depth = (uint8_t)(r->depth_ + 1),
                                  .prefix_size = size,
                                  .is_file = type & MANIFEST_VALUE };
    memcpy(fork.prefix, r->buf_ + 2, size);
    memcpy(fork.reference, r->buf_ + FORK_REFERENCE_AT, sizeof(fork.reference));
    r->index_at_++;
    if (type & MANIFEST_WITH_METADATA && !r->without_metadata_)
        expect(r, MANIFEST_METADATA_SIZE, 2);
    else
        expect_fork(r);
    return pending_push(r, &fork, err);
}

static enum err on_metadata_size(struct manifest_reader *r, struct error *err)
{
    uint16_t size = be16_decode(r->buf_);
    if (!LIMIT_CHECK(MANIFEST_METADATA_BYTES, size + 2u))
        return error_set(err, ERR_LIMIT, "metadata of a file above %d bytes",
                         LIMIT_MANIFEST_METADATA_BYTES);
    if (size > 0)
        expect(r, MANIFEST_METADATA, size); /* skipped: nothing here needs it */
    else
        expect_fork(r);
    return ERR_OK;
}

static enum err on_field(struct manifest_reader *r, struct error *err)
{
    switch (r->field_) {
    case MANIFEST_KEY:
        memcpy(r->key_, r->buf_, sizeof(r->key_));
        expect(r, MANIFEST_VERSION, MANIFEST_VERSION_BYTES + 1);
        return ERR_OK;
    case MANIFEST_VERSION:
        return on_version(r, err);
    case MANIFEST_ENTRY:
        memcpy(r->entry_, r->buf_, sizeof(r->entry_));
        expect(r, MANIFEST_INDEX, MANIFEST_INDEX_BYTES);
        return ERR_OK;
    case MANIFEST_INDEX:
        return on_index(r, err);
    case MANIFEST_FORK:
        return on_fork(r, err);
    case MANIFEST_METADATA_SIZE:
        return on_metadata_size(r, err);
    case MANIFEST_METADATA:
        expect_fork(r);
        return ERR_OK;
    case MANIFEST_END:
        break;
    }
    return error_set(err, ERR_MALFORMED, "a node of a directory with bytes behind its end");
}

static enum err feed(struct manifest_reader *r, struct bytes in, struct error *err)
{
    while (in.size > 0) {
        size_t taken = MIN(in.size, (size_t)(r->need_ - r->have_));
        for (size_t i = 0; i < taken && r->field_ != MANIFEST_METADATA; i++) {
            uint8_t mask = r->field_ == MANIFEST_KEY ? 0 : r->key_[(r->offset_ + i) % 32];
            r->buf_[r->have_ + i] = in.data[i] ^ mask;
        }
        r->have_ += (uint32_t)taken;
        r->offset_ += taken;
        in = bytes_of(in.data + taken, in.size - taken);
        if (r->have_ == r->need_) {
            enum err rc = on_field(r, err);
            if (rc)
                return rc;
        }
    }
    return ERR_OK;
}

/* ---- the walk over the nodes ---- */

static void begin_node(struct manifest_reader *r, const uint8_t *reference)
{
    swarmtree_join_init(&r->join_, reference);
    r->offset_ = 0;
    r->node_first_ = r->pending_count_;
    expect(r, MANIFEST_KEY, MANIFEST_KEY_BYTES);
}

/* The node is whole: its forks turn round, so that the smallest is followed first. */
static enum err next_node(struct manifest_reader *r, struct error *err)
{
    if (r->field_ != MANIFEST_END)
        return error_set(err, ERR_MALFORMED, "a node of a directory is cut short");
    for (size_t i = r->node_first_, k = r->pending_count_; i + 1 < k; i++) {
        struct manifest_fork swapped = r->pending_[i];
        r->pending_[i] = r->pending_[--k];
        r->pending_[k] = swapped;
    }
    if (++r->nodes >= r->nodes_max_ && r->pending_count_ > 0) {
        LIMIT_HIT(MANIFEST_NODES);
        return error_set(err, ERR_LIMIT, "a directory of more than %" PRIu64 " nodes",
                         r->nodes_max_);
    }
    if (r->pending_count_ == 0)
        return ERR_OK;
    const struct manifest_fork *fork = &r->pending_[--r->pending_count_];
    memcpy(r->path_ + fork->parent_path_size, fork->prefix, fork->prefix_size);
    r->path_size_ = (uint32_t)fork->parent_path_size + fork->prefix_size;
    r->depth_ = fork->depth;
    r->is_file_ = fork->is_file;
    begin_node(r, fork->reference);
    return ERR_OK;
}

void manifest_reader_init(struct manifest_reader *r, struct mem_owner *mem,
                          const uint8_t reference[MANIFEST_REFERENCE_BYTES], uint64_t nodes_max)
{
    r->mem_ = mem;
    r->pending_ = NULL;
    r->pending_count_ = r->pending_room_ = 0;
    r->nodes_max_ = nodes_max;
    r->nodes = 0;
    r->path_size_ = r->depth_ = 0;
    r->is_file_ = false;
    begin_node(r, reference);
}

void manifest_reader_free(struct manifest_reader *r)
{
    if (r->pending_)
        mem_free(r->mem_, r->pending_);
    r->pending_ = NULL;
    r->pending_count_ = r->pending_room_ = 0;
}

const uint8_t *manifest_reader_wanted(const struct manifest_reader *r)
{
    return swarmtree_join_wanted(&r->join_);
}

enum err manifest_reader_put(struct manifest_reader *r, struct bytes data,
                             struct manifest_entry *found, struct error *err)
{
    struct bytes out;
    bool entry_known = r->field_ > MANIFEST_ENTRY;
    found->path = bytes_of(NULL, 0);
    enum err rc = swarmtree_join_put(&r->join_, data, &out, err);
    if (!rc)
        rc = feed(r, out, err);
    if (rc)
        return rc;
    /* A value without a reference is the directory's own metadata, or a mark of a tool's. */
    if (!entry_known && r->field_ > MANIFEST_ENTRY && r->is_file_ &&
        memcmp(r->entry_, zeros, sizeof(zeros))) {
        memcpy(found->reference, r->entry_, sizeof(found->reference));
        memcpy(r->found_path_, r->path_, r->path_size_);
        found->path = bytes_of(r->found_path_, r->path_size_);
        rc = manifest_path_check(found->path, err);
    }
    return !rc && !swarmtree_join_wanted(&r->join_) ? next_node(r, err) : rc;
}
