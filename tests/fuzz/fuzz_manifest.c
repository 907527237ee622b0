/* The reader of directories over nodes that a peer made up. */
#include "base/mem.h"
#include "chunk_pieces.h"
#include "codec/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct chunk_pieces pieces;
static struct manifest_reader reader;

static void read_all(struct mem_owner *owner)
{
    struct manifest_entry found;
    unsigned asked = 0;
    manifest_reader_init(&reader, owner, pieces.address[0], 100);
    for (const uint8_t *wanted; (wanted = manifest_reader_wanted(&reader));) {
        struct bytes chunk = chunk_pieces_find(&pieces, wanted);
        if (!chunk.data || ++asked > 300 || manifest_reader_put(&reader, chunk, &found, NULL))
            break;
        if (found.path.size > 0)
            assert(!manifest_path_check(found.path, NULL));
    }
    assert(reader.nodes <= 100);
    manifest_reader_free(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mem_row row = { "manifest", "refused", MEM_ELASTIC, 1 * MiB, 50, 80, true };
    struct mem_plan *plan;
    chunk_pieces_parse(&pieces, bytes_of(data, size));
    if (pieces.count == 0 || mem_plan_create(&plan, 256 * MiB, &row, 1, NULL))
        return 0;
    read_all(mem_plan_find(plan, "manifest"));
    mem_plan_destroy(plan); /* asserts that all memory came back */
    return 0;
}
