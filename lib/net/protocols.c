#include "net/protocols.h"

#include "base/mem.h"
#include "net/host_state.h"

static const struct {
    const char *id;
    bool (*match)(const char *served, const char *asked, size_t asked_size);
    uint16_t per_peer;
    uint32_t in_all, idle_ms, queue_bytes;
} protocol_rows[] = {
    { NULL, NULL, 0, 0, 0, 0 },
#define MATCH_EXACT NULL
#define MATCH_SEMVER protocol_match_semver
#define PROTOCOL(name, id, version, per_peer, in_all, idle_ms, queue, sentence)                    \
    { id, MATCH_##version, per_peer, in_all, idle_ms, queue },
#include "tables/protocols.def"
#undef PROTOCOL
};
static_assert(PROTOCOL_COUNT - 1 <= LIMIT_P2P_PROTOCOLS, "more protocols than their limit");

const char *protocol_id(enum protocol_row row)
{
    return protocol_rows[row].id;
}

void protocol_init(struct protocol *out, enum protocol_row row, const struct stream_ops *ops,
                   void *ctx)
{
    assert(row > PROTOCOL_OTHER && row < PROTOCOL_COUNT && ops);
    *out = (struct protocol){ .name = protocol_rows[row].id,
                              .match = protocol_rows[row].match,
                              .ops = ops,
                              .ctx = ctx,
                              .in_per_peer_max = protocol_rows[row].per_peer,
                              .in_max = protocol_rows[row].in_all,
                              .idle_ms = protocol_rows[row].idle_ms,
                              .rx_queue_bytes_max = protocol_rows[row].queue_bytes,
                              .row = (uint8_t)row };
}

static_assert(PROTOCOL_COUNT <= 64, "a bit per row");

uint64_t protocol_rows_served(const char *name, size_t size)
{
    char served[LIMIT_MULTISTREAM_NAME_BYTES + 1];
    uint64_t bits = 0;
    if (size >= sizeof(served) || memchr(name, '\0', size))
        return 0;
    memcpy(served, name, size);
    served[size] = '\0';
    for (unsigned row = PROTOCOL_OTHER + 1; row < PROTOCOL_COUNT; row++) {
        const char *id = protocol_rows[row].id;
        bool same = protocol_rows[row].match ? protocol_rows[row].match(served, id, strlen(id))
                                             : !strcmp(served, id);
        bits |= same ? UINT64_C(1) << row : 0;
    }
    return bits;
}

enum err host_serve(struct host *h, enum protocol_row row, const struct stream_ops *ops, void *ctx,
                    struct error *err)
{
    struct protocol *p = &h->served[row];
    assert(!p->ops); /* once */
    protocol_init(p, row, ops, ctx);
    return host_register(h, p, err);
}

/* One component up to the next slash. */
static struct bytes component(struct bytes *path)
{
    size_t n = 0;
    while (n < path->size && path->data[n] != '/')
        n++;
    struct bytes out = bytes_of(path->data, n);
    size_t skip = MIN(n + 1, path->size);
    *path = bytes_of(path->data + skip, path->size - skip);
    return out;
}

/* "1.4.0" into three numbers of at most four digits without leading zeros. */
static bool version_read(struct bytes text, uint32_t out[3])
{
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        size_t begin = at;
        out[i] = 0;
        while (at < text.size && at - begin < 5 && text.data[at] >= '0' && text.data[at] <= '9')
            out[i] = out[i] * 10 + text.data[at++] - '0';
        size_t digits = at - begin;
        if (digits == 0 || digits > 4 || (digits > 1 && text.data[begin] == '0'))
            return false;
        if (i < 2 && (at == text.size || text.data[at++] != '.'))
            return false;
    }
    return at == text.size;
}

bool protocol_match_semver(const char *served, const char *asked, size_t asked_size)
{
    struct bytes ours = bytes_of(served, strlen(served)), theirs = bytes_of(asked, asked_size);
    while (ours.size > 0 && theirs.size > 0) {
        struct bytes a = component(&ours), b = component(&theirs);
        uint32_t va[3], vb[3];
        if (version_read(a, va)) {
            if (!version_read(b, vb) || va[0] != vb[0] || vb[1] > va[1])
                return false;
        } else if (!bytes_equal(a, b)) {
            return false;
        }
    }
    return ours.size == 0 && theirs.size == 0;
}
