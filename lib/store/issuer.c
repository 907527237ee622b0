#include "store/issuer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/mem.h"
#include "store/durable.h"

enum { HEAD_BYTES = 64, COUNTER_BYTES = 4 };
static const char magic[8] = { 'L', 'S', 'T', 'A', 'M', 'P', 'S', '1' };

struct issuer {
    struct issuer_options options;
    int fd; /* -1 until it is loaded */
    char path[LIMIT_PATH_BYTES];
    uint32_t changed[LIMIT_RESERVE_PAGE_CHUNKS], changed_count;
    bool all_changed; /* more than fit */
    uint32_t next[];  /* by bucket, big-endian as in the file */
};

static uint32_t buckets(const struct issuer *is)
{
    return UINT32_C(1) << is->options.bucket_depth;
}

enum err issuer_create(struct issuer **out, const struct issuer_options *o, struct error *err)
{
    char id[2 * STAMP_BATCH_BYTES + 1];
    if (!LIMIT_CHECK(ISSUER_BUCKET_DEPTH, o->bucket_depth))
        return error_set(err, ERR_LIMIT, "a batch of 2^%u buckets: 2^%d are counted here",
                         o->bucket_depth, LIMIT_ISSUER_BUCKET_DEPTH);
    size_t bytes = sizeof(struct issuer) + ((size_t)COUNTER_BYTES << o->bucket_depth);
    struct issuer *is = mem_try_zalloc(o->mem, bytes);
    if (!is)
        return mem_refused(o->mem, bytes, err);
    is->options = *o;
    is->fd = -1;
    hex_encode(id, bytes_of(o->batch, sizeof(o->batch)));
    if (snprintf(is->path, sizeof(is->path), "%s/%s.stamps", o->dir, id) >= (int)sizeof(is->path)) {
        issuer_destroy(is);
        return error_set(err, ERR_IO, "%s: the path is too long", o->dir);
    }
    *out = is;
    return ERR_OK;
}

void issuer_destroy(struct issuer *is)
{
    if (!is)
        return;
    if (is->fd >= 0)
        close(is->fd);
    mem_free(is->options.mem, is);
}

static enum err read_at(const struct issuer *is, void *buf, size_t size, off_t at,
                        struct error *err)
{
    ssize_t n;
    do
        n = pread(is->fd, buf, size, at);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_errno(err, ERR_IO, errno, "reading %s", is->path);
    if ((size_t)n != size)
        return error_set(err, ERR_CORRUPT, "%s is too short", is->path);
    return ERR_OK;
}

static enum err write_at(const struct issuer *is, const void *buf, size_t size, off_t at,
                         struct error *err)
{
    ssize_t n;
    do
        n = pwrite(is->fd, buf, size, at);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)size)
        return ERR_OK;
    return error_errno(err, ERR_IO, n < 0 ? errno : ENOSPC, "writing %s", is->path);
}

static void head_make(const struct issuer *is, uint8_t out[HEAD_BYTES])
{
    memset(out, 0, HEAD_BYTES);
    memcpy(out, magic, sizeof(magic));
    memcpy(out + sizeof(magic), is->options.batch, STAMP_BATCH_BYTES);
    out[sizeof(magic) + STAMP_BATCH_BYTES] = is->options.bucket_depth;
}

enum err issuer_load(struct issuer *is, bool *found, struct error *err)
{
    uint8_t head[HEAD_BYTES], want[HEAD_BYTES];
    if (mkdir(is->options.dir, 0700) && errno != EEXIST)
        return error_errno(err, ERR_IO, errno, "making %s", is->options.dir);
    is->fd = open(is->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    *found = is->fd >= 0;
    if (!*found && errno != ENOENT)
        return error_errno(err, ERR_IO, errno, "opening %s", is->path);
    if (!*found) {
        is->all_changed = true; /* the first save writes all of it */
        return ERR_OK;
    }
    enum err rc = read_at(is, head, sizeof(head), 0, err);
    head_make(is, want);
    if (!rc && memcmp(head, want, sizeof(head)) != 0)
        rc = error_set(err, ERR_CORRUPT, "%s does not count the stamps of this batch", is->path);
    return rc ? rc
              : read_at(is, is->next, (size_t)COUNTER_BYTES << is->options.bucket_depth, HEAD_BYTES,
                        err);
}

static void change(struct issuer *is, uint32_t bucket)
{
    if (is->changed_count < ARRAY_SIZE(is->changed))
        is->changed[is->changed_count++] = bucket;
    else
        is->all_changed = true;
}

void issuer_seen(struct issuer *is, uint32_t bucket, uint32_t position)
{
    assert(bucket < buckets(is));
    if (position == UINT32_MAX || be32_decode(&is->next[bucket]) > position)
        return;
    be32_encode(&is->next[bucket], position + 1);
    change(is, bucket);
}

enum err issuer_take(struct issuer *is, const uint8_t address[STAMP_ADDRESS_BYTES],
                     struct stamp *out, struct error *err)
{
    uint32_t bucket = stamp_bucket(address, is->options.bucket_depth);
    uint32_t position = be32_decode(&is->next[bucket]);
    unsigned per_bucket_depth = is->options.depth - is->options.bucket_depth;
    if (position == UINT32_MAX || (uint64_t)position >> MIN(per_bucket_depth, 63) > 0)
        return error_set(err, ERR_LIMIT,
                         "bucket %" PRIu32 " of the batch is full (%" PRIu32
                         " stamps): a deeper batch is needed",
                         bucket, position);
    be32_encode(&is->next[bucket], position + 1);
    change(is, bucket);
    memcpy(out->batch, is->options.batch, sizeof(out->batch));
    out->bucket = bucket;
    out->position = position;
    return ERR_OK;
}

/* A file that is whole from its first moment on. */
static enum err save_first(struct issuer *is, struct error *err)
{
    char fresh[LIMIT_PATH_BYTES + 8];
    uint8_t head[HEAD_BYTES];
    snprintf(fresh, sizeof(fresh), "%s.new", is->path);
    is->fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (is->fd < 0)
        return error_errno(err, ERR_IO, errno, "making %s", fresh);
    head_make(is, head);
    enum err rc = write_at(is, head, sizeof(head), 0, err);
    rc = rc ? rc
            : write_at(is, is->next, (size_t)COUNTER_BYTES << is->options.bucket_depth, HEAD_BYTES,
                       err);
    rc = rc ? rc : durable_sync_new(is->fd, fresh, err);
    rc = rc ? rc : durable_rename(fresh, is->path, err);
    if (rc) {
        close(is->fd);
        is->fd = -1;
    }
    return rc;
}

enum err issuer_save(struct issuer *is, struct error *err)
{
    enum err rc = ERR_OK;
    if (is->changed_count == 0 && !is->all_changed)
        return ERR_OK;
    if (is->fd < 0) {
        rc = save_first(is, err);
    } else {
        for (uint32_t i = 0; !rc && i < is->changed_count && !is->all_changed; i++)
            rc = write_at(is, &is->next[is->changed[i]], COUNTER_BYTES,
                          HEAD_BYTES + (off_t)COUNTER_BYTES * is->changed[i], err);
        if (!rc && is->all_changed)
            rc = write_at(is, is->next, (size_t)COUNTER_BYTES << is->options.bucket_depth,
                          HEAD_BYTES, err);
        rc = rc ? rc : durable_sync(is->fd, is->path, err);
    }
    if (rc)
        return rc;
    is->changed_count = 0;
    is->all_changed = false;
    return ERR_OK;
}
