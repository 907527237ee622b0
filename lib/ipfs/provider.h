/* lib/ipfs/provider.h
 *
 * Keeps provider records of the keystore's keys alive: which part of the key space is due, who
 * works on it, whether the DHT can be reached, and what is remembered over a restart.
 * Owns:   routing table, schedule, preimages (256 KiB) and workers, charged to the owner.
 * Thread: loop only.
 * Errors: ERR_BUDGET, ERR_CONFIG; what goes wrong later is retried and shown in the status.
 */
#ifndef LARDER_IPFS_PROVIDER_H
#define LARDER_IPFS_PROVIDER_H

#include "ipfs/dht.h"

struct governor;
struct provider;
struct keystore;
struct work_pool;

struct provider_options {
    struct loop *loop;
    struct host *host;
    struct keystore *keystore; /* open */
    struct work_pool *work;
    struct mem_owner *mem;
    struct governor *governor; /* says whether new work may begin; NULL: always */
    const char *dht_prefix;
    bool allow_private;
    const char *const *bootstrap; /* multiaddrs with /p2p/; borrowed */
    uint32_t bootstrap_count;
    uint32_t workers, connections, chunk_keys;
    uint64_t interval_ms; /* 0: first provides only */
    uint32_t stall_ms;
};
enum err provider_create(struct provider **out, const struct provider_options *options,
                         struct error *err);
/* Ends what runs; cb once, when nothing is out. */
void provider_stop(struct provider *p, void (*cb)(void *ctx), void *ctx);
/* Memory is short: for a while one part at a time, in smaller key chunks. urgent: parts in work but
 * one end now, and are done again later. */
void provider_shrink(struct provider *p, bool urgent);
void provider_destroy(struct provider *p); /* NULL is fine; after provider_stop's cb */

enum provider_state { PROVIDER_OFFLINE, PROVIDER_DISCONNECTED, PROVIDER_ONLINE };
struct provider_totals { /* since the keystore was made */
    uint64_t keys, sent, confirmed, failed, lookups;
};
struct provider_status {
    enum provider_state state;
    bool loading, has_address;
    uint32_t table, connected, bad; /* servers */
    uint32_t active, scheduled, late;
    uint64_t ongoing_keys, oldest_record_ms, pending_oldest_ms, cycle_ms;
    uint32_t progress_millionths, holders_milli;
    bool behind; /* the cycle will end later than its interval and LIMIT_SCHEDULE_DELAY_MS */
    struct provider_totals totals;
    char failure[128]; /* the last one, or "" */
};
void provider_status(const struct provider *p, struct provider_status *out);
const char *provider_state_name(enum provider_state state);

struct dht *provider_dht(const struct provider *p);
const struct kad_record *provider_record(struct provider *p); /* NULL: we have no address */
void provider_count(struct provider *p, uint64_t sent, uint64_t confirmed); /* single provides */
/* When a key's part was last provided, on the wall clock; 0: never. */
uint64_t provider_last_ms(const struct provider *p, uint64_t kad);

#endif
