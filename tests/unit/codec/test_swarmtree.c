#include "unit.h"

#include "codec/swarmtree.h"
#include "swarm_pattern.h"
#include "vectors.h"

static struct swarmtree_split split;
static struct swarmtree_join join;

/* Every chunk of a small file, to be looked up by address. */
struct stored {
    uint8_t address[32], data[LIMIT_CHUNK_CONTENT_BYTES];
    size_t size;
};
static struct stored store[400];
static size_t stored_count;

static void keep(const struct swarmtree_chunk *c)
{
    check(stored_count < ARRAY_SIZE(store), "room for one more chunk");
    struct stored *s = &store[stored_count++];
    memcpy(s->address, c->address, 32);
    memcpy(s->data, c->data.data, c->data.size);
    s->size = c->data.size;
}

static struct bytes find(const uint8_t *address)
{
    for (size_t i = 0; i < stored_count; i++)
        if (!memcmp(store[i].address, address, 32))
            return bytes_of(store[i].data, store[i].size);
    return bytes_of(NULL, 0);
}

/* Splits pattern(size) given in pieces; the last chunk's data goes to root when it is not NULL. */
static void split_pattern(uint64_t size, size_t piece, bool keep_all, uint8_t *reference,
                          struct stored *root)
{
    static uint8_t buf[100000];
    struct swarmtree_chunk c;
    enum swarmtree_step step = SWARMTREE_MORE;
    uint64_t at = 0;
    swarmtree_split_init(&split);
    stored_count = 0;
    while (step != SWARMTREE_DONE) {
        struct bytes in = bytes_of(buf, MIN(piece, size - at));
        for (size_t i = 0; i < in.size; i++)
            buf[i] = swarm_pattern_at(at + i);
        at += in.size;
        if (in.size == 0 && step == SWARMTREE_MORE)
            swarmtree_split_end(&split);
        while ((step = swarmtree_split_next(&split, &in, &c)) == SWARMTREE_CHUNK) {
            if (keep_all)
                keep(&c);
            memcpy(root->address, c.address, 32);
            memcpy(root->data, c.data.data, c.data.size);
            root->size = c.data.size;
        }
        check(in.size == 0, "all bytes are taken before more are asked for");
    }
    memcpy(reference, c.address, 32);
    check(split.bytes == size, "every byte went in");
}

TEST(references_are_those_of_bee)
{
    yajl_val list = vector_get(vectors_load("swarm-tree-vectors.json"), "files");
    check(vector_count(list) == 16, "all sizes");
    for (size_t i = 0; i < vector_count(list); i++) {
        yajl_val v = vector_at(list, i);
        uint8_t got[32], want[32], data[LIMIT_CHUNK_CONTENT_BYTES];
        struct stored root;
        split_pattern((uint64_t)vector_int(v, "size"), 65536, false, got, &root);
        check(vector_hex(v, "reference", want, 32) == 32 && !memcmp(got, want, 32), "reference");
        check(split.chunks == (uint64_t)vector_int(v, "chunks"), "chunks written");
        check(!memcmp(root.address, want, 32), "the root is written last");
        check(root.size == BMT_SPAN_BYTES + (size_t)vector_int(v, "root_payload_bytes"), "size");
        check(vector_hex(v, "root_span_le", want, 32) == 8 && !memcmp(root.data, want, 8), "span");
        if (vector_find(v, "root_data"))
            check(vector_hex(v, "root_data", data, sizeof(data)) == root.size &&
                      !memcmp(root.data, data, root.size),
                  "root chunk");
    }
}

static const uint64_t sizes[] = { 0,      1,      31,     4095,   4096,    4097,   8191,
                                  8192,   8193,   12289,  520192, 524287,  524288, 524289,
                                  528384, 528385, 528389, 532480, 1048576, 1048577 };

static void join_and_compare(uint64_t size, const uint8_t *reference)
{
    uint64_t at = 0;
    struct error err = { ERR_OK, "" };
    swarmtree_join_init(&join, reference);
    for (const uint8_t *wanted; (wanted = swarmtree_join_wanted(&join));) {
        struct bytes out, chunk = find(wanted);
        check(chunk.data != NULL, "only chunks of the file are wanted");
        check(!swarmtree_join_put(&join, chunk, &out, &err), err.text);
        check(join.bytes == size, "the size is known from the root on");
        for (size_t i = 0; i < out.size; i++)
            check(out.data[i] == swarm_pattern_at(at + i), "the bytes in order");
        at += out.size;
    }
    check(at == size, "all bytes came back");
}

TEST(what_is_split_is_joined)
{
    static const size_t pieces[] = { 100000, 4096, 4097, 1000 };
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint8_t reference[32], first[32];
        struct stored root;
        for (size_t k = 0; k < ARRAY_SIZE(pieces); k++) {
            split_pattern(sizes[i], pieces[k], true, reference, &root);
            check(k == 0 || !memcmp(first, reference, 32), "pieces of any size, one reference");
            memcpy(first, reference, 32);
        }
        join_and_compare(sizes[i], reference);
    }
}

/* One chunk made by hand: span, size of the payload. What must a joiner say of it as a root? */
static const struct {
    const char *why;
    uint64_t span;
    size_t payload;
    enum err want;
} roots[] = {
    { "an empty file", 0, 0, ERR_OK },
    { "an empty file with a byte", 0, 1, ERR_MALFORMED },
    { "a leaf that lacks a byte", 100, 99, ERR_MALFORMED },
    { "a leaf with a byte too many", 100, 101, ERR_MALFORMED },
    { "two children", 4097, 64, ERR_OK },
    { "one child", 4097, 32, ERR_MALFORMED },
    { "three children", 4097, 96, ERR_MALFORMED },
    { "half an address", 4097, 80, ERR_MALFORMED },
    { "a full chunk of children", 524288, 4096, ERR_OK },
    { "a large span with few children", 524288, 64, ERR_MALFORMED },
    { "two children, the first a full tree", 524289, 64, ERR_OK },
    { "an encrypted root's address has no place", 524289, 128, ERR_MALFORMED },
    { "the largest span without the erasure bit", INT64_MAX, 128, ERR_OK },
    { "its children are of 2^61 bytes", INT64_MAX, 160, ERR_MALFORMED },
    { "erasure coding, level 1", (UINT64_C(0x81) << 56) | 4097, 64, ERR_UNSUPPORTED },
    { "erasure coding on a leaf", (UINT64_C(0x84) << 56) | 10, 10, ERR_UNSUPPORTED },
};

TEST(roots_that_no_splitter_makes)
{
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        uint8_t data[LIMIT_CHUNK_CONTENT_BYTES], address[32];
        struct error err = { ERR_OK, "" };
        struct bytes out;
        le64_encode(data, roots[i].span);
        swarm_pattern(data + BMT_SPAN_BYTES, roots[i].payload);
        struct bytes chunk = bytes_of(data, BMT_SPAN_BYTES + roots[i].payload);
        check(!chunk_content_address(address, chunk, &err), err.text);
        swarmtree_join_init(&join, address);
        check(swarmtree_join_put(&join, chunk, &out, &err) == roots[i].want, roots[i].why);
        check(!err.text[0] == !roots[i].want, "a refusal has a sentence");
    }
}

TEST(a_chunk_must_be_the_wanted_one)
{
    uint8_t reference[32];
    struct stored root;
    struct bytes out;
    split_pattern(8193, 8193, true, reference, &root);
    swarmtree_join_init(&join, reference);
    check(swarmtree_join_put(&join, find(store[0].address), &out, NULL) == ERR_BAD_PROOF,
          "a leaf instead of the root");
    swarmtree_join_init(&join, reference);
    check(swarmtree_join_put(&join, bytes_of(root.data, 7), &out, NULL) == ERR_MALFORMED, "short");
    swarmtree_join_init(&join, reference);
    check(swarmtree_join_put(&join, bytes_of(root.data, 4105), &out, NULL) == ERR_TOO_LARGE,
          "long");
}

/* A root of two children whose first child is not the full leaf it must be. */
TEST(children_have_the_size_their_place_demands)
{
    uint8_t leaf[8 + 4096] = { 0 }, root[8 + 64], address[32], child[32];
    static const struct {
        const char *why;
        uint64_t span;
        size_t payload;
        enum err want;
    } cases[] = {
        { "the full leaf", 4096, 4096, ERR_OK },
        { "a shorter leaf", 4095, 4095, ERR_MALFORMED },
        { "a tree", 8192, 64, ERR_MALFORMED },
        { "a leaf that says it is a tree", 4097, 4096, ERR_MALFORMED },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct bytes out, chunk = bytes_of(leaf, 8 + cases[i].payload);
        struct error err = { ERR_OK, "" };
        le64_encode(leaf, cases[i].span);
        check(!chunk_content_address(child, chunk, &err), err.text);
        le64_encode(root, 8192);
        memcpy(root + 8, child, 32);
        memcpy(root + 40, child, 32);
        check(!chunk_content_address(address, bytes_of(root, sizeof(root)), &err), err.text);
        swarmtree_join_init(&join, address);
        check(!swarmtree_join_put(&join, bytes_of(root, sizeof(root)), &out, &err), err.text);
        check(swarmtree_join_put(&join, chunk, &out, &err) == cases[i].want, cases[i].why);
    }
}
