/* Answers of servers, in pieces: the first byte says how large. However they are cut, the same
 * peers come out. */
#include "ipfs/kad.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    struct kad_decoder d;
    uint64_t sum;
};

static void on_peer(struct kad_decoder *d, const struct kad_peer *peer, bool provider)
{
    struct seen *s = container_of(d, struct seen, d);
    uint32_t at = 0;
    s->sum = s->sum * 31 + kad_first(peer->kad) + provider;
    for (struct bytes a; (a = kad_peer_address(peer, &at)).size > 0;)
        s->sum += a.size;
    assert(at == peer->addresses_used);
}

static enum err run(struct seen *s, const uint8_t *data, size_t size, size_t piece)
{
    enum err rc = ERR_OK;
    *s = (struct seen){ .d = { .on_peer = on_peer, .allow_private = true } };
    for (size_t at = 0; !rc && at < size && !s->d.done;) {
        size_t taken = 0, n = size - at < piece ? size - at : piece;
        rc = kad_decode(&s->d, bytes_of(data + at, n), &taken, NULL);
        assert(rc || s->d.done || taken == n);
        at += taken;
    }
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seen whole, pieces;
    if (size < 1)
        return 0;
    enum err a = run(&whole, data + 1, size - 1, size);
    enum err b = run(&pieces, data + 1, size - 1, 1U + data[0] % 64);
    assert(a == b && whole.sum == pieces.sum && whole.d.done == pieces.d.done);
    return 0;
}
