/* tests/unit/kad_sink.h: DHT servers in one process that count records instead of keeping them, and
 * check the order in which they come. Some of them behave badly. */
#ifndef LARDER_TESTS_KAD_SINK_H
#define LARDER_TESTS_KAD_SINK_H

#include "unit.h"

#include "ipfs/kad.h"
#include "net/host.h"

enum { SINKS_MAX = 150 };

struct sinks;
struct sink {
    struct sinks *all;
    struct host *host;
    struct peer_secret secret;
    struct kad_peer peer;
    uint64_t records, sum; /* of the first 64 bits of their places */
    uint64_t last;         /* place of the last record, on whatever stream */
    uint32_t streams, questions, descents;
    uint32_t pings; /* looked for itself */
    bool mute;      /* answers nothing */
    bool stalls;    /* on the first record: takes nothing more */
    bool resets;    /* on each record */
    /* So often it resets a stream behind cut_after records that were not asked for, and has lost
     * them. */
    uint32_t cuts, cut_after;
    /* Messages that it reads of a stream; behind them it ends it and has lost the records that were
     * not asked for. 0: as many as come. */
    uint32_t takes;
    bool finishes;   /* it ends that by FIN, and reads no more; else it is reset */
    uint32_t cut;    /* out: streams that it ended with records lost */
    uint32_t opened; /* out: streams that brought anything */
    bool refuses;    /* each stream */
};
struct sinks {
    struct loop *loop;
    struct mem_owner *mem;
    struct sink sink[SINKS_MAX];
    uint32_t count, closing;
    struct protocol protocol[SINKS_MAX];
    uint64_t records;
    bool away; /* all of them: every stream ends at its first bytes */
    /* Records that one call of a stream takes, at most; 0: what there is. Who is slow has much that
     * it has not read. */
    uint32_t slow;
    uint32_t answer_ms;            /* how long they take for an answer */
    uint32_t epoch;                /* moved on: what older streams bring is lost */
    void (*on_records)(void *ctx); /* after some have come; may be NULL */
    void (*on_record)(void *ctx, const struct sink *s, uint64_t kad); /* each; may be NULL */
    void *ctx;
};

/* few > 0: so many of them are in the first half of the key space and all others in the second. */
void sinks_make(struct sinks *s, struct loop *loop, struct mem_owner *mem, uint32_t count,
                uint32_t few);
/* Calls done when all are closed; sinks_free then. */
void sinks_close(struct sinks *s, void (*done)(void *ctx), void *ctx);
void sinks_free(struct sinks *s);
/* "/ip4/127.0.0.1/tcp/1234/p2p/12D3..." */
void sinks_address(struct sinks *s, uint32_t i, char *out, size_t size);

#endif
