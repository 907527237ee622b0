#include "reserve_gen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/prng.h"
#include "store/reserve_keys.h"

enum { BATCHES = 100, WRITE_BYTES = 512 * 1024 };

const struct store_row gen_row = {
    .name = "reserve",
    .version = 1,
    .memory_floor_bytes = 8 * MiB,
    .block_bytes = 16 * KiB,
    .table_bytes = 8 * MiB,
    .filter_bits = 10,
    .filter_kinds = "CS",
    .sync = STORE_SYNC_ASKED,
    .enabled = true,
};

/* The first entry of a bin or of a lower one: its address begins with `bin` zero bits at most. */
static uint64_t first_of(uint64_t entries, uint32_t bin)
{
    if (bin >= OVERLAY_BIN_MAX)
        return 0;
    return (entries + (UINT64_C(1) << (bin + 1)) - 1) >> (bin + 1);
}

void gen_entry(struct gen_entry *out, uint64_t entries, uint64_t i, bool absent)
{
    uint64_t salt = absent ? UINT64_C(1) << 60 : 0;
    uint64_t prefix = (uint64_t)(((unsigned __int128)i << 64) / entries);
    uint64_t batch = (uint64_t)((unsigned __int128)i * BATCHES / entries);
    struct prng p = prng_of(salt | i), b = prng_of(batch);
    be64_encode(out->id.address, prefix);
    prng_fill(&p, out->id.address + 8, 24);
    be64_encode(out->id.batch, batch);
    prng_fill(&b, out->id.batch + 8, 24);
    prng_fill(&p, out->id.stamp_hash, 32);
    be64_encode(out->index, i);
    out->bin = (uint8_t)(prefix ? MIN(__builtin_clzll(prefix), OVERLAY_BIN_MAX) : OVERLAY_BIN_MAX);
    out->binid = i - first_of(entries, out->bin) + 1;
}

struct fill {
    struct ldb *db;
    struct ldb_batch *batch;
    uint64_t entries;
};

static enum err put(struct fill *f, struct reserve_key key, struct bytes value, struct error *err)
{
    enum err rc = ldb_batch_put(f->batch, key_bytes(&key), value, err);
    if (!rc && ldb_batch_bytes(f->batch) > WRITE_BYTES - 1024) {
        rc = ldb_write(f->db, f->batch, false, err);
        ldb_batch_clear(f->batch);
    }
    return rc;
}

static enum err put_record(struct fill *f, char kind, uint64_t i, struct error *err)
{
    struct gen_entry e;
    uint8_t raw[C_VALUE_BYTES_MAX];
    gen_entry(&e, f->entries, i, false);
    if (kind == 'B') {
        b_value_encode(raw, &e.id, CHUNK_CONTENT);
        return put(f, key_entry(e.bin, e.binid), bytes_of(raw, B_VALUE_BYTES), err);
    }
    if (kind == 'C') {
        struct reserve_body body = { .ref = { 0, 0 }, .size = 8 + 4096 };
        body.ref.slab =
            LIMIT_SLABS - 1 - (uint32_t)(i / SLAB_SLOTS_MAX); /* there is no such file */
        body.ref.slot = (uint32_t)(i % SLAB_SLOTS_MAX);
        body_add(&body, &e.id, e.index);
        return put(f, key_chunk(e.id.address), c_value_encode(&body, raw), err);
    }
    struct reserve_slot_of_index s = { .timestamp = 1, .bin = e.bin, .binid = e.binid };
    memcpy(s.address, e.id.address, 32);
    memcpy(s.stamp_hash, e.id.stamp_hash, 32);
    s_value_encode(raw, &s);
    return put(f, key_index(e.id.batch, e.index), bytes_of(raw, S_VALUE_BYTES), err);
}

static enum err put_counters(struct fill *f, struct error *err)
{
    uint8_t raw[16];
    be64_encode(raw, f->entries);
    enum err rc = put(f, key_meta("count"), bytes_of(raw, 8), err);
    be64_encode(raw, 1);
    rc = rc ? rc : put(f, key_meta("epoch"), bytes_of(raw, 8), err);
    uint64_t end = f->entries;
    for (uint8_t bin = 0; !rc && bin <= OVERLAY_BIN_MAX; bin++) {
        uint64_t in_bin = end - first_of(f->entries, bin);
        end -= in_bin;
        be64_encode(raw, in_bin);
        be64_encode(raw + 8, in_bin);
        rc = in_bin ? put(f, key_bin(bin), bytes_of(raw, 16), err) : ERR_OK;
    }
    return rc;
}

static enum err fill_all(struct fill *f, struct error *err)
{
    enum err rc = ERR_OK;
    uint64_t end = f->entries;
    for (uint8_t bin = 0; !rc && bin <= OVERLAY_BIN_MAX; bin++) { /* 'B' is by bin, then BinID */
        uint64_t first = first_of(f->entries, bin);
        for (uint64_t i = first; !rc && i < end; i++)
            rc = put_record(f, 'B', i, err);
        end = first;
    }
    for (uint64_t i = 0; !rc && i < f->entries; i++)
        rc = put_record(f, 'C', i, err);
    for (uint64_t i = 0; !rc && i < f->entries; i++)
        rc = put_record(f, 'S', i, err);
    rc = rc ? rc : put_counters(f, err);
    return rc ? rc : ldb_write(f->db, f->batch, true, err);
}

/* A reserve with entries and without any slab is refused: one step with nothing in it. */
static enum err put_slab(const char *dir, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/" SLAB_DIR_NAME, dir);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/" SLAB_DIR_NAME "/reserve.000.slab", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)SLAB_STEP_SLOTS * SLAB_SLOT_BYTES))
        return error_errno(err, ERR_IO, errno, "making %s", path);
    close(fd);
    return ERR_OK;
}

enum err gen_fill(const char *dir, uint64_t memory_bytes, uint64_t entries, struct error *err)
{
    struct fill f = { .entries = entries };
    enum err rc = put_slab(dir, err);
    rc = rc ? rc : store_open_row(&f.db, dir, &gen_row, memory_bytes, err);
    if (rc)
        return rc;
    f.batch = ldb_batch_create(WRITE_BYTES);
    rc = fill_all(&f, err);
    ldb_batch_destroy(f.batch);
    ldb_close(f.db);
    return rc;
}
