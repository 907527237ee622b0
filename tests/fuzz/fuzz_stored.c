/* What the node keeps of its peers and of the stamps it has issued: a damaged value is refused, and
 * what was read is written as it was. The first byte says which. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/issuer.h"
#include "swarm/known.h"
#include "swarm/known_store.h"
#include "swarm/pull_intervals.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void intervals(struct bytes value)
{
    struct pull_intervals v;
    uint8_t again[PULL_INTERVALS_BYTES_MAX];
    struct writer w = writer_of(again, sizeof(again));
    if (pull_intervals_decode(&v, value, NULL))
        return;
    pull_intervals_encode(&w, &v);
    assert(bytes_equal(bytes_of(again, writer_used(&w)), value));
    uint64_t next = pull_intervals_next(&v, 1);
    pull_intervals_add(&v, next, next);
    assert(pull_intervals_next(&v, next) > next && v.count <= LIMIT_PULLSYNC_INTERVALS);
}

static void raises(struct bytes value)
{
    struct pull_raises r;
    struct pull_intervals v = { .raises = 1 };
    uint8_t again[PULL_RAISES_BYTES];
    struct writer w = writer_of(again, sizeof(again));
    if (pull_raises_decode(&r, value, NULL))
        return;
    pull_raises_encode(&w, &r);
    assert(bytes_equal(bytes_of(again, writer_used(&w)), value));
    (void)pull_intervals_stale(&v, &r, 3, 4);
    (void)pull_raises_see(&r, OVERLAY_BIN_MAX);
}

static void peer(struct bytes value)
{
    static const struct mem_row row = { "swarm", "refused", MEM_ELASTIC, 1 * MiB, 50, 80, true };
    static const uint8_t own[OVERLAY_BYTES] = { 1 };
    const int64_t now_s = INT64_C(1780000000);
    uint8_t again[KNOWN_STORED_BYTES_MAX];
    struct overlay_record rec;
    struct mem_plan *plan;
    struct known *known;
    if (known_stored_decode(&rec, value, 7357, now_s, NULL) ||
        mem_plan_create(&plan, 256 * MiB, &row, 1, NULL))
        return;
    assert(rec.timestamp_s > 0 && rec.timestamp_s <= now_s + LIMIT_RECORD_AHEAD_S);
    bool made = !known_create(&known, mem_plan_find(plan, "swarm"), own, NULL);
    assert(made);
    if (known_learn(known, &rec) == KNOWN_KEPT) {
        size_t size = known_stored_encode(known_at(known, 0), 7357, again);
        assert(!known_stored_decode(&rec, bytes_of(again, size), 7357, now_s, NULL));
    }
    known_destroy(known);
    mem_plan_destroy(plan); /* asserts that all memory came back */
}

/* The file of a batch with 16 buckets of 4 stamps; an empty one is none at all. */
static void issuer(struct bytes file)
{
    static const struct mem_row row = { "swarm", "refused", MEM_ELASTIC, 1 * MiB, 50, 80, true };
    static char dir[64], path[160];
    struct issuer_options o = { .dir = dir, .depth = 6, .bucket_depth = 4 };
    struct mem_plan *plan;
    struct issuer *is;
    struct stamp stamp;
    bool found = false;
    if (mem_plan_create(&plan, 256 * MiB, &row, 1, NULL))
        return;
    snprintf(dir, sizeof(dir), "/dev/shm/fuzz-stored-%d", (int)getpid());
    snprintf(path, sizeof(path), "%s/%064d.stamps", dir, 0);
    (void)mkdir(dir, 0700);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert(fd >= 0 && write(fd, file.data, file.size) == (ssize_t)file.size && !close(fd));
    if (file.size == 0)
        unlink(path);
    o.mem = mem_plan_find(plan, "swarm");
    bool made = !issuer_create(&is, &o, NULL);
    assert(made);
    if (!issuer_load(is, &found, NULL)) {
        const uint8_t address[STAMP_ADDRESS_BYTES] = { 0x30 };
        assert(found == (file.size > 0));
        if (!issuer_take(is, address, &stamp, NULL))
            assert(stamp.bucket == 3 && stamp.position < 4);
    }
    issuer_destroy(is);
    (void)unlink(path);
    (void)rmdir(dir);
    mem_plan_destroy(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const values[])(struct bytes) = { intervals, raises, peer, issuer };
    if (size > 0)
        values[data[0] % ARRAY_SIZE(values)](bytes_of(data + 1, size - 1));
    return 0;
}
