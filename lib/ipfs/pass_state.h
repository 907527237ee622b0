/* lib/ipfs/pass_state.h: the struct behind pass.h, for pass.c (the ring) and pass_send.c (the
 * streams). Thread: loop only. */
#ifndef LARDER_IPFS_PASS_STATE_H
#define LARDER_IPFS_PASS_STATE_H

#include "core/work.h"
#include "ipfs/pass.h"

struct chunk {
    enum { CHUNK_FREE, CHUNK_READING, CHUNK_READY, CHUNK_LEAVING } state;
    struct pass *pass;
    struct keyset keys;
    uint8_t *bits; /* of each server a bitmap of chunk_keys */
    struct keystore_write leave;
    struct pass_progress progress;
};

struct place { /* of a key; chunk counts from the start of the pass */
    uint32_t chunk, bit;
};

struct sender {
    struct pass *pass;
    struct pass_server *server;
    enum { SENDER_IDLE, SENDER_OPENING, SENDER_OPEN, SENDER_DONE } state;
    bool got_nothing;    /* or not all, in the pass that is repeated */
    uint32_t chunk, bit; /* the place of the next to be sent */
    uint32_t written;    /* chunk of the last record */
    uint32_t unasked;    /* records behind the last question */
    uint32_t reopens;    /* streams it ended before it had all there was */
    uint32_t messages;   /* of its stream, written */
    uint32_t heard;      /* of those, that it was heard to have read */
    uint32_t heard_most; /* of a stream that it ended */
    uint32_t shorts;     /* streams that had all the messages it takes of one */
    struct place proven; /* it has read what is before */
    struct {
        struct place proves;
        uint32_t records, messages;
    } asked[LIMIT_PASS_RING]; /* questions that are out, the oldest at asked_first */
    uint32_t asked_first, asked_count;
    uint64_t progress_ms;
    uint8_t last[LIMIT_KEYSTORE_HASH_BYTES];
    uint8_t last_size;
    uint8_t rest[KAD_RECORD_TAIL_MAX + KEY_BYTES_MAX]; /* of a record or the request, when cut */
    uint16_t rest_size, rest_at;
    struct dht_open open;
    struct stream *stream;
    struct kad_decoder answer;
    bool names_us;
};

struct pass {
    struct pass_options o;
    struct chunk chunks[LIMIT_PASS_RING];
    struct sender *senders;
    /* Of the servers that are allotted to, and in servers; each pair is one allocation, owned. */
    uint64_t *places, *places_before;
    uint16_t *index, *index_before;
    struct allot now, before;
    const struct protocol *protocol;
    struct keystore_read read;
    struct work allotting;
    struct timer tick;
    struct deferred later;
    uint32_t first, next; /* chunks in the ring: first .. next - 1 */
    uint32_t live, failed;
    bool reading, end, canceled, ending;
    struct error failure;
};

static inline uint32_t bitmap_bytes(const struct pass *p)
{
    return (p->o.chunk_keys + 7) / 8;
}
static inline struct chunk *chunk_at(struct pass *p, uint32_t seq)
{
    return &p->chunks[seq % LIMIT_PASS_RING];
}

/* pass.c */
void pass_moved(struct pass *p); /* a sender is through with a chunk, or at its end */
void pass_fail(struct pass *p, enum err code, const char *why);

/* pass_send.c */
extern const struct stream_ops pass_stream_ops;
void sender_kick(struct sender *s);             /* there may be something to send, or an end */
void senders_open(struct pass *p);              /* those that have keys, as many as may be */
uint32_t sender_proven(const struct sender *s); /* needs no chunk before this one again */
void sender_drop(struct sender *s);             /* the pass ends: give everything back */
bool sender_busy(const struct sender *s);       /* a callback is still to come */
void sender_watch(struct sender *s, uint64_t now_ms); /* has it made progress? */

#endif
