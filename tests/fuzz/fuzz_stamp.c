/* Stamps: the layout loses nothing, and the checks take any values. */
#include "codec/stamp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stamp s;
    if (size < 2 + STAMP_ADDRESS_BYTES)
        return 0;
    const uint8_t *address = data + 2;
    struct stamp_batch batch = { .bucket_depth = data[0] % 33 };
    batch.depth = (uint8_t)(batch.bucket_depth + data[1] % (65 - batch.bucket_depth));
    struct bytes raw = bytes_of(address + STAMP_ADDRESS_BYTES, size - 2 - STAMP_ADDRESS_BYTES);
    if (stamp_decode(&s, raw, NULL)) {
        assert(raw.size != STAMP_BYTES);
        return 0;
    }
    uint8_t again[STAMP_BYTES];
    stamp_encode(&s, again);
    assert(bytes_equal(raw, bytes_of(again, sizeof(again))));
    if (!stamp_recover(batch.owner, &s, address, NULL)) {
        enum err index = stamp_check_index(&s, address, batch.depth, batch.bucket_depth, NULL);
        assert(stamp_check(&s, address, &batch, NULL) == index);
        batch.owner[0] ^= 1;
        assert(stamp_check(&s, address, &batch, NULL));
    }
    return 0;
}
