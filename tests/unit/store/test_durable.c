#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/durable.h"

static struct durable_record *record;
static char dir[512];

static void start(const char *name, bool drop_syncs)
{
    record =
        mmap(NULL, DURABLE_RECORD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(record != MAP_FAILED, "shared memory");
    snprintf(dir, sizeof(dir), "%s/%s", unit_temp_dir(), name);
    check(!mkdir(dir, 0700), dir);
    durable_record_start(record, drop_syncs);
}

static const char *in_dir(const char *name)
{
    static char paths[2][600];
    static int turn;
    turn = !turn;
    snprintf(paths[turn], sizeof(paths[0]), "%s/%s", dir, name);
    return paths[turn];
}

static int make(const char *name, const char *bytes)
{
    int fd = open(in_dir(name), O_RDWR | O_CREAT | O_APPEND, 0600);
    check(fd >= 0 && write(fd, bytes, strlen(bytes)) == (ssize_t)strlen(bytes), name);
    return fd;
}

static void cut(void)
{
    struct error err = { ERR_OK, "" };
    durable_record_start(NULL, false);
    check(!durable_cut(record, dir, &err), err.text);
    munmap(record, DURABLE_RECORD_BYTES);
}

static void holds(const char *name, const char *want)
{
    char buf[64] = "";
    int fd = open(in_dir(name), O_RDONLY);
    check((fd >= 0) == (want != NULL), name);
    if (fd < 0)
        return;
    ssize_t n = read(fd, buf, sizeof(buf) - 1);
    close(fd);
    check(n == (ssize_t)strlen(want) && !memcmp(buf, want, (size_t)n), name);
}

TEST(what_was_synced_is_what_remains)
{
    start("bytes", false);
    int half = make("half", "synced"), none = make("none", "lost"), gone = make("gone", "x");
    check(!durable_sync_new(half, in_dir("half"), NULL), "first sync");
    check(write(half, "+lost", 5) == 5, "more");
    check(!durable_sync_new(gone, in_dir("gone"), NULL), "synced");
    unlink(in_dir("gone"));
    durable_forget(in_dir("gone"));
    close(make("gone", "another file of that name"));
    close(half);
    close(none);
    close(gone);
    cut();
    holds("half", "synced");
    holds("none", NULL);
    holds("gone", NULL);
}

TEST(a_rename_is_durable_and_its_source_must_be)
{
    start("rename", false);
    int a = make("to", "old"), b = make("from", "new"), c = make("careless", "x");
    check(!durable_sync_new(a, in_dir("to"), NULL), "old");
    check(!durable_sync_new(b, in_dir("from"), NULL), "new");
    check(!durable_rename(in_dir("from"), in_dir("to"), NULL), "over the old one");
    check(!durable_rename(in_dir("careless"), in_dir("third"), NULL), "not synced");
    close(a);
    close(b);
    close(c);
    cut();
    holds("to", "new");
    holds("from", NULL);
    holds("third", "");
}

TEST(a_lying_disk_keeps_the_old_state)
{
    start("lie", false);
    int a = make("to", "old");
    check(!durable_sync_new(a, in_dir("to"), NULL), "old");
    durable_record_start(record, true);
    int b = make("from", "new");
    check(!durable_sync_new(b, in_dir("from"), NULL), "a lie");
    check(!durable_rename(in_dir("from"), in_dir("to"), NULL), "a lie");
    check(write(a, "+more", 5) == 5 && !durable_sync(a, in_dir("to"), NULL), "a lie");
    close(a);
    close(b);
    cut();
    holds("to", "old");
    holds("from", NULL);
}

TEST(failures_have_a_code)
{
    struct error err = { ERR_OK, "" };
    check(durable_sync_dir("/nonexistent", &err) == ERR_IO, err.text);
    check(durable_rename("/nonexistent/a", "/nonexistent/b", &err) == ERR_IO, err.text);
    check(durable_sync(-1, "closed", &err) == ERR_IO && strstr(err.text, "closed"), err.text);
}
