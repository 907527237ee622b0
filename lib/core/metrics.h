/* lib/core/metrics.h
 *
 * Values of the rows of metrics.def, and their text form (Prometheus text format 0.0.4).
 * Owns:   one static array of integers; its size is known when the program is built.
 * Thread: loop only (asserted: the thread of the first call is the only one). What a worker counts
 *         travels in its request, and the completion adds it here. Counts that live elsewhere
 *         (atomics of LevelDB's env, an owner's bytes) are copied by a collector just before a page
 *         is made.
 * Units:  as metrics.def says: nanoseconds for *_seconds and *_seconds_total, millionths for
 *         *_ratio, else as the name tells.
 * Errors: none; a wrong kind of metric or a label out of range is a bug and asserted.
 */
#ifndef LARDER_CORE_METRICS_H
#define LARDER_CORE_METRICS_H

#include "base/error.h"
#include "core/queue.h" /* the label `queue` */

#ifndef METRICS_DEF /* a test brings rows of its own */
#define METRICS_DEF "tables/metrics.def"
#endif

/* The label `owner`: rows of owners.def in their order, which is that of the plan of memory. */
#define OWNER(name, ...) METRIC_OWNER_##name,
enum {
#include "tables/owners.def"
    METRIC_OWNERS
};
#undef OWNER

/* The label `store`: rows of stores.def in their order. */
#define STORE(name, ...) METRIC_STORE_##name,
enum {
#include "tables/stores.def"
    METRIC_STORES
};
#undef STORE

/* The label `protocol`: rows of protocols.def in their order behind what has none; as enum
 * protocol_row in net/protocols.h. */
#define PROTOCOL(name, ...) METRIC_PROTOCOL_##name,
enum {
    METRIC_PROTOCOL_OTHER,
#include "tables/protocols.def"
    METRIC_PROTOCOLS
};
#undef PROTOCOL

/* METRIC_LABELS_<label>: how many values it has. */
#define LABEL(name, count, text) METRIC_LABELS_##name = (count),
#define LABEL_VALUES(name, ...)                                                                    \
    METRIC_LABELS_##name = sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *),
#define BUCKETS(name, ...)
#define COUNTER(name, help)
#define COUNTER_BY(name, label, help)
#define GAUGE(name, help)
#define GAUGE_BY(name, label, help)
#define HISTOGRAM(name, buckets, help)
#define HISTOGRAM_BY(name, label, buckets, help)
enum {
#include METRICS_DEF
};
#undef LABEL
#undef LABEL_VALUES
#undef COUNTER
#undef COUNTER_BY
#undef GAUGE
#undef GAUGE_BY
#undef HISTOGRAM
#undef HISTOGRAM_BY

#define LABEL(name, count, text)
#define LABEL_VALUES(name, ...)
#define COUNTER(name, help) METRIC_##name,
#define COUNTER_BY(name, label, help) METRIC_##name,
#define GAUGE(name, help) METRIC_##name,
#define GAUGE_BY(name, label, help) METRIC_##name,
#define HISTOGRAM(name, buckets, help) METRIC_##name,
#define HISTOGRAM_BY(name, label, buckets, help) METRIC_##name,
enum metric {
#include METRICS_DEF
    METRIC_COUNT
};
#undef LABEL
#undef LABEL_VALUES
#undef BUCKETS
#undef COUNTER
#undef COUNTER_BY
#undef GAUGE
#undef GAUGE_BY
#undef HISTOGRAM
#undef HISTOGRAM_BY

/* Counters go up. metric_raise copies a running total kept elsewhere; a lower one is ignored. */
void metric_add(enum metric m, uint64_t n);
void metric_add_by(enum metric m, unsigned label, uint64_t n);
void metric_raise(enum metric m, uint64_t total);
void metric_raise_by(enum metric m, unsigned label, uint64_t total);

/* Gauges: what is now. */
void metric_set(enum metric m, int64_t value);
void metric_set_by(enum metric m, unsigned label, int64_t value);
void metric_shift(enum metric m, int64_t by); /* up or down from what it is */
void metric_shift_by(enum metric m, unsigned label, int64_t by);

/* Histograms: one more observation. */
void metric_observe(enum metric m, uint64_t value);
void metric_observe_by(enum metric m, unsigned label, uint64_t value);

/* For tests and the status page: a counter's or gauge's value, a histogram's number of
 * observations. */
int64_t metric_get(enum metric m);
int64_t metric_get_by(enum metric m, unsigned label);
const char *metric_name(enum metric m); /* without prefix */

/* Called just before a page is begun, to set what is read rather than counted. Zeroed at first; a
 * field of its user, who removes it before it goes. */
struct metrics_collector {
    void (*collect)(struct metrics_collector *c);
    struct metrics_collector *next_;
};
void metrics_collector_add(struct metrics_collector *c);
void metrics_collector_remove(struct metrics_collector *c); /* no-op when not added */

/* The page, in pieces: no buffer ever holds all of it. Begin calls the collectors. A piece is whole
 * series, at least one, so buf has at least LIMIT_METRICS_PIECE_BYTES; 0 at the end. Values are
 * those of the moment a piece is made; one series is never torn. */
struct metrics_page {
    unsigned metric_, series_; /* the next to be written; series_ 0 is the HELP and TYPE lines */
};
void metrics_page_begin(struct metrics_page *page);
size_t metrics_page_next(struct metrics_page *page, char *buf, size_t size);

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* At exit the names of all metrics that have moved and of all limits that were hit are appended to
 * the file named in the environment variable TEST_HITS_FILE, a line "metric NAME" or "limit NAME"
 * each; without the variable nothing happens. So the suite can tell which never were. */

#endif
