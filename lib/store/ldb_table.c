#include "store/ldb_table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/varint.h"

enum { TABLES_SAMPLED = 64, METAINDEX_BYTES_MAX = 4096, BLOCK_TRAILER_BYTES = 5 };

struct handle {
    uint64_t offset, size;
};

static struct handle read_handle(struct reader *r)
{
    uint64_t offset = reader_pbvarint(r);
    return (struct handle){ offset, reader_pbvarint(r) };
}

bool ldb_table_metaindex(struct bytes footer, uint64_t *offset)
{
    struct reader r = reader_of(footer);
    uint64_t v = reader_pbvarint(&r);
    if (footer.size != LDB_TABLE_FOOTER_BYTES || r.failed)
        return false;
    *offset = v;
    return true;
}

/* The metaindex has one entry, "filter.<policy>" -> handle; without a filter it has none. A
 * compressed one (it never is, at this size) counts as none. */
static uint64_t filter_bytes(int fd, struct handle metaindex, uint64_t file_bytes)
{
    uint8_t buf[METAINDEX_BYTES_MAX];
    if (metaindex.size > sizeof(buf) - BLOCK_TRAILER_BYTES)
        return 0;
    ssize_t n = pread(fd, buf, metaindex.size + BLOCK_TRAILER_BYTES, (off_t)metaindex.offset);
    if (n != (ssize_t)(metaindex.size + BLOCK_TRAILER_BYTES) || buf[metaindex.size] != 0)
        return 0;
    struct reader r = reader_of(bytes_of(buf, metaindex.size));
    uint64_t shared = reader_pbvarint(&r), key = reader_pbvarint(&r), value = reader_pbvarint(&r);
    if (shared || !key || !value)
        return 0;
    reader_take(&r, key);
    struct handle filter = read_handle(&r);
    return r.failed || filter.size > file_bytes ? 0 : filter.size + BLOCK_TRAILER_BYTES;
}

static uint64_t table_bytes(int dir, const char *name)
{
    uint8_t footer[LDB_TABLE_FOOTER_BYTES];
    struct stat st;
    uint64_t bytes = 0;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (!fstat(fd, &st) && st.st_size > LDB_TABLE_FOOTER_BYTES &&
        pread(fd, footer, sizeof(footer), st.st_size - LDB_TABLE_FOOTER_BYTES) == sizeof(footer)) {
        struct reader r = reader_of(bytes_of(footer, sizeof(footer)));
        struct handle metaindex = read_handle(&r), index = read_handle(&r);
        if (!r.failed && index.size < (uint64_t)st.st_size)
            bytes = index.size + BLOCK_TRAILER_BYTES +
                    filter_bytes(fd, metaindex, (uint64_t)st.st_size);
    }
    close(fd);
    return bytes;
}

enum err ldb_table_memory(const char *path, uint64_t *bytes_per_table, struct error *err)
{
    DIR *d = opendir(path);
    if (!d && errno != ENOENT)
        return error_errno(err, ERR_IO, errno, "opening folder %s", path);
    uint64_t sum = 0, tables = 0;
    for (struct dirent *e; d && tables < TABLES_SAMPLED && (e = readdir(d));) {
        const char *dot = strrchr(e->d_name, '.');
        uint64_t bytes = dot && !strcmp(dot, ".ldb") ? table_bytes(dirfd(d), e->d_name) : 0;
        sum += bytes;
        tables += bytes > 0;
    }
    if (d)
        closedir(d);
    *bytes_per_table = tables ? (sum + tables - 1) / tables : 0;
    return ERR_OK;
}
