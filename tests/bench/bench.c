#include "bench.h"

#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { BENCHES_MAX = 64, MEDIAN_RUNS = 5, EXIT_FIGURE = 1, EXIT_USAGE = 2, EXIT_UNFINISHED = 3 };

/* A baseline further than this from what it measured elsewhere compares something else. */
static const double baseline_factor_max = 2.0;

struct bench {
    const char *name;
    const char *about;
    bench_fn *run;
    uint64_t entries; /* 0: the bench's own number */
    bool json;
    unsigned reported;
    unsigned unexplained; /* baselines that are off without a reason */
};

static struct bench benches[BENCHES_MAX];
static size_t benches_count;

void bench_register(const char *name, const char *about, bench_fn *run)
{
    assert(benches_count < BENCHES_MAX);
    benches[benches_count++] = (struct bench){ .name = name, .about = about, .run = run };
}

uint64_t bench_entries(const struct bench *bench, uint64_t normal)
{
    return bench->entries ? bench->entries : normal;
}

double bench_expect(uint64_t entries, uint64_t at, double value)
{
    return entries >= at / 2 && entries <= 2 * at ? value : 0;
}

bool bench_program(const struct bench *bench, const char *name, char *path, size_t size)
{
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0)
        bench_fail(bench, "it is not known where the build folder is");
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    if ((size_t)snprintf(path, size, "%s/%s", self, name) < size && access(path, X_OK) == 0)
        return true;
    fprintf(stderr, "larder-bench %s: nothing stands beside it: %s is not built\n", bench->name,
            path);
    return false;
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t bench_wall_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t bench_process_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t bench_status_bytes(const char *key)
{
    FILE *f = fopen("/proc/self/status", "r");
    size_t len = strlen(key);
    char line[256];
    uint64_t kib = 0;
    while (f && fgets(line, sizeof(line), f))
        if (!strncmp(line, key, len) && line[len] == ':')
            kib = strtoull(line + len + 1, NULL, 10);
    if (f)
        fclose(f);
    return kib * KiB;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(bench_run_fn *run, void *arg, double *spread)
{
    double values[MEDIAN_RUNS];
    for (int i = 0; i < MEDIAN_RUNS; i++)
        values[i] = run(arg);
    qsort(values, MEDIAN_RUNS, sizeof(values[0]), compare_doubles);
    double median = values[MEDIAN_RUNS / 2];
    if (spread)
        *spread = median > 0 ? (values[MEDIAN_RUNS - 1] - values[0]) / median : 0;
    return median;
}

void bench_fail(const struct bench *bench, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "larder-bench %s: ", bench->name);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    exit(EXIT_UNFINISHED);
}

/* "AMD EPYC 7B13, 2 cores, 23 GiB, Linux 6.1.0" */
static const char *machine(void)
{
    static char text[256];
    if (text[0])
        return text;
    char line[256], model[128] = "unknown processor";
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "model name : %127[^\n]", model) == 1)
            break;
    if (f)
        fclose(f);
    struct utsname host;
    uname(&host);
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    snprintf(text, sizeof(text), "%s, %ld cores, %" PRIu64 " GiB, %s %.40s", model,
             sysconf(_SC_NPROCESSORS_ONLN), (memory + GiB / 2) / GiB, host.sysname, host.release);
    return text;
}

static double load_average(void)
{
    double load = 0;
    return getloadavg(&load, 1) == 1 ? load : 0;
}

/* Says why the baseline is off; returns false when nothing explains it. */
static bool explain_baseline(const struct bench_figure *f, char *text, size_t size)
{
    text[0] = '\0';
    if (!f->beside || f->expect_beside <= 0 || f->beside_value <= 0)
        return true;
    double off = f->beside_value / f->expect_beside;
    if (off <= baseline_factor_max && off >= 1 / baseline_factor_max)
        return true;
    double load = load_average();
    bool busy = load > 1.5 * (double)sysconf(_SC_NPROCESSORS_ONLN);
    int n = snprintf(text, size, "baseline is %.2f times the expected %g %s: ", off,
                     f->expect_beside, f->unit);
    if (n > 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, "%s",
                 f->why ? f->why
                 : busy ? "the machine is busy (see load)"
                        : "no reason is known; do not trust the ratio");
    return f->why || busy;
}

static void json_text(const char *text)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if (*c < 0x20)
            printf("\\u%04x", *c);
        else
            putchar(*c);
    }
    putchar('"');
}

static void json_field(const char *key, const char *text)
{
    printf(", \"%s\": ", key);
    if (text && text[0])
        json_text(text);
    else
        printf("null");
}

static void json_number(const char *key, double value, bool known)
{
    if (known && isfinite(value))
        printf(", \"%s\": %.6g", key, value);
    else
        printf(", \"%s\": null", key);
}

static void print_json(const struct bench *bench, const struct bench_figure *f, const char *note)
{
    bool paired = f->beside != NULL;
    printf("{\"bench\": ");
    json_text(bench->name);
    json_field("figure", f->figure);
    json_field("unit", f->unit);
    json_number("value", f->value, true);
    json_number("spread", f->spread, f->spread > 0);
    json_field("beside", f->beside);
    json_number("beside_value", f->beside_value, paired);
    json_number("ratio", paired ? f->value / f->beside_value : 0, paired && f->beside_value != 0);
    json_field("machine", machine());
    json_number("load", load_average(), true);
    json_field("note", note);
    printf("}\n");
}

static void print_row(const struct bench *bench, const struct bench_figure *f, const char *note)
{
    printf("%-12s %-40s %12.6g %-12s", bench->name, f->figure, f->value, f->unit);
    if (f->spread > 0)
        printf(" +-%2.0f%%", f->spread * 50);
    if (f->beside)
        printf("  beside %s: %.6g (ratio %.4g)", f->beside, f->beside_value,
               f->value / f->beside_value);
    printf("%s%s\n", note[0] ? "  # " : "", note);
}

void bench_report(struct bench *bench, const struct bench_figure *f)
{
    assert(f->figure && f->unit);
    char why[512], note[1024];
    if (!explain_baseline(f, why, sizeof(why)))
        bench->unexplained++;
    snprintf(note, sizeof(note), "%s%s%s", f->note ? f->note : "", f->note && why[0] ? "; " : "",
             why);
    if (bench->json)
        print_json(bench, f, note);
    else
        print_row(bench, f, note);
    fflush(stdout);
    bench->reported++;
}

static int run_bench(struct bench *bench)
{
    bench->run(bench);
    if (!bench->reported)
        bench_fail(bench, "reported no figure");
    if (bench->unexplained)
        fprintf(stderr, "larder-bench %s: %u baselines are off and nothing says why\n", bench->name,
                bench->unexplained);
    return bench->unexplained ? EXIT_FIGURE : 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct bench *)a)->name, ((const struct bench *)b)->name);
}

static int usage(void)
{
    fprintf(stderr, "usage: larder-bench list\n"
                    "       larder-bench all|NAME [--entries N] [--json]\n");
    return EXIT_USAGE;
}

static int run_named(const char *name, uint64_t entries, bool json)
{
    int worst = 0;
    bool all = !strcmp(name, "all"), found = false;
    for (size_t i = 0; i < benches_count; i++) {
        if (!all && strcmp(name, benches[i].name))
            continue;
        found = true;
        benches[i].entries = entries;
        benches[i].json = json;
        int rc = run_bench(&benches[i]);
        worst = MAX(worst, rc);
    }
    if (!found)
        fprintf(stderr, "larder-bench: no bench is named '%s'; see larder-bench list\n", name);
    return found ? worst : EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "entries", required_argument, NULL, 'n' },
                                             { "json", no_argument, NULL, 'j' },
                                             { 0 } };
    uint64_t entries = 0;
    bool json = false;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end = NULL;
        if (c == 'n' && (entries = strtoull(optarg, &end, 10)) > 0 && !*end)
            continue;
        if (c != 'j')
            return usage();
        json = true;
    }
    if (argc - optind != 1)
        return usage();
    qsort(benches, benches_count, sizeof(benches[0]), compare_names);
    if (strcmp(argv[optind], "list"))
        return run_named(argv[optind], entries, json);
    for (size_t i = 0; i < benches_count; i++)
        printf("%-12s %s\n", benches[i].name, benches[i].about);
    return 0;
}
