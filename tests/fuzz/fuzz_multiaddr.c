/* Addresses in both forms: what is read as binary is printed, read back and the same. */
#include "codec/multiaddr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void binary(struct bytes b)
{
    char text[MULTIADDR_TEXT_MAX];
    uint8_t again[2 * LIMIT_MULTIADDR_BYTES];
    struct multiaddr_target t;
    if (multiaddr_target(b, &t))
        assert(!multiaddr_check(b, NULL));
    if (multiaddr_to_text(b, text, sizeof(text), NULL))
        return;
    struct writer w = writer_of(again, sizeof(again));
    if (!multiaddr_from_text(text, strlen(text), &w, NULL)) {
        /* A path or a name with odd characters may read as something else, but it stays valid. */
        assert(!multiaddr_check(bytes_of(again, writer_used(&w)), NULL));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t out[2 * LIMIT_MULTIADDR_BYTES];
    binary(bytes_of(data, size));
    struct writer w = writer_of(out, sizeof(out));
    if (!multiaddr_from_text((const char *)data, size, &w, NULL))
        binary(bytes_of(out, writer_used(&w)));
    return 0;
}
