/* Records of the reserve's index, as a damaged disk may show them: what decodes, encodes to the
 * same, and a stamp that was added and removed leaves the record as it was. */
#include "store/reserve_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void chunk_record(struct bytes value)
{
    static struct reserve_body body;
    static uint8_t again[C_VALUE_BYTES_MAX];
    struct chunk_id id = { { 1 }, { 2 }, { 3 } };
    static const uint8_t index[STAMP_INDEX_BYTES] = { 4 };
    if (!c_value_decode(&body, value))
        return;
    assert(bytes_equal(value, c_value_encode(&body, again)));
    uint32_t count = body.count;
    if (count == LIMIT_RESERVE_STAMPS || body_find_hash(&body, id.stamp_hash) < count)
        return;
    body_add(&body, &id, index);
    assert(body_find(&body, id.batch, id.stamp_hash) == count);
    body_remove(&body, count);
    assert(bytes_equal(value, c_value_encode(&body, again)));
}

static void entry_record(struct bytes record)
{
    struct reserve_entry entry;
    uint8_t value[B_VALUE_BYTES];
    size_t key = MIN(record.size, 10u);
    struct bytes rest = bytes_of(record.data + key, record.size - key);
    if (!b_record_decode(&entry, bytes_of(record.data, key), rest))
        return;
    b_value_encode(value, &entry.id, entry.kind);
    assert(!memcmp(value, rest.data, sizeof(entry.id)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    chunk_record(bytes_of(data, size));
    entry_record(bytes_of(data, size));
    if (size >= S_VALUE_BYTES) {
        struct reserve_slot_of_index s;
        uint8_t again[S_VALUE_BYTES];
        s_value_decode(&s, data);
        s_value_encode(again, &s);
        assert(!memcmp(again, data, sizeof(again)));
    }
    return 0;
}
