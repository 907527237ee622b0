/* The messages of pullsync: every decoder takes any bytes, and what it made of them is written back
 * and read the same. The first byte says which message. */
#include "swarm/pullsync_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ack(struct bytes m)
{
    struct pullsync_ack a, b;
    uint8_t buf[PULLSYNC_ACK_BYTES_MAX];
    struct writer w = writer_of(buf, sizeof(buf));
    if (pullsync_ack_decode(&a, m, NULL))
        return;
    pullsync_ack_encode(&w, &a);
    assert(!w.overflow && !pullsync_ack_decode(&b, bytes_of(buf, writer_used(&w)), NULL));
    assert(!memcmp(&a, &b, sizeof(a)));
}

static void get(struct bytes m)
{
    struct pullsync_get a, b;
    uint8_t buf[PULLSYNC_GET_BYTES_MAX];
    struct writer w = writer_of(buf, sizeof(buf));
    if (pullsync_get_decode(&a, m, NULL))
        return;
    assert(a.bin < RESERVE_BINS && a.start > 0);
    pullsync_get_encode(&w, &a);
    assert(!w.overflow && !pullsync_get_decode(&b, bytes_of(buf, writer_used(&w)), NULL));
    assert(a.bin == b.bin && a.start == b.start);
}

static void offer(struct bytes m)
{
    static struct chunk_id ids[2][LIMIT_PULLSYNC_PAGE_CHUNKS];
    static uint8_t buf[LIMIT_PULLSYNC_PAGE_CHUNKS * PULLSYNC_ENTRY_BYTES + 32];
    struct pullsync_offer a = { .ids = ids[0] }, b = { .ids = ids[1] };
    struct writer w = writer_of(buf, sizeof(buf));
    if (pullsync_offer_decode(&a, m, NULL))
        return;
    assert(a.count <= LIMIT_PULLSYNC_PAGE_CHUNKS && a.topmost < UINT64_MAX);
    pullsync_offer_begin(&w, a.topmost, a.count);
    size_t skip = 1;
    while (buf[skip - 1] & 0x80)
        skip++; /* the length */
    for (uint32_t i = 0; i < a.count; i++)
        pullsync_offer_entry(writer_reserve(&w, PULLSYNC_ENTRY_BYTES), &a.ids[i]);
    assert(!w.overflow);
    assert(!pullsync_offer_decode(&b, bytes_of(buf + skip, writer_used(&w) - skip), NULL));
    assert(a.count == b.count && a.topmost == b.topmost);
    assert(!memcmp(ids[0], ids[1], a.count * sizeof(ids[0][0])));
}

static void want(struct bytes m)
{
    uint8_t a[PULLSYNC_WANT_BYTES], b[PULLSYNC_WANT_BYTES], buf[PULLSYNC_WANT_BYTES + 8];
    uint32_t count = m.size > 0 ? m.data[0] % (LIMIT_PULLSYNC_PAGE_CHUNKS + 1) : 0;
    struct writer w = writer_of(buf, sizeof(buf));
    if (m.size > 0)
        m = bytes_of(m.data + 1, m.size - 1);
    if (pullsync_want_decode(a, count, m, NULL))
        return;
    for (uint32_t i = count; i < 8 * PULLSYNC_WANT_BYTES; i++)
        assert(!pullsync_bit(a, i));
    pullsync_want_encode(&w, a, count);
    assert(!w.overflow && !pullsync_want_decode(b, count, bytes_of(buf, writer_used(&w)), NULL));
    assert(!memcmp(a, b, sizeof(a)));
}

static void delivery(struct bytes m)
{
    static uint8_t buf[1 << 20];
    struct pullsync_delivery a, b;
    if (pullsync_delivery_decode(&a, m, NULL) || a.address.size == 0)
        return;
    struct writer w = writer_of(buf, sizeof(buf));
    pullsync_delivery_encode(&w, &a);
    if (w.overflow)
        return;
    size_t skip = 1;
    while (buf[skip - 1] & 0x80)
        skip++;
    assert(!pullsync_delivery_decode(&b, bytes_of(buf + skip, writer_used(&w) - skip), NULL));
    assert(bytes_equal(a.address, b.address) && bytes_equal(a.data, b.data));
    assert(bytes_equal(a.stamp, b.stamp));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const messages[])(struct bytes) = { ack, get, offer, want, delivery };
    if (size > 0)
        messages[data[0] % ARRAY_SIZE(messages)](bytes_of(data + 1, size - 1));
    return 0;
}
