#include "store/hascache_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "store/durable.h"
#include "store/hascache_segment.h"

enum {
    VERSION = 1,
    SIPHASH_13_128_TOP_80 = 1,
    HEADER_BYTES = 4096,
    HEADER_USED = 76,
    PIECE_BYTES = 4 * 1024 * 1024,
    AHEAD_PIECES = 4,
    SYNC_PIECES = 16, /* 64 MiB at most wait for the disk */
};
static const char magic[8] = "larderhc";

struct output {
    int fd;
    const char *path;
    uint32_t pieces;
    uint64_t bytes, synced_bytes;
};

static enum err write_all(struct output *o, const void *data, size_t size, struct error *err)
{
    const uint8_t *at = data;
    while (size > 0) {
        ssize_t n = write(o->fd, at, size);
        if (n < 0 && errno != EINTR)
            return error_errno(err, ERR_IO, errno, "writing %s", o->path);
        if (n > 0) {
            at += n;
            size -= (size_t)n;
            o->bytes += (uint64_t)n;
        }
    }
    return ERR_OK;
}

/* What is written is not read again by this process: no page cache stays. */
static enum err sync_behind(struct output *o, struct error *err)
{
    enum err rc = durable_sync(o->fd, o->path, err);
    if (rc)
        return rc;
    (void)posix_fadvise(o->fd, (off_t)o->synced_bytes, (off_t)(o->bytes - o->synced_bytes),
                        POSIX_FADV_DONTNEED);
    o->synced_bytes = o->bytes;
    return ERR_OK;
}

static enum err write_section(struct output *o, const void *data, uint64_t size, struct error *err)
{
    const uint8_t *at = data;
    for (uint64_t done = 0; done < size; done += PIECE_BYTES) {
        size_t piece = MIN(size - done, (uint64_t)PIECE_BYTES);
        uint8_t sum[4];
        le32_encode(sum, crc32c(o->pieces, bytes_of(at + done, piece)));
        enum err rc = write_all(o, at + done, piece, err);
        rc = rc ? rc : write_all(o, sum, sizeof(sum), err);
        rc = rc || ++o->pieces % SYNC_PIECES ? rc : sync_behind(o, err);
        if (rc)
            return rc;
    }
    return ERR_OK;
}

static enum err write_header(struct output *o, const struct hascache *h,
                             const struct hascache_image_name *name, struct error *err)
{
    uint8_t header[HEADER_BYTES] = { 0 };
    struct writer w = writer_of(header, sizeof(header));
    writer_put(&w, magic, sizeof(magic));
    writer_le32(&w, VERSION);
    writer_le32(&w, SIPHASH_13_128_TOP_80);
    writer_le64(&w, h->key.k0);
    writer_le64(&w, h->key.k1);
    writer_le32(&w, h->bits);
    writer_le32(&w, h->segment_count);
    writer_le32(&w, page_pool_count(h->pool));
    writer_le32(&w, sizeof(struct hascache_segment));
    writer_le64(&w, h->count);
    writer_le64(&w, name->epoch);
    writer_le64(&w, name->generation);
    assert(writer_used(&w) == HEADER_USED - 4);
    writer_le32(&w, crc32c(0, bytes_of(header, HEADER_USED - 4)));
    return write_all(o, header, sizeof(header), err);
}

static enum err save_to(struct output *o, const struct hascache *h,
                        const struct hascache_image_name *name, struct error *err)
{
    enum err rc = write_header(o, h, name, err);
    rc = rc ? rc : write_section(o, h->directory, sizeof(h->directory[0]) << h->bits, err);
    rc = rc ? rc
            : write_section(o, h->segments, (uint64_t)h->segment_count * sizeof(h->segments[0]),
                            err);
    rc = rc ? rc : write_section(o, h->base, (uint64_t)page_pool_count(h->pool) * PAGE_BYTES, err);
    rc = rc ? rc : sync_behind(o, err);
    return rc ? rc : durable_sync_new(o->fd, o->path, err);
}

enum err hascache_image_save(const struct hascache *h, const char *path,
                             const struct hascache_image_name *name, struct error *err)
{
    assert(h->state == HASCACHE_COMPLETE);
    char temp[LIMIT_PATH_BYTES];
    if (snprintf(temp, sizeof(temp), "%s.new", path) >= (int)sizeof(temp))
        return error_set(err, ERR_IO, "%s: the path is too long", path);
    struct output o = { .path = temp };
    (void)unlink(temp);
    o.fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (o.fd < 0)
        return error_errno(err, ERR_IO, errno, "creating %s", temp);
    enum err rc = save_to(&o, h, name, err);
    close(o.fd);
    rc = rc ? rc : durable_rename(temp, path, err);
    if (rc)
        (void)unlink(temp);
    return rc;
}

static enum err read_all(int fd, void *data, size_t size, struct error *err)
{
    uint8_t *at = data;
    while (size > 0) {
        ssize_t n = read(fd, at, size);
        if (n < 0 && errno != EINTR)
            return error_errno(err, ERR_IO, errno, "reading the has-cache's image");
        if (n == 0)
            return error_set(err, ERR_CORRUPT, "the has-cache's image is cut short");
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        }
    }
    return ERR_OK;
}

static enum err parse_header(struct hascache_image *image, const uint8_t *header, struct error *err)
{
    struct reader r = reader_of(bytes_of(header, HEADER_USED));
    struct bytes word = reader_take(&r, sizeof(magic));
    uint32_t version = reader_le32(&r), algorithm = reader_le32(&r);
    if (!bytes_equal(word, bytes_of(magic, sizeof(magic))) || version != VERSION ||
        algorithm != SIPHASH_13_128_TOP_80)
        return error_set(err, ERR_FOREIGN, "the has-cache's image is of another format");
    reader_copy(&r, image->key_, sizeof(image->key_));
    image->bits_ = reader_le32(&r);
    image->segments_ = reader_le32(&r);
    image->pages_ = reader_le32(&r);
    uint32_t segment_bytes = reader_le32(&r);
    image->count = reader_le64(&r);
    image->name.epoch = reader_le64(&r);
    image->name.generation = reader_le64(&r);
    if (reader_le32(&r) != crc32c(0, bytes_of(header, HEADER_USED - 4)))
        return error_set(err, ERR_CORRUPT, "the header of the has-cache's image is damaged");
    if (segment_bytes != sizeof(struct hascache_segment) || image->bits_ < DEPTH_MIN ||
        image->bits_ > LIMIT_HASCACHE_DEPTH_MAX || image->segments_ > UINT32_C(1) << image->bits_ ||
        image->segments_ == 0 || image->pages_ > (uint64_t)image->segments_ * SEGMENT_PAGES_MAX)
        return error_set(err, ERR_FOREIGN, "the has-cache's image has an impossible shape");
    for (uint32_t i = HEADER_USED; i < HEADER_BYTES; i++)
        if (header[i])
            return error_set(err, ERR_CORRUPT, "the header of the has-cache's image is damaged");
    return ERR_OK;
}

enum err hascache_image_open(struct hascache_image *image, const char *path, struct error *err)
{
    uint8_t header[HEADER_BYTES];
    image->fd_ = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (image->fd_ < 0)
        return error_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "opening %s",
                           path);
    image->open_ = true;
    (void)posix_fadvise(image->fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
    enum err rc = read_all(image->fd_, header, sizeof(header), err);
    rc = rc ? rc : parse_header(image, header, err);
    if (rc)
        hascache_image_close(image);
    return rc;
}

enum err hascache_image_room(struct hascache_image *image, struct hascache **out,
                             struct mem_owner *mem, uint64_t bytes_max, struct error *err)
{
    assert(image->open_);
    struct hascache_options o = { .bytes_max = bytes_max };
    memcpy(o.key, image->key_, sizeof(o.key));
    struct hascache *h = NULL;
    enum err rc = hascache_allocate(&h, mem, &o, (uint8_t)image->bits_, err);
    for (uint32_t i = 0, page; !rc && i < image->pages_; i++)
        if (!hascache_take_page(h, 0, &page))
            rc = mem_refused(mem, (uint64_t)image->pages_ * PAGE_BYTES, err);
    if (rc) {
        hascache_destroy(h);
        return error_wrap(err, rc, "the has-cache's image of %u pages", image->pages_);
    }
    *out = h;
    return ERR_OK;
}

/* The kernel reads on while the sum of a piece is taken. */
static void read_ahead(int fd)
{
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (at >= 0)
        (void)posix_fadvise(fd, at, (off_t)AHEAD_PIECES * PIECE_BYTES, POSIX_FADV_WILLNEED);
}

static enum err read_section(int fd, uint32_t *pieces, void *data, uint64_t size, struct error *err)
{
    uint8_t *at = data;
    for (uint64_t done = 0; done < size; done += PIECE_BYTES) {
        size_t piece = MIN(size - done, (uint64_t)PIECE_BYTES);
        uint8_t sum[4];
        read_ahead(fd);
        enum err rc = read_all(fd, at + done, piece, err);
        rc = rc ? rc : read_all(fd, sum, sizeof(sum), err);
        if (rc)
            return rc;
        if (le32_decode(sum) != crc32c((*pieces)++, bytes_of(at + done, piece)))
            return error_set(err, ERR_CORRUPT, "piece %u of the has-cache's image is damaged",
                             *pieces);
    }
    return ERR_OK;
}

/* Who owns which page is not in the file: it follows from the segments. */
static enum err adopt_segments(struct hascache *h, const struct hascache_image *image,
                               struct error *err)
{
    h->segment_count = image->segments_;
    for (uint32_t i = 0; i < h->segment_count; i++) {
        const struct hascache_segment *s = &h->segments[i];
        if (s->pages > SEGMENT_PAGES_MAX || s->depth > h->bits)
            return error_set(err, ERR_CORRUPT, "segment %u: impossible shape", i);
        for (uint32_t p = 0; p < s->pages; p++)
            if (s->page[p] < image->pages_)
                page_pool_set_tag(h->pool, s->page[p], i);
        h->at_depth[s->depth]++;
        h->count += s->n;
    }
    return hascache_check_shape(h, err);
}

enum err hascache_image_read(struct hascache_image *image, struct hascache *h, struct error *err)
{
    uint32_t pieces = 0;
    int fd = image->fd_;
    uint8_t more;
    enum err rc = read_section(fd, &pieces, h->directory, sizeof(h->directory[0]) << h->bits, err);
    rc = rc ? rc
            : read_section(fd, &pieces, h->segments,
                           (uint64_t)image->segments_ * sizeof(h->segments[0]), err);
    rc = rc ? rc : read_section(fd, &pieces, h->base, (uint64_t)image->pages_ * PAGE_BYTES, err);
    rc = rc ? rc : adopt_segments(h, image, err);
    if (rc)
        return rc;
    if (h->count != image->count || read(fd, &more, 1) != 0)
        return error_set(err, ERR_CORRUPT, "the has-cache's image does not add up");
    h->state = HASCACHE_COMPLETE;
    return ERR_OK;
}

void hascache_image_close(struct hascache_image *image)
{
    if (!image->open_)
        return;
    (void)posix_fadvise(image->fd_, 0, 0, POSIX_FADV_DONTNEED);
    close(image->fd_);
    image->open_ = false;
}
