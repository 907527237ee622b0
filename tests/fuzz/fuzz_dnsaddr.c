/* The text of a TXT record: what is taken from it is an address. */
#include "net/resolve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t out[LIMIT_MULTIADDR_BYTES];
    struct writer w = writer_of(out, sizeof(out));
    if (dnsaddr_parse(bytes_of(data, size), &w))
        assert(!multiaddr_check(bytes_of(out, writer_used(&w)), NULL));
    return 0;
}
