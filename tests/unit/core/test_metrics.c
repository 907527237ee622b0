/* Values and text of metrics, on rows of its own. */
#include "base/limits.h"
#define LIMIT_METRICS_PIECE_BYTES 512 /* so that a short page has many pieces */
#define METRICS_DEF "core/test_metrics.def"
#include "core/metrics.c" /* built anew with those rows */

#include "unit.h"

static char page[64 * 1024];

/* The whole page, made of pieces of piece_bytes. */
static unsigned read_page(size_t piece_bytes)
{
    static char piece[sizeof(page)];
    struct metrics_page p;
    size_t used = 0, n;
    unsigned pieces = 0;
    metrics_page_begin(&p);
    while ((n = metrics_page_next(&p, piece, piece_bytes)) > 0) {
        check(n <= piece_bytes && used + n < sizeof(page), "a piece stays in its buffer");
        check(piece[n - 1] == '\n', "a piece ends at a line's end");
        memcpy(page + used, piece, n);
        used += n;
        pieces++;
    }
    page[used] = '\0';
    return pieces;
}

TEST(a_page_of_zeros_has_every_series)
{
    read_page(LIMIT_METRICS_PIECE_BYTES);
    static const char *const want[] = {
        "# HELP larder_lines_total Lines read.\n# TYPE larder_lines_total counter\n"
        "larder_lines_total 0\n",
        "larder_bytes_total{way=\"in\"} 0\nlarder_bytes_total{way=\"out\"} 0\n",
        "larder_failed_total{err=\"not_found\"} 0\n",
        "# TYPE larder_depth gauge\nlarder_depth 0\n",
        "# TYPE larder_turn_seconds histogram\n"
        "larder_turn_seconds_bucket{le=\"0.000001\"} 0\n"
        "larder_turn_seconds_bucket{le=\"0.001\"} 0\n"
        "larder_turn_seconds_bucket{le=\"2.5\"} 0\n"
        "larder_turn_seconds_bucket{le=\"+Inf\"} 0\n"
        "larder_turn_seconds_sum 0\nlarder_turn_seconds_count 0\n",
        "larder_frame_bytes_bucket{way=\"out\",le=\"100\"} 0\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        check(strstr(page, want[i]) != NULL, want[i]);
}

TEST(values_are_printed_in_base_units)
{
    metric_add(METRIC_lines_total, 3);
    metric_add(METRIC_lines_total, 4);
    metric_add(METRIC_waited_seconds_total, 1500000000);
    metric_add_by(METRIC_bytes_total, 1, UINT64_C(5000000000));
    metric_add_by(METRIC_failed_total, ERR_TIMEOUT, 2);
    metric_set(METRIC_depth, -7);
    metric_set(METRIC_lag_seconds, -1);
    metric_set(METRIC_full_ratio, 250000);
    metric_set_by(METRIC_open_streams, 0, 5);
    metric_shift_by(METRIC_open_streams, 0, -2);
    metric_shift(METRIC_depth, 1);
    metric_add(METRIC_idle_total, 0);
    read_page(LIMIT_METRICS_PIECE_BYTES);
    static const char *const want[] = {
        "\nlarder_lines_total 7\n",
        "\nlarder_waited_seconds_total 1.5\n",
        "\nlarder_bytes_total{way=\"out\"} 5000000000\n",
        "\nlarder_failed_total{err=\"timeout\"} 2\n",
        "\nlarder_depth -6\n",
        "\nlarder_lag_seconds -0.000000001\n",
        "\nlarder_full_ratio 0.25\n",
        "\nlarder_open_streams{way=\"in\"} 3\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        check(strstr(page, want[i]) != NULL, want[i]);
    check(metric_get(METRIC_lines_total) == 7, "what was added is there");
    check(metric_get_by(METRIC_failed_total, ERR_TIMEOUT) == 2, "by its label, too");
}

TEST(a_running_total_never_falls)
{
    metric_raise(METRIC_waited_seconds_total, UINT64_C(9000000000));
    metric_raise(METRIC_waited_seconds_total, 1);
    check(metric_get(METRIC_waited_seconds_total) == INT64_C(9000000000), "the lower is ignored");
}

TEST(a_histogram_counts_up_to_its_bounds)
{
    metric_observe(METRIC_turn_seconds, 1000);                 /* on the bound: within */
    metric_observe(METRIC_turn_seconds, 1001);                 /* the next bucket */
    metric_observe(METRIC_turn_seconds, UINT64_C(3000000000)); /* above all */
    metric_observe_by(METRIC_frame_bytes, 1, 50);
    read_page(LIMIT_METRICS_PIECE_BYTES);
    static const char *const want[] = {
        "larder_turn_seconds_bucket{le=\"0.000001\"} 1\n"
        "larder_turn_seconds_bucket{le=\"0.001\"} 2\n"
        "larder_turn_seconds_bucket{le=\"2.5\"} 2\n"
        "larder_turn_seconds_bucket{le=\"+Inf\"} 3\n"
        "larder_turn_seconds_sum 3.000002001\n"
        "larder_turn_seconds_count 3\n",
        "larder_frame_bytes_bucket{way=\"in\",le=\"+Inf\"} 0\n",
        "larder_frame_bytes_bucket{way=\"out\",le=\"10\"} 0\n"
        "larder_frame_bytes_bucket{way=\"out\",le=\"100\"} 1\n"
        "larder_frame_bytes_bucket{way=\"out\",le=\"+Inf\"} 1\n"
        "larder_frame_bytes_sum{way=\"out\"} 50\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        check(strstr(page, want[i]) != NULL, want[i]);
    check(metric_get(METRIC_turn_seconds) == 3, "observations are counted");
}

TEST(a_page_is_the_same_in_any_pieces)
{
    static char whole[sizeof(page)];
    check(read_page(sizeof(page)) == 1, "a large buffer takes all of it");
    memcpy(whole, page, sizeof(page));
    for (size_t size = LIMIT_METRICS_PIECE_BYTES; size < 2000; size++) {
        check(read_page(size) > 1, "it takes several");
        check(strcmp(page, whole) == 0, "the same text");
    }
}

static int collected;
static void collect_depth(struct metrics_collector *c UNUSED)
{
    collected++;
    metric_set(METRIC_depth, 77);
}

TEST(collectors_run_before_a_page)
{
    struct metrics_collector a = { .collect = collect_depth }, b = { .collect = collect_depth };
    metrics_collector_add(&a);
    metrics_collector_add(&b);
    read_page(LIMIT_METRICS_PIECE_BYTES);
    check(collected == 2 && strstr(page, "larder_depth 77\n") != NULL, "both were asked");
    metrics_collector_remove(&b);
    metrics_collector_remove(&b);
    read_page(LIMIT_METRICS_PIECE_BYTES);
    check(collected == 3, "one that left is not asked");
    metrics_collector_remove(&a);
}

TEST(what_moved_is_reported)
{
    char path[256], text[4096] = "";
    snprintf(path, sizeof(path), "%s/hits", unit_temp_dir());
    const char *before = getenv("TEST_HITS_FILE");
    setenv("TEST_HITS_FILE", path, 1);
    report_hits();
    if (before)
        setenv("TEST_HITS_FILE", before, 1);
    else
        unsetenv("TEST_HITS_FILE");
    FILE *f = fopen(path, "r");
    check(f && fread(text, 1, sizeof(text) - 1, f) > 0, path);
    fclose(f);
    check(strstr(text, "metric turn_seconds\n") != NULL, "a histogram that was observed");
    check(strstr(text, "metric lines_total\n") != NULL, "a counter that was added to");
    check(strstr(text, "metric idle_total\n") == NULL, "and not one that was given its own value");
    memset(moved, 0, sizeof(moved)); /* these are no rows of the daemon */
}
