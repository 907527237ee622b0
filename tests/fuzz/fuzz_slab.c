/* A slot of a slab as a damaged disk may show it, with a sum that fits (first byte even) or as it
 * is: it is refused or lies within its slot. */
#include <sys/mman.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "store/slab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct slab_files files = { .dir = "fuzz", .fd = { -1 } };
    uint8_t slot[SLAB_SLOT_BYTES] = { 0 };
    struct slab_record rec;
    if (files.fd[0] < 0)
        files.fd[0] = memfd_create("slab", 0);
    if (size < 1 || size - 1 > sizeof(slot))
        return 0;
    memcpy(slot, data + 1, size - 1);
    if (data[0] % 2 == 0)
        be32_encode(slot, crc32c(0, bytes_of(slot + 4, sizeof(slot) - 4)));
    assert(pwrite(files.fd[0], slot, sizeof(slot), 0) == (ssize_t)sizeof(slot));
    memset(slot, 0, sizeof(slot));
    if (slab_files_read(&files, (struct slab_ref){ 0, 0 }, slot, &rec, NULL))
        return 0;
    assert(rec.data.data >= slot && rec.data.data + rec.data.size <= slot + sizeof(slot));
    assert(rec.address > slot && rec.stamp > rec.address);
    return 0;
}
