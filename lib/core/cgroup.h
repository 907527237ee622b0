/* lib/core/cgroup.h
 *
 * What the kernel's control groups allow this process: memory limits of versions 1 and 2, what the
 * group holds, and how hard it is pressed. Every file is optional; one that is not there says
 * nothing. Root is "" in a running node; tests hand in a fixture tree with proc/ and sys/ below it.
 * Source: https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html.
 * Thread: any; the files are small and never block for long.
 */
#ifndef LARDER_CORE_CGROUP_H
#define LARDER_CORE_CGROUP_H

#include "base/error.h"

#define CGROUP_NO_LIMIT UINT64_MAX

struct cgroup {
    char dir[LIMIT_PATH_BYTES];   /* of the group's own memory files; "" when there is none */
    char mount[LIMIT_PATH_BYTES]; /* where walking up ends */
    int version;                  /* 1, 2, or 0 for none */
};

struct cgroup_sample {
    uint64_t anon_bytes;               /* 0 when unknown */
    double some_percent, full_percent; /* memory.pressure, avg10; 0 when unknown */
};

void cgroup_find(struct cgroup *out, const char *root);
/* The smallest limit from the group up to the mount: memory.max and memory.high, or
 * memory.limit_in_bytes. */
uint64_t cgroup_limit_bytes(const struct cgroup *cg);
void cgroup_sample_read(const struct cgroup *cg, struct cgroup_sample *out);

/* Pages of this process that are anonymous, and that are mapped files, from proc/self/status. */
struct process_memory {
    uint64_t anon_bytes, file_bytes,
        anon_peak_bytes; /* the peak is VmHWM less file pages, at least */
};
void process_memory_read(const char *root, struct process_memory *out);

#endif
