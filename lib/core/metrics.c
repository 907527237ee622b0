#include "core/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"

/* clang-format off */

/* Label sets. */
UNUSED static const char *owner_label(unsigned value)
{
#define OWNER(name, ...) #name,
    static const char *const texts[] = {
#include "tables/owners.def"
    };
#undef OWNER
    return texts[value];
}

UNUSED static const char *store_label(unsigned value)
{
#define STORE(name, ...) #name,
    static const char *const texts[] = {
#include "tables/stores.def"
    };
#undef STORE
    return texts[value];
}

UNUSED static const char *protocol_label(unsigned value)
{
#define PROTOCOL(name, ...) #name,
    static const char *const texts[] = { "other",
#include "tables/protocols.def"
    };
#undef PROTOCOL
    return texts[value];
}

#define BUCKETS(name, ...)
#define COUNTER(name, help)
#define COUNTER_BY(name, label, help)
#define GAUGE(name, help)
#define GAUGE_BY(name, label, help)
#define HISTOGRAM(name, buckets, help)
#define HISTOGRAM_BY(name, label, buckets, help)

#define LABEL(name, count, text)
#define LABEL_VALUES(name, ...)                                                                    \
    UNUSED static const char *label_text_##name(unsigned value)                                    \
    {                                                                                              \
        static const char *const texts[] = { __VA_ARGS__ };                                        \
        return texts[value];                                                                       \
    }
#include METRICS_DEF
#undef LABEL
#undef LABEL_VALUES

#define LABEL(name, count, text)                                                                   \
    UNUSED static const char *label_text_##name(unsigned value)                                    \
    {                                                                                              \
        return text(value);                                                                        \
    }
#define LABEL_VALUES(name, ...)
#include METRICS_DEF
#undef LABEL
#undef LABEL_VALUES

/* Bucket bounds. */
#define LABEL(name, count, text)
#define LABEL_VALUES(name, ...)
#undef BUCKETS
#define BUCKETS(name, ...)                                                                         \
    static const uint64_t bounds_##name[] = { __VA_ARGS__ };                                       \
    enum { BOUNDS_##name = ARRAY_SIZE(bounds_##name) };
#include METRICS_DEF
#undef BUCKETS
#undef COUNTER
#undef COUNTER_BY
#undef GAUGE
#undef GAUGE_BY
#undef HISTOGRAM
#undef HISTOGRAM_BY

/* A histogram's series: one cell for each bucket, one for what is above all, one for the sum. */
#define HISTOGRAM_CELLS(buckets) (BOUNDS_##buckets + 2)

/* Where a metric's cells begin: enumerators follow each other, so this is a running sum. */
#define BUCKETS(name, ...)
#define CELLS(name, n) AT_##name, AT_END_##name = AT_##name + (n)-1,
#define COUNTER(name, help) CELLS(name, 1)
#define COUNTER_BY(name, label, help) CELLS(name, METRIC_LABELS_##label)
#define GAUGE(name, help) CELLS(name, 1)
#define GAUGE_BY(name, label, help) CELLS(name, METRIC_LABELS_##label)
#define HISTOGRAM(name, buckets, help) CELLS(name, HISTOGRAM_CELLS(buckets))
#define HISTOGRAM_BY(name, label, buckets, help)                                                   \
    CELLS(name, METRIC_LABELS_##label * HISTOGRAM_CELLS(buckets))
enum {
#include METRICS_DEF
    CELLS_COUNT
};
#undef COUNTER
#undef COUNTER_BY
#undef GAUGE
#undef GAUGE_BY
#undef HISTOGRAM
#undef HISTOGRAM_BY

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };
static const char *const kind_names[] = { "counter", "gauge", "histogram" };

static const struct row {
    const char *name, *help;
    enum kind kind;
    unsigned at;                            /* first cell */
    const char *label;                      /* NULL: one series */
    const char *(*label_text)(unsigned value);
    unsigned series;
    const uint64_t *bounds;                 /* histograms only */
    unsigned bounds_count;
} rows[METRIC_COUNT] = {
#define PLAIN(name, kind, help)                                                                    \
    [METRIC_##name] = { #name, help, kind, AT_##name, NULL, NULL, 1, NULL, 0 },
#define BY(name, kind, label, help)                                                                \
    [METRIC_##name] = { #name, help, kind, AT_##name, #label, label_text_##label,                  \
                        METRIC_LABELS_##label, NULL, 0 },
#define COUNTER(name, help) PLAIN(name, KIND_COUNTER, help)
#define COUNTER_BY(name, label, help) BY(name, KIND_COUNTER, label, help)
#define GAUGE(name, help) PLAIN(name, KIND_GAUGE, help)
#define GAUGE_BY(name, label, help) BY(name, KIND_GAUGE, label, help)
#define HISTOGRAM(name, buckets, help)                                                             \
    [METRIC_##name] = { #name, help, KIND_HISTOGRAM, AT_##name, NULL, NULL, 1, bounds_##buckets,   \
                        BOUNDS_##buckets },
#define HISTOGRAM_BY(name, label, buckets, help)                                                   \
    [METRIC_##name] = { #name, help, KIND_HISTOGRAM, AT_##name, #label, label_text_##label,        \
                        METRIC_LABELS_##label, bounds_##buckets, BOUNDS_##buckets },
#include METRICS_DEF
};
/* clang-format on */

static int64_t cells[CELLS_COUNT];
static bool moved[METRIC_COUNT];
static struct metrics_collector *collectors;

/* The address of this differs from thread to thread. */
static _Thread_local char thread_mark;
static const char *owner_thread;

/* The one way to a cell. */
static int64_t *cell_of(enum metric m, enum kind kind, unsigned label)
{
    assert(m < METRIC_COUNT && rows[m].kind == kind && label < rows[m].series);
    if (!owner_thread)
        owner_thread = &thread_mark;
    assert(owner_thread == &thread_mark); /* a worker's counts travel in its request */
    unsigned width = kind == KIND_HISTOGRAM ? rows[m].bounds_count + 2 : 1;
    return &cells[rows[m].at + label * width];
}

static void cell_put(enum metric m, int64_t *cell, int64_t value)
{
    moved[m] |= *cell != value;
    *cell = value;
}

void metric_add(enum metric m, uint64_t n)
{
    metric_add_by(m, 0, n);
}

void metric_add_by(enum metric m, unsigned label, uint64_t n)
{
    int64_t *cell = cell_of(m, KIND_COUNTER, label);
    cell_put(m, cell, *cell + (int64_t)n);
}

void metric_raise(enum metric m, uint64_t total)
{
    metric_raise_by(m, 0, total);
}

void metric_raise_by(enum metric m, unsigned label, uint64_t total)
{
    int64_t *cell = cell_of(m, KIND_COUNTER, label);
    if ((int64_t)total > *cell)
        cell_put(m, cell, (int64_t)total);
}

void metric_set(enum metric m, int64_t value)
{
    metric_set_by(m, 0, value);
}

void metric_set_by(enum metric m, unsigned label, int64_t value)
{
    cell_put(m, cell_of(m, KIND_GAUGE, label), value);
}

void metric_shift(enum metric m, int64_t by)
{
    metric_shift_by(m, 0, by);
}

void metric_shift_by(enum metric m, unsigned label, int64_t by)
{
    int64_t *cell = cell_of(m, KIND_GAUGE, label);
    cell_put(m, cell, *cell + by);
}

void metric_observe(enum metric m, uint64_t value)
{
    metric_observe_by(m, 0, value);
}

void metric_observe_by(enum metric m, unsigned label, uint64_t value)
{
    int64_t *cell = cell_of(m, KIND_HISTOGRAM, label);
    unsigned n = rows[m].bounds_count, i = 0;
    while (i < n && value > rows[m].bounds[i])
        i++;
    cell_put(m, &cell[i], cell[i] + 1);
    cell[n + 1] += (int64_t)value;
}

int64_t metric_get(enum metric m)
{
    return metric_get_by(m, 0);
}

int64_t metric_get_by(enum metric m, unsigned label)
{
    assert(m < METRIC_COUNT);
    const int64_t *cell = cell_of(m, rows[m].kind, label);
    if (rows[m].kind != KIND_HISTOGRAM)
        return *cell;
    int64_t count = 0;
    for (unsigned i = 0; i <= rows[m].bounds_count; i++)
        count += cell[i];
    return count;
}

const char *metric_name(enum metric m)
{
    assert(m < METRIC_COUNT);
    return rows[m].name;
}

void metrics_collector_add(struct metrics_collector *c)
{
    assert(c->collect && !c->next_ && c != collectors);
    c->next_ = collectors;
    collectors = c;
}

void metrics_collector_remove(struct metrics_collector *c)
{
    for (struct metrics_collector **at = &collectors; *at; at = &(*at)->next_)
        if (*at == c) {
            *at = c->next_;
            c->next_ = NULL;
            return;
        }
}

/* ---- text ---- */

/* By hand: a page has thousands of these, and printf took a third of a scrape's time. */
static void put(struct writer *w, const char *text)
{
    writer_put(w, text, strlen(text));
}

static void put_digits(struct writer *w, uint64_t value, int width)
{
    char digits[20];
    int n = 0;
    for (; value > 0 || n < width; value /= 10)
        digits[sizeof(digits) - (size_t)++n] = (char)('0' + value % 10);
    writer_put(w, digits + sizeof(digits) - n, (size_t)n);
}

static bool ends_in(const char *name, const char *end)
{
    size_t a = strlen(name), b = strlen(end);
    return a >= b && strcmp(name + a - b, end) == 0;
}

/* Decimal places between a cell and the base unit. */
static int decimals_of(const struct row *row)
{
    if (ends_in(row->name, "_seconds") || ends_in(row->name, "_seconds_total"))
        return 9;
    return ends_in(row->name, "_ratio") ? 6 : 0;
}

static void put_number(struct writer *w, int decimals, int64_t value)
{
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    uint64_t unit = decimals == 9 ? 1000000000 : decimals == 6 ? 1000000 : 1;
    if (value < 0)
        put(w, "-");
    put_digits(w, size / unit, 1);
    uint64_t rest = size % unit;
    if (rest == 0)
        return;
    for (; rest % 10 == 0; decimals--)
        rest /= 10;
    put(w, ".");
    put_digits(w, rest, decimals);
}

/* larder_name_suffix{label="x", with the brace closed or open for one more label. */
static void put_name(struct writer *w, const struct row *row, unsigned series, const char *suffix,
                     const char *close)
{
    put(w, "larder_");
    put(w, row->name);
    put(w, suffix);
    if (!row->label)
        return;
    put(w, "{");
    put(w, row->label);
    put(w, "=\"");
    put(w, row->label_text(series));
    put(w, close);
}

static void put_sample(struct writer *w, const struct row *row, unsigned series, const char *suffix,
                       int64_t value)
{
    bool count = suffix[0] == '_' && suffix[1] == 'c'; /* of observations: without a unit */
    put_name(w, row, series, suffix, "\"}");
    put(w, " ");
    put_number(w, count ? 0 : decimals_of(row), value);
    put(w, "\n");
}

/* le NULL: above all bounds. */
static void put_bucket(struct writer *w, const struct row *row, unsigned series, const uint64_t *le,
                       int64_t count)
{
    put_name(w, row, series, "_bucket", "\",");
    put(w, row->label ? "le=\"" : "{le=\"");
    if (le)
        put_number(w, decimals_of(row), (int64_t)*le);
    else
        put(w, "+Inf");
    put(w, "\"} ");
    put_number(w, 0, count);
    put(w, "\n");
}

static void put_head(struct writer *w, const struct row *row)
{
    put(w, "# HELP larder_");
    put(w, row->name);
    put(w, " ");
    put(w, row->help);
    put(w, "\n# TYPE larder_");
    put(w, row->name);
    put(w, " ");
    put(w, kind_names[row->kind]);
    put(w, "\n");
}

static void put_series(struct writer *w, enum metric m, unsigned series)
{
    const struct row *row = &rows[m];
    const int64_t *cell = cell_of(m, row->kind, series);
    if (row->kind != KIND_HISTOGRAM) {
        put_sample(w, row, series, "", *cell);
        return;
    }
    int64_t count = 0;
    for (unsigned i = 0; i <= row->bounds_count; i++) {
        count += cell[i];
        put_bucket(w, row, series, i < row->bounds_count ? &row->bounds[i] : NULL, count);
    }
    put_sample(w, row, series, "_sum", cell[row->bounds_count + 1]);
    put_sample(w, row, series, "_count", count);
}

void metrics_page_begin(struct metrics_page *page)
{
    *page = (struct metrics_page){ 0, 0 };
    for (struct metrics_collector *c = collectors, *next; c; c = next) {
        next = c->next_; /* it may remove itself */
        c->collect(c);
    }
}

size_t metrics_page_next(struct metrics_page *page, char *buf, size_t size)
{
    assert(size >= LIMIT_METRICS_PIECE_BYTES);
    struct writer w = writer_of(buf, size);
    while (page->metric_ < METRIC_COUNT) {
        const struct row *row = &rows[page->metric_];
        uint8_t *whole = w.at;
        if (page->series_ == 0)
            put_head(&w, row);
        else
            put_series(&w, page->metric_, page->series_ - 1);
        if (w.overflow) { /* the next piece begins with it */
            assert(whole != w.start);
            return (size_t)(whole - w.start);
        }
        if (page->series_++ == row->series) {
            page->metric_++;
            page->series_ = 0;
        }
    }
    return writer_used(&w);
}

/* A destructor, so that neither the daemon nor a test program has to remember it. Limits are here
 * too, since base/ does no I/O. */
__attribute__((destructor)) static void report_hits(void)
{
    const char *path = getenv("TEST_HITS_FILE");
    FILE *f = path ? fopen(path, "a") : NULL;
    for (unsigned m = 0; f && m < METRIC_COUNT; m++)
        if (moved[m])
            fprintf(f, "metric %s\n", rows[m].name);
    for (unsigned i = 0; f && i < LIMIT_ID_COUNT; i++)
        if (limit_hits(i) > 0)
            fprintf(f, "limit %s\n", limit_name(i));
    if (f)
        fclose(f);
}
