/* tests/unit/host_bed.h: hosts in one process over loopback sockets, and calls that wait. The
 * deadlines of waiting are real time, so that the loop's clock may be turned meanwhile. */
#ifndef LARDER_TESTS_HOST_BED_H
#define LARDER_TESTS_HOST_BED_H

#include "unit.h"

#include <uv.h>

#include "base/mem.h"
#include "net/host.h"

enum { HOSTS_MAX = 6 };

/* A DNS server on a port of its own. What it was not told it answers with NXDOMAIN. */
struct hosts_record {
    const char *name; /* without the last dot; NULL text: never answered */
    int type;         /* 1 A, 16 TXT, 28 AAAA */
    const char *text; /* an address, or the text, cut into strings of 200 bytes */
};

struct hosts {
    struct loop *loop;
    struct mem_plan *plan;
    struct mem_owner *mem;
    struct peer_secret ids[HOSTS_MAX];
    struct host *hosts[HOSTS_MAX];
    int count, closing;
    uv_timer_t guard, hand; /* the hand moves a clock that was turned */
    uv_udp_t dns;
    const struct hosts_record *records;
    size_t records_count;
    uint32_t questions;
    char dns_server[32];
    bool timed_out, has_dns, turned;
};

/* options: what all of them share beside loop, owner, identity and agent. */
void hosts_make(struct hosts *b, int count, const struct host_options *options);
void hosts_dns(struct hosts *b, const struct hosts_record *records,
               size_t count);    /* before hosts_make */
void hosts_end(struct hosts *b); /* closes all; every byte must be given back */

void hosts_run(struct hosts *b, const char *why); /* until somebody stops the loop */
void hosts_wait(struct hosts *b, uint32_t ms);    /* real time */
void hosts_clock(struct hosts *b, uint64_t ms);   /* turns the loop's clock on */

/* Listens and returns the address, without /p2p, in buf. */
struct bytes hosts_listen(struct hosts *b, int host, const char *text, uint8_t buf[64]);
struct bytes hosts_multiaddr(const char *text, uint8_t *buf, size_t size);

struct hosts_dial {
    struct host_dial req;
    struct hosts *bed;
    bool done;
    enum err rc;
    char text[256];
};
/* Answers within this call. */
enum err hosts_dial(struct hosts *b, int from, struct hosts_dial *d, const struct peer_id *peer,
                    struct bytes address);
void hosts_dial_start(struct hosts *b, int from, struct hosts_dial *d);

/* A stream of /test/mute/1.0.0 to host 0 that takes what comes, and sends without end once it wants
 * to write. When it is there, or refused, the loop stops. */
struct hosts_sender {
    struct stream_open req;
    struct hosts *bed;
    struct stream *s; /* NULL: not there, or over */
    uint64_t sent;
    bool done, closed;
};
void hosts_sender_open(struct hosts *b, int from, struct conn *c, struct hosts_sender *x);

#endif
