#include "store/slab.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "store/durable.h"

enum { MAGIC = 0x4c53, STEP_BYTES = SLAB_STEP_SLOTS * SLAB_SLOT_BYTES, HEAD_BYTES = 169 };
static_assert(HEAD_BYTES + SLAB_DATA_BYTES_MAX <= SLAB_SLOT_BYTES, "the largest chunk fits");

static const char *slab_path(const struct slab_files *f, uint32_t slab, char out[LIMIT_PATH_BYTES])
{
    snprintf(out, LIMIT_PATH_BYTES, "%.*s/reserve.%03u.slab", LIMIT_PATH_BYTES - 32, f->dir, slab);
    return out;
}

static enum err open_slab(struct slab_files *f, uint32_t slab, bool make, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    struct stat st;
    int fd = open(slab_path(f, slab, path),
                  O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT | O_EXCL : 0), 0600);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "opening %s", path);
    if (fstat(fd, &st)) {
        close(fd);
        return error_errno(err, ERR_IO, errno, "asking about %s", path);
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    f->fd[slab] = fd;
    f->steps[slab] = (uint32_t)((uint64_t)st.st_size / STEP_BYTES);
    f->made[slab] = make;
    return ERR_OK;
}

/* The number of a slab from the name of its file. */
static bool name_parse(const char *name, uint32_t *slab)
{
    int used = 0;
    return sscanf(name, "reserve.%3u.slab%n", slab, &used) == 1 && used && !name[used];
}

enum err slab_files_open(struct slab_files *f, const char *dir, struct error *err)
{
    memset(f, 0, sizeof(*f));
    for (uint32_t i = 0; i < LIMIT_SLABS; i++)
        f->fd[i] = -1;
    if (snprintf(f->dir, sizeof(f->dir), "%s", dir) >= LIMIT_PATH_BYTES - 32)
        return error_set(err, ERR_IO, "%s: the path is too long", dir);
    if (mkdir(dir, 0700) && errno != EEXIST)
        return error_errno(err, ERR_IO, errno, "making %s", dir);
    DIR *d = opendir(dir);
    if (!d)
        return error_errno(err, ERR_IO, errno, "opening %s", dir);
    enum err rc = ERR_OK;
    for (struct dirent *e; !rc && (e = readdir(d));) {
        uint32_t slab;
        if (!name_parse(e->d_name, &slab))
            continue;
        if (!LIMIT_CHECK(SLABS, slab + 1))
            rc = error_set(err, ERR_FOREIGN, "%s/%s: no such slab is ever made", dir, e->d_name);
        else
            rc = open_slab(f, slab, false, err);
    }
    closedir(d);
    return rc;
}

void slab_files_close(struct slab_files *f)
{
    for (uint32_t i = 0; f->dir[0] && i < LIMIT_SLABS; i++) {
        if (f->fd[i] >= 0)
            close(f->fd[i]);
        f->fd[i] = -1;
    }
}

/* Room on disk comes in steps, so that the file system can lay them out in one piece. */
static enum err ensure_step(struct slab_files *f, struct slab_ref ref, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    uint32_t steps = ref.slot / SLAB_STEP_SLOTS + 1;
    enum err rc = f->fd[ref.slab] < 0 ? open_slab(f, ref.slab, true, err) : ERR_OK;
    if (rc || f->steps[ref.slab] >= steps)
        return rc;
    off_t from = (off_t)f->steps[ref.slab] * STEP_BYTES, to = (off_t)steps * STEP_BYTES;
    int failed = posix_fallocate(f->fd[ref.slab], from, to - from);
    if (failed)
        return error_errno(err, ERR_IO, failed, "growing %s", slab_path(f, ref.slab, path));
    f->steps[ref.slab] = steps;
    return ERR_OK;
}

static void encode(uint8_t slot[SLAB_SLOT_BYTES], const struct slab_record *rec)
{
    struct writer w = writer_of(slot, SLAB_SLOT_BYTES);
    writer_be32(&w, 0);
    writer_be16(&w, MAGIC);
    writer_be16(&w, (uint16_t)rec->data.size);
    writer_u8(&w, rec->type);
    writer_u8(&w, 0);
    memset(writer_reserve(&w, 6), 0, 6);
    writer_be64(&w, rec->seq);
    writer_put(&w, rec->address, 32);
    writer_put(&w, rec->stamp, SLAB_STAMP_BYTES);
    assert(writer_used(&w) == HEAD_BYTES);
    writer_put(&w, rec->data.data, rec->data.size);
    assert(!w.overflow);
    memset(slot + writer_used(&w), 0, SLAB_SLOT_BYTES - writer_used(&w));
    be32_encode(slot, crc32c(0, bytes_of(slot + 4, SLAB_SLOT_BYTES - 4)));
}

void slab_files_drop(struct slab_files *f)
{
    f->run_slots = 0;
}

/* One write for the run: the pages between two slots are touched once, and whole. */
enum err slab_files_flush(struct slab_files *f, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    struct slab_ref ref = f->run_at;
    size_t size = (size_t)f->run_slots * SLAB_SLOT_BYTES;
    if (size == 0)
        return ERR_OK;
    f->run_slots = 0;
    ssize_t n;
    do
        n = pwrite(f->fd[ref.slab], f->run, size, (off_t)ref.slot * SLAB_SLOT_BYTES);
    while (n < 0 && errno == EINTR);
    f->touched[ref.slab / 64] |= UINT64_C(1) << ref.slab % 64;
    if (n == (ssize_t)size)
        return ERR_OK;
    return error_errno(err, ERR_IO, n < 0 ? errno : ENOSPC, "writing %zu bytes at slot %u of %s",
                       size, ref.slot, slab_path(f, ref.slab, path));
}

enum err slab_files_write(struct slab_files *f, struct slab_ref ref, const struct slab_record *rec,
                          struct error *err)
{
    assert(ref.slab < LIMIT_SLABS && ref.slot < SLAB_SLOTS_MAX);
    assert(rec->data.size <= SLAB_DATA_BYTES_MAX);
    bool follows = f->run_slots > 0 && f->run_slots < SLAB_RUN_SLOTS &&
                   ref.slab == f->run_at.slab && ref.slot == f->run_at.slot + f->run_slots;
    enum err rc = follows ? ERR_OK : slab_files_flush(f, err);
    rc = rc ? rc : ensure_step(f, ref, err);
    if (rc)
        return rc;
    if (!follows)
        f->run_at = ref;
    encode(f->run + (size_t)f->run_slots++ * SLAB_SLOT_BYTES, rec);
    return ERR_OK;
}

enum err slab_files_sync(struct slab_files *f, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    enum err flushed = slab_files_flush(f, err);
    if (flushed)
        return flushed;
    for (uint32_t i = 0; i < LIMIT_SLABS; i++) {
        if (!(f->touched[i / 64] >> i % 64 & 1))
            continue;
        slab_path(f, i, path);
        enum err rc =
            f->made[i] ? durable_sync_new(f->fd[i], path, err) : durable_sync(f->fd[i], path, err);
        if (rc)
            return rc;
        f->made[i] = false;
        f->touched[i / 64] &= ~(UINT64_C(1) << i % 64);
    }
    return ERR_OK;
}

enum err slab_files_probe(struct slab_files *f, struct slab_ref ref, struct error *err)
{
    slab_files_drop(f);
    enum err rc = ensure_step(f, ref, err);
    if (rc)
        return rc;
    memset(f->run, 0, SLAB_SLOT_BYTES);
    f->run_at = ref;
    f->run_slots = 1;
    return slab_files_sync(f, err);
}

enum err slab_files_truncate(struct slab_files *f, uint32_t slab, uint32_t steps, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    assert(slab < LIMIT_SLABS);
    if (f->fd[slab] < 0 || f->steps[slab] <= steps)
        return ERR_OK;
    if (ftruncate(f->fd[slab], (off_t)steps * STEP_BYTES))
        return error_errno(err, ERR_IO, errno, "truncating %s", slab_path(f, slab, path));
    f->steps[slab] = steps;
    return ERR_OK;
}

enum err slab_slot_decode(struct bytes slot, struct slab_record *out, struct error *err)
{
    struct reader r = reader_of(slot);
    uint32_t sum = reader_be32(&r);
    uint16_t magic = reader_be16(&r), size = reader_be16(&r);
    out->type = reader_u8(&r);
    (void)reader_take(&r, 7);
    out->seq = reader_be64(&r);
    out->address = reader_take(&r, 32).data;
    out->stamp = reader_take(&r, SLAB_STAMP_BYTES).data;
    out->data = reader_take(&r, size);
    if (slot.size != SLAB_SLOT_BYTES || r.failed || magic != MAGIC || size > SLAB_DATA_BYTES_MAX ||
        sum != crc32c(0, bytes_of(slot.data + 4, SLAB_SLOT_BYTES - 4)))
        return error_set(err, ERR_CORRUPT, "a slot is damaged");
    return ERR_OK;
}

enum err slab_files_read(const struct slab_files *f, struct slab_ref ref, uint8_t *buf,
                         struct slab_record *out, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    if (ref.slab >= LIMIT_SLABS || ref.slot >= SLAB_SLOTS_MAX || f->fd[ref.slab] < 0)
        return error_set(err, ERR_CORRUPT, "slot %u of slab %u does not exist", ref.slot, ref.slab);
    slab_path(f, ref.slab, path);
    ssize_t n = pread(f->fd[ref.slab], buf, SLAB_SLOT_BYTES, (off_t)ref.slot * SLAB_SLOT_BYTES);
    if (n < 0)
        return error_errno(err, ERR_IO, errno, "reading slot %u of %s", ref.slot, path);
    if (slab_slot_decode(bytes_of(buf, (size_t)n), out, NULL))
        return error_set(err, ERR_CORRUPT, "slot %u of %s is damaged", ref.slot, path);
    return ERR_OK;
}

uint32_t slab_files_read_run(const struct slab_files *f, struct slab_ref ref, uint32_t slots,
                             uint8_t *buf)
{
    assert(slots > 0 && slots <= SLAB_RUN_SLOTS);
    if (ref.slab >= LIMIT_SLABS || ref.slot >= SLAB_SLOTS_MAX || f->fd[ref.slab] < 0)
        return 0;
    ssize_t n = pread(f->fd[ref.slab], buf, (size_t)slots * SLAB_SLOT_BYTES,
                      (off_t)ref.slot * SLAB_SLOT_BYTES);
    return n > 0 ? (uint32_t)(n / SLAB_SLOT_BYTES) : 0;
}

bool slab_dir_is_used(const char *dir)
{
    uint32_t slab;
    bool used = false;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && !used && (e = readdir(d));)
        used = name_parse(e->d_name, &slab);
    if (d)
        closedir(d);
    return used;
}

void slab_dir_remove(const char *dir)
{
    uint32_t slab;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (name_parse(e->d_name, &slab))
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(dir);
}
