/* What an operator's backup folder can hold, and the footer of a table. The first byte says which:
 * records, a manifest, or a table file. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/backup_file.h"
#include "store/ldb_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];

static const char *put_file(const char *name, const uint8_t *data, size_t size)
{
    static char path[128];
    if (!dir[0]) {
        snprintf(dir, sizeof(dir), "/dev/shm/fuzz-backup-%d", (int)getpid());
        if (mkdir(dir, 0700))
            abort();
    }
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
    return path;
}

static void read_records(const char *path)
{
    static struct backup_file f;
    static uint8_t record[LIMIT_BACKUP_RECORD_BYTES];
    struct bytes key, value;
    uint64_t sum = 0;
    bool more = true;
    if (backup_file_open(&f, path, NULL))
        return;
    while (more && !backup_file_next(&f, record, &key, &value, &more, NULL))
        sum += more ? key.size + value.size : 0;
    if (sum > f.bytes)
        abort(); /* more than the file holds */
    backup_file_close(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct backup_manifest m;
    uint64_t per_table = 0;
    const char *path = NULL;
    if (size == 0)
        return 0;
    switch (data[0] % 3) {
    case 0:
        path = put_file("state.records", data + 1, size - 1);
        read_records(path);
        break;
    case 1:
        path = put_file("manifest", data + 1, size - 1);
        if (!backup_manifest_read(&m, dir, NULL) && m.count > BACKUP_ENTRIES_MAX)
            abort();
        break;
    case 2:
        path = put_file("000001.ldb", data + 1, size - 1);
        if (!ldb_table_memory(dir, &per_table, NULL) && per_table > 2 * size)
            abort(); /* a footer may not promise more than there is */
        break;
    }
    unlink(path);
    return 0;
}
