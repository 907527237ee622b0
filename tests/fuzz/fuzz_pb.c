/* Messages of proto/: an arena bounds what any bytes may cost, all of it comes back, and what was
 * read is written so that it reads the same. The first byte chooses the message. */
#include "codec/pb.h"
#include "proto/swarm.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES_MAX = 64 * KiB, WRITTEN_BYTES_MAX = 256 * KiB };

static const ProtobufCMessageDescriptor *const types[] = {
    &swarm__headers__descriptor,
    &swarm__peers__descriptor,
    &swarm__handshake_syn__descriptor,
    &swarm__handshake_ack__descriptor,
    &swarm__handshake_syn_ack__descriptor,
    &swarm__announce_payment_threshold__descriptor,
    &swarm__ping__descriptor,
    &swarm__pong__descriptor,
    &swarm__status_get__descriptor,
    &swarm__status_snapshot__descriptor,
    &swarm__pullsync_syn__descriptor,
    &swarm__pullsync_ack__descriptor,
    &swarm__pullsync_get__descriptor,
    &swarm__pullsync_offer__descriptor,
    &swarm__pullsync_want__descriptor,
    &swarm__pullsync_delivery__descriptor,
};

/* protobuf-c takes field 0 and tags in long form for unknown fields, and writes others in their
 * place.
 */
static void forget_unknown(ProtobufCMessage *m)
{
    m->n_unknown_fields = 0;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const uint8_t *at = (const uint8_t *)m + f->offset;
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (f->label != PROTOBUF_C_LABEL_REPEATED) {
            ProtobufCMessage *one = *(ProtobufCMessage *const *)at;
            if (one)
                forget_unknown(one);
            continue;
        }
        size_t n = *(const size_t *)((const uint8_t *)m + f->quantifier_offset);
        for (size_t k = 0; k < n; k++)
            forget_unknown((*(ProtobufCMessage * *const *)at)[k]);
    }
}

static struct bytes written(const ProtobufCMessage *m, uint8_t *buf)
{
    struct writer w = writer_of(buf, WRITTEN_BYTES_MAX);
    pb_put(&w, m);
    assert(!w.overflow && writer_used(&w) == pb_size(m));
    return bytes_of(buf, writer_used(&w));
}

static void run(struct arena *a, const ProtobufCMessageDescriptor *type, struct bytes in)
{
    static uint8_t first[WRITTEN_BYTES_MAX], second[WRITTEN_BYTES_MAX];
    ProtobufCMessage *m;
    struct error err = { ERR_OK, "" };
    if (pb_unpack(type, in, a, &m, &err)) {
        assert(err.text[0] && (err.code == ERR_MALFORMED || err.code == ERR_BUDGET));
        return;
    }
    forget_unknown(m);
    struct bytes once = written(m, first);
    arena_reset(a);
    if (pb_unpack(type, once, a, &m, &err)) {
        assert(err.code == ERR_BUDGET); /* blocks fall differently */
        return;
    }
    assert(bytes_equal(written(m, second), once));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mem_row row = { "swarm", "refused", MEM_ELASTIC, 1 * MiB, 50, 80, true };
    struct mem_plan *plan;
    struct arena a;
    if (size == 0 || mem_plan_create(&plan, 256 * MiB, &row, 1, NULL))
        return 0;
    arena_init(&a, mem_plan_find(plan, "swarm"), 4096, ARENA_BYTES_MAX);
    run(&a, types[data[0] % ARRAY_SIZE(types)], bytes_of(data + 1, size - 1));
    assert(a.bytes <= ARENA_BYTES_MAX);
    arena_free(&a);
    mem_plan_destroy(plan); /* asserts that all memory came back */
    return 0;
}
