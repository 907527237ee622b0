/* lib/ipfs/provider_state.h: the struct behind provider.h, for its own files: provider.c (life),
 * provider_net.c (is the DHT there), provider_pick.c (what is next, workers), provider_rows.c (what
 * outlives a restart). Thread: loop only. */
#ifndef LARDER_IPFS_PROVIDER_STATE_H
#define LARDER_IPFS_PROVIDER_STATE_H

#include "core/work.h"
#include "ipfs/provider.h"
#include "ipfs/region.h"
#include "ipfs/schedule.h"

enum { PROVIDER_ROWS_BYTES = 16 * 1024, PROVIDER_RETRIES = 32, PROVIDER_RESUMES = 32 };

enum provider_kind {                 /* of what a worker does */
                     PROVIDER_DUE,   /* a part in time */
                     PROVIDER_LATE,  /* one that is due for longer, or was never provided */
                     PROVIDER_NEW,   /* new keys of a part that is fresh */
                     PROVIDER_KINDS, /* nothing */
};

struct provider_worker {
    struct provider *provider;
    struct region *region; /* NULL: idle */
    struct kad_prefix claim;
    enum provider_kind kind;
    bool done_something;
    uint64_t began_ms; /* on the loop's clock */
    uint32_t parts;    /* with keys, since */
    uint64_t ongoing;
};

struct provider {
    struct provider_options o;
    struct dht *dht;
    struct schedule schedule;
    uint32_t *preimages;
    struct kad_record record;
    struct provider_worker *workers;
    struct timer tick;
    bool loading, stopping, has_address;
    uint32_t out; /* requests that are still to come back, workers not counted */
    struct deferred stopped;
    void (*stop_cb)(void *ctx);
    void *stop_ctx;
    struct error failure; /* the last one */

    /* provider_rows.c */
    struct work build;
    struct keystore_rows rows;
    uint8_t *rows_buffer;
    struct {
        struct schedule_progress at;
        bool used; /* its row is to be deleted */
    } resumes[PROVIDER_RESUMES];
    uint32_t resumes_count;
    struct kad_prefix swept[PROVIDER_RESUMES]; /* 'p' rows that nobody needs, to be deleted */
    uint32_t swept_count;
    bool sweeping;
    uint64_t sweep_ms; /* the next one, on the loop's clock */
    struct keystore_write flush;
    struct keystore_row flush_rows[LIMIT_KEYSTORE_ROWS];
    uint8_t flush_keys[LIMIT_KEYSTORE_ROWS][SCHEDULE_KEY_BYTES];
    uint8_t flush_values[LIMIT_KEYSTORE_ROWS][SCHEDULE_VALUE_BYTES];
    uint8_t flush_totals[96];
    bool flushing, totals_dirty;
    struct provider_totals totals;

    /* provider_net.c */
    enum provider_state state;
    struct lookup *lookup;
    bool checking, measuring;
    uint64_t checked_ms, lost_ms, refreshed_ms; /* on the loop's clock */
    uint32_t retry_ms, bootstrap_at, bootstrap_end, measures, measured_bits, refresh_bit;
    uint32_t prefix_len; /* UINT32_MAX: not measured */
    struct kad_peer boot_peer;
    uint8_t boot_address[LIMIT_MULTIADDR_BYTES];
    struct bytes boot_bytes;
    struct host_dial boot_dial;
    struct dht_query boot_query;
    struct {
        struct kad_peer peer;
        struct dht_query query;
    } pings[LIMIT_PROVIDER_PINGS];

    /* provider_pick.c */
    struct {
        struct kad_prefix prefix;
        uint64_t until_ms;
        bool longer; /* the exploration left gaps: in halves next time */
    } retries[PROVIDER_RETRIES];
    uint32_t retry_at;
    struct keystore_read scan; /* for pending keys of parts that are fresh */
    struct keyset scan_key;
    bool scanning, scan_whole; /* whole: this round began at the start of the key space */
    struct kad_prefix new_part;
    bool new_found;            /* there are some in new_part */
    bool new_next;             /* they come before the next part that is late */
    uint64_t lean_until_ms;    /* on the loop's clock */
    uint64_t pending_since_ms; /* wall clock; 0: nothing is */
    uint64_t cycle_since_ms;   /* wall clock; 0: there are no keys */
    uint64_t cycle_due_ms;     /* the last of its parts that are left */
    uint64_t cycle_left;       /* parts with keys not provided since */
    uint64_t cycle_ms;         /* how long the last one took */
    uint64_t part_ms;          /* what a part takes a worker, of late */
    uint32_t late, scheduled, fresh_millionths;
    uint64_t oldest_done_ms, holders_sum, holders_keys;
};

uint64_t provider_wall_ms(const struct provider *p);
uint64_t provider_now_ms(const struct provider *p);
/* A request has come back. True: we are stopping, do nothing more. */
bool provider_back(struct provider *p);

/* provider_rows.c */
void provider_load(struct provider *p); /* sets loading to false in the end */
void provider_flush(struct provider *p);
/* Finds 'p' rows that were left over, a page at a time; now and then, in a tick. */
void provider_sweep(struct provider *p);
/* Where a part was when the last process ended: of what is known of it, the farthest. */
bool provider_resume(void *worker, struct kad_prefix part, struct schedule_progress *out);

/* provider_net.c */
void provider_net_tick(struct provider *p);
void provider_net_lost(struct provider *p); /* a region failed for want of servers */
void provider_net_stop(struct provider *p);

/* provider_pick.c */
struct provider_turn {
    uint32_t workers;              /* that may work */
    uint32_t busy[PROVIDER_KINDS]; /* that do */
    bool wants[PROVIDER_KINDS];    /* there is a part for one more */
    bool late_is_older, new_next;
};
/* What one more worker does. */
enum provider_kind provider_turn(const struct provider_turn *t);
void provider_pick_tick(struct provider *p);
/* Of a part, what is to be explored next: in halves, when the whole of it has left gaps. */
struct kad_prefix provider_longer(const struct provider *p, struct kad_prefix part);
void provider_pick_stop(struct provider *p);

#endif
