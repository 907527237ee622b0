/* tests/bench/bench.h
 *
 * The frame of build/larder-bench: a bench is one BENCH(name, "sentence") with a body that calls
 * bench_report once per figure. A figure stands beside the naive way or the known program, both
 * measured in the same run: their ratio survives a change of machine, the figures do not.
 *
 *     BENCH(hex, "A chunk address as text.")
 *     {
 *         double ours = bench_median(bench, run_ours, &arg, &spread);
 *         double theirs = bench_median(bench, run_printf, &arg, NULL);
 *         bench_report(bench, &(struct bench_figure){ .figure = "encode", .unit = "ns", ... });
 *     }
 *
 * Thread: main only. Memory of a bench is its own affair (malloc or owners).
 */
#ifndef LARDER_TESTS_BENCH_H
#define LARDER_TESTS_BENCH_H

#include "base/base.h"

struct bench;
typedef void bench_fn(struct bench *bench);
typedef double bench_run_fn(void *arg); /* does the work once, returns the figure */

struct bench_figure {
    const char *figure; /* what was measured: "hit, batch of 16" */
    const char *unit;   /* "ns", "MB/s", "bytes/entry" */
    double value;
    double spread;        /* (max - min) / median of the runs; 0: one run */
    const char *beside;   /* the baseline's name; NULL: none */
    double beside_value;  /* measured in this run, in the same unit */
    double expect_beside; /* what the baseline measured elsewhere, when that is known; 0: unknown */
    const char *why;      /* why the baseline may be more than a factor 2 from expect_beside */
    const char *note;     /* anything a reader must know */
};

void bench_register(const char *name, const char *about, bench_fn *run);

/* --entries N, or what the bench does without it. Figures scale with it, verdicts do not. */
uint64_t bench_entries(const struct bench *bench, uint64_t normal);
/* For expect_beside: value, which was measured elsewhere with `at` entries; unknown for a run of
 * less than half or more than twice as many, since baselines change with their size. */
double bench_expect(uint64_t entries, uint64_t at, double value);
/* The program that stands in the build folder, where there is a compiler for it. False: it does
 * not, which standard error is told, since a run without a baseline shows no ratio. */
bool bench_program(const struct bench *bench, const char *name, char *path, size_t size);
/* Prints the figure: a row for people, one JSON object with --json. A baseline that is more than a
 * factor 2 from expect_beside is a failure of the bench (exit code 1) unless the load of the
 * machine or `why` explains it; the explanation is printed as "note". */
void bench_report(struct bench *bench, const struct bench_figure *figure);
/* The bench cannot go on: prints the sentence and ends the program with code 3. */
void bench_fail(const struct bench *bench, const char *fmt, ...) PRINTF_LIKE(2, 3)
    __attribute__((noreturn));

/* Median of 5 runs; spread may be NULL. */
double bench_median(bench_run_fn *run, void *arg, double *spread);
uint64_t bench_wall_ns(void);
uint64_t bench_cpu_ns(void); /* of the calling thread */
uint64_t bench_process_cpu_ns(void);
/* Bytes of RssAnon, RssFile or VmHWM in /proc/self/status. */
uint64_t bench_status_bytes(const char *key);

#define BENCH(name, about)                                                                         \
    static void bench_run_##name(struct bench *bench);                                             \
    __attribute__((constructor)) static void bench_register_##name(void)                           \
    {                                                                                              \
        bench_register(#name, about, bench_run_##name);                                            \
    }                                                                                              \
    static void bench_run_##name(struct bench *bench UNUSED)

#endif
