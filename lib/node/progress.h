/* lib/node/progress.h
 *
 * How far a long command is, on standard error: a bar that stays in its line on a terminal, a plain
 * line now and then elsewhere. With rate and the time that is left.
 * Thread: a process that has nothing else to do.
 */
#ifndef LARDER_NODE_PROGRESS_H
#define LARDER_NODE_PROGRESS_H

#include "base/base.h"

struct progress { /* zeroed at first */
    uint64_t began_ms, shown_ms;
    bool standing; /* a bar stands in the present line */
};

struct progress_amount {
    const char *what;     /* "uploaded" */
    bool bytes;           /* is what is counted; else things */
    uint64_t done, total; /* total 0: it is not known */
};
void progress_show(struct progress *p, const struct progress_amount *a);
/* Before anything else is written. */
void progress_hide(struct progress *p);

/* The line alone, without an end, after a given time. */
void progress_line(char *out, size_t size, const struct progress_amount *a, uint64_t elapsed_ms);

#endif
