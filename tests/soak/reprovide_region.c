/* tests/soak/reprovide_region.c
 *
 * The other side of `reprovide_region.py`: 25 DHT servers, so that there is one region, which count
 * records instead of keeping them and look at the order of each stream.
 *
 *   reprovide_region keys FROM COUNT   keys in hex, one a line
 *   reprovide_region sink              prints where two servers are, then answers lines of stdin:
 *       tally                          {"records":N}
 *       check COUNT                    does every server have exactly the keys 0 .. COUNT - 1 that
 *                                      are among its 20 nearest, in order, on one stream? Then
 *                                      forgets what it counted
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/kad_sink.h"
#include "base/mem.h"
#include "codec/crypto.h"
#include "ipfs/allot.h"

enum { SERVERS = 25, POLL_MS = 20, KEY_BYTES = 34 };

static struct sinks sinks;
static struct timer stdin_timer;

void unit_check(bool ok, const char *expr, const char *why, const char *file, int line)
{
    if (ok)
        return;
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, why, expr);
    exit(1);
}

static struct bytes make_key(uint64_t i, uint8_t out[KEY_BYTES])
{
    uint8_t in[16] = "region:";
    be64_encode(in + 8, i);
    out[0] = 0x12;
    out[1] = 0x20;
    sha256_of(in, sizeof(in), out + 2);
    return bytes_of(out, KEY_BYTES);
}

static int print_keys(uint64_t from, uint64_t count)
{
    static const char digits[] = "0123456789abcdef";
    char line[2 * KEY_BYTES + 1];
    uint8_t key[KEY_BYTES];
    for (uint64_t i = from; i < from + count; i++) {
        make_key(i, key);
        for (uint32_t b = 0; b < KEY_BYTES; b++) {
            line[2 * b] = digits[key[b] >> 4];
            line[2 * b + 1] = digits[key[b] & 15];
        }
        line[2 * KEY_BYTES] = '\n';
        fwrite(line, 1, sizeof(line), stdout);
    }
    return fflush(stdout) ? 1 : 0;
}

static int by_place(const void *a, const void *b)
{
    uint64_t x = kad_first((*(struct sink *const *)a)->peer.kad);
    uint64_t y = kad_first((*(struct sink *const *)b)->peer.kad);
    return (x > y) - (x < y);
}

static void judge(uint64_t keys)
{
    struct sink *order[SERVERS];
    uint64_t places[SERVERS], records[SERVERS] = { 0 }, sums[SERVERS] = { 0 };
    uint32_t wrong = 0, descents = 0, streams = 0;
    struct allot a;
    uint8_t key[KEY_BYTES];
    for (uint32_t i = 0; i < SERVERS; i++)
        order[i] = &sinks.sink[i];
    qsort(order, SERVERS, sizeof(order[0]), by_place);
    for (uint32_t i = 0; i < SERVERS; i++)
        places[i] = kad_first(order[i]->peer.kad);
    allot_init(&a, places, SERVERS);
    for (uint64_t k = 0; k < keys; k++) {
        uint64_t kad = key_kad(make_key(k, key));
        allot_key(&a, kad);
        for (uint32_t j = 0; j < a.set_count; j++) {
            records[a.set[j]]++;
            sums[a.set[j]] += kad;
        }
    }
    for (uint32_t i = 0; i < SERVERS; i++) {
        struct sink *s = order[i];
        wrong += s->records != records[i] || s->sum != sums[i];
        descents += s->descents;
        streams += s->streams;
        s->records = s->sum = s->last = 0;
        s->descents = s->streams = 0;
    }
    printf("{\"records\":%" PRIu64 ",\"wrong\":%u,\"descents\":%u,\"streams\":%u}\n", sinks.records,
           wrong, descents, streams);
    sinks.records = 0;
}

static void on_stdin(struct timer *t)
{
    struct pollfd fd = { .fd = STDIN_FILENO, .events = POLLIN };
    char line[100];
    timer_set(t, POLL_MS);
    if (poll(&fd, 1, 0) <= 0)
        return;
    if (!fgets(line, sizeof(line), stdin))
        exit(0); /* its driver has ended */
    if (!strncmp(line, "check ", 6))
        judge(strtoull(line + 6, NULL, 10));
    else
        printf("{\"records\":%" PRIu64 "}\n", sinks.records);
}

static int sink(void)
{
    static const struct mem_row row = { "p2p", "", MEM_ELASTIC, 64 * MiB, 80, 90, true };
    struct mem_plan *plan;
    struct loop *loop;
    struct error err = { ERR_OK, "" };
    char text[200];
    check(!mem_plan_create(&plan, 1024 * MiB, &row, 1, &err), err.text);
    check(!loop_create(&loop, &err), err.text);
    sinks_make(&sinks, loop, mem_plan_find(plan, "p2p"), SERVERS, 0);
    setvbuf(stdin, NULL, _IONBF, 0); /* what poll has seen is all there is */
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (uint32_t i = 0; i < 2; i++) {
        sinks_address(&sinks, i, text, sizeof(text));
        printf("%s%c", text, i == 0 ? ' ' : '\n');
    }
    timer_init(&stdin_timer, loop, on_stdin, "stdin");
    timer_set(&stdin_timer, 1);
    loop_run(loop);
    return 1; /* it ends with its input */
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "keys"))
        return print_keys(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    if (argc == 2 && !strcmp(argv[1], "sink"))
        return sink();
    fprintf(stderr, "usage: reprovide_region keys FROM COUNT | sink\n");
    return 2;
}
