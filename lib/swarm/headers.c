#include "swarm/headers.h"

#include "codec/wire.h"

enum { FIELD_HEADERS = 1, FIELD_KEY = 1, FIELD_VALUE = 2 };

const uint8_t headers_none[1] = { 0 };

static void header_check(struct reader *outer, struct bytes header)
{
    struct reader r = reader_of(header);
    struct wire_field f;
    while (wire_next(&r, &f))
        if (!wire_is(&r, &f, FIELD_KEY, WIRE_BYTES))
            (void)wire_is(&r, &f, FIELD_VALUE, WIRE_BYTES);
    if (reader_finish(&r, "header", NULL))
        reader_fail(outer, ERR_MALFORMED);
}

enum err headers_check(struct bytes message, struct error *err)
{
    struct reader r = reader_of(message);
    struct wire_field f;
    while (wire_next(&r, &f))
        if (wire_is(&r, &f, FIELD_HEADERS, WIRE_BYTES))
            header_check(&r, f.bytes);
    return reader_finish(&r, "headers", err);
}
