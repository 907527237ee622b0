/* Keys into a backup and back: those that are there, for nobody else, and nothing but them. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/backup_identity.h"

static const char *const files[] = { "one-key", "other-key", "no-key", NULL };
static struct backup_file file;
static struct backup_entry entry;
static struct error err;

static const char *folder(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % ARRAY_SIZE(paths)];
    snprintf(path, sizeof(paths[0]), "%.200s/%.30s", unit_temp_dir(), name);
    mkdir(path, 0700);
    return path;
}

static void file_put(const char *dir, const char *name, size_t size)
{
    char path[300], content[2048];
    memset(content, 'k', sizeof(content));
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    check(f && fwrite(content, 1, size, f) == size && !fclose(f), "a file");
}

static struct stat stat_of(const char *dir, const char *name)
{
    char path[300];
    struct stat st = { .st_size = -1 };
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (lstat(path, &st))
        st.st_size = -1;
    return st;
}

static enum err take_all(const char *backup, const char *data)
{
    uint8_t record[LIMIT_BACKUP_RECORD_BYTES];
    char path[300];
    struct bytes key, value;
    bool more = true;
    backup_file_path(path, sizeof(path), backup, BACKUP_IDENTITY);
    enum err rc = backup_file_open(&file, path, &err);
    while (!rc) {
        rc = backup_file_next(&file, record, &key, &value, &more, &err);
        if (rc || !more)
            break;
        rc = backup_identity_put(data, files, key, value, &err);
    }
    backup_file_close(&file);
    return rc;
}

TEST(keys_go_in_and_come_out)
{
    const char *data = folder("data"), *backup = folder("backup"), *copy = folder("copy");
    file_put(data, "one-key", 65);
    file_put(data, "other-key", LIMIT_IDENTITY_FILE_BYTES);
    file_put(data, "no-matter", 10);
    check(!backup_identity_write(&file, backup, data, files, &entry, &err), err.text);
    check(entry.records == 2 && entry.bytes > 65 + LIMIT_IDENTITY_FILE_BYTES, "two of three");
    check((stat_of(backup, "identity.records").st_mode & 0777) == 0600, "for nobody else");
    check(!backup_identity_check(copy, files, &err), "none is there");
    check(!take_all(backup, copy), err.text);
    check(stat_of(copy, "one-key").st_size == 65, "whole");
    check(stat_of(copy, "other-key").st_size == LIMIT_IDENTITY_FILE_BYTES, "as long as may be");
    check((stat_of(copy, "one-key").st_mode & 0777) == 0600, "for nobody else here either");
    check(stat_of(copy, "no-matter").st_size < 0, "and nothing else");
    check(backup_identity_check(copy, files, &err) == ERR_REFUSED, "now they are there");
    check(take_all(backup, copy) == ERR_IO, "and not overwritten");
    backup_identity_remove(copy, files);
    check(!backup_identity_check(copy, files, &err), "taken back");
}

TEST(without_a_key_there_is_no_file)
{
    const char *data = folder("none"), *backup = folder("none-backup");
    check(!backup_identity_write(&file, backup, data, files, &entry, &err), err.text);
    check(entry.records == 0 && stat_of(backup, "identity.records").st_size < 0, "nothing");
}

TEST(what_is_no_key_is_refused)
{
    const char *data = folder("large"), *backup = folder("large-backup");
    uint8_t value[LIMIT_IDENTITY_FILE_BYTES + 1] = { 0 };
    file_put(data, "one-key", LIMIT_IDENTITY_FILE_BYTES + 1);
    check(backup_identity_write(&file, backup, data, files, &entry, &err) == ERR_TOO_LARGE,
          "a long file");
    backup_file_close(&file);
    char path[300];
    snprintf(path, sizeof(path), "%s/one-key", data);
    unlink(path);
    check(symlink("/etc/hostname", path) == 0, "a link to somewhere");
    check(backup_identity_write(&file, folder("link-backup"), data, files, &entry, &err) == ERR_IO,
          "is not followed");
    backup_file_close(&file);
    const char *copy = folder("foreign");
    check(backup_identity_put(copy, files, bytes_of("../evil", 7), bytes_of(value, 8), &err) ==
              ERR_CORRUPT,
          "a name that is none of ours");
    check(backup_identity_put(copy, files, bytes_of("one-key", 7), bytes_of(value, sizeof(value)),
                              &err) == ERR_CORRUPT,
          "too long");
    check(stat_of(copy, "one-key").st_size < 0, "is not made");
}
