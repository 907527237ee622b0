#include "swarm_bed.h"

#include "base/mem.h"
#include "codec/multiaddr.h"
#include "core/governor.h"
#include "core/loop.h"

static const struct mem_row rows[] = {
    { "swarm", "refused", MEM_ELASTIC, 4 * MiB, 10, 30, true },
};

static void no_memory(void *ctx UNUSED, struct process_memory *out)
{
    *out = (struct process_memory){ 0 };
}

void swarm_bed_make(struct swarm_bed *b)
{
    check(!loop_create(&b->loop, NULL), "loop");
    loop_clock_set(b->loop, 1000, (uint64_t)BED_WALL_S * 1000000000);
    check(!mem_plan_create(&b->plan, 256 * MiB, rows, ARRAY_SIZE(rows), NULL), "plan");
    struct governor_options o = { .plan = b->plan, .process_memory = no_memory };
    check(!governor_create(&b->governor, b->loop, &o, NULL), "governor");
    b->mem = mem_plan_find(b->plan, "swarm");
    b->base_bytes = b->mem->used_bytes;
}

void swarm_bed_end(struct swarm_bed *b)
{
    loop_clock_turn(b->loop, 1);
    check(b->mem->used_bytes == b->base_bytes, "all that was taken is given back");
    governor_destroy(b->governor);
    loop_clock_turn(b->loop, 1);
    loop_destroy(b->loop);
    mem_plan_destroy(b->plan);
}

void swarm_bed_turn(struct swarm_bed *b, uint64_t ms)
{
    loop_clock_turn(b->loop, ms);
}

void swarm_node_make(struct swarm_node *n, uint8_t seed)
{
    uint8_t secret[32], nonce[OVERLAY_NONCE_BYTES];
    struct peer_secret peer;
    struct error err = { ERR_OK, "" };
    memset(n, 0, sizeof(*n));
    memset(secret, seed, sizeof(secret));
    memset(nonce, 0x22, sizeof(nonce));
    check(!swarm_identity_init(&n->swarm, secret, nonce, 7357, &err), err.text);
    peer_secret_from_seed(secret, &peer);
    n->id = peer.id;
    struct writer w = writer_of(n->underlay, sizeof(n->underlay));
    multiaddr_put_tcp(&w, MULTIADDR_IP4, (const uint8_t[4]){ 127, 0, 0, 1 }, 1634);
    multiaddr_put_peer(&w, &n->id);
    n->underlay_bytes = writer_used(&w);
    check(!w.overflow, "room for an address");
}

void swarm_node_record(const struct swarm_node *n, int64_t timestamp_s, uint8_t sig[SIG_BYTES],
                       struct overlay_record *out)
{
    *out = (struct overlay_record){ .underlays = bytes_of(n->underlay, n->underlay_bytes),
                                    .overlay = bytes_of(n->swarm.overlay, OVERLAY_BYTES),
                                    .nonce = bytes_of(n->swarm.nonce, OVERLAY_NONCE_BYTES),
                                    .timestamp_s = timestamp_s };
    overlay_record_sign(out, 7357, &n->swarm.signer, sig);
    out->signature = bytes_of(sig, SIG_BYTES);
}

/* The scripted side. */

static enum err script_open(struct stream *s, void *ctx, void **user)
{
    struct scripted *p = ctx;
    p->s = s;
    *user = p;
    return ERR_OK;
}

static size_t script_data(struct stream *s UNUSED, void *user, const uint8_t *bytes, size_t size)
{
    struct scripted *p = user;
    if (size == 0) {
        p->fin = true;
        return 0;
    }
    check(size <= sizeof(p->got) - p->got_bytes, "room for what the session writes");
    memcpy(p->got + p->got_bytes, bytes, size);
    p->got_bytes += size;
    return size;
}

static size_t script_writable(struct stream *s, void *user, uint8_t *buf, size_t room)
{
    struct scripted *p = user;
    size_t n = MIN(room, p->out_bytes);
    memcpy(buf, p->out, n);
    p->out_bytes -= n;
    memmove(p->out, p->out + n, p->out_bytes);
    if (p->finish_wanted && p->out_bytes == 0)
        stream_finish(s);
    return n;
}

static void script_close(struct stream *s UNUSED, void *user, const struct error *err,
                         uint32_t code UNUSED)
{
    struct scripted *p = user;
    p->closed = true;
    p->end = err ? err->code : ERR_OK;
}

static const struct stream_ops script_ops = { script_open, script_data, script_writable,
                                              script_close };

void scripted_open(struct scripted *p, struct swarm_bed *b, const struct stream_ops *ops, void *ctx)
{
    static struct protocol dialer = { .name = "/test", .ops = &script_ops };
    static struct protocol listener;
    listener = (struct protocol){ .name = "/test", .ops = ops, .ctx = ctx };
    const struct stream_mem_options o = { .loop = b->loop,
                                          .mem = b->mem,
                                          .protocol = &dialer,
                                          .dialer_user = p,
                                          .dialer = p->self,
                                          .listener_protocol = &listener };
    p->s = stream_mem_open(&o);
}

struct stream *scripted_listen(struct scripted *p, struct swarm_bed *b,
                               const struct protocol *dialer, void *session)
{
    static struct protocol listener;
    listener = (struct protocol){ .name = "/test", .ops = &script_ops, .ctx = p };
    const struct stream_mem_options o = { .loop = b->loop,
                                          .mem = b->mem,
                                          .protocol = dialer,
                                          .dialer_user = session,
                                          .listener = p->self,
                                          .listener_protocol = &listener };
    return stream_mem_open(&o);
}

void scripted_send(struct scripted *p, struct bytes b)
{
    check(b.size <= sizeof(p->out) - p->out_bytes, "room for the script");
    memcpy(p->out + p->out_bytes, b.data, b.size);
    p->out_bytes += b.size;
    if (!p->closed)
        stream_want_write(p->s);
}

void scripted_finish(struct scripted *p)
{
    p->finish_wanted = true;
    if (p->out_bytes == 0 && !p->closed)
        stream_finish(p->s);
}
