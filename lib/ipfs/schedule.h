/* lib/ipfs/schedule.h
 *
 * When each part of the key space was last provided, and when it is due: disjoint prefixes, in
 * order. A part without an entry was never provided.
 *
 *   'r' prefix[8] len -> be64 done_ms, be32 servers, be64 keys, be32 reached, be32 holders (milli)
 *   'p' prefix[8] len -> be64 started_ms, be64 at_ms, be64 keys, the last key that all its servers
 *                        were heard to have read: where to go on when the process ends. Deleted
 *                        when its part is done; one that was left over, within two hours. So there
 *                        are no more than passes begin in that time.
 *
 * Owns:   its entries, charged to the owner; at most LIMIT_SCHEDULE_PARTS.
 * Thread: loop only. Errors: none; what does not fit is done again.
 */
#ifndef LARDER_IPFS_SCHEDULE_H
#define LARDER_IPFS_SCHEDULE_H

#include "ipfs/cover.h"

enum {
    SCHEDULE_KEY_BYTES = 10,
    SCHEDULE_VALUE_BYTES = 28,
    SCHEDULE_PROGRESS_BYTES = 24 + KEY_BYTES_MAX,
};

struct schedule_entry {
    struct kad_prefix prefix;
    uint64_t done_ms; /* wall clock */
    uint64_t keys;
    uint32_t servers, reached, holders_milli;
    bool dirty; /* its row is to be written */
};

struct schedule_progress {
    struct kad_prefix prefix;
    uint64_t started_ms, at_ms; /* wall clock */
    uint64_t keys;              /* up to last */
    uint8_t last_size, last[KEY_BYTES_MAX];
};

struct schedule {
    struct mem_owner *mem;
    uint64_t order;       /* our own place: spreads nodes over the interval */
    uint64_t start_ms;    /* of the first cycle; never in the future */
    uint64_t interval_ms; /* 0: nothing is ever due again */
    struct schedule_entry *entries;
    uint32_t count, room;
    struct kad_prefix gone[LIMIT_SCHEDULE_GONE]; /* rows to be deleted */
    uint32_t gone_count;
};

bool schedule_init(struct schedule *s, struct mem_owner *mem) WARN_UNUSED;
void schedule_free(struct schedule *s);

/* Of a part in the interval, by the first 24 bits. */
uint64_t schedule_offset(struct kad_prefix p, uint64_t order, uint64_t interval);
/* When an entry is due, on the wall clock: at its offset, an interval after it was done or, with
 * LIMIT_SCHEDULE_DELAY_MS, somewhat later. */
uint64_t schedule_due(const struct schedule *s, const struct schedule_entry *e);
static inline bool schedule_is_fresh(const struct schedule *s, const struct schedule_entry *e,
                                     uint64_t now_ms)
{
    return s->interval_ms == 0 || schedule_due(s, e) > now_ms;
}

/* The wall clock may have been stepped back: what was done in the future was done now. */
void schedule_clock(struct schedule *s, uint64_t now_ms);
/* e replaces what is under it; what it is a part of is cut into pieces that keep their time. */
void schedule_put(struct schedule *s, const struct schedule_entry *e);
/* The entry that has this place; NULL: never provided. *end: where its part, or the gap, ends. */
const struct schedule_entry *schedule_at(const struct schedule *s, uint64_t kad, uint64_t *end);
/* The largest prefix that has kad, is at least len long and holds no part of an entry. */
struct kad_prefix schedule_gap(const struct schedule *s, uint64_t kad, uint8_t len);
uint32_t schedule_average_len(const struct schedule *s); /* UINT32_MAX: no entries */

/* Rows. */
void schedule_row_key(uint8_t kind, struct kad_prefix p, uint8_t out[SCHEDULE_KEY_BYTES]);
bool schedule_row_prefix(struct bytes key, struct kad_prefix *out);
void schedule_row_value(const struct schedule_entry *e, uint8_t out[SCHEDULE_VALUE_BYTES]);
bool schedule_row_decode(struct bytes key, struct bytes value, uint64_t now_ms,
                         struct schedule_entry *out);
void schedule_progress_value(const struct schedule_progress *p, struct writer *out);
bool schedule_progress_decode(struct bytes key, struct bytes value, uint64_t now_ms,
                              struct schedule_progress *out);

#endif
