/* lib/codec/pb.h
 *
 * Messages of proto/ by protobuf-c, unpacked into an arena with a limit and never onto the heap.
 * For messages of which few are read; what streams or comes by the thousand is read by wire.c.
 * Generated headers are included as "proto/NAME.pb-c.h".
 * Ownership: what is unpacked lives in the arena, and is gone with its reset; it borrows nothing of
 * the message's bytes. Thread: that of the arena.
 * Errors: ERR_MALFORMED; ERR_BUDGET (the arena's limit, or its owner refused).
 */
#ifndef LARDER_CODEC_PB_H
#define LARDER_CODEC_PB_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/bytes.h"

/* *out is the struct of that type. Unknown fields are kept in the arena, so its limit bounds them.
 */
enum err pb_unpack(const ProtobufCMessageDescriptor *type, struct bytes message, struct arena *a,
                   ProtobufCMessage **out, struct error *err);

/* How many bytes the message takes, without and with its length in front. */
size_t pb_size(const ProtobufCMessage *m);
size_t pb_size_delimited(const ProtobufCMessage *m);
/* Default values are left out and repeated numbers packed, as gogo writes them. */
void pb_put(struct writer *w, const ProtobufCMessage *m);
void pb_put_delimited(struct writer *w, const ProtobufCMessage *m);

static inline struct bytes pb_bytes(ProtobufCBinaryData b)
{
    return bytes_of(b.data, b.len);
}
/* Borrowed, for a message that is written. */
static inline ProtobufCBinaryData pb_data(struct bytes b)
{
    return (ProtobufCBinaryData){ .len = b.size, .data = (uint8_t *)(uintptr_t)b.data };
}

#endif
