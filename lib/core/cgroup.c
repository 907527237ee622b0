#include "core/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads a small file whole; false when it is not there. out is always terminated. */
static bool file_read(const char *path, char *out, size_t out_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, out_size - 1);
    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static bool file_read_in(const char *dir, const char *name, char *out, size_t out_size)
{
    char path[LIMIT_PATH_BYTES + 64];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return file_read(path, out, out_size);
}

static bool is_dir_with(const char *dir, const char *name)
{
    char path[LIMIT_PATH_BYTES + 64];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return access(path, R_OK) == 0;
}

/* The group as /proc/self/cgroup names it, or the mount itself: inside a container the name may be
 * the host's while the mount shows only our part. */
static bool use_group(struct cgroup *cg, int version, const char *mount, const char *group)
{
    const char *probe = version == 2 ? "memory.stat" : "memory.limit_in_bytes";
    snprintf(cg->mount, sizeof(cg->mount), "%s", mount);
    int n = snprintf(cg->dir, sizeof(cg->dir), "%s%s", mount, strcmp(group, "/") ? group : "");
    if (n >= (int)sizeof(cg->dir) || !is_dir_with(cg->dir, probe))
        snprintf(cg->dir, sizeof(cg->dir), "%s", mount);
    cg->version = is_dir_with(cg->dir, probe) ? version : 0;
    return cg->version != 0;
}

/* "7:memory:/path" (version 1, controllers may be a list) or "0::/path" (version 2). */
static const char *line_group(const char *line, int *version)
{
    const char *controllers = strchr(line, ':');
    const char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group)
        return NULL;
    size_t size = (size_t)(group - controllers - 1);
    *version = size == 0 ? 2 : 1;
    for (const char *at = controllers + 1; at < group && *version == 1; at++)
        if (!strncmp(at, "memory", 6) && (at[6] == ',' || at[6] == ':') &&
            (at[-1] == ':' || at[-1] == ','))
            return group + 1;
    return *version == 2 ? group + 1 : NULL;
}

void cgroup_find(struct cgroup *out, const char *root)
{
    char text[4096], path[LIMIT_PATH_BYTES], mount[LIMIT_PATH_BYTES];
    *out = (struct cgroup){ .version = 0 };
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    file_read(path, text, sizeof(text));
    char *rest = NULL;
    /* A memory controller of version 1 wins where both are mounted: version 2 lacks it then. */
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        int version;
        const char *group = line_group(line, &version);
        if (!group || (version == 2 && out->version == 1))
            continue;
        snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup%s", root, version == 1 ? "/memory" : "");
        struct cgroup found = { .version = 0 };
        if (use_group(&found, version, mount, group))
            *out = found;
    }
    if (out->version == 0)
        out->dir[0] = '\0';
}

/* "max" and anything that is no number are no limit; version 1 writes a huge number for none. */
static uint64_t limit_in(const char *dir, const char *name)
{
    char text[64], *end;
    if (!file_read_in(dir, name, text, sizeof(text)))
        return CGROUP_NO_LIMIT;
    unsigned long long v = strtoull(text, &end, 10);
    return end == text || v >= (UINT64_C(1) << 60) ? CGROUP_NO_LIMIT : v;
}

uint64_t cgroup_limit_bytes(const struct cgroup *cg)
{
    if (cg->version == 0)
        return CGROUP_NO_LIMIT;
    char dir[LIMIT_PATH_BYTES];
    uint64_t limit = CGROUP_NO_LIMIT;
    snprintf(dir, sizeof(dir), "%s", cg->dir);
    for (;;) {
        if (cg->version == 1) {
            limit = MIN(limit, limit_in(dir, "memory.limit_in_bytes"));
        } else {
            limit = MIN(limit, limit_in(dir, "memory.max"));
            limit = MIN(limit, limit_in(dir, "memory.high"));
        }
        char *slash = strrchr(dir, '/');
        if (strlen(dir) <= strlen(cg->mount) || !slash)
            return limit;
        *slash = '\0';
    }
}

/* "some avg10=1.23 avg60=…": the number behind "<kind> avg10=". */
static double pressure_of(const char *text, const char *kind)
{
    char key[32];
    snprintf(key, sizeof(key), "%s avg10=", kind);
    const char *at = strstr(text, key);
    return at ? strtod(at + strlen(key), NULL) : 0;
}

void cgroup_sample_read(const struct cgroup *cg, struct cgroup_sample *out)
{
    char text[4096];
    *out = (struct cgroup_sample){ 0 };
    if (cg->version != 2)
        return;
    if (file_read_in(cg->dir, "memory.stat", text, sizeof(text)) && !strncmp(text, "anon ", 5))
        out->anon_bytes = strtoull(text + 5, NULL, 10);
    if (file_read_in(cg->dir, "memory.pressure", text, sizeof(text))) {
        out->some_percent = pressure_of(text, "some");
        out->full_percent = pressure_of(text, "full");
    }
}

static uint64_t status_bytes(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at ? strtoull(at + strlen(key), NULL, 10) * KiB : 0;
}

void process_memory_read(const char *root, struct process_memory *out)
{
    char path[LIMIT_PATH_BYTES], text[4096];
    *out = (struct process_memory){ 0 };
    snprintf(path, sizeof(path), "%s/proc/self/status", root);
    if (!file_read(path, text, sizeof(text)))
        return;
    out->anon_bytes = status_bytes(text, "\nRssAnon:");
    out->file_bytes = status_bytes(text, "\nRssFile:") + status_bytes(text, "\nRssShmem:");
    uint64_t peak = status_bytes(text, "\nVmHWM:");
    out->anon_peak_bytes =
        MAX(peak > out->file_bytes ? peak - out->file_bytes : 0, out->anon_bytes);
}
