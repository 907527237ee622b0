/* lib/codec/wire.h
 *
 * Protobuf's wire format, pulled field by field: for small messages of strangers, where a generated
 * decoder would allocate per field, and for files that are read through a window.
 * https://protobuf.dev/programming-guides/encoding/. Groups (wire types 3 and 4) are refused.
 * Ownership: fields borrow the message. Thread: any.
 */
#ifndef LARDER_CODEC_WIRE_H
#define LARDER_CODEC_WIRE_H

#include "base/bytes.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

enum {
    WIRE_FIELD_MAX = (1 << 29) - 1,
    /* A tag and a value, or a tag and a length: no header is longer. */
    WIRE_HEADER_BYTES_MAX = 15,
};

struct wire_field {
    uint32_t number; /* 1 .. WIRE_FIELD_MAX */
    enum wire_type type;
    uint64_t value;     /* of a varint or fixed field; the length of a bytes field */
    struct bytes bytes; /* of a bytes field */
};

/* The next field of a message. False at its end and after a failure: check reader_finish. */
bool wire_next(struct reader *message, struct wire_field *out);

/* For a window over a stream: the header of a field without the body of a bytes field (out->bytes
 * stays empty). Returns the header's size, 0 when more bytes are needed, WIRE_NEVER when it can
 * never become valid. */
enum { WIRE_NEVER = -1 };
int wire_peek(struct bytes window, struct wire_field *out);

/* Is this the field, in the wire type it must have? A known number in another type fails r. */
bool wire_is(struct reader *r, const struct wire_field *f, uint32_t number, enum wire_type type);

/* Zero values and empty bytes are written too: leaving them out is the caller's decision. */
void wire_put_varint(struct writer *w, uint32_t number, uint64_t v);
void wire_put_bytes(struct writer *w, uint32_t number, struct bytes b);
/* The header alone; the caller writes size bytes behind it. */
void wire_put_header(struct writer *w, uint32_t number, size_t size);
/* How many bytes wire_put_bytes takes for size bytes. */
size_t wire_bytes_size(uint32_t number, size_t size);

#endif
