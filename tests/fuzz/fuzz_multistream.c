/* The first byte is the role; the rest is fed whole and byte by byte: the events are the same. */
#include "net/multistream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENTS_MAX = 64 };

/* Which events came, after how many bytes. */
static size_t run(bool dialer, struct bytes in, size_t piece, size_t *events)
{
    struct multistream m;
    uint8_t out[256];
    struct writer w = writer_of(out, sizeof(out));
    if (dialer)
        multistream_dial(&m, "/a", &w);
    else
        multistream_listen(&m);
    size_t count = 0;
    for (size_t at = 0; at < in.size && count < EVENTS_MAX;) {
        enum multistream_event ev;
        size_t n = MIN(piece, in.size - at);
        size_t used = multistream_feed(&m, bytes_of(in.data + at, n), &ev, NULL);
        assert(used > 0 && used <= n);
        at += used;
        if (ev != MULTISTREAM_MORE)
            events[count++] = at << 3 | ev;
        if (ev == MULTISTREAM_FAILED || ev == MULTISTREAM_ACCEPTED)
            break;
        w = writer_of(out, sizeof(out));
        if (ev == MULTISTREAM_PROPOSAL)
            multistream_answer(&m, m.text_size <= LIMIT_MULTISTREAM_NAME_BYTES, &w);
        if (ev == MULTISTREAM_REFUSED && !multistream_propose(&m, "/b", &w))
            break;
        assert(!w.overflow);
        multistream_semver_match("/swarm/pullsync/1.4.0/pullsync", m.text, strlen(m.text));
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t whole[EVENTS_MAX], single[EVENTS_MAX];
    struct bytes in = bytes_of(data + 1, size - 1);
    size_t n = run(data[0] & 1, in, size, whole);
    size_t m = run(data[0] & 1, in, 1, single);
    assert(n == m && !memcmp(whole, single, n * sizeof(whole[0])));
    return 0;
}
