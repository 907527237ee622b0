/* tests/bench/bench_crypto.c: what a chunk costs in hashes and signatures. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include "codec/bmt.h"
#include "codec/sig_batch.h"
#include "codec/stamp.h"
#include "codec/swarmtree.h"

enum { STAMPS_OF_PAGE = 250, LANES = 8, PAIR_BYTES = 64, SPLIT_BYTES = 4 * 1024 * 1024 };

/* Elsewhere (another machine, quiet): one permutation alone 0.41 us, a full chunk with it 43 to 55
 * us, a verification with a known key 36 us. */
static const double expect_hash_ns = 410, expect_chunk_us = 48, expect_verify_us = 36;
static const char machine_differs[] = "another CPU, and shared: its clock wanders; compare ratios";

struct crypto_run {
    uint64_t count;
    enum keccak_engine engine;
    uint8_t in[LANES * PAIR_BYTES], out[LANES * KECCAK256_BYTES];
    uint8_t payload[BMT_PAYLOAD_BYTES_MAX], address[BMT_ADDRESS_BYTES];
    struct sig_signer signer;
    struct stamp stamp;
    uint8_t digest[SIG_DIGEST_BYTES], der[SIG_DER_BYTES_MAX];
    size_t der_size;
};

/* ns for one 64-byte hash; a multiple of every width is hashed per call. */
static double run_hash(void *arg)
{
    struct crypto_run *r = arg;
    uint64_t start = bench_cpu_ns();
    for (uint64_t i = 0; i < r->count; i++) {
        struct keccak256_batch b = { r->out, r->in, PAIR_BYTES, LANES };
        keccak256_batch_with(r->engine, &b);
        r->in[0] ^= r->out[1]; /* no run can be optimised away */
    }
    return (double)(bench_cpu_ns() - start) / (double)(r->count * LANES);
}

/* us for the address of a full chunk */
static double run_chunk(void *arg)
{
    struct crypto_run *r = arg;
    uint64_t count = r->count / 16 + 1, start = bench_cpu_ns();
    for (uint64_t i = 0; i < count; i++) {
        bmt_address_with(r->engine, r->address, sizeof(r->payload),
                         bytes_of(r->payload, sizeof(r->payload)));
        r->payload[0] ^= r->address[1];
    }
    return (double)(bench_cpu_ns() - start) / (double)count / 1e3;
}

/* us to learn who signed a stamp */
static double run_recover(void *arg)
{
    struct crypto_run *r = arg;
    uint8_t owner[SIG_ETH_ADDRESS_BYTES];
    uint64_t count = r->count / 64 + 1, start = bench_cpu_ns();
    for (uint64_t i = 0; i < count; i++)
        if (stamp_recover(owner, &r->stamp, r->address, NULL))
            return 0;
    return (double)(bench_cpu_ns() - start) / (double)count / 1e3;
}

static double run_verify(void *arg)
{
    struct crypto_run *r = arg;
    struct bytes key = bytes_of(sig_signer_key(&r->signer), SIG_KEY_BYTES);
    uint64_t count = r->count / 64 + 1, start = bench_cpu_ns();
    for (uint64_t i = 0; i < count; i++)
        if (sig_verify_der(key, r->digest, bytes_of(r->der, r->der_size), NULL))
            return 0;
    return (double)(bench_cpu_ns() - start) / (double)count / 1e3;
}

/* us for a chunk that came from a peer: address and stamp */
static double run_validate(void *arg)
{
    struct crypto_run *r = arg;
    r->engine = keccak_engine_best();
    return run_chunk(arg) + run_recover(arg);
}

/* us a stamp, for a page of one signer's that is checked as a whole */
static double run_together(void *arg)
{
    struct crypto_run *r = arg;
    static struct sig_batch batch;
    static struct sig_batch_item items[STAMPS_OF_PAGE];
    static uint8_t digests[STAMPS_OF_PAGE][SIG_DIGEST_BYTES], sigs[STAMPS_OF_PAGE][SIG_BYTES];
    for (uint32_t i = 0; i < STAMPS_OF_PAGE; i++) {
        sig_eth_digest(digests[i], bytes_of(&i, sizeof(i)));
        sig_eth_sign(&r->signer, bytes_of(&i, sizeof(i)), sigs[i]);
    }
    uint64_t count = r->count / 64 / STAMPS_OF_PAGE + 1, start = bench_cpu_ns();
    for (uint64_t k = 0; k < count; k++) {
        uint32_t signer, joined = 0;
        sig_batch_init(&batch);
        if (!sig_batch_signer(&batch, sig_signer_key(&r->signer), &signer))
            return 0;
        for (uint32_t i = 0; i < STAMPS_OF_PAGE; i++)
            joined += sig_batch_add(&batch, &items[i], signer, digests[i], sigs[i]);
        if (joined < STAMPS_OF_PAGE || !sig_batch_check(&batch, r->digest))
            return 0;
    }
    return (double)(bench_cpu_ns() - start) / (double)(count * STAMPS_OF_PAGE) / 1e3;
}

/* us a chunk, for eight full chunks side by side */
static double run_side(void *arg)
{
    struct crypto_run *r = arg;
    static uint8_t data[BMT_SPAN_BYTES + BMT_PAYLOAD_BYTES_MAX];
    uint8_t addresses[BMT_SIDE_MAX * BMT_ADDRESS_BYTES];
    const uint8_t *side[BMT_SIDE_MAX];
    for (size_t i = 0; i < BMT_SIDE_MAX; i++)
        side[i] = data;
    uint64_t count = r->count / 16 / BMT_SIDE_MAX + 1, start = bench_cpu_ns();
    for (uint64_t i = 0; i < count; i++) {
        bmt_addresses(addresses, side, BMT_SIDE_MAX);
        data[0] ^= addresses[1];
    }
    return (double)(bench_cpu_ns() - start) / (double)(count * BMT_SIDE_MAX) / 1e3;
}

/* MB/s of a file cut into chunks, addresses and all */
static double run_split(void *arg)
{
    struct crypto_run *r = arg;
    static struct swarmtree_split split;
    struct swarmtree_chunk c;
    uint64_t bytes = MIN(r->count * 64, (uint64_t)SPLIT_BYTES), start = bench_cpu_ns();
    swarmtree_split_init(&split);
    while (split.bytes < bytes) {
        struct bytes in = bytes_of(r->payload, sizeof(r->payload));
        while (swarmtree_split_next(&split, &in, &c) == SWARMTREE_CHUNK)
            r->payload[0] ^= c.address[1];
    }
    return (double)split.bytes * 1e3 / (double)(bench_cpu_ns() - start);
}

static void prepare(struct crypto_run *r, struct bench *bench)
{
    struct error err = { ERR_OK, "" };
    uint8_t secret[SIG_SECRET_BYTES] = { 1 };
    *r = (struct crypto_run){ .count = bench_entries(bench, 20000) };
    memset(r->payload, 0x5a, sizeof(r->payload));
    if (sig_signer_init(&r->signer, secret, secret, &err))
        bench_fail(bench, "%s", err.text);
    stamp_sign(&r->stamp, &r->signer, r->address);
    stamp_digest(r->digest, &r->stamp, r->address);
    r->der_size = sig_sign_der(&r->signer, r->digest, r->der);
}

static void report_engines(struct crypto_run *r, struct bench *bench, bench_run_fn *run,
                           struct bench_figure figure)
{
    char text[64];
    const char *what = figure.figure;
    figure.beside = "one at a time";
    figure.why = machine_differs;
    for (enum keccak_engine e = KECCAK_X1; e < KECCAK_ENGINES; e++) {
        if (!keccak_engine_usable(e))
            continue;
        r->engine = KECCAK_X1; /* each time anew: the clock of a shared machine wanders */
        figure.beside_value = bench_median(run, r, NULL);
        r->engine = e;
        snprintf(text, sizeof(text), "%s, %s", what, keccak_engine_name(e));
        figure.figure = text;
        figure.value = bench_median(run, r, &figure.spread);
        bench_report(bench, &figure);
    }
}

BENCH(crypto, "Keccak-256, chunk addresses and stamps, one core.")
{
    static struct crypto_run r;
    prepare(&r, bench);
    report_engines(&r, bench, run_hash,
                   (struct bench_figure){
                       .figure = "64-byte hash", .unit = "ns", .expect_beside = expect_hash_ns });
    report_engines(&r, bench, run_chunk,
                   (struct bench_figure){ .figure = "address of a full chunk",
                                          .unit = "us",
                                          .expect_beside = expect_chunk_us });
    prepare(&r, bench);
    struct bench_figure stamp = { .figure = "stamp: recover the signer",
                                  .unit = "us",
                                  .beside = "verify with a known key",
                                  .expect_beside = expect_verify_us,
                                  .why = machine_differs };
    stamp.value = bench_median(run_recover, &r, &stamp.spread);
    stamp.beside_value = bench_median(run_verify, &r, NULL);
    if (stamp.value <= 0 || stamp.beside_value <= 0)
        bench_fail(bench, "a signature of our own was refused");
    bench_report(bench, &stamp);
    struct bench_figure whole = { .figure = "chunk and stamp validated", .unit = "us" };
    whole.value = bench_median(run_validate, &r, &whole.spread);
    bench_report(bench, &whole);
    struct bench_figure side = { .figure = "address of a full chunk, eight side by side",
                                 .unit = "us" };
    side.value = bench_median(run_side, &r, &side.spread);
    bench_report(bench, &side);
    struct bench_figure together = { .figure = "a stamp among 250 of one signer",
                                     .unit = "us",
                                     .beside = "its signer recovered",
                                     .beside_value = stamp.value };
    together.value = bench_median(run_together, &r, &together.spread);
    if (together.value <= 0)
        bench_fail(bench, "signatures of our own were refused together");
    bench_report(bench, &together);
    struct bench_figure split = { .figure = "file cut into chunks", .unit = "MB/s" };
    split.value = bench_median(run_split, &r, &split.spread);
    bench_report(bench, &split);
}
