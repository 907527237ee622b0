/* tests/soak/p2p_target.h
 *
 * A process with our libp2p host, whose memory is watched from outside: what its owner accounts
 * for, what the formula of net/host.h allows at that moment, what the kernel says it holds. It
 * serves
 *
 *     /test/echo/1.0.0      what comes goes back
 *     /test/parked/1.0.0    takes nothing that comes: the queue is the peer's to fill
 *     /test/endless/1.0.0   sends as long as somebody takes it
 *
 * The report is shared memory: the target writes it every few milliseconds.
 */
#ifndef LARDER_TESTS_P2P_TARGET_H
#define LARDER_TESTS_P2P_TARGET_H

#include <sys/types.h>

#include "net/host.h"

#define PARKED_NAME "/test/parked/1.0.0"
#define ENDLESS_NAME "/test/endless/1.0.0"
#define ECHO_NAME "/test/echo/1.0.0"

struct target_report {
    char address[256]; /* with /p2p; empty until it listens */
    uint64_t share_bytes, setting_bytes, rx_max_bytes;
    uint64_t used_bytes, peak_bytes;     /* of the owner p2p */
    uint64_t formula_bytes;              /* with every limit reached at once */
    uint64_t now_bytes, now_worst_bytes; /* with the counts of this moment; used above it */
    uint64_t queued_peak_bytes, rx_pool_peak_bytes, tx_pool_peak_bytes;
    uint32_t connections, connections_peak, streams_peak, half_open, half_open_peak;
    uint64_t resident_bytes, resident_peak_bytes, cpu_ns; /* anonymous memory */
    volatile bool listening; /* the address is whole, and was looked at */
    volatile bool calm;      /* it looks once a second */
    volatile bool stop;      /* set by whoever watches */
};

/* share: of MAP_SHARED memory, zeroed. Returns when it listens; 0: it does not. */
pid_t target_start(struct target_report *report, uint64_t memory_bytes, const char *where);
/* Sets stop and waits: true when every owner was back to zero and the process ended by itself. */
bool target_end(struct target_report *report, pid_t pid);
/* Memory that forked processes share. */
struct target_report *target_report_new(void);

#endif
