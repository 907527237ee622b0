#include "node/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"

enum { BAR_CELLS = 30, TERMINAL_EVERY_MS = 100, PLAIN_EVERY_MS = 10000, LINE_BYTES = 256 };

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void put_amount(char *out, size_t size, bool bytes, uint64_t amount)
{
    if (bytes)
        snprintf(out, size, "%s", units_size_about(amount).text);
    else
        snprintf(out, size, "%" PRIu64, amount);
}

/* 95 -> "1 min 35 s" */
static void put_time(char *out, size_t size, uint64_t seconds)
{
    if (seconds >= 3600)
        snprintf(out, size, "%" PRIu64 " h %" PRIu64 " min", seconds / 3600, seconds / 60 % 60);
    else if (seconds >= 60)
        snprintf(out, size, "%" PRIu64 " min %" PRIu64 " s", seconds / 60, seconds % 60);
    else
        snprintf(out, size, "%" PRIu64 " s", seconds);
}

void progress_line(char *out, size_t size, const struct progress_amount *a, uint64_t elapsed_ms)
{
    char bar[BAR_CELLS + 1], did[32], all[32], rate[32], left[48];
    double per_second = (double)a->done * 1000 / (double)MAX(elapsed_ms, 1);
    put_amount(did, sizeof(did), a->bytes, a->done);
    put_amount(rate, sizeof(rate), a->bytes, (uint64_t)per_second);
    if (a->total == 0) {
        snprintf(out, size, "%s %s, %s/s", a->what, did, rate);
        return;
    }
    double part = (double)MIN(a->done, a->total) / (double)a->total;
    for (unsigned i = 0; i < BAR_CELLS; i++)
        bar[i] = i < (unsigned)(part * BAR_CELLS) ? '#' : '.';
    bar[BAR_CELLS] = '\0';
    put_amount(all, sizeof(all), a->bytes, a->total);
    put_time(left, sizeof(left),
             per_second > 0 ? (uint64_t)((double)(a->total - MIN(a->done, a->total)) / per_second)
                            : 0);
    snprintf(out, size, "[%s] %5.1f %% %s %s of %s, %s/s, %s left", bar, part * 100, a->what, did,
             all, rate, left);
}

void progress_show(struct progress *p, const struct progress_amount *a)
{
    char line[LINE_BYTES];
    uint64_t now = now_ms();
    bool terminal = isatty(STDERR_FILENO);
    if (p->began_ms == 0)
        p->began_ms = p->shown_ms = now;
    if (now - p->shown_ms < (terminal ? TERMINAL_EVERY_MS : PLAIN_EVERY_MS))
        return;
    p->shown_ms = now;
    progress_line(line, sizeof(line), a, now - p->began_ms);
    fprintf(stderr, terminal ? "\r%s\033[K" : "%s\n", line);
    fflush(stderr);
    p->standing = terminal;
}

void progress_hide(struct progress *p)
{
    if (!p->standing)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    p->standing = false;
}
