/* What a peer says of itself. */
#include "net/identify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_bytes(struct identify_seen *seen, struct bytes b)
{
    size_t *sum = seen->ctx;
    for (size_t i = 0; i < b.size; i++)
        *sum += b.data[i]; /* reads every byte it is given */
    err_ignore(multiaddr_check(b, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t sum = 0;
    struct identify_seen seen = { .on_protocol = on_bytes, .on_address = on_bytes, .ctx = &sum };
    if (identify_read(bytes_of(data, size), &seen, NULL))
        return 0;
    struct peer_key key;
    if (seen.public_key.size > 0)
        err_ignore(peer_key_decode(seen.public_key, &key, NULL));
    on_bytes(&seen, seen.agent);
    on_bytes(&seen, seen.observed);
    return 0;
}
