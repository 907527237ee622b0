#include "unit.h"

#include <stdio.h>

#include "codec/manifest.h"
#include "swarm_pattern.h"
#include "vectors.h"

enum { CHUNKS_MAX = 4000, TRIE_BYTES_MAX = 8 * MiB };

static struct manifest_writer writer;
static struct manifest_reader reader;
static struct mem_plan *plan;

static struct stored {
    uint8_t address[32], data[LIMIT_CHUNK_CONTENT_BYTES];
    size_t size;
} store[CHUNKS_MAX];
static size_t stored_count;

static struct mem_owner *owner_begin(void)
{
    static const struct mem_row row = { "manifest", "refused", MEM_ELASTIC, 1 * MiB, 50, 80, true };
    struct error err = { ERR_OK, "" };
    check(!mem_plan_create(&plan, 256 * MiB, &row, 1, &err), err.text);
    stored_count = 0;
    return mem_plan_find(plan, "manifest");
}

static void keep(const uint8_t *address, struct bytes data)
{
    check(stored_count < CHUNKS_MAX, "room for one more chunk");
    struct stored *s = &store[stored_count++];
    memcpy(s->address, address, 32);
    memcpy(s->data, data.data, data.size);
    s->size = data.size;
}

static struct bytes find(const uint8_t *address)
{
    for (size_t i = 0; i < stored_count; i++)
        if (!memcmp(store[i].address, address, 32))
            return bytes_of(store[i].data, store[i].size);
    return bytes_of(NULL, 0);
}

static void write_all(uint8_t *reference)
{
    struct swarmtree_chunk c;
    struct error err = { ERR_OK, "" };
    bool done = false;
    while (!done) {
        check(!manifest_writer_next(&writer, &c, &done, &err), err.text);
        if (!done)
            keep(c.address, c.data);
    }
    memcpy(reference, c.address, 32);
}

/* Reads a directory out of the store; every file is given to on_file. */
static enum err read_all(const uint8_t *reference, struct mem_owner *mem, uint64_t nodes_max,
                         void (*on_file)(void *ctx, const struct manifest_entry *e), void *ctx)
{
    enum err rc = ERR_OK;
    struct error err = { ERR_OK, "" };
    manifest_reader_init(&reader, mem, reference, nodes_max);
    for (const uint8_t *wanted; !rc && (wanted = manifest_reader_wanted(&reader));) {
        struct manifest_entry found;
        struct bytes chunk = find(wanted);
        check(chunk.data != NULL, "only chunks of the directory are wanted");
        rc = manifest_reader_put(&reader, chunk, &found, &err);
        if (!rc && found.path.size > 0 && on_file)
            on_file(ctx, &found);
    }
    check(!rc == !err.text[0], "a refusal has a sentence");
    manifest_reader_free(&reader);
    return rc;
}

/* ---- bee's vectors ---- */

static size_t pairs_of(yajl_val metadata, struct manifest_pair *pairs)
{
    size_t count = YAJL_GET_OBJECT(metadata)->len;
    for (size_t i = 0; i < count; i++) {
        const char *value = YAJL_GET_STRING(YAJL_GET_OBJECT(metadata)->values[i]);
        pairs[i].key = YAJL_GET_OBJECT(metadata)->keys[i];
        pairs[i].value = bytes_of(value, strlen(value));
    }
    return count;
}

static struct bytes path_of(yajl_val file)
{
    return bytes_of(vector_text(file, "path"), strlen(vector_text(file, "path")));
}

static void add_vector(yajl_val v)
{
    struct error err = { ERR_OK, "" };
    struct manifest_pair pairs[4];
    yajl_val files = vector_get(v, "files");
    for (size_t i = 0; i < vector_count(files); i++) {
        yajl_val file = vector_at(files, i);
        uint8_t reference[32], data[8192], want[32];
        struct swarmtree_chunk c;
        struct bytes in = swarm_pattern(data, (size_t)vector_int(file, "pattern"));
        swarmtree_split_init(&writer.split_);
        while (swarmtree_split_next(&writer.split_, &in, &c) != SWARMTREE_MORE)
            ;
        swarmtree_split_end(&writer.split_);
        while (swarmtree_split_next(&writer.split_, &in, &c) != SWARMTREE_DONE)
            ;
        memcpy(reference, c.address, 32);
        check(vector_hex(file, "reference", want, 32) == 32 && !memcmp(reference, want, 32),
              "reference of the file");
        size_t count = pairs_of(vector_get(file, "metadata"), pairs);
        check(!manifest_writer_add(&writer, path_of(file), reference, pairs, count, &err),
              err.text);
    }
    if (vector_find(v, "root_metadata")) {
        size_t count = pairs_of(vector_get(v, "root_metadata"), pairs);
        check(!manifest_writer_set_root(&writer, pairs, count, &err), err.text);
    }
}

static void check_nodes(yajl_val chunks)
{
    check(vector_count(chunks) == stored_count, "as many chunks as bee writes");
    for (size_t i = 0; i < vector_count(chunks); i++) {
        uint8_t address[32], data[LIMIT_CHUNK_CONTENT_BYTES];
        check(vector_hex(vector_at(chunks, i), "address", address, 32) == 32, "address");
        size_t size = vector_hex(vector_at(chunks, i), "data", data, sizeof(data));
        check(bytes_equal(find(address), bytes_of(data, size)),
              vector_text(vector_at(chunks, i), "address"));
    }
}

struct expected {
    yajl_val files;
    size_t seen;
    struct bytes last;
    char last_path[LIMIT_MANIFEST_PATH_BYTES];
};

static void expect_file(void *ctx, const struct manifest_entry *e)
{
    struct expected *x = ctx;
    for (size_t i = 0; i < vector_count(x->files); i++) {
        uint8_t want[32];
        yajl_val file = vector_at(x->files, i);
        if (!bytes_equal(path_of(file), e->path))
            continue;
        check(vector_hex(file, "reference", want, 32) == 32 && !memcmp(e->reference, want, 32),
              "reference");
        x->seen++;
        int order = memcmp(x->last_path, e->path.data, MIN(x->last.size, e->path.size));
        check(order < 0 || (order == 0 && x->last.size < e->path.size), "paths ascend");
        memcpy(x->last_path, e->path.data, e->path.size);
        x->last = bytes_of(x->last_path, e->path.size);
        return;
    }
    check(false, "a path that nobody put in");
}

TEST(directories_are_those_of_bee)
{
    yajl_val list = vector_get(vectors_load("swarm-tree-vectors.json"), "directories");
    check(vector_count(list) == 6, "all directories");
    for (size_t i = 0; i < vector_count(list); i++) {
        yajl_val v = vector_at(list, i);
        uint8_t reference[32], want[32];
        struct error err = { ERR_OK, "" };
        struct mem_owner *mem = owner_begin();
        check(!manifest_writer_init(&writer, mem, TRIE_BYTES_MAX, &err), err.text);
        add_vector(v);
        write_all(reference);
        manifest_writer_free(&writer);
        check(vector_hex(v, "reference", want, 32) == 32 && !memcmp(reference, want, 32),
              vector_text(v, "name"));
        check_nodes(vector_get(v, "node_chunks"));
        check(manifest_is_node(bytes_of(find(reference).data + 8, find(reference).size - 8)),
              "a node");
        struct expected x = { .files = vector_get(v, "files") };
        check(!read_all(reference, mem, 100, expect_file, &x), "it can be read");
        check(x.seen == vector_count(x.files), "every file is found once");
        mem_plan_destroy(plan);
    }
}

/* ---- metadata as Go's JSON encoder writes it ---- */

static const struct {
    const char *why, *key, *value, *json;
} texts[] = {
    { "plain", "Filename", "a.txt", "{\"Filename\":\"a.txt\"}" },
    { "quotes", "k", "a\"b\\c", "{\"k\":\"a\\\"b\\\\c\"}" },
    { "HTML", "k", "<a>&", "{\"k\":\"\\u003ca\\u003e\\u0026\"}" },
    { "control characters", "k", "\b\f\n\r\t\x01\x1f\x7f",
      "{\"k\":\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"}" },
    { "UTF-8", "k", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x8d\x95",
      "{\"k\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x8d\x95\"}" },
    { "line separators", "k", "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa",
      "{\"k\":\"\\u2028\\u2029\xe2\x80\xaa\"}" },
    { "not UTF-8", "k", "a\xff\xc3", "{\"k\":\"a\\ufffd\\ufffd\"}" },
    { "not the shortest form", "k", "\xc0\xaf\xe0\x80\xaf",
      "{\"k\":\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\"}" },
    { "a surrogate", "k", "\xed\xa0\x80", "{\"k\":\"\\ufffd\\ufffd\\ufffd\"}" },
    { "above U+10FFFF", "k", "\xf4\x90\x80\x80", "{\"k\":\"\\ufffd\\ufffd\\ufffd\\ufffd\"}" },
};

/* Where the metadata of the only fork of the only parent stands. */
static struct bytes only_metadata(const struct stored *root)
{
    return bytes_of(root->data + 8 + 128 + 64, root->size - 8 - 128 - 64);
}

static void write_one(struct mem_owner *mem, const struct manifest_pair *pair, uint8_t *reference)
{
    static const uint8_t file[32] = { 1 };
    struct error err = { ERR_OK, "" };
    stored_count = 0;
    check(!manifest_writer_init(&writer, mem, TRIE_BYTES_MAX, &err), err.text);
    check(!manifest_writer_add(&writer, bytes_of("a", 1), file, pair, 1, &err), err.text);
    write_all(reference);
    manifest_writer_free(&writer);
}

TEST(metadata_is_written_as_go_does)
{
    struct mem_owner *mem = owner_begin();
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        uint8_t reference[32];
        struct manifest_pair pair = { texts[i].key,
                                      bytes_of(texts[i].value, strlen(texts[i].value)) };
        write_one(mem, &pair, reference);
        struct bytes m = only_metadata(&store[stored_count - 1]);
        size_t size = strlen(texts[i].json);
        check(m.size > size + 2 && !memcmp(m.data + 2, texts[i].json, size), texts[i].why);
        check(m.data[2 + size] == '\n', texts[i].why);
    }
    mem_plan_destroy(plan);
}

TEST(metadata_is_padded)
{
    /* {"k":"..."} is 8 bytes and the text; with the size 10. */
    static const struct {
        size_t text, size;
    } cases[] = {
        { 0, 32 }, { 21, 32 }, { 22, 32 }, { 23, 64 }, { 53, 64 }, { 54, 96 }, { 55, 96 }
    };
    struct mem_owner *mem = owner_begin();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[64];
        uint8_t reference[32];
        memset(text, 'x', sizeof(text));
        struct manifest_pair pair = { "k", bytes_of(text, cases[i].text) };
        write_one(mem, &pair, reference);
        struct bytes m = only_metadata(&store[stored_count - 1]);
        check(m.size == cases[i].size && be16_decode(m.data) == m.size - 2, "size of metadata");
    }
    mem_plan_destroy(plan);
}

/* ---- large and strange directories ---- */

static void count_file(void *ctx, const struct manifest_entry *e)
{
    uint64_t *sum = ctx;
    sum[0]++;
    sum[1] += be32_decode(e->reference) + e->path.size;
}

TEST(a_large_directory_comes_back)
{
    enum { FILES = 500 };
    struct mem_owner *mem = owner_begin();
    struct error err = { ERR_OK, "" };
    uint64_t want[2] = { 0 }, got[2] = { 0 };
    uint8_t root[32];
    check(!manifest_writer_init(&writer, mem, TRIE_BYTES_MAX, &err), err.text);
    for (uint32_t i = 0; i < FILES; i++) {
        uint8_t path[64];
        uint32_t mixed = i * 2654435761u;
        size_t size = mixed % 40;
        /* Neither '/' nor dots; the last two bytes make it unique. */
        for (size_t k = 0; k < size; k++)
            path[k] = (uint8_t)(0x80 | mixed >> (k % 4 * 8));
        path[size] = (uint8_t)(0x80 | i);
        path[size + 1] = (uint8_t)(0x80 | i >> 7);
        struct manifest_entry e = { .path = bytes_of(path, size + 2) };
        be32_encode(e.reference, i + 1);
        char name[300];
        memset(name, 'n', sizeof(name)); /* nodes of many chunks */
        struct manifest_pair pair = { "Filename", bytes_of(name, sizeof(name)) };
        check(!manifest_writer_add(&writer, e.path, e.reference, &pair, 1, &err), err.text);
        count_file(want, &e);
    }
    write_all(root);
    manifest_writer_free(&writer);
    check(!read_all(root, mem, 100000, count_file, got), "it can be read");
    check(got[0] == FILES && got[1] == want[1], "every file with its path and reference");
    check(mem->used_bytes == 0, "all memory is given back");
    mem_plan_destroy(plan);
}

TEST(an_empty_directory)
{
    struct mem_owner *mem = owner_begin();
    struct error err = { ERR_OK, "" };
    uint8_t root[32];
    uint64_t got[2] = { 0 };
    check(!manifest_writer_init(&writer, mem, TRIE_BYTES_MAX, &err), err.text);
    write_all(root);
    manifest_writer_free(&writer);
    check(stored_count == 1 && !read_all(root, mem, 1, count_file, got) && got[0] == 0, "no file");
    mem_plan_destroy(plan);
}

TEST(the_trie_has_a_limit)
{
    struct mem_owner *mem = owner_begin();
    struct error err = { ERR_OK, "" };
    enum err rc = ERR_OK;
    check(!manifest_writer_init(&writer, mem, 65536 + 4096, &err), err.text);
    for (uint32_t i = 0; !rc && i < 100000; i++) {
        char path[16];
        snprintf(path, sizeof(path), "%u", i);
        rc = manifest_writer_add(&writer, bytes_of(path, strlen(path)), (const uint8_t[32]){ 1 },
                                 NULL, 0, &err);
    }
    check(rc == ERR_BUDGET && err.text[0], "it ends with a sentence");
    manifest_writer_free(&writer);
    check(mem->used_bytes == 0, "all memory is given back");
    char name[LIMIT_MANIFEST_JSON_BYTES];
    memset(name, 'n', sizeof(name));
    struct manifest_pair pair = { "k", bytes_of(name, sizeof(name)) };
    check(!manifest_writer_init(&writer, mem, TRIE_BYTES_MAX, &err), err.text);
    check(manifest_writer_add(&writer, bytes_of("a", 1), (const uint8_t[32]){ 1 }, &pair, 1,
                              &err) == ERR_LIMIT,
          "metadata has one, too");
    manifest_writer_free(&writer);
    mem_plan_destroy(plan);
}

TEST(a_path_may_be_deep_but_not_endless)
{
    struct mem_owner *mem = owner_begin();
    struct error err = { ERR_OK, "" };
    static uint8_t path[LIMIT_MANIFEST_PATH_BYTES];
    struct swarmtree_chunk c;
    bool done;
    uint8_t root[32];
    uint64_t got[2] = { 0 };
    memset(path, 'a', sizeof(path));
    check(!manifest_writer_init(&writer, mem, TRIE_BYTES_MAX, &err), err.text);
    check(!manifest_writer_add(&writer, bytes_of(path, 128 * 30), (const uint8_t[32]){ 1 }, NULL, 0,
                               &err),
          err.text);
    write_all(root);
    manifest_writer_free(&writer);
    check(!read_all(root, mem, 1000, count_file, got) && got[0] == 1, "128 nodes below the root");
    check(!manifest_writer_init(&writer, mem, TRIE_BYTES_MAX, &err), err.text);
    check(!manifest_writer_add(&writer, bytes_of(path, 128 * 30 + 1), (const uint8_t[32]){ 1 },
                               NULL, 0, &err),
          err.text);
    check(manifest_writer_next(&writer, &c, &done, &err) == ERR_LIMIT, "129 are not written");
    manifest_writer_free(&writer);
    mem_plan_destroy(plan);
}

/* ---- nodes made by hand ---- */

struct node {
    uint8_t key, version_byte, reference_size;
    const uint8_t *entry;
    struct {
        uint8_t type, prefix_size;
        const char *prefix;
        const uint8_t *child;
        int metadata; /* -1: none */
    } fork;
    size_t cut, extra;
    uint8_t index_flip; /* the index names another first byte */
};

static void store_node(const struct node *n, uint8_t *reference)
{
    static uint8_t data[8 + 200000];
    uint8_t *at = data + 8, index[32] = { 0 };
    struct writer w = writer_of(at, sizeof(data) - 8);
    static const uint8_t none[64];
    uint8_t *key = writer_reserve(&w, 32);
    for (size_t i = 0; i < 32; i++)
        key[i] = n->key ? (uint8_t)(n->key + i) : 0;
    writer_put(&w, manifest_version_0_2, 31);
    at[32] ^= n->version_byte;
    writer_u8(&w, n->reference_size);
    writer_put(&w, n->entry ? n->entry : none, n->reference_size <= 64 ? n->reference_size : 0);
    if (n->fork.prefix) {
        uint8_t first = (uint8_t)n->fork.prefix[0] ^ n->index_flip;
        index[first / 8] |= (uint8_t)(1u << first % 8);
    }
    writer_put(&w, index, 32);
    if (n->fork.prefix) {
        writer_u8(&w, n->fork.type);
        writer_u8(&w, n->fork.prefix_size);
        char prefix[30] = { 0 };
        memcpy(prefix, n->fork.prefix, MIN(strlen(n->fork.prefix), 30));
        writer_put(&w, prefix, 30);
        writer_put(&w, n->fork.child, 32);
        if (n->fork.metadata >= 0) {
            writer_be16(&w, (uint16_t)n->fork.metadata);
            memset(writer_reserve(&w, (size_t)n->fork.metadata), ' ', (size_t)n->fork.metadata);
        }
    }
    memset(writer_reserve(&w, n->extra), 0, n->extra);
    size_t size = writer_used(&w) - n->cut;
    for (size_t i = 32; i < size; i++)
        at[i] ^= key[i % 32];
    struct swarmtree_chunk c;
    struct bytes in = bytes_of(at, size);
    static struct swarmtree_split split;
    enum swarmtree_step step;
    swarmtree_split_init(&split);
    while ((step = swarmtree_split_next(&split, &in, &c)) != SWARMTREE_DONE) {
        if (step == SWARMTREE_MORE)
            swarmtree_split_end(&split);
        else
            keep(c.address, c.data);
    }
    memcpy(reference, c.address, 32);
}

static const struct {
    const char *why;
    struct node root;
    enum err want;
    uint64_t files;
} nodes[] = {
    { "a file", { .reference_size = 32, .fork = { 2, 1, "a", NULL, -1 } }, ERR_OK, 1 },
    { "a key other than zero",
      { .key = 0x5a, .reference_size = 32, .fork = { 2, 1, "a", NULL, -1 } },
      ERR_OK,
      1 },
    { "no file: the fork has no value",
      { .reference_size = 32, .fork = { 4, 1, "a", NULL, -1 } },
      ERR_OK,
      0 },
    { "metadata is skipped",
      { .reference_size = 32, .fork = { 18, 1, "a", NULL, 300 } },
      ERR_OK,
      1 },
    { "metadata over many chunks",
      { .reference_size = 32, .fork = { 18, 1, "a", NULL, 65534 } },
      ERR_OK,
      1 },
    { "no metadata after all",
      { .reference_size = 32, .fork = { 18, 1, "a", NULL, 0 } },
      ERR_OK,
      1 },
    { "metadata above 64 KiB",
      { .reference_size = 32, .fork = { 18, 1, "a", NULL, 65535 } },
      ERR_LIMIT,
      0 },
    { "metadata cut short",
      { .reference_size = 32, .fork = { 18, 1, "a", NULL, 300 }, .cut = 1 },
      ERR_MALFORMED,
      0 },
    { "a fork cut short",
      { .reference_size = 32, .fork = { 2, 1, "a", NULL, -1 }, .cut = 1 },
      ERR_MALFORMED,
      0 },
    { "a fork without its metadata",
      { .reference_size = 32, .fork = { 18, 1, "a", NULL, -1 } },
      ERR_MALFORMED,
      0 },
    { "a byte behind the end",
      { .reference_size = 32, .fork = { 2, 1, "a", NULL, -1 }, .extra = 1 },
      ERR_MALFORMED,
      0 },
    { "a prefix of no bytes",
      { .reference_size = 32, .fork = { 2, 0, "a", NULL, -1 } },
      ERR_MALFORMED,
      0 },
    { "a prefix of 31 bytes",
      { .reference_size = 32, .fork = { 2, 31, "a", NULL, -1 } },
      ERR_MALFORMED,
      0 },
    { "a prefix under another byte",
      { .reference_size = 32, .fork = { 2, 1, "a", NULL, -1 }, .index_flip = 1 },
      ERR_MALFORMED,
      0 },
    { "another version", { .version_byte = 1, .reference_size = 32 }, ERR_MALFORMED, 0 },
    { "encrypted", { .reference_size = 64 }, ERR_UNSUPPORTED, 0 },
    { "references of 20 bytes", { .reference_size = 20 }, ERR_MALFORMED, 0 },
    { "empty, as bee writes it", { .reference_size = 0 }, ERR_OK, 0 },
    { "forks but no references",
      { .reference_size = 0, .fork = { 2, 1, "a", NULL, -1 } },
      ERR_MALFORMED,
      0 },
    { "a node cut short", { .reference_size = 32, .cut = 40 }, ERR_MALFORMED, 0 },
    { "a path out of the directory",
      { .reference_size = 32, .fork = { 2, 4, "../a", NULL, -1 } },
      ERR_MALFORMED,
      0 },
    { "an absolute path",
      { .reference_size = 32, .fork = { 2, 2, "/a", NULL, -1 } },
      ERR_MALFORMED,
      0 },
    { "a path with a zero byte",
      { .reference_size = 32, .fork = { 2, 3, "a", NULL, -1 } },
      ERR_MALFORMED,
      0 },
};

TEST(nodes_that_peers_may_send)
{
    static const uint8_t file[32] = { 9 };
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
        struct mem_owner *mem = owner_begin();
        struct node leaf = { .reference_size = 32, .entry = file }, root = nodes[i].root;
        uint8_t child[32], reference[32];
        uint64_t got[2] = { 0 };
        store_node(&leaf, child);
        root.fork.child = child;
        store_node(&root, reference);
        check(read_all(reference, mem, 10, count_file, got) == nodes[i].want, nodes[i].why);
        check(got[0] == nodes[i].files, nodes[i].why);
        check(mem->used_bytes == 0, "all memory is given back");
        mem_plan_destroy(plan);
    }
}

/* A chain of nodes: n below the root, each with this prefix. */
static enum err read_chain(unsigned n, const char *prefix, uint64_t nodes_max)
{
    struct mem_owner *mem = owner_begin();
    uint8_t reference[32];
    struct node leaf = { .reference_size = 32 };
    store_node(&leaf, reference);
    for (unsigned i = 0; i < n; i++) {
        uint8_t child[32];
        memcpy(child, reference, 32);
        struct node up = { .reference_size = 32,
                           .fork = { 4, (uint8_t)strlen(prefix), prefix, child, -1 } };
        store_node(&up, reference);
    }
    enum err rc = read_all(reference, mem, nodes_max, NULL, NULL);
    mem_plan_destroy(plan);
    return rc;
}

TEST(limits_of_reading)
{
    check(!read_chain(128, "a", 1000), "128 nodes below the root");
    check(read_chain(129, "a", 1000) == ERR_LIMIT, "129 are too many");
    check(!read_chain(9, "a", 10), "as many nodes as allowed");
    check(read_chain(10, "a", 10) == ERR_LIMIT, "one more");
    static const char prefix[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"; /* 30 */
    check(read_chain(137, prefix, 1000) == ERR_LIMIT, "deep before it is long");
    check(limit_hits(LIMIT_ID_MANIFEST_NODES) > 0, "counted");
}

static const struct {
    const char *path;
    size_t size;
    enum err want;
} paths[] = {
    { "a", 1, ERR_OK },           { "a/b.c/...", 9, ERR_OK },    { "..a/b..", 7, ERR_OK },
    { "", 0, ERR_MALFORMED },     { "/", 1, ERR_MALFORMED },     { "/a", 2, ERR_MALFORMED },
    { "a/", 2, ERR_MALFORMED },   { "a//b", 4, ERR_MALFORMED },  { ".", 1, ERR_MALFORMED },
    { "..", 2, ERR_MALFORMED },   { "a/./b", 5, ERR_MALFORMED }, { "a/../b", 6, ERR_MALFORMED },
    { "a/..", 4, ERR_MALFORMED }, { "a\0b", 3, ERR_MALFORMED },
};

TEST(paths_stay_in_their_directory)
{
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        check(manifest_path_check(bytes_of(paths[i].path, paths[i].size), NULL) == paths[i].want,
              paths[i].path);
    static uint8_t long_path[LIMIT_MANIFEST_PATH_BYTES + 1];
    memset(long_path, 'a', sizeof(long_path));
    check(!manifest_path_check(bytes_of(long_path, LIMIT_MANIFEST_PATH_BYTES), NULL), "4096 bytes");
    check(manifest_path_check(bytes_of(long_path, sizeof(long_path)), NULL) == ERR_LIMIT, "4097");
}
