/* Handshake records: lists of underlays come back as they were, and checks take any fields. */
#include "codec/overlay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void underlays(struct bytes raw)
{
    struct overlay_underlays u, again;
    uint8_t buf[LIMIT_UNDERLAYS_BYTES + 1];
    if (overlay_underlays_parse(&u, raw, NULL))
        return;
    /* A list of one is read, and written as the address alone; that may look like a list. */
    struct writer w = writer_of(buf, sizeof(buf));
    assert(overlay_underlays_write(&w, &u));
    if (u.count == 1)
        return;
    assert(!overlay_underlays_parse(&again, bytes_of(buf, writer_used(&w)), NULL));
    assert(again.count == u.count);
    for (uint32_t i = 0; i < u.count; i++)
        assert(bytes_equal(again.addrs[i], u.addrs[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of(bytes_of(data, size));
    struct overlay_check c = { .network_id = reader_be16(&r), .now_s = reader_be32(&r) };
    struct overlay_record rec = { .timestamp_s = (int64_t)reader_be64(&r) };
    rec.signature = reader_take(&r, reader_u8(&r));
    rec.overlay = reader_take(&r, reader_u8(&r));
    rec.nonce = reader_take(&r, reader_u8(&r));
    rec.chequebook = reader_take(&r, reader_u8(&r));
    rec.underlays = reader_take(&r, reader_left(&r));
    if (r.failed)
        return 0;
    underlays(rec.underlays);
    struct error err = { ERR_OK, "" };
    enum err rc = overlay_record_check(&rec, &c, &err);
    assert(!rc == !err.text[0]);
    return 0;
}
