/* tests/unit/provider_bed.h: a provider on a keystore of its own, against servers in this process.
 * What it does not do as it must fails the test. */
#ifndef LARDER_TESTS_PROVIDER_BED_H
#define LARDER_TESTS_PROVIDER_BED_H

#include "ipfs/provider.h"
#include "ipfs/region.h"
#include "kad_sink.h"
#include "store/keystore.h"

#include <uv.h>

/* Where no server is to be given up, a machine may be as slow as that. */
enum { PBED_STALL_MS = 30000 };

struct provider_bed {
    struct loop *loop;
    struct work_pool *pool;
    struct mem_plan *plan;
    struct mem_owner *mem, *p2p;
    struct stores *stores;
    struct keystore *ks;
    struct sinks sinks;
    struct peer_secret secret;
    struct host *host;
    struct provider *provider;
    char dir[300], boot[2][160];
    const char *boots[2];
    struct timer guard, poll;
    struct keystore_write write;
    uint32_t chunk_keys, stall_ms, workers, connections;
    uint64_t stop_at; /* records, then the provider is stopped */
    bool called, timed_out, turned;
    uv_timer_t hand; /* of the turned clocks */
};

void pbed_make(struct provider_bed *b, uint32_t servers);
void pbed_make_lopsided(struct provider_bed *b, uint32_t servers, uint32_t few); /* sinks_make */
void pbed_end(struct provider_bed *b);
void pbed_wake(void *ctx); /* pbed_await returns */
void pbed_await(struct provider_bed *b, const char *why);
/* Runs for so long. */
void pbed_wait(struct provider_bed *b, uint32_t ms);
/* Turns the clocks: the wall clock by wall_ms, which may be less than 0. From then on they go by
 * themselves, as fast as time does. */
void pbed_clock(struct provider_bed *b, uint64_t now_ms, int64_t wall_ms);
void pbed_provider_up(struct provider_bed *b);
bool pbed_provider_try(struct provider_bed *b); /* false: it was refused memory */
void pbed_provider_down(struct provider_bed *b);
/* Until nothing is late, pending, or in work. */
void pbed_cycle(struct provider_bed *b, const char *why);
void pbed_keys(struct provider_bed *b, uint64_t from, uint64_t to); /* added: lab_key */
void pbed_rows(struct provider_bed *b, const struct keystore_row *rows, uint32_t count);
/* Every living server has exactly the keys of which it is among the 20 nearest living ones. */
void pbed_exact(struct provider_bed *b, uint64_t keys);

/* ---- without a provider: a DHT client of the same host ---- */

struct dht *pbed_dht(struct provider_bed *b);
void pbed_meet(struct provider_bed *b, struct dht *dht);          /* all servers are in its table */
void pbed_record(struct provider_bed *b, struct kad_record *out); /* of this host */
const uint32_t *pbed_preimages(void);
/* The whole key space; chunks, events and where to count are the test's. */
struct region_options pbed_region(struct provider_bed *b, struct dht *dht,
                                  const struct kad_record *record);

#endif
