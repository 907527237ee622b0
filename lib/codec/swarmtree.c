#include "codec/swarmtree.h"

/* A span that 8 levels of 128 cannot hold would need 2^68 bytes: no 64-bit span gets there. */
static_assert(LIMIT_SWARMTREE_LEVELS * 7 + 12 > 64, "levels for every 64-bit span");

/* The top bit of a span says that the chunk holds parity references; the level follows it. */
#define SPAN_ERASURE_CODED (UINT64_C(1) << 63)

void swarmtree_split_init(struct swarmtree_split *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->levels_); i++)
        s->levels_[i].span = s->levels_[i].used = 0;
    s->bytes = s->chunks = 0;
    s->given_ = 0;
    s->ended_ = false;
}

void swarmtree_split_end(struct swarmtree_split *s)
{
    assert(!s->ended_);
    s->ended_ = true;
}

static void add_child(struct swarmtree_split *s, size_t level, const uint8_t *address,
                      uint64_t span)
{
    assert(level < ARRAY_SIZE(s->levels_)); /* see the levels' assertion above */
    struct swarmtree_level *up = &s->levels_[level];
    assert(up->used + SWARMTREE_REFERENCE_BYTES <= BMT_PAYLOAD_BYTES_MAX);
    memcpy(up->data + BMT_SPAN_BYTES + up->used, address, SWARMTREE_REFERENCE_BYTES);
    up->used += SWARMTREE_REFERENCE_BYTES;
    up->span += span;
}

/* The level's buffer becomes a chunk and its address an entry of the level above. The buffer is
 * cleared in the next call, for the caller reads it now. */
static enum swarmtree_step give_chunk(struct swarmtree_split *s, size_t level,
                                      struct swarmtree_chunk *out)
{
    struct swarmtree_level *l = &s->levels_[level];
    le64_encode(l->data, l->span);
    bmt_address(out->address, l->span, bytes_of(l->data + BMT_SPAN_BYTES, l->used));
    out->data = bytes_of(l->data, BMT_SPAN_BYTES + l->used);
    add_child(s, level + 1, out->address, l->span);
    s->given_ = (uint8_t)(level + 1);
    s->chunks++;
    return SWARMTREE_CHUNK;
}

static bool is_highest(const struct swarmtree_split *s, size_t level)
{
    for (size_t i = level + 1; i < ARRAY_SIZE(s->levels_); i++)
        if (s->levels_[i].used > 0)
            return false;
    return true;
}

static enum swarmtree_step split_finish(struct swarmtree_split *s, struct swarmtree_chunk *out)
{
    if (s->levels_[0].used > 0 || s->chunks == 0)
        return give_chunk(s, 0, out);
    for (size_t level = 1; level < ARRAY_SIZE(s->levels_); level++) {
        struct swarmtree_level *l = &s->levels_[level];
        if (l->used > SWARMTREE_REFERENCE_BYTES)
            return give_chunk(s, level, out);
        if (l->used == 0)
            continue;
        if (is_highest(s, level)) {
            memcpy(out->address, l->data + BMT_SPAN_BYTES, SWARMTREE_REFERENCE_BYTES);
            out->data = bytes_of(NULL, 0);
            return SWARMTREE_DONE;
        }
        add_child(s, level + 1, l->data + BMT_SPAN_BYTES, l->span);
        l->used = 0;
        l->span = 0;
    }
    assert(!"a file has a reference");
    return SWARMTREE_DONE;
}

enum swarmtree_step swarmtree_split_next(struct swarmtree_split *s, struct bytes *in,
                                         struct swarmtree_chunk *out)
{
    if (s->given_ > 0) {
        struct swarmtree_level *given = &s->levels_[s->given_ - 1];
        given->used = 0;
        given->span = 0;
        s->given_ = 0;
    }
    for (size_t level = 1; level < ARRAY_SIZE(s->levels_); level++)
        if (s->levels_[level].used == BMT_PAYLOAD_BYTES_MAX)
            return give_chunk(s, level, out);
    struct swarmtree_level *leaf = &s->levels_[0];
    size_t taken = MIN(in->size, (size_t)(BMT_PAYLOAD_BYTES_MAX - leaf->used));
    assert(!s->ended_ || in->size == 0);
    if (taken > 0) {
        memcpy(leaf->data + BMT_SPAN_BYTES + leaf->used, in->data, taken);
        *in = bytes_of(in->data + taken, in->size - taken);
        leaf->used += (uint32_t)taken;
        leaf->span = leaf->used;
        s->bytes += taken;
    }
    if (leaf->used == BMT_PAYLOAD_BYTES_MAX)
        return give_chunk(s, 0, out);
    return s->ended_ ? split_finish(s, out) : SWARMTREE_MORE;
}

void swarmtree_join_init(struct swarmtree_join *j, const uint8_t reference[CHUNK_ADDRESS_BYTES])
{
    memcpy(j->wanted_, reference, CHUNK_ADDRESS_BYTES);
    j->depth_ = 0;
    j->wanted_span_ = 0;
    j->bytes = 0;
    j->root_seen_ = false;
    j->done_ = false;
}

const uint8_t *swarmtree_join_wanted(const struct swarmtree_join *j)
{
    return j->done_ ? NULL : j->wanted_;
}

const uint8_t *swarmtree_join_ahead(const struct swarmtree_join *j, uint32_t i)
{
    if (j->done_ || j->depth_ == 0)
        return NULL;
    const struct swarmtree_node *n = &j->nodes_[j->depth_ - 1];
    return i < n->count - n->at ? n->children + (size_t)SWARMTREE_REFERENCE_BYTES * (n->at + i)
                                : NULL;
}

/* The next child of the lowest open chunk; chunks whose children are all read are closed. */
static void want_next(struct swarmtree_join *j)
{
    while (j->depth_ > 0 && j->nodes_[j->depth_ - 1].at == j->nodes_[j->depth_ - 1].count)
        j->depth_--;
    if (j->depth_ == 0) {
        j->done_ = true;
        return;
    }
    struct swarmtree_node *n = &j->nodes_[j->depth_ - 1];
    memcpy(j->wanted_, n->children + SWARMTREE_REFERENCE_BYTES * n->at++,
           SWARMTREE_REFERENCE_BYTES);
    j->wanted_span_ = MIN(n->child, n->left);
    n->left -= j->wanted_span_;
}

/* How many bytes lie below each child but the last: the largest full tree smaller than span. */
static uint64_t child_bytes(uint64_t span)
{
    uint64_t child = BMT_PAYLOAD_BYTES_MAX;
    while ((span - 1) / SWARMTREE_CHILDREN_MAX >= child)
        child *= SWARMTREE_CHILDREN_MAX;
    return child;
}

static enum err open_node(struct swarmtree_join *j, uint64_t span, struct bytes payload,
                          struct error *err)
{
    uint64_t child = child_bytes(span), count = (span - 1) / child + 1;
    if (payload.size != count * SWARMTREE_REFERENCE_BYTES)
        return error_set(err, ERR_MALFORMED,
                         "a tree of %" PRIu64 " bytes with %zu bytes of references, not %" PRIu64,
                         span, payload.size, count * SWARMTREE_REFERENCE_BYTES);
    assert(j->depth_ < ARRAY_SIZE(j->nodes_)); /* each level is at least 128 times smaller */
    struct swarmtree_node *n = &j->nodes_[j->depth_++];
    *n = (struct swarmtree_node){ .left = span, .child = child, .count = (uint32_t)count };
    memcpy(n->children, payload.data, payload.size);
    return ERR_OK;
}

enum err swarmtree_join_put(struct swarmtree_join *j, struct bytes data, struct bytes *out,
                            struct error *err)
{
    assert(!j->done_);
    uint8_t address[CHUNK_ADDRESS_BYTES];
    *out = bytes_of(NULL, 0);
    enum err rc = chunk_content_address(address, data, err);
    if (rc)
        return rc;
    if (memcmp(address, j->wanted_, CHUNK_ADDRESS_BYTES))
        return error_set(err, ERR_BAD_PROOF, "a chunk of a file does not hash to its reference");
    uint64_t span = le64_decode(data.data);
    struct bytes payload = bytes_of(data.data + BMT_SPAN_BYTES, data.size - BMT_SPAN_BYTES);
    if (span & SPAN_ERASURE_CODED)
        return error_set(err, ERR_UNSUPPORTED,
                         "the file is stored with erasure coding, which is not built");
    if (j->root_seen_ && span != j->wanted_span_)
        return error_set(err, ERR_MALFORMED,
                         "a part of a file has %" PRIu64 " bytes where %" PRIu64 " belong", span,
                         j->wanted_span_);
    if (!j->root_seen_)
        j->bytes = span;
    j->root_seen_ = true;
    if (span > BMT_PAYLOAD_BYTES_MAX) {
        rc = open_node(j, span, payload, err);
    } else if (payload.size != span) {
        rc = error_set(err, ERR_MALFORMED, "a leaf of %" PRIu64 " bytes holds %zu", span,
                       payload.size);
    } else {
        *out = payload;
    }
    if (!rc)
        want_next(j);
    return rc;
}
