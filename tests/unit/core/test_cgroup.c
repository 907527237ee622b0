#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/cgroup.h"

struct file {
    const char *path, *text;
};

static const struct {
    const char *why;
    struct file files[8];
    int version;
    uint64_t limit;
} cases[] = {
    { "no control groups at all", { { "proc/self/status", "Name: x\n" } }, 0, CGROUP_NO_LIMIT },
    { "version 2, a limit of our own",
      { { "proc/self/cgroup", "0::/system.slice/larder.service\n" },
        { "sys/fs/cgroup/system.slice/larder.service/memory.stat", "anon 4096\nfile 8192\n" },
        { "sys/fs/cgroup/system.slice/larder.service/memory.max", "536870912\n" },
        { "sys/fs/cgroup/system.slice/larder.service/memory.high", "max\n" } },
      2,
      512 * MiB },
    { "version 2, the slice above is tighter",
      { { "proc/self/cgroup", "0::/system.slice/larder.service\n" },
        { "sys/fs/cgroup/system.slice/larder.service/memory.stat", "anon 4096\n" },
        { "sys/fs/cgroup/system.slice/larder.service/memory.max", "max\n" },
        { "sys/fs/cgroup/system.slice/memory.max", "268435456\n" } },
      2,
      256 * MiB },
    { "version 2, high is below max",
      { { "proc/self/cgroup", "0::/a\n" },
        { "sys/fs/cgroup/a/memory.stat", "anon 4096\n" },
        { "sys/fs/cgroup/a/memory.max", "536870912\n" },
        { "sys/fs/cgroup/a/memory.high", "402653184\n" } },
      2,
      384 * MiB },
    { "version 2 in a container: the name is the host's",
      { { "proc/self/cgroup", "0::/docker/0123\n" },
        { "sys/fs/cgroup/memory.stat", "anon 4096\n" },
        { "sys/fs/cgroup/memory.max", "134217728\n" } },
      2,
      128 * MiB },
    { "version 1",
      { { "proc/self/cgroup", "12:cpu,cpuacct:/x\n7:memory:/box\n0::/\n" },
        { "sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1073741824\n" },
        { "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n" } },
      1,
      GiB },
    { "version 1 without a limit",
      { { "proc/self/cgroup", "7:memory:/\n" },
        { "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n" } },
      1,
      CGROUP_NO_LIMIT },
};

static void write_file(const char *root, const struct file *f)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", root, f->path);
    for (char *at = path + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        check(mkdir(path, 0700) == 0 || errno == EEXIST, path);
        *at = '/';
    }
    FILE *out = fopen(path, "w");
    check(out && fputs(f->text, out) >= 0 && fclose(out) == 0, path);
}

TEST(the_smallest_limit_on_the_way_up_counts)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char root[256];
        snprintf(root, sizeof(root), "%s/%zu", unit_temp_dir(), i);
        for (const struct file *f = cases[i].files; f->path; f++)
            write_file(root, f);
        struct cgroup cg;
        cgroup_find(&cg, root);
        check(cg.version == cases[i].version, cases[i].why);
        check(cgroup_limit_bytes(&cg) == cases[i].limit, cases[i].why);
    }
}

TEST(pressure_and_anonymous_pages_are_read)
{
    static const struct file files[] = {
        { "proc/self/cgroup", "0::/a\n" },
        { "proc/self/status",
          "Name:\tx\nVmHWM:\t   9000 kB\nRssAnon:\t    2048 kB\nRssFile:\t    1024 kB\n" },
        { "sys/fs/cgroup/a/memory.stat", "anon 123456\nfile 1\n" },
        { "sys/fs/cgroup/a/memory.pressure", "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\n"
                                             "full avg10=6.25 avg60=0.00 avg300=0.00 total=1\n" },
    };
    char root[256];
    snprintf(root, sizeof(root), "%s/pressure", unit_temp_dir());
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        write_file(root, &files[i]);
    struct cgroup cg;
    struct cgroup_sample sample;
    cgroup_find(&cg, root);
    cgroup_sample_read(&cg, &sample);
    check(sample.anon_bytes == 123456, "anon");
    check(sample.some_percent == 12.5 && sample.full_percent == 6.25, "avg10 of both kinds");
    struct process_memory pm;
    process_memory_read(root, &pm);
    check(pm.anon_bytes == 2 * MiB && pm.file_bytes == MiB, "kB in the file are KiB");
    check(pm.anon_peak_bytes == 9000 * KiB - MiB, "the peak without file pages");
}
