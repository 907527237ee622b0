#include "codec/manifest.h"

enum { ARENA_BLOCK_BYTES = 65536, METADATA_UNIT = 32, METADATA_SIZE_BYTES = 2 };
static_assert(LIMIT_MANIFEST_JSON_BYTES + METADATA_UNIT <= UINT16_MAX, "a size of two bytes");

struct manifest_node {
    struct manifest_node *parent, *next; /* next: the fork of a larger byte */
    struct manifest_node *forks;         /* by ascending first byte */
    const uint8_t *metadata;             /* as on the wire: size, JSON, padding */
    uint32_t metadata_size;
    uint8_t type, prefix_size, prefix[MANIFEST_PREFIX_BYTES_MAX];
    uint8_t reference[MANIFEST_REFERENCE_BYTES]; /* the file's; once written: the node's own */
};

/* ---- metadata: JSON as Go's encoder writes it, since references depend on each byte ---- */

/* Bytes of the UTF-8 sequence that b begins with; 0 when it begins with none. */
static size_t utf8_size(struct bytes b)
{
    uint8_t first = b.data[0], low = 0x80, high = 0xbf;
    size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first > 0xf4 || size == 0 || size > b.size)
        return 0;
    if (first == 0xe0)
        low = 0xa0; /* not the shortest form */
    else if (first == 0xed)
        high = 0x9f; /* surrogates */
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f; /* above U+10FFFF */
    for (size_t i = 1; i < size; i++, low = 0x80, high = 0xbf)
        if (b.data[i] < low || b.data[i] > high)
            return 0;
    return size;
}

static void put_escape(struct writer *w, unsigned code)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t text[] = { '\\',
                             'u',
                             digits[code >> 12 & 15],
                             digits[code >> 8 & 15],
                             digits[code >> 4 & 15],
                             digits[code & 15] };
    writer_put(w, text, sizeof(text));
}

static void put_ascii(struct writer *w, uint8_t c)
{
    static const char special[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = c ? strchr(special, c) : NULL;
    if (found) {
        writer_u8(w, '\\');
        writer_u8(w, (uint8_t)letters[found - special]);
    } else if (c < 0x20 || c == '<' || c == '>' || c == '&') {
        put_escape(w, c);
    } else {
        writer_u8(w, c);
    }
}

static void put_text(struct writer *w, struct bytes text)
{
    writer_u8(w, '"');
    while (text.size > 0) {
        size_t size = utf8_size(text), taken = MAX(size, 1);
        bool separator = size == 3 && !memcmp(text.data, "\xe2\x80", 2) &&
                         (text.data[2] == 0xa8 || text.data[2] == 0xa9);
        if (size == 0)
            put_escape(w, 0xfffd);
        else if (size == 1)
            put_ascii(w, text.data[0]);
        else if (separator) /* U+2028 and U+2029 end lines in JavaScript */
            put_escape(w, 0x2000 + (text.data[2] & 0x3fu));
        else
            writer_put(w, text.data, size);
        text = bytes_of(text.data + taken, text.size - taken);
    }
    writer_u8(w, '"');
}

/* size || JSON || line feeds up to 32 bytes, or above that to the next multiple; what is a multiple
 * already gets 32 more, but for 32 itself. */
static enum err metadata_make(struct manifest_writer *w, struct manifest_node *n,
                              const struct manifest_pair *pairs, size_t count, struct error *err)
{
    uint8_t json[LIMIT_MANIFEST_JSON_BYTES];
    struct writer out = writer_of(json, sizeof(json));
    writer_u8(&out, '{');
    for (size_t i = 0; i < count; i++) {
        assert(i == 0 || strcmp(pairs[i - 1].key, pairs[i].key) < 0);
        if (i > 0)
            writer_u8(&out, ',');
        put_text(&out, bytes_of(pairs[i].key, strlen(pairs[i].key)));
        writer_u8(&out, ':');
        put_text(&out, pairs[i].value);
    }
    writer_u8(&out, '}');
    if (out.overflow)
        return error_set(err, ERR_LIMIT, "metadata of a file above %d bytes",
                         LIMIT_MANIFEST_JSON_BYTES);
    size_t used = METADATA_SIZE_BYTES + writer_used(&out), size = METADATA_UNIT;
    if (used > METADATA_UNIT)
        size = (used / METADATA_UNIT + 1) * METADATA_UNIT;
    uint8_t *at = arena_alloc(&w->arena_, size);
    if (!at)
        return error_set(err, ERR_BUDGET, "no room for the metadata of a directory");
    be16_encode(at, (uint16_t)(size - METADATA_SIZE_BYTES));
    memcpy(at + METADATA_SIZE_BYTES, json, used - METADATA_SIZE_BYTES);
    memset(at + used, '\n', size - used);
    n->metadata = at;
    n->metadata_size = (uint32_t)size;
    n->type |= MANIFEST_WITH_METADATA;
    return ERR_OK;
}

/* ---- the trie ---- */

static struct manifest_node *node_new(struct manifest_writer *w, struct bytes prefix)
{
    struct manifest_node *n = arena_alloc(&w->arena_, sizeof(*n));
    if (!n)
        return NULL;
    assert(prefix.size <= MANIFEST_PREFIX_BYTES_MAX);
    *n = (struct manifest_node){ .prefix_size = (uint8_t)prefix.size };
    if (prefix.size > 0)
        memcpy(n->prefix, prefix.data, prefix.size);
    return n;
}

/* Where n's fork of this first byte is or would be. */
static struct manifest_node **fork_slot(struct manifest_node *n, uint8_t first)
{
    struct manifest_node **slot = &n->forks;
    while (*slot && (*slot)->prefix[0] < first)
        slot = &(*slot)->next;
    return slot;
}

static void fork_insert(struct manifest_node *n, struct manifest_node *fork)
{
    struct manifest_node **slot = fork_slot(n, fork->prefix[0]);
    fork->parent = n;
    fork->next = *slot;
    *slot = fork;
    n->type |= MANIFEST_EDGE;
}

/* bee looks at the rest of the path that was added last, not at the prefix; so do we. */
static void mark_separator(struct manifest_node *n, struct bytes path)
{
    const uint8_t *found = memchr(path.data, '/', path.size);
    if (found && found > path.data)
        n->type |= MANIFEST_WITH_SEPARATOR;
    else
        n->type &= (uint8_t)~MANIFEST_WITH_SEPARATOR;
}

/* The first `common` bytes of the fork's prefix become a node between n and the fork. */
static struct manifest_node *fork_split(struct manifest_writer *w, struct manifest_node *fork,
                                        size_t common)
{
    struct manifest_node *n = fork->parent, *middle = node_new(w, bytes_of(fork->prefix, common));
    if (!middle)
        return NULL;
    struct manifest_node **slot = fork_slot(n, fork->prefix[0]);
    assert(*slot == fork);
    middle->parent = n;
    middle->next = fork->next;
    *slot = middle;
    fork->prefix_size -= (uint8_t)common;
    memmove(fork->prefix, fork->prefix + common, fork->prefix_size);
    mark_separator(fork, bytes_of(fork->prefix, fork->prefix_size));
    fork_insert(middle, fork);
    return middle;
}

static size_t common_size(const struct manifest_node *fork, struct bytes path)
{
    size_t i = 0;
    while (i < fork->prefix_size && i < path.size && fork->prefix[i] == path.data[i])
        i++;
    return i;
}

/* The node of this path, made when it is not there; NULL: no memory. Step by step what bee's
 * Node.Add does. */
static struct manifest_node *node_at(struct manifest_writer *w, struct bytes path)
{
    struct manifest_node *n = w->root_;
    while (n && path.size > 0) {
        struct manifest_node *fork = *fork_slot(n, path.data[0]);
        size_t taken;
        if (fork && fork->prefix[0] == path.data[0]) {
            taken = common_size(fork, path);
            if (taken < fork->prefix_size)
                fork = fork_split(w, fork, taken);
            if (fork)
                mark_separator(fork, path);
        } else {
            taken = MIN(path.size, MANIFEST_PREFIX_BYTES_MAX);
            fork = node_new(w, bytes_of(path.data, taken));
            if (fork) {
                mark_separator(fork, bytes_of(path.data, taken));
                fork_insert(n, fork);
            }
        }
        n = fork;
        path = bytes_of(path.data + taken, path.size - taken);
    }
    return n;
}

static enum err insert(struct manifest_writer *w, struct bytes path,
                       const uint8_t reference[MANIFEST_REFERENCE_BYTES],
                       const struct manifest_pair *pairs, size_t count, struct error *err)
{
    assert(w->root_ && !w->ended_);
    struct manifest_node *n = node_at(w, path);
    if (!n)
        return error_set(err, ERR_BUDGET, "no room for a directory of %" PRIu64 " files", w->files);
    memcpy(n->reference, reference, MANIFEST_REFERENCE_BYTES);
    n->type |= MANIFEST_VALUE;
    return count > 0 ? metadata_make(w, n, pairs, count, err) : ERR_OK;
}

enum err manifest_writer_init(struct manifest_writer *w, struct mem_owner *mem, size_t bytes_max,
                              struct error *err)
{
    arena_init(&w->arena_, mem, ARENA_BLOCK_BYTES, bytes_max);
    w->files = w->nodes = 0;
    w->depth_ = 0;
    w->ended_ = false;
    w->root_ = node_new(w, bytes_of(NULL, 0));
    return w->root_ ? ERR_OK : (enum err)mem_refused(mem, ARENA_BLOCK_BYTES, err);
}

void manifest_writer_free(struct manifest_writer *w)
{
    if (w->arena_.mem)
        arena_free(&w->arena_);
    w->root_ = NULL;
}

enum err manifest_writer_add(struct manifest_writer *w, struct bytes path,
                             const uint8_t reference[MANIFEST_REFERENCE_BYTES],
                             const struct manifest_pair *pairs, size_t count, struct error *err)
{
    enum err rc = manifest_path_check(path, err);
    if (!rc)
        rc = insert(w, path, reference, pairs, count, err);
    if (!rc)
        w->files++;
    return rc;
}

enum err manifest_writer_set_root(struct manifest_writer *w, const struct manifest_pair *pairs,
                                  size_t count, struct error *err)
{
    static const uint8_t no_file[MANIFEST_REFERENCE_BYTES];
    return insert(w, bytes_of("/", 1), no_file, pairs, count, err);
}

/* ---- writing: children before parents ---- */

static void begin_node(struct manifest_writer *w, struct manifest_node *n)
{
    struct writer out = writer_of(w->buf_, sizeof(w->buf_));
    uint8_t index[MANIFEST_INDEX_BYTES] = { 0 };
    for (const struct manifest_node *f = n->forks; f; f = f->next)
        index[f->prefix[0] / 8] |= (uint8_t)(1u << f->prefix[0] % 8);
    memset(writer_reserve(&out, MANIFEST_KEY_BYTES), 0, MANIFEST_KEY_BYTES);
    writer_put(&out, manifest_version_0_2, MANIFEST_VERSION_BYTES);
    writer_u8(&out, MANIFEST_REFERENCE_BYTES);
    writer_put(&out, n->reference, MANIFEST_REFERENCE_BYTES);
    writer_put(&out, index, sizeof(index));
    assert(!out.overflow);
    w->at_ = n;
    w->fork_ = n->forks;
    w->metadata_due_ = false;
    w->piece_ = bytes_of(w->buf_, writer_used(&out));
    swarmtree_split_init(&w->split_);
    w->nodes++;
}

static enum err descend(struct manifest_writer *w, struct manifest_node *n, struct error *err)
{
    while (n->forks) {
        if (!LIMIT_CHECK(MANIFEST_DEPTH, ++w->depth_))
            return error_set(err, ERR_LIMIT, "a directory deeper than %d nodes",
                             LIMIT_MANIFEST_DEPTH);
        n = n->forks;
    }
    begin_node(w, n);
    return ERR_OK;
}

/* The next fork of the node at hand; false when it has no more. */
static bool next_piece(struct manifest_writer *w)
{
    struct manifest_node *f = w->fork_;
    if (!f)
        return false;
    if (w->metadata_due_) {
        w->piece_ = bytes_of(f->metadata, f->metadata_size);
    } else {
        struct writer out = writer_of(w->buf_, MANIFEST_FORK_BYTES);
        writer_u8(&out, f->type);
        writer_u8(&out, f->prefix_size);
        writer_put(&out, f->prefix, f->prefix_size);
        size_t rest = MANIFEST_PREFIX_BYTES_MAX - f->prefix_size;
        memset(writer_reserve(&out, rest), 0, rest);
        writer_put(&out, f->reference, MANIFEST_REFERENCE_BYTES);
        assert(!out.overflow && writer_left(&out) == 0);
        w->piece_ = bytes_of(w->buf_, MANIFEST_FORK_BYTES);
    }
    w->metadata_due_ = !w->metadata_due_ && f->metadata;
    if (!w->metadata_due_)
        w->fork_ = f->next;
    return true;
}

/* A node is written: its reference is known, and its next sibling or its parent is due. */
static enum err node_written(struct manifest_writer *w, const uint8_t *reference, bool *done,
                             struct error *err)
{
    struct manifest_node *n = w->at_;
    memcpy(n->reference, reference, MANIFEST_REFERENCE_BYTES);
    *done = n == w->root_;
    if (*done)
        return ERR_OK;
    if (n->next)
        return descend(w, n->next, err);
    w->depth_--;
    begin_node(w, n->parent);
    return ERR_OK;
}

enum err manifest_writer_next(struct manifest_writer *w, struct swarmtree_chunk *out, bool *done,
                              struct error *err)
{
    assert(w->root_);
    *done = false;
    if (!w->ended_) {
        enum err rc = descend(w, w->root_, err);
        if (rc)
            return rc;
        w->ended_ = true;
    }
    while (!*done) {
        switch (swarmtree_split_next(&w->split_, &w->piece_, out)) {
        case SWARMTREE_CHUNK:
            return ERR_OK;
        case SWARMTREE_MORE:
            if (!next_piece(w))
                swarmtree_split_end(&w->split_);
            break;
        case SWARMTREE_DONE: {
            enum err rc = node_written(w, out->address, done, err);
            if (rc)
                return rc;
            break;
        }
        }
    }
    return ERR_OK;
}
