/* tests/bench/bench_base.c: words of base/ that stand in hot paths. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"

enum { ADDRESS_BYTES = 32 };

struct hex_run {
    uint64_t count;
    uint8_t address[ADDRESS_BYTES];
    char text[2 * ADDRESS_BYTES + 1];
};

/* The address changes and the text is read, so that no run can be optimised away. */
static double per_call_ns(struct hex_run *run, void (*encode)(struct hex_run *run))
{
    uint64_t start = bench_cpu_ns();
    for (uint64_t i = 0; i < run->count; i++) {
        memcpy(run->address, &i, sizeof(i));
        encode(run);
        run->address[8] ^= (uint8_t)run->text[1];
    }
    return (double)(bench_cpu_ns() - start) / (double)run->count;
}

static void encode_ours(struct hex_run *run)
{
    hex_encode(run->text, bytes_of(run->address, ADDRESS_BYTES));
}

static void encode_printf(struct hex_run *run)
{
    for (size_t i = 0; i < ADDRESS_BYTES; i++)
        snprintf(run->text + 2 * i, 3, "%02x", run->address[i]);
}

static double run_ours(void *arg)
{
    return per_call_ns(arg, encode_ours);
}

static double run_printf(void *arg)
{
    return per_call_ns(arg, encode_printf);
}

BENCH(hex, "An address of 32 bytes as text, as logs and the gateway print it.")
{
    struct hex_run run = { .count = bench_entries(bench, 100000) };
    struct bench_figure figure = { .figure = "encode 32 bytes",
                                   .unit = "ns",
                                   .beside = "snprintf" };
    figure.value = bench_median(run_ours, &run, &figure.spread);
    figure.beside_value = bench_median(run_printf, &run, NULL);
    bench_report(bench, &figure);
}
