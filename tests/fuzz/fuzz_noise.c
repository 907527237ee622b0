/* Handshake messages and records of a stranger. The first byte says where we stand and what is
 * done with the rest; a sealed payload is reached by sealing the input as an honest stranger would:
 * as the payload of message 2. */
#include "net/noise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const muxers[] = { "/yamux/1.0.0", NULL };

struct pair {
    struct noise_static sd, sl;
    struct noise d, l;
};

static void pair_init(struct pair *p)
{
    static const uint8_t a[32] = { 1 }, b[32] = { 2 };
    struct peer_secret id;
    struct noise_options od = { .dialer = true, .st = &p->sd, .muxer = muxers[0] };
    struct noise_options ol = { .st = &p->sl, .muxer = muxers[0] };
    od.ephemeral[0] = 3;
    ol.ephemeral[0] = 4;
    peer_secret_from_seed(a, &id);
    err_ignore(noise_static_init(&p->sd, &id, a, muxers, NULL));
    peer_secret_from_seed(b, &id);
    err_ignore(noise_static_init(&p->sl, &id, b, muxers, NULL));
    noise_init(&p->d, &od);
    noise_init(&p->l, &ol);
}

static enum err step(struct noise *from, struct noise *to)
{
    uint8_t frame[NOISE_MESSAGE_MAX];
    struct writer w = writer_of(frame, sizeof(frame));
    enum err rc = noise_write(from, &w, NULL);
    return rc ? rc : noise_read(to, frame + 2, writer_used(&w) - 2, NULL);
}

/* What the listener says to a message that its dialer never sent. */
static void answer(struct noise *listener)
{
    uint8_t frame[NOISE_MESSAGE_MAX];
    struct writer w = writer_of(frame, sizeof(frame));
    err_ignore(noise_write(listener, &w, NULL));
}

/* One record, then the input as the next. */
static void records(struct pair *p, uint8_t *buf, size_t size)
{
    struct noise_records rd, rl;
    uint8_t record[64];
    size_t n;
    if (step(&p->d, &p->l) || step(&p->l, &p->d) || step(&p->d, &p->l))
        return;
    if (noise_split(&p->d, &rd, NULL) || noise_split(&p->l, &rl, NULL))
        return;
    n = noise_seal(&rd, record, 20) - 2;
    err_ignore(noise_open(&rl, record + 2, &n, NULL));
    assert(n == 20);
    n = size;
    err_ignore(noise_open(&rl, buf, &n, NULL));
    noise_records_close(&rd);
    noise_records_close(&rl);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t buf[16384];
    struct pair p;
    if (size == 0 || size > sizeof(buf))
        return 0;
    memcpy(buf, data + 1, size - 1);
    pair_init(&p);
    switch (data[0] % 5) {
    case 0: /* message 1, and our answer to it */
        if (!noise_read(&p.l, buf, size - 1, NULL))
            answer(&p.l);
        break;
    case 1: /* message 2 */
        if (!step(&p.d, &p.l))
            err_ignore(noise_read(&p.d, buf, size - 1, NULL));
        break;
    case 2: /* message 3 */
        if (!step(&p.d, &p.l) && !step(&p.l, &p.d))
            err_ignore(noise_read(&p.l, buf, size - 1, NULL));
        break;
    case 3: /* the payload of message 2 */
        p.sl.payload_size = MIN(size - 1, sizeof(p.sl.payload));
        memcpy(p.sl.payload, buf, p.sl.payload_size);
        if (!step(&p.d, &p.l))
            err_ignore(step(&p.l, &p.d));
        break;
    default:
        records(&p, buf, size - 1);
    }
    return 0;
}
