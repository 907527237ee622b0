#include "codec/pb.h"

#include "base/varint.h"

struct pb_memory {
    struct arena *arena;
    bool refused;
};

static void *arena_give(void *data, size_t size)
{
    struct pb_memory *m = data;
    void *at = arena_alloc(m->arena, size);
    m->refused |= !at;
    return at;
}

static void arena_take(void *data UNUSED, void *at UNUSED)
{
    /* All of it dies with the arena. */
}

enum err pb_unpack(const ProtobufCMessageDescriptor *type, struct bytes message, struct arena *a,
                   ProtobufCMessage **out, struct error *err)
{
    struct pb_memory memory = { .arena = a };
    ProtobufCAllocator allocator = { arena_give, arena_take, &memory };
    ProtobufCMessage *m = protobuf_c_message_unpack(type, &allocator, message.size, message.data);
    if (memory.refused)
        return error_set(err, ERR_BUDGET, "a %s of %zu bytes needs more than %zu bytes of '%s'",
                         type->short_name, message.size, a->bytes, a->mem->row.name);
    if (!m)
        return error_set(err, ERR_MALFORMED, "a malformed %s of %zu bytes", type->short_name,
                         message.size);
    *out = m;
    return ERR_OK;
}

size_t pb_size(const ProtobufCMessage *m)
{
    return protobuf_c_message_get_packed_size(m);
}

size_t pb_size_delimited(const ProtobufCMessage *m)
{
    size_t size = pb_size(m);
    return uvarint_size(size) + size;
}

void pb_put(struct writer *w, const ProtobufCMessage *m)
{
    size_t size = pb_size(m);
    uint8_t *at = size ? writer_reserve(w, size) : NULL;
    if (at)
        protobuf_c_message_pack(m, at);
}

void pb_put_delimited(struct writer *w, const ProtobufCMessage *m)
{
    writer_uvarint(w, pb_size(m));
    pb_put(w, m);
}
