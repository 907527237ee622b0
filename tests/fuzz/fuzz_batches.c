/* The operator's table of batches: in one piece and in pieces it ends the same way. */
#include "store/batches.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err load(struct mem_owner *mem, struct bytes file, size_t piece, struct batches **out)
{
    struct batches_loader *l;
    enum err rc = batches_loader_create(&l, mem, 20, NULL);
    if (rc)
        return rc;
    for (size_t at = 0; !rc && at < file.size; at += piece)
        rc = batches_loader_feed(l, bytes_of(file.data + at, MIN(piece, file.size - at)), NULL);
    if (!rc)
        rc = batches_loader_finish(l, out, NULL);
    batches_loader_destroy(l);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mem_row row = { "batches", "refused", MEM_ELASTIC, 1 * MiB, 50, 80, true };
    struct mem_plan *plan;
    struct batches *whole = NULL, *pieces = NULL;
    uint32_t cursor = 0;
    if (mem_plan_create(&plan, 256 * MiB, &row, 1, NULL))
        return 0;
    struct mem_owner *mem = mem_plan_find(plan, "batches");
    enum err a = load(mem, bytes_of(data, size), MAX(size, 1), &whole);
    enum err b = load(mem, bytes_of(data, size), 1 + size % 7, &pieces);
    assert(!a == !b);
    if (!a) {
        assert(batches_count(whole) == batches_count(pieces));
        assert(!batches_next_vanished(whole, pieces, &cursor));
    }
    batches_destroy(whole);
    batches_destroy(pieces);
    mem_plan_destroy(plan);
    return 0;
}
