/* Pulling fields out of a whole message and out of a window that grows gives the same fields. */
#include "codec/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of(bytes_of(data, size));
    struct wire_field f, g;
    const uint8_t *start = r.at;
    while (wire_next(&r, &f)) {
        int n = 0;
        size_t window = 0;
        while (n == 0) {
            assert(window <= (size_t)(data + size - start));
            n = wire_peek(bytes_of(start, window++), &g);
        }
        assert(n == (int)(window - 1) && f.number == g.number && f.type == g.type);
        assert(f.value == g.value && (f.type == WIRE_BYTES) == (f.bytes.data != NULL));
        start = r.at;
    }
    return 0;
}
