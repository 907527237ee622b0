/* The joiner over chunks that a peer made up: what it accepts whole, the splitter gives back. */
#include "chunk_pieces.h"
#include "codec/swarmtree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct chunk_pieces pieces;
static struct swarmtree_join join;
static struct swarmtree_split split;

static void split_piece(struct bytes in)
{
    struct swarmtree_chunk c;
    while (swarmtree_split_next(&split, &in, &c) == SWARMTREE_CHUNK)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    chunk_pieces_parse(&pieces, bytes_of(data, size));
    if (pieces.count == 0)
        return 0;
    swarmtree_join_init(&join, pieces.address[0]);
    swarmtree_split_init(&split);
    unsigned asked = 0;
    for (const uint8_t *wanted; (wanted = swarmtree_join_wanted(&join));) {
        struct bytes out, chunk = chunk_pieces_find(&pieces, wanted);
        if (!chunk.data || ++asked > 300 || swarmtree_join_put(&join, chunk, &out, NULL))
            return 0;
        split_piece(out);
    }
    struct swarmtree_chunk c;
    struct bytes none = { NULL, 0 };
    swarmtree_split_end(&split);
    while (swarmtree_split_next(&split, &none, &c) != SWARMTREE_DONE)
        ;
    assert(!memcmp(c.address, pieces.address[0], CHUNK_ADDRESS_BYTES));
    assert(split.bytes == join.bytes);
    return 0;
}
